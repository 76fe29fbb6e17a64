"""What the engine "ray" cannot do is refused by name, before Ray is started."""

import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, needs_compiler
from support.python_process import run_python
from support.training_runs import mean_square

import jasgd
from jasgd.testing import logged


def train(**options):
    arguments = {"loss_fn": mean_square, "params": jnp.zeros(3), "tx": optax.sgd(0.1), "batches": lambda t: np.ones(3)}
    arguments |= {"workers": 2, "steps": 5, "engine": "ray"} | options
    return jasgd.train(
        arguments.pop("loss_fn"), arguments.pop("params"), arguments.pop("tx"), arguments.pop("batches"), **arguments
    )


@pytest.fixture
def no_ray_starts(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda *args, **options: pytest.fail("Ray was started"))


LOCK = threading.Lock()


@pytest.mark.usefixtures("no_ray_starts")
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"device": "cpu"}, ValueError, "device and devices must be None with the engine 'ray'"),
        ({"devices": ["cpu:0"]}, ValueError, "device and devices must be None with the engine 'ray'"),
        ({"batches": [np.ones(3)]}, TypeError, "batches must be a function of a ticket with the engine 'ray'"),
        ({"batches": lambda t, lock=LOCK: np.ones(3)}, TypeError, "batches must be something that can be pickled"),
        ({"loss_fn": lambda w, b, lock=LOCK: w.sum()}, TypeError, "loss_fn must be something that can be pickled"),
        ({"evaluate": lambda w, lock=LOCK: 0.0}, TypeError, "evaluate must be something that can be pickled"),
        (
            {"loss_fn": lambda w, b, model_state: (w.sum(), model_state), "model_state": {"k": jax.random.key(0)}},
            TypeError, r"model_state\['k'\] must be no typed key",
        ),
        ({"scheme": logged(lambda setup, lock=LOCK: None, [])}, TypeError, "scheme must be something that can be pick"),
        ({"params": {"w": "no array"}}, TypeError, "params"),
        ({"loss_fn": lambda w, b: w}, TypeError, "loss_fn must return a floating-point scalar"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_ray_is_started(options, kind, message):
    with pytest.raises(kind, match=message):
        train(**options)


@needs_compiler
@pytest.mark.usefixtures("no_ray_starts")
def test_native_rounds_are_refused_before_ray_is_started():
    with pytest.raises(ValueError, match="scheme must not be native with the engine 'ray'"):
        train(scheme=EVERY["leashed, native"])


@pytest.mark.parametrize(
    ("engine", "kind", "message"),
    [
        ("rya", ValueError, "engine must be one of threads, ray, got 'rya'"),
        ("ray:cpus=1", ValueError, "engine 'ray' has the options address, .*got 'cpus'"),
        ("threads:address=auto", ValueError, "engine 'threads' has no options; got 'address'"),
        ("ray:cpus_per_worker=-1", ValueError, "cpus_per_worker must be a number ≥ 0, got -1"),
        ("ray:gpus_per_worker=many", TypeError, "gpus_per_worker must be a number ≥ 0"),
        ("ray:restarts=-1", ValueError, "restarts must be an integer ≥ 0"),
        ("ray:start_limit_s=0", ValueError, "start_limit_s must be > 0"),
        ("ray:runtime_env=here", TypeError, "runtime_env must be a dict, or None"),
        (jasgd.engines.ray, TypeError, r"engine must be 'threads', 'ray' or .*: call it"),
        (None, TypeError, "engine must be"),
    ],
)
def test_an_engine_that_is_none_is_refused_by_name(engine, kind, message):
    with pytest.raises(kind, match=message):
        train(engine=engine)


def test_an_address_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="address must be a text such as 'auto', or None"):
        jasgd.engines.ray(6379)


def test_without_ray_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'engine="ray" needs its extra: pip install "jasgd\[ray\]"'):
        train()


def test_threads_are_the_default_and_import_nothing_of_ray():
    out = run_python(
        "-c", "import sys, jax.numpy as jnp, optax, jasgd\n"
        "r = jasgd.train(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(3), optax.sgd(0.1), lambda t: 1.0, workers=1,\n"
        "                steps=3, engine='threads')\n"
        "print('ray' in sys.modules, 'engine' in r.execution.metadata)",
    )  # fmt: skip
    assert "False False" in out.stdout
