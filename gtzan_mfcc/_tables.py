"""What several modules need for tables; not in `_util`, as importing pandas is slow."""

from functools import wraps

import numpy as np
import pandas as pd


def row_positions(rows, table):
    """Return the positions of rows that are selected by a mask or by positions."""
    if isinstance(rows, pd.Series) and not rows.index.equals(table.index):
        raise ValueError("the index of the mask is not that of the table.")
    return np.arange(len(table))[list(rows)]


def any_file_names(function):
    """Let a function put the name of any file into a table.

    If PyArrow is installed, pandas uses its strings, which must be valid UTF-8.
    """

    @wraps(function)
    def with_strings_of_python(*args, **kwargs):
        with pd.option_context("mode.string_storage", "python"):
            return function(*args, **kwargs)

    return with_strings_of_python
