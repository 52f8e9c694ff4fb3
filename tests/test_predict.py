import contextlib
import threading
import time
import tomllib
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import gtzan_mfcc
from conftest import PROJECT, quick_network
from gtzan_mfcc import audio, dataset, evaluation, extraction, features, models, predict
from gtzan_mfcc._disk import CacheError

GENRES = ["rock", "jazz", "blues"]  # Not in alphabetical order, to detect sorting.
RATE, WHOLE, SHORTEST = audio.SAMPLE_RATE, audio.SEGMENT_LENGTH, audio.shortest_segment()


def music(samples, rate=RATE, channels=1, seed=0):
    """Make notes that change, so that segments and channels differ."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(samples) / rate
    lines = []
    for _ in range(channels):
        notes = rng.uniform(100, 3_000, 4 + samples // rate * 4)
        phase = np.cumsum(notes[(seconds * 4).astype(int)]) / rate
        noise = rng.uniform(-0.05, 0.05, samples)
        lines.append(0.4 * np.sin(2 * np.pi * phase) * rng.uniform(0.2, 1) + noise)
    return np.stack(lines, axis=1).astype(np.float32).squeeze(axis=1 if channels == 1 else ())


def cut(y, shortest=SHORTEST, **settings):
    return np.concatenate(list(audio.segments(y, shortest=shortest, **settings)))


@pytest.fixture(scope="module")
def model():
    return predict.Classifier(quick_network(), GENRES)


@pytest.fixture
def write(tmp_path):
    """Write a sound file, and return the path."""

    def write(name, y, rate=RATE, **settings):
        soundfile.write(tmp_path / name, y, rate, **settings)
        return tmp_path / name

    return write


def by_hand(model, segments, **settings):
    """Compute the probabilities of segments with the network of the model."""
    x = features.mfcc(segments, n_mfcc=model.network.input_shape[2], **settings)
    return model.network(x).numpy()


def track_vote(tracks, probabilities, genres):
    """Compute the votes of tracks; they do not depend on the true genre."""
    table = pd.DataFrame(np.asarray(probabilities, float), columns=genres)
    table.insert(0, "track", list(tracks))
    table.insert(1, "genre", pd.Categorical([genres[0]] * len(table), genres))
    return evaluation.track_vote(table)


def assert_heard(prediction, probabilities):
    heard = prediction.over_time.iloc[:, 2:].to_numpy()
    np.testing.assert_allclose(heard, probabilities, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("hop_length", [256, 441, 500, 512, 1_000])
def test_predictions_are_the_votes_of_the_segments_that_are_extracted(write, tmp_path, hop_length):
    frames = 1 + WHOLE // hop_length
    model = predict.Classifier(quick_network(frames), GENRES, hop_length=hop_length)
    lengths = [WHOLE - 1, SHORTEST - 1, 2 * WHOLE - 1, 4 * WHOLE, WHOLE + 66_000, WHOLE + 40_000]
    paths = [str(write(f"{n}.wav", music(n))) for n in lengths]
    names = [Path(path).stem for path in paths]
    tracks = pd.DataFrame({"track": names, "genre": "jazz", "path": paths})
    extracted = extraction.extract_mfcc(
        tracks, hop_length=hop_length, n_jobs=1, cache=tmp_path / "c", progress=False
    )
    probabilities = model.network(extracted.mfcc).numpy()
    votes = track_vote(extracted.table["track"], probabilities, GENRES)
    for name, path in zip(names, paths):
        prediction, vote = predict.predict(path, model), votes.loc[name]
        assert_heard(prediction, probabilities[(extracted.table["track"] == name).to_numpy()])
        assert prediction.genre == vote["predicted"]
        expected = vote[GENRES].astype(float)
        np.testing.assert_allclose(prediction.probabilities[GENRES], expected, rtol=1e-4)


@pytest.mark.parametrize("settings", [{"n_fft": 1_024}, {"n_fft": 512, "hop_length": 441}])
def test_the_settings_of_a_model_are_used(settings):
    frames = 1 + WHOLE // settings.get("hop_length", 512)
    model = predict.Classifier(quick_network(frames, 20), GENRES, **settings)
    y = music(8 * RATE)
    assert_heard(predict.predict(y, model), by_hand(model, cut(y), **settings))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_a_signal_is_heard_as_the_file_that_holds_it(write, model, rate):
    y = music(35 * rate, rate)
    path = write("song.wav", y, rate, subtype="FLOAT")
    of_path = predict.predict(path, model)
    assert (of_path.seconds, len(of_path.over_time), of_path.padded) == (35, 11, False)
    for other in (predict.predict(str(path), model), predict.predict(y, model, sample_rate=rate)):
        pd.testing.assert_frame_equal(other.over_time, of_path.over_time, rtol=1e-4)
        assert (other.seconds, other.padded) == (35, False)


@pytest.mark.parametrize("hop_seconds", [1 / RATE * 20_000, 1.5, 2.999_99, 3])
@pytest.mark.parametrize("samples", [WHOLE, 3 * WHOLE + 40_000, WHOLE + SHORTEST, 12 * WHOLE])
def test_segments_start_every_hop_up_to_the_end(model, samples, hop_seconds):
    y = music(samples)
    hop = round(hop_seconds * RATE)
    starts = [start for start in range(0, samples, hop) if start + SHORTEST <= samples]
    # Only the first segment that reaches beyond the end.
    starts = [start for start in starts if start + WHOLE - hop <= samples - 1]
    segments = np.stack(
        [np.pad(y[start:][:WHOLE], (0, max(0, start + WHOLE - samples))) for start in starts]
    )
    prediction = predict.predict(y, model, hop_seconds=hop_seconds)
    table = prediction.over_time
    assert list(table) == ["start", "end", *GENRES]
    np.testing.assert_allclose(table["start"], np.array(starts) / RATE)
    np.testing.assert_allclose(table["end"], np.minimum(np.array(starts) + WHOLE, samples) / RATE)
    assert_heard(prediction, by_hand(model, segments))


@pytest.mark.parametrize("hop_seconds", [0, -1, 1e-9, 3.001, np.nan, np.inf])
def test_a_hop_that_makes_no_sense_is_refused_before_the_song_is_read(model, hop_seconds):
    with pytest.raises(ValueError, match=r"hop_seconds is .*; take up to 3\."):
        predict.predict("nowhere.wav", model, hop_seconds=hop_seconds)


def test_of_genres_that_are_as_probable_the_models_first_is_taken_as_in_a_vote():
    genres = [f"genre {number}" for number in range(40)]
    even = quick_network(n_genres=40)
    even.layers[-1].set_weights([np.zeros((130 * 13, 40)), np.arange(40) % 2])
    prediction = predict.predict(music(WHOLE), predict.Classifier(even, genres))
    assert prediction.genre == "genre 1"
    assert list(prediction.probabilities.index) == genres[1::2] + genres[::2]
    votes = track_vote(["a"], prediction.over_time[genres], genres)
    assert votes.loc["a", "predicted"] == "genre 1"


def test_a_prediction_shows_the_best_three_genres_and_its_length():
    over_time = pd.DataFrame({"start": [0.0, 3.0], "end": [3.0, 6.0]})
    four = over_time.assign(a=0.1, b=0.554, c=0.3, d=0.046)
    told = "Prediction(b 55%, c 30%, a 10%; 7.5 s, segments: 2)"
    assert repr(predict.Prediction(four, 7.49999, padded=False, silent=False)) == told
    two = over_time.assign(a=0.25, b=0.75)
    told = "Prediction(b 75%, a 25%; 7.5 s, segments: 2, padded, silent)"
    assert repr(predict.Prediction(two, 7.5, padded=True, silent=True)) == told


@pytest.mark.parametrize(
    ("samples", "padded"),
    [(WHOLE // 6, True), (SHORTEST - 1, True), (SHORTEST, False), (WHOLE, False)],
)
def test_a_song_is_repeated_only_if_it_is_too_short_for_a_segment(model, samples, padded):
    y = music(samples)
    prediction = predict.predict(y, model)
    assert prediction.padded is padded
    assert prediction.over_time[["start", "end"]].to_numpy().tolist() == [[0, samples / RATE]]
    filled = np.resize(y, WHOLE) if padded else np.pad(y, (0, WHOLE - samples))
    assert_heard(prediction, by_hand(model, filled[np.newaxis]))


@pytest.mark.parametrize("name", ["short.wav", "./short.wav", "sound", "a/../s"])
@pytest.mark.parametrize("there", [True, False], ids=["short", "missing"])
def test_an_error_begins_with_the_name_of_the_file_and_has_it_once(
    tmp_path, monkeypatch, model, name, there
):
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    if there:
        soundfile.write(name, music(9_000), RATE, format="WAV")
    for song in (name, Path(name)):
        with pytest.raises(audio.AudioError) as caught:
            predict.predict(song, model)
        shown, _, reason = str(caught.value).partition(": ")
        assert Path(shown) == Path(name)
        assert reason.startswith("9,000 samples of sound" if there else "no such file")


@pytest.mark.parametrize("seconds", [1, 4, 70])
@pytest.mark.parametrize(
    ("rms", "silent"), [(0, True), (0.00098, True), (0.00102, False), (0.01, False)]
)
def test_a_song_without_sound_has_a_genre_and_is_silent(write, model, seconds, rms, silent):
    y = np.random.default_rng(0).standard_normal(seconds * RATE)
    y *= rms / np.sqrt(np.mean(y**2))
    for song in (y, write("a.wav", y, subtype="FLOAT")):
        prediction = predict.predict(song, model)
        assert prediction.silent is silent
        assert prediction.probabilities.sum() == pytest.approx(1)
    # A song with a loud part is not silent.
    assert not predict.predict(np.append(y, music(RATE)), model).silent


@pytest.mark.parametrize("wrong", [quick_network(), None, "model.keras", make_pipeline(SVC())])
def test_a_model_that_is_no_classifier_is_refused_with_the_remedy(wrong):
    remedy = r"take predict\.Classifier\(network, genres\), or see RECIPES\.md"
    with pytest.raises(predict.ModelError, match=remedy):
        predict.predict(np.zeros(WHOLE), wrong)


@pytest.mark.parametrize("songs", [["a.wav", "b.wav"], None, ("a.wav",), 3])
def test_a_song_that_is_no_path_or_array_is_refused(model, songs):
    with pytest.raises(TypeError, match="a song is a path or an array; predict_files takes"):
        predict.predict(songs, model)


class Heard:
    """A model of a scikit-learn pipeline, as in RECIPES.md."""

    shortest_segment = WHOLE - 1

    def __init__(self, pipeline, genres, extract):
        self.pipeline, self.genres, self.extract = pipeline, genres, extract

    def hear(self, segments):
        return self.pipeline.predict_proba(self.extract(segments))


EXTRACTS = {
    "the 57 features": lambda segments: features.tabular_features(segments[:, :-1]),
    "statistics": lambda segments: features.mfcc_statistics(features.mfcc(segments)),
}


@pytest.mark.parametrize("extract", EXTRACTS)
def test_a_model_of_scikit_learn_hears_songs_as_well(write, extract):
    x = cut(music(9 * WHOLE))
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    pipeline.fit(EXTRACTS[extract](x), np.arange(9) // 3)
    model = Heard(pipeline, GENRES, EXTRACTS[extract])
    y = music(2 * WHOLE - 2, seed=1)
    path, short = write("a.wav", y, subtype="FLOAT"), y[: WHOLE - 2]
    ((_, prediction),) = predict.predict_files([path], model)
    expected = pipeline.predict_proba(EXTRACTS[extract](y[np.newaxis, :WHOLE]))
    assert_heard(prediction, expected)
    assert not prediction.padded
    assert predict.predict(short, model).padded


@pytest.mark.parametrize(
    ("network", "settings", "finding"),
    [
        ({"frames": 131}, {}, r"from \(None, 131, 13\) to \(None, 3\), and not from \(None, 130,"),
        ({"n_mfcc": 129}, {}, r"\(None, 130, 129\)"),
        ({}, {"hop_length": 256}, r"and not from \(None, 259, n_mfcc\)"),
        ({}, {"genres": ["a", "b"]}, r"to \(None, 3\), and not .* to \(None, 2\)"),
        ({}, {"genres": ["a", "b", "b"]}, "same name"),
        ({}, {"genres": ["a", "b", "end"]}, "start, end"),
        ({}, {"n_fft": 2_047}, "n_fft=2047.* even n_fft"),
        ({}, {"n_fft": 2**20}, "n_fft=1048576"),
        ({}, {"hop_length": 0}, "hop_length=0"),
        ({}, {"hop_length": "512"}, "hop_length='512'"),
    ],
)
def test_a_network_and_settings_that_do_not_fit_are_refused(network, settings, finding):
    with pytest.raises(predict.ModelError, match=finding):
        predict.Classifier(quick_network(**network), **{"genres": GENRES} | settings)


def test_a_network_without_a_shape_or_a_softmax_is_refused():
    with pytest.raises(predict.ModelError, match="from None to None"):
        predict.Classifier(object(), GENRES)
    network = quick_network()
    network.layers[-1].activation = None
    with pytest.raises(predict.ModelError, match="should end in a softmax"):
        predict.predict(music(WHOLE), predict.Classifier(network, GENRES))


def test_a_long_song_takes_no_more_memory_than_a_short_one(tmp_path, model):
    def peak(minutes):
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 16_000, 1, "PCM_16") as file:
            for minute in range(minutes):
                file.write(music(60 * 16_000, 16_000, seed=minute))
        tracemalloc.start()
        try:
            prediction = predict.predict(tmp_path / "long.wav", model)
            assert len(prediction.over_time) == 20 * minutes
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    short = peak(2)
    # The other eight minutes would take 42 MB.
    assert 5e6 < short < 60e6
    assert peak(10) < short + 1e6


@pytest.fixture(scope="module")
def on_features():
    """Make a model on the 57 features, which standardises its input."""
    rows = features.tabular_features(music(2 * WHOLE).reshape(2, WHOLE)[:, :-1])
    mean, variance = rows.mean(axis=0), np.square(rows.mean(axis=0)) + 1
    return predict.Classifier(models.ann(57, 3, mean=mean, variance=variance), GENRES)


@pytest.mark.parametrize(
    ("samples", "segments", "padded"),
    [(2 * WHOLE - 1, 2, False), (2 * WHOLE - 2, 1, False), (WHOLE - 2, 1, True)],
)
def test_a_model_on_the_57_features_hears_what_the_table_of_them_holds(
    on_features, write, tmp_path, samples, segments, padded
):
    path = write("a.wav", music(samples))
    tracks = pd.DataFrame({"track": ["a"], "genre": ["jazz"], "path": [str(path)]})
    table, _ = extraction.extract_features(tracks, n_jobs=1, cache=tmp_path / "c", progress=False)
    probabilities = on_features.network(table[features.FEATURE_NAMES].to_numpy()).numpy()
    assert len(probabilities) == segments
    prediction = predict.predict(path, on_features)
    assert prediction.padded is padded
    assert_heard(prediction, probabilities)


@pytest.fixture
def shelf(write):
    """Write songs of 3 to 8 segments; return their paths, with those of two bad files."""
    paths = [write(f"{k}.wav", music((3 + k) * WHOLE, seed=k)) for k in range(6)]
    empty = paths[0].with_name("empty.wav")
    empty.touch()
    return [str(empty), *paths[:3], paths[0].with_name("nowhere.wav"), *paths[3:]]


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_files_are_predicted_in_order_and_errors_are_not_raised(shelf, model, n_jobs):
    results = list(predict.predict_files(iter(shelf), model, hop_seconds=1.5, n_jobs=n_jobs))
    assert [path for path, _ in results] == shelf
    for path, result in results:
        if Path(path).name in ("empty.wav", "nowhere.wav"):
            assert isinstance(result, audio.AudioError)
            assert str(result).startswith(f"{path}: ")
        else:
            alone = predict.predict(path, model, hop_seconds=1.5)
            pd.testing.assert_frame_equal(result.over_time, alone.over_time)
    assert list(predict.predict_files([], model, n_jobs=n_jobs)) == []


@pytest.mark.parametrize("leave", ["close", "ValueError", "KeyboardInterrupt"])
def test_songs_that_have_begun_are_waited_for_but_not_after_ctrl_c(model, leave, monkeypatch):
    begun, go_on, done = threading.Event(), threading.Event(), []

    def hear(path, *_, **__):
        if path:
            begun.set()
            go_on.wait(10)
            done.append(path)

    monkeypatch.setattr(predict, "predict", hear)
    results = predict.predict_files([0, 1, 2, 3], model, n_jobs=2)
    next(results)
    begun.wait(10)
    if leave == "KeyboardInterrupt":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
        assert not done
        go_on.set()
        return
    threading.Timer(0.2, go_on.set).start()
    with contextlib.suppress(ValueError):
        results.close() if leave == "close" else results.throw(ValueError)
    assert 1 in done


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_leaving_early_is_silent_and_does_not_wait_for_songs_that_have_not_begun(
    shelf, model, n_jobs, monkeypatch
):
    begun = []
    monkeypatch.setattr(
        predict, "predict", lambda path, *_, **__: begun.append(path) or time.sleep(0.001)
    )
    results = predict.predict_files(shelf * 500, model, n_jobs=n_jobs)
    assert [next(results)[0] for _ in range(10)] == [*shelf, *shelf][:10]
    results.close()
    assert len(begun) < len(shelf) * 500


def test_a_wrong_model_or_hop_is_raised(shelf, model):
    with pytest.raises(predict.ModelError, match="has no names of genres"):
        list(predict.predict_files(shelf, quick_network()))
    with pytest.raises(ValueError, match="hop_seconds is 4"):
        list(predict.predict_files(shelf, model, hop_seconds=4))


def test_the_model_that_comes_along_knows_gtzans_genres_by_20_mfccs():
    pretrained = predict.load_pretrained()
    assert pretrained.genres == list(dataset.GENRES)
    assert pretrained.network.input_shape == (None, 130, 20)
    assert (pretrained.n_fft, pretrained.hop_length) == (2_048, 512)
    y = music(7 * WHOLE)
    prediction = predict.predict(y, pretrained)
    # A classifier is a Keras model, and its network can be used in another classifier.
    assert_heard(prediction, pretrained.predict(features.mfcc(cut(y), n_mfcc=20), verbose=0))
    genres = [genre.upper() for genre in pretrained.genres]
    other = predict.predict(y, predict.Classifier(pretrained.network, genres))
    assert other.genre == prediction.genre.upper()


def test_the_model_that_comes_along_is_small_and_installed_with_the_package():
    assert 10_000 < predict.PRETRAINED.stat().st_size <= 5_000_000
    assert predict.PRETRAINED.parent == Path(gtzan_mfcc.__file__).parent
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    package_data = project["tool"]["setuptools"]["package-data"]["gtzan_mfcc"]
    assert predict.PRETRAINED.name in package_data


@pytest.mark.parametrize(
    "error", [audio.AudioError, CacheError, dataset.DatasetError, predict.ModelError]
)
def test_a_notebook_shows_only_the_message_of_an_error(error):
    assert error("what to do")._render_traceback_() == [f"{error.__name__}: what to do"]
