"""What ``--preset published`` brings along beside the problem: the learning rate and the batch size."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from jasgd.inputs.specs import parse_spec


class Values(NamedTuple):
    """Settings of published runs on a data set."""

    batch_size: int
    learning_rate: float


#: data set → the settings of the examples in the README of dcs-chalmers/shared-memory-sgd, the published code
PUBLISHED = {"mnist": Values(512, 0.005), "fashion_mnist": Values(512, 0.005), "cifar10": Values(16, 0.005)}
#: what is to be known of a data set's values
REMARKS = {
    "cifar10": "with these the loss stays at its initial value for more than 30,000 updates; with --learning-rate 0.05 "
    "lenet leaves it after some 4,000",
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
      Values(batch_size=512, learning_rate=0.005)
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
    remark = REMARKS.get(parse_spec(command.dataset)[0])
    if brought:
        some = f"; {remark}" if remark is not None and len(brought) == len(wanted) else ""
        command.hint(f"jasgd: --preset published brings {' and '.join(brought)}{some}")
