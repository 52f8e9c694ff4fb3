import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC

from conftest import quick_network
from gtzan_mfcc import dataset, features, metrics, models, splits, training, validation
from gtzan_mfcc._keras import keras
from gtzan_mfcc._util import CacheError
from gtzan_mfcc.extraction import Segments
from gtzan_mfcc.validation import cross_validate, report_card

GENRES = ["blues", "jazz", "rock"]
STATISTICS = FunctionTransformer(features.mfcc_statistics)


@pytest.fixture
def segments() -> Segments:
    """Make two segments of four tracks per genre, which any model can tell apart."""
    table = pd.DataFrame({"track": np.repeat(range(12), 2), "segment": [0, 1] * 12})
    table["genre"] = np.repeat(GENRES, 8)
    x = np.random.default_rng(0).normal(size=(24, 30, 13)).astype(np.float32)
    for genre in range(3):
        x[8 * genre : 8 * genre + 8, :, genre::3] += 5
    order = np.random.default_rng(1).permutation(24)
    return Segments(x[order], table.iloc[order])


@pytest.fixture
def folds(segments) -> list[splits.Split]:
    return splits.folds(segments.table, "track", n_folds=4)


@pytest.fixture
def validate(segments, folds, tmp_path):
    """Run cross_validate on the segments and folds, unless others are given."""

    def run(model=training.fit_svm, segments=segments, folds=folds):
        cache = tmp_path / "kept"
        return cross_validate(model, segments, folds, cache=cache, progress=False)

    return run


@pytest.fixture
def kept(tmp_path):
    """Read all files of the cache."""

    def read():
        return {file: file.read_bytes() for file in tmp_path.rglob("*.npz")}

    return read


def fit_perfect(segments):
    """Make a model for features that are the probabilities themselves."""
    return SimpleNamespace(predict=lambda x, verbose: x)


def test_columns_of_the_user_are_kept_and_never_overwritten(validate, segments, folds):
    table = segments.table.assign(fold="mine", seed="mine", fit_seconds="mine")
    predictions = validate(segments=Segments(segments.x, table))
    tested = np.concatenate([test for _, test in folds])
    expected = table.iloc[tested].reset_index(drop=True)
    pd.testing.assert_frame_equal(predictions.table, expected)
    assert predictions.runs["fold"].to_list() == np.repeat(range(4), 6).tolist()
    assert predictions.correct.all()


def test_a_genre_may_have_any_name():
    names = "fold seed track genre segment predicted accuracy None nan 0 start".split()
    names.append("macro avg")
    table = pd.DataFrame({"track": range(48), "genre": names * 4})
    segments = Segments(pd.get_dummies(table["genre"]).astype(float), table)
    folds = splits.folds(segments.table, "track", n_folds=4)
    predictions = cross_validate(fit_perfect, segments, folds, progress=False)
    scores = metrics.scores(predictions)
    assert scores["track_accuracy"] == scores["macro_f1"] == 1
    assert (scores["genres"], scores["majority"]) == (12, 1 / 12)
    report = metrics.genre_report(predictions.true, predictions.predicted)
    assert (report["f1-score"] == 1).all()
    card, _ = report_card(fit_perfect, segments, by=["segment", "track"], n_folds=4)
    assert card["segment_accuracy"].to_list() == [1, 1]


def fit_own(segments, c=1):
    return training.fit_svm(segments, c=c)


class Trainer:
    def fit(self, segments):
        return fit_own(segments)


class OwnClassifier(DummyClassifier):
    pass


@keras.saving.register_keras_serializable()
def own_function(x):
    return x[:, 0]


def small_network(frames=30, n_mfcc=13, n_genres=3, seed=0):
    return quick_network(frames, n_mfcc, n_genres, seed)


@pytest.mark.parametrize(
    "model",
    [
        fit_own,
        lambda segments: fit_own(segments),
        partial(fit_own, c=2),
        partial(lambda segments, c: fit_own(segments, c), c=2),
        Trainer().fit,
        OwnClassifier(),
        make_pipeline(FunctionTransformer(own_function), SVC()),
        make_pipeline(FunctionTransformer(lambda x: x[:, 0]), SVC()),
        small_network,
        small_network(),
        partial(training.fit_network, network=small_network()),
        keras.Sequential(
            [keras.layers.Lambda(own_function), keras.layers.Dense(3, "softmax")]
        ),
    ],
)
def test_what_own_code_trains_is_never_kept(model, validate, folds, kept):
    validate(model, folds=folds[:1])
    assert not kept()


@pytest.mark.parametrize(
    "model",
    [
        training.fit_svm,
        partial(training.fit_svm, c=1),
        make_pipeline(STATISTICS, SVC()),
        models.cnn,
    ],
)
def test_what_is_certain_to_be_the_same_is_trained_once(model, validate, folds, kept):
    validate(model, folds=folds[:1])
    (file,) = kept()
    np.savez(file, probabilities=np.full((6, 3), 0.5), fit_seconds=7)
    again = validate(model, folds=folds[:1])
    assert (again.probabilities == 0.5).all(axis=None)
    assert set(again.runs["fit_seconds"]) == {7}


def test_what_differs_is_trained_again(validate, segments, folds, kept, monkeypatch):
    one_fold = partial(validate, folds=folds[:1])
    x = segments.x
    table = segments.table
    other_x = x.copy()
    other_x[-1, -1, -1] += 1
    order = table["genre"].cat.reorder_categories(["rock", "jazz", "blues"])
    one_fold()
    one_fold(partial(training.fit_svm, c=1))
    one_fold(partial(training.fit_svm, c=2))
    one_fold(make_pipeline(STATISTICS, SVC(C=1)))
    one_fold(make_pipeline(STATISTICS, SVC(C=2)))
    one_fold(segments=Segments(other_x, table))
    one_fold(segments=Segments(x, table.assign(genre=order)))
    one_fold(segments=Segments(x, table.assign(track=range(24))))
    monkeypatch.setattr(validation, "package_versions", lambda names: {names: "99"})
    one_fold()
    assert len(kept()) == 9


def test_only_the_fold_that_changed_is_trained_again(validate, folds, kept):
    validate()
    assert len(kept()) == 4
    train, test = folds[2]
    validate(folds=[*folds[:2], (train[1:], test), folds[3]])
    assert len(kept()) == 5


def test_without_a_cache_nothing_is_written(segments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report_card(training.fit_svm, segments, by="track")
    assert not [*tmp_path.rglob("*"), *Path(os.environ["BUILD_DIR"]).rglob("*")]


def test_an_interrupted_run_continues(validate, segments, folds, kept):
    def interrupted():
        yield from folds[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(folds=interrupted())
    first = kept()
    assert len(first) == 2
    predictions = validate()
    assert len(kept()) == 4
    assert first.items() <= kept().items()
    unbroken = cross_validate(training.fit_svm, segments, folds, progress=False)
    pd.testing.assert_frame_equal(predictions.probabilities, unbroken.probabilities)


@pytest.mark.parametrize("n_bytes", [0, 10, 500, -1])
def test_a_damaged_file_is_made_again(n_bytes, validate, folds, kept):
    expected = validate(folds=folds[:1]).probabilities
    ((file, content),) = kept().items()
    file.write_bytes(content[:n_bytes])
    found = validate(folds=folds[:1]).probabilities
    pd.testing.assert_frame_equal(found, expected)
    assert len(kept()[file]) == len(content)


def test_a_cache_that_cannot_be_written_to_is_named(validate, tmp_path):
    (tmp_path / "kept").touch()
    with pytest.raises(
        CacheError, match=r"kept.* cannot be written to .* another folder"
    ):
        validate()


def test_a_function_gets_only_the_training_set(validate, segments, folds):
    given = []

    def fit_model(training_set):
        given.append(training_set.x)
        return training.fit_svm(training_set)

    validate(fit_model)
    for x, (train, _) in zip(given, folds, strict=True):
        np.testing.assert_array_equal(x, segments.x[train])


def fit_names(segments):
    """Train an SVM on names of genres in place of numbers."""
    return make_pipeline(STATISTICS, SVC()).fit(segments.x, segments.table["genre"])


@pytest.mark.parametrize("fit_model", [training.fit_svm, fit_names])
@pytest.mark.parametrize("missing", GENRES)
def test_a_genre_missing_from_the_training_set_is_never_a_classifiers_choice(
    fit_model, missing, validate, segments
):
    train = np.flatnonzero(segments.table["genre"] != missing)
    predictions = validate(fit_model, folds=[(train, np.arange(24))])
    assert (predictions.probabilities[missing] == -np.inf).all()
    assert (predictions.correct == (predictions.true != missing)).all()


def fit_pairs(segments):
    """Train an SVM whose decision values are of pairs of genres."""
    svm = SVC(decision_function_shape="ovo")
    return make_pipeline(STATISTICS, svm).fit(segments.x, segments.labels)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(STATISTICS, ExtraTreesClassifier(99)),
        make_pipeline(STATISTICS, LinearSVC()),
        make_pipeline(STATISTICS, SVC(decision_function_shape="ovo")),
        make_pipeline(STATISTICS, OutputCodeClassifier(LinearSVC())),
        fit_pairs,
    ],
    ids=["probabilities", "decision values", "pairs", "names alone", "own pairs"],
)
def test_any_classifier_is_scored(model, validate):
    assert validate(model).correct.mean() > 0.8


def test_each_seed_has_a_forest_of_its_own(segments):
    forest = ExtraTreesClassifier(9)
    model = make_pipeline(STATISTICS, forest)
    _, predictions = report_card(model, segments, by="track", seeds=(0, 1))
    values = predictions["track"].probabilities
    assert not np.array_equal(values[:24], values[24:])
    assert forest.random_state is None


def fit_linear(segments):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])


def fit_nothing(segments):
    """Forget to return the model."""


def fit_clusters(segments):
    return make_pipeline(STATISTICS, KMeans(3)).fit(segments.x)


def fit_other_numbers(segments, shift):
    model = make_pipeline(STATISTICS, LogisticRegression())
    return model.fit(segments.x, segments.labels + shift)


@pytest.mark.parametrize(
    ("fit_model", "message"),
    [
        (fit_linear, "is not one probability for each of 3 genres"),
        (fit_nothing, "no attribute 'predict'"),
        (fit_clusters, "unexpected keyword argument 'verbose'"),
        (partial(fit_other_numbers, shift=-1), "has the classes -1"),
        (partial(fit_other_numbers, shift=1), "has the classes 3"),
    ],
)
def test_a_function_that_returns_no_model_of_the_genres_is_refused(
    fit_model, message, validate
):
    with pytest.raises((ValueError, AttributeError, TypeError), match=message):
        validate(fit_model)


@pytest.fixture
def copies() -> Segments:
    """Make two segments of 36 tracks by 13 artists, each with a copy."""
    parts = ["train", "valid", "test"]
    rows = [
        (f"{genre}.{k}", genre, f"{genre}-{k // 2}", parts[k % 3], segment, copy)
        for genre in GENRES
        for k in range(12)
        for segment in range(2)
        for copy in ("original", "white_noise")
    ]
    columns = "track genre artist fault_filtered segment augmentation".split()
    table = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=1)
    table.loc[table["genre"] == "rock", "artist"] = "one"
    return Segments(pd.get_dummies(table["genre"]).astype(float), table)


def test_a_report_card_tests_originals_only_under_each_split(copies):
    card, predictions = report_card(fit_perfect, copies, n_folds=3, seeds=(0, 1))
    assert list(card.index) == [*validation.SPLITS, "leak"]
    assert (card["track_accuracy"][:4] == 1).all()
    leak = card.loc["leak", ["track_accuracy", "track_low", "track_high"]]
    # No difference for any of twelve artists.
    half = 1 - 0.025 ** (1 / 12)
    assert leak.to_list() == pytest.approx([0, -half, half])
    assert card["tracks"].to_list() == [36, 36, 24, 12, 24]
    remark = "rock: only one artist; its tracks are used for training only."
    assert card.loc["artist", "remark"] == remark
    for each in predictions.values():
        assert set(each.table["augmentation"]) == {"original"}
        assert set(each.runs["seed"]) == {0, 1}


def fit_with_seed(segments, *, seed):
    """Make a model that is correct with seeds 0 and 3 only."""
    return SimpleNamespace(predict=lambda x, verbose: np.roll(x, seed, axis=1))


def test_scores_of_several_seeds_are_their_mean_with_the_least_and_the_greatest(copies):
    card, _ = report_card(fit_with_seed, copies, by="track", seeds=(0, 1, 3))
    row = card.loc["track"]
    assert (row["least"], row["greatest"]) == (0, 1)
    assert row["track_accuracy"] == row["balanced_accuracy"] == pytest.approx(2 / 3)
    assert (row["tracks"], row["segments"], row["groups"]) == (36, 72, 13)
    # All 13 artists are correct for two of three seeds; each counts as one row.
    artists = np.repeat(np.arange(13), 3)
    expected = metrics.accuracy_interval(np.tile([1, 1, 0], 13), artists)
    assert (row["track_low"], row["track_high"]) == pytest.approx(expected)


def test_a_report_card_says_what_is_unknown_and_what_cannot_be_tested():
    table = dataset.load_facts()
    table["genre"] = table["track"].str.split(".").str[0]
    x = pd.get_dummies(table["genre"]).astype(float)
    card, _ = report_card(fit_perfect, Segments(x, table), n_folds=3)
    assert card["tracks"].to_list() == [1000, 1000, 1000, 290, 1000]
    n_unknown = table["artist"].isna().sum()
    assert card.loc["artist", "remark"] == f"tracks without artist: {n_unknown}."
    table = table.drop(columns="artist").assign(fault_filtered="train")
    few = Segments(x, table)
    card, predictions = report_card(fit_perfect, few, by=("artist", "fault_filtered"))
    assert card["track_low"].isna().all()
    assert "not tested: no column 'artist'" in card.loc["artist", "remark"]
    assert "not tested: " in card.loc["fault_filtered", "remark"]
    assert predictions == {}


def test_a_report_card_says_that_no_artist_is_known(copies):
    unknown = Segments(copies.x, copies.table.assign(artist=None))
    card, _ = report_card(fit_perfect, unknown, by="artist")
    remark = "tracks without artist: 36. So the split keeps tracks apart, not artists."
    assert card.loc["artist", "remark"] == remark


@pytest.mark.parametrize(
    ("columns", "by", "message"),
    [
        ({}, "album", r"by is \['album'\]; the splits are \['artist', "),
        ({"leak": 1}, "leak", r"by is \['leak'\]"),
        ({"genre": ["u", "v", "u", None]}, "track", "some segments have no genre"),
        ({"track": [*"abca"], "segment": 0}, "track", "a segment of a is there twice"),
        ({"track": [*"abcb"], "genre": [*"uvuu"]}, "track", "b has several genres"),
    ],
)
def test_what_cannot_be_tested_is_refused(columns, by, message):
    table = pd.DataFrame({"track": [*"abcd"], "genre": [*"uvuv"]}).assign(**columns)
    with pytest.raises(ValueError, match=message):
        report_card(fit_perfect, Segments(np.zeros((4, 2)), table), by=by)
