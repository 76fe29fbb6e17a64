"""A transformation for runs that are replayed, and their records with columns altered."""

import dataclasses

import optax

import jasgd


def tail(lr=0.05):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(lr, momentum=0.9))


def without(result, **changes):
    """The result with columns of its execution changed."""
    return dataclasses.replace(result, execution=dataclasses.replace(result.execution, **changes))
