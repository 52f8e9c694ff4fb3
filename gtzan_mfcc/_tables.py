"""What several modules need for tables; apart from `_util`, as pandas takes a while."""

from collections.abc import Callable, Iterable
from functools import wraps

import numpy as np
import pandas as pd


def row_positions(rows: Iterable, table: pd.DataFrame) -> np.ndarray:
    """Return the positions of rows that are selected by a mask or by positions."""
    if isinstance(rows, pd.Series) and not rows.index.equals(table.index):
        raise ValueError("the index of the mask is not that of the table.")
    rows = np.atleast_1d(rows)
    if rows.dtype == bool:
        if len(rows) != len(table):
            raise ValueError(f"the mask has {len(rows)} rows, the table {len(table)}.")
        return np.flatnonzero(rows)
    return rows.astype(int)


def any_file_names(function: Callable) -> Callable:
    """Let a function put the name of any file into a table.

    If PyArrow is installed, pandas uses its strings, which must be valid UTF-8.
    """

    @wraps(function)
    def with_strings_of_python(*args: object, **kwargs: object) -> object:
        with pd.option_context("mode.string_storage", "python"):
            return function(*args, **kwargs)

    return with_strings_of_python
