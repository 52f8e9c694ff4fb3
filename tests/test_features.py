import librosa
import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import audio, features

LOSSLESS = ["classical.00000", "classical.00050", "jazz.00000", "jazz.00060", "rock.00042"]
HPSS = [name for name in features.FEATURE_NAMES if name.startswith(("harmony", "perceptr"))]


def librosas(y, **settings):
    return librosa.feature.mfcc(y=y, sr=22_050, **{"n_mfcc": 13} | settings).T


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_mfcc": 20},
        {"n_mfcc": 40},
        {"n_fft": 1024, "hop_length": 256},
        {"hop_length": 1000},
    ],
    ids=str,
)
def test_mfcc_is_librosas(tone, settings):
    ours = features.mfcc(tone, **settings)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, librosas(tone, **settings), atol=1e-3)


def test_mfcc_of_a_signal_does_not_depend_on_louder_ones_beside_it(tone):
    # librosa clips a batch 80 dB below the maximum of all its signals.
    batch = np.stack([tone, 1e-4 * tone[::-1], np.zeros_like(tone), 100 * tone])
    expected = np.stack([librosas(y) for y in batch])
    assert np.abs(librosa.feature.mfcc(y=batch, n_mfcc=13).swapaxes(1, 2) - expected).max() > 1
    np.testing.assert_allclose(features.mfcc(batch), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(66_150,), (2, 66_150), (2, 3, 66_150), (66_048,), (5_000,)])
def test_mfcc_has_time_before_coefficient(shape):
    coefficients = features.mfcc(np.ones(shape, dtype=np.float32), n_mfcc=7)
    assert coefficients.shape == (*shape[:-1], 1 + shape[-1] // 512, 7)
    assert coefficients.dtype == np.float32


@pytest.mark.parametrize("name", ["kaggle_features_30_sec", "kaggle_features_3_sec_classical*"])
def test_feature_names_are_kaggles_columns(reference, name):
    (path,) = (reference / "reference").glob(f"{name}.csv")
    columns = list(pd.read_csv(path, nrows=0))
    assert columns == ["filename", "length", *features.FEATURE_NAMES, "label"]


@pytest.fixture(scope="module", params=["30 s", "3 s"])
def ours_and_kaggles(request, reference):
    """Return our features of the lossless tracks and the same rows of Kaggle's table."""
    signals = {name: audio.load(reference / "lossless" / f"{name}.flac") for name in LOSSLESS}
    if request.param == "30 s":
        table = "kaggle_features_30_sec.csv"
        rows = {f"{name}.wav": features.tabular_features(y) for name, y in signals.items()}
    else:
        table = "kaggle_features_3_sec_classical_jazz_rock.csv"
        rows = {}
        for name, y in signals.items():
            segments = np.concatenate(list(audio.segments(y)))[:10, :66_149]
            for k, row in enumerate(features.tabular_features(segments)):
                rows[f"{name}.{k}.wav"] = row
    ours = pd.DataFrame.from_dict(rows, orient="index", columns=features.FEATURE_NAMES)
    kaggles = pd.read_csv(reference / "reference" / table, index_col="filename")
    assert len(ours) == (5 if request.param == "30 s" else 50)
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
    assert near.mean() >= share, pd.Series(1 - near.mean(axis=0), columns).nlargest(5)


def test_features_of_a_batch_are_those_of_its_signals(tone):
    batch = np.stack([tone, 0.01 * tone[::-1]])[:, np.newaxis, :30_000]
    together = features.tabular_features(batch)
    assert together.shape == (2, 1, 57)
    for ours, y in zip(together[:, 0], batch[:, 0]):
        np.testing.assert_array_equal(ours, features.tabular_features(y))


@pytest.mark.filterwarnings("ignore:Trying to estimate tuning")
def test_features_of_silence_are_finite():
    row = pd.Series(features.tabular_features(np.zeros(66_149, np.float32)), features.FEATURE_NAMES)
    assert np.isfinite(row).all()
    assert row["tempo"] == 0
    assert row["rms_mean"] == 0


@pytest.mark.parametrize("samples", [0, 1, 1_024])
def test_features_refuse_a_signal_too_short_to_be_padded(samples):
    with pytest.raises(ValueError, match=rf"{samples:,} samples; .* at least 1,025"):
        features.tabular_features(np.zeros(samples, np.float32))


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
def test_the_shortest_signal_with_features_has_them():
    y = np.random.default_rng(0).standard_normal(1_025).astype(np.float32)
    assert np.isfinite(features.tabular_features(y)).all()
    with pytest.raises(librosa.ParameterError, match=r"must be of type numpy\.ndarray"):
        features.tabular_features("song.mp3")


def test_separation_is_librosas(tone):
    stft = librosa.stft(tone)
    ours = features._hpss(stft, np.abs(stft))
    for mine, theirs in zip(ours, librosa.decompose.hpss(stft)):
        np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(stft).max())


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
def test_statistics_are_those_of_each_coefficient_over_time(batch):
    coefficients = np.random.default_rng(0).normal(3, 2, size=(*batch, 11, 4))
    statistics = features.mfcc_statistics(coefficients)
    assert statistics.shape == (*batch, 12)
    for where in np.ndindex(*batch):
        columns = coefficients[where].T
        expected = [np.mean(column) for column in columns]
        expected += [np.std(column) for column in columns]
        expected += [np.std(column[1:] - column[:-1]) for column in columns]
        np.testing.assert_allclose(statistics[where], expected)


def test_more_coefficients_than_bands_are_refused(tone):
    with pytest.raises(ValueError, match="200 coefficients of 128 mel bands"):
        features.mfcc(tone, n_mfcc=200)
