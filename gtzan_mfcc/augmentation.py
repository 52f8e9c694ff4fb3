"""Augmentations of signals: the study's three, others for training, degradations for tests.

Each is a function of one signal or several, and of a seed. The same seed gives the same result.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial, wraps
from zlib import crc32

import audiomentations
import numpy as np
import scipy.fft
import scipy.signal
import soundfile
import soxr

from gtzan_mfcc._librosa import librosa
from gtzan_mfcc.audio import SAMPLE_RATE

STUDY = ("random_gain", "white_noise", "pitch_scale")
"""Names of the study's three augmentations, in the order of the copies."""

ROBUST = "resample", "mp3", "coloured_noise", "white_noise", "rerecord", "rerecord_2", "cut to 2 s"
"""Names of the augmentations for the model of the package; notebook 7 explains the choice."""

Seed = int | list[int] | np.random.Generator  # an argument of numpy.random.default_rng
Range = tuple[float, float]  # the lowest and highest value of a draw

# The frequencies in Hz at which `equalise` draws a gain.
_BANDS = (60, 150, 400, 1_000, 2_500, 6_000, 10_000)


AUGMENTATIONS: dict[str, Callable] = {}
"""All augmentations by name: functions of signals ``y`` and a keyword ``seed``.

The random draws depend on the name, so ``rerecord_2`` is a second copy from the same function."""


def _augmentation(function: Callable, *, together: bool = False) -> Callable[..., np.ndarray]:
    """Register a function of one signal and a generator; let it take several, and any seed.

    With `together`, the function takes all signals in one array [shape=(n_signals, n)].
    """

    @wraps(function)
    def augment(y: np.ndarray, *, seed: Seed, **settings: object) -> np.ndarray:
        rng, signals = np.random.default_rng(seed), y.reshape(-1, y.shape[-1]).astype(np.float32)
        for part in [signals] if together else signals:
            part[:] = function(part, seed=rng, **settings)
        return signals.reshape(y.shape)

    AUGMENTATIONS[function.__name__] = augment
    return augment


@_augmentation
def random_gain(y: np.ndarray, *, seed: Seed, factors: Range = (2.0, 4.0)) -> np.ndarray:
    """Multiply each signal by a random factor.

    Samples beyond full scale are not clipped, as in the study.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets its own factor.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    factors : tuple of float
        Lowest and highest factor, of a uniform distribution.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    gain = 20 * np.log10(seed.uniform(*factors))
    return audiomentations.Gain(gain, gain, p=1.0)(y, SAMPLE_RATE)


@_augmentation
def white_noise(
    y: np.ndarray, *, seed: Seed, factors: Sequence[float] = (0.1, 0.2, 0.3, 0.4)
) -> np.ndarray:
    """Add white Gaussian noise to each signal, in proportion to its standard deviation.

    The noise is NumPy's: ``audiomentations.AddGaussianNoise`` draws from the global generator,
    and takes more than twice the time.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets its own noise.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    factors : sequence of float
        Standard deviations of the noise, divided by that of the signal; one of them is drawn.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    amplitude = np.float32(seed.choice(factors)) * y.std()
    return y + amplitude * seed.standard_normal(len(y), dtype=np.float32)


@partial(_augmentation, together=True)
def pitch_scale(
    y: np.ndarray, *, seed: Seed, semitones: Sequence[float] = (-1, -2, -3)
) -> np.ndarray:
    """Shift the pitch of each signal by a random number of semitones; the duration stays the same.

    Uses ``librosa.effects.pitch_shift``: a phase vocoder, then resampling.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length; each gets its own shift.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    semitones : sequence of float
        Shifts in semitones, negative for down; one of them is drawn.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    drawn = np.array([seed.choice(semitones) for _ in y])
    # Signals with the same shift go together: librosa's loop over the frames takes half the time.
    for shift in set(drawn.tolist()):
        rows = drawn == shift
        y[rows] = librosa.effects.pitch_shift(y[rows], sr=SAMPLE_RATE, n_steps=shift)
    return y


@_augmentation
def resample(y: np.ndarray, *, seed: Seed, rates: Range = (4_000, 22_050)) -> np.ndarray:
    """Resample each signal to a lower rate and back, which removes frequencies above half of it.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets its own rate.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    rates : tuple of float
        Lowest and highest sample rate in Hz; the logarithm is uniformly distributed.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    rate = round(_log_uniform(seed, rates))
    back = soxr.resample(soxr.resample(y, SAMPLE_RATE, rate), rate, SAMPLE_RATE)
    return librosa.util.fix_length(back, size=len(y))


@_augmentation
def equalise(y: np.ndarray, *, seed: Seed, decibels: float = 6.0) -> np.ndarray:
    """Amplify some frequencies of each signal and attenuate others, at random.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets its own gains.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    decibels : float
        Standard deviation of the gains in dB at 60, 150, 400, 1,000, 2,500, 6,000 and 10,000 Hz,
        drawn from a normal distribution. Between these frequencies, the gain in dB is
        interpolated linearly over the logarithm of the frequency.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    gains = seed.normal(scale=decibels, size=len(_BANDS))
    return _filter(y, lambda f: 10 ** (np.interp(np.log(f), np.log(_BANDS), gains) / 20))


@_augmentation
def coloured_noise(
    y: np.ndarray, *, seed: Seed, snr: Range = (5, 40), slope: Range = (0, 6)
) -> np.ndarray:
    """Add noise to each signal: white noise, or noise with weaker high frequencies.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets its own noise.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    snr : tuple of float
        Lowest and highest signal-to-noise ratio in dB, of a uniform distribution.
    slope : tuple of float
        Lowest and highest slope of the noise's spectrum, in dB per octave downwards (0 for white,
        3 for pink, 6 for brown noise), of a uniform distribution.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    share, power = 10 ** (-seed.uniform(*snr) / 20), seed.uniform(*slope) / 6.02
    white = seed.standard_normal(len(y), dtype=np.float32)
    noise = _filter(white, lambda f: np.maximum(f, 50) ** -power)
    return y + np.float32(share) * y.std() / noise.std() * noise


@_augmentation
def mp3(y: np.ndarray, *, seed: Seed, bitrates: Sequence[int] = (16, 24, 40, 56, 80)) -> np.ndarray:
    """Encode each signal as MP3 and decode it again, with libsndfile.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length. A signal beyond full scale is
        scaled down before encoding, and scaled up again after decoding.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    bitrates : sequence of int
        Bit rates in kbit/s, from 16 to 160; one of them is drawn.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    # libsndfile's level goes from 0 (160 kbit/s) to 1 (8 kbit/s); it takes MP3's nearest rate.
    level = (160 - seed.choice(bitrates)) / 152
    full, file = max(1, np.abs(y).max()), io.BytesIO()
    settings = {"format": "MP3", "compression_level": level, "bitrate_mode": "CONSTANT"}
    soundfile.write(file, y / full, SAMPLE_RATE, **settings)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return librosa.util.fix_length(decoded * np.float32(full), size=len(y))


@_augmentation
def clip(y: np.ndarray, *, seed: Seed, share: float = 0.2) -> np.ndarray:
    """Clip each signal at a share of its own peak.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length.
    seed : int, list of int, or np.random.Generator
        Nothing is drawn.
    share : float
        Where to clip, as a share of the highest absolute value.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    return np.clip(y, *(np.abs(y).max() * np.float32([-share, share])))


@_augmentation
def shorten(y: np.ndarray, *, seed: Seed, length: int = 2 * SAMPLE_RATE) -> np.ndarray:
    """Keep the beginning of each signal, and repeat it to the original length.

    Recordings that are too short for a segment are repeated in the same way.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length.
    seed : int, list of int, or np.random.Generator
        Nothing is drawn.
    length : int
        Samples to keep.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    return np.resize(y[:length], len(y))


@_augmentation
def loudspeaker(y: np.ndarray, *, seed: Seed, hertz: Range = (100, 600)) -> np.ndarray:
    """Remove the bass, as a small loudspeaker does: a high-pass filter of 24 dB per octave.

    The filter is SciPy's: that of audiomentations draws from the global generator.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets its own filter.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    hertz : tuple of float
        Lowest and highest cut-off frequency in Hz; the logarithm is uniformly distributed.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    high_pass = {"btype": "highpass", "fs": SAMPLE_RATE, "output": "sos"}
    filters = scipy.signal.butter(4, _log_uniform(seed, hertz), **high_pass)
    return scipy.signal.sosfilt(filters, y)


@_augmentation
def room(
    y: np.ndarray, *, seed: Seed, seconds: Range = (0.2, 1.2), direct: Range = (-6, 12)
) -> np.ndarray:
    """Add reverberation to each signal: its convolution with exponentially decaying noise.

    This is Polack's model of the reverberation of a room (1988). The reverberation of the sound
    before the segment is missing.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets its own room.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    seconds : tuple of float
        Lowest and highest reverberation time, in which the sound decays by 60 dB, of a uniform
        distribution.
    direct : tuple of float
        Lowest and highest level of the direct sound relative to the reverberation in dB, of a
        uniform distribution.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    length, level = seed.uniform(*seconds), 10 ** (-seed.uniform(*direct) / 20)
    t = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    tail = seed.standard_normal(len(t)) * 10 ** (-3 * t / length)
    tail *= level / np.linalg.norm(tail)
    return y + scipy.signal.fftconvolve(y, tail.astype(np.float32))[: len(y)]


@_augmentation
def rerecord(y: np.ndarray, *, seed: Seed) -> np.ndarray:
    """Simulate a recording with other devices, in a room, with noise, at another level.

    A chain of `equalise`, `loudspeaker`, `room`, `coloured_noise`, `resample` and `mp3`, each
    applied with probability 0.5, then a gain of -40 to 10 dB.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets its own chain.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    for link in (equalise, loudspeaker, room, coloured_noise, resample, mp3):
        if seed.random() < 0.5:
            y = link(y, seed=seed)
    return y * np.float32(10 ** (seed.uniform(-40, 10) / 20))


def _log_uniform(seed: np.random.Generator, limits: Range) -> float:
    return float(np.exp(seed.uniform(*np.log(limits))))


def _filter(y: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply the spectrum by a gain that depends on the frequency in Hz."""
    hertz = np.maximum(scipy.fft.rfftfreq(len(y), 1 / SAMPLE_RATE), 1)
    return scipy.fft.irfft(scipy.fft.rfft(y) * gain(hertz).astype(np.float32), len(y))


DEGRADATIONS = {
    "16 kHz": partial(resample, rates=(16_000, 16_000)),
    "8 kHz": partial(resample, rates=(8_000, 8_000)),
    "MP3, 64 kbit/s": partial(mp3, bitrates=[64]),
    "MP3, 32 kbit/s": partial(mp3, bitrates=[32]),
    "noise, 20 dB": partial(white_noise, factors=[10 ** (-20 / 20)]),
    "noise, 10 dB": partial(white_noise, factors=[10 ** (-10 / 20)]),
    "30 dB quieter": partial(random_gain, factors=[10 ** (-30 / 20)] * 2),
    "clipped": clip,
    "small loudspeaker": partial(loudspeaker, hertz=(300, 300)),
    "reverberant room": partial(room, seconds=(0.6, 0.6), direct=(0, 0)),
}
"""Typical degradations of recordings by name, each of a fixed strength: for tests."""

AUGMENTATIONS |= {"rerecord_2": rerecord, "cut to 2 s": shorten} | DEGRADATIONS


def track_generator(track: str, augmentation: str, *, seed: int) -> np.random.Generator:
    """Make the random generator for one augmentation of one track.

    The draws depend only on the seed and the names of track and augmentation, not on the order of
    the tracks or the number of workers. They are made segment by segment, so the segments can be
    augmented all at once or a few at a time.

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
        The `seed` argument of the augmentation.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    names = track.encode(errors="surrogateescape"), augmentation.encode()
    return np.random.default_rng([seed, *map(crc32, names)])
