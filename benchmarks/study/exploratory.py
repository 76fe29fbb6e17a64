"""The exploratory cells: one factor at a time is changed, of few cells, and nothing is claimed of them without a test.

They are run after the primary cells. What the report lists among what could not be done is in ``NOT_YET``.
"""

from __future__ import annotations

import dataclasses

from benchmarks.study.design import BASELINE, DISTANCE, PARABOLA, Cell


@dataclasses.dataclass(frozen=True)
class Change:
    """What exploratory cells change.

    Attributes:
      about: what is changed, in a phrase.
      cells: the primary cells that it is changed in.
      options: of the runs: ``batch``, ``updates``, ``share_of_workers`` (an update is the mean gradient of this share
        of the workers, and a run has as many gradients in fewer updates), ``scheme``, ``cluster`` (options of a
        Cluster), ``optimizer``, ``momentum``, ``own_data``.
      arms: beside the constant step, see :func:`benchmarks.study.runs.arms.transformation_of`.
      rate: times the middle of the learning rates that tuning begins with, which may not be near its best.
    """

    about: str
    cells: tuple[tuple[str, str, int], ...]
    options: dict[str, object] = dataclasses.field(default_factory=dict)
    arms: tuple[str, ...] = ("tail", DISTANCE, PARABOLA)
    rate: float = 1.0


_MIDDLE = (("mnist-mlp", "sigma0.7", 8), ("mnist-mlp", "sigma0.7", 32))
CHANGES: dict[str, Change] = {
    "own_data": Change("data that differ between workers, each its own classes", _MIDDLE, {"own_data": True}, (
        "tail", DISTANCE, PARABOLA, "per_worker:tail", "worker_rescaled")),
    "momentum": Change("momentum 0.9", _MIDDLE, {"momentum": 0.9}, rate=2**-3),
    # The parabola that measures its bend needs raw gradients, so that behind Adam one has its bend given.
    "adam": Change("Adam, whose steps the rule scales", _MIDDLE, {"optimizer": "adam"}, (
        "tail", DISTANCE, "distance:parabola:kappa=0.3"), rate=2**-6),
    "synchronous": Change("synchronous rounds, with as many gradients", _MIDDLE, {
        "scheme": "synchronous", "share_of_workers": 1.0}, (), rate=2**3),
    "first_of": Change("rounds of the first three quarters of the workers, with as many gradients applied", _MIDDLE, {
        "scheme": "k_of_n", "share_of_workers": 0.75}, (), rate=2**3),
    "batch8": Change("a quarter of the batch", _MIDDLE, {"batch": 8}),
    "batch128": Change("four times the batch", _MIDDLE, {"batch": 128}),
    "stragglers": Change("one gradient of 50 takes ten times as long", _MIDDLE,
                         {"cluster": {"stragglers": (0.02, 10.0)}}),
    "joining": Change("half the workers join after a third of the run", _MIDDLE, {"cluster": {"joins_share": 0.5}}),
    "distances": Change("further rules by distance, and other windows of its law", _MIDDLE, {}, (
        DISTANCE, PARABOLA, "distance:tail:measure=path", "distance:tail:steady=true", "distance:tail:window=16",
        "distance:tail:window=256", "distance:parabola:kappa=0.3", "distance:parabola:kappa=1",
    )),
    "ranks": Change("further rules over the law of the staleness", _MIDDLE, {}, (
        "tail", "tail:cdf=strict", "tail:cdf=inclusive", "tail_published", "rank_power:exponent=3",
        "rank_exponential:rate=1", "freshest_share:share=0.5", "linear:cutoff=2",
    )),
    "rules": Change("rules of the literature", _MIDDLE, {}, (
        "hinge", "exponential:beta=0.1", "mishchenko:smoothness=1", "koloskova:smoothness=1", "adadelay",
        "threshold:bound=16", "power:exponent=0.5",
    )),
    "compensated": Change("delay-compensated gradients (DC-ASGD), alone and under TAIL", _MIDDLE, {}, (
        "compensated:0.04 constant", "compensated:0.04 tail")),
    "law_start": Change("better starts of the law of the staleness: a shorter window, and a warm-up", _MIDDLE, {}, (
        "tail", "tail window:length=128", "tail window:length=1024,warm_up=200")),
    "locked": Change("lock-based scheme, commits of a tenth of a gradient's time", _MIDDLE,
                     {"scheme": "locked", "cluster": {"commit_s": 0.1}}),
    "leashed": Change("leashed scheme, commits of a tenth of a gradient's time", _MIDDLE,
                      {"cluster": {"commit_s": 0.1}}),
    "hogwild": Change("Hogwild!, commits of a tenth of a gradient's time; torn reads are not simulated", _MIDDLE,
                      {"scheme": "hogwild", "cluster": {"commit_s": 0.1}}),
    "longer": Change("four times as many updates", _MIDDLE, {"updates": 6000}),
}  # fmt: skip

#: What is described in the issue that the study came from, and the program does not run.
NOT_YET = {"native": "threads beyond MNIST"}


def exploratory_cells() -> list[Cell]:
    """The exploratory cells, in the order of ``CHANGES``."""
    return [Cell(*place, change) for change, about in CHANGES.items() for place in about.cells]


def arms_of(cell: Cell) -> tuple[str, ...]:
    """The arms of an exploratory cell: the constant step, and those of the change."""
    return (BASELINE, *CHANGES[cell.change].arms)


def gradients_an_update(cell: Cell) -> int:
    """How many gradients an update of a cell's runs is the mean of."""
    share = CHANGES[cell.change].options.get("share_of_workers") if cell.change else None
    return 1 if share is None else max(1, round(float(share) * cell.workers))
