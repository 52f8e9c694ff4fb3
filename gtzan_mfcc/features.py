"""Signal to MFCCs, and signal to the 57 features of Kaggle's table."""

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
    """Mel-frequency cepstral coefficients of one signal or of many at once.

    The values are those of ``librosa.feature.mfcc``, signal by signal, in a third of its
    time; librosa's own call on a batch clips every signal 80 dB below the loudest of the
    batch, so that what comes out for one signal depends on its neighbours.

    Parameters
    ----------
    y : np.ndarray [shape=(..., n)]
        One signal, or several of the same length, at 22,050 Hz.
    n_mfcc : int
        How many coefficients to keep, from the first.
    **spectrum
        ``n_fft`` and ``hop_length`` of `mel_power`.

    Returns
    -------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc), dtype=float32]
        With ``frames = 1 + n // hop_length``: time before coefficient, as Keras wants it.

    Raises
    ------
    ValueError
        If there are to be more coefficients than mel bands.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    return cepstrum(mel_power(y, **spectrum), n_mfcc)


def mel_power(y: np.ndarray, *, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Power in mel bands of one signal or of many: the first half of the way to MFCCs.

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
    # One by one, since what is needed for one fits into the processor's cache.
    mel = [filters @ _power(scipy.fft.rfft(frames * window)).T for frames in signals]
    return np.reshape(mel, (*y.shape[:-1], *mel[0].shape))


def cepstrum(mel: np.ndarray, n_mfcc: int = N_MFCC) -> np.ndarray:
    """MFCCs from the power in mel bands: the second half of the way.

    Parameters
    ----------
    mel : np.ndarray [shape=(..., n_mels, frames)]
        From `mel_power`.
    n_mfcc : int
        How many coefficients to keep, from the first.

    Returns
    -------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc), dtype=float32]

    Raises
    ------
    ValueError
        If there are to be more coefficients than mel bands.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    if n_mfcc > (n_mels := mel.shape[-2]):
        raise ValueError(f"{n_mfcc} coefficients of {n_mels} mel bands; take {n_mels} or fewer.")
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    # 80 dB below each signal's own maximum: what power_to_db's top_db means for a single one.
    decibels = np.maximum(decibels, decibels.max(axis=(-2, -1), keepdims=True) - 80)
    coefficients = scipy.fft.dct(decibels, axis=-2, type=2, norm="ortho")[..., :n_mfcc, :]
    return np.ascontiguousarray(coefficients.swapaxes(-2, -1), dtype=np.float32)


def mfcc_statistics(coefficients: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each coefficient over time, and of how it changes.

    Parameters
    ----------
    coefficients : np.ndarray [shape=(..., frames, n_mfcc)]
        From `mfcc`.

    Returns
    -------
    statistics : np.ndarray [shape=(..., 3 * n_mfcc)]
        Means, then standard deviations, then standard deviations of the differences from
        frame to frame.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    change = np.diff(coefficients, axis=-2)
    return np.concatenate([coefficients.mean(-2), coefficients.std(-2), change.std(-2)], axis=-1)


@lru_cache
def _mel_filters(n_fft: int) -> scipy.sparse.csr_array:
    # All but a few bins of each band are zero, so that most of a full product would be wasted.
    return scipy.sparse.csr_array(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=N_MELS))


def _power(stft: np.ndarray) -> np.ndarray:
    # Quicker than np.abs(stft) ** 2, which takes a square root only to undo it.
    return np.square(stft.real) + np.square(stft.imag)


def tabular_features(y: np.ndarray) -> np.ndarray:
    """Compute the 57 features of Kaggle's ``features_3_sec.csv``, in the order of `FEATURE_NAMES`.

    Kaggle's tables were made with librosa before 0.10, whose short-time features pad the
    signal by reflection. Means and variances are taken over all frames; tempo is in
    beats per minute, centroid, bandwidth and rolloff in Hz.

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
        If `y` is no array of floating-point numbers, or not all of them are finite.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    librosa.util.valid_audio(y)
    # librosa's compiled functions are ready for this type alone; see _librosa.
    y = np.asarray(y, dtype=np.float32)
    if (n := y.shape[-1]) <= N_FFT // 2:
        raise AudioError(f"{n:,} samples; the 57 features need at least {N_FFT // 2 + 1:,}.")
    shape = (*y.shape[:-1], len(FEATURE_NAMES))
    return np.reshape([_tabular_features(signal) for signal in y.reshape(-1, n)], shape)


def _tabular_features(y: np.ndarray) -> list[float]:
    # SAMPLE_RATE, N_FFT and HOP_LENGTH are what librosa takes if it is told nothing.
    stft = librosa.stft(y, pad_mode="reflect")
    magnitude = np.abs(stft)
    power = _power(stft)
    mel = _mel_filters(N_FFT) @ power
    onsets = librosa.onset.onset_strength(S=librosa.power_to_db(mel), aggregate=np.median)
    # beat_track's tempo, which is 0 where nothing begins, without the tracking of the beats.
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
    """Split an STFT as ``librosa.decompose.hpss`` does, value by value, in less time."""
    harmonic, percussive = _median_along_rows(magnitude), _median_along_rows(magnitude.T).T
    pairs = [(harmonic, percussive), (percussive, harmonic)]
    return [stft * librosa.util.softmask(*pair, power=2, split_zeros=True) for pair in pairs]


def _median_along_rows(values: np.ndarray) -> np.ndarray:
    """Median filter of 31 values along the last axis, with the ends reflected."""
    # SciPy's filter is ten times as quick on one long row as on a matrix of many, so the rows
    # are laid end to end, with their reflections between them.
    padded = np.pad(values, ((0, 0), (15, 15)), mode="symmetric")
    filtered = scipy.ndimage.median_filter(padded.ravel(), size=31)
    return filtered.reshape(padded.shape)[:, 15:-15]
