import os
from dataclasses import dataclass
from functools import partial, wraps
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
    rows = [
        (f"{genre}.{k}", genre, segment)
        for genre in GENRES
        for k in range(4)
        for segment in range(2)
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "segment"])
    table = table.sample(frac=1, random_state=0)
    x = np.random.default_rng(0).normal(size=(24, 30, 13)).astype(np.float32)
    of_genre = pd.get_dummies(table["genre"]).to_numpy()
    x += 5 * np.tile(of_genre, 5)[:, np.newaxis, :13]
    return Segments(x, table)


@pytest.fixture
def folds(segments) -> list[splits.Split]:
    return splits.folds(segments.table, "track", n_folds=4)


@pytest.fixture
def validate(segments, folds, tmp_path):
    """Run cross_validate on the segments and folds, unless others are given."""

    def run(model=training.fit_svm, segments=segments, folds=folds, cache="kept"):
        cache = tmp_path / cache
        return cross_validate(model, segments, folds, cache=cache, progress=False)

    return run


@pytest.fixture
def trained(monkeypatch) -> list[int]:
    """Note the number of rows that each SVM and each network is trained on."""
    noted = []
    for kind in (SVC, keras.Model):

        @wraps(kind.fit)
        def fit(self, x, *given, fit_itself=kind.fit, **named):
            noted.append(len(x))
            return fit_itself(self, x, *given, **named)

        monkeypatch.setattr(kind, "fit", fit)
    return noted


def small_network(frames=30, n_mfcc=13, n_genres=3, seed=0):
    return quick_network(frames, n_mfcc, n_genres, seed)


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


# Each of these makes a model of the user's own code that always predicts one genre.
CHOICE = {}


def fit_always(segments, genre):
    probabilities = np.eye(3)[genre]
    return SimpleNamespace(
        predict=lambda x, verbose: np.tile(probabilities, (len(x), 1))
    )


def a_lambda_with_a_closure(genre):
    return lambda segments: fit_always(segments, genre)


def a_partial(genre):
    return partial(fit_always, genre=genre)


def a_partial_of_a_lambda(genre):
    return partial(lambda segments, genre: fit_always(segments, genre), genre=genre)


@dataclass
class Trainer:
    genre: int

    def fit_model(self, segments):
        return fit_always(segments, self.genre)


def a_method(genre):
    return Trainer(genre).fit_model


def fit_choice(segments):
    return fit_always(segments, CHOICE["genre"])


def a_changed_global(genre):
    CHOICE["genre"] = genre
    return fit_choice


def an_edited_function(genre):
    code = f"def fit_model(segments):\n    return fit_always(segments, {genre})"
    exec(code, globals())
    return globals()["fit_model"]


class Choice(DummyClassifier):
    def predict_proba(self, x):
        return np.eye(3)[[CHOICE["genre"]] * len(x)]


def an_own_classifier(genre):
    CHOICE["genre"] = genre
    return Choice()


@pytest.mark.parametrize(
    "own",
    [
        a_lambda_with_a_closure,
        a_partial,
        a_partial_of_a_lambda,
        a_method,
        a_changed_global,
        an_edited_function,
        an_own_classifier,
    ],
)
def test_what_own_code_trains_is_never_kept(own, validate, tmp_path):
    for genre in (0, 1):
        assert set(validate(own(genre)).predicted) == {GENRES[genre]}
    assert not (tmp_path / "kept").exists()


@keras.saving.register_keras_serializable()
def own_statistics(x):
    return x[:, 0]


OWN_LAYER = [
    keras.Input((30, 13)),
    keras.layers.Lambda(own_statistics),
    keras.layers.Dense(3, activation="softmax"),
]


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(FunctionTransformer(own_statistics), SVC()),
        make_pipeline(FunctionTransformer(lambda x: x[:, 0]), SVC()),
        keras.Sequential(OWN_LAYER),
        small_network,
    ],
)
def test_a_model_with_a_part_of_own_code_is_trained_each_time(
    model, validate, folds, trained
):
    validate(model, folds=folds[:1])
    validate(model, folds=folds[:1])
    assert len(trained) == 2


@pytest.mark.parametrize(
    "model",
    [
        training.fit_svm,
        partial(training.fit_svm, c=1),
        make_pipeline(STATISTICS, SVC()),
        small_network(),
        models.cnn,
    ],
)
def test_what_is_certain_to_be_the_same_is_trained_once(
    model, validate, folds, trained
):
    first = validate(model, folds=folds[:1])
    again = validate(model, folds=folds[:1])
    assert len(trained) == 1
    pd.testing.assert_frame_equal(first.probabilities, again.probabilities)


def test_what_differs_is_trained_again(validate, segments, trained, monkeypatch):
    validate()
    table = segments.table
    last_number = np.zeros_like(segments.x)
    last_number[-1, -1, -1] = 1
    order = table["genre"].cat.reorder_categories(["rock", "jazz", "blues"])
    for n_runs, other in enumerate(
        [
            {"model": partial(training.fit_svm, c=1)},
            {"model": partial(training.fit_svm, c=2)},
            {"model": make_pipeline(STATISTICS, SVC(C=1))},
            {"model": make_pipeline(STATISTICS, SVC(C=2))},
            {"segments": Segments(segments.x + last_number, table)},
            {"segments": Segments(segments.x, table.assign(genre=order))},
            {"segments": Segments(segments.x, table.assign(track=range(24)))},
        ],
        start=2,
    ):
        validate(**other)
        assert len(trained) == 4 * n_runs
    monkeypatch.setattr(validation, "package_versions", lambda names: {names: "99"})
    validate()
    assert len(trained) == 4 * 9


def test_only_the_fold_that_changed_is_trained_again(validate, folds, trained):
    validate()
    train, test = folds[2]
    validate(folds=[*folds[:2], (train[1:], test), folds[3]])
    assert trained == [18, 18, 18, 18, 17]


def test_frozen_weights_are_a_part_of_a_network(validate, folds, trained):
    frozen = keras.layers.Dense(4, trainable=False)
    base = keras.Sequential([keras.Input((30, 13)), keras.layers.Flatten(), frozen])
    network = keras.Sequential([base, keras.layers.Dense(3, activation="softmax")])
    validate(network, folds=folds[:1])
    frozen.set_weights([weights + 1 for weights in frozen.get_weights()])
    validate(network, folds=folds[:1])
    assert len(trained) == 2


def test_without_a_cache_nothing_is_written(segments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report_card(training.fit_svm, segments, by="track")
    assert not [*tmp_path.rglob("*"), *Path(os.environ["BUILD_DIR"]).rglob("*")]


def test_an_interrupted_run_continues_with_the_same_bytes(
    validate, folds, trained, tmp_path, monkeypatch
):
    def contents(folder):
        files = (tmp_path / folder).rglob("*.npz")
        return {file.name: file.read_bytes() for file in files}

    def interrupted():
        yield from folds[:2]
        raise KeyboardInterrupt

    clock = SimpleNamespace(perf_counter=lambda: 0.0)
    monkeypatch.setattr(validation, "time", clock)
    with pytest.raises(KeyboardInterrupt):
        validate(folds=interrupted())
    assert len(contents("kept")) == 2
    validate()
    assert len(trained) == 4
    validate(cache="unbroken")
    assert contents("kept") == contents("unbroken")


@pytest.mark.parametrize("n_bytes", [0, 10, 500, -1])
def test_a_damaged_file_is_made_again(n_bytes, validate, folds, trained, tmp_path):
    expected = validate(folds=folds[:1]).probabilities
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:n_bytes])
    for _ in range(2):
        found = validate(folds=folds[:1]).probabilities
        pd.testing.assert_frame_equal(found, expected)
        assert len(trained) == 2


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
        return fit_always(training_set, 0)

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


def fit_linear(segments):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fit_linear, "output of the network is not probabilities"),
        ("SVC", "a str cannot be trained"),
    ],
)
def test_what_gives_no_probabilities_is_refused(model, message, validate):
    with pytest.raises(ValueError, match=message):
        validate(model)


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


@pytest.fixture
def card(tmp_path):
    """Make a report card of three folds."""
    given = {"n_folds": 3, "cache": tmp_path / "kept", "progress": False}
    return partial(report_card, **given)


def test_a_report_card_tests_originals_only_under_each_split(card, copies):
    told, predictions = card(fit_perfect, copies, seeds=(0, 1))
    assert list(told.index) == [*validation.SPLITS, "leak"]
    assert (told["track_accuracy"][:4] == 1).all()
    leak = told.loc["leak", ["track_accuracy", "track_low", "track_high"]]
    # No difference for any of twelve artists.
    half = 1 - 0.025 ** (1 / 12)
    assert leak.to_list() == pytest.approx([0, -half, half])
    assert told["tracks"].to_list() == [36, 36, 24, 12, 24]
    remark = "rock: only one artist; its tracks are used for training only."
    assert told.loc["artist", "remark"] == remark
    for each in predictions.values():
        assert set(each.table["augmentation"]) == {"original"}
        assert set(each.runs["seed"]) == {0, 1}


def fit_with_seed(segments, *, seed):
    """Make a model that is correct with seeds 0 and 3 only."""
    return SimpleNamespace(predict=lambda x, verbose: np.roll(x, seed, axis=1))


def test_scores_of_several_seeds_are_their_mean_with_the_least_and_the_greatest(
    card, copies
):
    told, _ = card(fit_with_seed, copies, by="track", seeds=(0, 1, 3))
    row = told.loc["track"]
    assert (row["least"], row["greatest"]) == (0, 1)
    assert row["track_accuracy"] == row["balanced_accuracy"] == pytest.approx(2 / 3)
    assert (row["tracks"], row["segments"], row["groups"]) == (36, 72, 13)
    # All 13 artists are correct for two of three seeds; each counts as one row.
    artists = np.repeat(np.arange(13), 3)
    expected = metrics.accuracy_interval(np.tile([1, 1, 0], 13), artists)
    assert (row["track_low"], row["track_high"]) == pytest.approx(expected)


def test_a_report_card_says_what_is_unknown_and_what_cannot_be_tested(card):
    table = dataset.load_facts()
    table["genre"] = table["track"].str.split(".").str[0]
    x = pd.get_dummies(table["genre"]).astype(float)
    told, _ = card(fit_perfect, Segments(x, table))
    assert told["tracks"].to_list() == [1000, 1000, 1000, 290, 1000]
    unknown = table["artist"].isna().sum()
    assert told.loc["artist", "remark"] == f"tracks without artist: {unknown}."
    few = table.drop(columns="artist").assign(fault_filtered="train")
    told, _ = card(fit_perfect, Segments(x, few))
    assert "not tested: no column 'artist'" in told.loc["artist", "remark"]
    assert "0 to validate" in told.loc["fault_filtered", "remark"]


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        (
            {},
            {"by": "album"},
            r"no split \['album'\]; there are segment, track, artist",
        ),
        ({}, {"seeds": 3}, r"seeds is 3; give a sequence, such as \(0, 1, 2\)"),
        ({"genre": ["u", "v", "u", None]}, {}, "some segments have no genre"),
        ({"genre": "u"}, {}, r"the only genre is \['u'\]; two are needed"),
        (
            {"track": [*"abca"], "segment": 0},
            {},
            "segment 0 of a is there twice; number",
        ),
        ({"track": [*"abcb"], "genre": [*"uvuu"]}, {}, "track b has several genres"),
    ],
)
def test_what_cannot_be_tested_is_refused(columns, given, message, card):
    table = pd.DataFrame({"track": [*"abcd"], "genre": [*"uvuv"]}).assign(**columns)
    with pytest.raises(ValueError, match=message):
        card(fit_perfect, Segments(np.zeros((4, 2)), table), **given)


@pytest.mark.parametrize(
    "classifier",
    [
        ExtraTreesClassifier(9),
        LinearSVC(),
        SVC(decision_function_shape="ovo"),
        OutputCodeClassifier(LinearSVC()),
    ],
    ids=["probabilities", "decision values", "pairs", "names alone"],
)
def test_classifiers_have_a_report_card(classifier, card, segments):
    model = make_pipeline(STATISTICS, classifier)
    told, predictions = card(model, segments, by="track", seeds=(0, 1))
    assert told.loc["track", "track_accuracy"] > 0.8
    values = predictions["track"].probabilities
    if hasattr(classifier, "predict_proba"):
        # Each seed has a forest of its own, and the user's classifier is not changed.
        assert not np.array_equal(values[:24], values[24:])
        assert classifier.random_state is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": []}, "no split or no seed"),
        ({"seeds": iter(())}, "no split or no seed"),
        ({"seeds": np.int64(2)}, "give a sequence"),
        ({"by": "leak"}, r"no split \['leak'\]"),
    ],
)
def test_splits_and_seeds_are_checked_before_the_training(segments, change, message):
    with pytest.raises(ValueError, match=message):
        validation.report_card(LogisticRegression(), segments, **change)


def test_a_column_that_is_missing_is_a_remark(segments):
    table = segments.table[["track", "genre"]]
    few = Segments(segments.x.reshape(len(table), -1), table)
    by = (split for split in validation.SPLITS)
    card, _ = validation.report_card(LogisticRegression(), few, by=by, progress=False)
    assert card.index.to_list() == list(validation.SPLITS)
    for split in ("artist", "fault_filtered"):
        assert card.loc[split, "remark"].startswith("not tested: no column")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x, labels: None, "the function returns a NoneType"),
        (lambda x, labels: KMeans(3).fit(x), "the function returns a KMeans"),
        (
            lambda x, labels: LogisticRegression().fit(x, labels - 1),
            "has the class .*-1",
        ),
        (
            lambda x, labels: LogisticRegression().fit(x, labels + 1),
            "has the class .*3",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(segments, folds, result, message):
    def fit_model(train):
        return result(train.x.reshape(len(train), -1), train.labels)

    flat = Segments(segments.x.reshape(len(segments), -1), segments.table)
    with pytest.raises(ValueError, match=message):
        validation.cross_validate(fit_model, flat, folds, progress=False)
