"""Every example runs as a user would run it, and shows what it says that it shows."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd

EXAMPLES = Path(__file__).parent.parent / "examples"


def shows_quickstart(out):
    assert "finished: all 1500 steps were taken" in out
    shares = [float(share) for share in re.findall(r"τ [=≥] \d+ +([\d.]+)%", out)]
    assert len(shares) == 11
    assert sum(shares) == pytest.approx(100, abs=1)
    assert re.search(r"nearest model of that distribution is [\w -]+ \(", out)
    fresh, stale, mean = (float(x) for x in re.findall(r"with\s+(\d\.\d+)", out))
    assert fresh > 1.2
    assert stale < 0.6
    assert mean == pytest.approx(1, abs=0.15)


def shows_own_loss_and_data(out):
    assert "converged: the target loss of 0.04 was reached" in out
    first, last = map(float, re.search(r"([\d.]+) → ([\d.]+)", out).groups())
    assert last <= 0.2 < 1 < first
    early, late = map(float, re.search(r"([\d.]+) in the first 50, ([\d.]+) in the last 50", out).groups())
    assert late < early / 2


def shows_own_rule(out):
    rows = {line[:34].strip(): [float(x) for x in line[34:].split()] for line in out.splitlines()[1:6]}
    assert len(rows) == 5
    for name in ("harmonic", "stalest_third_halved"):
        mean, _, _, realised, _ = rows[name]
        assert mean < 0.95
        assert realised < 0.95
        mean, _, _, realised, _ = rows[f"normalized({name})"]
        assert mean == pytest.approx(1, abs=1e-3)
        assert realised == pytest.approx(1, abs=0.15)
    assert rows["constant"][:2] == [1, 1]


def shows_adam_after_leashed(out):
    rows = re.findall(r"τ = (\d+) +C = ([\d.]+) +before Adam ([\d.]+) +behind it ([\d.]+)", out)
    assert [int(row[0]) for row in rows] == [0, 1, 3, 9]
    for _, wanted, before, behind in rows:
        assert float(before) == pytest.approx(1, abs=0.01)
        assert float(behind) == pytest.approx(float(wanted), abs=0.01)
    counted, applied = map(int, re.search(r"Adam counted (\d+) gradients; (\d+) were applied", out).groups())
    assert counted == applied == 1000
    assert float(re.search(r"accuracy ([\d.]+)", out)[1]) > 0.9


def shows_own_scheme(out):
    bound = int(re.search(r"= (\d+)\.", out)[1])
    assert bound == 15
    ours, leashed = (int(x) for x in re.findall(r"largest staleness +(\d+)", out))
    assert ours <= bound < leashed
    counts = [json.loads(x) for x in re.findall(r"by worker (\[.*?\])", out)]
    assert max(counts[0]) - min(counts[0]) <= 2 + 1
    assert max(counts[1]) - min(counts[1]) > 100
    assert all(sum(c) == 1500 for c in counts)


SHOWS = {
    "quickstart": shows_quickstart,
    "own_loss_and_data": shows_own_loss_and_data,
    "own_rule": shows_own_rule,
    "adam_after_leashed": shows_adam_after_leashed,
    "own_scheme": shows_own_scheme,
}


def test_the_table_has_every_example():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWS)


@pytest.mark.parametrize("name", SHOWS)
def test_an_example_runs_and_shows_what_it_says(name, tmp_path):
    told = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    SHOWS[name](told.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stale_synchronous(monkeypatch):
    monkeypatch.setattr(jasgd, "configure_cpu", lambda: None)  # the tests are configured already
    spec = importlib.util.spec_from_file_location("own_scheme", EXAMPLES / "own_scheme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.stale_synchronous


def train(scheme, batches, **options):
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1))
    return jasgd.train(
        lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(20_000), tx, batches, scheme=scheme, **options
    )  # fmt: skip


@pytest.mark.parametrize("slack", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_stale_synchronous_keeps_its_bound(stale_synchronous, workers, slack):
    result = train(stale_synchronous(slack=slack), lambda t: np.float32(1), workers=workers, steps=400)
    execution = result.execution
    assert execution.version.tolist() == list(range(400))
    assert execution.staleness.max() <= (workers - 1) * (2 * slack + 1)
    made = np.cumsum(execution.worker[:, None] == np.arange(workers), axis=0)
    assert (made.max(axis=1) - made.min(axis=1)).max() <= slack + 1


def test_stale_synchronous_wakes_who_waits_for_a_worker_that_raises(stale_synchronous):
    def batches(ticket):
        if threading.current_thread().name == "jasgd-worker-1" and ticket > 50:
            raise OSError("the disk is gone")
        return np.float32(1)

    result = train(stale_synchronous(slack=1), batches, workers=4, steps=100_000, throw=False)
    assert result.outcome == "failed"
    assert "worker 1 raised OSError: the disk is gone" in result.message
    assert not result.stuck


def test_stale_synchronous_ends_where_batches_run_out(stale_synchronous):
    result = train(stale_synchronous(slack=1), iter([np.float32(1)] * 40), workers=3, steps=1000, throw=False)
    assert result.outcome == "failed"
    assert "batches" in result.message
    assert not result.stuck
    assert len(result.execution) <= 40
