"""Predictions to scores: by segment, by genre, by track, in k folds, with intervals."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report, confusion_matrix

from gtzan_mfcc import dataset, splits
from gtzan_mfcc._disk import aside, package_versions, writing_to
from gtzan_mfcc._progress import bar

if TYPE_CHECKING:  # Counting must not wait for TensorFlow.
    from gtzan_mfcc.extraction import Segments


def genre_report(true: Sequence[str], predicted: Sequence[str], genres: list[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each genre, and their means.

    Parameters
    ----------
    true, predicted : sequence of str [shape=(n,)]
        Names of the true and the predicted genre of each row.
    genres : list of str
        Names of all genres, in the order in which they are to be shown.

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
        list(true), list(predicted), labels=genres, output_dict=True, zero_division=0
    )
    # scikit-learn adds "accuracy" or "micro avg", depending on which genres occur.
    return pd.DataFrame(report).T.loc[[*genres, "macro avg", "weighted avg"]]


def genre_confusion(
    true: Sequence[str], predicted: Sequence[str], genres: list[str]
) -> pd.DataFrame:
    """Count how often each genre was taken for each other.

    Parameters
    ----------
    true, predicted : sequence of str [shape=(n,)]
        Names of the true and the predicted genre of each row.
    genres : list of str
        Names of all genres, in the order in which they are to be shown.

    Returns
    -------
    confusion : pd.DataFrame
        Counts; one row a true genre, one column a predicted one, both in the order of
        `genres` and named by them.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    counts = confusion_matrix(list(true), list(predicted), labels=genres)
    return pd.DataFrame(
        counts,
        index=pd.Index(genres, name="true genre"),
        columns=pd.Index(genres, name="predicted genre"),
    )


def track_vote(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give each track the genre with the highest mean probability over its segments.

    Parameters
    ----------
    predictions : pd.DataFrame
        One row a segment, as `cross_validate` gives: ``track``, ``genre`` (categorical), and
        a column with the probability of each genre.

    Returns
    -------
    votes : pd.DataFrame
        Indexed by track: ``genre``, ``predicted``, and one column a genre with the mean
        probability.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    genres = list(predictions["genre"].cat.categories)
    by_track = predictions.groupby("track")
    votes = by_track[genres].mean()
    votes.insert(0, "genre", by_track["genre"].first().astype(str))
    votes.insert(1, "predicted", votes[genres].idxmax(axis=1))
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
    cache: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and test once a fold, and gather the predictions; goes on after a stop.

    Parameters
    ----------
    fit_model : callable
        Called with the segments and the rows to train on; gives a trained Keras model or
        scikit-learn classifier with a ``decision_function``. One of those in
        `gtzan_mfcc.training`, a ``functools.partial`` of one, or your own.
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    folds : sequence of (train, test)
        From `gtzan_mfcc.splits.folds`, or a list with a single split.
    cache : str or Path, optional
        A folder in which the predictions of each fold are kept as soon as it is done. They
        are read, not made again, as long as the name and arguments of `fit_model`, the
        segments, the fold and the packages are the same. A change inside `fit_model` is
        not noticed: delete the folder then. By default ``build/cache`` of the project.
    progress : bool
        Show a progress bar.

    Returns
    -------
    predictions : pd.DataFrame
        One row a tested segment: the columns of the table, ``fold``, ``fit_seconds`` (the time
        that the training of its fold took), then one column a genre: probabilities, or an
        SVM's decision values.

    Raises
    ------
    CacheError
        If `cache` cannot be written to; what was finished is kept.
    ValueError
        If `fit_model` is a lambda or takes settings from around it, which its name does not tell.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    folder = (Path(cache) if cache is not None else dataset.build_dir() / "cache") / "folds"
    made_by = _key(fit_model, segments)
    done = []
    for number, (train, test) in enumerate(bar(folds, "fold", progress)):
        rows = json.dumps([train.tolist(), test.tolist()]).encode()
        path = folder / f"{hashlib.sha256(made_by + rows).hexdigest()[:16]}.npz"
        if not path.is_file():
            tested = _test_once(fit_model, segments, train, test)
            with writing_to(folder), aside(path) as unfinished:
                np.savez(unfinished, **tested)
        with np.load(path) as kept:
            table = segments.table.iloc[test].assign(fold=number, fit_seconds=kept["fit_seconds"])
            by_genre = pd.DataFrame(kept["scores"], table.index, segments.genres)
        done.append(pd.concat([table, by_genre], axis=1))
    return pd.concat(done, ignore_index=True)


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
    genres = list(predictions["genre"].cat.categories)
    segment_right = (predictions[genres].idxmax(axis=1) == predictions["genre"]).to_numpy()
    votes, groups = _votes(predictions, by)
    track_right = (votes["genre"] == votes["predicted"]).to_numpy()
    report = genre_report(votes["genre"], votes["predicted"], genres)
    report = report.loc[sorted(set(votes["genre"]))]
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
    votes = track_vote(predictions)
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
    if not name[1] or "<lambda>" in name[1] or getattr(function, "__closure__", None):
        raise ValueError(
            "fit_model must be a function with a name and all its settings as arguments, or a "
            "functools.partial of one: by these its folds are kept."
        )
    arguments = getattr(fit_model, "args", ()), getattr(fit_model, "keywords", {})
    made_by = [name, arguments, package_versions(), segments.mfcc.shape, segments.genres]
    key = hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode())
    key.update(segments.table.to_csv().encode())
    key.update(np.ascontiguousarray(segments.mfcc))
    return key.digest()
