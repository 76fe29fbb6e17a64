"""The rows of a run in pandas: every column, in its order and dtype, with aux and timings; and the dropped ones."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.python_process import run_python
from support.results import result_of

import jasgd
from jasgd.record.execution import COLUMNS

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def recorded():
    def loss_fn(w, batch):
        loss = jnp.sum((w - batch) ** 2)
        return loss, {"loss": 2 * loss, "half": loss.astype(jnp.bfloat16)}

    return jasgd.train(
        loss_fn, jnp.zeros(2), optax.sgd(0.1), lambda ticket: np.ones(2, np.float32), scheme="synchronous", workers=2,
        steps=20, has_aux=True,
    )  # fmt: skip


def test_each_applied_gradient_is_a_row_with_all_that_was_kept_of_it(recorded):
    frame = recorded.to_pandas()
    assert list(frame)[: len(COLUMNS)] == list(COLUMNS)
    assert {*frame} == {*COLUMNS, "aux.loss", "aux.half", "batch_s", "read_s", "compute_s", "commit_s"}
    assert frame.index.tolist() == list(range(40))
    for name in COLUMNS:
        np.testing.assert_array_equal(frame[name], getattr(recorded.execution, name))
        assert frame[name].dtype == COLUMNS[name]
    np.testing.assert_array_equal(frame["aux.loss"], 2 * frame["loss"])
    np.testing.assert_array_equal(frame["aux.half"], recorded.aux["half"].astype(np.float32))
    for name in ("batch_s", "read_s", "compute_s", "commit_s"):
        np.testing.assert_array_equal(frame[name], recorded.timings[name])


def test_what_one_asks_pandas_is_answered(recorded):
    by_worker = recorded.to_pandas().groupby("worker")["compute_s"].mean()
    assert by_worker.index.tolist() == [0, 1]
    execution = recorded.execution
    assert by_worker[1] == pytest.approx(recorded.timings["compute_s"][execution.worker == 1].mean())


def test_dropped_gradients_have_a_table_of_their_own_with_reasons_in_words():
    model = jasgd.Cluster(compute_s=jasgd.cluster.exponential(1.0), commit_s=0.2)
    execution = jasgd.cluster.generate(model, scheme="leashed:persistence=0,max_staleness=3", workers=8, steps=200)
    dropped = execution.to_pandas(dropped=True)
    assert list(dropped) == [*COLUMNS, "reason"]
    counts = dropped["reason"].value_counts()
    expected = {why: int((execution.dropped.reason == index).sum()) for index, why in enumerate(("stale", "contended"))}
    assert counts.to_dict() == expected
    assert min(expected.values()) > 0
    timings = {"compute_s": np.arange(200.0), "dropped.compute_s": np.arange(len(dropped)) / 2}
    result = dataclasses.replace(result_of([0.0]), execution=execution, timings=timings, aux={"a": np.ones(200)})
    frame = result.to_pandas(dropped=True)
    assert list(frame) == [*COLUMNS, "reason", "compute_s"]
    np.testing.assert_array_equal(frame["compute_s"], timings["dropped.compute_s"])
    assert len(result.to_pandas()) == 200


def test_a_run_without_aux_and_timings_has_the_rows_alone():
    assert list(dataclasses.replace(result_of([1.0, 2.0]), timings={}).to_pandas()) == list(COLUMNS)
    assert len(result_of([]).to_pandas()) == 0


def test_dropped_is_a_switch(recorded):
    for rows in (recorded, recorded.execution):
        with pytest.raises(TypeError, match="dropped must be True or False, got str 'yes'"):
            rows.to_pandas(dropped="yes")


def test_without_pandas_the_extra_is_named():
    script = "import sys; sys.modules['pandas'] = None\nimport numpy as np\nimport jasgd.presenting.dataframes as d\n"
    process = run_python("-c", script + "d.frame_of({'a': np.ones(2)})", check=False)
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1] == 'ImportError: to_pandas needs pandas: pip install "jasgd[pandas]"'
