"""Every warning of the library has a class of its own, is a RuntimeWarning, and points at the line that called it."""

import ast
import inspect
import threading
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import warning_types
from jasgd.jax_settings import warn_if_unconfigured

ROOT = Path(__file__).parent.parent
CLASSES = {name: thing for name, thing in vars(warning_types).items() if inspect.isclass(thing)}


def test_all_are_runtime_warnings_so_that_filters_of_before_hold():
    assert jasgd.JasgdWarning is CLASSES["JasgdWarning"]
    for kind in CLASSES.values():
        assert issubclass(kind, jasgd.JasgdWarning)
        assert issubclass(kind, RuntimeWarning)
        assert inspect.getdoc(kind)


def test_the_library_warns_with_these_alone_and_with_each_of_them():
    used = set()
    for path in (ROOT / "jasgd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                used.add(ast.unparse(node.args[1]))
    used -= {"type(warning)"}  # one that was raised in another process, and is raised again here
    assert used == set(CLASSES) - {"JasgdWarning"}


def mean_square(w, batch):
    return jnp.mean((w - jnp.mean(batch)) ** 2)


def shapes():
    batches = lambda ticket: np.ones(1 + ticket % 2, np.float32)  # noqa: E731
    jasgd.train(mean_square, jnp.zeros(2), optax.sgd(0.1), batches, workers=1, steps=9)


def late():
    over = threading.Event()

    class Noted(jasgd.schemes.Leashed):
        def close(self, reason):
            super().close(reason)
            over.set()

    def batches(ticket):
        if ticket == 3:
            assert over.wait(60)
            raise OSError("the disk is gone")
        return np.float32(1)

    jasgd.train(mean_square, jnp.zeros(2), optax.sgd(0.1), batches, scheme=Noted, workers=2, steps=20)


def replayed():
    result = jasgd.train(mean_square, jnp.zeros(2), optax.sgd(0.1), lambda ticket: np.float32(1), workers=1, steps=3)
    result.execution.metadata["environment"]["jaxlib"] = "0.0.1"
    jasgd.replay(result, mean_square, optax.sgd(0.1), lambda ticket: np.float32(1), strict=False)


@pytest.mark.parametrize(
    ("function", "kind"),
    [(shapes, "BatchShapesWarning"), (late, "LateErrorWarning"), (replayed, "ReplayEnvironmentWarning")],
)
def test_a_warning_is_of_its_class_and_names_the_line_of_the_caller(function, kind):
    with pytest.warns(CLASSES[kind]) as caught:
        function()
    (warning,) = [one for one in caught if one.category is CLASSES[kind]]
    lines, first = inspect.getsourcelines(function)
    assert warning.filename == __file__
    assert "jasgd." in lines[warning.lineno - first]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=CLASSES[kind])
        function()


def test_workers_without_threads_of_their_own_are_warned_of_by_its_class(monkeypatch):
    monkeypatch.setattr(type(jax.config), "read", lambda self, name: True)
    with pytest.warns(warning_types.UnconfiguredCPUWarning, match="call jasgd.configure_cpu"):
        warn_if_unconfigured(2)
