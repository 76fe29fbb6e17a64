"""How Ray is started for a run, or refused; but for the last test, Ray's own ``init`` is not called."""

import os
import tempfile
import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.training_runs import mean_square

import jasgd
from jasgd.training.engines.ray_actors.session import Session

ray = pytest.importorskip("ray")


@pytest.fixture
def started(monkeypatch):
    """The options that ``ray.init`` is called with."""
    calls = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *args, **options: calls.append(options))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return calls


@pytest.fixture
def is_there(monkeypatch):
    """A process that has Ray already."""
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: types.SimpleNamespace(gcs_address="10.0.0.1:6379"))
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("a Ray that is not ours was ended"))


def test_a_long_folder_for_temporary_files_leaves_room_for_the_names_of_sockets(started, monkeypatch, tmp_path):
    long = tmp_path / ("t" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Session(jasgd.engines.ray(), 2):
        folder = started[0]["_temp_dir"]
        assert len(folder) < 30
        assert os.path.isdir(folder)
    assert started[1] == "shutdown"
    assert not os.path.exists(folder)


@pytest.mark.parametrize("error", [OSError("AF_UNIX path length cannot exceed 107 bytes"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_ray_that_does_not_start(started, monkeypatch, error):
    def raising(**options):
        started.append(options)
        raise error

    monkeypatch.setattr(ray, "init", raising)
    with pytest.raises(type(error)), Session(jasgd.engines.ray(), 2):
        pytest.fail("there is no Ray")
    assert started[1] == "shutdown"
    assert not os.path.exists(started[0]["_temp_dir"])


def test_the_address_is_the_given_one_else_that_of_the_environment(started, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    with Session(jasgd.engines.ray(), 2), Session(jasgd.engines.ray("auto"), 2):
        assert [options["address"] for options in started] == ["10.0.0.2:6379", "auto"]


def test_a_runtime_env_is_given_to_the_session_where_it_starts(started):
    environment = {"working_dir": "."}
    session = Session(jasgd.engines.ray(runtime_env=environment), 2)
    with session:
        assert started[0]["runtime_env"] == environment
        assert session.runtime_env is None


@pytest.mark.usefixtures("is_there")
def test_a_runtime_env_is_given_to_each_actor_where_ray_was_there_before():
    environment = {"env_vars": {"A": "1"}, "working_dir": "s3://bucket/code.zip"}
    session = Session(jasgd.engines.ray(runtime_env=environment), 2)
    with session:
        assert session.runtime_env == environment


@pytest.mark.usefixtures("is_there")
@pytest.mark.parametrize(
    ("environment", "message"),
    [({"working_dir": "."}, "working_dir .*got '.'"), ({"py_modules": ["s3://b/a.zip", "./c"]}, "py_modules .*'./c'")],
)
def test_folders_of_this_machine_are_refused_where_ray_was_there_before(environment, message):
    with (
        pytest.raises(ValueError, match=f"runtime_env must have no folder of this machine as {message}"),
        Session(jasgd.engines.ray(runtime_env=environment), 2),
    ):
        pytest.fail("it was not refused")


@pytest.mark.usefixtures("is_there")
@pytest.mark.parametrize("address", ["local", "10.0.0.9:6379"])
def test_another_address_than_that_of_the_ray_which_is_there_is_refused(address):
    message = r"address must be None, 'auto' or '10\.0\.0\.1:6379', as this process has that Ray already, got"
    with pytest.raises(ValueError, match=message), Session(jasgd.engines.ray(address), 2):
        pytest.fail("it was not refused")


@pytest.mark.usefixtures("is_there")
@pytest.mark.parametrize("address", [None, "auto", "10.0.0.1:6379"])
def test_the_ray_that_is_there_is_used(address):
    with Session(jasgd.engines.ray(address), 2) as found:
        assert found is ray


def test_workers_have_the_working_directory_and_relative_folders_are_the_callers(tmp_path, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "numbers.txt").write_text("1 2 3")
    monkeypatch.chdir(code)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def batches(ticket):
        return np.asarray(Path("numbers.txt").read_text().split(), np.float32)

    def run(**options):
        engine = jasgd.engines.ray(cpus_per_worker=0.5, runtime_env={"working_dir": "."})
        return jasgd.train(
            mean_square, jnp.zeros(3), optax.sgd(0.05), batches, workers=1, engine=engine, scheme="sequential",
            checkpoint=jasgd.Checkpoints("run"), **options,
        )  # fmt: skip

    assert run(steps=5).outcome == "finished"
    assert (code / "run" / "run.json").exists()
