"""Dampens stale gradients, and with them the overall step size: `magnitude` is refuted, and a repair is offered."""

from theory import tau

C = 1 / (1 + tau)
distribution = ["poisson:8", "geometric:1/8"]
