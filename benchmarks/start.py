"""What users wait for: processor time of a start, cold and with caches, and of a second run, beside its updates.

``python benchmarks/start.py`` prints a table; ``--compare`` adds ``jasgd compare``, which takes minutes. Processor time
(user and system, of all threads) can be measured beside other work, wall time on an idle machine alone.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST = """
import json, resource, sys
from jasgd.cli import main
import jasgd.core.ledger as ledger

def processor_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

first, record = [], ledger.Ledger.record_row
def recorded(self, row):
    first or first.append(processor_s())
    return record(self, row)
ledger.Ledger.record_row = recorded
code = main.main(sys.argv[1:])
print(json.dumps({"code": code, "first_s": first[0], "end_s": processor_s()}), file=sys.stderr)
"""
AGAIN = """
import json, time
import jasgd, jax, optax
from jasgd import problems
jasgd.configure_cpu()
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, s, **about: compiled.append(1) if event == "/jax/core/compile/backend_compile_duration" else None)
problem = problems.load("digits", "mlp")
tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05))
rows = []
for _ in range(5):
    compiled.clear()
    wall, cpu = time.perf_counter(), time.process_time()
    result = jasgd.train(problem.loss_fn, problem.params, tx, problem.batches, workers=2, steps=500)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    beyond = wall - float(result.execution.time_s[-1])
    rows.append({"compilations": len(compiled), "beyond_s": beyond, "cpu_s": cpu})
print(json.dumps(rows))
"""


def ran(program: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own; one that fails ends this one."""
    process = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=os.environ | env, capture_output=True, text=True, check=False
    )
    if process.returncode:
        sys.exit(process.stderr)
    return process


def starts(cache: str, folder: Path) -> None:
    """``jasgd train`` by default, three times with one cache: the first is cold."""
    print("jasgd train: processor time in s, to the first update and to the end")
    for number, name in enumerate(("cold", "warm", "warm")):
        process = ran(FIRST, "train", "--out", str(folder / f"train-{number}"), env={"XDG_CACHE_HOME": cache})
        measured = json.loads(process.stderr.splitlines()[-1])
        print(f"  {name:<5} {measured['first_s']:6.2f} {measured['end_s']:6.2f}")
    print("  goal: to the first update ≤ 5 cold, ≤ 2.5 warm")


def second_runs(cache: str) -> None:
    """Five runs of the same functions in one process."""
    print("second train: compilations, wall time beyond the updates in s, processor time in s")
    for number, row in enumerate(json.loads(ran(AGAIN, env={"XDG_CACHE_HOME": cache}).stdout)):
        print(f"  run {number + 1}  {row['compilations']:4} {row['beyond_s']:8.3f} {row['cpu_s']:8.2f}")
    print("  goal: 0 compilations, ≤ 0.1 s beyond the updates")


def comparisons(cache: str, folder: Path) -> None:
    """``jasgd compare`` by default, twice with one cache."""
    print("jasgd compare: wall and processor time in s")
    program = "import sys; from jasgd.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for name in ("cold", "warm"):
        wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        ran(program, "compare", "--out", str(folder / f"compare-{name}"), env={"XDG_CACHE_HOME": cache})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"  {name:<5} {time.perf_counter() - wall:7.1f} {cpu:7.1f}")


def main() -> None:
    """Measures all, with a cache folder of its own in which native.cc is compiled beforehand."""
    with tempfile.TemporaryDirectory() as place:
        cache, folder = str(Path(place) / "cache"), Path(place)
        ran("from jasgd.schemes.native.build import library; library()", env={"XDG_CACHE_HOME": cache})
        starts(cache, folder)
        second_runs(cache)
        if "--compare" in sys.argv[1:]:
            comparisons(cache, folder)


if __name__ == "__main__":
    main()
