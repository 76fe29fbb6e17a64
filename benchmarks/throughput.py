"""Updates per second of every scheme, beside two limits of the same run: workers that share nothing.

    python benchmarks/throughput.py                              # some 20 minutes on two processors
    python benchmarks/throughput.py --models mlp --batches 128 --workers 2 --repetitions 3

The limits are explained in benchmarks/limits.py. Every repetition runs all arms in turn, the limits before and behind
the schemes, and a ratio is taken within a repetition, so that a machine whose speed drifts does not matter; printed are
the median over repetitions and the range. Batches are drawn beforehand, for PyTorch as well, whose Hogwild is an arm
where it is installed. Where the time goes is read off one more run of each scheme (benchmarks/profiled.py). Written are
throughput.json and throughput.png; the goals stand beside what was measured.
"""

import argparse
import dataclasses
import importlib.util
import itertools
import json
import os
import statistics
import sys
from pathlib import Path

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from limits import Limits, plain_loop  # noqa: E402
from profiled import KINDS, shares  # noqa: E402

from jasgd import problems, rules  # noqa: E402
from jasgd.schemes import unwrap  # noqa: E402

RATE = 1e-5  # small enough for 8 stale workers not to diverge on any of the problems
SCHEMES = ("locked", "hogwild", "leashed", "synchronous")
RULES = ("locked", "hogwild", "leashed")  # schemes that are timed with rules.constant() as well
PEER, DRAWING = "PyTorch Hogwild", "leashed, drawing its batches"
CARRYING, REFERRING = "locked, carrying", "locked, by reference"
# What ``train`` takes where there is no C++ compiler, and for large parameters.
PYTHON = {f"{name}, Python's rounds": jasgd.schemes.named(name, native=False) for name in SCHEMES}
DRAWN = 32  # batches that are drawn beforehand, so that no arm is timed for it but one


def transformation(rule):
    return optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(RATE))


def goal_of(model, batch, workers, arm, against):
    """The least ratio of updates per second that this place asks for, or None."""
    if arm in ("locked", "hogwild", "leashed") and against == "two-call":
        if workers == 2:
            return 0.95 if batch >= 128 else 0.90
        if workers == 8 and batch in (16, 128):
            return 0.90 if batch == 128 else 0.75
    if (arm, against, workers) == ("synchronous", "two-call", 2):
        return 0.90 if (model, batch) == ("mlp", 16) else 0.85
    if (arm, against, workers) == ("leashed", PEER, 2):
        return {16: 1.5, 128: 1.25, 512: 1.1}.get(batch) if model == "mlp" else 1.0
    if against == arm + ", constant":  # the rule may be 3 % dearer
        return 0.97
    return None


class Place:
    """One model, batch size and number of workers, with everything that is compiled for it."""

    def __init__(self, dataset, model, batch, workers, seconds, peer):
        self.model, self.batch, self.workers = model, batch, workers
        drawing = problems.load(dataset, model, batch_size=batch)
        self.drawn = [drawing.batches(ticket) for ticket in range(DRAWN)]
        self.problem = dataclasses.replace(drawing, batches=lambda ticket: self.drawn[ticket % DRAWN])
        self.tail = transformation(rules.tail())
        self.limits = Limits(self.problem, self.tail)
        trial = 20 * workers
        self.steps = max(trial, int(seconds * trial / self.limits.two_call(workers, trial)))
        self.peer = peer
        self.arms = {name: self.train(name, self.tail) for name in SCHEMES}
        self.arms |= {f"{name}, constant": self.train(name, transformation(rules.constant())) for name in SCHEMES}
        self.arms |= {name: self.train(scheme) for name, scheme in PYTHON.items()}
        self.arms[CARRYING] = self.train(jasgd.schemes.locked(reading="carry", native=False))
        self.arms[REFERRING] = self.train(jasgd.schemes.locked(reading="reference"))
        self.arms[DRAWING] = self.train("leashed", problem=drawing)
        if workers == 1:
            self.arms["plain Optax loop"] = lambda: plain_loop(self.problem, optax.sgd(RATE), self.steps)
        if peer:
            self.arms[PEER] = self._torch

    def train(self, name, tx=None, problem=None):
        """A function that trains once and gives the seconds of ``steps`` gradients; it may be given a scheme."""
        tx, p = tx or self.tail, problem or self.problem
        # One gradient of a synchronous round is one update's work, though a round is one commit.
        is_synchronous = "synchronous" in (name, getattr(unwrap(name)[0], "name", ""))
        steps = max(1, self.steps // self.workers) if is_synchronous else self.steps

        def run(scheme=name):
            result = jasgd.train(
                p.loss_fn, p.params, tx, p.batches, scheme=scheme, workers=self.workers, steps=steps, seed=0
            )
            return result.duration_s * self.steps / len(result.execution)

        return run

    def _torch(self):
        from torch_hogwild import hogwild

        dataset = self.problem.dataset
        shape, classes = self.drawn[0][0].shape[1:], int(np.max(dataset.train_labels)) + 1
        return hogwild(self.model, shape, classes, self.drawn, self.workers, self.steps)

    def repetition(self):
        """Updates per second by arm; every arm once, the limits at both ends."""

        def limits():
            return self.limits.fused(self.workers, self.steps), self.limits.two_call(self.workers, self.steps)

        before = limits()
        rates = {name: self.steps / arm() for name, arm in self.arms.items()}
        fused, two_call = (2 * self.steps / (b + a) for b, a in zip(before, limits(), strict=True))
        return {"fused": fused, "two-call": two_call, **rates}


def pairs(arms):
    """Which arm is compared with which."""
    names = set(arms)
    yield "two-call", "fused"
    for name in (*SCHEMES, REFERRING, *PYTHON, CARRYING, "plain Optax loop", PEER):
        if name in names:
            yield name, "two-call"
            yield name, "fused"
    if PEER in names:
        yield "leashed", PEER
    for name in RULES:
        yield name, f"{name}, constant"
    yield DRAWING, "leashed"


def ratios_of(place, repetitions):
    """For each pair of arms its ratios of updates per second, by repetition, and the goal."""
    return [
        {
            "arm": arm,
            "against": against,
            "ratios": [r[arm] / r[against] for r in repetitions],
            "goal": goal_of(place.model, place.batch, place.workers, arm, against),
        }
        for arm, against in pairs(repetitions[0])
    ]


def tell(place, repetitions, rows):
    two_call = statistics.median(r["two-call"] for r in repetitions)
    print(f"\n{place.model}, batch {place.batch}, {place.workers} workers: two-call {two_call:.0f} updates/s")
    for row in rows:
        values, goal = sorted(row["ratios"]), row["goal"]
        median = statistics.median(values)
        verdict = "" if goal is None else f"  goal {goal:.2f}: {'met' if median >= goal else 'MISSED'}"
        print(
            f"  {row['arm']:28} / {row['against']:18} {median:6.3f}  ({values[0]:.3f}–{values[-1]:.3f}){verdict}",
            flush=True,
        )


def tell_shares(by_scheme):
    print("  " + " ".join(f"{kind:>13}" for kind in ("where time goes", *KINDS, "off processor")))
    for scheme, rows in by_scheme.items():
        print(f"  {scheme:24} " + " ".join(f"{rows[kind]:13.0%}" for kind in (*KINDS, "off processor")), flush=True)


def plot(entries, file):
    """Each scheme's share of two-call, by batch size: a panel for each model and number of workers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    models, workers = (sorted({t[key] for t in entries}) for key in ("model", "workers"))
    figure, grid = pyplot.subplots(
        len(models), len(workers), figsize=(4 * len(workers), 3.2 * len(models)), squeeze=False, sharey="row",
        layout="constrained",
    )  # fmt: skip
    for (i, model), (j, m) in itertools.product(enumerate(models), enumerate(workers)):
        axes, cases = grid[i][j], [t for t in entries if (t["model"], t["workers"]) == (model, m)]
        cases.sort(key=lambda t: t["batch"])
        for arm in ("fused", *SCHEMES, *PYTHON, PEER):
            medians = [
                (t["batch"], [r[arm] / r["two-call"] for r in t["rates"]]) for t in cases if arm in t["rates"][0]
            ]
            if medians:
                batches, ratios = zip(*medians, strict=True)
                dashes = "--" if arm in ("fused", PEER) else ":" if arm in PYTHON else "-"
                (line,) = axes.plot(batches, [statistics.median(r) for r in ratios], dashes, marker="o", label=arm)
                axes.fill_between(batches, *zip(*((min(r), max(r)) for r in ratios), strict=True), alpha=0.15,
                                  color=line.get_color(), linewidth=0)  # fmt: skip
        axes.axhline(1, color="0.4", linewidth=1, linestyle=":")
        sizes = [t["batch"] for t in cases]
        axes.set_xscale("log", base=2)
        axes.set(title=f"{model}, {m} worker{'s' * (m > 1)}", xticks=sizes, xticklabels=list(map(str, sizes)))
        axes.minorticks_off()
        if i == len(models) - 1:
            axes.set_xlabel("batch size")
        if j == 0:
            axes.set_ylabel("updates/s over those of\ntwo-call, nothing shared")
    named = {}
    for axes in itertools.chain(*grid):
        axes.set_ylim(bottom=0)  # when all is drawn: it ends the scaling of what shares the axis
        named |= {label: line for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--models", nargs="+", default=["mlp", "lenet"])
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128, 512])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long the two-call limit takes, about")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out though it is installed")
    parser.add_argument("--no-profile", action="store_true", help="leave out where the time goes")
    parser.add_argument("--out", type=Path, default=Path("runs/throughput"), help="folder that is written to")
    options = parser.parse_args()
    peer = not options.no_torch and importlib.util.find_spec("torch") is not None
    if not peer:
        print("PyTorch is not installed or not asked for: no arm of it", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for model, batch, workers in itertools.product(options.models, options.batches, options.workers):
        place = Place(options.dataset, model, batch, workers, options.seconds, peer)
        repetitions = [place.repetition() for _ in range(options.repetitions)]
        rows = ratios_of(place, repetitions)
        tell(place, repetitions, rows)
        entry = {"model": model, "batch": batch, "workers": workers, "steps": place.steps, "rates": repetitions,
                 "ratios": rows}  # fmt: skip
        if not options.no_profile:
            named = {name: jasgd.schemes.named(name) for name in SCHEMES} | PYTHON
            entry["shares"] = {name: shares(place.train(name), scheme) for name, scheme in named.items()}
            tell_shares(entry["shares"])
        entries.append(entry)
        machine = {"processors": os.cpu_count(), "jax": jax.__version__}
        written = {"options": vars(options) | {"out": str(options.out)}, "machine": machine, "cases": entries}
        (options.out / "throughput.json").write_text(json.dumps(written, indent=2))
    plot(entries, options.out / "throughput.png")
    rows = [row for entry in entries for row in entry["ratios"] if row["goal"] is not None]
    met = sum(statistics.median(row["ratios"]) >= row["goal"] for row in rows)
    print(f"\n{met} of {len(rows)} goals met; {options.out}/throughput.json and throughput.png written")


if __name__ == "__main__":
    main()
