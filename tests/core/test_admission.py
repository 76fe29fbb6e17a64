"""Errors at the door: each names the argument, the value, and what is allowed; and nothing was started."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd


def loss(params, batch):
    return jnp.sum(params["w"] ** 2)


def adapted(update):
    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


GOOD = {
    "loss_fn": loss,
    "params": {"w": jnp.ones(3)},
    "tx": optax.sgd(0.1),
    "batches": lambda ticket: 0.0,
    "workers": 2,
    "steps": 5,
}

BAD = {
    "no workers": ({"workers": 0}, ValueError, "workers must be an integer ≥ 1, got 0"),
    "half a worker": ({"workers": 1.5}, ValueError, "workers must be an integer ≥ 1, got 1.5"),
    "no stop": (
        {"steps": None},
        ValueError,
        "a stop condition must be given: steps, epochs, time_limit_s or target_loss",
    ),
    "no steps": ({"steps": 0}, ValueError, "steps must be an integer ≥ 1, got 0"),
    "no time": ({"time_limit_s": 0}, ValueError, "time_limit_s must be > 0 seconds, got 0"),
    "NaN target": ({"target_loss": float("nan")}, ValueError, "target_loss must be a finite number, got nan"),
    "evaluations": ({"evaluate_every_s": 0}, ValueError, "evaluate_every_s must be > 0 seconds, got 0"),
    "on_nonfinite": ({"on_nonfinite": "skip"}, ValueError, "on_nonfinite must be 'stop' or 'pass', got 'skip'"),
    "scheme": (
        {"scheme": "leash"},
        ValueError,
        "scheme must be one of sequential, synchronous, locked, hogwild, leashed, got 'leash'",
    ),
    "scheme type": ({"scheme": 3}, TypeError, "scheme must be a name or a function of a Setup, got int"),
    "scheme that was not called": (
        {"scheme": jasgd.schemes.leashed},
        TypeError,
        r"scheme must be what leashed\(\.\.\.\) returns, got leashed itself: call it",
    ),
    "own scheme that was not called": (
        {"scheme": lambda slack=1: lambda setup: None},
        TypeError,
        r"scheme must make a jasgd\.schemes\.Scheme of a Setup, got function",
    ),
    "scheme that is none": (
        {"scheme": type("Open", (), {"__init__": lambda self, setup: None, "read": 1, "commit": 1, "snapshot": 1})},
        TypeError,
        r"scheme must make a jasgd\.schemes\.Scheme of a Setup, got Open",
    ),
    "scheme that is not set up": (
        {
            "scheme": type(
                "Open",
                (jasgd.schemes.Scheme,),
                dict.fromkeys(["read", "commit", "snapshot"], 1) | {"__init__": lambda self, setup: None},
            )
        },
        TypeError,
        r"scheme must call super\(\).__init__\(setup\), which Open does not",
    ),
    "scheme without a snapshot": (
        {"scheme": type("Open", (jasgd.schemes.Scheme,), {"read": 1, "commit": 1})},
        TypeError,
        "Can't instantiate abstract class Open .*snapshot",
    ),
    "scheme's own error": ({"scheme": lambda setup: setup.nothing}, AttributeError, "nothing"),
    "sequential": ({"scheme": "sequential"}, ValueError, "workers must be 1 for the scheme 'sequential', got 2"),
    "persistence": (
        {"scheme": jasgd.schemes.leashed(persistence=-1)},
        ValueError,
        "persistence must be an integer ≥ 0, or None for no bound, got -1",
    ),
    "max_staleness": (
        {"scheme": jasgd.schemes.hogwild(max_staleness=-1)},
        ValueError,
        "max_staleness must be an integer ≥ 0 in updates, or None, got -1",
    ),
    "reading": (
        {"scheme": jasgd.schemes.locked(reading="view")},
        ValueError,
        "reading must be 'copy', 'carry' or 'reference', got 'view'",
    ),
    "vector loss": (
        {"loss_fn": lambda p, b: p["w"]},
        TypeError,
        r"loss_fn must return a floating-point scalar, got float32\[3\]",
    ),
    "integer loss": ({"loss_fn": lambda p, b: 1}, TypeError, "loss_fn must return a floating-point scalar"),
    "no aux": ({"has_aux": True}, TypeError, r"loss_fn must return \(loss, aux\) with has_aux=True"),
    "vector aux": (
        {"has_aux": True, "loss_fn": lambda p, b: (loss(p, b), {"x": p["w"]})},
        TypeError,
        r"aux\['x'\] of loss_fn must be a scalar, got float32\[3\]",
    ),
    "aux of one name": (
        {"has_aux": True, "loss_fn": lambda p, b: (loss(p, b), {"a": {"b": 1.0}, "a/b": 1.0})},
        ValueError,
        "aux of loss_fn must have distinct names, got a/b, a/b",
    ),
    "text loss": ({"loss_fn": "mse"}, TypeError, "loss_fn must be a function of .params, batch., got str"),
    "leaf": ({"params": {"w": jnp.ones(3), "name": "x"}}, TypeError, r"params\['name'\] must be a jax or NumPy array"),
    "number": ({"params": {"w": 1.0}}, TypeError, r"params\['w'\] must be a jax or NumPy array, got float"),
    "integers": (
        {"params": {"w": jnp.ones(3), "n": jnp.ones(2, jnp.int32)}},
        TypeError,
        r"params\['n'\] must be of a floating-point dtype, got int32",
    ),
    "no parameters": ({"params": {}}, ValueError, "params must have at least one array"),
    "tx": ({"tx": 0.1}, TypeError, "tx must be an Optax gradient transformation, got float"),
    "loses staleness": (
        {
            "tx": optax.chain(
                optax.MultiSteps(jasgd.staleness_adaptive(jasgd.rules.tail()), 2).gradient_transformation()
            )
        },
        TypeError,
        "tx must hand 'staleness' on to the transformation inside",
    ),
    "refuses extras": (
        {"tx": optax.GradientTransformationExtraArgs(optax.identity().init, lambda u, s, p=None, **kw: (u, kw["lr"]))},
        KeyError,
        "lr",
    ),
    "refuses value": (
        {"tx": adapted(lambda u, s, p=None, *, staleness: (u, s))},
        TypeError,
        "tx must accept the extra arguments 'staleness' and 'value', and refuses them: .*unexpected keyword .*'value'",
    ),
    "branches on staleness": (
        {"tx": jasgd.staleness_adaptive(lambda tau: 0.5 if tau > 3 else 1.0)},
        TypeError,
        r"the rule failed while it was traced, before the run: TracerBoolConversionError: Attempted boolean conversion",
    ),
    "calls in the rule": (
        {"tx": jasgd.staleness_adaptive(lambda tau: (lambda: 1.0)(staleness=tau))},
        TypeError,
        r"the rule failed while it was traced, before the run: TypeError: .*unexpected keyword argument 'staleness'",
    ),
    "adds text": (
        {"tx": adapted(lambda u, s, p=None, **extra: (u + "a", s))},
        TypeError,
        "tx.update failed while it was traced, before the run: TypeError: unsupported operand",
    ),
    "asks for more": (
        {"tx": adapted(lambda u, s, p=None, *, read_params, lr, **extra: (u, s))},
        TypeError,
        "tx may ask for no extra arguments but 'staleness', 'value', 'read_params' and 'worker': .*'lr'",
    ),
    "batches": ({"batches": 3}, TypeError, "batches must be a function of a ticket or an iterator of batches, got int"),
    "no batches": ({"batches": []}, jasgd.BatchesExhausted, "batches ran out: the iterator ended after 0 items"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused_before_anything_starts(name):
    changed, error, message = BAD[name]
    before = threading.active_count()
    with pytest.raises(error, match=message):
        jasgd.train(**(GOOD | changed))
    assert threading.active_count() == before


def test_an_error_of_the_rule_is_the_cause_of_the_one_that_says_where_it_happened():
    with pytest.raises(TypeError) as caught:
        jasgd.train(**GOOD | {"tx": jasgd.staleness_adaptive(lambda tau: 0.5 if tau > 3 else 1.0)})
    assert isinstance(caught.value.__cause__, jax.errors.TracerBoolConversionError)


def test_an_error_of_another_type_keeps_its_type_and_is_noted():
    def rule(tau):
        raise LookupError("no such bin")

    with pytest.raises(LookupError, match="no such bin") as caught:
        jasgd.train(**GOOD | {"tx": jasgd.staleness_adaptive(rule)})
    assert "the rule failed while it was traced, before the run" in caught.value.__notes__


def test_the_good_arguments_are_good():
    assert jasgd.train(**GOOD).outcome == "finished"


def test_multi_steps_is_taken_as_it_is():
    tx = optax.MultiSteps(optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1)), 4)
    result = jasgd.train(**(GOOD | {"tx": tx, "steps": 8}))
    # Three of four commits change nothing, and the version advances all the same.
    assert result.execution.commits == 8
    assert int(result.opt_state.gradient_step) == 2


def test_numpy_parameters_and_any_pytree_are_taken():
    params = [(np.ones(2, np.float32),), {"b": jnp.ones(2, jnp.bfloat16)}]
    result = jasgd.train(
        **GOOD
        | {
            "params": params,
            "loss_fn": lambda p, b: jnp.sum(p[0][0] ** 2) + jnp.sum(p[1]["b"].astype(jnp.float32) ** 2),
        }
    )
    assert jax.tree.structure(result.params) == jax.tree.structure(params)
    assert result.params[1]["b"].dtype == jnp.bfloat16
    assert float(result.params[0][0][0]) < 1


@pytest.mark.parametrize("scheme", ["locked", "leashed", "hogwild"])
def test_a_device_is_used(scheme):
    result = jasgd.train(**GOOD | {"device": jax.devices("cpu")[0], "scheme": scheme})
    assert result.params["w"].devices() == {jax.devices("cpu")[0]}


def test_without_configure_cpu_several_workers_warn(monkeypatch):
    monkeypatch.setattr(jax.config, "read", lambda name: True)
    with pytest.warns(RuntimeWarning, match="2 workers share one pool of threads.*call jasgd.configure_cpu"):
        jasgd.train(**GOOD)
