"""The figure of a spectrum: what parallelism does to each step-size function."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.experiments.spectrum import Spectrum
from jasgd.presenting.figures import INK, STYLE, columns_of, headline, looks_of, new_figure, rc_context, save
from jasgd.showing import counted


def plot_spectrum(spectrum: Spectrum, folder: Path) -> list[Path]:
    """See :func:`jasgd.report.plot_spectrum`."""
    with rc_context(STYLE):
        return save({"spectrum": _spectrum(spectrum)}, folder)


def _spectrum(spectrum: Spectrum) -> Any:
    clusters = len(spectrum.clusters)
    figure, grid = new_figure(2, clusters, (1.5 + 4.75 * clusters, 7.4), sharex=True, sharey="row")
    looks = _looks([arm.label for arm in spectrum.arms])
    worst = max((row["final_loss"].high for row in spectrum.rows if math.isfinite(row["final_loss"].high)), default=1.0)
    first = [row["final_loss"].median for row in spectrum.rows if row["workers"] == min(spectrum.workers)]
    least = min((loss for loss in first if math.isfinite(loss)), default=worst)
    # Beyond ten thousand times the best loss nothing is learned, and how much less than that is of no interest.
    top = min(2 * worst, 1e4 * least)
    for column, label in enumerate(spectrum.clusters):
        losses, factors = grid[0, column], grid[1, column]
        for arm in spectrum.arms:
            rows = [row for row in spectrum.rows if (row["cluster"], row["arm"]) == (label, arm.label)]
            m = np.array([row["workers"] for row in rows])
            median, low, high = (np.array([getattr(row["final_loss"], name) for row in rows])
                                 for name in ("median", "low", "high"))  # fmt: skip
            losses.plot(m, np.minimum(median, top), label=arm.label, marker="o", markersize=4, **looks[arm.label])
            colour = looks[arm.label]["color"]
            losses.fill_between(m, np.minimum(low, top), np.minimum(high, top), color=colour, alpha=0.12, linewidth=0)
            gone = ~(median < top)
            losses.plot(m[gone], np.full(gone.sum(), top), "x", color=colour, markersize=8)
            means = [row["mean_factor"].median for row in rows]
            factors.plot(m, means, marker="o", markersize=4, **looks[arm.label])
        losses.set_title(f"speeds: {label}")
        losses.set_xscale("log", base=2)
        losses.set_yscale("log")
        losses.set_ylim(top=1.5 * top)
        factors.set_yscale("log")
        factors.axhline(1, color=INK, linewidth=1, linestyle=":")
        factors.set(xlabel="workers", xticks=spectrum.workers, xticklabels=list(map(str, spectrum.workers)))
        factors.minorticks_off()
    grid[0, 0].set_ylabel("final training loss (×: diverged)")
    grid[1, 0].set_ylabel("realised mean of C(τ)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    width = int(11 * figure.get_figwidth())
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, width))
    rates = ", ".join(f"{rate:g}" for rate in spectrum.learning_rates)
    seeds = f"median and range over {len(spectrum.seeds)} seeds" if len(spectrum.seeds) > 1 else "one seed"
    of = "learning rate" if len(spectrum.learning_rates) == 1 else "best of the learning rates"
    setting = f"{spectrum.problem}, {spectrum.settings['scheme']}, {counted(spectrum.settings['steps'], 'update')}"
    headline(figure, f"Training with more and more workers: {setting}, {of} {rates}; {seeds}")
    return figure


def _looks(labels: list[str]) -> dict[str, dict[str, Any]]:
    """A colour for each rule; its normalised form is dashed in the same one, its control dotted."""
    colours, looks = looks_of(), {}
    of_rule: dict[str, Any] = {}
    for label in labels:
        rule = re.sub(r"[:,]normalized=true", "", label.rpartition("@")[2])
        if rule not in of_rule:
            of_rule[rule] = next(colours)
        style = ":" if "@" in label else "--" if "normalized=true" in label else of_rule[rule]["linestyle"]
        looks[label] = of_rule[rule] | {"linestyle": style}
    return looks
