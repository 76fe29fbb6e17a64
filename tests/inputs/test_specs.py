"""Texts that name rules, laws, schemes and arms: what they mean, and what is said of those that mean nothing."""

import functools
import re

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.optax_loop import moved

import jasgd
from jasgd import StalenessHistogram, rules, schemes
from jasgd.experiments.recipe import transformation
from jasgd.inputs.specs import parse_spec
from jasgd.rules.parsing import canonical, parse_rule
from jasgd.schemes.factories import parse_scheme
from jasgd.staleness import LAWS, parse_law

#: Every law of the table, in text, and what it is then.
LAW_TEXTS = {
    "window": ("window:length=32,bins=16,warm_up=4", {"length": 32, "bins": 16, "warm_up": 4}),
    "decay": ("decay:half_life=1e2", {"half_life": 100.0, "bins": None}),
    "cumulative": ("cumulative", {"length": None, "half_life": None, "stop": None}),
    "one_shot": ("one_shot:start=5,stop=9", {"start": 5, "stop": 9, "warm_up": 9}),
}
#: Every scheme of the table: a text, and how executions record it.
SCHEME_TEXTS = {
    "sequential": ("sequential", "sequential"),
    "synchronous": (" synchronous ", "synchronous"),
    "locked": ("locked:reading=reference", "locked(reading='reference')"),
    "hogwild": ("hogwild:max_staleness=8", "hogwild(max_staleness=8)"),
    "leashed": ("leashed:persistence=3,max_staleness=none", "leashed(persistence=3)"),
}


def rule_of(text):
    return parse_rule(text, workers=4, learning_rate=0.25)


def at(text, tau, *values):
    """The factor at τ, where the law is that of the values."""
    return float(rules.evaluate(rule_of(text), tau, StalenessHistogram.from_staleness(values)))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("tail", ("tail", {})), (" tail : cdf = strict ", ("tail", {"cdf": "strict"})), ("a:b=1", ("a", {"b": 1}))],
)
def test_a_text_is_a_name_and_options(text, parsed):
    assert parse_spec(text) == parsed


def test_a_value_is_a_number_a_switch_none_or_else_a_string():
    _, options = parse_spec("x:a=3,b=-3e-2,c=TRUE,d=false,e=None,f=strict,g=a:b,h=c=d,i=inf")
    assert options == {
        "a": 3, "b": -0.03, "c": True, "d": False, "e": None, "f": "strict", "g": "a:b", "h": "c=d", "i": float("inf"),
    }  # fmt: skip
    assert {type(options[key]) for key in "ac"} == {int, bool}  # 1 == True, but they are not the same option


@pytest.mark.parametrize("text", ["tail:a", "tail:a=1,,b=2", ":", "tail:a=1,a=1", "tail:=1", "tail:a="])
def test_an_option_that_is_none_is_shown_with_its_text(text):
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))}: options are written .* got '"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("tail", "tail"),
        (" tail : cdf = strict , amplitude=0.50", "tail:amplitude=0.5,cdf=strict"),
        ("exponential:normalized=True,beta=1e-1", "exponential:beta=0.1,normalized=true"),
        ("exponential:beta=NONE,staleness_threshold=3", "exponential:beta=none,staleness_threshold=3"),
    ],
)
def test_texts_that_mean_the_same_are_brought_into_one_form(text, form):
    assert canonical(text) == form
    assert canonical(form) == form


values = st.one_of(
    st.integers(-5, 5), st.floats(allow_nan=False), st.booleans(), st.none(), st.sampled_from(["strict", "mid", "x-y"])
)


@given(st.sampled_from(sorted(rules.RULES)), st.dictionaries(st.from_regex("[a-z_]{1,9}", fullmatch=True), values))
@settings(max_examples=100, deadline=None)
def test_a_canonical_text_is_read_as_what_it_was_made_of(name, options):
    text = name + (":" if options else "") + ",".join(f"{key}={value}" for key, value in options.items())
    read, read_options = parse_spec(canonical(text))
    assert (read, read_options) == (name, options)
    assert list(read_options) == sorted(options)
    assert {key: type(value) for key, value in read_options.items()} == {
        key: type(value) for key, value in options.items()
    }


def test_a_canonical_text_names_a_rule_that_there_is():
    with pytest.raises(ValueError, match=r"rule must be one of constant, .*, best_linear, got 'nope'"):
        canonical("nope:a=1")


@pytest.mark.parametrize("name", rules.RULES)
def test_every_rule_has_a_text(name):
    text = name + {"mishchenko": ":smoothness=2", "koloskova": ":smoothness=2", "best_linear": ":c=1"}.get(name, "")
    tx = transformation(rule_of(text), learning_rate=0.25)
    fresh, stale = steps_of(tx, (0, 30))
    assert fresh < 0
    assert fresh <= stale <= 0


def test_options_change_the_rule():
    factors = [at(text, 3, 1, 3) for text in ("tail", "tail:cdf=strict", "tail:cdf=inclusive", "tail:amplitude=0.5")]
    assert factors == [0.5, 1.0, 0.0, 0.75]


def test_what_the_run_knows_is_filled_in_where_the_rule_has_it():
    assert at("koloskova:smoothness=1", 8) == at("koloskova:smoothness=1,concurrency=4,learning_rate=0.25", 8) == 0.125
    factors = [at(f"mishchenko:smoothness=2{more}", 0) for more in ("", ",workers=4,learning_rate=0.25", ",workers=9")]
    assert factors[0] == factors[1] != factors[2]
    assert rule_of("tail_published").law.workers == 4
    assert rule_of("tail_published:workers=9").law.workers == 9
    assert at("tail", 3, 1, 3) == 0.5  # which has no use for either


def test_options_of_the_text_come_before_what_the_run_knows():
    stated, known = "koloskova:smoothness=1,concurrency=8", "koloskova:smoothness=1"
    assert at(stated, 8) == float(rules.koloskova(0.25, 1.0, 8)(8)) == 1
    assert at(known, 8) == 0.125


def test_a_rule_is_divided_by_its_mean_where_the_text_says_so():
    assert at("inverse:normalized=false", 1, 0, 1) == 0.5
    assert at("inverse:normalized=true", 1, 0, 1) == pytest.approx(0.5 / 0.75)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rule must be one of constant, inverse, .*, got ''"),
        ("Tail", "rule must be one of constant, .*, got 'Tail'"),
        ("tail:cfd=mid", "rule 'tail' has the options amplitude, cdf, normalized; got 'cfd'"),
        ("tail:cdf=median", "cdf must be one of mid, strict, inclusive, got 'median'"),
        ("tail:cdf=none", "cdf must be one of mid, strict, inclusive, got None"),
        ("tail:amplitude=2", r"amplitude must lie in \[0, 1\], got 2"),
        ("tail:amplitude=big", "amplitude must be a number, got 'big'"),
        ("tail:amplitude=true", "amplitude must be a number, got True"),
        ("hinge:grace=none", "grace must be a number, got None"),
        ("exponential:beta=steep", "beta must be a number or none, got 'steep'"),
        ("koloskova", "rule 'koloskova' needs the option smoothness$"),
        ("koloskova:smoothness=1,drop=no", "drop must be true or false, got 'no'"),
        ("koloskova:smoothness=1,drop=0", "drop must be true or false, got 0"),
        ("inverse:normalized=yes", "normalized must be true or false, got 'yes'"),
        ("tail_published:workers=0", "workers must be an integer ≥ 1, got 0"),
        ("tail_published:workers=2.5", "workers must be an integer ≥ 1, got 2.5"),
    ],
)
def test_a_rule_that_cannot_be_says_which_text_what_was_given_and_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        rule_of(text)
    assert str(caught.value).startswith(f"rule {text!r}: ")


def test_rules_of_ones_own_are_read_whatever_their_annotations(monkeypatch):
    def mine(scale: "NotToBeFound" = 1.0):  # noqa: F821
        return lambda staleness: scale / (1 + staleness)

    monkeypatch.setitem(rules.RULES, "mine", mine)
    monkeypatch.setitem(rules.RULES, "half", functools.partial(mine, scale=0.5))
    assert at("mine:scale=3", 1) == 1.5
    assert at("half", 0) == 0.5


def test_every_law_has_a_text():
    assert set(LAW_TEXTS) == set(LAWS)
    for text, described in LAW_TEXTS.values():
        law = parse_law(text)
        assert {name: getattr(law, name) for name in described} == described
        assert float(law.total) == 0


def test_a_law_counts_as_its_text_says():
    law = functools.reduce(StalenessHistogram.count, (5, 1, 2, 1), parse_law("window:length=3,bins=8"))
    assert law.probability(np.arange(4)).tolist() == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert law.bins == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^law must be one of window, decay, cumulative, one_shot, got ''"),
        ("Window", "^law must be one of window, decay, cumulative, one_shot, got 'Window'"),
        ("cumulative:length=3", "^law 'cumulative' has the options bins, warm_up; got 'length'"),
        ("window:length=0", "^law 'window:length=0': length must be an integer ≥ 1, got 0"),
        ("window:length=1e3", "^law 'window:length=1e3': length must be an integer ≥ 1, got 1000.0"),
        ("window:bins=true", "^law 'window:bins=true': bins must be an integer ≥ 1, got True"),
        ("decay:half_life=nan", "^law 'decay:half_life=nan': half_life must be a finite number .*, got nan"),
        ("decay:half_life=long", "^law 'decay:half_life=long': half_life must be a number, got 'long'"),
        ("decay:half_life=true", "^law 'decay:half_life=true': half_life must be a number, got True"),
        ("one_shot:start=4,stop=2", "^law 'one_shot:start=4,stop=2': stop must be an integer ≥ 5, got 2"),
        ("one_shot:start=4", "^law 'one_shot:start=4': law 'one_shot' needs the option stop$"),
        ("window:length", "^'window:length': options are written"),
    ],
)
def test_a_law_that_cannot_be_says_what_was_given_and_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        parse_law(text)


def test_every_scheme_has_a_text():
    assert set(SCHEME_TEXTS) == set(schemes.SCHEMES)
    for text, description in SCHEME_TEXTS.values():
        assert schemes.describe(parse_scheme(text)) == description


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^scheme must be one of sequential, synchronous, locked, hogwild, leashed, got ''"),
        ("hogwild:persistence=1", "^scheme 'hogwild' has the options max_staleness, native; got 'persistence'"),
        ("sequential:persistence=1", "^scheme 'sequential' has no options; got 'persistence'"),
        ("leashed:persistence", "^'leashed:persistence': options are written"),
    ],
)
def test_a_scheme_that_cannot_be_says_what_was_given_and_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        parse_scheme(text)


@pytest.mark.parametrize("text", ["leashed:persistence=few", "leashed:max_staleness=1.5", "locked:reading=twice"])
def test_values_of_a_scheme_are_checked_where_it_is_trained_with(text):
    option, _, value = text.partition(":")[2].partition("=")
    with pytest.raises(ValueError, match=f"^{option} must be .*, got '?{value}'?$"):
        jasgd.train(
            lambda w, batch: jnp.mean(w**2), jnp.ones(2), optax.sgd(0.1), lambda t: np.float32(0),
            scheme=parse_scheme(text), workers=1, steps=1,
        )  # fmt: skip


def steps_of(tx, taus):
    """What every single gradient of 1 with these values of staleness moves a scalar."""
    state, moves = tx.init(jnp.zeros(())), []
    for tau in taus:
        updates, state = tx.update(jnp.ones(()), state, jnp.zeros(()), staleness=tau)
        moves.append(float(updates))
    return moves


def test_momentum_carries_on_what_the_factor_has_left():
    # 1/(1 + τ) of a gradient of 1, and 0.9 of the step before.
    tx = transformation(rules.inverse(), learning_rate=1, momentum=0.9)
    assert steps_of(tx, (3, 0, 1)) == pytest.approx([-0.25, -1.225, -1.6025])
    assert moved(tx, (3, 0, 1)) == pytest.approx(-3.0775)


def test_adam_would_divide_the_factor_away_so_it_comes_behind():
    tx = transformation(rules.inverse(), learning_rate=0.5, optimizer="adam")
    assert steps_of(tx, (3, 0, 1)) == pytest.approx([-0.125, -0.5, -0.25], rel=1e-4)
    assert steps_of(optax.adam(0.5), (3, 0, 1)) == pytest.approx([-0.5, -0.5, -0.5], rel=1e-4)
    before = optax.chain(jasgd.staleness_adaptive(rules.inverse()), optax.adam(0.5))
    assert steps_of(before, (3,)) == pytest.approx([-0.5], rel=1e-4)


def test_without_momentum_no_trace_is_kept():
    state = transformation(rules.inverse(), learning_rate=0.1).init(jnp.zeros(()))
    assert "TraceState" not in str(state)
    assert "TraceState" in str(transformation(rules.inverse(), learning_rate=0.1, momentum=0.5).init(jnp.zeros(())))


def test_the_law_that_is_given_is_the_one_that_counts():
    tx = transformation(rules.tail(), learning_rate=1, law=parse_law("window:length=3,warm_up=2"))
    assert steps_of(tx, (1, 1, 5)) == pytest.approx([-1, -1, -1 / 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be a finite number > 0, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number > 0, got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number > 0, got inf"),
        ({"momentum": -0.1}, r"momentum must lie in \[0, 1\), got -0.1"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"momentum": 0.9, "optimizer": "adam"}, "momentum goes with the optimizer sgd; Adam has its own, got 0.9"),
        ({"optimizer": "SGD"}, "optimizer must be sgd or adam, got 'SGD'"),
    ],
)
def test_an_optimizer_that_cannot_be_says_what_was_given(options, message):
    with pytest.raises(ValueError, match=message):
        transformation(rules.tail(), **{"learning_rate": 0.1} | options)
