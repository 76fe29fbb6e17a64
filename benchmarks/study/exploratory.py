"""The exploratory cells: one factor at a time is changed, of few cells, and nothing is claimed of them without a test.

They are run after the primary cells. What the report lists among what could not be done is in ``NOT_YET``.
"""

from __future__ import annotations

import dataclasses

from benchmarks.study.design import Cell


@dataclasses.dataclass(frozen=True)
class Change:
    """What exploratory cells change.

    Attributes:
      about: what is changed, in a phrase.
      cells: the primary cells that it is changed in.
      options: of the runs: ``batch``, ``updates``, ``gradients_an_update`` (``"workers"``: a run has fewer updates, of
        as many gradients), ``scheme``, ``cluster`` (options of a Cluster), ``optimizer``, ``momentum``, ``own_data``.
      arms: further arms beside constant and TAIL, see :func:`benchmarks.study.runs.arms.transformation_of`.
    """

    about: str
    cells: tuple[tuple[str, str, int], ...]
    options: dict[str, object] = dataclasses.field(default_factory=dict)
    arms: tuple[str, ...] = ()


_MIDDLE = (("mnist-mlp", "sigma0.7", 8), ("mnist-mlp", "sigma0.7", 32))
CHANGES: dict[str, Change] = {
    "longer": Change("four times as many updates", _MIDDLE, {"updates": 6000}),
    "batch8": Change("a quarter of the batch", _MIDDLE, {"batch": 8}),
    "batch128": Change("four times the batch", _MIDDLE, {"batch": 128}),
    "momentum": Change("momentum 0.9", _MIDDLE, {"momentum": 0.9}),
    "adam": Change("Adam, whose steps the rule scales", _MIDDLE, {"optimizer": "adam"}),
    "locked": Change("lock-based scheme, commits of a tenth of a gradient's time", _MIDDLE,
                     {"scheme": "locked", "cluster": {"commit_s": 0.1}}),
    "leashed": Change("leashed scheme, commits of a tenth of a gradient's time", _MIDDLE,
                      {"cluster": {"commit_s": 0.1}}),
    "hogwild": Change("Hogwild!, commits of a tenth of a gradient's time; torn reads are not simulated", _MIDDLE,
                      {"scheme": "hogwild", "cluster": {"commit_s": 0.1}}),
    "stragglers": Change("one gradient of 50 takes ten times as long", _MIDDLE,
                         {"cluster": {"stragglers": (0.02, 10.0)}}),
    "joining": Change("half the workers join after a third of the run", _MIDDLE, {"cluster": {"joins_share": 0.5}}),
    "synchronous": Change("synchronous rounds with as many gradients", _MIDDLE, {
        "scheme": "synchronous", "gradients_an_update": "workers"}),
    "compensated": Change("delay-compensated gradients (DC-ASGD), alone and under TAIL", _MIDDLE, {}, (
        "compensated:0.04 constant", "compensated:0.04 tail")),
    "law_start": Change("better starts of the law of the staleness: a shorter window, and a warm-up", _MIDDLE, {}, (
        "tail window:length=128", "tail window:length=1024,warm_up=200")),
    "own_data": Change("data that differ between workers, each its own classes", _MIDDLE, {"own_data": True}),
    "rules": Change("further rules", _MIDDLE, {}, (
        "tail:cdf=strict", "tail:cdf=inclusive", "tail_published", "hinge", "exponential:beta=0.1",
        "mishchenko:smoothness=1", "koloskova:smoothness=1", "adadelay", "threshold:bound=16", "power:exponent=0.5",
    )),
}  # fmt: skip

#: What is described in the issue that the study came from, and the program does not run.
NOT_YET = {
    "k_of_n": "rounds of the first k of n gradients",
    "native": "threads beyond MNIST",
}


def exploratory_cells() -> list[Cell]:
    """The exploratory cells, in the order of ``CHANGES``."""
    return [Cell(*place, change) for change, about in CHANGES.items() for place in about.cells]


def arms_of(cell: Cell) -> tuple[str, ...]:
    """The arms of an exploratory cell: constant, TAIL, and those that the change adds."""
    return ("constant", "tail", *CHANGES[cell.change].arms)
