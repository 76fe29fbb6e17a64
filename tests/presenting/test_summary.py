"""What a run says of itself: native or why not, how stale, in lines of 80 characters."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.results import result_of

import jasgd
from jasgd.presenting.summary import rounds_words, wrapped


def of_metadata(**metadata):
    result = result_of([1.0] * 40)
    execution = dataclasses.replace(result.execution, metadata=result.execution.metadata | metadata)
    return dataclasses.replace(result, execution=execution)


def of_staleness(staleness):
    result = result_of([1.0] * len(staleness))
    return dataclasses.replace(result, execution=result.execution.replaced(staleness=np.asarray(staleness)))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"native": True, "why_not_native": ""}, "rounds native, in one compiled call each"),
        ({"native": False, "why_not_native": "no C++ compiler"}, "rounds in Python, not native: no C++ compiler"),
        ({"native": False, "why_not_native": ""}, "rounds in Python, as the scheme makes them"),
        ({"native": True, "simulated": True}, "simulated: times are those of the cluster's model"),
    ],
)
def test_it_says_whether_rounds_were_native_and_else_why_not(metadata, words):
    assert f"  {words}" in of_metadata(**metadata).summary().splitlines()


def test_of_a_record_that_does_not_know_it_says_nothing():
    assert rounds_words({}) == ""
    assert "native" not in of_metadata().summary()


@pytest.mark.parametrize(
    ("staleness", "words"),
    [
        ([0, 0, 0, 4], "staleness: mean 1.00, max 4, 75% fresh (τ = 0), Gini"),
        ([0] * 40, "mean 0.00, max 0, 100% fresh"),
        ([0] * 999 + [1], "max 1, >99% fresh"),
        ([0] + [1] * 999, "max 1, <1% fresh"),
        ([2, 3], "max 3, 0% fresh"),
        ([], "staleness: no gradient was applied"),
    ],
    ids=str,
)
def test_it_says_how_stale_the_gradients_were(staleness, words):
    assert words in of_staleness(staleness).summary()


def test_no_line_is_longer_than_80_characters_and_no_word_is_lost():
    why = "the compiler said " + "a word " * 60
    result = dataclasses.replace(of_metadata(native=False, why_not_native=why), message="because " * 30)
    result = dataclasses.replace(
        result, evaluations=[{"time_s": 0.0, "version": 0} | {f"measure_{i}": float(i) for i in range(20)}]
    )
    text = result.summary()
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0].startswith("finished: because")
    words = " ".join(text.split())
    assert (words.count("a word"), words.count("because")) == (60, 30)
    assert all(f"measure_{i} {i}.0000" in words for i in range(20))
    assert all(line.startswith("  ") for line in text.splitlines()[4:])


def test_a_path_is_not_broken_and_lines_of_a_message_stay_apart():
    path = "/" + "x" * 90
    assert path in wrapped(["failed: one\ntwo", f"see {path}"]).split()
    assert wrapped(["failed: one\ntwo"]) == "failed: one\n  two"


def test_a_real_run_says_both():
    result = jasgd.train(
        lambda w, batch: jnp.sum((w - batch) ** 2), jnp.zeros(2), optax.sgd(0.1), lambda ticket: np.ones(2, np.float32),
        scheme=jasgd.schemes.leashed(native=False), workers=1, steps=20,
    )  # fmt: skip
    lines = result.summary().splitlines()
    assert "  rounds in Python, as the scheme makes them" in lines
    assert "  staleness: mean 0.00, max 0, 100% fresh (τ = 0), Gini 0.000" in lines
