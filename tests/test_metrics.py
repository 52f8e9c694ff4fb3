import io

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp

from gtzan_mfcc import metrics
from gtzan_mfcc.metrics import Predictions

GENRES = ["rock", "metal", "blues", "jazz"]
TRUE = "blues blues blues jazz jazz rock rock rock rock".split()
PREDICTED = "blues jazz jazz jazz jazz rock blues rock rock".split()


def predict(correct, tracks=None, artists=None):
    """Make predictions of one segment per track, correct or wrong as given."""
    table = pd.DataFrame({"genre": ["blues"] * len(correct)})
    table["track"] = tracks or table.index
    table["artist"] = artists
    likely = pd.DataFrame({"blues": correct, "rock": 0.5})
    return Predictions(table, likely)


def test_a_report_has_the_genres_in_the_order_given_and_then_their_means(recwarn):
    true = pd.Categorical(TRUE)
    report = metrics.genre_report(true, np.array(PREDICTED), GENRES)
    assert list(report) == ["precision", "recall", "f1-score", "support"]
    assert report.index.to_list() == [*GENRES, "macro avg", "weighted avg"]
    assert report["support"].to_list() == [4, 0, 3, 2, 9, 9]
    recall = report["recall"].to_list()
    assert recall == pytest.approx([3 / 4, 0, 1 / 3, 1, 25 / 48, 2 / 3])
    blues = report.loc["blues"]
    assert blues["precision"] == 1 / 2
    assert blues["f1-score"] == pytest.approx(2 / 5)
    assert not recwarn.list


def test_confusion_counts_the_true_genre_by_row_in_the_order_of_the_genres():
    confusion = metrics.genre_confusion(TRUE, PREDICTED, GENRES)
    assert confusion.to_numpy().tolist() == [
        [3, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 2],
        [0, 0, 0, 2],
    ]
    shares = metrics.genre_confusion(TRUE, PREDICTED, GENRES, normalise=True)
    assert shares.loc["rock"].to_list() == [0.75, 0, 0.25, 0]
    assert shares.loc["metal"].to_list() == [0, 0, 0, 0]


@pytest.mark.parametrize("metric", [metrics.genre_report, metrics.genre_confusion])
def test_labels_that_are_no_genres_are_refused(metric):
    with pytest.raises(ValueError, match=r"\['funk'\] are not among the genres"):
        metric(["jazz", "funk"], ["jazz", "jazz"], genres=["jazz", "rock"])


def test_predictions_that_do_not_fit_are_refused():
    table = pd.DataFrame({"track": ["a", "b"], "genre": ["jazz", "rock"]})
    likely = pd.DataFrame({"jazz": [0.8, 0.6], "rock": [0.2, np.nan]})
    with pytest.raises(ValueError, match=r"some probabilities.* are missing"):
        Predictions(table, likely)
    with pytest.raises(ValueError, match=r"have \[2, 1, 2\] rows"):
        Predictions(table, likely[:1])
    with pytest.raises(ValueError, match=r"no column of probabilities for \['rock'\]"):
        Predictions(table, likely[["jazz"]])


def test_predictions_are_joined_in_the_order_given():
    first = predict([1, 1], tracks=["b", "a"])
    first.runs["fold"] = 0
    second = predict([0, 1], tracks=["c", "a"])
    second.runs["fold"] = 1
    joined = metrics.concatenate([first, second])
    assert joined.table["track"].to_list() == ["b", "a", "c", "a"]
    assert joined.correct.tolist() == [True, True, False, True]
    assert joined.runs["fold"].to_list() == [0, 0, 1, 1]
    without_fold = predict([1, 1])
    with pytest.raises(ValueError, match="values of runs, are missing"):
        metrics.concatenate([first, without_fold])


def test_a_copy_can_be_selected_or_be_a_track_of_its_own():
    predictions = predict([1, 0, 1], [*"aab"], [None, None, "Queen"])
    predictions.table["augmentation"] = ["original", "noise", "original"]
    predictions.table["replica_of"] = [None, None, "a"]
    assert predictions.select_copies(["noise"]).correct.tolist() == [False]
    table = predictions.per_copy().table
    assert table["track"].to_list() == ["a, original", "a, noise", "b, original"]
    assert table["artist"].to_list() == ["Queen"] * 3
    assert predictions.table["track"].to_list() == [*"aab"]


def test_a_track_gets_the_genre_of_the_highest_mean_probability():
    table = pd.DataFrame({"track": [*"babb"]}, index=[7, 3, 9, 1])
    table["genre"] = ["rock", "jazz", "rock", "rock"]
    # Two of three segments of b are predicted as jazz, but the third is more certain.
    likely = pd.DataFrame({"jazz": [0.6, 0.2, 0.6, 0.1]})
    likely["rock"] = 1 - likely["jazz"]
    predictions = Predictions(table, likely)
    assert predictions.correct.tolist() == [False, False, False, True]
    votes = metrics.track_vote(predictions)
    assert votes.table["track"].to_list() == ["a", "b"]
    assert votes.correct.tolist() == [False, True]
    rock = votes.probabilities["rock"].to_list()
    assert rock == pytest.approx([0.8, 1.7 / 3])


@pytest.mark.parametrize("k", [0, 8, 200, 386, 400])
def test_the_interval_of_independent_rows_is_wilsons(k):
    rows = np.arange(400)
    interval = metrics.accuracy_interval(rows < k, rows)
    expected = binomtest(k, 400).proportion_ci(method="wilson")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-3)


@pytest.mark.parametrize(
    ("correct", "groups", "interval"),
    [
        # The effective sample size is 4; Student's t is 12.7.
        ([1, 1, 1, 0, 0, 0, 0, 1], [*"aaaabbbb"], (0.0061, 0.9939)),
        # For groups that agree: 1 / (1 + t² / n).
        ([1] * 20, [*range(5)] * 4, (0.3934, 1)),
        ([1, 1, 1, 0], [*"aaaa"], (0, 1)),
    ],
)
def test_intervals_known_by_hand(correct, groups, interval):
    found = metrics.accuracy_interval(correct, groups)
    assert found == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize("groups", [[], ["a", None]])
def test_an_interval_without_rows_or_groups_is_refused(groups):
    with pytest.raises(ValueError, match="each row needs a group"):
        metrics.accuracy_interval([1] * len(groups), groups)


def test_scores_and_their_intervals_are_those_computed_by_hand():
    rows = """
        track    genre  artist  blues  jazz  rock
        blues.1  blues  A       0.9    0.1   0.0
        blues.1  blues  A       0.2    0.8   0.0
        blues.2  blues  A       0.1    0.9   0.0
        rock.2   rock   NaN     0.9    0.0   0.1
        rock.1   rock   B       0.0    0.1   0.9
        rock.1   rock   B       0.6    0.3   0.1
        rock.3   rock   B       0.1    0.0   0.9
    """
    table = pd.read_csv(io.StringIO(rows), sep=r"\s+")
    predictions = Predictions(table, table[["blues", "jazz", "rock"]])
    scores = metrics.scores(predictions, by="artist")
    # rock.2, whose artist is unknown, is a group of its own.
    segments = [1, 0, 0, 0, 1, 0, 1]
    interval = metrics.accuracy_interval(segments, [*"AAA2BBB"])
    assert scores.pop("segment_interval") == interval
    tracks = [1, 0, 1, 0, 1]
    interval = metrics.accuracy_interval(tracks, [*"AAB2B"])
    assert scores.pop("track_interval") == interval
    # By track, blues.1 has 0.55 for blues; blues.2 and rock.2 are wrong.
    # Jazz is predicted, but not tested.
    expected = {
        "segment_accuracy": 3 / 7,
        "track_accuracy": 3 / 5,
        "balanced_accuracy": (1 / 2 + 2 / 3) / 2,
        "macro_f1": (1 / 2 + 4 / 5) / 2,
        "majority": 3 / 5,
        "genres": 2,
        "tracks": 5,
        "groups": 3,
        "segments": 7,
    }
    assert scores == pytest.approx(expected)


def test_scores_of_several_seeds_are_means_over_the_seeds():
    table = pd.DataFrame({"track": [*"abcd"] * 2, "genre": [*"jjrr"] * 2})
    # The first seed predicts only j, the second only r.
    seed = np.repeat([0, 1], 4)
    likely = pd.DataFrame({"j": 1 - seed, "r": seed})
    runs = pd.DataFrame({"seed": seed})
    scores = metrics.scores(Predictions(table, likely, runs))
    # Four tracks that agree: each is correct for one of two seeds.
    interval = pytest.approx((0.0767, 0.9233), abs=1e-4)
    assert scores.pop("track_interval") == interval
    assert scores.pop("segment_interval") == interval
    expected = {
        "segment_accuracy": 0.5,
        "track_accuracy": 0.5,
        "balanced_accuracy": 0.5,
        "macro_f1": 1 / 3,
        "majority": 0.5,
        "genres": 2,
        "tracks": 4,
        "groups": 4,
        "segments": 4,
        "least": 0.5,
        "greatest": 0.5,
    }
    assert scores == pytest.approx(expected)


def test_the_difference_is_of_the_same_tracks_in_any_order_each_counted_once():
    model = predict([1, 1, 1, 1, 0, 0], tracks=[*"aaabcd"])
    other = predict([1, 0, 1, 0, 0, 0], tracks=[*"dcbaaa"])
    # Better for a, worse for d; for four tracks, the interval is as wide as possible.
    assert metrics.paired_interval(model, other) == (0, -1, 1)


@pytest.mark.parametrize(("n", "half"), [(1, 0.975), (36, 0.0974)])
def test_the_interval_of_models_that_never_differ_is_exact(n, half):
    model = predict([1, 0] * n, artists=np.repeat(range(n), 2))
    difference, low, high = metrics.paired_interval(model, model, by="artist")
    assert difference == 0
    assert low == -high
    assert high == pytest.approx(half, abs=1e-4)


def test_the_paired_interval_is_students_of_artists():
    # The other model is wrong for two tracks of the first artist, one of the second.
    artists = np.repeat(range(10), 2)
    model = predict([1] * 20, artists=artists)
    other = predict([0] * 3 + [1] * 17, artists=artists)
    expected = ttest_1samp([1, 0.5] + [0] * 8, 0).confidence_interval()
    found = metrics.paired_interval(model, other, by="artist")
    assert found == pytest.approx((0.15, *expected))


def test_models_tested_on_other_tracks_or_genres_are_not_compared():
    model = predict([1, 1, 0], tracks=[*"abc"])
    other_track = predict([1, 1, 0], tracks=[*"abd"])
    other_genre = Predictions(model.table.assign(genre="rock"), model.probabilities)
    for other in (other_track, other_genre):
        with pytest.raises(ValueError, match="not tested on the same tracks"):
            metrics.paired_interval(model, other)


def test_tracks_that_only_one_of_two_models_was_tested_on_are_left_out():
    model = predict([1, 1, 0, 1], tracks=[*"aabc"])
    other = predict([1, 0, 0], tracks=[*"bcd"])
    two = metrics.on_common_tracks(model, other)
    assert [each.table["track"].tolist() for each in two] == [["b", "c"]] * 2
    assert metrics.paired_interval(*two)[0] == 0


@pytest.mark.parametrize(
    ("n_artists", "significant"), [(1, False), (5, False), (6, True)]
)
def test_models_that_always_differ_differ_significantly_for_six_artists(
    n_artists, significant
):
    # As in a sign test: 2 * 0.5 ** 5 is above 0.05, and 2 * 0.5 ** 6 is below.
    artists = [*range(n_artists)]
    model = predict([1] * n_artists, artists=artists)
    other = predict([0] * n_artists, artists=artists)
    difference, low, _ = metrics.paired_interval(model, other, by="artist")
    assert difference == 1
    assert (low > 0) == significant
