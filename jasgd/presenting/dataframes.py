"""The rows of a run as a table of pandas, which is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(columns: Mapping[str, np.ndarray]) -> DataFrame:
    """A table of columns.

    Args:
      columns: arrays of one length, by name. Those of a dtype that NumPy does not have itself, such as bfloat16, become
        float32, which holds each of their values.

    Returns:
      The table, whose index counts from 0.

    Raises:
      ImportError: without pandas, naming the extra.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError('to_pandas needs pandas: pip install "jasgd[pandas]"') from error
    foreign = {name for name, column in columns.items() if column.dtype.kind == "V"}
    return DataFrame({name: c.astype(np.float32) if name in foreign else c for name, c in columns.items()})
