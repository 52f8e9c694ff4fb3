"""Predictions to scores: by segment, by genre, by track, with confidence intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report, confusion_matrix

if TYPE_CHECKING:  # Counting must not wait for TensorFlow.
    import keras

    from gtzan_mfcc.extraction import Segments


def correct_segments(
    model: "keras.Model", segments: "Segments", rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which segments a model gets right, and what tracks they are of.

    Parameters
    ----------
    model : keras.Model
        A trained model on MFCCs.
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    rows : np.ndarray [shape=(n,), dtype=int]
        Positions of the segments to predict.

    Returns
    -------
    correct : np.ndarray [shape=(n,), dtype=bool]
    tracks : np.ndarray [shape=(n,)]
        Track of each row, for `bootstrap_interval`.

    See Also
    --------
    Notebook ``4_cnn_training`` introduces this helper.
    """
    predicted = model.predict(segments.mfcc[rows], verbose=0).argmax(axis=1)
    return predicted == segments.labels[rows], segments.table["track"].to_numpy()[rows]


def genre_report(labels: np.ndarray, predicted: np.ndarray, genres: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each genre, and their means.

    Parameters
    ----------
    labels, predicted : np.ndarray [shape=(n,), dtype=int]
        True and predicted genre of each row, as indices into `genres`.
    genres : sequence of str
        Names of the genres, in the order of the labels.

    Returns
    -------
    report : pd.DataFrame
        One row a genre, then ``macro avg`` (every genre counts the same) and
        ``weighted avg`` (every row counts the same), with the columns ``precision``,
        ``recall``, ``f1-score`` (0 to 1) and ``support`` (rows). A genre that is never
        predicted has precision 0.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    report = classification_report(
        labels,
        predicted,
        labels=range(len(genres)),
        target_names=genres,
        output_dict=True,
        zero_division=0,
    )
    # scikit-learn adds "accuracy" or "micro avg", depending on which genres occur.
    return pd.DataFrame(report).T.loc[[*genres, "macro avg", "weighted avg"]]


def genre_confusion(
    labels: np.ndarray, predicted: np.ndarray, genres: Sequence[str]
) -> pd.DataFrame:
    """Count how often each genre was taken for each other.

    Parameters
    ----------
    labels, predicted : np.ndarray [shape=(n,), dtype=int]
        True and predicted genre of each row, as indices into `genres`.
    genres : sequence of str
        Names of the genres, in the order of the labels.

    Returns
    -------
    confusion : pd.DataFrame
        Counts; one row a true genre, one column a predicted one, both in the order of
        `genres` and named by them.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    counts = confusion_matrix(labels, predicted, labels=range(len(genres)))
    return pd.DataFrame(
        counts,
        index=pd.Index(genres, name="true genre"),
        columns=pd.Index(genres, name="predicted genre"),
    )


def track_vote(
    table: pd.DataFrame, probabilities: np.ndarray, genres: Sequence[str]
) -> pd.DataFrame:
    """Give each track the genre with the highest mean probability over its segments.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment, with the columns ``track`` and ``genre``.
    probabilities : np.ndarray [shape=(n, n_genres)]
        The model's output for the same rows.
    genres : sequence of str
        Names of the genres, in the order of the columns of `probabilities`.

    Returns
    -------
    votes : pd.DataFrame
        Indexed by track: ``genre``, ``predicted``, and one column a genre with the mean
        probability.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    by_track = table["track"].to_numpy()
    mean = pd.DataFrame(probabilities, columns=list(genres)).groupby(by_track).mean()
    genre = table["genre"].astype(str).groupby(by_track).first()
    votes = mean.rename_axis("track")
    votes.insert(0, "genre", genre)
    votes.insert(1, "predicted", mean.idxmax(axis=1))
    return votes


def bootstrap_interval(
    correct: np.ndarray, groups: np.ndarray, *, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % confidence interval of an accuracy, from a bootstrap over whole groups.

    Segments of one track are right or wrong together, so resampling segments would make
    the interval too narrow; here whole tracks (or artists) are drawn with replacement.

    Parameters
    ----------
    correct : np.ndarray [shape=(n,), dtype=bool]
        Whether each row was predicted right.
    groups : np.ndarray [shape=(n,)]
        The track (or artist) of each row.
    n_resamples : int
        Number of bootstrap samples.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    low, high : float
        Between 0 and 1.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    by_group = pd.Series(np.asarray(correct, dtype=float)).groupby(np.asarray(groups))
    right, rows = by_group.sum().to_numpy(), by_group.size().to_numpy()
    drawn = np.random.default_rng(seed).integers(len(rows), size=(n_resamples, len(rows)))
    accuracy = right[drawn].sum(axis=1) / rows[drawn].sum(axis=1)
    low, high = np.quantile(accuracy, [0.025, 0.975])
    return float(low), float(high)
