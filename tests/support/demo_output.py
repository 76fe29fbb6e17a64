"""What ``jasgd demo`` printed, held against the numbers that it saved: each is computed again, by other means.

As a script it takes a file with what a demo printed, and the demo's folder; it prints what disagrees.
"""

import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
from scipy import stats

import jasgd

RULE = re.compile(
    r"(?P<rule>\w+) (?P<verdict>is ahead|is behind|shows no clear difference): its final training loss is "
    r"(?P<first>.*?) that of the constant step(?:, and (?P<second>.*?) that of a constant step of the same mean)? "
    r"\(p = (?P<p>[\d.e-]+)(?: after correction for (?P<rules>\d+) rules)?\)\."
)
PAIRS = re.compile(r"(lower|higher) in (\d+) of (\d+) seeds?, typically by (?:(\d+(?:\.\d+)?)%|(\d+) times|.*), than$")


def disagreements(printed, folder):
    """Sentences about numbers that are not those of the table and of the saved runs; none where all agree."""
    record = json.loads((Path(folder) / "simulated" / "spectrum.json").read_text())
    text = " ".join(printed.split())
    return [*_table(printed, record), *_rules(text, record), *_staleness(text, record, Path(folder) / "threads")]


def _table(printed, record):
    """The rows of the printed table, cell by cell."""
    for row in record["table"]:
        (line,) = [line for line in printed.partition("A gradient")[0].splitlines() if row["arm"] in line.split()[:2]]
        loss, accuracy, rate, whole, after, tau = map(float, line.split()[-6:])
        cells = {
            "final_loss": (loss, 1, 0.051), "test_accuracy": (accuracy / 100, 1, 0.0006),
            "mean_factor": (whole, 0, 0.0051), "mean_factor_after_start": (after, 0, 0.0051),
            "staleness_mean": (tau, 0, 0.051),
        }  # fmt: skip
        for name, (shown, relative, slack) in cells.items():
            value = row[name]["median"]
            if abs(shown - value) > slack * (value if relative else 1):
                yield f"the table has {shown} for {name} of {row['arm']}, saved is {value}"
        if rate != row["learning_rate"]:
            yield f"the table has the learning rate {rate} for {row['arm']}, saved is {row['learning_rate']}"


def _rules(text, record):
    losses = {row["arm"]: {} for row in record["table"]}
    for run in record["runs"]:
        losses[run["arm"]][run["seed"]] = run["final_loss"]
    said = {match["rule"]: match for match in RULE.finditer(text)}
    rules = [arm for arm in losses if "constant" not in arm]
    if sorted(said) != sorted(rules):
        yield f"sentences are about {sorted(said)}, the table has {sorted(rules)}"
        return
    medians = {row["arm"]: row["final_loss"]["median"] for row in record["table"]}
    needed = {}
    for rule, match in said.items():
        p_values = {}
        for clause, other in ((match["first"], "constant"), (match["second"], f"constant@{rule}")):
            if clause is None:
                continue
            logs = np.log([losses[rule][seed] / losses[other][seed] for seed in losses[rule]])
            p_values[other] = _p(logs)
            means = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(logs, 2)]
            size = np.expm1(np.median(means))
            pairs = PAIRS.match(clause)
            if pairs is None:
                if clause != f"equal in {len(logs)} seeds to" or logs.any():
                    yield f"{rule}, {clause}: cannot be read"
                continue
            won = int((logs < 0).sum() if pairs[1] == "lower" else (logs > 0).sum())
            if (won, len(logs)) != (int(pairs[2]), int(pairs[3])) or (size < 0) != (pairs[1] == "lower"):
                yield f"{rule} against {other}: said {pairs[0]!r}, computed {won} of {len(logs)}, {size:+.1%}"
            if pairs[4] and abs(float(pairs[4]) - 100 * abs(size)) > 0.51:
                yield f"{rule} against {other}: said {pairs[4]}%, computed {size:+.1%}"
            if match["verdict"] != "shows no clear difference" and (medians[rule] < medians[other]) != (size < 0):
                yield f"{rule} against {other}: medians {medians[rule]} and {medians[other]} are the other way round"
        needed[rule] = p_values["constant"]
        if match["verdict"] == "is ahead":
            needed[rule] = max(p_values.values())
    for rule, match in said.items():
        p = needed[rule]
        if match["rules"]:  # Holm's method, of which two rules are the only case here
            p = 2 * p if p <= min(needed.values()) else max(p, 2 * min(needed.values()))
        if not np.isclose(float(match["p"]), p, rtol=0.06):
            yield f"{rule}: said p = {match['p']}, computed {p:.3g}"
        claimed = match["verdict"] != "shows no clear difference"
        if claimed and p > 0.05:
            yield f"{rule} {match['verdict']} with p = {p:.3g}"


def _p(logs):
    """Of the signed-rank test, by all ways to sign the ranks."""
    logs = logs[logs != 0]
    ranks = stats.rankdata(np.abs(logs))
    sums = np.zeros(1)
    for rank in ranks:
        sums = np.concatenate([sums, sums + rank])
    off = abs(ranks[logs > 0].sum() - ranks.sum() / 2)
    return float((np.abs(sums - ranks.sum() / 2) >= off - 1e-9).mean())


def _staleness(text, record, threads):
    simulated = re.search(r"(\d+) simulated workers of unequal speed made (\d+) other updates on average", text)
    (tau,) = [row["staleness_mean"]["median"] for row in record["table"] if row["arm"] == "constant"]
    if abs(int(simulated[2]) - tau) > 0.51 or int(simulated[1]) != record["table"][0]["workers"]:
        yield f"said {simulated[0]!r}, the table has τ = {tau}"
    stale = re.search(
        r"(\d+) threads made gradients that were ([\d.]+) updates stale on average, at most (\d+), and (\d+)% of", text
    )
    execution = jasgd.TrainResult.load(threads).execution
    values = execution.staleness
    numbers = (execution.workers, values.mean(), values.max(), 100 * (values == 0).mean())
    if not np.allclose([float(x) for x in stale.groups()], numbers, rtol=0, atol=(0, 0.051, 0, 0.51)):
        yield f"said {stale[0]!r}, recorded are {numbers}"


if __name__ == "__main__":
    found = disagreements(Path(sys.argv[1]).read_text(), sys.argv[2])
    print("\n".join(found) or "all numbers agree")
    sys.exit(bool(found))
