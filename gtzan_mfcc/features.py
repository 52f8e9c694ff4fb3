"""Compute MFCCs, and the 57 features of Kaggle's tables."""

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
import scipy.sparse

from gtzan_mfcc._librosa import librosa
from gtzan_mfcc.audio import SAMPLE_RATE, AudioError

N_FFT = 2048
HOP_LENGTH = 512
N_MELS = 128
N_MFCC = 13

_SUMMARISED = ["chroma_stft", "rms", "spectral_centroid", "spectral_bandwidth", "rolloff"]
_SUMMARISED += ["zero_crossing_rate", "harmony", "perceptr"]
FEATURE_NAMES = [f"{feature}_{moment}" for feature in _SUMMARISED for moment in ("mean", "var")]
FEATURE_NAMES += ["tempo"]
FEATURE_NAMES += [f"mfcc{i}_{statistic}" for i in range(1, 21) for statistic in ("mean", "var")]
"""The 57 feature columns of Kaggle's tables, in its order and spelling."""


def mfcc(y: np.ndarray, *, n_mfcc: int = N_MFCC, **spectrum: int) -> np.ndarray:
    """Compute the mel-frequency cepstral coefficients of one signal or several.

    The values are those of ``librosa.feature.mfcc`` for each signal, in a third of the time.
    (For a batch, librosa clips all signals 80 dB below the maximum of the batch, so the result of
    a signal depends on the other signals.)

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length, at 22,050 Hz.
    n_mfcc : int
        Number of coefficients.
    **spectrum
        ``n_fft`` and ``hop_length`` of `mel_power`.

    Returns
    -------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc), dtype=float32]
        With ``frames = 1 + n // hop_length``. Time is before coefficients, as Keras expects.

    Raises
    ------
    ValueError
        If `n_mfcc` is greater than the number of mel bands.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    return cepstrum(mel_power(y, **spectrum), n_mfcc)


def mel_power(y: np.ndarray, *, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Compute the power in mel bands of one signal or several, the first step to MFCCs.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length, at 22,050 Hz.
    n_fft : int
        Length of the Fourier transform in samples.
    hop_length : int
        Samples from one frame to the next.

    Returns
    -------
    mel : np.ndarray [shape=(..., 128, frames), dtype=float32]
        The values of ``librosa.feature.melspectrogram``.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    librosa.util.valid_audio(y)
    window = scipy.signal.get_window("hann", n_fft).astype(y.dtype)
    padded = np.pad(y.reshape(-1, y.shape[-1]), ((0, 0), (n_fft // 2, n_fft // 2)))
    filters = _mel_filters(n_fft)
    signals = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[:, ::hop_length]
    # One by one, because the arrays of one signal fit into the processor's cache.
    mel = [filters @ _power(scipy.fft.rfft(frames * window)).T for frames in signals]
    return np.reshape(mel, (*y.shape[:-1], *mel[0].shape))


def cepstrum(mel: np.ndarray, n_mfcc: int = N_MFCC) -> np.ndarray:
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
        If `n_mfcc` is greater than the number of mel bands.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    if n_mfcc > (n_mels := mel.shape[-2]):
        raise ValueError(f"{n_mfcc} coefficients of {n_mels} mel bands; take {n_mels} or fewer.")
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    # Clip 80 dB below the maximum of each signal, as top_db in power_to_db does for one signal.
    decibels = np.maximum(decibels, decibels.max(axis=(-2, -1), keepdims=True) - 80)
    coefficients = scipy.fft.dct(decibels, axis=-2, type=2, norm="ortho")[..., :n_mfcc, :]
    return np.ascontiguousarray(coefficients.swapaxes(-2, -1), dtype=np.float32)


def mfcc_statistics(coefficients: np.ndarray) -> np.ndarray:
    """Compute means and standard deviations of the coefficients over time, and of their changes.

    Parameters
    ----------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc)]
        From `mfcc`.

    Returns
    -------
    statistics : np.ndarray [shape=(..., 3 * n_mfcc)]
        Means, then standard deviations, then standard deviations of the differences between
        successive frames.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    change = np.diff(coefficients, axis=-2)
    return np.concatenate([coefficients.mean(-2), coefficients.std(-2), change.std(-2)], axis=-1)


@lru_cache
def _mel_filters(n_fft: int) -> scipy.sparse.csr_array:
    # Each band has few bins that are not zero, so a sparse product saves most of the work.
    return scipy.sparse.csr_array(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=N_MELS))


def _power(stft: np.ndarray) -> np.ndarray:
    # Faster than np.abs(stft) ** 2, which computes a square root first.
    return np.square(stft.real) + np.square(stft.imag)


def tabular_features(y: np.ndarray) -> np.ndarray:
    """Compute the 57 features of Kaggle's ``features_3_sec.csv``, in the order of `FEATURE_NAMES`.

    Kaggle's tables were made with a librosa before 0.10, which pads the signal by reflection.
    Means and variances are over all frames. Tempo is in beats per minute; centroid, bandwidth and
    rolloff are in Hz.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal at 22,050 Hz, or several of the same length: segments of 66,149 samples
        for ``features_3_sec.csv``, whole tracks for ``features_30_sec.csv``.

    Returns
    -------
    features : np.ndarray [shape=(..., 57), dtype=float64]

    Raises
    ------
    AudioError
        If `y` is too short to be padded by reflection (1,024 samples or fewer).
    librosa.ParameterError
        If `y` is not an array of finite floating-point numbers.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    librosa.util.valid_audio(y)
    # librosa's functions are compiled for this type only; see _librosa.
    y = np.asarray(y, dtype=np.float32)
    if (n := y.shape[-1]) <= N_FFT // 2:
        raise AudioError(f"{n:,} samples; the 57 features need at least {N_FFT // 2 + 1:,}.")
    shape = (*y.shape[:-1], len(FEATURE_NAMES))
    return np.reshape([_tabular_features(signal) for signal in y.reshape(-1, n)], shape)


def _tabular_features(y: np.ndarray) -> list[float]:
    # SAMPLE_RATE, N_FFT and HOP_LENGTH are librosa's defaults.
    stft = librosa.stft(y, pad_mode="reflect")
    magnitude = np.abs(stft)
    power = _power(stft)
    mel = _mel_filters(N_FFT) @ power
    onsets = librosa.onset.onset_strength(S=librosa.power_to_db(mel), aggregate=np.median)
    # The tempo of beat_track, which is 0 if there are no onsets, without the beats.
    tempo = librosa.feature.tempo(onset_envelope=onsets)[0] if onsets.any() else 0.0
    frames = [
        librosa.feature.chroma_stft(S=power),
        librosa.feature.rms(y=y, pad_mode="reflect"),
        librosa.feature.spectral_centroid(S=magnitude),
        librosa.feature.spectral_bandwidth(S=magnitude),
        librosa.feature.spectral_rolloff(S=magnitude),
        librosa.feature.zero_crossing_rate(y),
        *(librosa.util.fix_length(librosa.istft(x), size=len(y)) for x in _hpss(stft, magnitude)),
    ]
    summary = [statistic for values in frames for statistic in (values.mean(), values.var())]
    coefficients = cepstrum(mel, 20)
    cepstral = np.stack([coefficients.mean(axis=0), coefficients.var(axis=0)], axis=1)
    return [*summary, tempo, *cepstral.ravel()]


def _hpss(stft: np.ndarray, magnitude: np.ndarray) -> list[np.ndarray]:
    """Return the same values as ``librosa.decompose.hpss`` in less time."""
    harmonic, percussive = _median_along_rows(magnitude), _median_along_rows(magnitude.T).T
    pairs = [(harmonic, percussive), (percussive, harmonic)]
    return [stft * librosa.util.softmask(*pair, power=2, split_zeros=True) for pair in pairs]


def _median_along_rows(values: np.ndarray) -> np.ndarray:
    """Apply a median filter of 31 values along the last axis, with reflected ends."""
    # SciPy's filter is ten times as fast on one long row as on a matrix. So pad the rows with
    # their reflections, and join them.
    padded = np.pad(values, ((0, 0), (15, 15)), mode="symmetric")
    filtered = scipy.ndimage.median_filter(padded.ravel(), size=31)
    return filtered.reshape(padded.shape)[:, 15:-15]
