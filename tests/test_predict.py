import itertools
import os
import shutil
import time
import tracemalloc
import warnings
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import gtzan_mfcc
from conftest import PROJECT, quick_network
from gtzan_mfcc import audio, dataset, evaluation, extraction, features, models, predict

GENRES = ["rock", "jazz", "blues"]  # Not in alphabetical order, so that theirs shows.
RATE, WHOLE, SHORTEST = audio.SAMPLE_RATE, audio.SEGMENT_LENGTH, audio.SHORTEST_SEGMENT


def music(samples, rate=RATE, channels=1, seed=0):
    """Make notes that change, so that segments differ; another line of them a channel."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(samples) / rate
    lines = []
    for _ in range(channels):
        notes = rng.uniform(100, 3_000, 4 + samples // rate * 4)
        phase = np.cumsum(notes[(seconds * 4).astype(int)]) / rate
        noise = rng.uniform(-0.05, 0.05, samples)
        lines.append(0.4 * np.sin(2 * np.pi * phase) * rng.uniform(0.2, 1) + noise)
    return np.stack(lines, axis=1).astype(np.float32).squeeze(axis=1 if channels == 1 else ())


@pytest.fixture(scope="module")
def model():
    return predict.Classifier(quick_network(), GENRES)


@pytest.fixture
def write(tmp_path):
    """Write a sound file and give its path."""

    def write(name, y, rate=RATE, **settings):
        soundfile.write(tmp_path / name, y, rate, **settings)
        return tmp_path / name

    return write


def by_hand(model, segments, **settings):
    """Give the probabilities that the network itself gives for the MFCCs of segments."""
    x = features.mfcc(segments, n_mfcc=model.network.input_shape[2], **settings)
    return model.network(x).numpy()


def assert_heard(prediction, probabilities):
    heard = prediction.over_time.iloc[:, 2:].to_numpy()
    np.testing.assert_allclose(heard, probabilities, rtol=1e-4, atol=1e-6)


SOUNDS = [
    (f"{rate}-{channels}.{ending}", rate, channels)
    for ending in ("wav", "flac", "ogg", "mp3", "au")
    for rate in (8_000, 22_050, 44_100, 48_000, 96_000)
    for channels in (1, 2)
    if (ending, rate) != ("mp3", 96_000)
]


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Give a folder with a song of 6.5 s in every format, in a class a format."""
    folder = tmp_path_factory.mktemp("songs")
    for number, (name, rate, channels) in enumerate(SOUNDS):
        path = folder / name.rpartition(".")[2] / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, music(int(6.5 * rate), rate, channels, seed=number), rate)
    return folder


@pytest.mark.parametrize(("name", "rate", "channels"), SOUNDS, ids=[name for name, *_ in SOUNDS])
def test_a_file_of_any_format_is_heard_as_by_hand(songs, model, name, rate, channels):
    path = songs / name.rpartition(".")[2] / name
    y = audio.load(path)
    prediction = predict.predict(path, model)
    assert_heard(prediction, by_hand(model, audio.cut(y)))
    assert len(prediction.over_time) == 2
    assert prediction.seconds == len(y) / RATE == pytest.approx(6.5, abs=0.1)
    assert not prediction.padded


def test_predictions_are_the_votes_of_the_segments_that_are_extracted(songs, model, tmp_path):
    tracks = dataset.load_tracks(songs)
    assert len(tracks) == len(SOUNDS)
    segments = extraction.extract_mfcc(tracks, n_jobs=1, cache=tmp_path, progress=False)
    probabilities = model.network(segments.mfcc).numpy()
    votes = evaluation.track_vote(segments.table, probabilities, GENRES)
    for track, path in zip(tracks["track"], tracks["path"]):
        prediction = predict.predict(path, model)
        assert prediction.genre == votes.loc[track, "predicted"]
        np.testing.assert_allclose(
            prediction.probabilities[GENRES], votes.loc[track, GENRES].astype(float), rtol=1e-4
        )


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
def test_a_signal_is_heard_as_the_file_that_holds_it(write, model, rate):
    y = music(35 * rate, rate)
    path = write("song.wav", y, rate, subtype="FLOAT")
    of_path = predict.predict(path, model)
    of_name = predict.predict(str(path), model)
    of_signal = predict.predict(y, model, sample_rate=rate)
    for other in (of_name, of_signal):
        pd.testing.assert_frame_equal(other.over_time, of_path.over_time, rtol=1e-4)
        assert (other.seconds, other.padded) == (of_path.seconds, False)


def test_the_sample_rate_of_a_signal_counts(model):
    y = music(10 * RATE)
    heard = {rate: predict.predict(y, model, sample_rate=rate) for rate in (RATE, RATE // 2)}
    assert [prediction.seconds for prediction in heard.values()] == [10, 20]
    assert [len(prediction.over_time) for prediction in heard.values()] == [3, 6]


@pytest.mark.parametrize(
    ("dtype", "scale", "middle"),
    [("int16", 2**15, 0), ("int32", 2**31, 0), ("uint8", 2**7, 2**7), ("float64", 1, 0)],
)
def test_a_signal_may_be_of_any_type(model, dtype, scale, middle):
    y = music(7 * RATE)
    y = (y / np.abs(y).max() * scale * 0.9 + middle).astype(dtype)
    floats = ((y.astype(float) - middle) / scale).astype(np.float32)
    assert np.abs(floats).max() == pytest.approx(0.9, abs=0.01)
    assert_heard(predict.predict(y, model), by_hand(model, audio.cut(floats)))


@pytest.mark.parametrize("seconds", [3, 7.5, 8.999, 31, 62.5])
def test_segments_follow_one_another_up_to_the_end(model, seconds):
    y = music(int(seconds * RATE))
    prediction = predict.predict(y, model)
    table = prediction.over_time
    assert list(table) == ["start", "end", *GENRES]
    np.testing.assert_allclose(table["start"], 3 * np.arange(len(table)))
    np.testing.assert_allclose(table["end"], np.minimum(table["start"] + 3, seconds), atol=1e-4)
    assert (table["end"] <= prediction.seconds).all()
    assert_heard(prediction, by_hand(model, audio.cut(y)))


@pytest.mark.parametrize("hop_seconds", [1 / RATE * 20_000, 0.7, 1.5, 2.999_99, 3])
@pytest.mark.parametrize("samples", [WHOLE, 3 * WHOLE + 40_000, 4 * WHOLE, WHOLE + SHORTEST])
def test_segments_may_overlap(model, samples, hop_seconds):
    y = music(samples)
    hop = round(hop_seconds * RATE)
    starts = [start for start in range(0, samples, hop) if start + SHORTEST <= samples]
    # Of those that reach beyond the end, the first one alone.
    starts = [start for start in starts if start + WHOLE - hop <= samples - 1]
    cut = np.stack(
        [np.pad(y[start:][:WHOLE], (0, max(0, start + WHOLE - samples))) for start in starts]
    )
    prediction = predict.predict(y, model, hop_seconds=hop_seconds)
    table = prediction.over_time
    np.testing.assert_allclose(table["start"], np.array(starts) / RATE)
    np.testing.assert_allclose(table["end"], np.minimum(np.array(starts) + WHOLE, samples) / RATE)
    assert table["end"].max() <= prediction.seconds
    assert_heard(prediction, by_hand(model, cut))


@pytest.mark.parametrize("hop_seconds", [0, -1, 1e-9, 3.001, np.nan, np.inf])
def test_a_hop_that_makes_no_sense_is_refused_before_the_song_is_read(model, hop_seconds):
    with pytest.raises(ValueError, match=r"hop_seconds is .*; take up to 3\."):
        predict.predict("nowhere.wav", model, hop_seconds=hop_seconds)


def test_probabilities_are_means_over_the_segments_highest_first(model):
    prediction = predict.predict(music(40 * RATE), model, hop_seconds=1)
    of_segments = prediction.over_time[GENRES]
    np.testing.assert_allclose(of_segments.sum(axis=1), 1, rtol=1e-5)
    assert of_segments.idxmax(axis=1).nunique() > 1
    probabilities = prediction.probabilities
    assert probabilities.is_monotonic_decreasing
    assert probabilities.sum() == pytest.approx(1)
    np.testing.assert_allclose(probabilities[GENRES], of_segments.mean())
    assert prediction.genre == probabilities.idxmax() == of_segments.mean().idxmax()


def test_of_genres_that_are_as_probable_the_models_first_is_taken_as_in_a_vote():
    genres = [f"genre {number}" for number in range(40)]
    even = quick_network(n_genres=40)
    even.layers[-1].set_weights([np.zeros((130 * 13, 40)), np.arange(40) % 2])
    prediction = predict.predict(music(WHOLE), predict.Classifier(even, genres))
    assert prediction.genre == "genre 1"
    assert list(prediction.probabilities.index) == genres[1::2] + genres[::2]
    table = pd.DataFrame({"track": ["a"], "genre": ["genre 0"]})
    votes = evaluation.track_vote(table, prediction.over_time[genres].to_numpy(), genres)
    assert votes.loc["a", "predicted"] == "genre 1"


@pytest.mark.parametrize(
    ("shares", "padded", "shown"),
    [
        (
            {"a": 0.1, "b": 0.554, "c": 0.3, "d": 0.046},
            False,
            "Prediction(b 55%, c 30%, a 10%; 7.5 s, segments: 2)",
        ),
        (
            {"ロック": 0.25, "drum & bass": 0.75},
            True,
            "Prediction(drum & bass 75%, ロック 25%; 7.5 s, segments: 2, "
            "too short for a segment and repeated)",
        ),
    ],
    ids=["four", "two"],
)
def test_a_prediction_shows_the_best_three_and_what_was_heard(shares, padded, shown):
    over_time = pd.DataFrame({"start": [0.0, 3.0], "end": [3.0, 6.0], **shares})
    assert repr(predict.Prediction(over_time, 7.49999, padded)) == shown


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


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("ending", ["wav", "flac", "au"])
def test_half_a_second_will_do_and_less_is_refused_by_name(write, model, rate, ending):
    enough = predict.predict(write(f"enough.{ending}", music(rate // 2, rate), rate), model)
    assert enough.padded
    assert enough.seconds == 0.5
    short = write(f"short.{ending}", music(int(0.49 * rate), rate), rate)
    with pytest.raises(audio.AudioError) as caught:
        predict.predict(short, model)
    assert str(caught.value).startswith(f"{short}: 10,8")
    assert "use a longer recording" in str(caught.value)


@pytest.mark.parametrize("ending", ["ogg", "mp3"])
def test_half_a_second_of_a_lossy_file_will_do(write, model, ending):
    assert predict.predict(write(f"a.{ending}", music(RATE // 2)), model).padded


@pytest.mark.parametrize("name", ["short.wav", "./short.wav", "a//short.wav", "sound", "a/../s"])
@pytest.mark.parametrize("there", [True, False], ids=["short", "missing"])
def test_an_error_begins_with_the_files_name_and_tells_it_once(
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


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_file_may_have_a_name_that_is_no_text(write, model):
    path = write("a.wav", music(WHOLE))
    strange = shutil.copy(path, os.path.join(path.parent, os.fsdecode(b"caf\xe9.wav")))
    expected = predict.predict(path, model)
    pd.testing.assert_frame_equal(predict.predict(strange, model).over_time, expected.over_time)


@pytest.mark.parametrize("name", ["a" * 300 + ".wav", "a\0b.wav", ""], ids=["long", "nul", "none"])
def test_a_name_that_no_file_can_have_is_an_audio_error(model, name):
    with pytest.raises(audio.AudioError):
        predict.predict(name, model)


@pytest.mark.parametrize(
    ("y", "finding"),
    [
        (np.zeros((2, WHOLE), np.float32), r"shape \(2, 66150\)"),
        (np.zeros(0, np.float32), "without samples"),
        (np.full(WHOLE, np.nan, np.float32), "are NaN, infinite"),
        (np.zeros(WHOLE // 6 - 1, np.float32), "11,024 samples of sound"),
    ],
    ids=["channels", "empty", "nan", "short"],
)
def test_a_signal_that_cannot_be_heard_is_refused(model, y, finding):
    with pytest.raises(audio.AudioError, match=finding) as caught:
        predict.predict(y, model)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_silence_has_a_genre_too(model, value):
    prediction = predict.predict(np.full(2 * WHOLE, value), model)
    assert prediction.probabilities.sum() == pytest.approx(1)


def test_what_is_no_classifier_is_refused_with_the_remedy(model):
    with pytest.raises(predict.ModelError, match=r"Sequential .*; take predict.Classifier\("):
        predict.predict(np.zeros(WHOLE), quick_network())
    with pytest.raises(predict.ModelError, match="str does not say"):
        predict.predict(np.zeros(WHOLE), "model.keras")


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


def test_a_long_song_is_heard_to_its_end(write, model):
    y = music(95 * RATE)
    prediction = predict.predict(write("a.wav", y, subtype="FLOAT"), model, hop_seconds=1.3)
    hop = round(1.3 * RATE)
    cut = np.lib.stride_tricks.sliding_window_view(y, WHOLE)[::hop]
    assert len(prediction.over_time) == len(cut)
    assert_heard(prediction, by_hand(model, cut))


@pytest.fixture(scope="module")
def on_features():
    """Give a model on the 57 features, which standardises them itself."""
    rows = features.tabular_features(music(2 * WHOLE).reshape(2, WHOLE)[:, :-1])
    mean, variance = rows.mean(axis=0), np.square(rows.mean(axis=0)) + 1
    return predict.Classifier(models.ann(57, 3, mean=mean, variance=variance), GENRES)


@pytest.mark.parametrize(
    ("samples", "segments", "padded"),
    [
        (2 * WHOLE - 1, 2, False),
        (2 * WHOLE - 2, 1, False),
        (WHOLE - 1, 1, False),
        (WHOLE - 2, 1, True),
        (WHOLE // 6, 1, True),
    ],
)
def test_a_model_on_the_57_features_leaves_out_the_last_sample_of_each_segment(
    on_features, samples, segments, padded
):
    y = music(samples)
    cut = np.resize(y, (1, WHOLE)) if padded else audio.cut(y, shortest=WHOLE - 1)
    assert len(cut) == segments
    probabilities = on_features.network(features.tabular_features(cut[:, :-1])).numpy()
    prediction = predict.predict(y, on_features)
    assert prediction.padded is padded
    assert_heard(prediction, probabilities)


def test_a_model_on_the_57_features_hears_what_the_table_of_them_holds(
    on_features, write, tmp_path
):
    path = write("a.wav", music(3 * WHOLE - 1))
    tracks = pd.DataFrame({"track": ["a"], "genre": ["jazz"], "path": [str(path)]})
    table, _ = extraction.extract_features(tracks, n_jobs=1, cache=tmp_path / "c", progress=False)
    probabilities = on_features.network(table[features.FEATURE_NAMES].to_numpy()).numpy()
    assert len(probabilities) == 3
    assert_heard(predict.predict(path, on_features), probabilities)


def test_a_model_on_features_of_another_sample_rate_gets_them(on_features, write):
    y = music(5 * 16_000, 16_000)
    model = predict.Classifier(
        on_features.network, GENRES, sample_rate=16_000, segment_length=2 * 16_000
    )
    cut = y[: 4 * 16_000].reshape(2, -1)[:, :-1]
    probabilities = on_features.network(features.tabular_features(cut, sample_rate=16_000)).numpy()
    prediction = predict.predict(write("a.wav", y, 16_000, subtype="FLOAT"), model)
    assert_heard(prediction, probabilities)
    assert prediction.over_time["end"].to_list() == [2, 4]


SETTINGS = [
    {"sample_rate": 16_000},
    {"sample_rate": 44_100, "segment_length": 44_100, "hop_length": 1_024},
    {"n_fft": 1_024},
    {"hop_length": 441},  # Divides a segment, so that none of its samples can be missing.
    {"sample_rate": 8_000, "segment_length": 40_321, "n_fft": 512, "hop_length": 160},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_settings_of_a_model_are_heeded(write, settings, tmp_path):
    path = write("a.flac", music(8 * 32_000, 32_000, 2), 32_000)
    rate = settings.get("sample_rate", RATE)
    length = settings.get("segment_length", WHOLE)
    spectrum = {"n_fft": 2_048, "hop_length": 512, "sample_rate": rate}
    spectrum |= {key: settings[key] for key in spectrum if key in settings}
    hop_length = spectrum["hop_length"]
    frames = 1 + length // hop_length
    model = predict.Classifier(quick_network(frames, 20), GENRES, **settings)
    shortest = length - length % hop_length
    cut = audio.cut(audio.load(path, sample_rate=rate), length, shortest=shortest)
    prediction = predict.predict(path, model)
    assert_heard(prediction, by_hand(model, cut, **spectrum))
    np.testing.assert_allclose(prediction.over_time["start"], np.arange(len(cut)) * length / rate)
    for samples, padded in ((shortest, False), (shortest - 1, True)):
        assert predict.predict(music(samples), model, sample_rate=rate).padded is padded
    model.save(tmp_path / "model.keras")
    loaded = predict.load_model(tmp_path / "model.keras")
    again = predict.predict(path, loaded)
    pd.testing.assert_frame_equal(again.over_time, prediction.over_time, rtol=1e-4)


@pytest.mark.parametrize(
    "genres",
    [
        ["fado", "axé"],
        ["drum & bass", 'ロック, "民謡"', "ß$_{x}$"],
        [f"{number:d}" for number in range(12)],
    ],
    ids=len,
)
def test_any_number_of_genres_of_any_name(genres, tmp_path):
    predict.Classifier(quick_network(n_genres=len(genres)), genres).save(tmp_path / "model.keras")
    model = predict.load_model(tmp_path / "model.keras")
    y = music(3 * WHOLE)
    prediction = predict.predict(y, model)
    assert list(prediction.over_time) == ["start", "end", *genres]
    assert_heard(prediction, by_hand(model, audio.cut(y)))
    assert sorted(prediction.probabilities.index) == sorted(genres)
    assert prediction.genre == genres[by_hand(model, audio.cut(y)).mean(axis=0).argmax()]


def test_a_network_may_take_mfccs_with_a_last_axis_of_1():
    model = predict.Classifier(models.cnn(n_genres=3, seed=1), GENRES)
    y = music(2 * WHOLE)
    x = features.mfcc(audio.cut(y))[..., np.newaxis]
    assert_heard(predict.predict(y, model), model.network(x).numpy())


@pytest.fixture
def shelf(write):
    """Give paths of songs of 3 to 8 segments, and of files that are none among them."""
    paths = [write(f"{k}.wav", music((3 + k) * WHOLE, seed=k)) for k in range(6)]
    empty = paths[0].with_name("empty.wav")
    empty.touch()
    return [str(empty), *paths[:3], paths[0].with_name("nowhere.wav"), *paths[3:]]


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_files_are_heard_in_order_and_errors_are_told_not_raised(shelf, model, n_jobs):
    results = list(predict.predict_files(iter(shelf), model, hop_seconds=1.5, n_jobs=n_jobs))
    assert [path for path, _ in results] == shelf
    for path, result in results:
        if Path(path).name in ("empty.wav", "nowhere.wav"):
            assert isinstance(result, audio.AudioError)
            assert str(result).startswith(f"{path}: ")
        else:
            alone = predict.predict(path, model, hop_seconds=1.5)
            pd.testing.assert_frame_equal(result.over_time, alone.over_time)


def test_no_files_give_no_results(model):
    assert list(predict.predict_files([], model)) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_files_are_taken_as_they_are_needed(shelf, model, n_jobs):
    taken = itertools.count()
    paths = (path for path in itertools.cycle(shelf) if next(taken) >= 0)
    results = predict.predict_files(paths, model, n_jobs=n_jobs)
    first = [next(results)[0] for _ in range(10)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results.close()
    assert first == [*shelf, *shelf][:10]
    time.sleep(0.3)
    already = next(taken)
    time.sleep(0.3)
    assert next(taken) == already + 1


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_who_has_heard_enough_gets_no_warning(shelf, model, n_jobs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = predict.predict_files(shelf * 4, model, n_jobs=n_jobs)
        next(results)
        results.close()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_wrong_model_or_hop_is_raised_not_told(shelf, model, n_jobs):
    with pytest.raises(predict.ModelError, match="does not say what its genres are"):
        list(predict.predict_files(shelf, quick_network(), n_jobs=n_jobs))
    with pytest.raises(ValueError, match="hop_seconds is 4"):
        list(predict.predict_files(shelf, model, hop_seconds=4, n_jobs=n_jobs))


@pytest.fixture(scope="module")
def pretrained():
    return predict.load_pretrained()


def test_the_model_that_comes_along_knows_gtzans_genres_by_20_mfccs(pretrained):
    assert pretrained.genres == list(dataset.GENRES)
    assert pretrained.network.input_shape == (None, 130, 20)
    settings = (pretrained.sample_rate, pretrained.segment_length)
    assert settings == (RATE, WHOLE)
    assert (pretrained.n_fft, pretrained.hop_length) == (2_048, 512)


def test_the_model_that_comes_along_is_small_and_installed_with_the_package():
    tomllib = pytest.importorskip("tomllib")
    assert 10_000 < predict.PRETRAINED.stat().st_size <= 5_000_000
    assert predict.PRETRAINED.parent == Path(gtzan_mfcc.__file__).parent
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["gtzan_mfcc"]
    assert any(fnmatch(predict.PRETRAINED.name, pattern) for pattern in patterns), patterns


def test_a_classifier_is_a_keras_model_and_its_network_makes_another(pretrained):
    y = music(7 * WHOLE)
    prediction = predict.predict(y, pretrained)
    x = features.mfcc(audio.cut(y), n_mfcc=20)
    assert_heard(prediction, pretrained.predict(x, verbose=0))
    genres = [genre.upper() for genre in pretrained.genres]
    other = predict.predict(y, predict.Classifier(pretrained.network, genres))
    assert_heard(other, prediction.over_time.iloc[:, 2:])
    assert other.genre == prediction.genre.upper()


def test_the_module_is_imported_when_it_is_first_used():
    assert "predict" in dir(gtzan_mfcc)
