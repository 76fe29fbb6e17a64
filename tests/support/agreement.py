"""Whether two pytrees agree: in every bit, or within a tolerance."""

import jax
import numpy as np

import jasgd


def same_bits(a, b) -> bool:
    """Whether two pytrees of arrays agree in structure, dtype, shape and every bit."""
    x, y = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(x) == len(y) and all(
        p.dtype == q.dtype and p.shape == q.shape and np.asarray(p).tobytes() == np.asarray(q).tobytes()
        for p, q in zip(x, y, strict=True)
    )


def assert_close(actual, expected, rtol=1e-9):
    """Leaf by leaf; of a leaf that is no array to NumPy, its data."""
    leaves, others = ([jasgd.record.trees.plain(leaf) for leaf in jax.tree.leaves(tree)] for tree in (actual, expected))
    assert len(leaves) == len(others)
    for leaf, other in zip(leaves, others, strict=True):
        assert (leaf.dtype, leaf.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(leaf, other, rtol=rtol, atol=rtol)
