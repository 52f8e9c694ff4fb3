"""Compute MFCCs, and the 57 features of Kaggle's tables.

MFCCs need none of librosa's compiled functions, whose import takes most of a second.
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.sparse
from librosa.util.exceptions import ParameterError

from gtzan_mfcc.audio import SAMPLE_RATE, AudioError


@dataclass(frozen=True)
class Settings:
    """How a signal is cut into segments, and the MFCCs of a segment are computed.

    The defaults are those of the study. `gtzan_mfcc.extraction.extract_mfcc` takes
    settings, its result keeps them, the plots of MFCCs need them for their axes, and a
    saved model contains them.

    Parameters
    ----------
    sample_rate : int
        Samples per second (Hz) of all signals.
    seconds : float
        Length of a segment.
    n_fft : int
        Length of the Fourier transform in samples; an even number.
    hop_length : int
        Samples from one frame to the next, at most a segment.
    n_mels : int
        Number of mel bands.
    n_mfcc : int
        Number of coefficients, at most `n_mels`.

    Raises
    ------
    ValueError
        If a number of samples, bands or coefficients is not a whole number of 1 or
        more, `n_fft` is odd, or `hop_length` is longer than a segment.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this class.

    Examples
    --------
    >>> settings = Settings(sample_rate=16_000, seconds=5, hop_length=256)
    >>> settings.segment_length, settings.frames
    (80000, 313)
    """

    sample_rate: int = SAMPLE_RATE
    seconds: float = 3.0
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    n_mfcc: int = 13

    def __post_init__(self) -> None:
        """Refuse settings that have no meaning."""
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(
                    f"{name} is {value!r}; take a whole number of 1 or more."
                )
        if self.n_fft % 2:
            raise ValueError(f"n_fft is {self.n_fft}; take an even number.")
        if self.n_mfcc > self.n_mels:
            raise ValueError(
                f"n_mfcc is {self.n_mfcc}; there are {self.n_mels} mel bands."
            )
        if self.hop_length > self.segment_length:
            raise ValueError(
                f"hop_length is {self.hop_length}, and a segment of {self.seconds} s "
                f"has {self.segment_length} samples; take a shorter hop_length."
            )

    @property
    def segment_length(self) -> int:
        """Samples in a segment."""
        return round(self.seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """MFCC frames of a segment."""
        return 1 + self.segment_length // self.hop_length

    @property
    def shortest_segment(self) -> int:
        """The minimum number of samples that gives as many frames as a whole segment.

        With the study's settings, this is 66,048 of 66,150 samples. The last piece of a
        track is kept if it has at least this length. This is the study's rule; on
        GTZAN, it gives the study's 9,986 segments.
        """
        return self.segment_length - self.segment_length % self.hop_length


STUDY = Settings()
"""The settings of the study."""

_SUMMARISED = [
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
]
_COEFFICIENTS = [f"mfcc{number}" for number in range(1, 21)]
FEATURE_NAMES = [
    *(f"{name}_{moment}" for name in _SUMMARISED for moment in ("mean", "var")),
    "tempo",
    *(f"{name}_{moment}" for name in _COEFFICIENTS for moment in ("mean", "var")),
]
"""The 57 feature columns of Kaggle's tables, in its order and spelling."""


def mfcc(y: np.ndarray, settings: Settings = STUDY) -> np.ndarray:
    """Compute the mel-frequency cepstral coefficients of one signal or several.

    The values are those of ``librosa.feature.mfcc`` for each signal, in a fifth of the
    time. (For a batch, librosa clips all signals 80 dB below the maximum of the batch,
    so the result of a signal depends on the other signals.)

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length, at the sample rate of `settings`.
    settings : Settings
        Its ``seconds`` are not used: `y` may have any length.

    Returns
    -------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc), dtype=float32]
        With ``frames = 1 + n // hop_length``. Time is before coefficients, as Keras
        expects.

    Raises
    ------
    librosa.ParameterError
        If `y` is not an array of finite floating-point numbers.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> y = np.random.default_rng(0).uniform(-1, 1, 66_150).astype(np.float32)
    >>> mfcc(y).shape
    (130, 13)
    >>> mfcc(y, Settings(hop_length=256, n_mfcc=20)).shape
    (259, 20)
    """
    return cepstrum(mel_power(y, settings), settings.n_mfcc)


def mel_power(y: np.ndarray, settings: Settings = STUDY) -> np.ndarray:
    """Compute the power in mel bands of one signal or several, the first step to MFCCs.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length, at the sample rate of `settings`.
    settings : Settings
        Its ``seconds`` and ``n_mfcc`` are not used.

    Returns
    -------
    mel : np.ndarray [shape=(..., n_mels, frames), dtype=float32]
        The values of ``librosa.feature.melspectrogram``.

    Raises
    ------
    librosa.ParameterError
        If `y` is not an array of finite floating-point numbers.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> y = np.random.default_rng(0).uniform(-1, 1, 66_150).astype(np.float32)
    >>> mel_power(y).shape
    (128, 130)
    """
    _check_signal(y)
    y = y.astype(np.float32, copy=False)
    # When so large a block is freed, glibc begins to keep freed memory for later use.
    # Otherwise, requests for memory would take half of the time.
    np.empty(31 * 2**20, np.uint8)
    n_fft = settings.n_fft
    window = _hann_window(n_fft).astype(np.float32)
    padded = np.pad(y.reshape(-1, y.shape[-1]), ((0, 0), (n_fft // 2, n_fft // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)
    frames = frames[:, :: settings.hop_length]
    filters = _mel_filters(settings.sample_rate, n_fft, settings.n_mels)
    mel = np.empty((len(frames), settings.n_mels, frames.shape[1]), np.float32)
    # One by one, because the arrays of one signal fit into the processor's cache.
    for k, frames_of_signal in enumerate(frames):
        mel[k] = filters @ _power(scipy.fft.rfft(frames_of_signal * window)).T
    return mel.reshape(*y.shape[:-1], *mel.shape[1:])


def cepstrum(mel: np.ndarray, n_mfcc: int = STUDY.n_mfcc) -> np.ndarray:
    """Compute MFCCs from the power in mel bands, the second step.

    Parameters
    ----------
    mel : np.ndarray [shape=(..., n_mels, frames)]
        From `mel_power`.
    n_mfcc : int
        Number of coefficients.

    Returns
    -------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc), dtype=float32]

    Raises
    ------
    ValueError
        If `n_mfcc` is less than 1, or greater than the number of mel bands.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> cepstrum(np.ones((128, 130)), n_mfcc=20).shape
    (130, 20)
    """
    n_mels = mel.shape[-2]
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(
            f"n_mfcc is {n_mfcc}; take 1 to {n_mels}, the number of mel bands."
        )
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    # Clip 80 dB below the maximum of each signal, as top_db in power_to_db does for one
    # signal.
    loudest = decibels.max(axis=(-2, -1), keepdims=True)
    decibels = np.maximum(decibels, loudest - 80)
    coefficients = scipy.fft.dct(decibels, axis=-2, norm="ortho")
    coefficients = coefficients[..., :n_mfcc, :].swapaxes(-2, -1)
    return np.ascontiguousarray(coefficients, dtype=np.float32)


def mfcc_statistics(coefficients: np.ndarray) -> np.ndarray:
    """Compute statistics of the coefficients over time, and of their changes.

    Parameters
    ----------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc)]
        From `mfcc`.

    Returns
    -------
    statistics : np.ndarray [shape=(..., 3 * n_mfcc)]
        Means, then standard deviations, then standard deviations of the differences
        between successive frames.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> mfcc_statistics(np.zeros((10, 130, 13))).shape
    (10, 39)
    """
    change = np.diff(coefficients, axis=-2)
    return np.concatenate(
        [coefficients.mean(-2), coefficients.std(-2), change.std(-2)], axis=-1
    )


def tabular_features(y: np.ndarray) -> np.ndarray:
    """Compute the 57 features of Kaggle's tables, in the order of `FEATURE_NAMES`.

    Kaggle's tables were made with a librosa before 0.10, which pads the signal by
    reflection. Means and variances are over all frames. Tempo is in beats per minute;
    centroid, bandwidth and rolloff are in Hz.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length: segments of 66,149
        samples for ``features_3_sec.csv``, whole tracks for ``features_30_sec.csv``.

    Returns
    -------
    features : np.ndarray [shape=(..., 57), dtype=float64]

    Raises
    ------
    AudioError
        If `y` is shorter than a frame (2,048 samples).
    librosa.ParameterError
        If `y` is not an array of finite floating-point numbers.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> y = np.sin(2 * np.pi * 440 * np.arange(66_149) / 22_050)
    >>> numbers = dict(zip(FEATURE_NAMES, tabular_features(y)))
    >>> round(numbers["spectral_centroid_mean"] / 100)
    4
    """
    _check_signal(y)
    # librosa's functions are compiled for this type only; see _librosa.
    y = np.asarray(y, dtype=np.float32)
    if y.shape[-1] < STUDY.n_fft:
        raise AudioError(f"{y.shape[-1]:,} samples; a frame has {STUDY.n_fft:,}.")
    rows = [_tabular_features(signal) for signal in y.reshape(-1, y.shape[-1])]
    return np.reshape(rows, (*y.shape[:-1], len(FEATURE_NAMES)))


def _tabular_features(y):
    """Compute the 57 features of one signal."""
    from gtzan_mfcc._librosa import librosa

    # The sample rate, n_fft, hop_length and n_mels of STUDY are librosa's defaults.
    stft = librosa.stft(y, pad_mode="reflect")
    magnitude = np.abs(stft)
    power = _power(stft)
    mel = _mel_filters(STUDY.sample_rate, STUDY.n_fft, STUDY.n_mels) @ power
    harmonic, percussive = _hpss(stft, magnitude)
    summarised = [
        librosa.feature.chroma_stft(S=power),
        librosa.feature.rms(y=y, pad_mode="reflect"),
        librosa.feature.spectral_centroid(S=magnitude),
        librosa.feature.spectral_bandwidth(S=magnitude),
        librosa.feature.spectral_rolloff(S=magnitude),
        librosa.feature.zero_crossing_rate(y),
        # Not istft(length=...): as in the old librosa, the end is filled with zeros.
        librosa.util.fix_length(librosa.istft(harmonic), size=len(y)),
        librosa.util.fix_length(librosa.istft(percussive), size=len(y)),
    ]
    row = []
    for values in summarised:
        row += [values.mean(), values.var()]
    onsets = librosa.onset.onset_strength(
        S=librosa.power_to_db(mel), aggregate=np.median
    )
    # The tempo of beat_track, without the beats.
    tempo = 0
    if onsets.any():
        tempo = librosa.feature.tempo(onset_envelope=onsets)[0]
    row.append(tempo)
    coefficients = cepstrum(mel, len(_COEFFICIENTS))
    for mean, variance in zip(coefficients.mean(axis=0), coefficients.var(axis=0)):
        row += [mean, variance]
    return row


def _hpss(stft, magnitude):
    """Return the same values as ``librosa.decompose.hpss`` in less time."""
    from gtzan_mfcc._librosa import librosa

    softmask = librosa.util.softmask
    harmonic = _median_along_rows(magnitude)
    percussive = _median_along_rows(magnitude.T).T
    harmonic_mask = softmask(harmonic, percussive, power=2, split_zeros=True)
    percussive_mask = softmask(percussive, harmonic, power=2, split_zeros=True)
    return stft * harmonic_mask, stft * percussive_mask


def _median_along_rows(values):
    """Apply a median filter of 31 values along the last axis, with reflected ends."""
    # SciPy's filter is ten times as fast on one long row as on a matrix. So pad the
    # rows with their reflections, and join them.
    padded = np.pad(values, ((0, 0), (15, 15)), mode="symmetric")
    filtered = scipy.ndimage.median_filter(padded.ravel(), size=31)
    return filtered.reshape(padded.shape)[:, 15:-15]


def _check_signal(y):
    is_signal = isinstance(y, np.ndarray) and y.ndim and y.dtype.kind == "f"
    if not is_signal or not np.isfinite(y).all():
        raise ParameterError("a signal is an array of finite floating-point numbers.")


def _hann_window(n_fft):
    """Return the periodic window of librosa, bit for bit."""
    # Without the last value, which belongs to the next period.
    return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n_fft + 1)[:-1])


@lru_cache
def _mel_filters(sample_rate, n_fft, n_mels):
    """Return the values of ``librosa.filters.mel``: triangles of equal area."""
    # Slaney's scale is linear up to 1 kHz. From there, 27 mels are a factor of 6.4.
    hz_per_mel = 200 / 3
    knee = 1000 / hz_per_mel
    step = np.log(6.4) / 27
    highest = sample_rate / 2
    last = highest / hz_per_mel
    if highest >= 1000:
        last = knee + np.log(highest / 1000) / step
    mels = np.linspace(0, last, n_mels + 2)
    hz = np.where(mels < knee, hz_per_mel * mels, 1000 * np.exp(step * (mels - knee)))
    ramps = hz[:, np.newaxis] - np.fft.rfftfreq(n_fft, 1 / sample_rate)
    widths = np.diff(hz)[:, np.newaxis]
    triangles = np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])
    filters = np.maximum(0, triangles).astype(np.float32)
    if not filters.any(axis=1).all():
        warnings.warn(
            f"some of the {n_mels} mel bands are empty; take fewer, or a larger n_fft.",
            stacklevel=3,
        )
    heights = 2 / (hz[2:] - hz[:-2])
    filters *= heights[:, np.newaxis]
    # Each band has few bins that are not zero, so a sparse product saves most of the
    # work.
    return scipy.sparse.csr_array(filters)


def _power(stft):
    # Faster than np.abs(stft) ** 2, which computes a square root first.
    return np.square(stft.real) + np.square(stft.imag)
