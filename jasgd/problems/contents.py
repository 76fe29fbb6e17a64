"""What a file holds, by its first bytes, not its name: compressed data are read, and web pages are recognised."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

HEAD = 512  # bytes that are enough to tell what a file is
_AT_ONCE = 1 << 20  # bytes
_NESTED = 3  # times that something may be compressed
_WRITTEN = 40  # letters of a text that a message shows

_COMPRESSED: dict[bytes, tuple[str, Callable[[Any], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\0": ("xz", lzma.open),
}
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive or .npz file, to be unpacked before",
    b"\x93NUMPY": "a .npy file of NumPy's",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB 5.0": "a MATLAB file",
    b"version https://git-lfs": "a pointer of Git LFS, whose file was not fetched",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
}
_TEXTS = {
    "<!doctype html": "an HTML page, as of a download that was redirected",
    "<html": "an HTML page, as of a download that was redirected",
    "<head": "an HTML page, as of a download that was redirected",
    "<?xml": "an XML document, as of a server's error",
    "{": "JSON, as of a server's error",
}


@dataclass(frozen=True)
class Content:
    """What was read of a file.

    Attributes:
      data: its bytes, decompressed.
      compression: ``"gzip"``, ``"bzip2"`` or ``"xz"``, empty for a raw file.
      broken: why they end before the file does, a sentence; else empty.
    """

    data: bytes
    compression: str = ""
    broken: str = ""


def read_content(path: Path, most: Callable[[bytes], int]) -> Content:
    """Reads a file, which may be compressed, whatever it is called.

    Args:
      path: the file.
      most: from its first bytes, decompressed, how many are to be read at most; so no file fills the memory.

    Returns:
      Its bytes, up to where they can be decompressed.

    Raises:
      OSError: where it cannot be read at all.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "raw")
      ...     _ = path.write_bytes(gzip.compress(b"abc"))
      ...     read_content(path, lambda head: 10)
      Content(data=b'abc', compression='gzip', broken='')
    """
    with path.open("rb") as file:
        stream: Any = file
        compression = ""
        try:
            for _ in range(_NESTED):
                head = stream.peek(HEAD)
                kind = next((kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)), None)
                if kind is None:
                    break
                compression, stream = kind[0], kind[1](stream)
        except Exception as error:
            return Content(b"", compression, f"its {compression} data {why_broken(error)}")
        data, why = read_up_to(stream, HEAD)
        if not why:
            more, why = read_up_to(stream, most(data) - len(data))
            data += more
        return Content(data, compression, why and f"its {compression} data {why}")


def read_up_to(stream: BufferedIOBase, size: int) -> tuple[bytes, str]:
    """The bytes that can be decompressed, and why there are no more, where they should not have ended.

    Args:
      stream: a file, or one of a decompressor.
      size: bytes to read at most.

    Returns:
      The bytes, and the end of a sentence, empty where nothing is wrong.

    Raises:
      OSError: where the file itself cannot be read.
    """
    chunks: list[bytes] = []
    try:
        # Unlike `read`, `read1` does not lose what precedes the break.
        while size > 0 and (chunk := stream.read1(min(size, _AT_ONCE))):
            chunks.append(chunk)
            size -= len(chunk)
    except Exception as error:
        return b"".join(chunks), why_broken(error)
    return b"".join(chunks), ""


def why_broken(error: Exception) -> str:
    """The end of a sentence on compressed data or an archive that cannot be read; raises what is another error."""
    if isinstance(error, EOFError):
        return "end early"
    # bzip2's error is a bare OSError; one of the disk has a number.
    decompressor = isinstance(error, OSError) and error.errno is None
    if decompressor or isinstance(error, (zlib.error, lzma.LZMAError, tarfile.TarError)):
        return f"are damaged ({error})"
    raise error


def recognised(head: bytes) -> str:
    """What a file is by its first bytes, where that is no data of images.

    Args:
      head: its first bytes.

    Returns:
      A phrase that says what it is and, of a text, how it begins; empty where it may be anything.

    Example:
      >>> recognised(b"<HTML><body>Please log in")
      "an HTML page, as of a download that was redirected (it begins with '<HTML><body>Please log in')"
      >>> recognised(bytes([0, 0, 8, 3]))
      ''
    """
    if not head:
        return "empty"
    if head[0] == 0x80 and len(head) > 1 and 2 <= head[1] <= 5:
        return "a pickle of Python's, which is never read"
    if head[257:262] == b"ustar":
        return "a tar archive, to be unpacked before"
    for magic, kind in _SIGNATURES.items():
        if head.startswith(magic):
            return kind
    try:
        text = head[:HEAD].decode("utf-8-sig", "ignore" if len(head) >= HEAD else "strict").strip()
    except UnicodeDecodeError:
        return ""
    if not text or not all(letter.isprintable() or letter.isspace() for letter in text):
        return ""
    kind = next((kind for start, kind in _TEXTS.items() if text.lower().startswith(start)), "a text")
    return f"{kind} (it begins with {text[:_WRITTEN]!r})"
