"""Transformations that adapt the step size to more than τ and its law: to the loss's smoothness, or to the worker."""
