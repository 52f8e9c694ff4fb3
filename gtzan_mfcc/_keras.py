"""Import Keras without the lines that TensorFlow writes to stderr at start.

No setting turns them off (TensorFlow 2.21 writes them before it reads
``TF_CPP_MIN_LOG_LEVEL``), and they would appear in every notebook that imports a model.
"""

import logging
import os
import sys
from contextlib import contextmanager

__all__ = ["keras", "keras_versions"]


@contextmanager
def _without_stderr():
    try:
        kept = os.dup(2)
    except OSError:
        # A program without a console: nothing would be seen.
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# This hides the lines that come later, when the first model is built.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _without_stderr():
    import keras

# Cross-validation builds many models, and TensorFlow warns when it traces each of them.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


def keras_versions():
    """Describe what the numbers of a network depend on besides its code."""
    # Not the version of a package, because TensorFlow has several packages.
    backend = keras.backend.backend()
    versions = [keras.__version__, backend, sys.modules[backend].__version__]
    return [*versions, keras.config.floatx(), keras.config.dtype_policy().name]
