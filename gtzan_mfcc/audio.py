"""Read any sound file as the signal the study used, and cut it into segments."""

import re
from pathlib import Path

import librosa
import numpy as np
import soundfile

SAMPLE_RATE = 22_050
"""Samples per second (Hz) of every signal in this package."""

SEGMENT_LENGTH = 3 * SAMPLE_RATE
"""Samples in a segment of 3 s."""

SHORTEST_SEGMENT = 129 * 512
"""Fewest samples that still give the 130 frames of a whole segment."""

# Full scale is 1. Beyond this the squares of a spectrum no longer fit into 32 bits.
_LOUDEST = 1e10


class AudioError(ValueError):
    """A sound file or signal that cannot be used; the message says why and what to do."""


def load(path: str | Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read a sound file as mono float32.

    Any format libsndfile reads will do (WAV, FLAC, OGG, MP3, AU, ...), at any sample
    rate. Channels are averaged, then the signal is resampled with soxr's
    high-quality filter, as ``librosa.load`` does.

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
        If the file is missing, empty, cut short, not sound, or holds samples that are
        NaN, infinite or beyond all measure. The message names the file.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path}: a folder, not a sound file; take it away or rename it.")
    if not path.is_file():
        raise AudioError(f"{path}: no such file; check the name and the folder.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the file is empty; copy or download it again.")
    try:
        with soundfile.SoundFile(path) as file:
            promised = _frames_promised(file)
            y = file.read(dtype="float32", always_2d=True)
            native_rate = file.samplerate
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path}: not a sound file that libsndfile can read ({error.error_string}); "
            "download it again, or convert it to WAV or FLAC."
        ) from error
    if len(y) == 0:
        raise AudioError(f"{path}: holds no samples; copy or download it again.")
    if len(y) < promised:
        raise AudioError(
            f"{path}: cut short, with {len(y):,} of the {promised:,} samples its header "
            "promises; copy or download it again."
        )
    y = y.mean(axis=1)
    # NaN is not below anything, so it is counted, too.
    if bad := np.count_nonzero(~(np.abs(y) < _LOUDEST)):
        raise AudioError(
            f"{path}: {bad:,} of {len(y):,} samples are NaN, infinite or above {_LOUDEST:.0e} "
            "(full scale is 1); export the file again."
        )
    if native_rate != sample_rate:
        y = librosa.resample(y, orig_sr=native_rate, target_sr=sample_rate)
    return y


def _frames_promised(file: soundfile.SoundFile) -> int:
    """Read how many samples a channel the header claims, which libsndfile corrects silently."""
    # libsndfile's log reads, for a WAV cut short, "data : 1323588 (should be 500000)";
    # in an AU file the size is called "Data Size", in an AIFF file "SSND".
    claim = re.search(r"(?:data|Data Size|SSND)\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info)
    if claim is None:
        return file.frames
    claimed, present = (int(size) for size in claim.groups())
    # A program that writes to a pipe cannot know the length, and claims nothing or the maximum.
    if claimed in (0, 0x7FFFFFFF, 0xFFFFFFFF) or present <= 0:
        return file.frames
    return file.frames * claimed // present


def cut(
    y: np.ndarray, length: int = SEGMENT_LENGTH, *, shortest: int | None = SHORTEST_SEGMENT
) -> np.ndarray:
    """Cut a signal into segments that follow one another without a gap.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal.
    length : int
        Samples in a segment.
    shortest : int, optional
        A last piece of at least so many samples is kept, filled up with zeros. The
        default keeps those that give as many MFCC frames as a whole segment; this is
        the study's rule, and gives its 9,986 segments on GTZAN. With None only whole
        segments are kept.

    Returns
    -------
    segments : np.ndarray [shape=(n_segments, length)]
        The segments in order; what is left at the end is dropped.

    Raises
    ------
    AudioError
        If the signal is too short for a single segment.
    ValueError
        If there is more than one channel.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    if y.ndim != 1:
        raise ValueError(f"a signal of shape {y.shape}; cut takes one channel, of shape (n,).")
    shortest = length if shortest is None else min(shortest, length)
    whole, rest = divmod(len(y), length)
    n_segments = whole + (rest >= shortest)
    if n_segments == 0:
        raise AudioError(
            f"{len(y) / SAMPLE_RATE:.2f} s of sound, and a segment needs "
            f"{shortest / SAMPLE_RATE:.2f} s; use a longer recording."
        )
    y = y[: n_segments * length]
    return np.pad(y, (0, n_segments * length - len(y))).reshape(n_segments, length)
