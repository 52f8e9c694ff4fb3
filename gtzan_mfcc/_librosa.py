"""Import librosa, with its functions compiled by one process at a time.

numba compiles functions of librosa when they are imported or first called, and caches
them on disk. Processes that compile at the same time may write cache files that do not
match, and then every later process crashes (numba issue 10128). So the process that
holds a lock compiles here all functions that this package uses.
"""

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import librosa
import numba
import numpy as np
from numba.core.caching import FunctionCache

from gtzan_mfcc._util import locked

__all__ = ["librosa"]


def _cache_folder():
    """Return the folder where numba caches librosa's functions."""
    try:
        return Path(FunctionCache(librosa.show_versions).cache_path)
    except RuntimeError:
        # As in containers. This process and its workers share a folder until it ends.
        warnings.warn(
            "librosa is compiled at each start, because neither its folder nor your "
            "home can be written to; set NUMBA_CACHE_DIR to a folder that can.",
            stacklevel=2,
        )
        folder = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder
        numba.config.CACHE_DIR = folder
        return Path(folder)


# Processes that share the folder share the lock.
with locked(_cache_folder() / "gtzan_mfcc.lock", timeout=600):
    # librosa imports lazily; these modules compile functions on import.
    import librosa.core.audio
    import librosa.core.pitch
    import librosa.util.utils

    # istft compiles two more functions when it is called, for float32 as used in this
    # package.
    librosa.istft(librosa.stft(np.zeros(4096, dtype=np.float32)))
