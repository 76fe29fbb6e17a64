"""What the tests of simulations share: a cluster, double precision, and the problem that they simulate."""

from typing import Any

import jax
import pytest

from jasgd.cluster import Cluster, exponential, lognormal

#: Reads and commits overlap in all manners.
CLUSTER = Cluster(compute_s=lognormal(1.0, 0.7), read_s=exponential(0.2), commit_s=exponential(0.2))


def x64() -> Any:
    """Double precision, in which two ways to compile the same updates stay close for a while."""
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(True)


def full(*values):
    """Parameters of a test for ``make test-full`` alone."""
    return pytest.param(*values, marks=pytest.mark.full)
