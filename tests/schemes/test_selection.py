"""Whether rounds are native: what is asked for, and what is chosen where that is left open."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import needs_compiler

import jasgd
from jasgd.core.recycling import LARGE
from jasgd.core.scheme import unwatched
from jasgd.schemes import Leashed, describe, named, native, selection
from jasgd.schemes.native import build
from jasgd.schemes.selection import WITH_NATIVE


def metadata_of(scheme, params=None, tx=None, workers=2):
    """What the record of six steps says; the loss is a sum of squares."""

    def loss_fn(w, b):
        return sum(jnp.sum(leaf.astype(jnp.float32) ** 2) for leaf in jax.tree.leaves(w)) * b

    result = jasgd.train(
        loss_fn, jnp.ones(3) if params is None else params, tx or optax.sgd(0.01), lambda t: np.float32(1),
        scheme=scheme, workers=workers, steps=6,
    )  # fmt: skip
    assert result.execution.commits == 6
    return result.execution.metadata


@needs_compiler
@pytest.mark.newest
@pytest.mark.parametrize("name", WITH_NATIVE)
def test_small_networks_have_native_rounds_where_nothing_is_said(name, monkeypatch):
    monkeypatch.setattr(selection, "processors", lambda: 2)
    more = [functools.partial(named(name), max_staleness=90)] if name != "synchronous" else []
    for scheme in (name, named(name), named(name, native=None), *more):
        metadata = metadata_of(scheme)
        assert (metadata["native"], metadata["why_not_native"]) == (True, "")
    requested, refused = metadata_of(named(name, native=True)), metadata_of(named(name, native=False))
    assert (requested["native"], requested["scheme"]) == (True, f"{name}(native=True)")
    assert (refused["native"], refused["scheme"]) == (False, f"{name}(native=False)")


@needs_compiler
@pytest.mark.parametrize(("workers", "processors", "native"), [(1, 1, True), (2, 2, True), (3, 2, False), (3, 4, True)])
def test_synchronous_rounds_are_native_where_each_worker_has_a_processor(workers, processors, native, monkeypatch):
    monkeypatch.setattr(selection, "processors", lambda: processors)
    metadata = metadata_of("synchronous", workers=workers)
    assert metadata["native"] is native
    assert (metadata["why_not_native"] == "") is native


def keyed():
    return optax.GradientTransformationExtraArgs(lambda p: jax.random.key(0), lambda u, s, p=None, **extra: (u, s))


@needs_compiler
@pytest.mark.parametrize(
    ("scheme", "params", "tx", "why"),
    [
        ("leashed", np.ones(LARGE // 4, np.float32), None, "the parameters take 1,048,576 bytes"),
        ("locked", None, keyed(), "native must be False for arrays of dtype key"),
        ("hogwild", np.ones(3, jnp.bfloat16), None, "unless all parameters are float32 or all float64, got bfloat16"),
        (
            jasgd.schemes.locked(reading="carry"),
            None,
            None,
            "reading must be 'copy' or 'reference' with native rounds, got 'carry'",
        ),
    ],
)
def test_what_has_no_native_rounds_or_gains_nothing_is_trained_without_and_says_why(scheme, params, tx, why):
    metadata = metadata_of(scheme, params, tx)
    assert metadata["native"] is False
    assert why in metadata["why_not_native"]


@needs_compiler
def test_just_below_the_size_rounds_are_native():
    assert metadata_of("leashed", np.ones(LARGE // 4 - 1, np.float32))["native"] is True


def small_arrays(count, size=selection.SMALL_ARRAY // 4 - 1):
    """Arrays just small enough to count as many, or of so many numbers."""
    return [np.full(size, 1 + i, np.float32) for i in range(count)]


@needs_compiler
@pytest.mark.parametrize("name", ["locked", "hogwild", "leashed"])
def test_many_small_arrays_have_native_rounds_though_they_are_large_together(name):
    """The kind: what Python's rounds pay for each array, which were 14 times as slow with 512 of them as with 8."""
    metadata = metadata_of(name, small_arrays(18))
    assert (metadata["native"], metadata["why_not_native"]) == (True, "")


@needs_compiler
@pytest.mark.parametrize(
    ("name", "params", "tx", "most", "why"),
    [
        (
            "leashed",
            small_arrays(18, selection.SMALL_ARRAY // 4),
            None,
            None,
            "the parameters take 1,179,648 bytes, and",
        ),
        ("synchronous", small_arrays(18), None, None, "the parameters take 1,179,576 bytes, and 1,048,576 are many"),
        ("locked", small_arrays(18), None, 3 * 1179576 - 1, "1,179,576 bytes, and the optimizer state 0, which are"),
        ("hogwild", small_arrays(18), optax.sgd(0.01, momentum=0.9), 5 * 1179576 - 1, "the optimizer state 1,179,576"),
    ],
)
def test_arrays_that_are_large_or_too_many_to_copy_have_not(name, params, tx, most, why, monkeypatch):
    monkeypatch.setattr(selection, "processors", lambda: 2)
    if most is not None:
        monkeypatch.setattr(selection, "MOST_COPIED", most)
    metadata = metadata_of(name, params, tx)
    assert metadata["native"] is False
    assert why in metadata["why_not_native"]
    if most is not None:
        monkeypatch.setattr(selection, "MOST_COPIED", most + 1)
        assert metadata_of(name, params, tx)["native"] is True


@needs_compiler
def test_runs_of_many_small_arrays_replay_to_the_same_bits():
    def loss_fn(params, batch):
        return sum(jnp.mean((leaf - batch * i) ** 2) for i, leaf in enumerate(params))

    def batches(ticket):
        return np.float32(ticket % 7)

    params, tx = small_arrays(18), optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.adam(0.01))
    trained = jasgd.train(loss_fn, params, tx, batches, scheme="leashed", workers=3, steps=40)
    assert trained.execution.metadata["native"] is True
    jasgd.replay(trained, loss_fn, tx, batches)  # raises where a bit differs


def test_without_a_compiler_rounds_are_python_s_and_it_is_looked_for_once(monkeypatch):
    lookups = []

    def opened(folder):
        lookups.append(folder)
        raise build.CannotCompile("native must be False where there is no C++ compiler")

    monkeypatch.setattr(build, "opened", opened)
    build._loaded.cache_clear()
    try:
        for _ in range(2):
            metadata = metadata_of("leashed")
            assert metadata["native"] is False
            assert metadata["why_not_native"] == "native must be False where there is no C++ compiler"
        with pytest.raises(build.CannotCompile):
            metadata_of(named("leashed", native=True))
    finally:
        build._loaded.cache_clear()
    assert len(lookups) == 1


@pytest.mark.parametrize("setting", ["jax_debug_nans", "jax_debug_infs"])
def test_who_looks_for_gradients_that_are_not_finite_gets_rounds_that_show_them(setting):
    with getattr(jax, setting.removeprefix("jax_"))(True):
        metadata = metadata_of("leashed")
    assert metadata["native"] is False
    assert "jax_debug_nans" in metadata["why_not_native"]


@pytest.mark.parametrize("error", [RuntimeError("no home"), PermissionError("not yours"), ValueError("no quotation")])
def test_a_library_that_cannot_be_looked_for_is_done_without(monkeypatch, error):
    def folder():
        raise error

    monkeypatch.setattr(build, "cache_folder", folder)
    build._loaded.cache_clear()
    try:
        metadata = metadata_of("leashed")
    finally:
        build._loaded.cache_clear()
    assert metadata["native"] is False
    assert str(error) in metadata["why_not_native"]


def test_whoever_watches_logs_or_derives_a_scheme_gets_the_one_that_has_points_and_reads():
    class Mine(Leashed):
        pass

    events = []
    watched = jasgd.testing.watched(named("locked"), unwatched)
    for scheme in (watched, jasgd.testing.logged(named("leashed"), events), Mine, lambda setup: Leashed(setup)):
        metadata = metadata_of(scheme)
        assert (metadata["native"], metadata["why_not_native"]) == (False, "")
    assert len(events) >= 12


def test_classes_are_what_they_are():
    with pytest.raises(ValueError, match="native must be False for this class, got True"):
        metadata_of(functools.partial(Leashed, native=True))
    with pytest.raises(ValueError, match="native must be True for NativeLeashed, got False"):
        metadata_of(functools.partial(native.NATIVE["leashed"], native=False))
    with pytest.raises(ValueError, match="persistence must be an integer ≥ 0"):
        metadata_of(named("leashed", persistence=-1))
    assert describe(named("leashed", native=None)) == "leashed"
