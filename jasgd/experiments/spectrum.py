"""The result of a sweep: runs over numbers of workers, clusters and rules, and the conclusions from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from jasgd.experiments.arms import BASELINE, Arm
from jasgd.experiments.conclusions import Conclusion, conclude, sentences
from jasgd.experiments.measures import FACTORS, Spread, shown_row, spread
from jasgd.experiments.spectrum_jobs import Point
from jasgd.experiments.tuning import Cell, at_the_edge
from jasgd.record.result import Outcome
from jasgd.showing import Shown, counted, tally


@dataclasses.dataclass(frozen=True, repr=False)
class Spectrum(Shown):
    """The runs of a spectrum, in numbers.

    Attributes:
      problem: name of the training problem.
      arms: the arms that were compared.
      seeds: the seeds that each was judged on.
      workers: the numbers of workers.
      clusters: labels of the clusters.
      settings: the options that all runs share.
      learning_rates: the learning rates that were tried.
      runs: :func:`jasgd.experiments.measures.measures` of each run that an arm is judged by, and its ``outcome``; at
        the learning rate that is the arm's best on the tuning seeds.
      tuning_seeds: the seeds that learning rates were chosen on; none where there is one learning rate.
      tuning_runs: the same numbers of the runs that the learning rates were chosen by.
    """

    problem: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    workers: tuple[int, ...]
    clusters: tuple[str, ...]
    learning_rates: tuple[float, ...]
    settings: dict[str, Any]
    runs: dict[Point, dict[str, Any]]
    tuning_seeds: tuple[int, ...] = ()
    tuning_runs: dict[Point, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def _facts(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "arms": [arm.label for arm in self.arms],
            "workers": self.workers,
            "clusters": self.clusters,
            "seeds": self.seeds,
            "learning_rates": self.learning_rates,
            "scheme": self.settings.get("scheme"),
            "outcomes": tally(run["outcome"] for run in self.runs.values()),
        }

    def _rows(self) -> list[dict[str, Any]]:
        keys = ("cluster", "workers", "learning_rate")
        return [{key: row[key] for key in keys} | shown_row(row) for row in self.rows]

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table: cluster, workers, arm, learning rate, the count of each outcome, a :class:`Spread` per number."""
        return _table(self.runs)

    @functools.cached_property
    def tuning_rows(self) -> list[dict[str, Any]]:
        """The same table of the runs that learning rates were chosen by: a row per learning rate."""
        return _table(self.tuning_runs)

    @functools.cached_property
    def edges(self) -> list[Cell]:
        """Where the best learning rate is the least or the largest of those tried, so that a better may lie beyond."""
        rates = {Cell(p.cluster, p.workers, p.arm): p.learning_rate for p in self.tuned_points}
        return at_the_edge(rates, self.learning_rates)

    @property
    def tuned_points(self) -> list[Point]:
        """The points of the judged runs whose learning rate was chosen; a control takes that of its rule."""
        controls = {arm.label for arm in self.arms if arm.mean_of is not None}
        return [point for point in self.runs if self.tuning_seeds and point.arm not in controls]

    @functools.cached_property
    def conclusions(self) -> dict[str, list[Conclusion]]:
        """How each rule did on each cluster, with the largest number of workers.

        See :func:`jasgd.experiments.conclusions.conclude`; what is compared is the final training loss.
        """
        found: dict[str, list[Conclusion]] = {}
        for label in self.clusters:
            losses: dict[str, dict[int, float]] = {}
            for point, numbers in self.runs.items():
                if (point.cluster, point.workers) == (label, max(self.workers)):
                    losses.setdefault(point.arm, {})[point.seed] = numbers["final_loss"]
            found[label] = conclude(losses, self.arms)
        return found

    def reading(self) -> str:
        """The conclusions in sentences: for each cluster a verdict per rule, what pairs share, and the power.

        They are about the largest number of workers; it is said where the best learning rate lies at the edge.
        """
        lines, most = [], max(self.workers)
        for label, of_cluster in self.conclusions.items():
            rows = [row for row in self.rows if (row["cluster"], row["workers"]) == (label, most)]
            factors = {row["arm"]: tuple(row[name].median for name in FACTORS) for row in rows if FACTORS[0] in row}
            said = sentences(of_cluster, shared="", factors=factors)
            nothing = f"nothing to compare, as no rule was run beside {BASELINE}."
            lines.append(f"{label}, {counted(most, 'worker')}: {said[0] if said else nothing}")
            lines += said[1:]
        return "\n".join([*lines, self._design(), *self._edges()])

    def record(self) -> dict[str, Any]:
        """Everything, as values that :func:`jasgd.record.trees.to_json` takes."""
        summary = {"problem": self.problem, "seeds": self.seeds, "settings": self.settings, "reading": self.reading()}
        tables = {"table": self.rows, "tuning_table": self.tuning_rows}
        all_runs = {"runs": self.runs, "tuning_runs": self.tuning_runs}
        return {
            **summary,
            "tuning_seeds": self.tuning_seeds,
            "at_the_edge": [cell._asdict() for cell in self.edges],
            "conclusions": {label: [one.record() for one in found] for label, found in self.conclusions.items()},
            **{
                name: [{k: v._asdict() if isinstance(v, Spread) else v for k, v in row.items()} for row in table]
                for name, table in tables.items()
            },
            **{name: [point._asdict() | m for point, m in runs.items()] for name, runs in all_runs.items()},
        }

    def _design(self) -> str:
        """What pairs share, and where the learning rates come from."""
        shared = "The two runs of a pair share execution, mini-batches and initial parameters."
        rates = self.learning_rates
        if not self.tuning_seeds:
            return f"{shared} All took the learning rate {rates[0]:g}, which was tuned for none."
        grid, tuning = f"{len(rates)} learning rates from {min(rates):g} to {max(rates):g}", len(self.tuning_seeds)
        return f"{shared} Each rule took the best of {grid}, chosen on {counted(tuning, 'other seed')}."

    def _edges(self) -> list[str]:
        if not self.edges:
            return []
        rates = {(row["cluster"], row["workers"], row["arm"]): row["learning_rate"] for row in self.rows}
        cells = ", ".join(
            f"{cell.arm} {rates[cell]:g} ({cell.cluster}, {counted(cell.workers, 'worker')})" for cell in self.edges
        )
        return [f"The best learning rate lies at the edge of the grid, and a better one may lie beyond it: {cells}."]


def _table(runs: Mapping[Point, Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, int, str, float], list[Mapping[str, Any]]] = {}
    for point, numbers in runs.items():
        groups.setdefault((point.cluster, point.workers, point.arm, point.learning_rate), []).append(numbers)
    table = []
    for (label, workers, arm, rate), of_seeds in groups.items():
        outcomes = {str(o): n for o in Outcome if (n := sum(one["outcome"] == str(o) for one in of_seeds))}
        row = {"cluster": label, "workers": workers, "arm": arm, "learning_rate": rate, "outcomes": outcomes}
        names = [name for name in of_seeds[0] if name != "outcome"]
        table.append(row | {name: spread([one[name] for one in of_seeds]) for name in names})
    return table
