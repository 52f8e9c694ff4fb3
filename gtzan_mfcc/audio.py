"""Read sound files in the study's format (mono, 22,050 Hz), and cut them into segments."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from gtzan_mfcc._decoders import DecodingError, decode
from gtzan_mfcc._disk import OneLineError

SAMPLE_RATE = 22_050
"""Samples per second (Hz) of every signal in this package."""

SEGMENT_LENGTH = 3 * SAMPLE_RATE
"""Samples in a segment of 3 s."""

SEGMENTS_AT_ONCE = 10
"""Maximum number of segments that `segments` yields at once: those of 30 s, to save memory."""


# Full scale is 1. For larger values, the squares of a spectrum overflow float32.
_LOUDEST = 1e10


class AudioError(OneLineError, ValueError):
    """Raised if a sound file or signal cannot be used; the message says why and what to do."""


def load(path: str | Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read a sound file as mono float32.

    All formats of libsndfile are supported (WAV, FLAC, OGG, MP3, AU, ...), and, with PyAV, M4A,
    WMA and the sound of videos. Channels are averaged, then the signal is resampled with soxr's
    high-quality filter, as in ``librosa.load``.

    Parameters
    ----------
    path : str or Path
        The sound file.
    sample_rate : int
        Sample rate of the result in Hz.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]
        The signal; full scale is -1 to 1.

    Raises
    ------
    AudioError
        If the file is missing, empty, cut short or not a sound file, or has samples that are
        NaN, infinite or above 1e10. The message names the file.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    return np.concatenate(list(blocks(path, sample_rate=sample_rate)))


def blocks(path: str | Path, *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Read a sound file as `load` does, but in pieces, for files of any length.

    Parameters
    ----------
    path : str or Path
        The sound file.
    sample_rate : int
        Sample rate of the result in Hz.

    Yields
    ------
    y : np.ndarray [shape=(n,), dtype=float32]
        At most 30 s of the signal. The joined pieces are exactly what `load` returns.

    Raises
    ------
    AudioError
        As for `load`; for a file that is cut short, after the last piece.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise AudioError(f"{path}: a folder, not a sound file; name a file in it.")
        if not path.is_file():
            raise AudioError(f"{path}: no such file; check the name and the folder.")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: the file is empty; copy or download it again.")
        pieces = decode(path)
        native, promised = next(pieces)
        _check_rate(native, path)
        yield from _resampled(_mono(pieces, path, native, promised), native, sample_rate)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}).") from error
    except DecodingError as error:
        raise AudioError(f"{path}: {error}") from error


def _mono(
    pieces: Iterable[np.ndarray], path: Path, sample_rate: int, promised: int
) -> Iterator[np.ndarray]:
    n_read = 0
    for y in pieces:
        y = y.mean(axis=1) if y.shape[1] > 1 else y[:, 0]
        _check(y, path, n_read / sample_rate)
        n_read += len(y)
        yield y
    if n_read == 0:
        raise AudioError(f"{path}: holds no samples; copy or download it again.")
    if n_read < promised:
        cut = f"{n_read:,} of the {promised:,} samples that its header states"
        raise AudioError(f"{path}: cut short, with {cut}; copy or download it again.")


def _check_rate(sample_rate: int, name: str | Path) -> None:
    # Beyond these rates (Hz), soxr fails or memory runs out.
    lowest, highest = 1_000, 1_000_000
    if not lowest <= sample_rate <= highest:
        found = f"{sample_rate:,} samples a second, not {lowest:,} to {highest:,}"
        raise AudioError(f"{name}: {found}; export the file again.")


def _check(y: np.ndarray, name: str | Path, start: float = 0) -> None:
    # A comparison with NaN is false, so NaN is counted, too.
    if bad := np.count_nonzero(~(np.abs(y) < _LOUDEST)):
        found = f"{bad:,} of the {len(y):,} samples from {start:.0f} s on are NaN, infinite"
        raise AudioError(f"{name}: {found} or above {_LOUDEST:.0e}; export the file again.")


def _resampled(pieces: Iterable[np.ndarray], native: int, wanted: int) -> Iterator[np.ndarray]:
    """Resample piece by piece; the total length is that of ``librosa.resample``."""
    if native == wanted:
        yield from pieces
        return
    stream = soxr.ResampleStream(native, wanted, 1, dtype="float32", quality="HQ")
    n_in = n_out = 0
    for piece in pieces:
        resampled = stream.resample_chunk(piece)
        n_in, n_out = n_in + len(piece), n_out + len(resampled)
        yield resampled
    last = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    left = math.ceil(n_in * wanted / native) - n_out
    yield np.pad(last, (0, max(0, left - len(last))))[:left]


def convert(y: np.ndarray, native: int) -> np.ndarray:
    """Convert a signal to the format of `load`: float32, at 22,050 Hz, and checked.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        One channel. The full scale of floats is 1. The full scale of integers, such as the int16
        of ``scipy.io.wavfile``, is that of their type.
    native : int
        Sample rate of `y` in Hz.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]

    Raises
    ------
    AudioError
        If `y` has no samples, more than one channel, or values that are not numbers, NaN, infinite
        or above 1e10, or if the sample rate is not between 1,000 and 1,000,000 Hz.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.
    """
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "fiu":
        found = f"a signal of shape {y.shape} and type {y.dtype}"
        raise AudioError(f"{found}; one channel of numbers is needed. Average the channels.")
    if not len(y):
        raise AudioError("a signal without samples.")
    _check_rate(native, "the signal")
    if y.dtype.kind in "iu":
        # For unsigned samples, zero is the middle of the range.
        full = np.iinfo(y.dtype)
        middle = (full.max + 1) // 2 if y.dtype.kind == "u" else 0
        y = (y - np.float64(middle)) / (full.max - middle + 1)
    with np.errstate(over="ignore"):
        y = y.astype(np.float32)
    _check(y, "the signal")
    return np.concatenate(list(_resampled([y], native, SAMPLE_RATE)))


def shortest_segment(hop_length: int = 512) -> int:
    """Return the minimum number of samples that give as many MFCC frames as a whole segment.

    With the study's hop length of 512, this is 66,048 of 66,150 samples. The last piece of a track
    is kept if it has at least this length. This is the study's rule; on GTZAN, it gives the
    study's 9,986 segments.

    Parameters
    ----------
    hop_length : int
        Samples from one frame to the next.

    Returns
    -------
    n : int

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    return SEGMENT_LENGTH - SEGMENT_LENGTH % hop_length


def segments(
    signal: np.ndarray | Iterable[np.ndarray],
    length: int = SEGMENT_LENGTH,
    *,
    step: int | None = None,
    shortest: int | None = None,
) -> Iterator[np.ndarray]:
    """Cut a signal into segments, a few at a time to save memory.

    Parameters
    ----------
    signal : np.ndarray [shape=(n,)], or iterable of them
        The whole signal, or its pieces in order, as from `blocks`.
    length : int
        Samples in a segment.
    step : int, optional
        Samples from the start of one segment to the start of the next, from 1 to `length`. By
        default `length`: no overlap.
    shortest : int, optional
        Minimum length of the last piece in samples. If it has this length, it is padded with
        zeros; see `shortest_segment`. By default only whole segments are kept.

    Yields
    ------
    segments : np.ndarray [shape=(n_segments, length)]
        The next segments, at most ten. A signal that is shorter than a segment, but at least a
        sixth of it (half a second), is repeated to fill one segment.

    Raises
    ------
    AudioError
        If the signal is shorter than that. Errors of `signal` are raised, too.
    ValueError
        If `step` is not between 1 and `length`.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    step = length if step is None else step
    if not 1 <= step <= length:
        raise ValueError(f"step is {step}; take 1 to {length:,} samples.")
    shortest = length if shortest is None else shortest
    rest, found = np.zeros(0, np.float32), False
    for piece in [signal] if isinstance(signal, np.ndarray) else signal:
        rest = np.concatenate([rest, piece])
        if len(rest) < length:
            continue
        found = True
        windows = np.lib.stride_tricks.sliding_window_view(rest, length)[::step]
        for first in range(0, len(windows), SEGMENTS_AT_ONCE):
            yield windows[first : first + SEGMENTS_AT_ONCE].copy()
        rest = rest[len(windows) * step :]
    if len(rest) >= shortest:
        yield np.pad(rest, (0, length - len(rest)))[np.newaxis]
    elif not found:
        if len(rest) < length // 6:
            needed = f"at least {length // 6:,} are needed, a sixth of a segment"
            raise AudioError(f"{len(rest):,} samples of sound; {needed}.")
        yield np.resize(rest, (1, length))
