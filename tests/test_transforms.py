"""Every rule through the whole interoperability suite; what fails in Optax today is expected to, so that a new Optax
that changes it is noticed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.optax_loop import moved
from support.rule_examples import EXAMPLES

import jasgd
from jasgd import StalenessHistogram, rules

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
GRADS = {"w": jnp.full((2, 3), 2.0), "b": jnp.ones(3)}
TAUS = (3, 0, 5, 1)

RULES = {name: rules.named(name, **options) for name, options in EXAMPLES.items()}
RULES["normalized inverse"] = rules.normalized(rules.inverse())
RULES["own"] = lambda staleness: 1 / (2 + staleness)
EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))


def steps(tx, taus=TAUS, params=PARAMS, grads=GRADS):
    """The updates of a few steps, jitted, and the last state."""
    state, steps_taken = tx.init(params), []
    update = jax.jit(lambda g, s, p, tau: tx.update(g, s, p, staleness=tau))
    for tau in taus:
        updates, state = update(grads, state, params, np.int32(tau))
        steps_taken.append(updates)
    return steps_taken, state


@functools.cache
def factors(rule, taus=TAUS):
    """C(τ) as the bare transformation gives it, the reference of the compositions."""
    tx = jasgd.staleness_adaptive(rule)
    state, values = tx.init(PARAMS), []
    for tau in taus:
        _, state = tx.update(GRADS, state, staleness=tau)
        values.append(float(state.factor))
    return values


def assert_scaled(updates, by):
    for update, factor in zip(updates, by, strict=True):
        for name, grad in GRADS.items():
            np.testing.assert_allclose(np.asarray(update[name]), factor * np.asarray(grad), rtol=1e-5)


@EVERY_RULE
def test_chain_scales_every_leaf_by_the_factor(rule):
    updates, state = steps(optax.chain(jasgd.staleness_adaptive(rule), optax.scale(-0.5)))
    assert_scaled(updates, [-0.5 * c for c in factors(rule)])
    assert float(optax.tree.get(state, "factor")) == pytest.approx(factors(rule)[-1], rel=1e-5)


@EVERY_RULE
def test_named_chain_and_nested_chain_hand_staleness_on(rule):
    nested = optax.chain(optax.chain(optax.identity(), optax.chain(jasgd.staleness_adaptive(rule))))
    assert_scaled(steps(nested)[0], factors(rule))
    assert_scaled(steps(optax.named_chain(("adapt", jasgd.staleness_adaptive(rule))))[0], factors(rule))


@EVERY_RULE
def test_multi_transform_adapts_the_leaves_that_it_is_given(rule):
    tx = optax.multi_transform(
        {"adapt": jasgd.staleness_adaptive(rule), "plain": optax.identity()}, {"w": "adapt", "b": "plain"}
    )
    for update, factor in zip(steps(tx)[0], factors(rule), strict=True):
        np.testing.assert_allclose(np.asarray(update["w"]), 2 * factor, rtol=1e-5)
        np.testing.assert_array_equal(np.asarray(update["b"]), 1.0)


@EVERY_RULE
def test_masked_leaves_the_others_alone(rule):
    tx = optax.masked(jasgd.staleness_adaptive(rule), {"w": True, "b": False})
    for update, factor in zip(steps(tx)[0], factors(rule), strict=True):
        np.testing.assert_allclose(np.asarray(update["w"]), 2 * factor, rtol=1e-5)
        np.testing.assert_array_equal(np.asarray(update["b"]), 1.0)


@EVERY_RULE
def test_apply_if_finite_keeps_a_rejected_gradient_out_of_the_law(rule):
    tx = optax.apply_if_finite(jasgd.staleness_adaptive(rule), max_consecutive_errors=9)
    update = jax.jit(lambda grads, state, tau: tx.update(grads, state, PARAMS, staleness=tau))
    updates, state = update(GRADS, tx.init(PARAMS), np.int32(3))
    rejected, state = update(jax.tree.map(lambda g: g * jnp.nan, GRADS), state, np.int32(7))
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(rejected))
    assert int(state.inner_state.law.updates) == 1
    assert np.isfinite(np.asarray(updates["w"])).all()


@EVERY_RULE
def test_inject_hyperparams_with_the_rule_as_a_static_argument(rule):
    factory = optax.inject_hyperparams(jasgd.staleness_adaptive, static_args=("rule", "law"))
    assert_scaled(steps(factory(rule=rule))[0], factors(rule))


@EVERY_RULE
def test_multi_steps_called_directly_weighs_the_mean_by_the_last_staleness(rule):
    tx = optax.MultiSteps(jasgd.staleness_adaptive(rule), every_k_schedule=2)
    steps_taken, _ = steps(tx)
    kept = factors(rule, TAUS[1::2])
    assert_scaled(steps_taken[1::2], kept)
    assert all(not np.asarray(leaf).any() for update in steps_taken[::2] for leaf in jax.tree.leaves(update))


@EVERY_RULE
def test_scan_and_cond_keep_structure_and_dtypes(rule):
    tx = optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.1, momentum=0.9))

    def step(carry, tau):
        params, state = carry
        updates, after = tx.update(GRADS, state, params, staleness=tau)
        state = jax.lax.cond(tau > 2, lambda: after, lambda: state)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), jnp.arange(8))
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(PARAMS))
    assert int(optax.tree.get(state, "law").updates) == 5
    assert np.isfinite(np.asarray(params["w"])).all()


@EVERY_RULE
def test_vmap_over_states_gives_what_single_states_give(rule):
    tx = jasgd.staleness_adaptive(rule)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), tx.init(PARAMS))
    grads = jax.tree.map(lambda g: jnp.stack([g, 3 * g]), GRADS)
    update = jax.vmap(lambda g, s, tau: tx.update(g, s, staleness=tau))
    for taus in ((3, 0), (1, 6)):
        updates, states = update(grads, states, jnp.array(taus))
    for lane, taus in enumerate(((3, 1), (0, 6))):
        np.testing.assert_allclose(np.asarray(states.factor[lane]), factors(rule, taus)[-1], rtol=1e-5)
        np.testing.assert_allclose(np.asarray(updates["b"][lane]), (1 + 2 * lane) * factors(rule, taus)[-1], rtol=1e-5)


@EVERY_RULE
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64])
def test_dtypes_are_kept(rule, dtype):
    tx = jasgd.staleness_adaptive(rule)
    with jax.numpy_dtype_promotion("strict"):
        updates, state = tx.update(jnp.ones(2, dtype), tx.init(jnp.ones(2, dtype)), staleness=np.int32(2))
    assert updates.dtype == dtype
    assert state.factor.dtype == jnp.float32


@EVERY_RULE
def test_the_second_update_compiles_nothing(rule):
    tx = optax.chain(jasgd.staleness_adaptive(rule), optax.adam(1e-3))
    traces = []

    @jax.jit
    def update(grads, state, tau):
        traces.append(tau)
        return tx.update(grads, state, PARAMS, staleness=tau)

    state = tx.init(PARAMS)
    for tau in TAUS:
        _, state = update(GRADS, state, np.int32(tau))
    assert len(traces) == 1


@EVERY_RULE
def test_map_params_and_none_leaves_are_tolerated(rule):
    tx = optax.chain(jasgd.staleness_adaptive(rule), optax.trace(0.9))
    state = tx.init(PARAMS)
    doubled = optax.tree.map_params(tx, lambda leaf: leaf + 1, state)
    assert float(doubled[1].trace["b"][0]) == 1
    assert int(doubled[0].law.updates) == 0
    updates, _ = jasgd.staleness_adaptive(rule).update({"w": None, "b": GRADS["b"]}, state[0], staleness=1)
    assert updates["w"] is None


EXPECTED_FAILURES = {
    "chain(MultiSteps)": (
        lambda tx: optax.chain(optax.MultiSteps(tx, 2).gradient_transformation()), "missing .* 'staleness'"),
    "chain(lookahead)": (lambda tx: optax.chain(optax.lookahead(tx, 5, 0.5)), "missing .* 'staleness'"),
    "lookahead": (lambda tx: optax.lookahead(tx, 5, 0.5), "unexpected keyword argument 'staleness'"),
    "split_real_and_imaginary": (
        lambda tx: optax.chain(optax.contrib.split_real_and_imaginary(tx)), "missing .* 'staleness'"),
    "sam": (lambda tx: optax.contrib.sam(tx, tx), "unexpected keyword argument 'staleness'"),
    "plain GradientTransformation": (
        lambda tx: optax.chain(optax.GradientTransformation(tx.init, lambda u, s, p=None: tx.update(u, s, p))),
        "missing .* 'staleness'"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED_FAILURES)
def test_a_wrapper_that_loses_staleness_fails_loudly_and_is_refused_at_the_door(name):
    wrap, message = EXPECTED_FAILURES[name]
    tx = wrap(jasgd.staleness_adaptive(rules.tail()))
    params = PARAMS
    if name.endswith("lookahead") or "lookahead" in name:
        params = optax.LookaheadParams.init_synced(PARAMS)
    with pytest.raises(TypeError, match=message):
        tx.update(GRADS, tx.init(params), params, staleness=1)
    with pytest.raises(TypeError, match=r"tx must (hand 'staleness' on|accept the extra arguments)"):
        jasgd.train(
            lambda p, b: jnp.sum((p.fast if "lookahead" in name else p)["w"] ** 2), params, tx, lambda t: 0.0,
            workers=1, steps=1,
        )  # fmt: skip


def test_lbfgs_refuses_the_extra_argument_where_its_line_search_does():
    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.lbfgs())
    value_fn = lambda p: jnp.sum(p**2)  # noqa: E731
    params = jnp.ones(3)
    with pytest.raises(TypeError, match="staleness"):
        tx.update(2 * params, tx.init(params), params, staleness=1, value=3.0, grad=2 * params, value_fn=value_fn)


def test_the_place_in_the_chain_is_its_meaning():
    adapt = jasgd.staleness_adaptive(rules.inverse())
    # Gradients of 1, momentum 0.9, τ = 3 then 0: the gradient is scaled, or the whole step.
    assert moved(optax.chain(adapt, optax.sgd(1.0, momentum=0.9))) == pytest.approx(-(0.25 + 0.225 + 1))
    assert moved(optax.chain(optax.trace(0.9), adapt, optax.scale(-1.0))) == pytest.approx(-(0.25 + 1.9))
    # Before Adam a factor is divided away, after it scales the step.
    assert moved(optax.chain(adapt, optax.adam(1.0)), (3,)) == pytest.approx(-1, abs=1e-4)
    assert moved(optax.chain(optax.adam(1.0), adapt), (3,)) == pytest.approx(-0.25, abs=1e-4)


@pytest.mark.parametrize("update", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_staleness_must_be_an_integer_scalar(update):
    tx = jasgd.staleness_adaptive(rules.tail())
    state = tx.init(PARAMS)
    call = update(lambda tau: tx.update(GRADS, state, staleness=tau)[1].factor)
    for bad in (1.0, np.float32(1), jnp.ones(())):
        with pytest.raises(TypeError, match="staleness must be an integer number of updates, got dtype float"):
            call(bad)
    with pytest.raises(TypeError, match=r"staleness must be an integer .* bool"):
        call(True)
    with pytest.raises(ValueError, match="staleness must be a scalar, got shape"):
        call(jnp.zeros(2, jnp.int32))
    assert float(call(np.int64(0) if update is not jax.jit else np.int32(0))) == 1


def test_a_concrete_negative_staleness_is_refused_and_a_traced_one_gives_nan_uncounted():
    tx = jasgd.staleness_adaptive(rules.inverse())
    state = tx.init(PARAMS)
    with pytest.raises(ValueError, match="staleness must be ≥ 0 updates, got -2"):
        tx.update(GRADS, state, staleness=-2)
    updates, after = jax.jit(lambda tau: tx.update(GRADS, state, staleness=tau))(np.int32(-2))
    assert np.isnan(float(after.factor))
    assert np.isnan(np.asarray(updates["w"])).all()
    assert int(after.law.updates) == 0


def test_staleness_has_no_default():
    tx = jasgd.staleness_adaptive(rules.tail())
    with pytest.raises(TypeError, match="staleness"):
        tx.update(GRADS, tx.init(PARAMS))


def test_inject_hyperparams_that_takes_the_rule_for_a_schedule_is_told_how_to_do_it():
    with pytest.raises(TypeError, match=r"static_args=\('rule',\)"):
        optax.inject_hyperparams(jasgd.staleness_adaptive)(rule=rules.inverse()).init(PARAMS)


def test_constant_multiplies_nothing():
    tx = jasgd.staleness_adaptive(rules.constant())
    jaxpr = jax.make_jaxpr(lambda g, s, tau: tx.update(g, s, staleness=tau)[0])(GRADS, tx.init(PARAMS), 1)
    assert not [eqn for eqn in jaxpr.eqns if any(v is out for v in eqn.outvars for out in jaxpr.jaxpr.outvars)]


def test_a_state_can_be_saved_as_arrays():
    tx = jasgd.staleness_adaptive(rules.tail(), StalenessHistogram.decay(10.0))
    state = tx.init(PARAMS)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert paths == [".law.counts", ".law.updates", ".factor"]
    state = jasgd.staleness_adaptive(rules.tail()).init(PARAMS)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert paths == [".law.values", ".law.updates", ".factor"]


class TestDelayCompensated:
    def test_constant_and_adaptive_forms_are_the_equations(self):
        w, read, g = jnp.array([1.0, 2.0]), jnp.array([0.5, 2.5]), jnp.array([3.0, -2.0])
        tx = jasgd.delay_compensated(0.1)
        u, _ = tx.update(g, tx.init(w), w, read_params=read)
        np.testing.assert_allclose(np.asarray(u), np.asarray(g + 0.1 * g * g * (w - read)), rtol=1e-6)
        tx = jasgd.delay_compensated(2.0, mean_square_decay=0.9)
        state = tx.init(w)
        u, state = tx.update(g, state, w, read_params=read)
        np.testing.assert_allclose(np.asarray(state.mean_square), 0.1 * np.asarray(g) ** 2, rtol=1e-6)
        strength = 2.0 / np.sqrt(0.1 * np.asarray(g) ** 2 + 1e-7)
        np.testing.assert_allclose(np.asarray(u), g + strength * g * g * np.asarray(w - read), rtol=1e-5)

    @pytest.mark.parametrize("scheme", ["sequential", "synchronous", "locked", "hogwild", "leashed"])
    def test_the_trainer_hands_the_read_parameters_to_it(self, scheme):
        seen = optax.GradientTransformationExtraArgs(
            lambda params: jnp.zeros(()),
            lambda u, s, p=None, *, read_params, staleness, **_: (u, s + (p[0] - read_params[0] - staleness)),
        )
        tx = optax.chain(seen, jasgd.delay_compensated(0.0), optax.sgd(1.0))
        result = jasgd.train(
            lambda p, b: -p.sum(), jnp.zeros(2), tx, lambda t: 0.0, scheme=scheme,
            workers=1 if scheme in ("sequential", "hogwild") else 4, steps=200,
        )  # fmt: skip
        # Every update adds 1, so current minus read parameters is the staleness.
        assert float(result.opt_state[0]) == 0
        assert float(result.params[0]) == 200

    def test_bad_arguments_are_named(self):
        with pytest.raises(ValueError, match="strength must be a finite number ≥ 0, got -1"):
            jasgd.delay_compensated(-1)
        with pytest.raises(ValueError, match=r"mean_square_decay must lie in \[0, 1\), got 1"):
            jasgd.delay_compensated(1, mean_square_decay=1)
        tx = jasgd.delay_compensated()
        with pytest.raises(ValueError, match="needs the current parameters"):
            tx.update(jnp.ones(1), tx.init(jnp.ones(1)), read_params=jnp.ones(1))
