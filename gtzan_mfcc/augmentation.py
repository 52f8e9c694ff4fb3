"""Augmentations of a signal, the study's three among them, each repeatable for a seed."""

from collections.abc import Callable, Sequence
from zlib import crc32

import audiomentations
import numpy as np
import scipy.fft
import scipy.signal
import soxr

from gtzan_mfcc._librosa import librosa
from gtzan_mfcc.audio import SAMPLE_RATE

STUDY = ("random_gain", "white_noise", "pitch_scale")
"""Names of the study's three augmentations, in the order in which the copies are kept."""

Seed = int | list[int] | np.random.Generator
"""Whatever ``numpy.random.default_rng`` takes."""


def random_gain(
    y: np.ndarray, *, seed: Seed, factors: tuple[float, float] = (2.0, 4.0)
) -> np.ndarray:
    """Make each signal louder by a random factor.

    Samples beyond full scale are kept, not clipped, as in the study.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets a factor of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    factors : tuple of float
        Least and greatest factor; drawn uniformly between them.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gain = 20 * np.log10(rng.uniform(*factors))
        return audiomentations.Gain(gain, gain, p=1.0)(signal, SAMPLE_RATE)

    return _one_by_one(apply, y, seed)


def white_noise(
    y: np.ndarray, *, seed: Seed, factors: Sequence[float] = (0.1, 0.2, 0.3, 0.4)
) -> np.ndarray:
    """Add white Gaussian noise to each signal, in proportion to its own standard deviation.

    By NumPy, and not by ``audiomentations.AddGaussianNoise``, which draws from the global
    generator, and in more than twice the time.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets noise of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    factors : sequence of float
        Standard deviations of the noise, as shares of the signal's; one of them is drawn.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        amplitude = np.float32(rng.choice(factors)) * signal.std()
        noise = rng.standard_normal(len(signal), dtype=np.float32)
        noise *= amplitude
        noise += signal
        return noise

    return _one_by_one(apply, y, seed)


def pitch_scale(
    y: np.ndarray,
    *,
    seed: Seed,
    semitones: Sequence[float] = (-1, -2, -3),
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Shift the pitch of each signal by a random number of semitones, keeping its duration.

    The values are those of ``librosa.effects.pitch_shift`` (a phase vocoder, then resampling),
    to within rounding, in half of its time.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets a shift of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    semitones : sequence of float
        Shifts in semitones, negative for down; one of them is drawn.
    sample_rate : int
        Sample rate of `y` in Hz.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rate = 2.0 ** (-rng.choice(semitones) / 12)
        stretched = _time_stretch(signal, rate)
        shifted = soxr.resample(stretched, sample_rate / rate, sample_rate, quality="HQ")
        return librosa.util.fix_length(shifted, size=len(signal))

    return _one_by_one(apply, y, seed)


def _time_stretch(y: np.ndarray, rate: float, n_fft: int = 2048) -> np.ndarray:
    """Do as ``librosa.effects.time_stretch``, with most of its loop over frames in arrays."""
    # In 64 bits, as librosa does: in the weak bins, rounding would decide how a phase turns.
    hop, window = n_fft // 4, scipy.signal.get_window("hann", n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(y, n_fft // 2), n_fft)[::hop]
    stft = scipy.fft.rfft(frames * window).astype(np.complex64)
    window = window.astype(np.float32)
    frames = scipy.fft.irfft(_phase_vocoder(stft, rate, hop), n_fft) * window
    # Each frame overlaps with the three before it: add it in four parts.
    total, weight = np.zeros((2, len(frames) + 3, hop), np.float32)
    for k in range(4):
        part = slice(k * hop, (k + 1) * hop)
        total[k : k + len(frames)] += frames[:, part]
        weight[k : k + len(frames)] += np.square(window[part])
    total /= np.where(weight > np.finfo(np.float32).tiny, weight, 1)
    return librosa.util.fix_length(total.ravel()[n_fft // 2 :], size=round(len(y) / rate))


def _phase_vocoder(stft: np.ndarray, rate: float, hop: int) -> np.ndarray:
    """Do as ``librosa.phase_vocoder``, for frames in rows."""
    steps = np.arange(0, len(stft), rate)
    at, share = steps.astype(int), np.float32(steps % 1)[:, np.newaxis]
    stft = np.pad(stft, ((0, 2), (0, 0)))
    magnitude, angle = np.abs(stft), np.angle(stft)
    # From frame to frame a bin turns by what was measured, give or take the whole turns that
    # bring it nearest to the bin's own frequency.
    expected = np.linspace(0, np.pi * hop, stft.shape[1])
    turns = angle[at + 1] - angle[at] - expected
    turns -= 2 * np.pi * np.round(turns / (2 * np.pi))
    turns += expected
    # Step by step in 32 bits, as librosa does: its rounding is heard in the high bins.
    phase = np.repeat(angle[:1], len(at), axis=0)
    for k in range(len(at) - 1):
        np.add(phase[k], turns[k], out=phase[k + 1], casting="same_kind")
    stretched = np.empty_like(stft, shape=phase.shape)
    np.cos(phase, out=stretched.real)
    np.sin(phase, out=stretched.imag)
    stretched *= (1 - share) * magnitude[at] + share * magnitude[at + 1]
    return stretched


AUGMENTATIONS = {
    "random_gain": random_gain,
    "white_noise": white_noise,
    "pitch_scale": pitch_scale,
}
"""All augmentations by name: functions of signals ``y`` and a keyword ``seed``. Add yours here."""


def augment(y: np.ndarray, augmentation: str, *, seed: Seed) -> np.ndarray:
    """Apply the augmentation of that name.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length.
    augmentation : str
        ``"original"`` (which returns `y`) or one of `AUGMENTATIONS`.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result; for a segment of a track as `extract_mfcc`
        gives it, take `track_generator`.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    Raises
    ------
    ValueError
        If there is no augmentation of that name.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    if augmentation == "original":
        return y
    if augmentation not in AUGMENTATIONS:
        raise ValueError(
            f"no augmentation {augmentation!r}; there are original, {', '.join(AUGMENTATIONS)}."
        )
    return AUGMENTATIONS[augmentation](y, seed=seed)


def track_generator(track: str, augmentation: str, *, seed: int) -> np.random.Generator:
    """Make the generator of all that is drawn for one augmentation of one track.

    What is drawn depends on the seed, the track's name and the augmentation alone, never
    on the order of the tracks or the number of workers. Segments are drawn for one after
    the other, so that they can be handed over all at once or a few at a time.

    Parameters
    ----------
    track : str
        The track's name, such as ``"blues.00000"``.
    augmentation : str
        One of `AUGMENTATIONS`.
    seed : int
        Seed of the whole corpus.

    Returns
    -------
    rng : np.random.Generator
        For the `seed` of `augment`.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    return np.random.default_rng(
        [seed, crc32(track.encode(errors="surrogateescape")), crc32(augmentation.encode())]
    )


def _one_by_one(
    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray], y: np.ndarray, seed: Seed
) -> np.ndarray:
    """Apply a function to each signal of a batch, all with the same generator."""
    rng = np.random.default_rng(seed)
    signals = y.reshape(-1, y.shape[-1]).astype(np.float32, copy=False)
    augmented = np.empty_like(signals)
    for k, signal in enumerate(signals):
        augmented[k] = apply(signal, rng)
    return augmented.reshape(y.shape)
