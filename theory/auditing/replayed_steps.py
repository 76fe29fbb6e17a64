"""One replay of a recorded run: the step of each commit, how far its view was, and what theorems bound, measured."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.replaying.rerun import Rerun
from jasgd.showing import Shown
from theory.auditing.measuring.estimates import AT_EACH, Measured, mean_of, squared_norm
from theory.auditing.measuring.mini_batches import Pool
from theory.auditing.measuring.versions import Plan
from theory.auditing.recorded_run import Recorded
from theory.auditing.remarks import Remark
from theory.decisions.verdict import Verdict

FITS = 1e-4  # of a step's length: how far it may be from -αg and be taken for it
LOST = 1e-30  # a squared length, of which products in single precision lose their digits
SEEN = 10.0  # times what rounding explains, above which a step tells something


class Step(NamedTuple):
    """A commit, replayed; pytrees like the parameters, of which Hogwild's unfinished commits have none."""

    version: int  # before it
    before: Any
    after: Any
    reads: tuple[Any, ...]  # one per gradient
    grads: tuple[Any, ...]


def begun(recorded: Recorded) -> Rerun:
    """A replay of a run that has not yet replayed anything.

    Args:
      recorded: with a result, its loss, batches and transformation.

    Returns:
      The replay; whether it comes to the run's bits is for its end to say.

    Raises:
      ValueError: without a result, and as :func:`jasgd.replay`.
    """
    if recorded.result is None:
        raise ValueError("recorded must have a result, whose parameters are replayed")
    arguments = recorded.result, recorded.loss_fn, recorded.tx, recorded.batches
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an environment that differs shows in the bits
        return Rerun(*arguments, upto=None, strict=False, device=None)


def steps(rerun: Rerun) -> Iterator[Step]:
    """Replays one commit after another; the arrays of each stay valid."""
    structure = rerun.compiled.params_structure
    before = jax.tree.map(jnp.copy, rerun.now()[0])
    for commit in rerun.commits():
        after = jax.tree.map(jnp.copy, rerun.now()[0])
        reads, grads = (
            tuple(jax.tree.unflatten(structure, leaves) for leaves in column) for column in (commit.reads, commit.grads)
        )
        yield Step(commit.version, before, after, reads, grads)
        before = after


@dataclasses.dataclass(frozen=True, repr=False)
class Replayed(Shown):
    """What a replay showed of each commit.

    Attributes:
      step_size: α_k such that -α_kg_k is nearest to the step that was taken, g_k being the gradient that was applied; 0
        where it is 0; in [x]²/[f].
      gradient: |g_k|, in [f]/[x].
      length: |x_{k+1} - x_k|, in [x].
      off: |x_{k+1} - x_k + α_kg_k|, in [x].
      allowed: what of it rounding explains, in [x].
      seen: whether the step is much longer than what rounding makes of it.
      distance: D_k = |x_k - z_k|, the largest over the gradients of the commit; in [x].
    """

    step_size: np.ndarray
    gradient: np.ndarray
    length: np.ndarray
    off: np.ndarray
    allowed: np.ndarray
    seen: np.ndarray
    distance: np.ndarray

    def _facts(self) -> dict[str, Any]:
        return vars(self)

    def fits(self, step_sizes: np.ndarray) -> bool:
        """Whether every step is -α_kg_k with these step sizes, as far as rounding lets one see."""
        return bool((np.abs(self.step_size - step_sizes) * self.gradient <= self.allowed).all())

    def learning_rate(self, factor: np.ndarray) -> float:
        """The η with which -ηC_kg_k is nearest to the steps, by least squares; NaN where every C_kg_k is 0."""
        weight = factor * self.gradient**2
        total = float(weight @ factor)
        return float(weight @ self.step_size) / total if total > 0 else float("nan")


class Along(NamedTuple):
    """What theorems bound, measured along a run; means are weighted by the step sizes.

    Attributes:
      squared_gradient: Σα_k|∇f(x_k)|²/Σα_k, in [f]²/[x]².
      loss: Σα_kf(x_k)/Σα_k, in [f].
      words: at which versions and by which mini-batches, as a clause.
    """

    squared_gradient: Measured
    loss: Measured
    words: str


def watched(
    taken: Iterable[Step],
    factor: np.ndarray,
    pool: Pool,
    gradient: Callable[[Any, Any], Any],
    *,
    versions: int,
    seed: int = 0,
) -> tuple[Replayed, Along]:
    """Looks at every commit of a run that is replayed, and measures at some of its versions.

    Args:
      taken: the commits, as of :func:`steps`.
      factor: C_k of each commit; where none were recorded, versions have equal weights.
      pool: mini-batches to measure by.
      gradient: loss and gradient of a mini-batch at some parameters.
      versions: at most as many are measured.
      seed: of the versions.

    Returns:
      What was seen, and what was measured.

    Raises:
      ValueError: for a gradient, a step or a loss that is not finite; it names the commit.
    """
    weighted = bool(np.isfinite(factor).all() and factor.min() >= 0 and factor.any())
    plan = Plan(factor if weighted else np.ones(len(factor)), versions, seed)
    often = Counter(plan.versions.tolist())
    rows: list[np.ndarray] = []
    measured: list[tuple[float, ...]] = []
    for step in taken:
        if not step.grads:
            continue
        for _ in range(often[len(rows)]):
            found = [gradient(step.before, batch) for batch in pool.drawn(AT_EACH)]
            products = np.asarray(_products([one for _, one in found]), np.float64)
            measured.append((*squared_norm(products), *mean_of([float(loss) for loss, _ in found])))
            _refuse(measured[-1], step.version, "a loss or gradient measured before")
        rows.append(np.asarray(_numbers(step.before, step.after, step.reads, step.grads), np.float64))
        _refuse(rows[-1], step.version, "the gradient or step of")
    gg, dg, dd, xx, off, far, unit = np.array(rows).T
    lost = (gg < LOST) & (dd < LOST)  # so short that their squares leave single precision
    gg, off = np.where(lost, 0, gg), np.where(lost, 0, off)
    rounding = unit * np.sqrt(xx)
    seen = Replayed(
        step_size=np.divide(-dg, gg, out=np.zeros_like(gg), where=gg > 0),
        gradient=np.sqrt(gg),
        length=np.sqrt(dd),
        off=np.sqrt(off),
        allowed=FITS * np.sqrt(dd) + rounding,
        seen=np.sqrt(dd) > SEEN * rounding,
        distance=np.sqrt(far),
    )
    tilt = None
    if weighted and not seen.fits(seen.learning_rate(factor) * factor):  # the weights are not what was drawn by
        tilt = np.divide(seen.step_size, factor, out=np.zeros_like(factor), where=factor > 0).clip(min=0)
    square, square_variance, loss, loss_variance = np.array(measured).T
    words = f"{plan.words}, {AT_EACH} mini-batches each of {pool.words}"
    return seen, Along(plan.mean(square, square_variance, tilt), plan.mean(loss, loss_variance, tilt), words)


def bits(rerun: Rerun, *, torn: bool) -> Remark:
    """Whether a replay that has ended came to what was recorded.

    Args:
      rerun: the replay.
      torn: whether reads of the run may not have been of one version.

    Returns:
      A remark.
    """
    if not rerun.differences:
        text = "each loss and factor has the recorded bits"
        text += ", though torn reads would leave others" if torn else ""
        return Remark("replay", None if torn else Verdict.PROVED, text)
    count, first = len(rerun.differences), next(iter(rerun.differences.values()))
    text = (
        f"{count:,} rows have other bits than were recorded, first {first}; what is measured below is of the "
        f"replayed run, which has the same delays, so that the theorems are about it as well"
    )
    return Remark("replay", Verdict.UNKNOWN, text, {"differs": count})


def _refuse(numbers: Any, version: int, what: str) -> None:
    if not np.isfinite(numbers).all():
        raise ValueError(f"{what} commit {version} is not finite (nan or inf): such a run cannot be audited")


@jax.jit
def _numbers(before: Any, after: Any, reads: Any, grads: Any) -> jax.Array:
    """|g|², ⟨d, g⟩, |d|², |x|², |d + αg|², |x - z|², for the step d and the mean gradient g; and the rounding unit."""
    unit = max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(before))
    mean = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]) / len(parts), *map(_wide, grads))
    before, after = _wide(before), _wide(after)
    step = jax.tree.map(jnp.subtract, after, before)
    gg, dg = _dot(mean, mean), _dot(step, mean)
    alpha = jnp.where(gg > 0, -dg / jnp.where(gg > 0, gg, 1), 0)
    off = jax.tree.map(lambda d, g: d + alpha * g, step, mean)
    apart = [jax.tree.map(jnp.subtract, before, _wide(read)) for read in reads]
    far = functools.reduce(jnp.maximum, [_dot(one, one) for one in apart])
    larger = jnp.maximum(_dot(before, before), _dot(after, after))
    return jnp.stack([gg, dg, _dot(step, step), larger, _dot(off, off), far, jnp.asarray(unit, gg.dtype)])


@jax.jit
def _products(gradients: list[Any]) -> jax.Array:
    wide = [_wide(one) for one in gradients]
    return jnp.stack([jnp.stack([_dot(a, b) for b in wide]) for a in wide])


def _wide(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)), tree)


def _dot(a: Any, b: Any) -> jax.Array:
    products = [jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return functools.reduce(jnp.add, products)
