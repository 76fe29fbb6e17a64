"""Formulas evaluated in JAX, while training."""

from __future__ import annotations

from typing import Any

from theory.formulas.formula import Formula


def evaluated(formula: Formula, staleness: Any, distribution: Any) -> Any:
    """Evaluates a formula in JAX, of traced staleness and F; ValueError for a mean, which needs a law."""
    import jax.numpy as jnp
    from jax.scipy.special import digamma, gammaln

    def of(part: Formula) -> Any:
        return evaluated(part, staleness, distribution)

    name, *parts = formula
    if name == "number":
        return float(parts[0])
    if name == "pi":
        return jnp.pi
    if name == "tau":
        return staleness * 1.0  # a float, since products of integers overflow
    if name == "F":
        return distribution
    if name in ("sum", "product", "min", "max"):
        combine = {"sum": jnp.add, "product": jnp.multiply, "min": jnp.minimum, "max": jnp.maximum}[name]
        total = of(parts[0])
        for part in parts[1:]:
            total = combine(total, of(part))
        return total
    if name == "power":
        return jnp.power(of(parts[0]) * 1.0, of(parts[1]))
    if name == "modulo":
        return jnp.mod(of(parts[0]), of(parts[1]))
    if name == "factorial":
        return jnp.exp(gammaln(of(parts[0]) + 1.0))
    if name == "harmonic":
        return digamma(of(parts[0]) + 1.0) + jnp.euler_gamma
    if name in ("exp", "log", "abs", "floor", "sin", "cos"):
        return getattr(jnp, name)(of(parts[0]))
    if name == "atan":
        return jnp.arctan(of(parts[0]))
    if name == "where":
        return jnp.where(of(parts[0]), of(parts[1]), of(parts[2]))
    if name in ("less", "at_most", "equal"):
        return {"less": jnp.less, "at_most": jnp.less_equal, "equal": jnp.equal}[name](of(parts[0]), of(parts[1]))
    if name == "not":
        return jnp.logical_not(of(parts[0]))
    if name in ("and", "or"):
        combine = jnp.logical_and if name == "and" else jnp.logical_or
        total = of(parts[0])
        for part in parts[1:]:
            total = combine(total, of(part))
        return total
    raise ValueError(f"{name} cannot be evaluated while training; give a distribution")
