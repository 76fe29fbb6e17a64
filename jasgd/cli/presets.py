"""What ``--preset published`` brings along beside the problem: the learning rate and the batch size."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from jasgd.inputs.specs import parse_spec


class Values(NamedTuple):
    """Settings of published runs on a data set."""

    batch_size: int
    learning_rate: float
    steps: int | None = None  # of a run that has no stop condition; None for the command's own


#: data set → the settings of the examples in the README of dcs-chalmers/shared-memory-sgd, the published code; but the
#: learning rate of CIFAR-10 is ten times as large as there, where 0.005 leaves the loss as it is for 30,000 updates
PUBLISHED = {
    "mnist": Values(512, 0.005),
    "fashion_mnist": Values(512, 0.005),
    "cifar10": Values(16, 0.05, steps=6000),
}
#: what is to be known of a data set's values
REMARKS = {
    "cifar10": "the published rate is 0.005, with which the loss stays at 2.30 for 30,000 updates; with 0.05 it begins "
    "to fall after some 3,000",
}
OTHERS = Values(16, 0.005)  # on data sets that the published runs did not have, such as digits


def published_values(dataset: str) -> Values:
    """The learning rate and batch size of the published experiments on a data set.

    Args:
      dataset: its name, with options or without.

    Returns:
      The values; for a data set that these experiments did not have, values with which the preset trains there.

    Example:
      >>> published_values("mnist")
      Values(batch_size=512, learning_rate=0.005, steps=None)
    """
    return PUBLISHED.get(parse_spec(dataset)[0], OTHERS)


def take_preset(command: Any, rate: str) -> None:
    """Has a command take the values of its preset for the options that were not given, and says which.

    Args:
      command: options, with ``preset``, ``dataset``, ``given`` and ``hint``; it is changed.
      rate: name of its option for the learning rate, or for several.
    """
    if command.preset != "published":
        return
    values = published_values(command.dataset)
    wanted: dict[str, Any] = {"batch_size": values.batch_size, rate: values.learning_rate}
    if rate == "learning_rates":
        wanted[rate] = tuple(values.learning_rate * 2.0**k for k in range(-3, 4))  # around it, as sweep tunes it
    defaults = {field.name: field.default for field in dataclasses.fields(command)}
    brought = []
    for name, value in wanted.items():
        given = name in command.given if command.given is not None else getattr(command, name) != defaults[name]
        if not given:
            setattr(command, name, value)
            shown = " ".join(f"{one:g}" for one in value) if isinstance(value, tuple) else f"{value:g}"
            brought.append(f"--{name.replace('_', '-')} {shown}")
    rate_brought = any(rate.replace("_", "-") in one for one in brought)
    if values.steps is not None and hasattr(command, "stops") and not command.has_stop():
        command.steps = values.steps
        brought.append(f"--steps {values.steps}")
    remark = REMARKS.get(parse_spec(command.dataset)[0])
    if brought:
        some = f"; {remark}" if remark is not None and rate_brought else ""
        listed = " and ".join(filter(None, [", ".join(brought[:-1]), brought[-1]]))
        command.hint(f"jasgd: --preset published brings {listed}{some}")
