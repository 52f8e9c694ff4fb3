import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp

from gtzan_mfcc import metrics
from gtzan_mfcc.metrics import Predictions

GENRES = ["blues", "jazz", "rock"]
TRUE = ["blues", "blues", "blues", "jazz", "jazz", "rock", "rock", "rock", "rock"]
PREDICTED = ["blues", "jazz", "jazz", "jazz", "jazz", "rock", "blues", "rock", "rock"]


def test_a_report_has_the_genres_in_the_order_given_and_then_their_means(recwarn):
    genres = ["rock", "metal", "blues", "jazz"]
    report = metrics.genre_report(pd.Categorical(TRUE), np.array(PREDICTED), genres)
    assert list(report) == ["precision", "recall", "f1-score", "support"]
    assert report.index.to_list() == [*genres, "macro avg", "weighted avg"]
    np.testing.assert_allclose(report.loc["blues"], [1 / 2, 1 / 3, 2 / 5, 3])
    recall = [3 / 4, 0, 1 / 3, 1, 25 / 48, 2 / 3]
    np.testing.assert_allclose(report["recall"], recall)
    assert report["support"].to_list() == [4, 0, 3, 2, 9, 9]
    assert not recwarn.list


def test_confusion_counts_the_true_genre_by_row_in_the_order_of_the_genres():
    genres = ["rock", "metal", "blues", "jazz"]
    confusion = metrics.genre_confusion(TRUE, PREDICTED, genres)
    counts = [[3, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 2]]
    assert confusion.to_numpy().tolist() == counts
    shares = metrics.genre_confusion(TRUE, PREDICTED, genres, normalise=True)
    assert shares.loc["rock"].to_list() == [0.75, 0, 0.25, 0]
    assert shares.loc["metal"].to_list() == [0, 0, 0, 0]
    of_numbers = metrics.genre_confusion([3, 3, 7], np.array([3, 7, 7]))
    assert of_numbers.loc[3].to_dict() == {3: 1, 7: 1}


@pytest.mark.parametrize("metric", [metrics.genre_report, metrics.genre_confusion])
def test_labels_that_are_no_genres_are_refused(metric):
    with pytest.raises(ValueError, match=r"\['funk'\] are not among the genres"):
        metric(["jazz", "funk"], ["jazz", "rock"], ["jazz", "rock"])


JAZZ_AND_ROCK = pd.DataFrame({"track": ["a", "b"], "genre": ["jazz", "rock"]})


def test_predictions_that_do_not_fit_are_refused():
    likely = pd.DataFrame({"jazz": [0.8, 0.6], "rock": [0.2, 0.4]})
    with pytest.raises(ValueError, match=r"some probabilities.* are missing"):
        Predictions(JAZZ_AND_ROCK, likely.replace(0.4, np.nan))
    with pytest.raises(ValueError, match=r"have \[2, 1, 2\] rows"):
        Predictions(JAZZ_AND_ROCK, likely[:1])
    with pytest.raises(ValueError, match=r"no column of probabilities for \['rock'\]"):
        Predictions(JAZZ_AND_ROCK, likely[["jazz"]])


def test_predictions_are_joined_in_the_order_given():
    jazz = pd.DataFrame({"jazz": [1, 1], "rock": [0, 0]})
    first = Predictions(JAZZ_AND_ROCK, jazz, jazz)
    second = Predictions(JAZZ_AND_ROCK, 1 - jazz, 1 - jazz)
    joined = metrics.concatenate([first, second])
    assert joined.table["track"].to_list() == ["a", "b", "a", "b"]
    assert joined.predicted.to_list() == ["jazz", "jazz", "rock", "rock"]
    assert joined.runs["jazz"].to_list() == [1, 1, 0, 0]
    with pytest.raises(ValueError, match="values of runs, are missing"):
        metrics.concatenate([first, Predictions(JAZZ_AND_ROCK, jazz)])


def test_a_track_gets_the_genre_of_the_highest_mean_probability():
    table = pd.DataFrame({"track": ["b", "a", "b", "b"]}, index=[7, 3, 9, 1])
    table["genre"] = ["rock", "jazz", "rock", "rock"]
    # Two of three segments of b are predicted as jazz, but the third is more certain.
    likely = [[0.6, 0.4], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]]
    predictions = Predictions(table, pd.DataFrame(likely, columns=["jazz", "rock"]))
    assert predictions.correct.tolist() == [False, False, False, True]
    votes = metrics.track_vote(predictions)
    assert votes.table.to_numpy().tolist() == [["a", "jazz"], ["b", "rock"]]
    assert votes.predicted.to_list() == ["rock", "rock"]
    expected = [[0.2, 0.8], [1.3 / 3, 1.7 / 3]]
    np.testing.assert_allclose(votes.probabilities, expected)


@pytest.mark.parametrize("k", [0, 8, 200, 386, 400])
def test_the_interval_of_independent_rows_is_wilsons(k):
    interval = metrics.accuracy_interval(np.arange(400) < k, np.arange(400))
    expected = binomtest(k, 400).proportion_ci(method="wilson")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-3)


@pytest.mark.parametrize(
    ("correct", "groups", "interval"),
    [
        # The effective sample size is 4; Student's t is 12.7.
        ([1, 1, 1, 0, 0, 0, 0, 1], [*"aaaabbbb"], (0.0061, 0.9939)),
        # For groups that agree: 1 / (1 + t² / n).
        ([1] * 20, [*range(5)] * 4, (0.3934, 1)),
        ([1] * 36, [*range(36)], (0.8973, 1)),
        ([1, 1, 1, 0], [*"aaaa"], (0, 1)),
    ],
)
def test_intervals_known_by_hand(correct, groups, interval):
    found = metrics.accuracy_interval(np.array(correct, bool), np.array(groups))
    assert found == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize("groups", [[], ["a", None]])
def test_an_interval_without_rows_or_groups_is_refused(groups):
    with pytest.raises(ValueError, match="each row needs a group"):
        metrics.accuracy_interval(np.ones(len(groups), bool), np.array(groups))


def test_scores_and_their_intervals_are_those_computed_by_hand():
    rows = [
        ("blues.1", "blues", "A", 0.9, 0.1, 0.0),
        ("blues.1", "blues", "A", 0.2, 0.8, 0.0),
        ("blues.2", "blues", "A", 0.1, 0.9, 0.0),
        ("rock.2", "rock", None, 0.9, 0.0, 0.1),
        ("rock.1", "rock", "B", 0.0, 0.1, 0.9),
        ("rock.1", "rock", "B", 0.6, 0.3, 0.1),
        ("rock.3", "rock", "B", 0.1, 0.0, 0.9),
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "artist", *GENRES])
    scores = metrics.scores(Predictions(table, table[GENRES]), by="artist")
    correct = np.array([1, 0, 0, 0, 1, 0, 1], bool)
    assert scores["segment_accuracy"] == pytest.approx(3 / 7)
    # rock.2, whose artist is unknown, is a group of its own.
    expected = metrics.accuracy_interval(correct, np.array([*"AAA2BBB"]))
    assert scores["segment_interval"] == pytest.approx(expected)
    # By track, blues.1 has 0.55 for blues; blues.2 and rock.2 are wrong.
    assert scores["track_accuracy"] == 3 / 5
    correct = np.array([1, 0, 1, 0, 1], bool)
    expected = metrics.accuracy_interval(correct, np.array([*"AAB2B"]))
    assert scores["track_interval"] == pytest.approx(expected)
    # Jazz is predicted, but not tested.
    assert (scores["genres"], scores["majority"]) == (2, 3 / 5)
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores["macro_f1"] == pytest.approx((1 / 2 + 4 / 5) / 2)
    assert (scores["tracks"], scores["segments"], scores["groups"]) == (5, 7, 3)


def predicted(correct, tracks=None, artists=None) -> Predictions:
    """Make predictions of one segment per track, correct or wrong as given."""
    table = pd.DataFrame({"artist": artists}, index=range(len(correct)))
    table["track"] = tracks or table.index
    table["genre"] = "blues"
    likely = pd.DataFrame({"blues": np.array(correct, float), "rock": 0.5})
    return Predictions(table, likely)


def test_the_difference_is_of_the_same_tracks_in_any_order_each_counted_once():
    model = predicted([1, 1, 1, 1, 0, 0], tracks=list("aaabcd"))
    other = predicted([1, 0, 1, 0, 0, 0], tracks=list("dcbaaa"))
    # Better for a, worse for d; for four tracks, the interval is as wide as possible.
    assert metrics.paired_interval(model, other) == (0, -1, 1)


@pytest.mark.parametrize(("n", "half"), [(1, 0.975), (36, 0.0974)])
def test_the_interval_of_models_that_never_differ_is_exact(n, half):
    model = predicted([1, 0] * n, artists=np.repeat(range(n), 2))
    found = metrics.paired_interval(model, model, by="artist")
    assert found == pytest.approx((0, -half, half), abs=1e-4)


def test_the_paired_interval_is_students_of_artists():
    rng = np.random.default_rng(0)
    correct = rng.random(60) < 0.8
    other_correct = rng.random(60) < 0.6
    artists = np.repeat(range(20), 3)
    difference = correct.astype(float) - other_correct
    of_artists = difference.reshape(20, 3).mean(axis=1)
    expected = ttest_1samp(of_artists, 0).confidence_interval()
    model = predicted(correct, artists=artists)
    other = predicted(other_correct, artists=artists)
    found = metrics.paired_interval(model, other, by="artist")
    assert found == pytest.approx((difference.mean(), *expected))


def test_models_tested_on_other_tracks_or_genres_are_not_compared():
    model = predicted([1, 1, 0], tracks=["a", "b", "c"])
    other_track = predicted([1, 1, 0], tracks=["a", "b", "d"])
    other_genre = Predictions(model.table.assign(genre="rock"), model.probabilities)
    for other in (other_track, other_genre):
        with pytest.raises(ValueError, match="not tested on the same tracks"):
            metrics.paired_interval(model, other)


def test_scores_of_several_seeds_are_means_over_the_seeds():
    table = pd.DataFrame({"track": [*"abcd"] * 2, "genre": [*"jjrr"] * 2})
    # One seed predicts only j, the other only r.
    likely = pd.DataFrame({"j": [1] * 4 + [0] * 4, "r": [0] * 4 + [1] * 4})
    runs = pd.DataFrame({"seed": [0] * 4 + [1] * 4})
    scores = metrics.scores(Predictions(table, likely, runs))
    assert scores["macro_f1"] == pytest.approx(1 / 3)
    assert scores["balanced_accuracy"] == scores["track_accuracy"] == 0.5
    assert (scores["least"], scores["greatest"]) == (0.5, 0.5)
    assert (scores["tracks"], scores["segments"], scores["groups"]) == (4, 4, 4)
