"""Keras, imported without the lines that TensorFlow writes to stderr as it starts.

They cannot be turned off by a setting (TensorFlow 2.21 writes them before it reads
``TF_CPP_MIN_LOG_LEVEL``), and would stand in every notebook that imports a model.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keras"]


@contextmanager
def _stderr_to_nowhere() -> Iterator[None]:
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# Takes care of what is written later, when the first model is made.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _stderr_to_nowhere():
    import keras

# A run of k folds builds many models, and TensorFlow would warn that it traces each of them.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
