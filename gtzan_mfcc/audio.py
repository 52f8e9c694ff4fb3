"""Read sound files as mono signals of one sample rate, and cut them into segments."""

import io
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from gtzan_mfcc._decoders import DecodingError, decode
from gtzan_mfcc._util import UserError

SAMPLE_RATE = 22_050
"""Samples per second (Hz) of the study's signals."""

SEGMENT_LENGTH = 3 * SAMPLE_RATE
"""Samples in a segment of 3 s at `SAMPLE_RATE`."""

SEGMENTS_AT_ONCE = 10
"""Maximum number of segments that `segments` yields at once, to save memory."""


class AudioError(UserError, ValueError):
    """Raised if a sound file or signal cannot be used; the message says why."""


def load(
    file: str | Path | BinaryIO | bytes, *, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Read a sound file as mono float32.

    All formats of libsndfile and FFmpeg are supported (WAV, FLAC, OGG, MP3, M4A, WMA,
    ...), and the sound of videos. Channels are averaged, then the signal is resampled
    with soxr's high-quality filter, as in ``librosa.load``. A file that consists of
    several sound files in a row is read to its end.

    Parameters
    ----------
    file : str, Path, binary file or bytes
        The sound file: its path, an open file, or its content. An open file must
        support ``seek``. It is read from its start, and stays open.
    sample_rate : int
        Sample rate of the result in Hz. If it is not 22,050, use the same rate in
        `gtzan_mfcc.features.Settings`.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]
        The signal; full scale is -1 to 1.

    Raises
    ------
    AudioError
        If the file is missing, empty, cut short or not a sound file; if its sample rate
        is not between 1,000 and 1,000,000; or if it has samples that are NaN, infinite
        or above 1e10. The message names the file. If a header does not state a length,
        as in files from a pipe, the file is not refused.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> import io
    >>> import soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros((44_100, 2)), 44_100, format="WAV")
    >>> load(file).shape
    (22050,)
    >>> load(file.getvalue(), sample_rate=16_000).shape
    (16000,)
    """
    return np.concatenate(list(blocks(file, sample_rate=sample_rate)))


def blocks(
    file: str | Path | BinaryIO | bytes, *, sample_rate: int = SAMPLE_RATE
) -> Iterator[np.ndarray]:
    """Read a sound file as `load` does, but in pieces, for files of any length.

    Parameters
    ----------
    file : str, Path, binary file or bytes
        As for `load`.
    sample_rate : int
        As for `load`.

    Yields
    ------
    y : np.ndarray [shape=(n,), dtype=float32]
        At most 30 s of the signal. The joined pieces are exactly what `load` returns.

    Raises
    ------
    AudioError
        As for `load`; for a file that is cut short, at its end.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> import io
    >>> import soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros(70 * 8_000), 8_000, format="WAV")
    >>> [round(len(y) / 8_000) for y in blocks(file, sample_rate=8_000)]
    [30, 30, 10]
    """
    if isinstance(file, str | os.PathLike):
        name = Path(file)
    else:
        name = getattr(file, "name", None) or "the given sound"
    try:
        with _opened(file) as opened:
            if opened.seek(0, os.SEEK_END) == 0:
                raise AudioError("the file is empty; copy or download it again.")
            yield from _resampled(_mono(decode(opened)), sample_rate)
    except OSError as error:
        reason = error.strerror or error
        raise AudioError(f"{name}: cannot be read ({reason}).") from error
    except (AudioError, DecodingError) as error:
        raise AudioError(f"{name}: {error}") from error


def convert(y: np.ndarray, native: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Convert a signal to what `load` returns: float32, another sample rate, checked.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        One channel of floating-point numbers; full scale is -1 to 1.
    native : int
        Sample rate of `y` in Hz.
    sample_rate : int
        Sample rate of the result in Hz.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]

    Raises
    ------
    AudioError
        If `y` has no samples, more than one channel, or integers; if it has values
        that are NaN, infinite or above 1e10; or if `native` is not between 1,000 and
        1,000,000.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.

    Examples
    --------
    >>> convert(np.zeros(44_100), 44_100).shape
    (22050,)
    """
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind != "f":
        raise AudioError(
            f"a signal of shape {y.shape} and type {y.dtype}, not one channel of "
            "floating-point numbers; average the channels, divide int16 by 32768."
        )
    pieces = _mono([(native, y[:, np.newaxis].astype(np.float32))])
    return np.concatenate(list(_resampled(pieces, sample_rate)))


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
        Samples from the start of one segment to the start of the next, from 1 to
        `length`. By default `length`: no overlap.
    shortest : int, optional
        Minimum length of the last piece in samples. If it has this length, it is padded
        with zeros; see `gtzan_mfcc.features.Settings.shortest_segment`. By default only
        whole segments are kept.

    Yields
    ------
    segments : np.ndarray [shape=(n_segments, length)]
        The next segments, at most ten. A signal that is shorter than a segment, but at
        least a sixth of it (half a second), is repeated to fill one segment.

    Raises
    ------
    AudioError
        If the signal is shorter than that. Errors of `signal` are raised, too.
    ValueError
        If `step` is not between 1 and `length`.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> batches = list(segments(np.arange(10), 4, step=3))
    >>> batches[0].astype(int).tolist()
    [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    """
    step = length if step is None else step
    if not 1 <= step <= length:
        raise ValueError(f"step is {step}; take 1 to {length:,} samples.")
    shortest = length if shortest is None else shortest
    rest = np.zeros(0, np.float32)
    found = False
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
        # The last piece, nearly whole.
        yield np.pad(rest, (0, length - len(rest)))[np.newaxis]
    elif not found:
        if 6 * len(rest) < length:
            raise AudioError(
                f"{len(rest):,} samples of sound; at least {length // 6:,} are needed, "
                "a sixth of a segment."
            )
        # A short signal, repeated.
        yield np.resize(rest, (1, length))


def _opened(file):
    """Open a path or bytes; an open file stays open after the ``with`` block."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    if not isinstance(file, str | os.PathLike):
        return nullcontext(file)
    path = Path(file)
    # What is no regular file, such as a pipe, may never end.
    if not path.is_file():
        raise AudioError("no such file, or a folder or pipe; check the name.")
    return path.open("rb")


def _mono(pieces):
    """Average the channels, and check all samples."""
    n_samples = 0
    for rate, y in pieces:
        # At other rates, soxr fails or memory runs out.
        if not 1_000 <= rate <= 1_000_000:
            raise AudioError(
                f"{rate:,} samples per second, not 1,000 to 1,000,000; export it again."
            )
        # Ten times as fast as y.mean(axis=1), because there are few channels.
        y = sum(y.T) / y.shape[1]
        # The squares of larger values overflow float32. A comparison with NaN is false.
        if not (np.abs(y) < 1e10).all():
            raise AudioError(
                "some samples are NaN, infinite or above 1e10; export it again."
            )
        n_samples += len(y)
        yield rate, y
    if not n_samples:
        raise AudioError("no samples, or not finished; copy or download it again.")


def _resampled(pieces, wanted):
    """Resample piece by piece; the total length is that of ``librosa.resample``."""
    for native, group in groupby(pieces, key=lambda piece: piece[0]):
        if native == wanted:
            yield from (y for _, y in group)
            continue
        stream = soxr.ResampleStream(native, wanted, 1, dtype="float32", quality="HQ")
        n_in = 0
        n_out = 0
        for _, y in group:
            resampled = stream.resample_chunk(y)
            n_in += len(y)
            n_out += len(resampled)
            yield resampled
        last = stream.resample_chunk(np.zeros(0, np.float32), last=True)
        left = math.ceil(n_in * wanted / native) - n_out
        yield np.pad(last, (0, max(0, left - len(last))))[:left]
