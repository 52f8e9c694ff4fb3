"""Cross-validation, and scores of predictions by segment, genre and track, with intervals."""

import inspect
import pickle
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy.stats import t as student_t
from sklearn.base import clone
from sklearn.metrics import classification_report, confusion_matrix

from gtzan_mfcc import augmentation, dataset, splits
from gtzan_mfcc._disk import aside, package_versions, writing_to
from gtzan_mfcc._progress import bar
from gtzan_mfcc.extraction import Segments

SPLITS = ("segment", "track", "artist", "fault_filtered")
"""The splits of a report card, from the weakest to the strictest."""

_UNTESTED = dict.fromkeys(("track_accuracy", "track_low", "track_high", "majority"), np.nan)


def genre_report(true: Sequence[str], predicted: Sequence[str], genres: list[str]) -> pd.DataFrame:
    """Compute precision, recall and F1 of each genre, and their means.

    Parameters
    ----------
    true, predicted : sequence of str [shape=(n,)]
        Names of the true and the predicted genre of each row.
    genres : list of str
        Names of all genres, in the order in which they are to be shown.

    Returns
    -------
    report : pd.DataFrame
        One row per genre, then ``macro avg`` (each genre has the same weight) and
        ``weighted avg`` (each row has the same weight), with the columns ``precision``,
        ``recall``, ``f1-score`` (0 to 1) and ``support`` (number of rows). A genre that is never
        predicted has precision 0.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    options = {"labels": genres, "output_dict": True, "zero_division": 0}
    report = classification_report(list(true), list(predicted), **options)
    # scikit-learn adds "accuracy" or "micro avg", depending on which genres occur.
    return pd.DataFrame(report).T.loc[[*genres, "macro avg", "weighted avg"]]


def genre_confusion(
    true: Sequence[str], predicted: Sequence[str], genres: list[str]
) -> pd.DataFrame:
    """Compute the confusion matrix.

    Parameters
    ----------
    true, predicted : sequence of str [shape=(n,)]
        Names of the true and the predicted genre of each row.
    genres : list of str
        Names of all genres, in the order in which they are to be shown.

    Returns
    -------
    confusion : pd.DataFrame
        Counts: one row per true genre, one column per predicted genre, both named and in the
        order of `genres`.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    names = [pd.Index(genres, name=f"{which} genre") for which in ("true", "predicted")]
    return pd.DataFrame(confusion_matrix(list(true), list(predicted), labels=genres), *names)


def track_vote(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predict the genre of each track: the highest mean probability over its segments.

    Parameters
    ----------
    predictions : pd.DataFrame
        One row per segment, as from `cross_validate`: ``track``, ``genre`` (categorical), and
        the probability of each genre in a column.

    Returns
    -------
    votes : pd.DataFrame
        Indexed by track (by ``seed`` and track, if there is a column ``seed``): ``genre``,
        ``predicted``, and the mean probability of each genre in a column.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    genres = list(predictions["genre"].cat.categories)
    by_track = predictions.groupby([key for key in ("seed", "track") if key in predictions])
    votes = by_track[genres].mean()
    votes.insert(0, "genre", by_track["genre"].first().astype(str))
    votes.insert(1, "predicted", votes[genres].idxmax(axis=1))
    return votes


def accuracy_interval(correct: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % confidence interval of an accuracy, for rows in groups.

    Segments of one track, or tracks of one artist, are not independent: they are often all right
    or all wrong. So the interval uses the effective sample size: the number of independent rows
    that would have the same variance. With this number, it is Wilson's interval, with a quantile
    of Student's t. If all rows are right or all are wrong, each group counts as one row, and the
    interval does not shrink to a point, as that of a bootstrap does.

    Parameters
    ----------
    correct : np.ndarray [shape=(n,), dtype=bool]
        Whether the prediction of each row is right.
    groups : np.ndarray [shape=(n,)]
        The track (or artist) of each row.

    Returns
    -------
    low, high : float
        Between 0 and 1. For a single group, 0 and 1.

    References
    ----------
    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", Survey Methodology 24 (1998). N. Dean
    and M. Pagano, "Evaluating confidence interval methods for binomial proportions in clustered
    surveys", Journal of Survey Statistics and Methodology 3 (2015).

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    mean, variance, t, n_groups = _mean_of_groups(correct, groups)
    if n_groups == 1:
        return 0.0, 1.0
    n = min(mean * (1 - mean) / variance, len(correct)) if variance else n_groups
    middle = (mean + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * np.sqrt(mean * (1 - mean) / n + t**2 / (4 * n**2))
    return float(max(0, middle - half)), float(min(1, middle + half))


def paired_interval(
    predictions: pd.DataFrame, other: pd.DataFrame, *, by: str = "track"
) -> tuple[float, float, float]:
    """Compute the difference in track accuracy of two models, with its 95 % interval.

    Both models are tested on the same tracks. The interval is Student's, of the differences per
    group, so tracks that are difficult for both models do not widen it. If the models never
    differ, it is the exact (Clopper-Pearson) interval of the share of groups that may differ.

    Parameters
    ----------
    predictions, other : pd.DataFrame
        From `cross_validate`, of the same tracks.
    by : str
        The groups: ``"track"`` or ``"artist"``.

    Returns
    -------
    difference, low, high : float
        Accuracy of `predictions` minus that of `other`, and the interval; 0.05 is five points.

    Raises
    ------
    ValueError
        If the two have different tracks.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    votes, groups = _votes(predictions, splits.group(predictions, by))
    other_votes = track_vote(other)
    if not votes.index.equals(other_votes.index):
        raise ValueError("the two models were not tested on the same tracks.")
    right, other_right = (each["genre"] == each["predicted"] for each in (votes, other_votes))
    difference, variance, t, n_groups = _mean_of_groups(right.astype(int) - other_right, groups)
    # No group differs: the exact upper limit of the share (Clopper and Pearson).
    half = t * np.sqrt(variance) if variance else 1 - 0.025 ** (1 / n_groups)
    return difference, max(-1.0, difference - half), min(1.0, difference + half)


def _mean_of_groups(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float, int]:
    """Mean of rows in groups, variance of the mean, quantile of Student's t, number of groups."""
    values = np.asarray(values, dtype=float)
    mean = values.mean()
    # The sum of the deviations from the mean in each group.
    away = pd.Series(values - mean).groupby(np.asarray(groups)).sum().to_numpy()
    n = len(away)
    variance = n / max(n - 1, 1) * np.sum(away**2) / len(values) ** 2
    # A variance this small is a rounding error.
    variance = variance if variance > 1e-20 else 0.0
    return float(mean), float(variance), float(student_t.ppf(0.975, max(n - 1, 1))), n


def cross_validate(
    fit_model: Callable[[Segments, np.ndarray], object],
    segments: Segments,
    folds: Sequence[splits.Split],
    *,
    cache: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and test a model on each fold, and return all predictions.

    Parameters
    ----------
    fit_model : callable
        Called with the segments and the rows to train on; returns a trained Keras model or
        scikit-learn classifier. A function of `gtzan_mfcc.training`, a ``functools.partial`` of
        one, your own function, or the result of `recipe` for a classifier or a network.
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    folds : sequence of (train, test)
        From `gtzan_mfcc.splits.folds`, or a list with a single split.
    cache : str or Path, optional
        A folder for the predictions of each fold. A fold is computed again only if the name or
        arguments of `fit_model`, the segments, the fold or the packages have changed. If you
        change the code of `fit_model`, delete the folder. An interrupted run continues where it
        stopped. By default ``build/cache`` of the project.
    progress : bool
        Show a progress bar.

    Returns
    -------
    predictions : pd.DataFrame
        One row per tested segment: the columns of the table, ``fold``, ``fit_seconds`` (the
        training time of the fold), then one column per genre: probabilities, or the decision
        values of an SVM.

    Raises
    ------
    CacheError
        If `cache` cannot be written to; finished results are kept.
    ValueError
        If `fit_model` is a lambda or a closure: the cache cannot identify it by its name.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    folder = (Path(cache) if cache is not None else dataset.build_dir() / "cache") / "folds"
    made_by = _key(fit_model, segments)
    done = []
    for number, (train, test) in enumerate(bar(folds, "fold", progress)):
        path = folder / f"{joblib.hash([made_by, train.tolist(), test.tolist()])}.npz"
        if not path.is_file():
            started = time.perf_counter()
            model = fit_model(segments, train)
            seconds = round(time.perf_counter() - started, 2)
            tested = _genre_scores(model, segments, test)
            with writing_to(folder), aside(path) as unfinished:
                np.savez(unfinished, scores=tested, fit_seconds=seconds)
        with np.load(path) as kept:
            table = segments.table.iloc[test].assign(fold=number, fit_seconds=kept["fit_seconds"])
            by_genre = pd.DataFrame(kept["scores"], table.index, segments.genres)
        done.append(pd.concat([table, by_genre], axis=1))
    return pd.concat(done, ignore_index=True)


def recipe(model: object, seed: int = 0) -> Callable[[Segments, np.ndarray], object]:
    """Make a function that trains a model, for `cross_validate`.

    Parameters
    ----------
    model : function, scikit-learn classifier or Keras model
        A function is returned as it is. A classifier is cloned for each training. The layers of a
        Keras model are trained from new weights by `gtzan_mfcc.training.fit_network`, with its
        defaults. For other settings, use ``functools.partial(training.fit_network,
        network=model.to_json(), epochs=50)``.
    seed : int
        Passed on as ``seed`` or ``random_state``, if the model has such a parameter.

    Returns
    -------
    fit_model : callable
        A function of segments and rows that returns a trained model.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    if hasattr(model, "get_params"):
        states = [name for name in model.get_params() if name.endswith("random_state")]
        classifier = clone(model).set_params(**dict.fromkeys(states, seed))
        return partial(_fit_classifier, classifier=classifier)
    if hasattr(model, "get_config"):
        from gtzan_mfcc.training import fit_network

        model = partial(fit_network, network=model.to_json())
    return partial(model, seed=seed) if "seed" in inspect.signature(model).parameters else model


def _fit_classifier(segments: Segments, rows: np.ndarray, *, classifier: object) -> object:
    return clone(classifier).fit(segments.mfcc[rows], segments.labels[rows])


def scores(predictions: pd.DataFrame, *, by: str = "track") -> dict:
    """Compute accuracy by segment and by track, balanced accuracy and macro F1.

    Parameters
    ----------
    predictions : pd.DataFrame
        From `cross_validate`; with a column ``seed`` if there are several seeds.
    by : str
        The groups for the intervals: ``"track"`` or ``"artist"``.

    Returns
    -------
    scores : dict
        ``segment_accuracy``, ``track_accuracy``, ``segment_interval`` and ``track_interval``
        (95 %), ``balanced_accuracy`` and ``macro_f1`` (by track, over the tested genres),
        ``majority`` (the share of the genre with most tracks), and the numbers of ``genres``,
        ``tracks``, ``segments`` and ``groups``. If no artist is known, each track is a group, and
        the interval is too narrow. For several seeds, the scores are means, and ``least`` and
        ``greatest`` are the lowest and highest track accuracy of a seed.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    genres = list(predictions["genre"].cat.categories)
    drawn = splits.group(predictions, by)
    segment_right = (predictions[genres].idxmax(axis=1) == predictions["genre"]).to_numpy()
    votes, groups = _votes(predictions, drawn)
    track_right = votes["genre"] == votes["predicted"]
    report = genre_report(votes["genre"], votes["predicted"], genres)
    report = report.loc[sorted(set(votes["genre"]))]
    n_seeds, seeds = 1, {}
    if "seed" in predictions:
        by_seed = track_right.groupby("seed").mean()
        n_seeds, seeds = len(by_seed), {"least": by_seed.min(), "greatest": by_seed.max()}
    return {
        "segment_accuracy": segment_right.mean(),
        "segment_interval": accuracy_interval(segment_right, drawn),
        "track_accuracy": track_right.mean(),
        "track_interval": accuracy_interval(track_right, groups),
        **seeds,
        "balanced_accuracy": report["recall"].mean(),
        "macro_f1": report["f1-score"].mean(),
        "majority": report["support"].max() / len(votes),
        "genres": len(report),
        "tracks": len(votes) // n_seeds,
        "groups": len(set(groups)),
        "segments": len(predictions) // n_seeds,
    }


def report_card(
    model: object,
    x: np.ndarray | pd.DataFrame,
    table: pd.DataFrame,
    *,
    by: Sequence[str] = SPLITS,
    n_folds: int = 5,
    seeds: Sequence[int] = (0,),
    **settings: object,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Train and test the same model under several splits, to show how its score depends on them.

    Parameters
    ----------
    model : function, scikit-learn classifier or Keras model
        As for `recipe`.
    x : np.ndarray or pd.DataFrame [shape=(n, ...)]
        One row per segment or track: MFCCs, or your own features.
    table : pd.DataFrame
        Facts about each row: ``track`` and ``genre``; if there is more than one row per track,
        also ``segment`` (its number in the track) and ``augmentation``. Missing columns are added
        from `gtzan_mfcc.dataset.load_facts`.
    by : sequence of str
        Splits: ``"segment"`` for random rows, ``"fault_filtered"``, or another value of `by` of
        `gtzan_mfcc.splits.folds`.
    n_folds : int
        Number of folds; fewer if a genre has fewer groups. ``"fault_filtered"`` has one split:
        ``train`` and ``valid`` are for training, and ``test`` for testing.
    seeds : sequence of int
        For each seed, the folds are drawn and the model is trained again.
    **settings
        ``cache`` and ``progress`` of `cross_validate`.

    Returns
    -------
    card : pd.DataFrame
        One row per split, indexed by ``split`` and ``tested_on``: the results of `scores`, with
        the intervals over artists as ``segment_low``, ``segment_high``, ``track_low`` and
        ``track_high``, and a ``remark`` about what cannot be tested. Original segments are
        tested; copies are for training only. Copies by
        `gtzan_mfcc.augmentation.DEGRADATIONS` are for testing only, each in its own row. The row
        ``leak`` is the difference in accuracy between ``segment`` and ``artist``, on the tracks
        that both test.
    predictions : dict of str to pd.DataFrame
        The predictions of `cross_validate` by split, with a column ``seed``.

    Raises
    ------
    ValueError
        If `table` does not match `x`, has missing names, or has a segment twice.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    segments, rows, cv = _segments(x, table), {}, {}
    for each in by:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                folds = [_folds(segments.table, each, n_folds, seed) for seed in seeds]
            except ValueError as error:
                rows[each, "original"] = _UNTESTED | {"remark": f"not tested: {error}"}
                continue
        runs = [
            cross_validate(recipe(model, seed), segments, parts, **settings)
            for seed, parts in zip(seeds, folds)
        ]
        cv[each] = pd.concat(runs, keys=seeds, names=["seed"]).reset_index("seed")
        remarks = [str(warning.message) for warning in caught]
        if each in segments.table:
            unknown = segments.table["track"][segments.table[each].isna()].nunique()
            remarks += [f"tracks without {each}: {unknown}."] * (unknown > 0)
            if segments.table[each].isna().all():
                remarks += [f"So the split keeps tracks apart, not {each}s."]
        for copy, predictions in cv[each].groupby("augmentation", sort=False):
            score = scores(predictions, by="artist")
            for level in ("segment", "track"):
                score[f"{level}_low"], score[f"{level}_high"] = score.pop(f"{level}_interval")
            rows[each, copy] = score | {"remark": " ".join(dict.fromkeys(remarks))}
    if {"segment", "artist"} <= cv.keys():
        leaky, fair = (cv[by].query("augmentation == 'original'") for by in ("segment", "artist"))
        leaky = leaky[leaky["track"].isin(fair["track"])]
        leak = dict(zip(_UNTESTED, paired_interval(leaky, fair, by="artist")))
        leak |= {"tracks": fair["track"].nunique(), "remark": "segment - artist"}
        rows["leak", "original"] = leak
    card = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["split", "tested_on"])
    return card, cv


def _segments(x: np.ndarray | pd.DataFrame, table: pd.DataFrame) -> Segments:
    """Check the rows of a report card, and add the known facts about their tracks."""
    x, table = np.asarray(x), table.reset_index(drop=True)
    if len(x) != len(table) or not {"track", "genre"} <= set(table):
        found = f"x has {len(x):,} rows, and the table {len(table):,}, with {', '.join(table)}"
        raise ValueError(f"{found}; give as many rows, and the columns track and genre.")
    known = dataset.load_facts().drop(columns=table.columns.drop("track"), errors="ignore")
    table = {"segment": 0, "augmentation": "original"} | dict(table.merge(known, how="left"))
    table = pd.DataFrame(table)
    wrong = table[["track", "genre"]].isna().any(axis=1)
    wrong |= table.duplicated(["track", "segment", "augmentation"])
    wrong |= table.groupby("track")["genre"].transform("nunique") > 1
    if wrong.any():
        row = f"row {wrong.idxmax()} of the table ({table['track'][wrong.idxmax()]})"
        raise ValueError(f"{row} lacks a name, or is there twice, or its track has several genres.")
    return Segments(x, table.assign(genre=pd.Categorical(table["genre"].astype(str))))


def _folds(table: pd.DataFrame, by: str, n_folds: int, seed: int) -> list[splits.Split]:
    """Make folds; test original segments and their degraded copies, which are never trained on."""
    degraded = table["augmentation"].isin(augmentation.DEGRADATIONS).to_numpy()
    original, rows = (table["augmentation"] == "original").to_numpy(), np.flatnonzero(~degraded)
    if by == "fault_filtered":
        *fit, test = splits.fault_filtered(table.iloc[rows])
        folds = [(np.concatenate(fit), test)]
    else:
        folds = splits.folds(table.iloc[rows], by, n_folds=n_folds, fewer=True, seed=seed)
    place = pd.MultiIndex.from_frame(table[["track", "segment"]])
    tested = [place.isin(place[rows[test]][original[rows[test]]]) for _, test in folds]
    tested = [np.flatnonzero(here & (original | degraded)) for here in tested]
    return [(rows[train], test) for (train, _), test in zip(folds, tested)]


def _votes(predictions: pd.DataFrame, groups: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the votes of the tracks and the group of each; `groups` has one for each row."""
    votes = track_vote(predictions)
    group_of = dict(zip(predictions["track"], groups))
    return votes, votes.index.get_level_values("track").map(group_of).to_numpy()


def _genre_scores(model: object, segments: Segments, rows: np.ndarray) -> np.ndarray:
    """Predict probabilities, or the decision values or classes of a classifier without them."""
    x = segments.mfcc[rows]
    if not hasattr(model, "classes_"):
        return model.predict(x, verbose=0)
    # A classifier has no column for genres that were not in its training part.
    by_genre = np.full((len(rows), len(segments.genres)), -np.inf)
    if hasattr(model, "predict_proba"):
        by_genre[:], values = 0, model.predict_proba(x)
    elif hasattr(model, "decision_function"):
        values = model.decision_function(x)
        if values.ndim == 1:  # as scikit-learn does for two classes
            values = np.stack([-values, values], axis=1)
    else:
        by_genre[:], values = 0, model.predict(x)[:, np.newaxis] == model.classes_
    by_genre[:, model.classes_] = values
    return by_genre


def _key(fit_model: Callable, segments: Segments) -> str:
    """Hash everything that the predictions of a fold depend on, except its rows."""
    data = [segments.mfcc, segments.table.to_csv(), segments.genres]
    try:
        return joblib.hash([fit_model, package_versions(), *data], coerce_mmap=True)
    except pickle.PicklingError as error:
        needed = "the cache needs names for fit_model and all its settings"
        raise ValueError(f"{needed}: use functions of a module, no lambda ({error}).") from error
