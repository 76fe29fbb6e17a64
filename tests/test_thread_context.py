"""The kind: something that a caller set for his thread does not hold in a thread that computes for him.

What JAX has is asked of JAX itself, so that a new version's settings are among the cases.
"""

import concurrent.futures
import contextvars
import threading
import warnings

import jax
import pytest
from jax._src import config as jax_config
from jax._src.mesh import thread_resources
from support.python_process import run_python

from jasgd.thread_context import OF_THE_THREAD, deciding_settings, inherited

pytestmark = pytest.mark.newest

STATES = {name: state for name, state in jax_config.config_states.items() if name not in OF_THE_THREAD}


def in_a_thread(run, function):
    """What the function gives in another thread."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(function) if run is None else pool.submit(run, function)
        return future.result()


def local(state):
    return state.get_local()


@pytest.mark.parametrize("name", STATES)
def test_each_setting_that_jax_has_for_a_thread_reaches_another_and_is_gone_after(name):
    state = STATES[name]
    value = not state.value if isinstance(state.value, bool) else state.value
    with state(value):
        run = inherited()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        before = pool.submit(local, state).result()
        assert before is not value or not isinstance(value, bool)  # a thread does not have it by itself
        assert pool.submit(run, local, state).result() == value
        assert pool.submit(local, state).result() is before


def test_a_setting_that_a_library_or_user_makes_reaches_a_thread_as_well():
    if not hasattr(jax, "make_user_context"):
        pytest.skip("this version of JAX has no contexts of a user's own")
    inherited()  # which has looked at all there are until now
    mine = jax.make_user_context("none")
    with mine("one"):
        run, recorded = inherited(), deciding_settings()
    assert in_a_thread(run, lambda: mine.value) == "one"
    assert in_a_thread(None, lambda: mine.value) == "none"
    assert recorded["user_context"] == "one"
    assert "user_context" not in deciding_settings()  # its default is not what another process need have


def test_a_setting_that_only_some_processes_have_is_recorded_where_it_is_set():
    """Pallas makes settings when it is imported, by other tests for instance; a replay need not import it."""
    code = "from jasgd.thread_context import deciding_settings as settings; before = settings(); "
    run_python("-c", code + "import jax.experimental.pallas; assert settings() == before")


@pytest.mark.parametrize("how", ["jax.set_mesh", "with mesh"])
def test_the_mesh_of_a_thread_reaches_another(how):
    mesh = jax.make_mesh((1,), ("x",))

    def meshes():
        entered = thread_resources.env.physical_mesh
        return jax.sharding.get_abstract_mesh().axis_names, entered.axis_names

    setting = jax.sharding.use_mesh if not hasattr(jax, "set_mesh") else jax.set_mesh
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with mesh if how == "with mesh" else setting(mesh):
            run, expected, texts = inherited(), meshes(), deciding_settings()
    assert ("x",) in expected
    assert in_a_thread(run, meshes) == expected
    assert in_a_thread(None, meshes) == meshes() == ((), ())
    assert texts != deciding_settings()


def test_several_threads_have_context_variables_each_its_own_copy():
    variable = contextvars.ContextVar("variable")
    variable.set("callers")
    run = inherited()
    variable.set("later")
    barrier = threading.Barrier(2)

    def work(name):
        seen = variable.get()
        barrier.wait(30)  # both are in it at once
        variable.set(name)
        barrier.wait(30)
        return seen, variable.get()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = [pool.submit(run, work, name).result for name in ("a", "b")]
        assert [result() for result in results] == [("callers", "a"), ("callers", "b")]
    assert variable.get() == "later"


def test_a_function_that_raises_leaves_the_thread_as_it_was():
    with jax.default_matmul_precision("highest"):
        run = inherited()

    def work():
        with pytest.raises(ZeroDivisionError):
            run(lambda: 1 / 0)
        return jax.config.jax_default_matmul_precision

    assert in_a_thread(None, work) is None


def test_texts_of_settings_are_the_same_in_each_process():
    texts = deciding_settings()
    assert len(texts) > 20
    assert {"jax_threefry_partitionable", "jax_softmax_custom_jvp", "jax_numpy_dtype_promotion"} <= texts.keys()
    assert all(isinstance(text, str) and "0x" not in text for text in texts.values())


@pytest.mark.parametrize("name", ["jax_log_compiles", "jax_debug_nans", "jax_debug_key_reuse", "jax_transfer_guard"])
def test_what_changes_no_bits_is_not_recorded(name):
    before = deciding_settings()
    with jax_config.config_states[name]("log" if name == "jax_transfer_guard" else True):
        assert deciding_settings() == before


def test_a_jax_that_keeps_its_settings_elsewhere_is_said_so(monkeypatch):
    monkeypatch.delattr(jax_config, "config_states")
    with pytest.warns(RuntimeWarning, match=r"JAX .* does not say which settings a thread has"):
        run = inherited()
    assert in_a_thread(run, lambda: 3) == 3
