"""What an optimizer state says about a run, beyond its execution: the unit that τ counts in, and what a law cut off."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np

from jasgd.staleness import StalenessHistogram

SCHEDULE_FREE = (
    "params are those that gradients are computed on; to evaluate, take "
    "optax.contrib.schedule_free_eval_params(opt_state, params)"
)


def state_remarks(opt_state: Any, commits: int) -> list[str]:
    """Sentences on the optimizer state at the end of a run; none where there is nothing to know.

    They say how many commits made one change of the parameters, where gradients were accumulated by
    ``optax.MultiSteps`` or ``optax.apply_every``: the staleness counts commits all the same. How much of the
    staleness lay beyond the bound of a law that has one. And where the state has parameters of its own, such as an
    average, that those are others than the result's: it is known of ``optax.contrib.schedule_free``, and of any state
    with a field whose name ends in ``params``.

    Args:
      opt_state: as training leaves it, or a dict by path, as it is loaded without a structure; laws are then not seen.
      commits: of the run, which began with a new state.

    Returns:
      The sentences, each once.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> state = optax.MultiSteps(optax.sgd(0.1), 4).init(jnp.ones(2))
      >>> state_remarks(state._replace(gradient_step=jnp.int32(25)), 100)[0].partition(":")[0]
      'the parameters changed once in 4 commits (optax.MultiSteps)'
    """
    said = []
    leaves = {_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(opt_state)}
    for path, leaf in leaves.items():
        where, _, name = path.rpartition(".")
        if name == "gradient_step" and f"{where}.mini_step" in leaves:
            changes = int(np.asarray(leaf))
            if 0 < changes < commits:
                often = f"once in {round(commits / changes, 1):g} commits"
            elif changes < commits:
                often = f"in none of {commits} commits"
            else:
                continue
            said.append(f"the parameters changed {often} (optax.MultiSteps): the staleness counts commits")
        if name == "count" and any(other.startswith(f"{where}.grad_acc") for other in leaves):
            said.append("gradients were accumulated (optax.apply_every): the staleness counts commits, not changes")
        if name.startswith("z") and {f"{where}.weight_sum", f"{where}.b1"} <= set(leaves):
            said.append(SCHEDULE_FREE)
        if field := re.search(r"\.(\w*params)(?=[.\[]|$)", path):
            said.append(
                f"params are those that the optimizer updates; others are in opt_state{path[: field.end()]}: "
                f"evaluate(params, opt_state) can take them"
            )
    for law in jax.tree.leaves(opt_state, is_leaf=_is_law):
        if _is_law(law) and law.bins is not None and law.weights.ndim == 1:
            beyond = law.statistics()["overflow"]
            if beyond > 0:
                said.append(f"{beyond:.1%} of the staleness in the law lay at or beyond its bound, bins={law.bins}")
    return list(dict.fromkeys(said))


def _is_law(node: Any) -> bool:
    return isinstance(node, StalenessHistogram)


def _path(path: Any) -> str:
    """A leaf's path; in a dict by path, the key."""
    if len(path) == 1 and isinstance(path[0], jax.tree_util.DictKey):
        return str(path[0].key)
    return jax.tree_util.keystr(path)
