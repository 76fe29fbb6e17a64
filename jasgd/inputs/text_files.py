"""Reading texts that users write: a byte order mark says the encoding, which is UTF-8 without one."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: str | os.PathLike[str]) -> str:
    r"""The text of a file, as editors of any system save it.

    Args:
      path: the file.

    Returns:
      The text, without a byte order mark, and with ``\n`` at the end of each line.

    Raises:
      OSError: where it cannot be read.
      ValueError: where it is not in UTF-8, or in the encoding of its mark; with the file, the byte and its position.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "text")
      ...     _ = path.write_bytes(codecs.BOM_UTF8 + b"one\r\ntwo")
      ...     read_text(path)
      'one\ntwo'
    """
    content = Path(path).read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        expected = "UTF-16, which its byte order mark says" if encoding == "utf-16" else "UTF-8"
        byte = error.object[error.start]
        raise ValueError(
            f"{path} must be text in {expected}, got the byte 0x{byte:02x} at position {error.start}: {error.reason}"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
