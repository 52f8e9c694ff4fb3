"""Augmentations of a signal: the study's three, others for training, degradations for tests.

Each is a function of one signal or several and of a seed, and repeatable for that seed.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
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
"""Names of the study's three augmentations, in the order in which the copies are kept."""

ROBUST = "resample", "mp3", "coloured_noise", "white_noise", "rerecord", "rerecord_2", "cut to 2 s"
"""Names of those that the model of the package is trained with; notebook 7 says why."""

Seed = int | list[int] | np.random.Generator
"""Whatever ``numpy.random.default_rng`` takes."""

Range = tuple[float, float]
"""Least and greatest value of what is drawn."""

# Frequencies in Hz at which `equalise` draws a gain.
_BANDS = (60, 150, 400, 1_000, 2_500, 6_000, 10_000)


def random_gain(y: np.ndarray, *, seed: Seed, factors: Range = (2.0, 4.0)) -> np.ndarray:
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
        return signal + amplitude * rng.standard_normal(len(signal), dtype=np.float32)

    return _one_by_one(apply, y, seed)


def pitch_scale(
    y: np.ndarray, *, seed: Seed, semitones: Sequence[float] = (-1, -2, -3)
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
        return librosa.util.fix_length(soxr.resample(stretched, 1 / rate, 1), size=len(signal))

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


def resample(y: np.ndarray, *, seed: Seed, rates: Range = (4_000, 22_050)) -> np.ndarray:
    """Take each signal to a lower sample rate and back: nothing is left above half of it.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets a rate of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    rates : tuple of float
        Least and greatest sample rate in Hz; its logarithm is drawn uniformly.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rate = round(_log_uniform(rng, rates))
        back = soxr.resample(soxr.resample(signal, SAMPLE_RATE, rate), rate, SAMPLE_RATE)
        return librosa.util.fix_length(back, size=len(signal))

    return _one_by_one(apply, y, seed)


def equalise(y: np.ndarray, *, seed: Seed, decibels: float = 6.0) -> np.ndarray:
    """Make some frequencies of each signal louder and others quieter, at random.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets gains of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    decibels : float
        Standard deviation of the gain at 60, 150, 400, 1,000, 2,500, 6,000 and 10,000 Hz, drawn
        from a normal distribution. Between these, the gain changes linearly over the logarithm.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gains = rng.normal(scale=decibels, size=len(_BANDS))
        return _filter(signal, lambda f: 10 ** (np.interp(np.log(f), np.log(_BANDS), gains) / 20))

    return _one_by_one(apply, y, seed)


def coloured_noise(
    y: np.ndarray, *, seed: Seed, snr: Range = (5, 40), slope: Range = (0, 6)
) -> np.ndarray:
    """Add noise to each signal, white or with less of the high frequencies.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets noise of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    snr : tuple of float
        Least and greatest signal-to-noise ratio in dB; drawn uniformly.
    slope : tuple of float
        By how many dB an octave the noise falls (0 for white, 3 for pink, 6 for brown noise);
        drawn uniformly between least and greatest.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        share, power = 10 ** (-rng.uniform(*snr) / 20), rng.uniform(*slope) / 6.02
        white = rng.standard_normal(len(signal), dtype=np.float32)
        noise = _filter(white, lambda f: np.maximum(f, 50) ** -power)
        return signal + np.float32(share) * signal.std() / noise.std() * noise

    return _one_by_one(apply, y, seed)


def mp3(y: np.ndarray, *, seed: Seed, bitrates: Sequence[int] = (16, 24, 40, 56, 80)) -> np.ndarray:
    """Encode each signal as MP3, and decode it again, with libsndfile.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length. What is beyond full scale is
        made as quiet as need be before, and as loud again after.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    bitrates : sequence of int
        In kbit/s, 16 to 160; one of them is drawn.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # libsndfile goes from 160 (0) to 8 kbit/s (1), and takes the nearest that MP3 has.
        level = (160 - rng.choice(bitrates)) / 152
        full, file = max(1, np.abs(signal).max()), io.BytesIO()
        settings = {"format": "MP3", "compression_level": level, "bitrate_mode": "CONSTANT"}
        soundfile.write(file, signal / full, SAMPLE_RATE, **settings)
        file.seek(0)
        decoded, _ = soundfile.read(file, dtype="float32")
        return librosa.util.fix_length(decoded * np.float32(full), size=len(signal))

    return _one_by_one(apply, y, seed)


def clip(y: np.ndarray, *, seed: Seed, share: float = 0.2) -> np.ndarray:
    """Cut off each signal above a share of its own peak.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length.
    seed : int, list of int, or np.random.Generator
        Nothing is drawn.
    share : float
        Where to cut, as a share of the greatest absolute value.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """
    limits = np.float32([-share, share])
    return _one_by_one(lambda signal, _: np.clip(signal, *(np.abs(signal).max() * limits)), y, seed)


def shorten(y: np.ndarray, *, seed: Seed, length: int = 2 * SAMPLE_RATE) -> np.ndarray:
    """Keep the beginning of each signal, and repeat it until it is as long as before.

    That is what becomes of a recording that is too short for a segment.

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
    return _one_by_one(lambda signal, _: np.resize(signal[:length], len(signal)), y, seed)


def loudspeaker(y: np.ndarray, *, seed: Seed, hertz: Range = (100, 600)) -> np.ndarray:
    """Take away the bass, as a small loudspeaker does: a high-pass filter of 24 dB an octave.

    By SciPy: the filter of audiomentations draws from the global generator.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets a filter of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    hertz : tuple of float
        Least and greatest cut-off frequency in Hz; its logarithm is drawn uniformly.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        high_pass = {"btype": "highpass", "fs": SAMPLE_RATE, "output": "sos"}
        filters = scipy.signal.butter(4, _log_uniform(rng, hertz), **high_pass)
        return scipy.signal.sosfilt(filters, signal)

    return _one_by_one(apply, y, seed)


def room(
    y: np.ndarray, *, seed: Seed, seconds: Range = (0.2, 1.2), direct: Range = (-6, 12)
) -> np.ndarray:
    """Let each signal sound in a room: add to it its convolution with noise that dies away.

    That is Polack's model of a room's reverberation (1988). What sounded before the segment
    began is not heard in it.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets a room of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.
    seconds : tuple of float
        Least and greatest reverberation time, in which the sound dies away by 60 dB; drawn
        uniformly.
    direct : tuple of float
        Least and greatest level of the direct sound above the reverberation in dB; drawn
        uniformly.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        length, level = rng.uniform(*seconds), 10 ** (-rng.uniform(*direct) / 20)
        t = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
        tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / length)
        tail *= level / np.linalg.norm(tail)
        return signal + scipy.signal.fftconvolve(signal, tail.astype(np.float32))[: len(signal)]

    return _one_by_one(apply, y, seed)


def rerecord(y: np.ndarray, *, seed: Seed) -> np.ndarray:
    """Record each signal again: through other devices, in a room, with noise, at another level.

    A chain of `equalise`, `loudspeaker`, `room`, `coloured_noise`, `resample` and `mp3`, each with
    a probability of a half, and a gain of -40 to 10 dB.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length; each gets a chain of its own.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.
    """

    def apply(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for link in (equalise, loudspeaker, room, coloured_noise, resample, mp3):
            if rng.random() < 0.5:
                signal = link(signal, seed=rng)
        return signal * np.float32(10 ** (rng.uniform(-40, 10) / 20))

    return _one_by_one(apply, y, seed)


def _log_uniform(rng: np.random.Generator, limits: Range) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


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
"""What happens to music outside the laboratory, each in one fixed strength: for tests."""

_FUNCTIONS = (random_gain, white_noise, pitch_scale, resample, equalise, coloured_noise, mp3)
_FUNCTIONS += (clip, shorten, loudspeaker, room, rerecord)
AUGMENTATIONS = {function.__name__: function for function in _FUNCTIONS}
AUGMENTATIONS |= {"rerecord_2": rerecord, "cut to 2 s": shorten} | DEGRADATIONS
"""All augmentations by name: functions of signals ``y`` and a keyword ``seed``. Add yours here.

The name decides what is drawn, so ``rerecord_2`` is another copy by the same function."""


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
        For the `seed` of the augmentation.

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
