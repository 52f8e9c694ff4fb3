"""Short experiments as a user would write them, with their right results."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import audiomentations
import joblib
import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from gtzan_mfcc import (
    audio,
    augmentation,
    dataset,
    extraction,
    features,
    metrics,
    models,
    plots,
    predict,
    splits,
    toy,
    training,
    validation,
)

GENRES = ["drone", "fuzz", "waltz"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make three classes of five songs of 7 s, each by an artist of its own."""
    folder = tmp_path_factory.mktemp("experiments") / "music"
    rows = ["track,artist,album"]
    for genre in GENRES:
        (folder / genre).mkdir(parents=True)
        for k in range(5):
            y = toy.make_track(genre, k, seconds=7)
            soundfile.write(folder / genre / f"{k}.wav", y, 22_050, subtype="FLOAT")
            rows.append(f"{genre}/{k},{genre} {k},{k % 3}")
    (folder / "tracks.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return dataset.sound_files(folder)


@pytest.fixture(scope="module")
def segments(folder):
    return extraction.extract_mfcc(dataset.load_tracks(folder))


@pytest.fixture(scope="module")
def classifier(segments):
    network = training.fit_network(segments, epochs=15, batch_size=8)
    return predict.Classifier(network, segments.genres, segments.settings)


def test_mfccs_of_a_list_of_files(files):
    segments = extraction.extract_mfcc(files)
    assert segments.table["path"][2] == str(files[1])
    y, _ = librosa.load(files[1], offset=3, duration=3)
    expected = librosa.feature.mfcc(y=y, n_mfcc=13).T
    np.testing.assert_allclose(segments.x[3], expected, atol=1e-3)


def test_segments_of_5_s_from_extraction_to_a_model_that_predicts(folder, tmp_path):
    settings = features.Settings(seconds=5)
    segments = extraction.extract_mfcc(dataset.load_tracks(folder), settings)
    network = training.fit_network(segments, epochs=1)
    predict.Classifier(network, segments.genres, settings).save(tmp_path / "5.keras")
    model = predict.load_model(tmp_path / "5.keras")
    song = predict.predict(folder / "waltz" / "0.wav", model)
    assert song.over_time.index.tolist() == [(0, 5)]
    expected = network.predict(segments.x, verbose=0)[-5]
    np.testing.assert_allclose(song.over_time.iloc[0], expected, atol=1e-5)


def test_16_khz_and_64_mel_bands_with_copies(files):
    settings = features.Settings(sample_rate=16_000, n_mels=64, n_mfcc=20)
    segments = extraction.extract_mfcc(
        files[:2], settings, augmentations=augmentation.AUGMENTATIONS
    )
    y = audio.load(files[0], sample_rate=16_000)[:48_000]
    expected = librosa.feature.mfcc(y=y, sr=16_000, n_mfcc=20, n_mels=64).T
    np.testing.assert_allclose(segments.x[0], expected, atol=1e-3)


def test_another_hop_is_right_in_plots_and_in_a_saved_model(files, tmp_path):
    settings = features.Settings(n_fft=1024, hop_length=256)
    mfcc = features.mfcc(audio.load(files[0])[:66_150], settings)
    assert plots.mfcc(mfcc, settings).get_xlim()[1] == pytest.approx(3, abs=0.02)
    network = models.cnn(*mfcc.shape, n_genres=2)
    predict.Classifier(network, ["a", "b"], settings).save(tmp_path / "m.keras")
    assert predict.load_model(tmp_path / "m.keras").settings == settings


def test_an_augmentation_of_my_own_for_one_signal(files):
    segments = extraction.extract_mfcc(
        files[:1], augmentations={"reversed": lambda y: y[::-1]}
    )
    y = audio.load(files[0])[:66_150]
    np.testing.assert_allclose(segments.x[2], features.mfcc(y[::-1]), atol=1e-3)


def test_a_factor_is_changed_and_the_cell_run_again(files, tmp_path):
    def louder(y):
        return factor * y

    for factor in (2, 4):
        segments = extraction.extract_mfcc(
            files[:1], augmentations={"louder": louder}, cache=tmp_path
        )
        change = segments.x[2:, :, 0].mean() - segments.x[:2, :, 0].mean()
        # The first MFCC is a sum over 128 mel bands in dB, divided by their root.
        assert change == pytest.approx(20 * np.log10(factor) * np.sqrt(128), rel=0.02)


def test_effects_of_audiomentations(files):
    effects = audiomentations.Compose(
        [audiomentations.Gain(6, 6, p=1), audiomentations.PolarityInversion(p=1)]
    )
    segments = extraction.extract_mfcc(files[:1], augmentations={"effects": effects})
    change = segments.x[2:, :, 0].mean() - segments.x[:2, :, 0].mean()
    assert change == pytest.approx(6 * np.sqrt(128), rel=0.02)


def test_a_cnn_on_two_genres_has_two_outputs(segments):
    two = segments.select_genres(["waltz", "drone"])
    network = training.fit_network(two, epochs=1)
    assert network.output_shape == (None, 2)
    assert two.genres == ["drone", "waltz"]


def test_a_confusion_matrix_of_any_labels():
    confusion = metrics.genre_confusion([3, 3, 7], [3, 7, 7])
    assert confusion.to_numpy().tolist() == [[1, 1], [0, 1]]
    shares = metrics.genre_confusion(["a", "a", "b"], ["a", "b", "b"], normalise=True)
    assert shares.loc["a"].tolist() == [0.5, 0.5]
    ax = plots.confusion_matrix(shares)
    assert ax.texts[0].get_text() == "0.50"


def test_a_report_card_of_a_forest_on_the_57_features(folder):
    tracks = dataset.load_tracks(folder)
    table, _ = extraction.extract_features(tracks, whole_tracks=True)
    data = extraction.Segments(table[features.FEATURE_NAMES], tracks)
    card, predictions = validation.report_card(
        RandomForestClassifier(), data, by="artist"
    )
    assert card.loc["artist", "track_accuracy"] == predictions["artist"].correct.mean()


def test_a_report_card_of_a_builder_of_networks(segments):
    card, _ = validation.report_card(models.cnn, segments, by="track", n_folds=2)
    assert card.loc["track", "tracks"] == 15


def test_a_report_card_of_a_function_that_trains_on_names_of_genres(segments):
    statistics = FunctionTransformer(features.mfcc_statistics)
    model = make_pipeline(statistics, LogisticRegression(max_iter=5000))

    def fit_on_names(train):
        return clone(model).fit(train.x, train.table["genre"])

    card, predictions = validation.report_card(fit_on_names, segments, by="track")
    assert card.loc["track", "track_accuracy"] > 0.9
    _, on_numbers = validation.report_card(model, segments, by="track")
    for split, each in predictions.items():
        pd.testing.assert_frame_equal(
            each.probabilities, on_numbers[split].probabilities
        )


def test_segments_and_a_classifier_are_saved_and_loaded(segments, classifier, tmp_path):
    joblib.dump(segments, tmp_path / "segments.joblib")
    again = joblib.load(tmp_path / "segments.joblib")
    np.testing.assert_array_equal(again.x, segments.x)
    assert again.settings == segments.settings
    classifier.save(tmp_path / "model.keras")
    loaded = predict.load_model(tmp_path / "model.keras")
    y = toy.make_track("waltz", 0, seconds=3)[np.newaxis]
    expected = classifier.predict_proba(y)
    np.testing.assert_allclose(loaded.predict_proba(y), expected, atol=1e-6)


def test_songs_are_predicted_by_processes_of_my_own(files):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        genres = list(pool.map(genre_of, files[:2]))
    assert genres == [genre_of(file) for file in files[:2]]


def genre_of(file):
    return predict.predict(file, predict.load_pretrained()).genre


def test_plots_on_axes_of_my_own(segments, classifier, files):
    _, (top, bottom) = plt.subplots(2, 2)
    network = models.cnn(n_genres=3)
    history = training.fit(network, segments.x, segments.labels, epochs=2)
    y = audio.load(files[0])
    plots.learning_curves(history, axes=top)
    plots.mfcc(segments.x[0], segments.settings, ax=bottom[0])
    plots.genre_over_time(predict.predict(y, classifier), y, ax=bottom[1])
    labels = [ax.get_ylabel() for ax in (*top, *bottom)]
    assert labels == ["loss", "accuracy", "MFCC number", "genre"]
    assert bottom[1].get_xlim() == (0, 7)


def test_an_open_file_and_bytes_are_heard_as_the_file(files, classifier):
    expected = predict.predict(files[0], classifier).over_time
    with files[0].open("rb") as file:
        for song in (file, files[0].read_bytes()):
            heard = predict.predict(song, classifier).over_time
            pd.testing.assert_frame_equal(heard, expected)


def test_files_are_predicted_as_they_arrive(files, classifier):
    arriving = iter(files * 100)
    results = predict.predict_files(arriving, classifier, n_jobs=2)
    assert next(results)[0] == files[0]
    results.close()
    assert len(list(arriving)) > 1480


def test_predictions_of_all_segments_in_one_table(files, classifier):
    songs = predict.predict_files(files, classifier, hop_seconds=1)
    table = pd.concat({file: song.over_time for file, song in songs})
    assert table.columns.tolist() == GENRES
    assert table.loc[files[0]].index.tolist() == [(k, k + 3) for k in range(5)]


def test_the_file_and_the_second_of_each_wrong_segment(segments, files):
    folds = splits.folds(segments.table, "track", n_folds=3)
    model = DummyClassifier(strategy="constant", constant=0)  # It predicts drone.
    predictions = validation.cross_validate(model, segments, folds)
    wrong = predictions.select(~predictions.correct).table[["path", "start"]]
    assert set(wrong["path"]) == {str(file) for file in files[5:]}
    assert set(wrong["start"]) == {0, 3}


def test_overlapping_segments(files):
    segments = extraction.extract_mfcc(files[:1], hop_seconds=0.5)
    assert segments.table["start"].tolist() == [0.5 * k for k in range(9)]
    y = audio.load(files[0])[11_025:77_175]
    np.testing.assert_allclose(segments.x[1], features.mfcc(y), atol=1e-4)


def test_the_most_similar_song_is_of_the_same_genre(segments):
    statistics = pd.DataFrame(features.mfcc_statistics(segments.x))
    songs = statistics.groupby(segments.table["track"]).mean()
    songs = StandardScaler().fit_transform(songs)
    nearest = NearestNeighbors(n_neighbors=1).fit(songs)
    found = nearest.kneighbors(return_distance=False)[:, 0]
    # There are five songs of each genre, one genre after another.
    assert np.mean(found // 5 == np.arange(15) // 5) > 0.8


def test_a_table_of_features_keeps_odd_names_of_classes(tmp_path):
    for name in ("01", "None", "1e5"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", toy.make_track("waltz", 0), 22_050)
    table, _ = extraction.extract_features(dataset.load_tracks(tmp_path))
    table.to_csv(tmp_path / "table.csv", index=False)
    again = dataset.load_feature_table(tmp_path / "table.csv")
    assert again["label"].cat.categories.tolist() == ["01", "1e5", "None"]
    pd.testing.assert_frame_equal(again, table)


def test_tracks_are_split_first_and_extracted_then(folder):
    tracks = dataset.load_tracks(folder)
    train, test = splits.split(tracks, "track", test_size=0.4, seed=1)
    assert len(test) == 6
    heard = extraction.extract_mfcc(tracks.iloc[train])
    new = extraction.extract_mfcc(tracks.iloc[test])
    model = training.fit_svm(heard)
    assert np.mean(model.predict(new.x) == new.labels) > 0.5


def test_two_models_are_compared_on_the_same_folds_of_albums(segments):
    folds = splits.folds(segments.table, "album", n_folds=3)
    drone = DummyClassifier(strategy="constant", constant=0)
    first = validation.cross_validate(training.fit_svm, segments, folds)
    second = validation.cross_validate(drone, segments, folds)
    difference, low, high = metrics.paired_interval(first, second)
    accuracy = metrics.track_vote(first).correct.mean()
    assert difference == pytest.approx(accuracy - 1 / 3)
    assert 0 < low < difference < high
