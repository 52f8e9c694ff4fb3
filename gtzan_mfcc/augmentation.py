"""Augmentations of a signal, the study's three among them, each repeatable for a seed."""

from collections.abc import Callable
from zlib import crc32

import audiomentations
import numpy as np
import python_stretch

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
    y: np.ndarray, *, seed: Seed, factors: tuple[float, float] = (0.1, 0.4)
) -> np.ndarray:
    """Add white Gaussian noise to each signal, in proportion to its own loudness.

    By NumPy, and not by ``audiomentations.AddGaussianNoise``, which draws from the global
    generator, and in more than twice the time.

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

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        amplitude = np.float32(rng.uniform(*factors)) * signal.std()
        noise = rng.standard_normal(len(signal), dtype=np.float32)
        noise *= amplitude
        noise += signal
        return noise

    return _one_by_one(apply, y, seed)


def pitch_scale(
    y: np.ndarray,
    *,
    seed: Seed,
    semitones: tuple[float, float] = (-3.0, -1.0),
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Shift the pitch of each signal by a random number of semitones, keeping its duration.

    By Signalsmith's stretch, as ``audiomentations.PitchShift`` does, but with shorter blocks,
    fewer of them, much as in its cheaper preset. That takes little more than half the time.
    It is right to about a fifth of a semitone, and its MFCCs differ from the dearer
    preset's as much as if the shift were a fifth of a semitone greater.

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
    # The power of two next to the cheaper preset's 0.1 s, since its transforms are quick.
    block = 2 ** round(np.log2(0.1 * sample_rate))

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        stretch = python_stretch.Signalsmith.Stretch()
        stretch.configure(1, block, round(0.4 * block))
        stretch.setTransposeSemitones(rng.uniform(*semitones))
        return stretch.process(signal[np.newaxis])[0]

    return _one_by_one(apply, y, seed)


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
