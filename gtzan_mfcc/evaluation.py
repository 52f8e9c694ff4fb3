"""Predictions to scores: by segment, by genre, by track, in k folds, with intervals."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from gtzan_mfcc import features, splits
from gtzan_mfcc._disk import aside
from gtzan_mfcc._progress import bar

if TYPE_CHECKING:  # Counting must not wait for TensorFlow.
    import keras

    from gtzan_mfcc.extraction import Segments

FACTS = ("track", "genre", "artist", "segment", "augmentation", "fold", "fit_seconds")
"""Columns of `cross_validate`'s predictions that stand before those of the genres."""


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


def nearest_rows(segments: "Segments", train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Find for each tested segment the most similar one of the training part.

    By the Euclidean distance between the `gtzan_mfcc.features.mfcc_statistics` of two
    segments, each standardised over the training part.

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    train, test : np.ndarray [dtype=int]
        Rows, from `gtzan_mfcc.splits`.

    Returns
    -------
    nearest : np.ndarray [shape=(len(test),), dtype=int]
        Rows out of `train`.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    known, asked = (features.mfcc_statistics(segments.mfcc[rows]) for rows in (train, test))
    scaler = StandardScaler().fit(known)
    finder = NearestNeighbors(n_neighbors=1).fit(scaler.transform(known))
    return train[finder.kneighbors(scaler.transform(asked), return_distance=False)[:, 0]]


def paired_interval(
    predictions: pd.DataFrame, other: pd.DataFrame, *, by: str = "track", seed: int = 0
) -> tuple[float, float, float]:
    """Difference in track accuracy of two models on the same tracks, with its 95 % interval.

    Both models get the same bootstrap samples, so that what makes a track hard for both does
    not widen the interval.

    Parameters
    ----------
    predictions, other : pd.DataFrame
        From `cross_validate`, of the same tracks.
    by : str
        ``"track"`` or ``"artist"``: what the bootstrap draws.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    difference, low, high : float
        Accuracy of `predictions` less that of `other`, and the interval; 0.05 is five points.

    Raises
    ------
    ValueError
        If the two are not of the same tracks.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    (votes, groups), (other_votes, _) = _votes(predictions, by), _votes(other, by)
    if not votes.index.equals(other_votes.index):
        raise ValueError("the two models were not tested on the same tracks.")
    right, other_right = (each["genre"] == each["predicted"] for each in (votes, other_votes))
    difference = right.to_numpy(float) - other_right.to_numpy(float)
    low, high = bootstrap_interval(difference, groups, seed=seed)
    return float(difference.mean()), low, high


def cross_validate(
    fit_model: Callable[["Segments", np.ndarray], object],
    segments: "Segments",
    folds: Sequence[splits.Split],
    *,
    keep: str | Path,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and test once a fold, and gather the predictions; goes on after a stop.

    Parameters
    ----------
    fit_model : callable
        Called with the segments and the rows to train on; gives a trained Keras model or
        scikit-learn classifier with a ``decision_function``. One of those in
        `gtzan_mfcc.recipes`, a ``functools.partial`` of one, or your own.
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    folds : sequence of (train, test)
        From `gtzan_mfcc.splits.folds`, or a list with a single split.
    keep : str or Path
        Folder in which the predictions of each fold are kept as soon as it is done. They
        are read, not made again, as long as the name and arguments of `fit_model`, the
        segments, the fold and the packages are the same. A change inside `fit_model` is
        not noticed: delete the folder then.
    progress : bool
        Show a progress bar.

    Returns
    -------
    predictions : pd.DataFrame
        One row a tested segment: `FACTS` (``fit_seconds`` is the time its fold's training
        took), then one column a genre: probabilities, or an SVM's decision values.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    keep = Path(keep)
    keep.mkdir(parents=True, exist_ok=True)
    made_by = _key(fit_model, segments)
    done = []
    for number, (train, test) in enumerate(bar(folds, "fold", progress)):
        rows = json.dumps([train.tolist(), test.tolist()]).encode()
        path = keep / f"fold-{number}-{hashlib.sha256(made_by + rows).hexdigest()[:16]}.npz"
        if not path.is_file():
            tested = _test_once(fit_model, segments, train, test)
            with aside(path) as unfinished:
                np.savez(unfinished, **tested)
        with np.load(path) as kept:
            table = segments.table.iloc[test].assign(fold=number, fit_seconds=kept["fit_seconds"])
            by_genre = pd.DataFrame(kept["scores"], table.index, segments.genres)
        done.append(pd.concat([table[list(FACTS)], by_genre], axis=1))
    return pd.concat(done, ignore_index=True)


def inner_accuracy(predictions: pd.DataFrame) -> list[float]:
    """Track accuracy, for each fold, on the neighbouring folds: to choose a model for it by.

    Parameters
    ----------
    predictions : pd.DataFrame
        From `cross_validate` on `gtzan_mfcc.splits.inner_folds`.

    Returns
    -------
    accuracies : list of float
        For each fold: of tracks of the folds before and after it, by models that have
        trained on neither those nor the fold itself.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    votes = [_votes(each, "track")[0] for _, each in predictions.groupby("fold")]
    accuracies = []
    for number, own in enumerate(votes):
        # Split i holds the tracks of the folds i and i + 1, split i - 1 those of i - 1 and i.
        before, after = votes[number - 1], votes[(number + 1) % len(votes)]
        validated = pd.concat(
            [before[~before.index.isin(own.index)], own[own.index.isin(after.index)]]
        )
        accuracies.append((validated["genre"] == validated["predicted"]).mean())
    return accuracies


def scores(predictions: pd.DataFrame, *, by: str = "track", seed: int = 0) -> dict:
    """Accuracy by segment and by track, balanced accuracy and macro F1 of a set of folds.

    Parameters
    ----------
    predictions : pd.DataFrame
        From `cross_validate`.
    by : str
        ``"track"`` or ``"artist"``: what the bootstrap of the intervals draws.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    scores : dict
        ``segment_accuracy``, ``track_accuracy``, ``segment_interval`` and
        ``track_interval`` (95 %), ``balanced_accuracy`` and ``macro_f1`` (by track, over
        the genres that were tested), ``tracks``, ``segments``.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    genres = list(predictions.columns[len(FACTS) :])
    best = predictions[genres].to_numpy().argmax(axis=1)
    segment_right = np.array(genres)[best] == predictions["genre"].to_numpy()
    votes, groups = _votes(predictions, by)
    track_right = (votes["genre"] == votes["predicted"]).to_numpy()
    labels, predicted = (pd.Categorical(votes[c], genres).codes for c in ("genre", "predicted"))
    report = genre_report(labels, predicted, genres).loc[sorted(set(votes["genre"]))]
    return {
        "segment_accuracy": segment_right.mean(),
        "segment_interval": bootstrap_interval(
            segment_right, splits.group(predictions, by), seed=seed
        ),
        "track_accuracy": track_right.mean(),
        "track_interval": bootstrap_interval(track_right, groups, seed=seed),
        "balanced_accuracy": report["recall"].mean(),
        "macro_f1": report["f1-score"].mean(),
        "tracks": len(votes),
        "segments": len(predictions),
    }


def _votes(predictions: pd.DataFrame, by: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Vote by track; and name the group with which a bootstrap draws each track."""
    genres = list(predictions.columns[len(FACTS) :])
    votes = track_vote(predictions, predictions[genres].to_numpy(), genres)
    groups = pd.Series(splits.group(predictions, by), predictions["track"])
    return votes, groups[~groups.index.duplicated()].loc[votes.index].to_numpy()


def _test_once(
    fit_model: Callable, segments: "Segments", train: np.ndarray, test: np.ndarray
) -> dict[str, object]:
    started = time.perf_counter()
    model = fit_model(segments, train)
    seconds = round(time.perf_counter() - started, 2)
    return {"scores": _genre_scores(model, segments, test), "fit_seconds": seconds}


def _genre_scores(model: object, segments: "Segments", rows: np.ndarray) -> np.ndarray:
    """Probabilities of a network, decision values of a scikit-learn classifier."""
    mfcc = segments.mfcc[rows]
    if not hasattr(model, "decision_function"):
        return model.predict(mfcc, verbose=0)
    values = model.decision_function(mfcc)
    if values.ndim == 1:  # scikit-learn's way with two classes
        values = np.stack([-values, values], axis=1)
    # Genres of which there was nothing to train on have no column.
    by_genre = np.full((len(rows), len(segments.genres)), -np.inf)
    by_genre[:, model.classes_] = values
    return by_genre


def _key(fit_model: Callable, segments: "Segments") -> bytes:
    """Hash all that a fold's predictions depend on, but its rows."""
    function = getattr(fit_model, "func", fit_model)
    name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    versions = [version(package) for package in ("keras", "numpy", "scikit-learn")]
    made_by = [name, getattr(fit_model, "keywords", {}), versions, segments.mfcc.shape]
    key = hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode())
    key.update(segments.table.to_csv().encode())
    key.update(np.ascontiguousarray(segments.mfcc))
    return key.digest()
