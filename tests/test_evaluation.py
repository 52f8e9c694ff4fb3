import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.metrics import precision_recall_fscore_support

from gtzan_mfcc import dataset, evaluation, extraction, splits

# Python 3.10 gets a scikit-learn whose shuffled stratification may miss by a track.
OFF_BY = 0 if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8) else 1

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


@pytest.fixture
def segments() -> pd.DataFrame:
    """20 tracks of each of GTZAN's genres, 5 segments each, and an augmented copy of each."""
    rows = [
        (f"{genre}.{k:05d}", genre, segment, augmentation)
        for genre in dataset.GENRES
        for k in range(20)
        for augmentation in ("original", "white_noise")
        for segment in range(5)
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "segment", "augmentation"])
    return table.astype({"genre": "category"})


@pytest.mark.parametrize("test_size", [0.2, 0.25])
def test_segment_split_is_a_partition_of_the_rows(segments, test_size):
    train, test = splits.segment(segments, test_size=test_size)
    assert sorted([*train, *test]) == list(range(2000))
    assert len(test) == test_size * 2000


def test_segment_split_leaks(segments):
    train, test = (segments["track"].iloc[rows] for rows in splits.segment(segments))
    assert set(test) <= set(train)


@pytest.mark.parametrize("seed", range(5))
def test_track_split_keeps_each_track_on_one_side(segments, seed):
    train, test = splits.track(segments.sample(frac=1, random_state=seed), seed=seed)
    table = segments.sample(frac=1, random_state=seed)
    assert not set(table["track"].iloc[train]) & set(table["track"].iloc[test])
    assert set(table["augmentation"].iloc[test]) == {"original"}
    counts = table["augmentation"].iloc[train].value_counts()
    assert counts["original"] == counts["white_noise"] == 800
    assert len(test) == 200


@pytest.mark.parametrize("seed", range(5))
def test_track_split_has_the_same_share_of_every_genre(segments, seed):
    _, test = splits.track(segments, seed=seed)
    counts = segments.iloc[test].groupby("genre", observed=False)["track"].nunique()
    assert list(counts.index) == list(dataset.GENRES)
    assert (counts - 4).abs().max() <= OFF_BY


@pytest.mark.parametrize(("test_size", "n_tracks"), [(0.1, 20), (0.25, 50), (0.5, 100)])
def test_track_split_heeds_the_test_size(segments, test_size, n_tracks):
    _, test = splits.track(segments, test_size=test_size)
    assert segments["track"].iloc[test].nunique() == n_tracks


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("tracks_per_genre", [2, 3, 5, 10])
def test_track_split_of_a_small_corpus_works(segments, tracks_per_genre):
    small = segments[segments["track"].str[-5:].astype(int) < tracks_per_genre]
    train, test = splits.track(small)
    assert len(train) > len(test) > 0
    if tracks_per_genre >= 5 * (1 + OFF_BY):
        assert set(small["genre"].iloc[test]) == set(dataset.GENRES)


@pytest.mark.parametrize("split", [splits.segment, splits.track])
def test_the_seed_decides_the_split(segments, split):
    first, again, other = (split(segments, seed=seed)[1].tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("test_size", [0, 0.7, 1])
def test_track_split_refuses_impossible_shares(test_size):
    table = pd.DataFrame({"track": list("abcd"), "genre": "x", "augmentation": "original"})
    with pytest.raises(ValueError, match=r"above 0 and up to 0.5"):
        splits.track(table, test_size=test_size)


def test_track_split_says_how_many_tracks_it_needs():
    table = pd.DataFrame({"track": list("aabb"), "genre": "x", "augmentation": "original"})
    with pytest.raises(ValueError, match=r"2 tracks, .* at least 5"):
        splits.track(table, test_size=0.2)


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
