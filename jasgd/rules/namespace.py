"""``jax.numpy`` for rules, imported where one is evaluated: the checker reads their formulas without JAX."""

from __future__ import annotations

from typing import Any


class _JaxNumpy:
    """Has the functions of ``jax.numpy``, as a rule's namespace ``xp``."""

    def __getattr__(self, name: str) -> Any:
        import jax.numpy

        return getattr(jax.numpy, name)


jnp: Any = _JaxNumpy()
