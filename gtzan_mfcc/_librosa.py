"""Import librosa, with its functions compiled by one process at a time.

numba compiles functions of librosa when they are imported or first called, and caches them on
disk. Processes that compile at the same time may write cache files that do not match, and then
every later process crashes (numba issue 10128). So the process that holds a lock compiles here
all functions that this package uses.
"""

from contextlib import ExitStack, suppress
from pathlib import Path

import librosa
import numpy as np
from filelock import FileLock
from numba.core.caching import FunctionCache

__all__ = ["librosa"]

# The folder where numba caches librosa's functions: processes that share it share the lock.
_FOLDER = Path(FunctionCache(librosa.show_versions).cache_path)

with ExitStack() as stack:
    # Continue without the lock if files cannot be locked, or if another process never releases it.
    with suppress(OSError, NotImplementedError):
        stack.enter_context(FileLock(_FOLDER / "gtzan_mfcc.lock", timeout=600, mode=0o666))
    # librosa imports lazily; these modules compile functions on import.
    import librosa.core.audio
    import librosa.core.pitch
    import librosa.util.utils

    # istft compiles two more functions when it is called, for float32 as used in this package.
    librosa.istft(librosa.stft(np.zeros(4096, dtype=np.float32)))
