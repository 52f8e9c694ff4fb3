"""One progress bar for all that takes long."""

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def bar(steps: Iterable, unit: str, show: bool, total: int | None = None) -> Iterable:
    """Go through the steps and show how many are done, unless told to be quiet."""
    # tqdm heeds its own TQDM_DISABLE in a terminal, but not in Jupyter.
    return tqdm(
        steps, unit=unit, total=total, disable=not show or bool(os.environ.get("TQDM_DISABLE"))
    )
