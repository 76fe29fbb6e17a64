"""JAX's settings for the CPU, which a process has once."""

import jax
import numpy as np
import pytest

import jasgd
from jasgd import jax_settings


def test_configure_cpu_again_does_nothing_and_refuses_other_settings():
    """The kind: a call that is made once, and made again by a cell of a notebook or a second test."""
    jasgd.configure_cpu()  # as the tests' configuration did
    jasgd.configure_cpu(threads_per_worker=np.int64(1))
    with pytest.raises(RuntimeError, match=r"threads_per_worker=2\) must come before the first computation with JAX, "
                       "which has already started with threads_per_worker=1: restart the process"):  # fmt: skip
        jasgd.configure_cpu(threads_per_worker=2)
    with pytest.raises(RuntimeError, match="threads_per_worker=None"):
        jasgd.configure_cpu(threads_per_worker=None)
    with pytest.raises(ValueError, match="threads_per_worker must be an integer ≥ 1, or None, got 0"):
        jasgd.configure_cpu(threads_per_worker=0)


def test_configure_cpu_takes_a_jax_that_something_else_started_with_the_same_settings(monkeypatch):
    monkeypatch.setattr(jax_settings, "_configured", None)
    monkeypatch.setenv("NPROC", "3")
    jasgd.configure_cpu(threads_per_worker=3)
    with pytest.raises(RuntimeError, match="has already started with threads_per_worker=3"):
        jasgd.configure_cpu()
    monkeypatch.delenv("NPROC")
    jasgd.configure_cpu(threads_per_worker=None)
    with pytest.raises(RuntimeError, match="has already started with threads_per_worker=None"):
        jasgd.configure_cpu()
    monkeypatch.setattr(jax.config, "read", lambda name: True)
    with pytest.raises(RuntimeError, match="has already started with asynchronous dispatch: restart"):
        jasgd.configure_cpu(threads_per_worker=None)
