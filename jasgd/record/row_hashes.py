"""A hash of each row of an execution, so that an altered row is found."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

HASHED_AT_ONCE = 1 << 13  # rows, so that their hashes stay in the cache


def row_hashes(columns: Iterable[np.ndarray]) -> np.ndarray:
    """FNV-1a, 64 bits, of the bytes of each row; each of its steps is a bijection, so that no flipped bit is lost."""
    arrays = [np.ascontiguousarray(column) for column in columns]
    hashes = np.full(len(arrays[0]), 0xCBF29CE484222325, np.uint64)
    for start in range(0, len(hashes), HASHED_AT_ONCE):
        part = slice(start, start + HASHED_AT_ONCE)
        chunk = hashes[part]
        for array in arrays:
            for byte in array[part, None].view(np.uint8).T:
                chunk ^= byte
                chunk *= np.uint64(0x100000001B3)
    return hashes
