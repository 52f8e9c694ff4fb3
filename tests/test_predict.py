import io
import tomllib
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.naive_bayes import GaussianNB

from conftest import PROJECT, quick_network
from gtzan_mfcc import audio, dataset, extraction, features, predict
from gtzan_mfcc.features import STUDY, Settings

# Not in alphabetical order, to detect sorting; and two are also names of columns.
GENRES = ["start", "end", "blues"]
RATE = 22_050
WHOLE = 66_150
OTHER = Settings(
    sample_rate=16_000, seconds=2, n_fft=1024, hop_length=256, n_mels=64, n_mfcc=20
)


def music(n_samples, seed=0):
    """Make noise that changes its loudness, so that segments differ."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.uniform(0.01, 0.5, n_samples // 5_000 + 1), 5_000)
    noise = rng.uniform(-1, 1, n_samples)
    return (loudness[:n_samples] * noise).astype(np.float32)


def network_of(settings, n_genres=3):
    return quick_network(settings.frames, settings.n_mfcc, n_genres)


@pytest.fixture(scope="module")
def model():
    return predict.Classifier(quick_network(), GENRES, STUDY)


@pytest.fixture
def write(tmp_path):
    """Write a sound file, and return the path."""

    def write(name, y, rate=RATE):
        soundfile.write(tmp_path / name, y, rate, subtype="FLOAT")
        return tmp_path / name

    return write


@pytest.mark.parametrize("settings", [STUDY, OTHER])
@pytest.mark.parametrize("hop", [1, 0.5])
def test_predictions_are_those_of_the_segments_that_are_extracted(write, settings, hop):
    model = predict.Classifier(network_of(settings), GENRES, settings)
    rate = settings.sample_rate
    length = settings.segment_length
    shortest = settings.shortest_segment
    hop_seconds = hop * settings.seconds
    for n in (shortest - 1, length - 1, length + shortest, 4 * length):
        path = write(f"{n}.wav", music(n), rate)
        segments = extraction.extract_mfcc(
            [path], settings, hop_seconds=hop_seconds, n_jobs=1, progress=False
        )
        prediction = predict.predict(path, model, hop_seconds=hop_seconds)
        expected = model.network.predict(segments.x, verbose=0)
        np.testing.assert_allclose(prediction.over_time, expected, rtol=1e-4, atol=1e-6)
        assert list(prediction.over_time) == GENRES
        times = segments.table[["start"]]
        times = times.assign(
            end=np.minimum(times["start"] + settings.seconds, n / rate)
        )
        found = prediction.over_time.index.to_frame(index=False)
        pd.testing.assert_frame_equal(found, times)
        assert prediction.padded == (n < shortest)
        assert prediction.seconds == n / rate


def test_a_song_is_a_path_an_open_file_bytes_or_an_array(write, model):
    y = music(9 * 44_100)
    path = write("song.wav", y, 44_100)
    expected = predict.predict(path, model)
    assert (expected.seconds, len(expected.over_time)) == (9, 3)
    content = path.read_bytes()
    for song in (str(path), io.BytesIO(content), content, y):
        other = predict.predict(song, model, sample_rate=44_100).over_time
        pd.testing.assert_frame_equal(other, expected.over_time, rtol=1e-4)


def test_an_array_has_the_sample_rate_of_the_model_by_default():
    model = predict.Classifier(network_of(OTHER), GENRES, OTHER)
    assert predict.predict(music(80_000), model).seconds == 5


@pytest.mark.parametrize("hop_seconds", [0, 1e-9, 3.001, np.nan])
def test_a_hop_that_makes_no_sense_is_refused(model, hop_seconds):
    results = predict.predict_files(["nowhere.wav"], model, hop_seconds=hop_seconds)
    with pytest.raises(ValueError, match=r"hop_seconds is .*; take up to 3\.0\."):
        next(results)


def test_an_error_begins_with_the_name_of_the_file(write, model):
    short = write("short.wav", music(9_000))
    for song, reason in ((short, "9,000 samples"), ("missing.wav", "no such file")):
        with pytest.raises(audio.AudioError) as caught:
            predict.predict(song, model)
        assert str(caught.value).startswith(f"{song}: {reason}")


def test_a_short_song_is_repeated(model):
    y = music(20_000)
    short = predict.predict(y, model)
    repeated = predict.predict(np.resize(y, WHOLE), model)
    np.testing.assert_allclose(short.over_time, repeated.over_time, rtol=1e-4)
    assert short.padded


def test_of_genres_that_are_as_probable_the_first_is_predicted():
    index = pd.MultiIndex.from_tuples([(0, 3)], names=["start", "end"])
    even = pd.DataFrame([[0.2, 0.4, 0.4]], index, ["a", "c", "b"])
    prediction = predict.Prediction(even, 7.49999, padded=True, silent=True)
    assert list(prediction.probabilities.index) == ["c", "b", "a"]
    shown = "Prediction(c 40%, b 40%, a 20%; 7.5 s, segments: 1, padded, silent)"
    assert repr(prediction) == shown
    assert prediction in [None, prediction]


@pytest.mark.parametrize(("highest", "unsure"), [(0.49, True), (0.5, False)])
def test_a_song_is_unsure_if_no_genre_has_one_half(highest, unsure):
    index = pd.MultiIndex.from_tuples([(0, 3)], names=["start", "end"])
    rest = (1 - highest) / 2
    over_time = pd.DataFrame([[rest, highest, rest]], index, ["a", "b", "c"])
    prediction = predict.Prediction(over_time, 3.0, padded=False, silent=False)
    assert prediction.unsure is unsure


@pytest.mark.parametrize(("rms", "silent"), [(0.00098, True), (0.0011, False)])
def test_a_song_without_sound_is_silent(model, rms, silent):
    y = np.random.default_rng(0).standard_normal(4 * RATE)
    y *= rms / np.sqrt(np.mean(y**2))
    assert predict.predict(y, model).silent is silent


class Own:
    """A model of scikit-learn, as in RECIPES.md."""

    genres = ("a", "b")
    settings = STUDY

    def __init__(self, classifier):
        self.classifier = classifier

    def predict_proba(self, segments):
        x = features.mfcc(segments)
        return self.classifier.predict_proba(features.mfcc_statistics(x))


def test_a_model_of_scikit_learn_predicts_songs_as_well():
    x = features.mfcc_statistics(features.mfcc(music(6 * WHOLE).reshape(6, WHOLE)))
    classifier = GaussianNB().fit(x, [0, 0, 0, 1, 1, 1])
    prediction = predict.predict(music(6 * WHOLE), Own(classifier))
    np.testing.assert_allclose(prediction.over_time, classifier.predict_proba(x))
    classifier.predict_proba = classifier.predict_log_proba
    with pytest.raises(predict.ModelError, match="softmax"):
        predict.predict(music(6 * WHOLE), Own(classifier))


@pytest.mark.parametrize(
    ("network", "settings", "found"),
    [
        ({"frames": 131}, STUDY, r"\(None, 131, 13\).*not from \(None, 130, 13\)"),
        ({}, OTHER, r"\(None, 130, 13\).*not from \(None, 126, 20\)"),
        ({"n_genres": 4}, STUDY, r"to \(None, 4\), and not .* to \(None, 3\)"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(network, settings, found):
    with pytest.raises(predict.ModelError, match=found):
        predict.Classifier(quick_network(**network), GENRES, settings)


@pytest.mark.parametrize("genres", [["a"], ["a", "a"], ["a", 1], "abc", {"a", "b"}])
def test_genres_are_a_list_of_different_names(genres):
    with pytest.raises(predict.ModelError, match="give a list of two or more"):
        predict.Classifier(quick_network(n_genres=len(genres)), genres, STUDY)


def test_a_network_without_a_softmax_is_refused():
    network = quick_network()
    network.layers[-1].activation = None
    with pytest.raises(predict.ModelError, match="softmax"):
        predict.predict(music(WHOLE), predict.Classifier(network, GENRES, STUDY))


def test_a_long_song_takes_no_more_memory_than_a_short_one(write, model):
    def peak(minutes):
        path = write("long.wav", np.tile(music(60 * RATE), minutes))
        tracemalloc.start()
        predict.predict(path, model)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak(1)
    # The other eight minutes would take 42 MB.
    assert peak(10) < peak(2) + 1e6


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_files_are_predicted_in_order_and_errors_are_not_raised(write, model, n_jobs):
    paths = [write(f"{k}.wav", music((3 + k) * WHOLE, seed=k)) for k in range(4)]
    files = [*paths[:2], "nowhere.wav", *paths[2:]]
    # Other backends of joblib do not matter.
    with joblib.parallel_config(backend="multiprocessing"):
        results = list(predict.predict_files(iter(files), model, n_jobs=n_jobs))
    assert [file for file, _ in results] == files
    assert isinstance(results[2][1], audio.AudioError)
    for file, result in results[:2] + results[3:]:
        expected = predict.predict(file, model).over_time
        pd.testing.assert_frame_equal(result.over_time, expected)


@pytest.mark.parametrize(("n_jobs", "most"), [(1, 5), (2, 8)])
def test_few_files_are_taken_before_their_results_are_given(model, n_jobs, most):
    taken = []

    def endless():
        while True:
            taken.append(f"{len(taken)}.wav")
            yield taken[-1]

    results = predict.predict_files(endless(), model, n_jobs=n_jobs)
    for number in range(5):
        assert next(results)[0] == f"{number}.wav"
    results.close()
    assert len(taken) <= most


def test_the_pretrained_model_has_gtzans_genres_and_is_installed_with_the_package():
    pretrained = predict.load_pretrained()
    assert pretrained.genres == list(dataset.GENRES)
    assert pretrained.settings == Settings(n_mfcc=20)
    assert 10_000 < predict.PRETRAINED.stat().st_size <= 5_000_000
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    package_data = project["tool"]["setuptools"]["package-data"]["gtzan_mfcc"]
    assert predict.PRETRAINED.name in package_data
