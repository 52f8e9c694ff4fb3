"""Augmentations of signals: the study's, others for training, degradations for tests.

Each is a function of a signal and a seed, or a transform of audiomentations. `augment`
applies any of them, or your own. The same seed gives the same result.
"""

import copy
import inspect
import io
import math
import random
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from itertools import pairwise
from threading import RLock
from zlib import crc32

import numpy as np
import scipy.fft
import soundfile
import soxr

from gtzan_mfcc._util import fill_in
from gtzan_mfcc.audio import SAMPLE_RATE, AudioError
from gtzan_mfcc.features import _hann_window

STUDY = ("random_gain", "white_noise", "pitch_scale")
"""Names of the study's three augmentations, in the order of the copies."""

ROBUST = ("resample", "mp3", "coloured_noise", "cut to 2 s")
"""Names of the augmentations for the model of the package; see notebooks 7 and 9."""

Seed = int | list[int] | np.random.Generator  # an argument of numpy.random.default_rng
Range = tuple[float, float]  # between which a value is drawn

# The sample rates of MP3 in Hz.
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

# Parts of docstrings that several augmentations share.
_SHARED = {
    "signals": """y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length. Random values are drawn for each
        signal.""",
    "seed": """seed : int, list of int, or np.random.Generator
        The same seed gives the same result.""",
    "sample_rate": """sample_rate : int
        Sample rate of `y` in Hz.""",
    "augmented": """augmented : np.ndarray [shape=(..., n), dtype=float32]""",
}

# Python's and NumPy's global random generators belong to one thread at a time. A
# user's function may call an augmentation that uses them, too.
_global_generators = RLock()


def augment(
    augmentation: Callable, y: np.ndarray, *, seed: Seed, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Apply an augmentation: one of this module, of audiomentations, or your own.

    Parameters
    ----------
    augmentation : callable
        A value of `AUGMENTATIONS`, a ``functools.partial`` of one, a transform of
        audiomentations, or your own function of one signal [shape=(n,)], which returns
        a signal of the same length. If it has a parameter ``seed``, it gets a
        np.random.Generator. If it has a parameter ``sample_rate``, it gets the sample
        rate. What a partial has set stays as it is.
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length, which are augmented one by one.
    seed : int, list of int, or np.random.Generator
        The same seed gives the same result. It is also the seed of Python's and NumPy's
        global generators during the call. Afterwards, these have their former state.
    sample_rate : int
        Sample rate of `y` in Hz.

    Returns
    -------
    augmented : np.ndarray [shape=(..., n), dtype=float32]

    Raises
    ------
    ValueError
        If your function returns a signal of another length.
    AudioError
        If it returns NaN or infinity. `gtzan_mfcc.extraction.extract_mfcc` then leaves
        out this track, with the reason.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.

    Examples
    --------
    >>> y = np.ones((2, 1000), np.float32)
    >>> augment(lambda y: -y, y, seed=0)[:, 0]
    array([-1., -1.], dtype=float32)
    >>> import audiomentations
    >>> augment(audiomentations.ClippingDistortion(p=1.0), y, seed=0).shape
    (2, 1000)
    """
    rng = np.random.default_rng(seed)
    # An object may change itself when it is called, as those of audiomentations do.
    augmentation = copy.deepcopy(augmentation)
    try:
        parameters = inspect.signature(augmentation).parameters
    except ValueError:  # A function in C may have no signature.
        parameters = {}
    bound = getattr(augmentation, "keywords", {})  # of a partial
    settings = {"seed": rng, "sample_rate": sample_rate}
    for name in ("seed", "sample_rate"):
        if name not in parameters or name in bound:
            del settings[name]
    function = getattr(augmentation, "func", augmentation)  # of a partial
    # Not by __module__, which functools.wraps copies to functions of others.
    is_ours = globals().get(getattr(function, "__name__", None)) is function
    uses_global_generators = function is _audiomentations or not is_ours
    signals = _signals(y)
    for k, signal in enumerate(signals):
        # Spawned, so that seeding the global generators takes no draw from `rng`.
        child = rng.spawn(1)[0]
        with _global_seed(child) if uses_global_generators else nullcontext():
            augmented = np.asarray(augmentation(signal.copy(), **settings))
        if augmented.shape != signal.shape:
            raise ValueError(
                f"the augmentation {augmentation} makes {augmented.shape} of a signal "
                f"of {signal.shape} samples; return as many."
            )
        signals[k] = augmented
        if not np.isfinite(signals[k]).all():
            # For some signals only, such as silence.
            raise AudioError(f"the augmentation {augmentation} makes infinity or NaN.")
    return signals.reshape(np.shape(y))


@contextmanager
def _global_seed(rng):
    """Seed the global generators of Python and NumPy, then restore their states."""
    seed = int(rng.integers(2**32))
    with _global_generators:
        of_python = random.getstate()
        of_numpy = np.random.get_state()
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


def _signals(y):
    """Copy one signal or several as the rows of a float32 array."""
    return np.reshape(y, (-1, np.shape(y)[-1])).astype(np.float32)


def _fix_length(y, length):
    """Cut a signal, or append zeros, to this number of samples."""
    return np.pad(y[:length], (0, max(0, length - len(y))))


def _each_signal(one):
    """Let a function of one signal take several, with one generator for all."""

    @wraps(one)
    def of_several(y, **settings):
        if "seed" in settings:
            settings["seed"] = np.random.default_rng(settings["seed"])
        signals = _signals(y)
        for k, signal in enumerate(signals):
            signals[k] = one(signal, **settings)
        return signals.reshape(np.shape(y))

    return fill_in(**_SHARED)(of_several)


@_each_signal
def random_gain(
    y: np.ndarray, *, seed: Seed, factors: Range = (2.0, 4.0)
) -> np.ndarray:
    """Multiply each signal by a random factor.

    Samples beyond full scale are not clipped, as in the study.

    Parameters
    ----------
    {signals}
    {seed}
    factors : tuple of float
        Lowest and highest factor, of a uniform distribution.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.

    Examples
    --------
    >>> random_gain(np.ones(3), seed=0, factors=(2, 2))
    array([2., 2., 2.], dtype=float32)
    """
    factor = np.random.default_rng(seed).uniform(*factors)
    return y.astype(float) * factor  # rounded to float32 once


@_each_signal
def white_noise(
    y: np.ndarray, *, seed: Seed, factors: Sequence[float] = (0.1, 0.2, 0.3, 0.4)
) -> np.ndarray:
    """Add white Gaussian noise to each signal, in proportion to its standard deviation.

    The noise is NumPy's: ``audiomentations.AddGaussianNoise`` takes more than twice the
    time.

    Parameters
    ----------
    {signals}
    {seed}
    factors : sequence of float
        Standard deviations of the noise, divided by that of the signal; one of them is
        drawn.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.

    Examples
    --------
    >>> y = np.tile([1.0, -1.0], 5000)
    >>> noise = white_noise(y, seed=0, factors=[0.5]) - y
    >>> round(float(noise.std()), 2)
    0.5
    """
    rng = np.random.default_rng(seed)
    amplitude = np.float32(rng.choice(factors)) * y.std()
    return y + amplitude * rng.standard_normal(len(y), dtype=np.float32)


@_each_signal
def pitch_scale(
    y: np.ndarray,
    *,
    seed: Seed,
    sample_rate: int = SAMPLE_RATE,
    semitones: Sequence[float] = (-1, -2, -3),
) -> np.ndarray:
    """Shift the pitch of each signal at random; the duration stays the same.

    A phase vocoder changes the duration, then resampling restores it. The result is
    that of ``librosa.effects.pitch_shift`` for a signal in float64, in half of the
    time.

    Parameters
    ----------
    {signals}
    {seed}
    {sample_rate}
    semitones : sequence of float
        Shifts in semitones, negative for down; one of them is drawn.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.

    Examples
    --------
    >>> y = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    >>> octave_lower = pitch_scale(y, seed=0, semitones=[-12])
    >>> int(np.abs(np.fft.rfft(octave_lower)).argmax())
    220
    """
    semitone = np.random.default_rng(seed).choice(semitones)
    rate = 2 ** (-semitone / 12)
    stretched = _time_stretch(y, rate)
    shifted = soxr.resample(stretched, sample_rate / rate, sample_rate)
    return _fix_length(shifted, len(y))


def _time_stretch(y, rate):
    """Play a signal `rate` times as fast at the same pitch, by a phase vocoder.

    librosa adds angles, and computes their sines and cosines. Here, a phase is a
    complex number of magnitude 1, and phases are multiplied. The input is transformed
    in float64: where the spectrum is almost zero, the phases of float32 are arbitrary.
    """
    n_fft = 2048
    hop_length = n_fft // 4
    window = _hann_window(n_fft)
    padded = np.pad(y, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    phase = scipy.fft.rfft(frames * window)
    magnitude = np.abs(phase)
    silent = magnitude == 0
    phase[silent] = 1
    magnitude[silent] = 1
    # A product, because NumPy takes three times as long for the quotient.
    phase *= 1 / magnitude
    magnitude[silent] = 0
    # A silent frame after the end, so that each frame has a next one.
    phase = np.pad(phase.astype(np.complex64), ((0, 1), (0, 0)), constant_values=1)
    magnitude = np.pad(magnitude.astype(np.float32), ((0, 1), (0, 0)))

    # Each frame of the result is between two frames of the input.
    length = round(len(y) / rate)
    at = np.arange(0, len(frames), rate)[: math.ceil((length + n_fft) / hop_length)]
    left = at.astype(int)
    weight = np.float32(at % 1)[:, np.newaxis]
    between = magnitude[left]
    between += weight * (magnitude[left + 1] - between)
    stretched = between * phase[left]
    # From each frame to the next, the phase advances as from `left` to `left` + 1 in
    # the input. If the next frame has another `left`, turn it and all later ones.
    turn = np.complex64(1)
    jumps = 1 + np.flatnonzero(np.diff(left) != 1)
    for start, end in pairwise([*jumps, len(left)]):
        turn = turn * phase[left[start - 1] + 1] * phase[left[start]].conj()
        stretched[start:end] *= turn

    added = _overlap_add(scipy.fft.irfft(stretched, n_fft) * np.float32(window))
    weight = _overlap_add(np.broadcast_to(np.square(window), (len(at), n_fft)))
    added /= np.maximum(weight, np.finfo(np.float32).tiny)
    return _fix_length(added[n_fft // 2 :], length)


def _overlap_add(frames):
    """Add frames, each of which starts a quarter of a frame after the one before."""
    n_frames, n_fft = frames.shape
    quarters = frames.reshape(n_frames, 4, n_fft // 4)
    added = np.zeros((n_frames + 3, n_fft // 4), frames.dtype)
    for k in range(4):
        added[k : k + n_frames] += quarters[:, k]
    return added.ravel()


@_each_signal
def resample(
    y: np.ndarray,
    *,
    seed: Seed,
    sample_rate: int = SAMPLE_RATE,
    rates: Range = (4_000, 22_050),
) -> np.ndarray:
    """Resample each signal to a lower rate and back.

    This removes all frequencies above half of the lower rate.

    Parameters
    ----------
    {signals}
    {seed}
    {sample_rate}
    rates : tuple of float
        Lowest and highest sample rate in Hz; the logarithm is uniformly distributed.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> y = np.sin(2 * np.pi * 5000 * np.arange(22_050) / 22_050)
    >>> bool(np.abs(resample(y, seed=0, rates=(8000, 8000))[5000:-5000]).max() < 0.001)
    True
    """
    logarithm = np.random.default_rng(seed).uniform(*np.log(rates))
    rate = round(np.exp(logarithm))
    back = soxr.resample(soxr.resample(y, sample_rate, rate), rate, sample_rate)
    return _fix_length(back, len(y))


@_each_signal
def coloured_noise(
    y: np.ndarray,
    *,
    seed: Seed,
    sample_rate: int = SAMPLE_RATE,
    snr: Range = (5, 40),
    slope: Range = (0, 6),
) -> np.ndarray:
    """Add noise to each signal: white noise, or noise with weaker high frequencies.

    The noise is not that of ``audiomentations.AddColorNoise``, which has nearly all of
    its power below 200 Hz, except if it is white.

    Parameters
    ----------
    {signals}
    {seed}
    {sample_rate}
    snr : tuple of float
        Lowest and highest signal-to-noise ratio in dB, of a uniform distribution.
    slope : tuple of float
        Lowest and highest slope of the noise's spectrum above 50 Hz, in dB per octave
        downwards (0 for white, 3 for pink, 6 for brown noise), of a uniform
        distribution.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> y = np.tile([1.0, -1.0], 5000)
    >>> noise = coloured_noise(y, seed=0, snr=(20, 20)) - y
    >>> round(float(noise.std()), 2)
    0.1
    """
    rng = np.random.default_rng(seed)
    share = 10 ** (-rng.uniform(*snr) / 20)
    power = rng.uniform(*slope) / 6.02
    white = rng.standard_normal(len(y), dtype=np.float32)
    hertz = np.maximum(scipy.fft.rfftfreq(len(y), 1 / sample_rate), 50)
    gain = (hertz**-power).astype(np.float32)
    noise = scipy.fft.irfft(scipy.fft.rfft(white) * gain, len(y))
    return y + np.float32(share) * y.std() / noise.std() * noise


@_each_signal
def mp3(
    y: np.ndarray,
    *,
    seed: Seed,
    sample_rate: int = SAMPLE_RATE,
    bitrates: Sequence[int] = (16, 24, 40, 56, 80),
) -> np.ndarray:
    """Encode each signal as MP3 and decode it again, with libsndfile.

    A signal beyond full scale is scaled down before encoding, and scaled up after
    decoding.

    Parameters
    ----------
    {signals}
    {seed}
    {sample_rate} One of 8,000, 11,025, 12,000, 16,000, 22,050, 24,000,
        32,000, 44,100 and 48,000.
    bitrates : sequence of int
        Bit rates in kbit/s; one of them is drawn. At 22,050 Hz, they go from 8 to 160.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> y = 0.1 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    >>> bool(np.abs(mp3(y, seed=0)[5000:-5000] - y[5000:-5000]).max() < 0.1)
    True
    """
    if sample_rate not in _MP3_RATES:
        raise ValueError(f"MP3 has no {sample_rate} Hz; take one of {_MP3_RATES}.")
    # libsndfile's level 0 is the highest bit rate of MP3 at a sample rate, and 1 is the
    # lowest. It takes MP3's nearest bit rate.
    if sample_rate >= 32_000:
        lowest, highest = 32, 320
    elif sample_rate >= 16_000:
        lowest, highest = 8, 160
    else:
        lowest, highest = 8, 64
    bitrate = np.random.default_rng(seed).choice(bitrates)
    level = (highest - bitrate) / (highest - lowest)
    full_scale = max(1, np.abs(y).max())
    file = io.BytesIO()
    soundfile.write(
        file,
        y / full_scale,
        sample_rate,
        format="MP3",
        compression_level=min(0.999, max(0, level)),  # at 1, it fails
        bitrate_mode="CONSTANT",
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if len(decoded) > len(y):
        # At low bit rates, the file does not state the delay of encoder and decoder.
        decoded = decoded[1105:]
    return _fix_length(decoded * np.float32(full_scale), len(y))


@_each_signal
def shorten(
    y: np.ndarray, *, sample_rate: int = SAMPLE_RATE, seconds: float = 2.0
) -> np.ndarray:
    """Keep the beginning of each signal, and repeat it to the original length.

    Recordings that are too short for a segment are repeated in the same way.

    Parameters
    ----------
    {signals}
    {sample_rate}
    seconds : float
        How much to keep.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> shorten(np.arange(5.0), sample_rate=1, seconds=2)
    array([0., 1., 0., 1., 0.], dtype=float32)
    """
    return np.resize(y[: round(seconds * sample_rate)], len(y))


@_each_signal
def room(
    y: np.ndarray,
    *,
    seed: Seed,
    sample_rate: int = SAMPLE_RATE,
    seconds: Range = (0.2, 1.2),
    direct: Range = (-6, 12),
) -> np.ndarray:
    """Add reverberation to each signal.

    The signal is convolved with exponentially decaying noise.

    This is Polack's model of the reverberation of a room (1988). The reverberation of
    the sound before the segment is missing.

    Parameters
    ----------
    {signals}
    {seed}
    {sample_rate}
    seconds : tuple of float
        Lowest and highest reverberation time, in which the sound decays by 60 dB, of a
        uniform distribution.
    direct : tuple of float
        Lowest and highest level of the direct sound relative to the reverberation in
        dB, of a uniform distribution.

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> click = np.eye(1, 22_050)[0]
    >>> echo = room(click, seed=0, seconds=(0.5, 0.5), direct=(0, 0)) - click
    >>> round(float(np.linalg.norm(echo)), 2)
    1.0
    """
    rng = np.random.default_rng(seed)
    length = rng.uniform(*seconds)
    level = 10 ** (-rng.uniform(*direct) / 20)
    t = np.arange(int(length * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / length)
    tail *= level / np.linalg.norm(tail)
    # Imported here, because it takes half a second.
    from scipy.signal import fftconvolve

    return y + fftconvolve(y, tail.astype(np.float32))[: len(y)]


def _audiomentations(y, *, sample_rate, transform, **settings):
    """Apply a transform of audiomentations to one signal; see `augment`."""
    # Imported here, because it takes half a second.
    import audiomentations

    return getattr(audiomentations, transform)(**settings, p=1.0)(y, sample_rate)


def _high_pass(lowest, highest):
    """Make a filter that removes low frequencies, with 24 dB per octave."""
    return partial(
        _audiomentations,
        transform="HighPassFilter",
        min_cutoff_freq=lowest,
        max_cutoff_freq=highest,
        min_rolloff=24,
        max_rolloff=24,
    )


_EQUALISE = partial(
    _audiomentations,
    transform="SevenBandParametricEQ",
    min_gain_db=-8,
    max_gain_db=8,
)
_LOUDSPEAKER = _high_pass(100, 600)


@_each_signal
def rerecord(
    y: np.ndarray, *, seed: Seed, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Simulate a recording with other devices, in a room, with noise, at another level.

    A chain of the augmentations ``equalise``, ``loudspeaker``, ``room``,
    ``coloured_noise``, ``resample`` and ``mp3``, each applied with probability 0.5,
    then a gain of -40 to 10 dB.

    Parameters
    ----------
    {signals}
    {seed}
    {sample_rate}

    Returns
    -------
    {augmented}

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> rerecord(np.ones((2, 22_050)), seed=0).shape
    (2, 22050)
    """
    rng = np.random.default_rng(seed)
    for link in (_EQUALISE, _LOUDSPEAKER, room, coloured_noise, resample, mp3):
        if rng.random() < 0.5:
            y = augment(link, y, seed=rng, sample_rate=sample_rate)
    return y * np.float32(10 ** (rng.uniform(-40, 10) / 20))


DEGRADATIONS = {
    "16 kHz": partial(resample, rates=(16_000, 16_000)),
    "8 kHz": partial(resample, rates=(8_000, 8_000)),
    "MP3, 64 kbit/s": partial(mp3, bitrates=[64]),
    "MP3, 32 kbit/s": partial(mp3, bitrates=[32]),
    "noise, 20 dB": partial(white_noise, factors=[10 ** (-20 / 20)]),
    "noise, 10 dB": partial(white_noise, factors=[10 ** (-10 / 20)]),
    "30 dB quieter": partial(random_gain, factors=[10 ** (-30 / 20)] * 2),
    "clipped": partial(
        _audiomentations,
        transform="ClippingDistortion",
        min_percentile_threshold=40,
        max_percentile_threshold=40,
    ),
    "small loudspeaker": _high_pass(300, 300),
    "reverberant room": partial(room, seconds=(0.6, 0.6), direct=(0, 0)),
}
"""Typical degradations of recordings by name, each of a fixed strength: for tests."""

AUGMENTATIONS: dict[str, Callable] = {
    "random_gain": random_gain,
    "white_noise": white_noise,
    "pitch_scale": pitch_scale,
    "resample": resample,
    "equalise": _EQUALISE,
    "coloured_noise": coloured_noise,
    "mp3": mp3,
    "loudspeaker": _LOUDSPEAKER,
    "room": room,
    "rerecord": rerecord,
    "rerecord_2": rerecord,
    "cut to 2 s": shorten,
    **DEGRADATIONS,
}
"""All augmentations by name, for `augment`.

The random draws depend on the name, so ``rerecord_2`` is a second copy from the same
function."""


def track_generator(track: str, augmentation: str, *, seed: int) -> np.random.Generator:
    """Make the random generator for one augmentation of one track.

    The draws depend only on the seed and the names of track and augmentation, not on
    the order of the tracks or the number of workers. They are made segment by segment,
    so the segments can be augmented all at once or a few at a time.

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

    Examples
    --------
    >>> y = np.ones(1000)
    >>> first, again = (track_generator("a", "white_noise", seed=0) for _ in range(2))
    >>> np.array_equal(white_noise(y, seed=first), white_noise(y, seed=again))
    True
    """
    names = str(track).encode(errors="surrogateescape"), augmentation.encode()
    return np.random.default_rng([seed, *map(crc32, names)])
