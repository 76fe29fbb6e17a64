"""The curvature of the loss between the parameters that are read and those that are updated, measured on the way."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jasgd.distances.norms import divisor
from jasgd.showing import line

FEWEST = 32  # updates that a trend of the loss is drawn through, at least
FIRST = 0.05  # L η until then: rates that are any good make it 0.03 to 0.2, and a run is at most risk at its start
INNER, NORM, STALENESS, VALUE, DISTANCE = range(5)  # rows of the ring


class Curvature(NamedTuple):
    r"""What the last updates say of the curvature; a pytree.

    With :math:`\delta = w - w_{read}`, a gradient g of the loss f at :math:`w_{read}` and a Hessian H that is constant
    on the way, :math:`f(w) - f(w_{read}) = \langle \nabla f, \delta \rangle + \tfrac12 \delta^\top H \delta`. The noise
    of g is independent of δ, so that means over the window give, with no gradient but those of the run,

    .. math:: E[\delta^\top H \delta] = 2\,(\bar\tau\,s - E\langle g, \delta \rangle)

    where s is the trend of the loss in an update, and thus :math:`\bar\tau s` its change from read to commit.

    Attributes:
      ring: of the last updates ⟨g, δ⟩, the norm of g, τ, the loss, and D; shape (5, window), float32.
      updates: how many there were; shape (), int32.
      bend: the last estimate, see :meth:`estimate`; shape (), float32.
    """

    ring: jax.Array
    updates: jax.Array
    bend: jax.Array

    def __repr__(self) -> str:
        return line("Curvature", {"window": self.ring.shape[-1], "updates": self.updates, "bend": self.bend})

    @classmethod
    def window(cls, length: int) -> Curvature:
        """One that knows nothing yet, and remembers the last ``length`` updates."""
        return cls(jnp.zeros((5, length), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def count(  # pyrefly: ignore[bad-override]
        self, inner: Any, norm: Any, staleness: Any, value: Any, distance: Any
    ) -> Curvature:
        """After one more update, with the bend that is estimated then.

        Args:
          inner: ⟨g, w - w_read⟩; scalar.
          norm: of g; scalar.
          staleness: τ in updates; scalar.
          value: the loss of g's mini-batch; scalar.
          distance: D, the norm of w - w_read; scalar.

        Returns:
          What is known now. An update in which one of these is not finite is left out.
        """
        row = jnp.stack([jnp.asarray(part, jnp.float32) for part in (inner, norm, staleness, value, distance)])
        length = self.ring.shape[1]
        here = jnp.arange(length, dtype=jnp.int32) == self.updates % jnp.int32(length)
        taken = jnp.all(jnp.isfinite(row))
        ring = jnp.where(taken & here, row[:, None], self.ring)
        again = jnp.int32(2**31 - length)
        following = jnp.where(self.updates < 2**31 - 1, self.updates + jnp.int32(1), again)
        counted = Curvature(ring, jnp.where(taken, following, self.updates), self.bend)
        return counted._replace(bend=counted.estimate())

    def estimate(self) -> jax.Array:
        r"""How strongly the parabola of Theorem H bends: :math:`\beta = b\,E[D^2] = L\,E[D^2] / (2\eta\sigma^2)`.

        L bounds the change of the gradient, which is more than the curvature along the way: it is taken as twice
        :math:`E[\delta^\top H\delta]/E[D^2]`, a 2 that was chosen by first runs on MNIST. The step is measured as well:
        where it is η times a gradient of mean square :math:`G^2`, and steps make a random walk,
        :math:`E[D^2] = \bar\tau\eta^2G^2`. Together

        .. math:: \beta = \frac{E[\delta^\top H \delta]\,\sqrt{\bar\tau}}{\sqrt{E[D^2]}\,\sqrt{G^2}}

        Both means are noisy: with a variance v of :math:`\hat c`, the estimate of :math:`E[\delta^\top H \delta]`, it
        is :math:`\hat c - v/\hat c` that is taken where that is above 0, so that noise alone bends little. The noise
        of ⟨g, δ⟩ and that of the loss are independent from update to update, so v comes from their
        spread in the window.

        Returns:
          float32 scalar ≥ 0; 0 where the loss curves down, where nothing but noise is seen, or where nothing moved;
          :math:`0.05\,\bar\tau` while fewer than 32 updates are known.
        """
        length = self.ring.shape[1]
        number = jnp.minimum(self.updates, jnp.int32(length)).astype(jnp.float32)
        place = jnp.arange(length, dtype=jnp.int32)
        age = ((self.updates - 1 - place) % jnp.int32(length)).astype(jnp.float32)
        held = age < number

        def mean(row: Any) -> jax.Array:
            return jnp.sum(jnp.where(held, row, jnp.float32(0))) / jnp.maximum(number, jnp.float32(1))

        def root_mean_square(row: Any) -> jax.Array:
            largest = jnp.max(jnp.abs(row))
            scale = jnp.where(largest > 0, divisor(largest), jnp.float32(1))
            return scale * jnp.sqrt(mean((row / scale) ** 2))

        tau, value = mean(self.ring[STALENESS]), self.ring[VALUE]
        since_middle = (number - 1) / 2 - age
        trend = mean(since_middle * (value - mean(value))) * 12 / jnp.maximum(number * number - 1, jnp.float32(1))
        inner = self.ring[INNER]
        curved = 2 * (tau * trend - mean(inner))
        # The standard error of it, from what is left of the loss beside its trend, and of the inner products.
        several = jnp.maximum(number, jnp.float32(2))
        off_trend = root_mean_square(jnp.where(held, value - mean(value) - trend * since_middle, jnp.float32(0)))
        off_mean = root_mean_square(jnp.where(held, inner - mean(inner), jnp.float32(0)))
        noise = 2 * jnp.hypot(tau * off_trend * jnp.sqrt(12 / (several**2 - 1)), off_mean) / jnp.sqrt(several)
        seen = curved > noise
        curved = jnp.where(seen, curved - noise * (noise / jnp.where(seen, curved, jnp.float32(1))), jnp.float32(0))
        moved, steep = root_mean_square(self.ring[DISTANCE]), root_mean_square(self.ring[NORM])
        bend = (
            curved
            / jnp.where((moved > 0) & (steep > 0), moved, jnp.float32(1))
            / jnp.where(steep > 0, steep, jnp.float32(1))
            * jnp.sqrt(tau)
        )
        known = (moved > 0) & (steep > 0) & jnp.isfinite(bend)
        first = jnp.float32(FIRST) * tau
        return jnp.where(number >= min(FEWEST, length), jnp.where(known, bend, jnp.float32(0)), first)
