"""Messages of the library in the words of the command line: an argument is named by the option that was typed."""

from __future__ import annotations

import dataclasses
import re
from typing import Any


def as_typed(message: str, command: Any) -> str:
    """A message of the library about an argument, with the option of a command in its place.

    Args:
      message: which begins with the name of an argument, as in ``"learning_rate must be …"``.
      command: whose options have the arguments' names, but for ``_s`` at the end of some; a dataclass.

    Returns:
      The message; as it was, where it is about none of the options.

    Example:
      >>> @dataclasses.dataclass
      ... class Train:
      ...     learning_rate: float = 0.1
      >>> as_typed("learning_rate must be > 0, got -1", Train())
      '--learning-rate must be > 0, got -1'
    """
    options = {
        field.name: f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(command)
        if "Positional" not in str(field.type)  # which is typed without its name
    }
    for name, option in list(options.items()):
        options.setdefault(f"{name}_s", option)
    subject = re.match(r"(\w+)(?= (must|goes|are|is)\b)", message)
    if subject is None or subject[1] not in options:
        return message
    return options[subject[1]] + message[subject.end() :]
