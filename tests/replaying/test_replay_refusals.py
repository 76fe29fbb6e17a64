"""What replay refuses: another environment than the recorded one, a wrong upto, a result without its beginning."""

import dataclasses
import re

import jax
import pytest
from support.problems import network
from support.python_process import run_python
from support.random_runs import Case
from support.recorded_runs import tail, without

import jasgd
from jasgd.record.environment import DECIDES_BITS


@pytest.mark.parametrize("name", [*DECIDES_BITS, "dtypes of batch", "digest of tx.init(params)"])
def test_what_decides_bits_and_is_not_as_it_was_is_refused_by_name(recorded, name):
    result, arguments = recorded
    metadata = dict(result.execution.metadata)
    if name in DECIDES_BITS:
        metadata["environment"] = metadata["environment"] | {name: "other"}
        was = "other"
    elif name == "digest of tx.init(params)":
        metadata["initial_opt_state"] = was = "0" * 64
    else:
        metadata["dtypes"] = metadata["dtypes"] | {"batch": ["float64[16,12]", "int32[16]"]}
        was = ["float64[16,12]", "int32[16]"]
    elsewhere = without(result, metadata=metadata)
    with pytest.raises(jasgd.ReplayError, match=rf"{re.escape(name)} is .*, recorded was {re.escape(repr(was))}"):
        jasgd.replay(elsewhere, *arguments)
    with pytest.warns(RuntimeWarning, match="not what the run was made with"):
        again = jasgd.replay(elsewhere, *arguments, strict=False, upto=None if name == "jaxlib" else 0)
    assert again.exact  # nothing really is another
    assert [m.name for m in again.environment] == [name]


def test_flags_in_another_order_are_the_same_flags():
    from jasgd.record.environment import mismatches

    assert mismatches({"xla_flags": "--a=1 --b=2"}, {"xla_flags": "--b=2  --a=1"}) == []
    assert [m.name for m in mismatches({"xla_flags": "--a=1"}, {"xla_flags": "--a=2"})] == ["xla_flags"]


@pytest.mark.parametrize("flag", ["threads", "xla_flags"])
def test_a_process_with_other_flags_refuses(tmp_path, flag):
    Case.of(6).train().save(tmp_path / "6")
    script = (
        "import sys, jasgd; jasgd.configure_cpu(threads_per_worker=int(sys.argv[2]))\n"
        "from pathlib import Path\n"
        "from support.random_runs import Case\n"
        "case = Case.of(6)\n"
        "try:\n"
        "    case.replay(case.load(Path(sys.argv[1])))\n"
        "except jasgd.ReplayError as error:\n"
        "    print(error)\n"
    )
    env = {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"} if flag == "xla_flags" else {}
    process = run_python("-c", script, tmp_path, 1 + (flag == "threads"), env=env)
    expected = {
        "threads": "threads is 2, recorded was 1",
        "xla_flags": "xla_flags is '--xla_cpu_enable_fast_math=true', recorded was ''",
    }
    assert expected[flag] in process.stdout, process.stderr


@pytest.mark.parametrize("upto", [-1, 121, 2.0, True])
def test_upto_is_a_number_of_commits(recorded, upto):
    result, arguments = recorded
    with pytest.raises(ValueError, match=r"upto must be an integer in 0…120 \(the run's commits\).*got"):
        jasgd.replay(result, *arguments, upto=upto)


def test_a_result_without_initial_parameters_says_so(recorded, tmp_path):
    result, arguments = recorded
    with pytest.raises(jasgd.ReplayError, match="must have initial_params"):
        jasgd.replay(dataclasses.replace(result, initial_params=None), *arguments)
    result.save(tmp_path)
    with pytest.raises(jasgd.ReplayError, match="must be loaded with params_like"):
        jasgd.replay(jasgd.TrainResult.load(tmp_path), *arguments)
    loaded = jasgd.TrainResult.load(tmp_path, params_like=result.params)  # the optimizer state comes by path
    assert jasgd.replay(loaded, *arguments).exact


def test_settings_of_the_thread_that_trained_are_held_against_the_record():
    params, loss_fn, batches = network()
    with jax.default_matmul_precision("highest"):
        result = jasgd.train(loss_fn, params, tail(), batches, workers=2, steps=30)
        assert jasgd.replay(result, loss_fn, tail(), batches).exact
    with pytest.raises(jasgd.ReplayError, match="default_matmul_precision is None, recorded was 'highest'"):
        jasgd.replay(result, loss_fn, tail(), batches)
