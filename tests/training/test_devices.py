"""Workers on several devices: where each computes, and where what it makes comes to, with four CPU devices."""

import json

import pytest
from support.python_process import TESTS, run_python

SCHEMES = ("sequential", "synchronous", "locked", "locked, carry", "hogwild", "leashed")
DEVICES = ["cpu:1", "cpu:2", "cpu:3", "cpu:0"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Without a compiler, so that what native.cc would look at is looked at by compiled functions of JAX."""
    env = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "CXX": "/nowhere/c++"}
    env["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    return json.loads(run_python("-W", "error", TESTS / "support" / "device_runs.py", env=env).stdout)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_worker_computes_on_its_device_and_what_it_makes_comes_home(found, scheme):
    run, workers = found["schemes"][scheme], 1 if scheme == "sequential" else 4
    assert run["outcome"] == "finished"
    assert run["workers"] == {str(worker): [DEVICES[worker]] for worker in range(workers)}
    assert run["metadata"]["devices"] == DEVICES[:workers]
    assert run["metadata"]["device_kinds"] == dict.fromkeys(DEVICES[:workers], "cpu")
    assert run["results_on"] == ["cpu:1"]
    assert all(run["aux"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_compiled_while_the_run_goes_on(found, scheme):
    assert found["schemes"][scheme]["compiled"] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_replay_computes_each_gradient_on_its_workers_device(found, scheme):
    run = found["schemes"][scheme]
    assert run["exact"] or scheme == "hogwild"
    assert run["replayed_workers"].items() <= run["workers"].items()
    assert len(run["replayed_workers"]) > 1 or scheme == "sequential"
    assert run["replayed_on"] == ["cpu:1"]


def test_a_saved_run_replays_on_its_devices(found):
    assert found["saved"]


@pytest.mark.parametrize("scheme", ["hogwild", "leashed"])
def test_what_losses_batches_and_transformations_ask_for_is_where_they_compute(found, scheme):
    run = found["extras"][scheme]
    assert run["outcome"] == "finished"
    assert run["compiled"] == []
    assert run["exact"]
    assert run["workers"].items() <= {str(worker): [device] for worker, device in enumerate(DEVICES)}.items()


@pytest.mark.parametrize("scheme", ["locked", "hogwild", "leashed", "synchronous"])
def test_rounds_on_several_devices_are_not_native(found, scheme):
    metadata = found["schemes"][scheme]["metadata"]
    assert not metadata["native"]
    assert found["refusals"]["native"] == (
        "Unfit: devices must be one CPU for native=True, got cpu:0, cpu:1, cpu:2, cpu:3"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("both", "ValueError: devices must be None where device is given, got 'cpu:0' and ['cpu:0']"),
        ("none", "ValueError: devices must be one or more, as jax.devices() gives, got none; there are cpu:0, cpu:1"),
        ("text", "TypeError: devices must be a sequence, as jax.devices() gives, got str 'cpu:1': give one device as"),
        ("device", "TypeError: devices must be a sequence, as jax.devices() gives, got Device CpuDevice(id=1): give"),
        ("number", "TypeError: devices must be a sequence, as jax.devices() gives, got int 3: give one device as"),
        ("generator", "TypeError: devices must be a sequence, as jax.devices() gives, got generator"),
        ("none among them", "TypeError: devices must be jax devices, platforms or indices, got None among them"),
        ("not there", "ValueError: devices[1] must be a jax device, a platform such as 'cpu' or 'gpu:0', an index, or"),
        ("kind", "TypeError: devices[0] must be a jax device, "),
    ],
)
def test_what_names_no_devices_is_refused(found, name, message):
    assert found["refusals"][name].startswith(message)


def test_a_replay_on_other_devices_is_refused_by_name(found):
    refusals = found["refusals"]
    elsewhere = "device is 'cpu:{}', recorded was 'devices cpu:1, cpu:2, cpu:3, cpu:0'"
    assert elsewhere.format(1) in refusals["replay elsewhere"]
    assert "devices is 'cpu:0, cpu:1, cpu:2, cpu:3', recorded was 'cpu:1, cpu:9, " in refusals["replay without"]
    assert refusals["replay without"].startswith("ReplayError")
    assert refusals["not strict"] == [f"this is not what the run was made with: {elsewhere.format(2)}"]
    assert refusals["not strict is exact"]
    assert {device for devices in refusals["not strict workers"].values() for device in devices} == {"cpu:2"}


def test_each_part_of_a_run_is_replayed_on_its_own_devices(found):
    run = found["parts"]
    assert run["parts"] == [[0, DEVICES], [40, []], [80, ["cpu:3", "cpu:1"]]]
    of_workers = [DEVICES, ["cpu:0", "cpu:0"], ["cpu:3", "cpu:1"]]
    for seen, devices in zip(run["meanwhile"], of_workers, strict=True):
        assert all(found_there == [devices[int(worker)]] for worker, found_there in seen.items())
    for worker, devices in run["replayed"].items():
        assert set(devices) <= {device for seen in run["meanwhile"] for device in seen.get(worker, [])}
    assert {"cpu:0", "cpu:3"} <= set(run["replayed"]["0"]) | set(run["replayed"]["1"])
    assert run["exact"]
    assert run["on"] == ["cpu:3"]


def test_devices_of_any_part_that_are_others_now_are_named(found):
    refused = found["parts"]["refused"]
    assert refused.startswith("ReplayError")
    assert "device_kinds is {'cpu:1': 'cpu', 'cpu:2': 'cpu'" in refused
    assert "devices is 'cpu:0, cpu:1, cpu:2, cpu:3', recorded was 'cpu:3, cpu:9'" in refused


def test_a_device_may_be_named_twice_and_devices_may_be_an_array(found):
    assert found["others"]["twice"] == ["cpu:2", "cpu:2", "cpu:1", "cpu:2"]
    assert found["others"]["array"] == ["cpu:0", "cpu:1", "cpu:0", "cpu:1"]


def test_devices_that_are_one_are_as_device(found):
    assert found["others"]["only one"][0] == ["cpu:3", "cpu:3"]
    assert "devices must be" not in found["others"]["only one"][1]  # whatever else may keep rounds from being native
    assert found["others"]["only one, replayed"] == [True, True]


def test_what_comes_back_lies_where_the_run_was(found):
    assert found["others"]["hogwild on one"] == ["cpu:2"]
    assert found["others"]["diverged, device"] == ["diverged", ["cpu:2"]]
    assert found["others"]["diverged, devices"] == ["diverged", ["cpu:1"]]


def test_a_cpu_with_four_devices_has_as_many_threads_for_a_computation_whatever_was_configured(found):
    """XLA's pool: the split decides bits, so that a process with one device must not pass for the same."""
    assert found["others"]["threads"] == 4
