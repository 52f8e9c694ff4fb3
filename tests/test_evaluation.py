from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.multiclass import OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC

from conftest import quick_network
from gtzan_mfcc import dataset, evaluation, extraction, splits
from gtzan_mfcc._disk import CacheError

GENRES = ["blues", "jazz", "rock"]
TRUE = ["blues", "blues", "blues", "jazz", "jazz", "rock", "rock", "rock", "rock"]
PREDICTED = ["blues", "jazz", "jazz", "jazz", "jazz", "rock", "blues", "rock", "rock"]


def test_a_report_has_the_genres_in_the_order_given_and_then_their_means():
    genres = ["rock", "blues", "jazz"]
    report = evaluation.genre_report(pd.Categorical(TRUE), np.array(PREDICTED), genres)
    assert list(report) == ["precision", "recall", "f1-score", "support"]
    assert report.index.to_list() == [*genres, "macro avg", "weighted avg"]
    np.testing.assert_allclose(report.loc["blues"], [1 / 2, 1 / 3, 2 / 5, 3])
    np.testing.assert_allclose(report["recall"], [3 / 4, 1 / 3, 1, 25 / 36, 2 / 3])


@pytest.mark.parametrize("true", [["blues", "rock"], ["blues", "blues"]])
def test_a_genre_that_is_never_predicted_scores_0(true, recwarn):
    report = evaluation.genre_report(true, ["blues", "blues"], GENRES)
    assert report.index.to_list() == [*GENRES, "macro avg", "weighted avg"]
    assert not report.loc["jazz"].any()
    assert report.loc["blues", "recall"] == 1
    assert not recwarn.list


def test_confusion_counts_the_true_genre_by_row_in_the_order_of_the_genres():
    genres = ["rock", "metal", "blues", "jazz"]
    confusion = evaluation.genre_confusion(TRUE, PREDICTED, genres)
    assert confusion.to_numpy().tolist() == [[3, 0, 1, 0], [0] * 4, [0, 0, 1, 2], [0, 0, 0, 2]]
    assert (confusion.loc["blues", "jazz"], confusion.loc["jazz", "blues"]) == (2, 0)
    assert (list(confusion.index), list(confusion)) == (genres, genres)
    assert (confusion.index.name, confusion.columns.name) == ("true genre", "predicted genre")


def test_a_track_gets_the_genre_of_the_highest_mean_probability():
    tracks = ["rock.1", "blues.1", "rock.1", "rock.1", "blues.1"]
    table = pd.DataFrame({"track": tracks}, index=[7, 3, 9, 1, 4])
    table["genre"] = pd.Categorical([track[:-2] for track in tracks])
    # Two of three segments of rock.1 are predicted as blues, but the third has more probability.
    table[["blues", "rock"]] = [[0.6, 0.4], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]]
    votes = evaluation.track_vote(table)
    assert votes.index.name == "track"
    assert list(votes) == ["genre", "predicted", "blues", "rock"]
    assert votes.index.to_list() == ["blues.1", "rock.1"]
    assert votes["genre"].to_list() == votes["predicted"].to_list() == ["blues", "rock"]
    np.testing.assert_allclose(votes[["blues", "rock"]], [[0.55, 0.45], [1.3 / 3, 1.7 / 3]])


@pytest.mark.parametrize("k", [0, 8, 200, 386, 400])
def test_the_interval_of_independent_rows_is_wilsons(k):
    interval = evaluation.accuracy_interval(np.arange(400) < k, np.arange(400))
    expected = binomtest(k, 400).proportion_ci(method="wilson")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-3)


@pytest.mark.parametrize(
    ("right", "groups", "interval"),
    [
        # The effective sample size is 4; Student's t with one degree of freedom is 12.7.
        ([1, 1, 1, 0, 0, 0, 0, 1], [*"aaaabbbb"], (0.0061, 0.9939)),
        # For groups that agree: 1 / (1 + t² / n).
        ([1] * 20, [*range(5)] * 4, (0.3934, 1)),
        ([0] * 20, [*range(5)] * 4, (0, 0.6066)),
        ([1] * 36, [*range(36)], (0.8973, 1)),
        ([0] * 36, [*range(36)], (0, 0.1027)),
        ([1, 1, 1, 0], [*"aaaa"], (0, 1)),
        ([1] * 9, [*"aaaaaaaaa"], (0, 1)),
    ],
)
def test_intervals_known_by_hand(right, groups, interval):
    found = evaluation.accuracy_interval(np.array(right, bool), np.array(groups))
    assert found == pytest.approx(interval, abs=1e-4)


def test_rows_that_are_always_right_together_count_as_one():
    correct, tracks = np.random.default_rng(0).random(40) < 0.7, np.arange(40)
    alone = evaluation.accuracy_interval(correct, tracks)
    for times in (2, 10):
        many = np.repeat(correct, times), np.repeat(tracks, times)
        assert evaluation.accuracy_interval(*many) == pytest.approx(alone)
        by_row = evaluation.accuracy_interval(many[0], np.arange(len(many[0])))
        assert alone[0] < by_row[0] < correct.mean() < by_row[1] < alone[1]


@pytest.mark.parametrize("accuracy", [0.9, 0.98])
@pytest.mark.parametrize("n_groups", [10, 30])
def test_the_interval_of_few_groups_holds_the_accuracy_where_a_bootstrap_does_not(
    accuracy, n_groups
):
    rng, held = np.random.default_rng(0), []
    for _ in range(300):
        groups = np.repeat(np.arange(n_groups), rng.integers(1, 11, n_groups))
        # Rows of a group have a correlation of 0.3.
        of_group = rng.beta(accuracy * 7 / 3, (1 - accuracy) * 7 / 3, n_groups)
        low, high = evaluation.accuracy_interval(rng.random(len(groups)) < of_group[groups], groups)
        held.append(low <= accuracy <= high)
    assert np.mean(held) >= 0.9


@pytest.fixture
def segments() -> extraction.Segments:
    """Make two segments of four tracks per genre; the MFCCs are different for each row."""
    rows = [
        (f"{genre}.{k}", genre, f"{genre}-{k}" if k else None, 1970 + k, segment, "original")
        for genre in GENRES
        for k in range(4)
        for segment in range(2)
    ]
    columns = ["track", "genre", "artist", "year", "segment", "augmentation"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.sample(frac=1, random_state=0).astype({"genre": "category"})
    mfcc = np.random.default_rng(0).normal(size=(24, 2, 3)).astype(np.float32)
    mfcc += 5 * np.eye(3, dtype=np.float32)[table["genre"].cat.codes, np.newaxis]
    return extraction.Segments(mfcc, table)


@pytest.fixture
def folds(segments) -> list[splits.Split]:
    return splits.folds(segments.table, "track", n_folds=4)


RUNS = SimpleNamespace(fitted=[], stop_after=None)


@pytest.fixture(autouse=True)
def _no_runs_yet():
    RUNS.fitted, RUNS.stop_after = [], None


def fit(segments, rows, *, shift=0):
    """Make a model that predicts the first frame; record the rows, and stop if requested."""
    if len(RUNS.fitted) == RUNS.stop_after:
        raise KeyboardInterrupt
    RUNS.fitted.append(rows.tolist())
    return SimpleNamespace(predict=lambda x, verbose: x[:, 0] + shift)


def fit_again(segments, rows):
    return fit(segments, rows)


def fit_at(level, segments, rows):
    return fit(segments, rows)


def fit_svm(segments, rows):
    flat = FunctionTransformer(lambda mfcc: mfcc.reshape(len(mfcc), -1))
    return make_pipeline(flat, SVC()).fit(segments.mfcc[rows], segments.labels[rows])


@pytest.fixture
def validate(segments, folds, tmp_path):
    """Run cross_validate without a progress bar; arguments can be replaced."""
    usual = {"segments": segments, "folds": folds, "cache": tmp_path / "kept", "progress": False}
    return lambda fit_model=fit, **other: evaluation.cross_validate(fit_model, **(usual | other))


def test_predictions_have_all_columns_of_the_table(validate, segments, folds):
    predictions = validate()
    tested = np.concatenate([test for _, test in folds])
    known = list(segments.table)
    assert list(predictions) == [*known, "fold", "fit_seconds", *GENRES]
    expected = segments.table.iloc[tested].reset_index(drop=True)
    pd.testing.assert_frame_equal(predictions[known], expected)
    np.testing.assert_array_equal(predictions[GENRES], segments.mfcc[tested, 0])
    assert predictions["fold"].to_list() == np.repeat(range(4), 6).tolist()
    assert (predictions["fit_seconds"] >= 0).all()
    assert RUNS.fitted == [train.tolist() for train, _ in folds]
    assert evaluation.scores(predictions)["track_accuracy"] == 1


def test_a_stopped_run_continues_with_the_same_result(validate, folds, tmp_path, monkeypatch):
    def contents(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def half(path, **_):
        path.write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    RUNS.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        validate()
    before = contents(tmp_path / "kept" / "folds")
    assert len(before) == 2
    RUNS.stop_after = None
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np, "savez", half)
        validate()
    assert contents(tmp_path / "kept" / "folds") == before
    resumed = validate()
    trained = [train.tolist() for train, _ in folds]
    assert RUNS.fitted == [*trained[:3], *trained[2:]]
    pd.testing.assert_frame_equal(validate(), resumed)
    assert len(RUNS.fitted) == 5
    pd.testing.assert_frame_equal(resumed, validate(cache=str(tmp_path / "unbroken")))
    assert contents(tmp_path / "unbroken" / "folds") == contents(tmp_path / "kept" / "folds")


def test_folds_are_kept_in_the_build_folder_by_default(validate):
    validate(cache=None)
    assert len([*(dataset.build_dir() / "cache" / "folds").glob("*.npz")]) == 4


def test_a_cache_that_cannot_be_written_to_is_named(validate, tmp_path):
    (tmp_path / "kept").touch()
    with pytest.raises(CacheError, match=r"kept.* cannot be written to .* another folder"):
        validate()


def changed(segments, mfcc=None, **columns):
    mfcc = segments.mfcc if mfcc is None else mfcc
    return extraction.Segments(mfcc, segments.table.assign(**columns))


LAST = np.eye(24, 6, -18, dtype=np.float32).reshape(24, 2, 3)
OTHER_SEGMENTS = {
    "last row": lambda segments: changed(segments, segments.mfcc + LAST),
    "order of genres": lambda segments: changed(
        segments, genre=segments.table["genre"].cat.reorder_categories(GENRES[::-1])
    ),
    "column": lambda segments: changed(segments, year=1999),
}
OTHER_RECIPES = {
    "argument": partial(fit, shift=1),
    "another value": partial(fit, shift=2),
    "function": fit_again,
    "first argument": partial(fit_at, 1),
    "another first": partial(fit_at, 2),
}


def test_what_depends_on_a_change_is_fitted_again_and_nothing_twice(validate, segments):
    tables = {}
    for _ in range(2):
        tables["usual"] = validate()
        for name, change in OTHER_SEGMENTS.items():
            tables[name] = validate(segments=change(segments))
        for name, recipe in OTHER_RECIPES.items():
            tables[name] = validate(fit_model=recipe)
        assert len(RUNS.fitted) == 4 * len(tables) == 36
    expected = tables["usual"][GENRES] + 2
    np.testing.assert_allclose(tables["another value"][GENRES], expected, atol=1e-6)
    # The same arguments in another form have the same key.
    validate(fit_model=partial(partial(fit), shift=1))
    assert len(RUNS.fitted) == 4 * len(tables)


def test_other_versions_of_the_packages_fit_again(validate, monkeypatch):
    validate()
    monkeypatch.setattr(evaluation, "package_versions", lambda: {"keras": "99"})
    validate()
    assert len(RUNS.fitted) == 8


def test_only_the_fold_that_changed_is_fitted_again(validate, folds):
    validate()
    train, test = folds[2]
    validate(folds=[*folds[:2], (train[1:], test), folds[3]])
    assert RUNS.fitted[4:] == [train[1:].tolist()]
    validate(folds=[*folds[:2], (train, test[1:]), folds[3]])
    assert RUNS.fitted[5:] == [train.tolist()]
    # Rows that move from one part to the other.
    rows = np.arange(24)
    assert len(validate(folds=[(rows[:12], rows[12:])])) == 12
    assert len(validate(folds=[(rows[:18], rows[18:])])) == 6


def closure(shift):
    def fit_model(segments, rows):
        return fit(segments, rows, shift=shift)

    return fit_model


@pytest.mark.parametrize(
    "nameless",
    [lambda segments, rows: fit(segments, rows), closure(1), partial(fit, shift=lambda: 1)],
    ids=["lambda", "closure", "setting"],
)
def test_a_function_without_a_name_for_the_cache_is_refused(validate, nameless):
    with pytest.raises(ValueError, match=r"names for fit_model and all its settings.* no lambda"):
        validate(fit_model=nameless)


@pytest.mark.parametrize("missing", ["blues", "jazz", "metal", "rock"])
def test_a_genre_missing_from_training_is_never_a_classifiers_choice(missing, validate, segments):
    genre = segments.table["genre"].astype(str)
    genre[segments.table["track"].str.endswith("3")] = "metal"
    segments = changed(segments, genre=pd.Categorical(genre))
    folds = [(np.flatnonzero(genre != missing), np.arange(24))]
    predictions = validate(fit_model=fit_svm, segments=segments, folds=folds)
    assert (predictions[missing] == -np.inf).all()
    assert np.isfinite(predictions[segments.genres].drop(columns=missing)).all(axis=None)
    assert missing not in set(evaluation.track_vote(predictions)["predicted"])


def test_a_classifiers_decision_values_tell_two_genres(validate, segments):
    few = segments.select(segments.labels < 2)
    few = changed(few, genre=few.table["genre"].cat.remove_unused_categories())
    folds = splits.folds(few.table, "track", n_folds=4)
    predictions = validate(fit_model=fit_svm, segments=few, folds=folds)
    assert evaluation.scores(predictions)["track_accuracy"] == 1


@pytest.fixture
def predictions() -> pd.DataFrame:
    """Make eight segments of five tracks; jazz is predicted, but not tested."""
    rows = [
        ("blues.1", "blues", "A", 0.9, 0.1, 0.0),
        ("blues.1", "blues", "A", 0.2, 0.8, 0.0),
        ("blues.2", "blues", "A", 0.1, 0.9, 0.0),
        ("rock.2", "rock", None, 0.9, 0.0, 0.1),
        ("rock.1", "rock", "B", 0.0, 0.1, 0.9),
        ("rock.1", "rock", "B", 0.0, 0.2, 0.8),
        ("rock.1", "rock", "B", 0.6, 0.3, 0.1),
        ("rock.3", "rock", "B", 0.1, 0.0, 0.9),
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "artist", *GENRES])
    return table.assign(genre=pd.Categorical(table["genre"], categories=GENRES))


@pytest.mark.parametrize(
    ("by", "of_segments", "of_tracks"),
    [
        ("track", [0, 0, 1, 3, 2, 2, 2, 4], [0, 1, 2, 3, 4]),
        # Artists A and B, and rock.2, whose artist is unknown, in the order of the names.
        ("artist", [0, 0, 0, 2, 1, 1, 1, 1], [0, 0, 1, 2, 1]),
    ],
)
def test_scores_and_their_intervals_are_those_computed_by_hand(
    predictions, by, of_segments, of_tracks
):
    scores = evaluation.scores(predictions, by=by)
    # By track, blues.1 has 0.55 for blues; blues.2 and rock.2 are wrong.
    for name, right, groups in (
        ("segment", [1, 0, 0, 0, 1, 1, 0, 1], of_segments),
        ("track", [1, 0, 1, 0, 1], of_tracks),
    ):
        assert scores[f"{name}_accuracy"] == np.mean(right)
        expected = evaluation.accuracy_interval(np.array(right), np.array(groups))
        assert scores[f"{name}_interval"] == expected
    # Jazz is not counted, because no track of it is tested.
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores["macro_f1"] == pytest.approx((1 / 2 + 4 / 5) / 2)
    assert (scores["tracks"], scores["segments"]) == (5, 8)
    assert scores["groups"] == len(set(of_tracks))


def predicted(right, tracks=None, artists=None) -> pd.DataFrame:
    """Make predictions as from cross_validate, one segment per track, right or wrong as given."""
    tracks = tracks or [f"t{k:02d}" for k in range(len(right))]
    genre = pd.Categorical(["blues"] * len(right), categories=["blues", "rock"])
    table = pd.DataFrame({"track": tracks, "genre": genre, "artist": artists})
    return table.assign(blues=np.array(right, float), rock=0.5)


def test_the_difference_is_of_the_same_tracks_in_any_order_each_counted_once():
    model = predicted([1, 1, 1, 1, 0, 0], tracks=list("aaabcd"))
    other = predicted([1, 0, 1, 0, 0, 0], tracks=list("dcbaaa"))
    difference, low, high = evaluation.paired_interval(model, other)
    # Better for a, worse for d; for four tracks, the interval is as wide as possible.
    assert (difference, low, high) == (0, -1, 1)
    assert evaluation.paired_interval(model, model) == evaluation.paired_interval(
        model, model[::-1]
    )


@pytest.mark.parametrize(("n", "half"), [(1, 0.975), (4, 0.6024), (36, 0.0974)])
def test_the_interval_of_models_that_never_differ_is_exact(n, half):
    model = predicted([1, 0] * n, artists=[f"a{k // 2}" for k in range(2 * n)])
    found = evaluation.paired_interval(model, model, by="artist")
    assert found == pytest.approx((0, -half, half), abs=1e-4)


@pytest.mark.parametrize(("first", "second"), [(36, 20), (20, 36)])
def test_the_interval_leaves_out_0_where_a_model_is_clearly_better(first, second):
    model, other = (predicted([1] * n + [0] * (40 - n)) for n in (first, second))
    difference, low, high = evaluation.paired_interval(model, other)
    assert difference == pytest.approx((first - second) / 40)
    assert low < difference < high
    assert (low > 0, high < 0) == (first > second, first < second)


@pytest.mark.parametrize("known", [True, False])
def test_the_paired_interval_is_students_of_artists_and_unknown_ones_alone(known):
    right, other = np.random.default_rng(0).random((2, 60)) < [[0.8], [0.6]]
    artists = [f"artist {k // 3}" if known else None for k in range(60)]
    models = [predicted(each, artists=artists) for each in (right, other)]
    difference = right.astype(float) - other
    groups = difference.reshape(20, 3).mean(axis=1) if known else difference
    expected = ttest_1samp(groups, 0).confidence_interval()
    found = evaluation.paired_interval(*models, by="artist")
    assert found == pytest.approx((difference.mean(), *expected))


@pytest.mark.parametrize("tracks", ["ab", "abcd", "abd"])
def test_models_tested_on_other_tracks_are_not_compared(tracks):
    model = predicted([1, 1, 0], tracks=list("abc"))
    other = predicted([1] * len(tracks), tracks=list(tracks))
    with pytest.raises(ValueError, match="not tested on the same tracks"):
        evaluation.paired_interval(model, other)


def fit_first(segments, rows):
    """Make a model that predicts its input; record the rows of every fit."""
    RUNS.fitted.append(rows)
    return SimpleNamespace(predict=lambda x, verbose: x)


def fit_noted(segments, rows, *, seed):
    RUNS.fitted.append(seed)
    return SimpleNamespace(predict=lambda x, verbose: np.roll(x, seed, axis=1))


@pytest.fixture
def heard():
    """Make rows with the right prediction, and degraded copies with a wrong one."""
    rows = [
        (f"{genre}.{k}", genre, f"{genre}-{k // 2}" if genre != "rock" else "one",
         "test" if k % 4 == 3 else "valid" if k % 4 == 2 else "train", segment, copy)
        for genre in GENRES
        for k in range(12)
        for segment in range(2)
        for copy in ("original", "white_noise", "8 kHz")
    ]  # fmt: skip
    columns = ["track", "genre", "artist", "fault_filtered", "segment", "augmentation"]
    table = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=1)
    x = np.eye(3)[pd.Categorical(table["genre"]).codes]
    x[table["augmentation"] == "8 kHz"] = [0.5, 0.4, 0.3]
    return x, table


@pytest.fixture
def card(tmp_path):
    """Make a report card without a progress bar."""
    settings = {"n_folds": 3, "cache": tmp_path / "kept", "progress": False}
    return lambda *given, **other: evaluation.report_card(*given, **(settings | other))


def test_a_report_card_tests_originals_and_degraded_copies_and_trains_on_neither(card, heard):
    x, table = heard
    told, predictions = card(fit_first, x, table, seeds=(0, 1))
    assert set(told.index.droplevel("tested_on")) == {*evaluation.SPLITS, "leak"}
    original, degraded = (told.xs(copy, level="tested_on") for copy in ("original", "8 kHz"))
    assert (original.loc[[*evaluation.SPLITS], "track_accuracy"] == 1).all()
    # The wrong prediction is always the same genre.
    assert (degraded["track_accuracy"] == degraded["majority"]).iloc[:2].all()
    leak = original.loc["leak", ["track_accuracy", "track_low", "track_high"]]
    # No difference for any of twelve artists.
    assert leak.to_list() == pytest.approx([0, 0.025 ** (1 / 12) - 1, 1 - 0.025 ** (1 / 12)])
    assert original["groups"].to_list()[:4] == [13, 13, 12, 7]
    assert original["tracks"].to_list() == [36, 36, 24, 9, 24]
    assert original["genres"].to_list()[:4] == [3, 3, 2, 3]
    remark = "rock: only one artist, which trains and is not tested."
    assert original.loc["artist", "remark"] == remark
    assert len(RUNS.fitted) == 2 * 3 * 3 + 1
    copies = table["augmentation"].to_numpy()
    for rows in RUNS.fitted:
        assert set(copies[rows]) == {"original", "white_noise"}
    for split, each in predictions.items():
        assert set(each["augmentation"]) == {"original", "8 kHz"}
        places = each.groupby("augmentation")[["seed", "track", "segment"]].apply(
            lambda rows: set(rows.itertuples(index=False, name=None))
        )
        assert places["original"] == places["8 kHz"]
        assert set(each["seed"]) == {0, 1}, split


def test_scores_of_several_seeds_are_their_mean_with_the_least_and_the_greatest(card, heard):
    x, table = heard
    keep = (table["augmentation"] == "original").to_numpy()
    given = {"seeds": (0, 1, 3), "by": ["segment", "track"]}
    told, predictions = card(fit_noted, x[keep], table[keep], **given)
    assert RUNS.fitted == [0, 0, 0, 1, 1, 1, 3, 3, 3] * 2
    row = told.loc[("track", "original")]
    assert (row["least"], row["greatest"]) == (0, 1)
    assert row["track_accuracy"] == row["balanced_accuracy"] == pytest.approx(2 / 3)
    assert (row["tracks"], row["segments"]) == (36, 72)
    # All 13 artists are right for two of three seeds; each counts as one row.
    assert row["groups"] == 13
    expected = evaluation.accuracy_interval(np.tile([1, 1, 0], 13), np.repeat(np.arange(13), 3))
    assert (row["track_low"], row["track_high"]) == pytest.approx(expected)
    again, _ = card(fit_noted, x[keep], table[keep], **given)
    pd.testing.assert_frame_equal(again, told)
    assert len(RUNS.fitted) == 18
    votes = evaluation.track_vote(predictions["track"])
    assert votes.index.names == ["seed", "track"]
    assert len(votes) == 3 * 36


def test_a_report_card_knows_gtzans_facts_and_names_what_cannot_be_tested(card):
    facts = dataset.load_facts()
    genre = facts["track"].str.split(".").str[0].to_numpy()
    table = pd.DataFrame({"track": facts["track"], "genre": genre})
    x = np.eye(10)[pd.Categorical(genre).codes]
    told, _ = card(fit_first, x, table)
    assert told["tracks"].to_list() == [1000, 1000, 1000, 290, 1000]
    remarks = told["remark"].droplevel("tested_on")
    assert remarks["artist"] == f"tracks without artist: {facts['artist'].isna().sum()}."
    assert remarks["fault_filtered"] == "tracks without fault_filtered: 70."
    told, predictions = card(fit_first, x, table.assign(track="my/" + table["track"]))
    assert told["remark"].to_list()[1:] == [
        "",
        "tracks without artist: 1000. So the split keeps tracks apart, not artists.",
        "not tested: the column fault_filtered names 0 rows to train, 0 to validate and 0 to test; "
        "each part needs some.",
        "segment - artist",
    ]
    assert told["track_accuracy"].notna().to_list() == [True, True, True, False, True]
    assert list(predictions) == ["segment", "track", "artist"]
    few = table[facts["fault_filtered"].ne("valid").fillna(True).to_numpy()]
    told, _ = card(fit_first, x[: len(few)], few, by=["fault_filtered"])
    assert "0 to validate" in told["remark"].iloc[0]
    assert "no column 'album'" in card(fit_first, x, table, by=["album"])[0]["remark"].iloc[0]


@pytest.mark.parametrize(("artists", "n_folds"), [("abcd", 4), ("aabc", 3), ("aabb", 2), ("a", 4)])
def test_a_genre_of_few_artists_has_as_few_folds(card, artists, n_folds):
    table = pd.DataFrame({"track": [*"abcdefgh"], "genre": [*"uuuuvvvv"], "segment": 0})
    table["artist"] = [*artists.ljust(4, "a"), *"wxyz"]
    _, predictions = card(fit_first, np.eye(8, 2), table, by=["artist"], n_folds=5)
    assert predictions["artist"]["fold"].nunique() == n_folds


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table[1:], "x has 8 rows, and the table 7"),
        (lambda table: table.drop(columns="genre"), "the columns track and genre"),
        (lambda table: table.assign(track=[*"abcdefg", None]), r"row 7 .*\(nan\) lacks a name"),
        (lambda table: table.assign(genre=[None, *"uvuvuvu"]), r"row 0 .*\(a\) lacks a name"),
        (lambda table: table.assign(track=[*"abcdefgb"]), r"row 7 .*\(b\) .* there twice"),
        (lambda table: table.assign(track=[*"abcdefga"], segment=[*range(8)]), "several genres"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_the_row(card, change, said):
    table = pd.DataFrame({"track": [*"abcdefgh"], "genre": [*"uvuvuvuv"]})
    with pytest.raises(ValueError, match=said):
        card(fit_first, np.zeros((8, 2)), change(table))
    assert RUNS.fitted == []


def flatten(x):
    return x.reshape(len(x), -1)


CLASSIFIERS = {
    "probabilities": make_pipeline(FunctionTransformer(flatten), ExtraTreesClassifier(9)),
    "decision values": make_pipeline(FunctionTransformer(flatten), LinearSVC()),
    "names alone": make_pipeline(FunctionTransformer(flatten), OutputCodeClassifier(LinearSVC())),
}


@pytest.mark.parametrize("kind", [*CLASSIFIERS, "Keras"])
def test_classifiers_and_networks_have_a_report_card(kind, card, segments):
    model = quick_network(frames=2, n_mfcc=3) if kind == "Keras" else CLASSIFIERS[kind]
    by = {"by": ["segment", "track"], "seeds": (0, 1)}
    told, predictions = card(model, segments.mfcc, segments.table, **by)
    if kind != "Keras":  # Ten epochs are not enough for the network.
        assert (told["track_accuracy"] > 0.8).all()
    again, same = card(model, segments.mfcc, segments.table, **by)
    pd.testing.assert_frame_equal(again, told)
    # Read from the cache: the times are the same.
    assert same["track"]["fit_seconds"].equals(predictions["track"]["fit_seconds"])
    if kind == "names alone":
        assert set(np.unique(predictions["track"][GENRES])) == {0, 1}
    if kind == "probabilities":
        assert np.allclose(predictions["track"][GENRES].sum(axis=1), 1)
        one, other = (each[GENRES].to_numpy() for _, each in predictions["track"].groupby("seed"))
        assert not np.array_equal(one, other)
        assert model[-1].random_state is None
