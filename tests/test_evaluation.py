import os
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from gtzan_mfcc import evaluation, extraction, splits

GENRES = ["blues", "jazz", "rock"]
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 1, 1, 1, 1, 2, 0, 2, 2])


def test_report_equals_scikit_learns():
    report = evaluation.genre_report(LABELS, PREDICTED, GENRES)
    assert list(report) == ["precision", "recall", "f1-score", "support"]
    assert report.index.to_list() == [*GENRES, "macro avg", "weighted avg"]
    expected = np.transpose(precision_recall_fscore_support(LABELS, PREDICTED))
    np.testing.assert_allclose(report.loc[GENRES], expected)
    np.testing.assert_allclose(report.loc["blues", ["precision", "recall"]], [1 / 2, 1 / 3])
    np.testing.assert_allclose(report.loc["macro avg"][:3], expected[:, :3].mean(axis=0))
    weighted = np.average(expected[:, :3], axis=0, weights=[3, 2, 4])
    np.testing.assert_allclose(report.loc["weighted avg"][:3], weighted)
    assert report.loc["macro avg", "support"] == 9


def test_report_keeps_the_order_of_the_genres():
    names = ["rock", "blues", "jazz"]
    assert evaluation.genre_report(LABELS, PREDICTED, names).index[:3].to_list() == names


@pytest.mark.parametrize("labels", [[0, 2], [0, 0]], ids=["absent", "only one"])
def test_a_genre_that_is_never_predicted_scores_0(labels, recwarn):
    report = evaluation.genre_report(np.array(labels), np.zeros(2, int), GENRES)
    assert report.index.to_list() == [*GENRES, "macro avg", "weighted avg"]
    assert not report.loc["jazz"].any()
    assert report.loc["blues", "recall"] == 1
    assert not recwarn.list


def test_confusion_counts_the_true_genre_by_row():
    confusion = evaluation.genre_confusion(LABELS, PREDICTED, GENRES)
    assert confusion.to_numpy().tolist() == [[1, 2, 0], [0, 2, 0], [1, 0, 3]]
    assert confusion.loc["blues", "jazz"] == 2
    assert confusion.loc["jazz", "blues"] == 0
    assert (confusion.index.name, confusion.columns.name) == ("true genre", "predicted genre")


def test_confusion_has_a_row_for_a_genre_that_does_not_occur():
    confusion = evaluation.genre_confusion(np.array([0]), np.array([2]), GENRES)
    assert confusion.shape == (3, 3)
    assert confusion.loc["blues", "rock"] == confusion.to_numpy().sum() == 1


def test_a_track_gets_the_genre_of_the_highest_mean_probability():
    table = pd.DataFrame(
        {
            "track": ["rock.1", "blues.1", "rock.1", "rock.1", "blues.1"],
            "genre": pd.Categorical(["rock", "blues", "rock", "rock", "blues"]),
        },
        index=[7, 3, 9, 1, 4],
    )
    # Two of the three segments of rock.1 are for blues, but the third is surer.
    probabilities = np.array([[0.6, 0.4], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]])
    votes = evaluation.track_vote(table, probabilities, ["blues", "rock"])
    assert votes.index.name == "track"
    assert votes.index.to_list() == ["blues.1", "rock.1"]
    assert votes["genre"].to_list() == ["blues", "rock"]
    assert votes["predicted"].to_list() == ["blues", "rock"]
    np.testing.assert_allclose(votes[["blues", "rock"]], [[0.55, 0.45], [1.3 / 3, 1.7 / 3]])


@pytest.fixture
def correct() -> np.ndarray:
    """Tell of 40 tracks with 10 segments each whether they are right: whole tracks together."""
    return np.repeat(np.random.default_rng(0).random(40) < 0.7, 10)


def test_interval_contains_the_accuracy(correct):
    low, high = evaluation.bootstrap_interval(correct, np.repeat(np.arange(40), 10))
    assert 0 < low < correct.mean() < high < 1
    # The normal approximation for 40 independent tracks.
    assert high - low == pytest.approx(
        2 * 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 40), rel=0.15
    )


def test_interval_over_tracks_is_wider_than_over_segments_that_agree(correct):
    by_track = evaluation.bootstrap_interval(correct, np.repeat(np.arange(40), 10))
    by_segment = evaluation.bootstrap_interval(correct, np.arange(400))
    assert np.diff(by_track) > 2 * np.diff(by_segment)


def test_interval_is_the_same_for_the_same_seed(correct):
    groups = np.array([f"rock.{k // 7}" for k in range(400)])
    first = evaluation.bootstrap_interval(correct, groups)
    assert first == evaluation.bootstrap_interval(correct, groups)
    assert first != evaluation.bootstrap_interval(correct, groups, seed=1)


def test_interval_counts_rows_where_groups_differ_in_size():
    low, high = evaluation.bootstrap_interval(np.array([1] * 99 + [0]), np.array([0] * 99 + [1]))
    assert (low, high) == (0, 1)


@pytest.mark.parametrize("right", [True, False])
def test_interval_of_all_right_or_all_wrong_is_a_point(right):
    interval = evaluation.bootstrap_interval(np.full(20, right), np.arange(20) // 4)
    assert interval == (right, right)


def test_correct_segments_go_with_their_tracks():
    class Model:
        def predict(self, x, verbose):
            return np.eye(2)[x[:, 0, 0].astype(int)]

    table = pd.DataFrame({"track": list("abc"), "genre": pd.Categorical(["x", "y", "y"])})
    mfcc = np.array([0, 0, 1], np.float32).reshape(3, 1, 1)
    segments = extraction.Segments(mfcc, table, left_out=table[:0])
    correct, tracks = evaluation.correct_segments(Model(), segments, np.array([2, 1]))
    assert correct.tolist() == [True, False]
    assert tracks.tolist() == ["c", "b"]


@pytest.fixture
def segments() -> extraction.Segments:
    """Four tracks of each of three genres with two segments each; MFCCs that tell the row."""
    rows = [
        (f"{genre}.{k}", genre, f"{genre}-{k}" if k else None, segment, "original")
        for genre in GENRES
        for k in range(4)
        for segment in range(2)
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "artist", "segment", "augmentation"])
    table = table.sample(frac=1, random_state=0).astype({"genre": "category"})
    mfcc = np.random.default_rng(0).normal(size=(24, 2, 3)).astype(np.float32)
    mfcc += 5 * np.eye(3, dtype=np.float32)[table["genre"].cat.codes, np.newaxis]
    return extraction.Segments(mfcc, table, left_out=table[:0])


@pytest.fixture
def folds(segments) -> list[splits.Split]:
    return splits.folds(segments.table, n_folds=4)


@pytest.fixture
def fit():
    """Give a model that predicts the first frame; keep the rows of every fit, and stop if told."""

    def fit_model(segments, rows, *, shift=0):
        if len(fit_model.rows) == fit_model.stop_after:
            raise KeyboardInterrupt
        fit_model.rows.append(rows.tolist())
        return SimpleNamespace(predict=lambda x, verbose: x[:, 0] + shift)

    fit_model.rows, fit_model.stop_after = [], None
    return fit_model


@pytest.fixture
def validate(fit, segments, folds, tmp_path):
    """Validate in silence, with the arguments of choice."""
    usual = {"fit_model": fit, "segments": segments, "folds": folds, "keep": tmp_path / "kept"}
    return lambda **other: evaluation.cross_validate(**(usual | {"progress": False} | other))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.npz")}


def test_predictions_stand_beside_the_segment_they_are_of(validate, fit, segments, folds):
    predictions = validate()
    assert list(predictions) == [*evaluation.FACTS, *GENRES]
    tested = np.concatenate([test for _, test in folds])
    facts = ["track", "genre", "artist", "segment", "augmentation"]
    expected = segments.table.iloc[tested].reset_index(drop=True)
    for fact in facts:
        assert predictions[fact].fillna("").to_list() == expected[fact].fillna("").to_list()
    np.testing.assert_array_equal(predictions[GENRES], segments.mfcc[tested, 0])
    assert predictions["fold"].to_list() == np.repeat(range(4), 6).tolist()
    assert (predictions["fit_seconds"] >= 0).all()
    assert fit.rows == [train.tolist() for train, _ in folds]


def test_a_single_split_is_a_list_of_one_fold(validate, segments):
    predictions = validate(folds=[splits.track(segments.table, test_size=0.25)])
    assert len(predictions) == 6
    assert set(predictions["fold"]) == {0}


def test_nothing_is_fitted_twice(validate, fit):
    first = validate()
    pd.testing.assert_frame_equal(validate(), first)
    assert len(fit.rows) == 4


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    validate, fit, folds, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluation, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    fit.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        validate()
    before = contents(tmp_path / "kept")
    assert len(before) == 2
    fit.stop_after = None
    resumed = validate()
    assert fit.rows == [train.tolist() for train, _ in folds]
    pd.testing.assert_frame_equal(resumed, validate(keep=tmp_path / "unbroken"))
    assert before.items() <= contents(tmp_path / "kept").items()
    assert contents(tmp_path / "kept") == contents(tmp_path / "unbroken")


def other_argument(call):
    return call | {"fit_model": partial(call["fit_model"], shift=1)}


def other_function(call):
    def fit_model(*arguments):
        return call["fit_model"](*arguments)

    return call | {"fit_model": fit_model}


def other_mfcc(call):
    segments = call["segments"]
    mfcc = segments.mfcc.copy()
    mfcc[-1, -1, -1] += 1
    return call | {"segments": extraction.Segments(mfcc, segments.table, segments.left_out)}


def other_genre(call):
    segments = call["segments"]
    table = segments.table.assign(genre=segments.table["genre"].array[::-1])
    return call | {"segments": extraction.Segments(segments.mfcc, table, segments.left_out)}


def other_folds(call):
    return call | {"folds": splits.folds(call["segments"].table, n_folds=4, seed=1)}


@pytest.mark.parametrize(
    "change", [other_argument, other_function, other_mfcc, other_genre, other_folds]
)
def test_what_depends_on_a_change_is_fitted_again(change, validate, fit, segments, folds):
    usual = {"fit_model": fit, "segments": segments, "folds": folds}
    before = validate(**usual)
    after = validate(**change(usual))
    assert len(fit.rows) == 8
    if change is other_argument:
        np.testing.assert_allclose(after[GENRES], before[GENRES] + 1, atol=1e-6)
    validate(**usual)
    validate(**change(usual))
    assert len(fit.rows) == 8


def test_the_same_arguments_are_the_same_in_any_order_and_another_value_is_not(validate, fit):
    validate(fit_model=partial(fit, shift=1))
    validate(fit_model=partial(partial(fit), shift=1))
    assert len(fit.rows) == 4
    validate(fit_model=partial(fit, shift=2))
    assert len(fit.rows) == 8


def test_only_the_fold_that_changed_is_fitted_again(validate, fit, folds):
    validate()
    train, test = folds[2]
    validate(folds=[*folds[:2], (train[1:], test), folds[3]])
    assert fit.rows[4:] == [train[1:].tolist()]
    validate(folds=[*folds[:2], (train, test[1:]), folds[3]])
    assert fit.rows[5:] == [train.tolist()]


def test_a_row_that_goes_from_training_to_test_is_a_change(validate, fit):
    rows = np.arange(24)
    assert len(validate(folds=[(rows[:12], rows[12:])])) == 12
    assert len(validate(folds=[(rows[:18], rows[18:])])) == 6


def test_half_a_file_is_never_read(validate, fit, tmp_path):
    whole = validate()
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:100])
        path.rename(path.with_suffix(f".{os.getpid()}.unfinished"))
    facts = [*whole.drop(columns="fit_seconds")]
    pd.testing.assert_frame_equal(validate()[facts], whole[facts])
    assert len(fit.rows) == 8


def test_a_run_stopped_while_it_writes_leaves_nothing_to_read(validate, fit, monkeypatch):
    def half(path, **_):
        path.write_bytes(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np, "savez", half)
        validate()
    assert len(validate()) == 24
    assert len(fit.rows) == 5


def fit_svm(segments, rows):
    flat = FunctionTransformer(lambda mfcc: mfcc.reshape(len(mfcc), -1))
    return make_pipeline(flat, SVC()).fit(segments.mfcc[rows], segments.labels[rows])


def test_a_classifiers_decision_values_tell_the_genres(validate):
    predictions = validate(fit_model=fit_svm)
    assert evaluation.scores(predictions)["track_accuracy"] == 1
    assert np.isfinite(predictions[GENRES]).all(axis=None)


@pytest.mark.parametrize("missing", ["blues", "jazz", "metal", "rock"])
def test_a_genre_missing_from_training_is_never_a_classifiers_choice(missing, validate, segments):
    genre = segments.table["genre"].astype(str)
    genre[segments.table["track"].str.endswith("3")] = "metal"
    table = segments.table.assign(genre=pd.Categorical(genre))
    segments = extraction.Segments(segments.mfcc, table, segments.left_out)
    train, test = np.flatnonzero(genre != missing), np.arange(24)
    predictions = validate(fit_model=fit_svm, segments=segments, folds=[(train, test)])
    assert (predictions[missing] == -np.inf).all()
    assert np.isfinite(predictions[segments.genres].drop(columns=missing)).all(axis=None)
    votes = evaluation.track_vote(
        predictions, predictions[segments.genres].to_numpy(), segments.genres
    )
    assert missing not in set(votes["predicted"])


def test_a_classifier_of_two_genres_is_validated_as_any(validate, segments):
    pair = segments.select(segments.labels < 2)
    pair = extraction.Segments(
        pair.mfcc,
        pair.table.assign(genre=pair.table["genre"].cat.remove_unused_categories()),
        pair.left_out,
    )
    predictions = validate(
        fit_model=fit_svm, segments=pair, folds=splits.folds(pair.table, n_folds=4)
    )
    assert evaluation.scores(predictions)["track_accuracy"] == 1


def test_genres_and_tracks_named_by_numbers_keep_their_names(validate, segments):
    table = segments.table
    decades = {"blues": "1970", "jazz": "1980", "rock": "1990"}
    track = table["genre"].astype(str).map(decades) + table["track"].str[-2:] + "0"
    table = table.assign(track=track, genre=table["genre"].cat.rename_categories(decades))
    predictions = validate(segments=extraction.Segments(segments.mfcc, table, segments.left_out))
    assert set(predictions["track"]) == set(track)
    assert evaluation.scores(predictions)["track_accuracy"] == 1


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_on_stderr_or_not_at_all(progress, validate, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    validate(progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("4/4" in err and "fold" in err) if progress else err == ""


@pytest.fixture
def predictions() -> pd.DataFrame:
    """Eight segments of five tracks; jazz is predicted, but not tested."""
    rows = [
        ("blues.1", "blues", "A", 0, "original", 0, 2.0, 0.9, 0.1, 0.0),
        ("blues.1", "blues", "A", 1, "original", 0, 2.0, 0.2, 0.8, 0.0),
        ("blues.2", "blues", "A", 0, "original", 0, 2.0, 0.1, 0.9, 0.0),
        ("rock.2", "rock", None, 0, "original", 0, 2.0, 0.9, 0.0, 0.1),
        ("rock.1", "rock", "B", 0, "original", 1, 5.0, 0.0, 0.1, 0.9),
        ("rock.1", "rock", "B", 1, "original", 1, 5.0, 0.0, 0.2, 0.8),
        ("rock.1", "rock", "B", 2, "original", 1, 5.0, 0.6, 0.3, 0.1),
        ("rock.3", "rock", "B", 0, "original", 0, 2.0, 0.1, 0.0, 0.9),
    ]
    return pd.DataFrame(rows, columns=[*evaluation.FACTS, *GENRES])


def test_scores_are_those_reckoned_by_hand(predictions):
    scores = evaluation.scores(predictions)
    assert scores["segment_accuracy"] == 4 / 8
    assert scores["track_accuracy"] == 3 / 5
    # Jazz, of which no track is tested, does not count.
    assert scores["balanced_accuracy"] == pytest.approx(np.mean([1 / 2, 2 / 3]))
    assert scores["macro_f1"] == pytest.approx(np.mean([1 / 2, 4 / 5]))
    assert (scores["tracks"], scores["segments"]) == (5, 8)
    assert list(scores) == [
        "segment_accuracy", "segment_interval", "track_accuracy", "track_interval",
        "balanced_accuracy", "macro_f1", "tracks", "segments",
    ]  # fmt: skip


def test_intervals_of_the_scores_draw_what_they_are_told_to(predictions):
    segment_right, track_right = [1, 0, 0, 0, 1, 1, 0, 1], [1, 0, 1, 0, 1]
    # Numbered in the order of the names: artists A, B, and rock.2 of whom nobody knows.
    for by, of_segments, of_tracks in (
        ("track", [0, 0, 1, 3, 2, 2, 2, 4], [0, 1, 2, 3, 4]),
        ("artist", [0, 0, 0, 2, 1, 1, 1, 1], [0, 0, 1, 2, 1]),
    ):
        scores = evaluation.scores(predictions, by=by, seed=3)
        for each, right, groups in (
            ("segment_interval", segment_right, of_segments),
            ("track_interval", track_right, of_tracks),
        ):
            expected = evaluation.bootstrap_interval(np.array(right), np.array(groups), seed=3)
            assert scores[each] == expected


def test_intervals_by_artist_are_wider_where_an_artists_tracks_agree():
    right = np.random.default_rng(0).random(12) < 0.6
    n = 12 * 6 * 3
    table = pd.DataFrame(
        {
            "track": [f"t{k // 3:02d}" for k in range(n)],
            "genre": "blues",
            "artist": [f"a{k // 18:02d}" for k in range(n)],
            "segment": np.arange(n) % 3,
            "augmentation": "original",
            "fold": 0,
            "fit_seconds": 0.0,
            "blues": np.repeat(right, 18).astype(float),
            "jazz": 0.5,
        }
    )
    by_track, by_artist = (evaluation.scores(table, by=by) for by in ("track", "artist"))
    assert by_track["track_accuracy"] == by_artist["track_accuracy"] == right.mean()
    for name in ("segment_interval", "track_interval"):
        assert np.diff(by_artist[name]) > 1.5 * np.diff(by_track[name])


def predicted(right, tracks=None, artists=None) -> pd.DataFrame:
    """Make up what cross_validate gives for a model, a segment a track, from what it gets right."""
    tracks = tracks or [f"t{k:02d}" for k in range(len(right))]
    facts = {"genre": "blues", "artist": None, "segment": 0, "augmentation": "original"}
    table = pd.DataFrame({"track": tracks, **facts, "fold": 0, "fit_seconds": 1.0})
    return table.assign(artist=artists, blues=np.array(right, float), rock=0.5)


def test_two_identical_models_do_not_differ():
    model = predicted([1, 0, 1, 1])
    assert evaluation.paired_interval(model, model[::-1]) == (0, 0, 0)


def test_the_difference_is_of_the_same_tracks_in_any_order():
    model = predicted([1, 1, 1, 0], tracks=list("abcd"))
    other = predicted([1, 0, 1, 0], tracks=list("dcba"))
    difference, low, high = evaluation.paired_interval(model, other)
    # Better at a and c, worse at d.
    assert difference == 1 / 4
    expected = evaluation.bootstrap_interval(np.array([1, 0, 1, -1]), np.arange(4))
    assert (low, high) == expected
    assert low < 0 < high


def test_a_track_counts_once_in_the_difference_however_many_segments_it_has():
    model = predicted([1, 1, 1, 0, 0], tracks=list("aaabc"))
    other = predicted([0, 0, 0, 1, 1], tracks=list("aaabc"))
    assert evaluation.paired_interval(model, other)[0] == pytest.approx(-1 / 3)


@pytest.mark.parametrize(("first", "second"), [(36, 20), (20, 36)])
def test_the_interval_leaves_out_0_where_a_model_is_clearly_better(first, second):
    model, other = (predicted([1] * n + [0] * (40 - n)) for n in (first, second))
    difference, low, high = evaluation.paired_interval(model, other)
    assert difference == pytest.approx((first - second) / 40)
    assert low < difference < high
    assert (low > 0) == (first > second)
    assert (high < 0) == (first < second)


def test_the_interval_draws_tracks_or_artists_with_the_seed():
    artists = [f"a{int(k**0.5)}" for k in range(40)]
    model = predicted([1] * 30 + [0] * 10, artists=artists)
    other = predicted([0] * 10 + [1] * 30, artists=artists)
    by_track = evaluation.paired_interval(model, other)
    by_artist = evaluation.paired_interval(model, other, by="artist")
    assert by_track[0] == by_artist[0] == 0
    assert np.diff(by_artist[1:]) > 1.5 * np.diff(by_track[1:])
    assert evaluation.paired_interval(model, other, by="artist") == by_artist
    assert evaluation.paired_interval(model, other, by="artist", seed=1) != by_artist


def test_a_fold_is_scored_on_both_its_neighbours_by_models_that_saw_neither_them_nor_it():
    # Two tracks in each of four folds, named by it. Split i tests on those of i and i + 1;
    # right or wrong is told by who trained without whom.
    right = {
        (0, "0"): [1, 1], (0, "1"): [1, 0],
        (1, "1"): [0, 0], (1, "2"): [1, 1],
        (2, "2"): [1, 0], (2, "3"): [0, 0],
        (3, "3"): [1, 1], (3, "0"): [0, 1],
    }  # fmt: skip
    inner = pd.concat(
        predicted(values, tracks=[f"{name}a", f"{name}b"]).assign(fold=split)
        for (split, name), values in right.items()
    )
    # Fold 0: fold 3 by split 3, and fold 1 by split 0; and so on.
    expected = [3 / 4, 4 / 4, 0 / 4, 2 / 4]
    assert evaluation.inner_accuracy(inner) == expected
    assert evaluation.inner_accuracy(inner[::-1]) == expected


def test_by_artist_a_track_of_unknown_artist_is_drawn_alone():
    model = predicted([1, 1, 0, 0, 1], artists=["A", "A", None, None, None])
    other = predicted([0, 1, 1, 0, 0], artists=["A", "A", None, None, None])
    expected = evaluation.bootstrap_interval(np.array([1, 0, -1, 0, 1]), np.array([0, 0, 1, 2, 3]))
    assert evaluation.paired_interval(model, other, by="artist")[1:] == expected


@pytest.mark.parametrize("tracks", ["ab", "abcd", "abd"])
def test_models_tested_on_other_tracks_are_not_compared(tracks):
    model = predicted([1, 1, 0], tracks=list("abc"))
    other = predicted([1] * len(tracks), tracks=list(tracks))
    with pytest.raises(ValueError, match="not tested on the same tracks"):
        evaluation.paired_interval(model, other)


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_row_is_the_twin_out_of_the_training_part_in_the_order_of_the_tested(seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(60)
    test, twins, others, neither = rows[:5], rows[5:10], rows[10:50], rows[50:55]
    mfcc = rng.normal(size=(60, 9, 4)) * rng.uniform(0.2, 5, size=(60, 1, 4))
    mfcc[twins] = mfcc[test] + 0.02 * rng.normal(size=(5, 9, 4))
    mfcc[neither] = mfcc[test]
    # What is large and tells nothing would drown the rest, were it not standardised.
    mfcc[..., 0] += 1e4 * rng.normal(size=(60, 1))
    table = pd.DataFrame({"track": rows})
    segments = extraction.Segments(mfcc, table, left_out=table[:0])
    nearest = evaluation.nearest_rows(segments, rng.permutation([*twins, *others]), test)
    assert nearest.tolist() == twins.tolist()


def test_the_nearest_row_of_a_row_that_trains_is_itself(segments):
    rows = np.array([20, 3, 11, 8])
    assert evaluation.nearest_rows(segments, rows, rows[::-1]).tolist() == [8, 11, 3, 20]
