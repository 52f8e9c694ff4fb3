"""One progress bar for all that takes long."""

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def bar(steps: Iterable, unit: str, show: bool, **progress: int) -> Iterable:
    """Go through the steps; show how many are done, how fast and how long the rest will take."""
    # tqdm heeds its own TQDM_DISABLE in a terminal, but not in Jupyter.
    quiet = not show or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(steps, unit=unit, disable=quiet, **progress)
