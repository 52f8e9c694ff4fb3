import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.multiclass import OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC

from conftest import quick_network
from gtzan_mfcc import features, metrics, models, splits, training, validation
from gtzan_mfcc._keras import keras
from gtzan_mfcc._util import CacheError
from gtzan_mfcc.extraction import Segments
from gtzan_mfcc.validation import cross_validate, report_card

GENRES = ["blues", "jazz", "rock"]
STATISTICS = FunctionTransformer(features.mfcc_statistics)


@pytest.fixture
def segments():
    """Make two segments of four tracks per genre, which any model can tell apart."""
    table = pd.DataFrame({"track": np.repeat(range(12), 2), "segment": [0, 1] * 12})
    table["genre"] = np.repeat(GENRES, 8)
    x = np.random.default_rng(0).normal(size=(24, 30, 13)).astype(np.float32)
    for genre in range(3):
        x[8 * genre : 8 * genre + 8, :, genre::3] += 5
    order = np.random.default_rng(1).permutation(24)
    return Segments(x[order], table.iloc[order])


@pytest.fixture
def folds(segments):
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
    table = pd.DataFrame({"track": range(60), "genre": names * 5})
    segments = Segments(pd.get_dummies(table["genre"]).astype(float), table)
    card, predictions = report_card(fit_perfect, segments, by=["segment", "track"])
    assert card["segment_accuracy"].to_list() == [1, 1]
    assert card["macro_f1"].to_list() == [1, 1]
    assert card["majority"].to_list() == [1 / 12, 1 / 12]
    by_track = predictions["track"]
    report = metrics.genre_report(by_track.true, by_track.predicted)
    assert report["f1-score"].to_list() == [1] * 14


def fit_own(segments, c=1):
    return training.fit_svm(segments, c=c)


class Trainer:
    def fit(self, segments):
        return fit_own(segments)


class OwnClassifier(DummyClassifier):
    pass


def first_frame(x):
    return x[:, 0]


@pytest.mark.parametrize(
    "model",
    [
        fit_own,
        lambda segments: fit_own(segments),
        partial(fit_own, c=2),
        Trainer().fit,
        OwnClassifier(random_state=0),
        make_pipeline(FunctionTransformer(first_frame), SVC(random_state=0)),
        make_pipeline(STATISTICS, SVC()),  # Without a seed, it may be random.
        quick_network,
        quick_network(frames=30),
        partial(training.fit_network, network=quick_network(frames=30), epochs=1),
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
        make_pipeline(STATISTICS, SVC(random_state=0)),
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
    validate()
    assert len(kept()) == 4
    train, test = folds[2]
    validate(folds=[*folds[:2], (train[1:], test), folds[3]])
    assert len(kept()) == 5

    one_fold = partial(validate, folds=folds[:1])
    one_fold(partial(training.fit_svm, c=1))
    one_fold(partial(training.fit_svm, c=2))
    one_fold(make_pipeline(STATISTICS, SVC(C=1, random_state=0)))
    one_fold(make_pipeline(STATISTICS, SVC(C=2, random_state=0)))
    x = segments.x
    table = segments.table
    order = table["genre"].cat.reorder_categories(["rock", "jazz", "blues"])
    one_fold(segments=Segments(x, table.assign(genre=order)))
    one_fold(segments=Segments(x, table.assign(track=range(24))))
    x[-1, -1, -1] += 1
    one_fold()
    monkeypatch.setattr(validation, "package_versions", lambda names: {names: "99"})
    one_fold()
    assert len(kept()) == 13


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
    with pytest.raises(CacheError, match=r"kept.* cannot be written to"):
        validate()


def test_a_function_gets_only_the_training_set(validate, segments, folds):
    given = []

    def fit_model(training_set):
        given.append(training_set.x)
        return training.fit_svm(training_set)

    validate(fit_model)
    for x, (train, _) in zip(given, folds, strict=True):
        np.testing.assert_array_equal(x, segments.x[train])


@pytest.mark.parametrize("missing", GENRES)
def test_a_genre_missing_from_the_training_set_is_never_a_classifiers_choice(
    missing, validate, segments
):
    train = np.flatnonzero(segments.table["genre"] != missing)
    predictions = validate(folds=[(train, np.arange(24))])
    assert (predictions.probabilities[missing] == -np.inf).all()
    assert (predictions.correct == (predictions.true != missing)).all()


@pytest.mark.parametrize(
    "classifier",
    [
        ExtraTreesClassifier(99),
        LinearSVC(),
        SVC(decision_function_shape="ovo"),
        OutputCodeClassifier(LinearSVC()),
    ],
    ids=["probabilities", "decision values", "pairs", "names alone"],
)
def test_any_classifier_is_scored(classifier, validate):
    predictions = validate(make_pipeline(STATISTICS, classifier))
    assert predictions.correct.mean() > 0.8


def test_each_seed_has_a_forest_of_its_own(segments):
    forest = ExtraTreesClassifier(9)
    model = make_pipeline(STATISTICS, forest)
    _, predictions = report_card(model, segments, by="track", seeds=(0, 1))
    values = predictions["track"].probabilities
    assert not np.array_equal(values[:24], values[24:])
    assert forest.random_state is None


def test_a_network_without_softmax_is_refused(validate):
    def fit_linear(segments):
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])

    with pytest.raises(ValueError, match="not one probability for each of 3 genres"):
        validate(fit_linear)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_classifier_of_numbers_that_are_no_genres_is_refused(shift, validate):
    def fit_shifted(segments):
        return DummyClassifier().fit(segments.x, segments.labels + shift)

    with pytest.raises(ValueError, match="the model has the classes"):
        validate(fit_shifted)


@pytest.fixture
def copies():
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
    assert card["track_accuracy"].to_list() == [1, 1, 1, 1, 0]
    # No difference for any of twelve artists: 1 - 0.025 ** (1 / 12).
    assert card.loc["leak", "track_high"] == pytest.approx(0.2646, abs=1e-4)
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
    assert row["track_accuracy"] == pytest.approx(2 / 3)
    assert (row["tracks"], row["segments"], row["groups"]) == (36, 72, 13)


def test_a_report_card_says_for_how_many_tracks_no_artist_is_known(copies):
    def remark(artists):
        segments = Segments(copies.x, copies.table.assign(artist=artists))
        card, _ = report_card(fit_perfect, segments, by="artist")
        return card.loc["artist", "remark"]

    assert remark(copies.table["artist"].replace("one", np.nan)) == (
        "Tracks without artist: 12."
    )
    assert remark(None) == (
        "Tracks without artist: 36. So the sets are grouped by track, not by artist."
    )


def test_a_report_card_says_what_is_not_tested(copies):
    table = copies.table.drop(columns="artist").assign(fault_filtered="train")
    few = Segments(copies.x, table)
    card, predictions = report_card(fit_perfect, few, by=("artist", "fault_filtered"))
    assert card["track_low"].isna().all()
    assert "not tested: no column 'artist'" in card.loc["artist", "remark"]
    assert "not tested: no row has valid" in card.loc["fault_filtered", "remark"]
    assert predictions == {}


@pytest.mark.parametrize(
    ("columns", "by", "message"),
    [
        ({}, "album", r"by is \['album'\]; the splits are"),
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
