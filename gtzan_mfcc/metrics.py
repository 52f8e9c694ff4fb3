"""Metrics of predictions: reports by genre, votes of tracks, accuracies with intervals.

Conventions
-----------
Labels are names of genres. Segments of one track, and tracks of one artist, are not
independent; so intervals are computed over *groups*, such as artists. All intervals are
95 % confidence intervals, and all shares are from 0 to 1.

Metrics
-------
* :class:`Predictions`: what a model predicts; :func:`concatenate` joins several.
* :func:`genre_report`: precision, recall and F1 of each genre.
* :func:`genre_confusion`: the confusion matrix.
* :func:`track_vote`: from predictions of segments to predictions of tracks.
* :func:`accuracy_interval`: the interval of an accuracy.
* :func:`paired_interval`: the difference of two models on the same tracks.
* :func:`scores`: all numbers of one model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.stats import t as student_t
from sklearn.metrics import (
    classification_report,
    confusion_matrix,
    precision_recall_fscore_support,
)

from gtzan_mfcc import splits
from gtzan_mfcc._tables import any_file_names, row_positions


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model predicts for segments, or for tracks, of which the genre is known.

    Parameters
    ----------
    table : pd.DataFrame
        One row per segment: the columns of `gtzan_mfcc.extraction.Segments`, at least
        ``track`` and ``genre``.
    probabilities : pd.DataFrame [shape=(n, n_genres)]
        The probability of each genre; the columns are the genres. For a classifier
        without probabilities, its decision values.
    runs : pd.DataFrame
        How each row was predicted: ``fold``, ``seed`` and ``fit_seconds``, the training
        time; any of them may be missing.

    Raises
    ------
    ValueError
        If the tables have different numbers of rows, a probability or a value of `runs`
        is missing, or a genre of the table is not a column of the probabilities.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this class.

    Examples
    --------
    >>> table = pd.DataFrame({"track": ["a", "b"], "genre": ["jazz", "rock"]})
    >>> likely = pd.DataFrame({"jazz": [0.8, 0.6], "rock": [0.2, 0.4]})
    >>> predictions = Predictions(table, likely)
    >>> predictions.predicted.tolist(), predictions.correct.tolist()
    (['jazz', 'jazz'], [True, False])
    """

    table: pd.DataFrame
    probabilities: pd.DataFrame
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        """Check that the rows of the tables belong together, and number them anew."""
        table = self.table.reset_index(drop=True)
        probabilities = self.probabilities.reset_index(drop=True).rename(columns=str)
        runs = self.runs.reset_index(drop=True)
        if runs.empty:
            runs = pd.DataFrame(index=table.index)
        n_rows = [len(table), len(probabilities), len(runs)]
        if len(set(n_rows)) > 1:
            raise ValueError(f"table, probabilities and runs have {n_rows} rows.")
        if pd.concat([probabilities, runs], axis=1).isna().any(axis=None):
            raise ValueError("some probabilities, or some values of runs, are missing.")
        unknown = set(table["genre"].astype(str)) - set(probabilities)
        if unknown:
            raise ValueError(f"no column of probabilities for {sorted(unknown)}.")
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "runs", runs)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.table)

    @property
    def genres(self) -> list[str]:
        """Names of the genres that can be predicted."""
        return list(self.probabilities)

    @property
    def true(self) -> pd.Series:
        """Name of the true genre of each row."""
        return self.table["genre"].astype(str)

    @property
    def predicted(self) -> pd.Series:
        """Name of the most probable genre of each row."""
        return self.probabilities.idxmax(axis=1).rename("predicted")

    @property
    def correct(self) -> np.ndarray:
        """Whether the most probable genre is the true one [shape=(n,), dtype=bool]."""
        return (self.predicted == self.true).to_numpy()

    def select(self, rows: np.ndarray) -> "Predictions":
        """Select rows by a boolean mask or by positions."""
        rows = row_positions(rows, self.table)
        return Predictions(
            self.table.iloc[rows], self.probabilities.iloc[rows], self.runs.iloc[rows]
        )

    def select_copies(self, names: Sequence[str]) -> "Predictions":
        """Select the rows of these copies, such as ``["original"]``."""
        return self.select(self.table["augmentation"].isin(names))

    def per_copy(self) -> "Predictions":
        """Let each copy of a track be a track of its own, by the same artist."""
        table = self.table.assign(artist=splits.group(self.table, "artist"))
        table["track"] += ", " + table["augmentation"].astype(str)
        return replace(self, table=table.drop(columns="replica_of", errors="ignore"))


def concatenate(predictions: Sequence[Predictions]) -> Predictions:
    """Join predictions, such as those of several folds or seeds.

    Parameters
    ----------
    predictions : sequence of Predictions
        At least one; with the same genres, and the same columns of ``runs``.

    Returns
    -------
    joined : Predictions
        All rows, in the order given.

    Raises
    ------
    ValueError
        If the genres or the columns of ``runs`` differ.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": ["a"], "genre": ["jazz"]})
    >>> likely = pd.DataFrame({"jazz": [0.8], "rock": [0.2]})
    >>> one = Predictions(table, likely)
    >>> len(concatenate([one, one]))
    2
    """
    return Predictions(
        pd.concat([each.table for each in predictions]),
        pd.concat([each.probabilities for each in predictions]),
        pd.concat([each.runs for each in predictions]),
    )


def on_common_tracks(
    predictions: Predictions, other: Predictions
) -> tuple[Predictions, Predictions]:
    """Select the tracks that both models were tested on, for `paired_interval`.

    Parameters
    ----------
    predictions, other : Predictions
        Such as those of two splits, of which one cannot test all tracks.

    Returns
    -------
    predictions, other : Predictions
        The rows of the tracks that are in both.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": ["a", "b"], "genre": ["jazz", "jazz"]})
    >>> both = Predictions(table, pd.DataFrame({"jazz": [0.8, 0.6]}))
    >>> len(on_common_tracks(both, both.select([1]))[0])
    1
    """
    return (
        predictions.select(predictions.table["track"].isin(other.table["track"])),
        other.select(other.table["track"].isin(predictions.table["track"])),
    )


def _as_indices(true, predicted, genres):
    """Return the genres, and the labels as indices into them."""
    true = list(true)
    predicted = list(predicted)
    labels = {*true, *predicted}
    genres = sorted(labels) if genres is None else list(genres)
    unknown = labels.difference(genres)
    if unknown:
        raise ValueError(
            f"labels {sorted(unknown, key=str)} are not among the genres {genres}."
        )
    index = pd.Index(genres)
    return genres, index.get_indexer(true), index.get_indexer(predicted)


def _mean_of_groups(values, groups):
    """Compute the mean of rows in groups, its variance, and the number of groups."""
    values = np.asarray(values, dtype=float)
    groups = np.asarray(groups)
    if len(values) == 0 or pd.isna(groups).any():
        raise ValueError("each row needs a group, and there must be a row.")
    mean = values.mean()
    deviations = pd.Series(values - mean).groupby(groups).sum().to_numpy()
    n = len(deviations)
    variance = n / max(n - 1, 1) * np.sum(deviations**2) / len(values) ** 2
    if variance < 1e-20:  # A rounding error.
        variance = 0.0
    return float(mean), float(variance), n


def genre_report(
    true: Sequence, predicted: Sequence, genres: Sequence | None = None
) -> pd.DataFrame:
    """Compute precision, recall and F1 of each genre, and their means.

    Parameters
    ----------
    true, predicted : sequence [shape=(n,)]
        The true and the predicted label of each row, such as names of genres.
    genres : sequence, optional
        All labels, in the order in which they are to be shown; by default those that
        occur, sorted.

    Returns
    -------
    report : pd.DataFrame
        One row per genre, then ``macro avg`` (each genre has the same weight) and
        ``weighted avg`` (each row has the same weight), with the columns ``precision``,
        ``recall``, ``f1-score`` and ``support`` (number of rows). A genre that is never
        predicted has precision 0.

    Raises
    ------
    ValueError
        If a label is not in `genres`.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> genre_report(["jazz", "jazz", "rock"], ["jazz", "rock", "rock"]).round(2)
                  precision  recall  f1-score  support
    jazz               1.00    0.50      0.67      2.0
    rock               0.50    1.00      0.67      1.0
    macro avg          0.75    0.75      0.67      3.0
    weighted avg       0.83    0.67      0.67      3.0
    """
    genres, true, predicted = _as_indices(true, predicted, genres)
    # By number, because a genre may be called "accuracy".
    report = classification_report(
        true,
        predicted,
        labels=range(len(genres)),
        output_dict=True,
        zero_division=0,
    )
    del report["accuracy"]
    table = pd.DataFrame.from_dict(report, orient="index")
    return table.set_axis([*genres, "macro avg", "weighted avg"])


def genre_confusion(
    true: Sequence,
    predicted: Sequence,
    genres: Sequence | None = None,
    *,
    normalise: bool = False,
) -> pd.DataFrame:
    """Compute the confusion matrix.

    Parameters
    ----------
    true, predicted, genres
        As for `genre_report`.
    normalise : bool
        Divide each row by its sum.

    Returns
    -------
    confusion : pd.DataFrame
        One row per true genre, one column per predicted genre: counts, or shares of the
        true genre.

    Raises
    ------
    ValueError
        If a label is not in `genres`.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> genre_confusion(["jazz", "jazz", "rock"], ["jazz", "rock", "rock"])
    predicted genre  jazz  rock
    true genre
    jazz                1     1
    rock                0     1
    """
    genres, true, predicted = _as_indices(true, predicted, genres)
    counts = confusion_matrix(
        true,
        predicted,
        labels=range(len(genres)),
        normalize="true" if normalise else None,
    )
    return pd.DataFrame(
        counts,
        index=pd.Index(genres, name="true genre"),
        columns=pd.Index(genres, name="predicted genre"),
    )


@any_file_names
def track_vote(predictions: Predictions) -> Predictions:
    """Predict the genre of each track by the mean probability over its segments.

    Parameters
    ----------
    predictions : Predictions
        One row per segment. With a column ``seed`` in ``runs``, tracks vote once per
        seed.

    Returns
    -------
    votes : Predictions
        One row per track, or per seed and track, sorted. The facts about a track are
        those of its first segment.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": ["a", "a"], "genre": ["jazz", "jazz"]})
    >>> likely = pd.DataFrame({"jazz": [0.9, 0.4], "rock": [0.1, 0.6]})
    >>> track_vote(Predictions(table, likely)).probabilities
       jazz  rock
    0  0.65  0.35
    """
    track = predictions.table["track"].astype(object)
    vote = track.groupby([_seeds(predictions), track]).ngroup().to_numpy()
    first = np.unique(vote, return_index=True)[1]
    facts = predictions.table.drop(columns=["segment", "start"], errors="ignore")
    return Predictions(
        facts.iloc[first],
        predictions.probabilities.groupby(vote).mean(),
        predictions.runs.iloc[first],
    )


def accuracy_interval(correct: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % confidence interval of an accuracy, for rows in groups.

    Segments of one track, or tracks of one artist, are not independent: they are often
    all correct or all wrong. So the interval uses the effective sample size: the number
    of independent rows that would have the same variance. With this number, it is
    Wilson's interval, with a quantile of Student's t. If all rows are correct or all
    are wrong, each group counts as one row, and the interval does not shrink to a
    point, as that of a bootstrap does.

    Parameters
    ----------
    correct : np.ndarray [shape=(n,), dtype=bool]
        Whether the prediction of each row is correct.
    groups : np.ndarray [shape=(n,)]
        The track (or artist) of each row.

    Returns
    -------
    low, high : float
        Between 0 and 1. For a single group, 0 and 1.

    Raises
    ------
    ValueError
        If there are no rows, or a row has no group.

    References
    ----------
    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data", Survey Methodology
    24 (1998). N. Dean and M. Pagano, "Evaluating confidence interval methods for
    binomial proportions in clustered surveys", Journal of Survey Statistics and
    Methodology 3 (2015).

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> low, high = accuracy_interval(np.arange(100) < 90, np.arange(100))
    >>> round(low, 2), round(high, 2)
    (0.82, 0.95)
    """
    accuracy, variance, n_groups = _mean_of_groups(correct, groups)
    if n_groups == 1:
        # A single group says nothing about others.
        return 0.0, 1.0
    if variance == 0:
        # All groups agree: each counts as one row.
        n = n_groups
    else:
        # The effective sample size of Korn and Graubard.
        n = min(accuracy * (1 - accuracy) / variance, len(correct))
    t = student_t.ppf(0.975, n_groups - 1)
    # Wilson's score interval for n independent rows.
    middle = (accuracy + t**2 / (2 * n)) / (1 + t**2 / n)
    spread = np.sqrt(accuracy * (1 - accuracy) / n + t**2 / (4 * n**2))
    half = t / (1 + t**2 / n) * spread
    return float(max(0, middle - half)), float(min(1, middle + half))


def paired_interval(
    predictions: Predictions, other: Predictions, *, by: str = "track"
) -> tuple[float, float, float]:
    """Compute the difference in track accuracy of two models, with its 95 % interval.

    Both models are tested on the same tracks. The interval is Student's, of the
    differences per group, so tracks that are difficult for both models do not widen it.
    If the models never differ, it is the exact (Clopper-Pearson) interval of the share
    of groups that may differ.

    Parameters
    ----------
    predictions, other : Predictions
        Of the same tracks (and seeds).
    by : str
        The groups: a column of the table, such as ``"track"`` or ``"artist"``.

    Returns
    -------
    difference, low, high : float
        Accuracy of `predictions` minus that of `other`, and the interval; 0.05 is five
        points. The difference is significant if the interval excludes 0.

    Raises
    ------
    ValueError
        If the two have different tracks, or different genres of a track.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": list("abcd"), "genre": ["jazz"] * 4})
    >>> likely = pd.DataFrame({"jazz": [0.9] * 4, "rock": [0.1] * 4})
    >>> other = pd.DataFrame({"jazz": [0.9] * 3 + [0.1], "rock": [0.1] * 3 + [0.9]})
    >>> paired_interval(Predictions(table, likely), Predictions(table, other))[0]
    0.25
    """
    votes = track_vote(predictions)
    other_votes = track_vote(other)
    if not _rows(votes).equals(_rows(other_votes)):
        raise ValueError("the two models were not tested on the same tracks.")
    differences = votes.correct.astype(float) - other_votes.correct
    groups = splits.group(votes.table, by)
    difference, variance, n_groups = _mean_of_groups(differences, groups)
    if variance == 0:
        # All groups agree: Clopper and Pearson's limit of the share that may differ,
        # times the largest change of a group that differs.
        half = (1 - 0.025 ** (1 / n_groups)) * (1 + abs(difference))
    else:
        half = student_t.ppf(0.975, n_groups - 1) * np.sqrt(variance)
    low = max(-1, difference - half)
    high = min(1, difference + half)
    return difference, float(low), float(high)


def scores(predictions: Predictions, *, by: str = "track") -> dict:
    """Compute accuracy by segment and by track, balanced accuracy and macro F1.

    Parameters
    ----------
    predictions : Predictions
        One row per segment; with a column ``seed`` in ``runs`` if there are several
        seeds.
    by : str
        The groups for the intervals: a column of the table, such as ``"track"`` or
        ``"artist"``.

    Returns
    -------
    scores : dict
        ``segment_accuracy``, ``track_accuracy``, ``segment_interval`` and
        ``track_interval`` (95 %), ``balanced_accuracy`` and ``macro_f1`` (by track,
        over the tested genres), ``majority`` (the share of the genre with most tracks),
        and the numbers of ``genres``, ``tracks``, ``segments`` and ``groups``. If no
        artist is known, each track is a group, and the interval is too narrow. For
        several seeds, the scores are means, and ``least`` and ``greatest`` are the
        lowest and highest track accuracy of a seed.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": list("abcd"), "genre": ["jazz", "rock"] * 2})
    >>> likely = pd.DataFrame({"jazz": [0.9, 0.2, 0.9, 0.9]})
    >>> likely["rock"] = 1 - likely["jazz"]
    >>> scores(Predictions(table, likely))["track_accuracy"]
    0.75
    """
    votes = track_vote(predictions)
    segment_groups = splits.group(predictions.table, by)
    track_groups = splits.group(votes.table, by)
    seeds = _seeds(votes)
    of_seeds = pd.DataFrame(
        [_scores_of_seed(votes.select(seeds == seed)) for seed in seeds.unique()]
    )
    result = {
        "segment_accuracy": float(predictions.correct.mean()),
        "segment_interval": accuracy_interval(predictions.correct, segment_groups),
        "track_accuracy": float(votes.correct.mean()),
        "track_interval": accuracy_interval(votes.correct, track_groups),
        "balanced_accuracy": of_seeds["recall"].mean(),
        "macro_f1": of_seeds["f1"].mean(),
        "majority": votes.true.value_counts(normalize=True).max(),
        "genres": votes.true.nunique(),
        "tracks": len(votes) // len(of_seeds),
        "groups": len(set(track_groups)),
        "segments": len(predictions) // len(of_seeds),
    }
    if "seed" in votes.runs:
        result["least"] = of_seeds["accuracy"].min()
        result["greatest"] = of_seeds["accuracy"].max()
    return result


def _seeds(predictions):
    """Return the seed of each row; 0 if there is none."""
    return predictions.runs.get("seed", pd.Series(0, predictions.table.index))


def _rows(votes):
    """Name the rows of votes."""
    names = votes.table[["track"]].assign(genre=votes.true, seed=_seeds(votes))
    return names.astype(object)


def _scores_of_seed(votes):
    """Compute accuracy, and the means of recall and F1 over the tested genres."""
    _, recall, f1, _ = precision_recall_fscore_support(
        votes.true,
        votes.predicted,
        labels=votes.true.unique(),
        average="macro",
        zero_division=0,
    )
    return {"accuracy": votes.correct.mean(), "recall": recall, "f1": f1}
