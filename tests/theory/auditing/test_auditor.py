"""What an audit says is true: hand-checked numbers, known problems, and real runs."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
import theory
from jasgd import cluster
from jasgd.record.execution import Execution, ExecutionError, row_dtype
from theory.auditing.measuring.curvature import Probe
from theory.auditing.recorded_run import Commits, Recorded, load
from theory.auditing.replayed_steps import begun, steps
from theory.decisions.verdict import Verdict
from theory.verify import main


def remark(audit, name):
    (match,) = [one for one in audit.remarks if one.name == name]
    return match


def generated(scheme="hogwild", workers=2, steps=200, **times):
    model = cluster.Cluster(**{"compute_s": cluster.gamma(1.0, 4)} | times)
    execution = cluster.generate(model, scheme=scheme, workers=workers, steps=steps)
    return execution.replaced(factor=np.ones(len(execution)))


def rows(**columns):
    table = np.zeros(len(columns["version"]), row_dtype(dropped=False))
    table["ticket"] = np.arange(len(table))
    for name, column in columns.items():
        table[name] = column
    table["staleness"] = table["version"] - table["version_read"]
    return Execution.from_rows(table, np.zeros(0, row_dtype(dropped=True)), {"workers": 2, "scheme": "by hand"})


def quadratic(eigenvalues, noise):
    """f(x) = Σλx²/2 with gradients whose noise has exactly variance ``noise``² in the mean over two tickets."""
    scales = jnp.asarray(eigenvalues, jnp.float32)

    def loss_fn(x, sign):
        return 0.5 * jnp.sum(scales * x**2) + sign * noise * x[0]

    return loss_fn, lambda ticket: np.float32(1 - 2 * (ticket % 2))


def trained(scheme="leashed", tx=None, *, workers=2, steps=120, learning_rate=0.05):
    loss_fn, batches = quadratic([2.0, 0.5], 0.1)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(learning_rate)) if tx is None else tx
    result = jasgd.train(loss_fn, jnp.array([1.0, -2.0]), tx, batches, scheme=scheme, workers=workers, steps=steps)
    return result, loss_fn, tx, batches


def test_commits_are_versions_and_the_gradients_that_share_one_are_one():
    rounds = generated("synchronous", workers=3, steps=10)
    commits = Commits.of(rounds)
    assert len(commits.staleness) == 10
    assert commits.row.tolist() == list(range(0, 30, 3))
    assert not commits.staleness.any()


def test_theorem_e_is_proved_below_the_admissible_learning_rate_and_refuted_above():
    execution = generated(workers=4)
    admissible = remark(theory.audit(execution, learning_rate=1.0, smoothness=2.0), "admissible learning rate")
    most = admissible.numbers["admissible"]
    for rate, verdict in ((0.999 * most, Verdict.PROVED), (1.001 * most, Verdict.REFUTED)):
        audit = theory.audit(execution, learning_rate=rate, smoothness=2.0, noise=1.0, gap=1.0)
        assert remark(audit, "Theorem E, step condition").verdict is verdict
        assert "given L = 2" in remark(audit, "Theorem E, step condition").text
        bound = remark(audit, "Theorem E, non-convex")
        assert bound.verdict is (None if verdict is Verdict.PROVED else Verdict.UNKNOWN)
        assert ("if the step condition held" in bound.text) == (verdict is Verdict.REFUTED)


def test_the_step_condition_and_the_bound_are_those_of_a_calculation_by_hand():
    # Two workers in turn: τ = 0, 1, 1, 1; windows {}, {0}, {1}, {2}; α = 1/2, L = 1; reads in order: the factor is 1.
    execution = rows(version=[0, 1, 2, 3], version_read=[0, 0, 1, 2], worker=[0, 1, 0, 1], factor=np.ones(4))
    audit = theory.audit(execution, learning_rate=0.5, smoothness=1.0, noise=2.0, gap=3.0)
    condition = remark(audit, "Theorem E, step condition")
    assert condition.numbers["largest_load"] == pytest.approx(0.5 + 0.25)  # Lα_j + L²α_kS_k, where j is in one window
    assert [one["version"] for one in condition.numbers["binding"]] == [0, 1, 2]
    assert condition.numbers["in_order"]
    bound = remark(audit, "Theorem E, non-convex")
    # N = 1/4, then 1/4 + Lα·Q = 1/4 + 1/8; Σα = 2: (2·3 + 4·(1/4 + 3·3/8)) / 2.
    assert bound.numbers["bound"] == pytest.approx((6 + 4 * (0.25 + 3 * 0.375)) / 2)
    assert bound.numbers["start"] == pytest.approx(3.0)


def test_commits_that_bind_are_named_with_worker_ticket_staleness_and_time():
    # One read of version 0 is committed last: commits 0 … 8 lie in its window.
    version = np.arange(10)
    execution = rows(version=version, version_read=[*range(9), 0], worker=[0] * 9 + [1], factor=np.ones(10),
                     time_s=version / 10)  # fmt: skip
    text = remark(theory.audit(execution, learning_rate=0.1, smoothness=1.0), "Theorem E, step condition").text
    assert "commits that bind: version 0 (worker 0, ticket 0, τ = 0, 0 s): load" in text


def test_an_altered_or_impossible_record_is_refused_with_its_row():
    execution = generated()
    bad = execution.staleness.copy()
    bad[7] += 1
    with pytest.raises(ExecutionError, match="row 7"):
        theory.audit(dataclasses.replace(execution, staleness=bad))
    other = execution.worker.copy()
    other[3] = 1 - other[3]
    with pytest.raises(ExecutionError, match="row 3"):
        theory.audit(dataclasses.replace(execution, worker=other))


def test_staleness_is_conserved_or_rows_are_missing():
    execution = generated(workers=3)
    assert remark(theory.audit(execution), "conservation of staleness").verdict is Verdict.PROVED
    lost = dataclasses.replace(execution, metadata=execution.metadata | {"in_flight": [[0, 0]]})
    conservation = remark(theory.audit(lost), "conservation of staleness")
    assert conservation.verdict is Verdict.REFUTED
    assert "worker 0 read version 0 before it was done" in conservation.text
    # Two gradients of one worker at a time, in a record that is consistent but for that.
    both = rows(version=[0, 1, 2], version_read=[0, 0, 0], worker=[0, 1, 1])
    assert (
        "worker 1 read version 0 before it was done, at version 2"
        in remark(theory.audit(both), "conservation of staleness").text
    )


def test_without_training_no_step_size_is_known():
    execution = cluster.generate(cluster.Cluster(compute_s=1.0), scheme="leashed", workers=3, steps=100)
    audit = theory.audit(execution, learning_rate=0.1, smoothness=1.0)
    assert remark(audit, "Theorem E, step condition").verdict is Verdict.UNKNOWN
    assert "nothing was trained" in remark(audit, "Theorem E, step condition").text
    assert remark(audit, "overall step size").verdict is None


@pytest.mark.newest
def test_an_execution_of_independent_delays_is_audited():
    execution = cluster.independent([0.25, 0.5, 0.25], steps=300, seed=1)
    audit = theory.audit(execution.replaced(factor=np.ones(300)), learning_rate=0.1, smoothness=1.0, noise=1.0, gap=1.0)
    assert remark(audit, "Theorem E, step condition").verdict is Verdict.PROVED
    assert remark(audit, "conservation of staleness").verdict is None
    law = "Non-convex (A)"
    assert remark(audit, law).numbers["refuted"] == []
    assert "drawn so" in remark(audit, law).text


def test_curvature_and_noise_of_a_quadratic_are_found():
    loss_fn, batches = quadratic([3.0, 1.0, -5.0], 0.5)  # the largest in absolute value is negative
    local = Probe(loss_fn, [batches(t) for t in range(16)]).estimate(jnp.array([1.0, 1.0, 1.0]))
    assert local.converged
    assert local.smoothness == pytest.approx(5.0, rel=0.02)
    assert local.noise**2 == pytest.approx(0.25 * 16 / 15, rel=1e-4)  # half of 16 batches each way, unbiased
    assert local.gradient_square == pytest.approx(9 + 1 + 25 - 0.25 / 15, rel=1e-4)


def test_curvature_where_there_is_none_and_with_aux():
    probe = Probe(lambda w, b: (w.sum() * b, {"n": 1.0}), [np.float32(1)] * 16, has_aux=True)
    local = probe.estimate(jnp.ones(3))
    assert local.smoothness == 0.0
    assert local.noise == 0.0
    with pytest.raises(ValueError, match="at least 2"):
        Probe(lambda w, b: w.sum(), [0.0])


@pytest.mark.newest
def test_a_threaded_run_with_its_loss_has_estimates_and_bounds_that_are_no_proofs():
    result, loss_fn, tx, batches = trained()
    audit = theory.audit(result, loss_fn, tx, batches, learning_rate=0.05, optimizer="sgd", infimum=-1.0)
    assert remark(audit, "estimates").numbers["first"]["smoothness"] == pytest.approx(2.0, rel=0.02)
    for name in ("Theorem E, step condition", "Theorem E, non-convex", "estimates", "Non-convex (A)"):
        assert remark(audit, name).verdict is Verdict.UNKNOWN
    assert remark(audit, "plain SGD").verdict is Verdict.PROVED
    along = remark(audit, "Theorem E, non-convex").numbers
    assert along["measured"] <= along["bound"]
    audited = theory.audit(result, loss_fn, tx, batches, learning_rate=0.05, smoothness=2.0, noise=0.2, gap=4.0)
    assert remark(audited, "Theorem E, non-convex").verdict is None  # all three are known here, and Δ < 4
    assert "if delays and step sizes do not look at the noise" in remark(audited, "Theorem E, non-convex").text
    assert remark(audited, "Theorem E, non-convex").numbers["measured"] == along["measured"]


@pytest.mark.parametrize("scheme", ["sequential", "synchronous", "locked", "leashed", "hogwild"])
def test_every_scheme_is_audited(scheme):
    result, loss_fn, tx, batches = trained(scheme, workers=1 if scheme == "sequential" else 3)
    audit = theory.audit(result, loss_fn, tx, batches, learning_rate=0.05)
    assert remark(audit, "conservation of staleness").verdict is Verdict.PROVED
    assert (remark(audit, "consistent reads").verdict is Verdict.UNKNOWN) == (scheme == "hogwild")
    assert json.dumps(audit.record(), allow_nan=False)
    assert f"\n{scheme}" in audit.text()
    assert audit.text().startswith("The step conditions of Theorems E and H hold for this run")


def test_parameters_along_a_run_are_those_of_its_versions():
    result, loss_fn, tx, batches = trained("locked")
    taken = list(steps(begun(Recorded(result.execution, result, loss_fn, batches, tx))))
    np.testing.assert_array_equal(taken[0].before, result.initial_params)
    np.testing.assert_array_equal(taken[-1].after, result.params)
    np.testing.assert_array_equal(taken[60].before, jasgd.replay(result, loss_fn, tx, batches, upto=60).params)
    for step, version in zip(taken, result.execution.version_read.tolist(), strict=True):
        np.testing.assert_array_equal(step.reads[0], taken[version].before)


def test_momentum_and_adam_are_not_what_the_theorems_are_about():
    audit = theory.audit(generated(), learning_rate=0.1, smoothness=1.0, optimizer="adam")
    assert remark(audit, "plain SGD").verdict is Verdict.REFUTED
    assert audit.verdict is Verdict.REFUTED
    assert remark(theory.audit(generated()), "plain SGD").verdict is None


def test_bad_input_is_refused():
    execution = generated()
    with pytest.raises(TypeError, match="run must be a TrainResult or an Execution, got str"):
        theory.audit("runs/mine")
    with pytest.raises(ValueError, match="smoothness must be > 0, got -1"):
        theory.audit(execution, smoothness=-1)
    with pytest.raises(ValueError, match="versions must be an integer ≥ 100, got 10"):
        theory.audit(execution, versions=10)
    with pytest.raises(ValueError, match="loss_fn and batches must be given together"):
        theory.audit(execution, lambda w, b: 0.0)
    with pytest.raises(ValueError, match="needs a TrainResult"):
        theory.audit(execution, lambda w, b: 0.0, None, lambda ticket: 0)


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_step_sizes_that_the_theorem_is_not_about(factor):
    execution = generated()
    audit = theory.audit(execution.replaced(factor=np.full(200, factor)), learning_rate=0.1, smoothness=1.0)
    assert "these are not" in remark(audit, "Theorem E, step condition").text


def test_an_execution_without_gradients():
    audit = theory.audit(rows(version=[], version_read=[]), learning_rate=0.1, smoothness=1.0, noise=1.0, gap=1.0)
    assert remark(audit, "law").text == "no gradient was applied"
    assert remark(audit, "Theorem E, step condition").verdict is Verdict.UNKNOWN


def test_few_rows_are_not_tested():
    audit = theory.audit(generated(steps=20))
    assert "too few" in remark(audit, "statistics").text


def test_the_command_audits_a_file_and_says_what_is_refuted(tmp_path, capsys):
    generated(workers=4).save(tmp_path / "execution.npz")
    assert main(["--execution", str(tmp_path / "execution.npz"), "--learning-rate", "0.01", "--L", "1"]) == 0
    assert "Theorem E, step condition [PROVED]" in capsys.readouterr().out
    assert main(["--execution", str(tmp_path), "--learning-rate", "1", "--L", "1", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "REFUTED"


def test_the_command_refuses_what_is_no_run(tmp_path, capsys):
    assert main([]) == 3
    assert main(["jasgd.rules:tail", "--execution", str(tmp_path)]) == 3
    assert main(["--execution", str(tmp_path)]) == 3
    assert "must be the folder of a run" in capsys.readouterr().err
    (tmp_path / "execution.npz").write_bytes(b"nothing")
    assert main(["--execution", str(tmp_path)]) == 3
    generated().save(tmp_path / "execution.npz")
    assert main(["--execution", str(tmp_path), "--L", "-1"]) == 3
    assert "--L must be > 0, got -1" in capsys.readouterr().err


def test_the_command_audits_a_run_of_the_command_line(tmp_path):
    shell = [sys.executable, "-m"]
    options = [
        "--steps",
        "80",
        "--workers",
        "2",
        "--learning-rate",
        "0.02",
        "--no-plots",
        "--out",
        str(tmp_path / "run"),
    ]
    subprocess.run(
        [*shell, "jasgd", "train", *options, "--out", str(tmp_path / "run")], check=True, capture_output=True
    )
    completed = subprocess.run(
        [*shell, "theory.verify", "--execution", str(tmp_path / "run"), "--json"], capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stderr
    remarks = {one["name"]: one for one in json.loads(completed.stdout)["remarks"]}
    assert remarks["plain SGD"]["verdict"] == "PROVED"
    assert remarks["admissible learning rate"]["numbers"]["learning_rate"] == 0.02
    assert "all 80 versions, 4 mini-batches each" in remarks["Theorem E, non-convex"]["told"]
    assert remarks["replay"]["verdict"] == "PROVED"
    recorded = load(tmp_path / "run")
    assert jax.tree.leaves(recorded.result.params)[0].ndim >= 1
    (tmp_path / "run" / "recipe.json").unlink()
    assert "does not say what was trained" in load(tmp_path / "run").missing


def test_an_audit_says_whose_data_a_rule_makes_count_less():
    execution = generated(workers=4, steps=400, speeds=[1, 1, 1, 0.1])
    assert not [one for one in theory.audit(execution).remarks if one.name == "shares of the workers"]  # all factors 1
    factors = np.where(execution.worker == 3, 0.25, 1.0)  # as a rule gives them that takes the stale for harmful
    found = remark(theory.audit(execution.replaced(factor=factors)), "shares of the workers")
    own = np.mean(execution.worker == 3)
    ratio = 0.25 / (1 - 0.75 * own)
    assert found.numbers["least_ratio"] == pytest.approx(ratio)
    assert found.text.startswith(f"worker 3 has {100 * own:.1f} % of the gradients and {100 * own * ratio:.1f} %")
