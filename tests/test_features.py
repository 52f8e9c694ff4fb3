import subprocess
import sys
from itertools import product

import librosa
import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import audio, features
from gtzan_mfcc.features import Settings

LOSSLESS = "classical.00000 classical.00050 jazz.00000 jazz.00060 rock.00042".split()
HPSS = [
    name for name in features.FEATURE_NAMES if name.startswith(("harmony", "perceptr"))
]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_mfcc", 0, "n_mfcc is 0; take a whole number"),
        ("sample_rate", 22_050.0, "sample_rate is 22050.0; take a whole number"),
        ("hop_length", 66_151, "hop_length is 66151, .* 66150 samples"),
        ("n_fft", 2047, "n_fft is 2047; take an even number"),
    ],
)
def test_settings_without_a_meaning_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{name: value})


def test_settings_state_the_sizes_of_segments():
    study = Settings(n_mfcc=np.int64(13))
    assert study == Settings()
    assert study.segment_length == 66_150
    assert study.frames == 130
    assert study.shortest_segment == 66_048
    assert Settings(sample_rate=16_000, seconds=2.5, hop_length=160).frames == 251


def librosas(y, settings):
    return librosa.feature.mfcc(
        y=y,
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        n_mels=settings.n_mels,
        n_mfcc=settings.n_mfcc,
    ).T


def test_mfcc_is_librosas(tone):
    # Silence is clipped 80 dB below the maximum.
    tone = np.pad(tone, (0, 22_050))
    for settings in (
        Settings(),
        Settings(sample_rate=16_000, hop_length=1000, n_mels=64, n_mfcc=40),
        Settings(sample_rate=44_100, n_fft=4096),
    ):
        ours = features.mfcc(tone.astype(np.float64), settings)
        np.testing.assert_allclose(ours, librosas(tone, settings), atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*mel:UserWarning")
@pytest.mark.parametrize("rate", [1_000, 1_999, 2_000, 8_000, 22_050, 96_000])
def test_mel_filters_are_exactly_librosas(rate):
    for n_fft, n_mels in product((2, 254, 400, 2048, 4096), (1, 2, 13, 128)):
        ours = features._mel_filters(rate, n_fft, n_mels).toarray()
        theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels)
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_bands_without_power_are_told():
    with pytest.warns(UserWarning, match="of the 128 mel bands are empty"):
        features.mfcc(np.ones(5_000), Settings(sample_rate=22_049, n_fft=256))


def test_mfccs_do_not_wait_for_the_compiled_functions_of_librosa():
    code = """
import sys
import numpy as np
from gtzan_mfcc import extraction, features
for compute in (features.mfcc, features.tabular_features):
    compute(np.random.default_rng(0).uniform(-1, 1, 8_192))
    print("numba" in sys.modules)
"""
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.split() == ["False", "True"]


def test_mfcc_of_a_signal_does_not_depend_on_louder_ones_beside_it(tone):
    # librosa clips a batch 80 dB below the maximum of all its signals.
    batch = np.stack([tone, 1e-4 * tone[::-1], np.zeros_like(tone), 100 * tone])
    expected = np.stack([librosas(y, Settings()) for y in batch])
    together = librosa.feature.mfcc(y=batch, n_mfcc=13).swapaxes(1, 2)
    assert np.abs(together - expected).max() > 1
    np.testing.assert_allclose(features.mfcc(batch), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 5_000), (0, 66_150)])
def test_shapes_and_types_are_those_of_the_docstrings(shape):
    coefficients = features.mfcc(np.ones(shape), Settings(n_mfcc=7))
    assert coefficients.shape == (*shape[:-1], 1 + shape[-1] // 512, 7)
    assert coefficients.dtype == np.float32
    assert features.mel_power(np.ones(shape)).dtype == np.float32
    assert features.mfcc_statistics(coefficients).shape == (*shape[:-1], 21)


def test_more_coefficients_than_mel_bands_are_refused():
    with pytest.raises(ValueError, match="n_mfcc is 129; take 1 to 128"):
        features.cepstrum(np.ones((128, 5)), n_mfcc=129)


@pytest.mark.parametrize("function", [features.mfcc, features.tabular_features])
def test_what_is_no_signal_is_refused(function):
    ones = np.ones(5_000)
    for y in (np.nan * ones, ones.astype(int), np.array(1.0), ones.tolist()):
        with pytest.raises(librosa.ParameterError):
            function(y)


@pytest.fixture(scope="module", params=["30_sec", "3_sec_classical_jazz_rock"])
def ours_and_kaggles(request, reference):
    """Return our features of lossless tracks, and the same rows of Kaggle's table."""
    rows = {}
    for name in LOSSLESS:
        y = audio.load(reference / "lossless" / f"{name}.flac")
        if request.param == "30_sec":
            rows[f"{name}.wav"] = features.tabular_features(y)
        else:
            segments = np.concatenate(list(audio.segments(y)))[:10, :66_149]
            for k, row in enumerate(features.tabular_features(segments)):
                rows[f"{name}.{k}.wav"] = row
    ours = pd.DataFrame.from_dict(rows, orient="index", columns=features.FEATURE_NAMES)
    path = reference / "reference" / f"kaggle_features_{request.param}.csv"
    kaggles = pd.read_csv(path, index_col="filename")
    assert list(kaggles) == ["length", *features.FEATURE_NAMES, "label"]
    return ours, kaggles.loc[ours.index, features.FEATURE_NAMES]


@pytest.mark.parametrize(
    ("columns", "tolerance", "share"),
    [
        ([name for name in features.FEATURE_NAMES if name not in HPSS], 1e-4, 0.99),
        (HPSS, 1e-3, 0.95),
    ],
    ids=["53 columns", "harmony and perceptr"],
)
def test_features_are_kaggles(ours_and_kaggles, columns, tolerance, share):
    ours, kaggles = (table[columns].to_numpy() for table in ours_and_kaggles)
    near = np.isclose(ours, kaggles, rtol=tolerance, atol=0)
    assert near.mean() >= share


def test_features_of_a_batch_are_those_of_its_signals(tone):
    batch = np.stack([tone, 0.01 * tone[::-1]])[:, np.newaxis, :30_000]
    together = features.tabular_features(batch)
    assert together.shape == (2, 1, 57)
    for ours, y in zip(together[:, 0], batch[:, 0]):
        np.testing.assert_array_equal(ours, features.tabular_features(y))
    assert features.tabular_features(batch[:0]).shape == (0, 1, 57)


@pytest.mark.filterwarnings("ignore:Trying to estimate tuning")
def test_features_of_silence_are_finite():
    row = features.tabular_features(np.zeros(66_149, np.float32))
    assert np.isfinite(row).all()
    named = dict(zip(features.FEATURE_NAMES, row))
    assert named["tempo"] == 0


def test_statistics_are_those_of_each_coefficient_over_time():
    coefficients = np.array([[1, 4], [3, 4], [8, 1]])
    expected = [4, 3, np.sqrt(26 / 3), np.sqrt(2), 1.5, 1.5]
    np.testing.assert_allclose(features.mfcc_statistics(coefficients), expected)
