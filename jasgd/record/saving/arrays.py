"""Named arrays in an .npz file: any name, any dtype, and every byte that is read is checked."""

from __future__ import annotations

import errno
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np


class SavedRunError(ValueError):
    """What was saved is damaged, incomplete, or not what was asked for; the message names the file."""


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray], *, compress: bool) -> None:
    """Writes an .npz file that ``numpy.load`` reads, whatever the names are.

    ``numpy.savez`` cannot be given the names of its own arguments, as ``file``. A dtype that NumPy does not have, such
    as bfloat16, is written as bytes of its size, so that ``numpy.load(...)[name].view(dtype)`` gives the array.

    Args:
      file: to write to, in binary mode.
      arrays: by name; in the byte order of this machine.
      compress: whether the bytes are deflated, which makes whole numbers smaller and weights only slower to write.

    Raises:
      OSError: where it cannot be written.

    Example:
      >>> file = io.BytesIO()
      >>> write_arrays(file, {"file": np.arange(3)}, compress=True)
      >>> read_arrays(io.BytesIO(file.getvalue()))
      {'file': array([0, 1, 2])}
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as members:
        for name, array in arrays.items():
            with members.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, in_bytes(array), allow_pickle=False)


def read_arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file.

    Args:
      file: to read from, in binary mode.

    Returns:
      The arrays by name, in the order of the file; those of a dtype that NumPy does not have as bytes of its size.

    Raises:
      SavedRunError: where a byte is not what was written; the caller names the file.
      OSError: where it cannot be read.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(file) as members:
            for member in members.namelist():
                # All of a member is read before any of it is believed: zipfile holds its checksum only at the end.
                content = io.BytesIO(members.read(member))
                arrays[member.removesuffix(".npy")] = np.lib.format.read_array(content, allow_pickle=False)
    except Exception as error:  # zipfile and NumPy raise a dozen kinds for damaged bytes, MemoryError among them
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # which a damaged offset leads to
            raise
        raise SavedRunError(f"is damaged: {type(error).__name__}: {error}") from error
    return arrays


def read_arrays_at(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file at a path; as :func:`read_arrays`, with the path in what is raised."""
    try:
        with path.open("rb") as file:
            return read_arrays(file)
    except SavedRunError as error:
        raise SavedRunError(f"{path} {error}") from error.__cause__


def in_bytes(array: np.ndarray) -> np.ndarray:
    """The array as NumPy alone can write it: of a dtype that NumPy does not have, bytes of its size."""
    array = np.asarray(array)
    if array.dtype.isbuiltin == 2:  # registered by another library
        return np.ascontiguousarray(array).reshape(array.shape).view(f"V{array.dtype.itemsize}")
    return array if array.dtype.hasobject else array.astype(array.dtype.newbyteorder("="), copy=False)


def described(name: str, array: np.ndarray) -> dict[str, Any]:
    """What a manifest says of an array.

    Args:
      name: of the array in its file.
      array: of any dtype.

    Returns:
      Its path, dtype, shape and the SHA-256 of its bytes in row-major order.

    Example:
      >>> described("w", np.zeros((2, 3), np.float32))["dtype"]
      'float32'
    """
    content: Any = np.ascontiguousarray(in_bytes(array)).reshape(-1).view(np.uint8)
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": name, "dtype": array.dtype.name, "shape": list(array.shape), "sha256": sha256}


def as_described(array: np.ndarray, description: Mapping[str, Any]) -> np.ndarray:
    """The array in its own dtype, once it is what its description says.

    Args:
      array: as :func:`read_arrays` gives it.
      description: as :func:`described` gives it.

    Returns:
      The array.

    Raises:
      SavedRunError: for another dtype, shape or digest; the caller names the file.
    """
    dtype = jax.numpy.dtype(description["dtype"])
    if array.dtype.kind == "V" and array.dtype.itemsize == dtype.itemsize:
        array = array.view(dtype)
    found = described(description["path"], array)
    for name in ("dtype", "shape", "sha256"):
        if found[name] != description[name]:
            raise SavedRunError(
                f"was altered: {description['path'] or 'its array'} has {name} {found[name]}, "
                f"written was {description[name]}"
            )
    return array
