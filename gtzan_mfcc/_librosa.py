"""librosa, compiled by one process at a time.

numba compiles functions of librosa when they are imported or first called, and keeps them on
disk for the next process. Processes that compile at the same time may leave files that do not
fit each other, and then every later process crashes (numba issue 10128). Whoever holds the lock
compiles here all that this package uses, so that nothing is left to be compiled without it.
"""

from contextlib import ExitStack, suppress
from pathlib import Path

import librosa
import numpy as np
from filelock import FileLock
from numba.core.caching import FunctionCache

__all__ = ["librosa"]

# The folder where numba keeps librosa's functions: processes that share it share the lock.
_FOLDER = Path(FunctionCache(librosa.show_versions).cache_path)

with ExitStack() as stack:
    # Go on without the lock where files cannot be locked, or if its holder sleeps.
    with suppress(OSError, NotImplementedError):
        stack.enter_context(FileLock(_FOLDER / "gtzan_mfcc.lock", timeout=600, mode=0o666))
    # librosa imports lazily; these modules compile functions on import.
    import librosa.core.audio
    import librosa.core.pitch
    import librosa.util.utils

    # istft compiles two more when called, for the type of its argument: float32, as all here.
    librosa.istft(librosa.stft(np.zeros(4096, dtype=np.float32)))
