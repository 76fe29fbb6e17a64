"""``replay``: a recorded execution, run again with the trainer's own compiled functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from jasgd.core.freed_memory import give_back
from jasgd.data import Batches
from jasgd.record.environment import Mismatch
from jasgd.record.result import TrainResult
from jasgd.record.trees import digest, plain
from jasgd.replaying.rerun import Rerun
from jasgd.showing import Shown


@dataclasses.dataclass(frozen=True, repr=False)
class Replay(Shown):
    """The outcome of a replay.

    Attributes:
      params: the parameters after ``version`` commits.
      opt_state: the optimizer state there.
      version: commits that were run again.
      exact: whether every loss and factor, and the final parameters and optimizer state where the replay got to them,
        have the bits that were recorded.
      difference: the first that does not, in a sentence; empty where ``exact``.
      rows: applied gradients that were computed again.
      rows_that_differ: those whose loss, factor or aux has other bits.
      max_difference: largest absolute difference of a final parameter from the recorded one; NaN where the replay
        ended before it.
      relative_difference: Euclidean norm of the difference of the final parameters over that of the recorded ones.
      compared: what was compared with the record at the end: some of params, model_state and opt_state.
      irreproducible: for Hogwild, counts of what the record does not hold, by name.
      environment: what differs from where the run was made; empty but for ``strict=False``.
      model_state: the model state after ``version`` commits; None where the run has none.
    """

    params: Any
    opt_state: Any
    version: int
    exact: bool
    difference: str
    rows: int
    rows_that_differ: int
    max_difference: float
    relative_difference: float
    compared: tuple[str, ...]
    irreproducible: dict[str, int]
    environment: tuple[Mismatch, ...] = ()
    model_state: Any = None

    def _facts(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "exact": self.exact,
            "rows": self.rows,
            "rows_that_differ": None if self.exact else self.rows_that_differ,
            "difference": self.difference or None,
            "environment": f"{len(self.environment)} differences" if self.environment else None,
            "params": self.params,
        }

    def summary(self) -> str:
        """The outcome in a few lines of text.

        Returns:
          Whether the bits are the same, and else where they part and how far.
        """
        words = {"params": "parameters", "model_state": "model state", "opt_state": "optimizer state"}
        end = " and ".join(words[name] for name in self.compared)
        what = f"{self.rows} gradients" + (f", final {end}" if end else "")
        lines = [f"version {self.version}: {'the same bits' if self.exact else 'differs'} ({what})"]
        if not self.exact:
            lines.append(f"  first: {self.difference}")
            lines.append(f"  {self.rows_that_differ} of {self.rows} gradients differ")
        if not self.exact and "params" in self.compared:
            lines.append(
                f"  final parameters differ by {self.max_difference:.3g} at most, "
                f"{self.relative_difference:.3g} of their norm"
            )
        if self.irreproducible:
            counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.irreproducible.items())
            lines.append(f"  Hogwild, whose torn reads and lost additions leave no record: {counts}")
        return "\n".join([*lines, *(f"  {difference}" for difference in self.environment)])


def replay(
    result: TrainResult,
    loss_fn: Any,
    tx: Any,
    batches: Batches | Iterable[Any],
    *,
    merge: Callable[..., Any] | None = None,
    upto: int | None = None,
    strict: bool = True,
    device: Any = None,
) -> Replay:
    r"""Runs a recorded execution again: each gradient on the version it was computed on, in the order of commits.

    .. math:: w_{k+1} = w_k + \mathrm{tx}\big(\nabla f(w_{k-\tau_k}, b_{t_k});\ \tau_k\big)

    with the recorded :math:`\tau_k` and tickets :math:`t_k`, by the trainer's own compiled functions. Runs of the
    schemes sequential, synchronous, locked and leashed come to the same bits, also in another process; of Hogwild the
    result says how far off it is, as which components a read saw is not recorded. Gradients that were dropped changed
    nothing and are not computed. Only versions that a later gradient reads are kept. Call
    :func:`jasgd.configure_cpu` first where the run did.

    Args:
      result: of :func:`jasgd.train`, or loaded with ``TrainResult.load(folder, params_like=params)``, and of a run with
        a model state with ``model_state_like`` as well.
      loss_fn: that of the run, as are ``tx``, ``batches`` and ``device``.
      tx: the Optax transformation.
      batches: a function of a ticket, or an iterable that gives the run's batches in their order, epoch after epoch;
        a loader that shuffles anew does not.
      merge: that of the run, None where it had none; the initial model state is the result's.
      upto: commits after which to stop, 0 … all; None for all.
      strict: whether what decides bits (versions, flags, dtypes, processor) and is not as it was is refused; else it is
        a warning.
      device: a jax device; None for JAX's default.

    Returns:
      Parameters, model state and optimizer state after ``upto`` commits, and whether all has the recorded bits.

    Raises:
      ExecutionError: where the rows contradict each other, or were altered; it names the first one.
      ReplayError: a ValueError; where the run kept no initial parameters, began with others, or with another optimizer
        state than ``tx`` has, or had another ``merge``, and, with ``strict``, for another environment.
      TypeError, ValueError: for arguments that cannot work.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> def loss_fn(w, batch):
      ...     return jnp.mean((w - batch) ** 2)
      >>> tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05))
      >>> result = jasgd.train(loss_fn, jnp.zeros(3), tx, jnp.float32, workers=1, steps=50)
      >>> again = jasgd.replay(result, loss_fn, tx, jnp.float32)
      >>> again.exact, bool((again.params == result.params).all())
      (True, True)
      >>> jasgd.replay(result, loss_fn, tx, jnp.float32, upto=20).version
      20
    """
    rerun = Rerun(result, loss_fn, tx, batches, upto=upto, strict=strict, device=device, merge=merge)
    metadata, commits = result.execution.metadata, result.execution.commits
    params_version = metadata.get("params_version", commits)  # a diverged run gives parameters from before its end
    final = _Final(result)
    if params_version == 0:
        final.compare_leaves(rerun)
    for commit in rerun.commits():
        if commit.version + 1 == params_version:
            final.compare_leaves(rerun)
    params, opt_state = rerun.now()
    if rerun.upto == commits:
        final.compare_opt_state(opt_state)
    differences = [*rerun.differences.values(), *final.differences]
    rows = int(np.searchsorted(result.execution.version, rerun.upto))
    irreproducible = {}
    if rerun.is_hogwild:
        irreproducible = result.counters | {"unfinished_commits": len(metadata.get("unfinished", []))}
    again = Replay(
        params=params,
        opt_state=opt_state,
        version=rerun.upto,
        exact=not differences,
        difference=differences[0] if differences else "",
        rows=rows,
        rows_that_differ=len(rerun.differences),
        max_difference=final.max_difference,
        relative_difference=final.relative_difference,
        compared=tuple(final.compared),
        irreproducible=irreproducible,
        environment=rerun.environment,
        model_state=rerun.model_state_now(),
    )
    del rerun, final  # the versions that they hold
    give_back(jax.tree.leaves((params, opt_state, again.model_state)))
    return again


class _Final:
    """The comparison of the end of a replay with the end of the run."""

    def __init__(self, result: TrainResult):
        self._result = result
        self.differences: list[str] = []
        self.compared: list[str] = []
        self.max_difference = self.relative_difference = math.nan

    def compare_leaves(self, rerun: Rerun) -> None:
        self._compare_params(rerun.now()[0])
        if (model_state := rerun.model_state_now()) is not None:
            self._compare("model_state", model_state, self._result.model_state)

    def _compare_params(self, params: Any) -> None:
        leaves, recorded = self._compare("params", params, self._result.params)
        if recorded is None:
            return
        apart = [a.astype(np.float64) - b.astype(np.float64) for a, b in zip(leaves, recorded, strict=True)]
        self.max_difference = float(max((np.abs(d).max() for d in apart if d.size), default=0.0))
        norm = math.sqrt(sum(float(np.sum(b.astype(np.float64) ** 2)) for b in recorded))
        distance = math.sqrt(sum(float(np.sum(d**2)) for d in apart))
        self.relative_difference = distance / norm if norm else distance

    def compare_opt_state(self, opt_state: Any) -> None:
        if self._result.execution.metadata["final_opt_state"] != digest(()) or not jax.tree.leaves(opt_state):
            self._compare("opt_state", opt_state, self._result.opt_state)

    def _compare(self, name: str, tree: Any, recorded_tree: Any) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
        self.compared.append(name)
        with_paths = jax.tree_util.tree_leaves_with_path(tree)
        leaves = [plain(leaf) for _, leaf in with_paths]
        paths = [jax.tree_util.keystr(path) for path, _ in with_paths]
        if isinstance(recorded_tree, dict) and sorted(recorded_tree) == sorted(paths):  # loaded without a structure
            recorded_tree = [recorded_tree[path] for path in paths]
        recorded = [plain(leaf) for leaf in jax.tree.leaves(recorded_tree)]
        if [(a.dtype, a.shape) for a in leaves] != [(b.dtype, b.shape) for b in recorded]:
            self.differences.append(f"final {name} has other leaves than were recorded")
            return leaves, None
        for path, a, b in zip(paths, leaves, recorded, strict=True):
            if a.tobytes() != b.tobytes():
                self.differences.append(f"final {name}{path} has other bits than were recorded")
                break
        else:
            if digest(leaves) != self._result.execution.metadata[f"final_{name}"]:
                self.differences.append(f"final_{name} in the metadata is the digest of others")
        return leaves, recorded
