"""What a rule is: how one is called, whether it reads the law, and its moments under a law."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from jasgd.rules.namespace import jnp
from jasgd.rules.shown import LibraryRule

if TYPE_CHECKING:
    import jax

#: ``rule(staleness)`` or ``rule(staleness, law)``; the latter is said to read the law.
Rule = Callable[..., Any]


def reads_law(rule: Rule) -> bool:
    """Whether a rule takes the law as a second positional argument.

    Args:
      rule: the rule.

    Returns:
      True for ``rule(staleness, law)``, False for ``rule(staleness)``.

    Raises:
      TypeError: where ``rule`` cannot be called with one or two positional arguments; an array is named as what
        ``optax.inject_hyperparams`` passes in place of a rule that it takes for a schedule, a factory as one to be
        called.

    Example:
      >>> reads_law(lambda staleness: 1.0), reads_law(lambda staleness, law: law.mean())
      (False, True)
    """
    if not callable(rule):
        hint = ""
        if hasattr(rule, "dtype"):
            hint = (
                "; optax.inject_hyperparams takes a function for a schedule of the step count: keep the rule out of "
                "its hands with inject_hyperparams(..., static_args=('rule',))"
            )
        raise TypeError(f"rule must be a function of (staleness) or (staleness, law), got {type(rule).__name__}{hint}")
    try:
        signature = inspect.signature(rule)
    except (TypeError, ValueError):  # some built-ins have no signature; those are functions of τ alone
        return False
    parameters, name = signature.parameters.values(), getattr(rule, "__name__", rule)
    if signature.return_annotation in ("Rule", Rule):
        raise TypeError(f"rule must be what {name}(...) returns, got {name} itself: call it")
    kinds = inspect.Parameter
    if any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
        return True
    positional = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is kinds.empty]
    forced = [p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY and p.default is kinds.empty]
    if not positional or len(required) > 2 or forced:
        raise TypeError(f"rule must take (staleness) or (staleness, law), got {name}{signature}")
    # A second argument with a default is an option of the rule, unless it is called law.
    return len(required) == 2 or any(p.name == "law" for p in positional[1:])


def warms_up(rule: Rule) -> bool:
    """Whether a rule needs a measured law, so that its factor is 1 until the warm-up is over."""
    return getattr(rule, "warms_up", reads_law(rule))


def evaluate(rule: Rule, staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
    """C(τ), whichever of the two forms the rule has.

    Args:
      rule: the rule.
      staleness: τ in updates; integers of any shape.
      law: what a rule that reads the law is given as its second argument.
      xp: the namespace for a rule that has a keyword of that name.

    Returns:
      What the rule returns.

    Raises:
      TypeError: where ``rule`` is no rule, or returns a function, as a factory of rules does.

    Example:
      >>> evaluate(lambda staleness: 1 / (1 + staleness), 1, law=None)
      0.5
    """
    arguments = (staleness, law) if reads_law(rule) else (staleness,)
    factor = rule(*arguments, xp=xp) if _takes_namespace(rule) else rule(*arguments)
    if inspect.isroutine(factor) or isinstance(factor, LibraryRule):
        name = getattr(rule, "__name__", rule)
        raise TypeError(f"rule must return a factor, got a function from {name}: call it, as in {name}()")
    return factor


def _takes_namespace(rule: Rule) -> bool:
    try:
        return "xp" in inspect.signature(rule).parameters
    except (TypeError, ValueError):
        return False


class StepSizeMoments(NamedTuple):
    """Moments of a step-size function under a law; each a float32 scalar."""

    mean: jax.Array  # E[C]
    mean_square: jax.Array  # E[C²]
    mean_staleness: jax.Array  # E[τ C(τ)], in updates


def step_size_moments(rule: Rule, law: Any) -> StepSizeMoments:
    r""":math:`E[C]`, :math:`E[C^2]` and :math:`E[\tau C(\tau)]` of a rule under a law.

    E[C] = 1 is the preservation of the overall step size; the other two enter the convergence bounds.

    Args:
      rule: the rule.
      law: the law, for instance a :class:`jasgd.StalenessHistogram`.

    Returns:
      The three moments.

    Raises:
      TypeError: where ``rule`` is no rule.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [float(x) for x in step_size_moments(jasgd.rules.tail(), law)]
      [1.0, 1.28125, 0.625]
    """
    law = law.padded() if hasattr(law, "padded") else law  # a rule may bring a law of its own

    def factor(tau: jax.Array) -> jax.Array:
        return jnp.asarray(evaluate(rule, tau, law), jnp.float32)

    return StepSizeMoments(
        law.expect(factor),
        law.expect(lambda tau: factor(tau) ** 2),
        law.expect(lambda tau: tau.astype(jnp.float32) * factor(tau)),
    )
