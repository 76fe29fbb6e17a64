"""Asynchronous SGD in JAX, with a step size that adapts to measured staleness."""

__version__ = "0.1.0"
