"""The study's three augmentations, on audiomentations, each repeatable for a seed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import audiomentations
import numpy as np

from gtzan_mfcc.audio import SAMPLE_RATE

AUGMENTATIONS = ("random_gain", "white_noise", "pitch_scale")
"""Names of the augmentations, in the order in which the copies of a segment are kept."""

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
    signals, factor = _draw(y, seed, factors)
    gains = 20 * np.log10(factor)
    augmented = [
        audiomentations.Gain(min_gain_db=gain, max_gain_db=gain, p=1.0)(signal, SAMPLE_RATE)
        for signal, gain in zip(signals, gains)
    ]
    return _restore(augmented, y)


def white_noise(
    y: np.ndarray, *, seed: Seed, factors: tuple[float, float] = (0.1, 0.4)
) -> np.ndarray:
    """Add white Gaussian noise to each signal, in proportion to its own loudness.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets noise of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    factors : tuple of float
        Least and greatest standard deviation of the noise, as a share of the signal's;
        drawn uniformly between them.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    rng = np.random.default_rng(seed)
    signals, factor = _draw(y, rng, factors)
    # audiomentations wants an amplitude above 0, and a silent signal has none.
    amplitudes = np.maximum(factor * signals.std(axis=1), 1e-12)
    with _numpy_seeded(rng):
        augmented = [
            audiomentations.AddGaussianNoise(amplitude, amplitude, p=1.0)(signal, SAMPLE_RATE)
            for signal, amplitude in zip(signals, amplitudes)
        ]
    return _restore(augmented, y)


def pitch_scale(
    y: np.ndarray,
    *,
    seed: Seed,
    semitones: tuple[float, float] = (-3.0, -1.0),
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Shift the pitch of each signal by a random number of semitones, keeping its duration.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets a shift of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    semitones : tuple of float
        Least and greatest shift in semitones, negative for down; drawn uniformly
        between them.
    sample_rate : int
        Sample rate of `y` in Hz.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    signals, shifts = _draw(y, seed, semitones)
    augmented = [
        audiomentations.PitchShift(shift, shift, p=1.0)(signal, sample_rate)
        for signal, shift in zip(signals, shifts)
    ]
    return _restore(augmented, y)


def augment(
    y: np.ndarray, augmentation: str, *, track: str, seed: int, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Apply the augmentation of that name to the segments of one track.

    What is drawn depends on the seed, the track's name and the augmentation alone, never
    on the order of the tracks or the number of workers.

    Parameters
    ----------
    y : np.ndarray [shape=(n_segments, n)]
        All segments of the track.
    augmentation : str
        ``"original"`` (which returns `y`) or one of `AUGMENTATIONS`.
    track : str
        The track's name, such as ``"blues.00000"``.
    seed : int
        Seed of the whole corpus.
    sample_rate : int
        Sample rate of `y` in Hz.

    Returns
    -------
    augmented : np.ndarray [shape=(n_segments, n), dtype=float32]

    Raises
    ------
    ValueError
        If there is no augmentation of that name.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    track_seed = [seed, crc32(track.encode()), crc32(augmentation.encode())]
    match augmentation:
        case "original":
            return y
        case "random_gain":
            return random_gain(y, seed=track_seed)
        case "white_noise":
            return white_noise(y, seed=track_seed)
        case "pitch_scale":
            return pitch_scale(y, seed=track_seed, sample_rate=sample_rate)
    raise ValueError(f"no augmentation {augmentation!r}; there are original, {AUGMENTATIONS}.")


def _draw(y: np.ndarray, seed: Seed, bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Signals (batch, n) and, for each, a number drawn between the bounds."""
    signals = y.reshape(-1, y.shape[-1]).astype(np.float32, copy=False)
    return signals, np.random.default_rng(seed).uniform(*bounds, size=len(signals))


def _restore(signals: list[np.ndarray], y: np.ndarray) -> np.ndarray:
    return np.asarray(signals, dtype=np.float32).reshape(y.shape)


_numpy_state = threading.Lock()


@contextmanager
def _numpy_seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed NumPy's global generator, from which audiomentations draws, and put it back after."""
    with _numpy_state:
        state = np.random.get_state()
        np.random.seed(rng.integers(2**32, dtype=np.uint32))
        try:
            yield
        finally:
            np.random.set_state(state)
