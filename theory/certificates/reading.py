"""Reading the text of a certificate: whatever it says, it is read or refused in a short time."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from jasgd.inputs.text_files import read_text

MOST_BYTES = 8_000_000
MOST_DIGITS = 40  # of an integer
DEEPEST = 200  # levels of lists and objects, so that no function that follows them runs out of stack


def read(path: str) -> Any:
    """The JSON data of a file.

    Args:
      path: the file.

    Returns:
      The data, at most ``DEEPEST`` levels deep and without floats.

    Raises:
      OSError: where the file cannot be read.
      ValueError: where it is too large or no such JSON; with what is wrong.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("a certificate is a regular file")  # a pipe may never end
    if status.st_size > MOST_BYTES:
        raise ValueError(f"a certificate has at most {MOST_BYTES:,} bytes, got {status.st_size:,}")
    return parse(read_text(path))


def parse(text: str) -> Any:
    """The JSON data of a text; see :func:`read`.

    Example:
      >>> parse('{"tau": 1, "tau": 2}')
      Traceback (most recent call last):
      ValueError: the key 'tau' is there twice
    """
    try:
        data = json.loads(
            text,
            object_pairs_hook=_each_key_once,
            parse_int=_short_integer,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except RecursionError:
        raise ValueError(f"lists and objects are nested more than {DEEPEST} levels deep") from None
    _require_shallow(data)
    return data


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} is there twice")
        found[key] = value
    return found


def _short_integer(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"an integer has at most {MOST_DIGITS} digits, got {text[:MOST_DIGITS]}…")
    return int(text)


def _no_float(text: str) -> float:
    raise ValueError(f"numbers are integers, or texts such as '1/3', got {text[:40]}")


def _require_shallow(data: Any) -> None:
    level = [data]
    for _ in range(DEEPEST):
        level = [
            inner
            for part in level
            if isinstance(part, dict | list)
            for inner in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return
    raise ValueError(f"lists and objects are nested more than {DEEPEST} levels deep")
