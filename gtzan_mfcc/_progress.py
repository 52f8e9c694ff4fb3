"""The progress bar of all long computations."""

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def bar(steps: Iterable, unit: str, show: bool, **progress: int) -> Iterable:
    """Iterate over the steps, with a progress bar if `show` is true."""
    # tqdm itself applies TQDM_DISABLE in a terminal, but not in Jupyter.
    quiet = not show or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(steps, unit=unit, disable=quiet, leave=False, **progress)
