"""Keras, imported without the lines that TensorFlow writes to stderr as it starts.

They cannot be turned off by a setting (TensorFlow 2.21 writes them before it reads
``TF_CPP_MIN_LOG_LEVEL``), and would stand in every notebook that imports a model.
"""

import logging
import os

__all__ = ["keras"]

# Takes care of what is written later, when the first model is made.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
kept = os.dup(2)
try:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    import keras
finally:
    os.dup2(kept, 2)
    os.close(kept)

# A run of k folds builds many models, and TensorFlow would warn that it traces each of them.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
