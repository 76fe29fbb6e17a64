"""Every example runs as a user would run it, and shows what it says that it shows."""

import importlib.util
import json
import os
import re
import threading
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.python_process import run_python

import jasgd
from jasgd.testing import Interleaving, watched

EXAMPLES = Path(__file__).parent.parent / "examples"


def shows_quickstart(out):
    assert out.count("finished: all 1500 steps were taken") == 2
    assert 0 < float(re.search(r"with the constant step the loss ended at ([\d.]+);", out)[1]) < 0.5
    shares = [float(share) for share in re.findall(r"τ (?:=|from) [\w ]+? +([\d.]+)%", out)]
    assert len(shares) == 7
    assert sum(shares) == pytest.approx(100, abs=1)
    assert shares[0] < 25  # on any machine most of the simulated gradients are stale
    distance = float(re.search(r"nearest model of that distribution is [\w -]+ \(.*distance of ([\d.]+)\.\n", out)[1])
    assert 0 <= distance < 0.1
    low, fresh, high, stale, mean = map(
        float,
        re.search(
            r"τ ≤ (\d+) were .* with ([\d.]+) times.* τ ≥ (\d+) with ([\d.]+);.*E\[C\] = (\d+\.\d+)", out
        ).groups(),
    )
    assert low < 10 < 40 < high
    # What TAIL-τ is over the freshest and the stalest tenth of a law.
    assert fresh == pytest.approx(1.9, abs=0.2)
    assert stale == pytest.approx(0.1, abs=0.2)
    assert mean == pytest.approx(1, abs=0.15)


def shows_own_loss_and_data(out):
    assert "converged: the target loss of 0.04 was reached" in out
    first, last = map(float, re.search(r"([\d.]+) → ([\d.]+)", out).groups())
    assert last <= 0.2 < 1 < first
    early, late = map(float, re.search(r"([\d.]+) in the first 50, ([\d.]+) in the last 50", out).groups())
    assert late < early / 2


def shows_own_rule(out):
    rows = {line[:22].strip(): [float(x) for x in line[22:].split()] for line in out.splitlines()[1:6]}
    assert list(rows) == ["constant", "harmonic", "normalized(harmonic)", "relative", "normalized(relative)"]
    assert [rows["constant"][i] for i in (0, 1, 3)] == [1, 1, 1]
    assert min(row[2] for row in rows.values()) > 0.3  # a rule needs staleness to damp
    for mean, mean_square, _, _, _ in rows.values():
        assert mean_square >= mean**2 - 2e-3  # printed with three decimals
    for name in ("harmonic", "relative"):
        assert rows[name][0] < 0.97
        assert rows[f"normalized({name})"][0] == pytest.approx(1, abs=1e-3)
        assert rows[f"normalized({name})"][3] == pytest.approx(1, abs=0.1)
    # A rule of τ alone is worth, realised, what it is under the law of the run.
    assert rows["harmonic"][3] == pytest.approx(rows["harmonic"][0], abs=2e-3)
    # How far training got follows from the realised E[C].
    got = [(realised, loss) for *_, realised, loss in rows.values()]
    assert [(a, b) for a in got for b in got if a[0] < b[0] - 0.1 and a[1] <= b[1]] == []
    assert any(a[0] < b[0] - 0.1 for a in got for b in got)


def shows_adam_after_leashed(out):
    rows = re.findall(r"τ = (\d+) C = ([\d.]+)" + r" +before Adam ([\d.]+), after ([\d.]+)" * 2, out)
    assert [int(row[0]) for row in rows] == [0, 1, 3, 9]
    for _, expected, before_once, after_once, before_always, after_always in rows:
        assert 0.9 <= float(before_once) <= 1
        assert float(before_always) == 1
        assert float(after_once) == float(after_always) == float(expected)
    tries = json.loads(re.search(r"third try: (\[.*?\])", out)[1])
    assert len(tries) == 3
    assert sum(tries) == 1000
    lost = int(re.search(r"after three lost tries: (\d+)", out)[1])
    assert lost == int(re.search(r"; dropped (\d+)", out)[1])
    counted, applied = map(int, re.search(r"Adam counted (\d+) gradients; (\d+) were applied", out).groups())
    assert counted == applied == 1000
    assert float(re.search(r"accuracy ([\d.]+)", out)[1]) > 0.9


def shows_own_scheme(out):
    bound = int(re.search(r"= (\d+)\.", out)[1])
    assert bound == (4 - 1) * (2 * 1 + 1)
    ours, leashed = (int(x) for x in re.findall(r"largest staleness +(\d+)", out))
    assert ours <= bound < leashed
    counts = [json.loads(x) for x in re.findall(r"by worker (\[.*?\])", out)]
    assert [sum(c) for c in counts] == [600, 600]
    assert max(counts[0]) - min(counts[0]) <= 1 + 1
    assert counts[1][0] < 600 / 4 / 2  # the worker that stalls, where no worker waits for it
    assert int(re.search(r"waits (\d+)", out)[1]) > 0


def shows_simulated_cluster(out):
    rows = {tuple(line[:30].split()): [float(x) for x in line[30:].split()] for line in out.splitlines()[1:9]}
    assert len(rows) == 8
    per_s, mean, _, _, tries, dropped = zip(*rows.values(), strict=True)
    speed = dict(zip(rows, per_s, strict=True))
    assert speed["hogwild", "64"] > 5000
    assert speed["locked", "64"] <= 2000  # the lock is held for half a millisecond
    assert speed["leashed(persistence=2)", "64"] <= 2000
    numbers = dict(zip(rows, zip(mean, tries, dropped, strict=True), strict=True))
    assert numbers["leashed(persistence=2)", "64"][2] > 5000
    assert numbers["leashed(persistence=2)", "64"][1] > numbers["leashed(persistence=2)", "8"][1] > 1
    assert numbers["hogwild", "64"][0] > numbers["hogwild", "8"][0]
    losses = {line.split()[0]: [float(x) for x in line.split()[1:]] for line in out.splitlines()[11:13]}
    assert losses["constant"][3] == 1
    assert 0.85 < losses["tail"][3] < 1
    assert sum(losses["tail"][:3]) < sum(losses["constant"][:3])


def shows_ray_cluster(out):
    assert "finished: all 600 steps were taken" in out
    assert "leashed, 2 workers" in out
    assert "version 600: the same bits (600 gradients, final parameters and optimizer state)" in out
    first, last = map(float, re.search(r"loss ([\d.]+) → ([\d.]+)", out).groups())
    assert last < first / 2


def shows_early_stopping(out):
    first, best, second, losses, staleness = filter(None, out.splitlines())
    accuracy = float(re.fullmatch(r"stopped: accuracy ([\d.]+) is good enough, at version \d+", first)[1])
    assert accuracy >= 0.9
    assert float(re.search(r"read ([\d.]+)% of", best)[1]) >= 100 * accuracy - 0.06
    told = r"stopped: the loss has not fallen below ([\d.]+) since version \d+ \([\d.]+ s\): 5 evaluations in a row "
    reason = re.fullmatch(told + r"were no better, the last was ([\d.]+)", second)
    lowest, last = map(float, reason.groups())
    assert last >= lowest
    count, at_first, at_best = map(float, re.findall(r"[\d.]+\d|\d", losses))
    assert count >= 6 + 1  # the one at the end included
    assert at_first > at_best
    assert at_best <= lowest + 1e-3  # the last evaluation, of the run's end, may be better
    assert int(re.search(r"at most (\d+) updates", staleness)[1]) >= 0


def shows_batchnorm_dropout_nnx(out):
    without, reseeded = map(int, re.search(r"Masks in 8 gradients: (\d+) without a key, (\d+) with one", out).groups())
    assert (without, reseeded) == (1, 8)
    initial, trained = map(float, re.findall(r"Test accuracy with the \w+ statistics: ([\d.]+)", out))
    assert initial < trained
    assert trained > 0.6
    assert "the same bits (300 gradients, final parameters and model state and optimizer state)" in out


def shows_batchnorm_dropout_equinox(out):
    assert "counted 300, 300 gradients" in out
    assert float(re.search(r"accuracy ([\d.]+)", out)[1]) > 0.6
    assert "the same bits (300 gradients, final parameters and model state and optimizer state)" in out


def shows_resumed(out):
    killed, terminated = out.split("A run that SIGTERM ends")
    assert "it said: there is nothing in the folder to go on with: the run begins anew" in killed
    assert "killed, with the exit code -9" in killed
    assert "replayed from its beginning: the same bits" in killed
    assert "stopped: stopped by SIGTERM; " in terminated
    assert re.findall(r"taken twice: (\d+)", out) == ["0"] * 3
    ends = re.findall(r"finished: all 1500 steps were taken; 1500 updates, .* versions \[0, (\d+)\]", out)
    assert len(ends) == 2
    assert all(0 < int(end) < 1500 for end in ends)
    assert f"SIGTERM; {ends[1]} updates" in terminated  # none of them was lost


SHOWS = {
    "quickstart": shows_quickstart,
    "own_loss_and_data": shows_own_loss_and_data,
    "own_rule": shows_own_rule,
    "adam_after_leashed": shows_adam_after_leashed,
    "own_scheme": shows_own_scheme,
    "simulated_cluster": shows_simulated_cluster,
    "early_stopping": shows_early_stopping,
    "batchnorm_dropout_nnx": shows_batchnorm_dropout_nnx,
    "batchnorm_dropout_equinox": shows_batchnorm_dropout_equinox,
    "resumed": shows_resumed,
    "ray_cluster": shows_ray_cluster,
}


def test_the_table_has_every_example():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWS)


@pytest.mark.parametrize("name", SHOWS)
def test_an_example_runs_and_shows_what_it_says(name, tmp_path):
    if name == "ray_cluster":
        pytest.importorskip("ray")
    configuration = [name for name in os.environ if name.startswith(("JAX_", "XLA_"))]
    process = run_python("-W", "error", EXAMPLES / f"{name}.py", cwd=tmp_path, without=configuration,
                      env={"PYTHONIOENCODING": "utf-8", "JAX_ENABLE_COMPILATION_CACHE": "false"})  # fmt: skip
    assert process.stderr == ""
    SHOWS[name](process.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def own_scheme(monkeypatch):
    monkeypatch.setattr(jasgd, "configure_cpu", lambda: None)  # the tests are configured already
    spec = importlib.util.spec_from_file_location("own_scheme", EXAMPLES / "own_scheme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(scheme, batches=lambda ticket: np.float32(1), **options):
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1))
    options = {"throw": False, "time_limit_s": 20} | options  # a wait without an end would fail, not hang
    return jasgd.train(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(20_000), tx, batches, scheme=scheme, **options)


class AllButWorker0Wait:
    """Holds worker 0 after its first read until every other worker waits for it, and then does what it is asked."""

    def __init__(self, workers, then=lambda: None):
        self.others, self.then, self.waiting = workers - 1, then, threading.Semaphore(0)

    def __call__(self, point, worker):
        if point == "wait":
            self.waiting.release()
        elif worker == 0 and self.others:
            for _ in range(self.others):
                assert self.waiting.acquire(timeout=30)
            self.others = 0
            self.then()


@pytest.mark.parametrize("slack", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_stale_synchronous_keeps_its_bound_and_takes_exactly_the_steps(own_scheme, workers, slack):
    result = train(own_scheme.stale_synchronous(slack=slack), workers=workers, steps=400)
    execution = result.execution
    assert result.outcome == "finished"
    assert execution.version.tolist() == list(range(400))
    assert execution.staleness.max() <= (workers - 1) * (2 * slack + 1)
    committed = np.cumsum(execution.worker[:, None] == np.arange(workers), axis=0)
    assert (committed.max(axis=1) - committed.min(axis=1)).max() <= slack + 1
    balance = execution.conservation()
    assert balance["applied"] + balance["in_flight"] + balance["gaps"] == balance["total"] == (workers - 1) * 400


def test_no_smaller_bound_holds_for_stale_synchronous(own_scheme):
    # Worker 0 is one gradient ahead when it reads; worker 1 makes three meanwhile, and has to wait for it then.
    script = [(0, "read"), (0, "commit"), (0, "read"), *[(1, "read"), (1, "commit")] * 3, (1, "wait"), (0, "commit")]
    order = Interleaving(script)
    result = train(watched(own_scheme.stale_synchronous(slack=1), order), workers=2, steps=20)
    assert result.outcome == "finished", result.message
    assert order.complete
    assert result.execution.worker[:5].tolist() == [0, 1, 1, 1, 0]
    assert result.execution.staleness[4] == result.execution.staleness.max() == (2 - 1) * (2 * 1 + 1)


def test_the_steps_are_taken_also_where_the_others_wait_for_the_last_one(own_scheme):
    stall = AllButWorker0Wait(workers=4)
    scheme = watched(own_scheme.stale_synchronous(slack=1), stall)
    result = train(scheme, workers=4, steps=3 * (1 + 1) + 1)
    assert result.outcome == "finished"
    assert np.bincount(result.execution.worker).tolist() == [1, 2, 2, 2]
    assert not result.stuck


@pytest.mark.parametrize("error", [OSError, jasgd.BatchesExhausted])
def test_a_worker_that_raises_wakes_those_who_wait_for_it(own_scheme, error):
    def raise_():
        raise error("the disk is gone")

    stall = AllButWorker0Wait(workers=4, then=raise_)
    result = train(watched(own_scheme.stale_synchronous(slack=1), stall), workers=4, steps=1000)
    assert result.outcome == "failed"
    assert "the disk is gone" in result.message
    assert isinstance(result.error, error)
    assert np.bincount(result.execution.worker, minlength=4).tolist() == [0, 2, 2, 2]
    assert result.execution.metadata["in_flight"] == [[0, 0]]  # who is woken by the end does not read
    assert result.counters == {"waits": 3}
    assert not result.stuck


def test_ctrl_c_wakes_those_who_wait_for_a_stalled_worker(own_scheme):
    all_wait, closed = threading.Event(), threading.Event()

    class Closing(own_scheme.StaleSynchronous):
        def close(self, reason):
            super().close(reason)
            closed.set()

    def stall_until_closed():
        all_wait.set()
        assert closed.wait(30)

    def press(progress):
        if all_wait.is_set() and not closed.is_set():
            raise KeyboardInterrupt

    stall = AllButWorker0Wait(workers=4, then=stall_until_closed)
    result = train(watched(Closing, stall), workers=4, steps=1000, on_progress=press)
    assert result.outcome == "stopped"
    assert np.bincount(result.execution.worker, minlength=4).tolist() == [0, 2, 2, 2]
    assert not result.stuck


def test_stale_synchronous_ends_where_batches_run_out(own_scheme):
    result = train(own_scheme.stale_synchronous(slack=1), iter([np.float32(1)] * 40), workers=3, steps=1000)
    assert result.outcome == "failed"
    assert "batches ran out" in result.message
    assert not result.stuck
    assert len(result.execution) <= 40


def test_stale_synchronous_refuses_a_slack_that_is_none(own_scheme):
    with pytest.raises(ValueError, match="slack must be an integer ≥ 0 in gradients, got -1"):
        train(own_scheme.stale_synchronous(slack=-1), workers=2, steps=10)
