"""Predictions to scores: by segment, by genre, by track, in k folds, with intervals."""

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
"""The splits of a report card: each keeps more together than the one before."""

_UNTESTED = dict.fromkeys(("track_accuracy", "track_low", "track_high", "majority"), np.nan)


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
    options = {"labels": genres, "output_dict": True, "zero_division": 0}
    report = classification_report(list(true), list(predicted), **options)
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
    names = [pd.Index(genres, name=f"{which} genre") for which in ("true", "predicted")]
    return pd.DataFrame(confusion_matrix(list(true), list(predicted), labels=genres), *names)


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
        Indexed by track (by ``seed`` and track, if `predictions` has that column): ``genre``,
        ``predicted``, and one column a genre with the mean probability.

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
    """95 % confidence interval of an accuracy whose rows are right or wrong in groups.

    Segments of one track, or tracks of one artist, are mostly right or wrong together, and are
    worth fewer rows than there are: as many as would give the same variance between groups if
    each row were on its own (the effective sample size). For so many rows this is Wilson's
    interval, with a quantile of Student's t. Unlike a bootstrap it does not shrink to a point
    where all rows are right or all are wrong; each group then counts as one row.

    Parameters
    ----------
    correct : np.ndarray [shape=(n,), dtype=bool]
        Whether each row was predicted right.
    groups : np.ndarray [shape=(n,)]
        The track (or artist) of each row.

    Returns
    -------
    low, high : float
        Between 0 and 1; of a single group, these.

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
    """Difference in track accuracy of two models on the same tracks, with its 95 % interval.

    The interval is Student's, from the differences of whole groups, so that what makes a track
    hard for both does not widen it. Where the models never differ, it says how many groups may
    differ all the same.

    Parameters
    ----------
    predictions, other : pd.DataFrame
        From `cross_validate`, of the same tracks.
    by : str
        ``"track"`` or ``"artist"``: what is a group.

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
    votes, groups = _votes(predictions, splits.group(predictions, by))
    other_votes = track_vote(other)
    if not votes.index.equals(other_votes.index):
        raise ValueError("the two models were not tested on the same tracks.")
    right, other_right = (each["genre"] == each["predicted"] for each in (votes, other_votes))
    difference, variance, t, n_groups = _mean_of_groups(right.astype(int) - other_right, groups)
    # Of so many groups without a difference, up to this share may have one (Clopper and Pearson).
    half = t * np.sqrt(variance) if variance else 1 - 0.025 ** (1 / n_groups)
    return difference, max(-1.0, difference - half), min(1.0, difference + half)


def _mean_of_groups(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float, int]:
    """Mean of rows in groups, its variance, Student's t for it, and the number of groups."""
    values = np.asarray(values, dtype=float)
    mean = values.mean()
    # How far each group as a whole is from the mean.
    away = pd.Series(values - mean).groupby(np.asarray(groups)).sum().to_numpy()
    n = len(away)
    variance = n / max(n - 1, 1) * np.sum(away**2) / len(values) ** 2
    # Rounding is no variance.
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
    """Train and test once a fold, and gather the predictions; goes on after a stop.

    Parameters
    ----------
    fit_model : callable
        Called with the segments and the rows to train on; gives a trained Keras model or
        scikit-learn classifier. One of those in `gtzan_mfcc.training`, a ``functools.partial`` of
        one, or your own; or what `recipe` makes of a classifier or a network.
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
        A function is one already. A classifier is cloned for each training. Of a Keras model the
        layers are taken, and `gtzan_mfcc.training.fit_network` trains them from the start; for
        other settings than its defaults give ``functools.partial(training.fit_network,
        network=model.to_json(), epochs=50)``.
    seed : int
        Handed on to what takes one, as ``seed`` or ``random_state``.

    Returns
    -------
    fit_model : callable
        From segments and rows to a trained model.

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
    """Accuracy by segment and by track, balanced accuracy and macro F1 of a set of folds.

    Parameters
    ----------
    predictions : pd.DataFrame
        From `cross_validate`; of several seeds, if it has a column ``seed``.
    by : str
        ``"track"`` or ``"artist"``: what is a group of the intervals.

    Returns
    -------
    scores : dict
        ``segment_accuracy``, ``track_accuracy``, ``segment_interval`` and
        ``track_interval`` (95 %), ``balanced_accuracy`` and ``macro_f1`` (by track, over
        the genres that were tested), ``majority`` (the share of the genre with most tracks),
        the numbers of ``genres``, ``tracks``, ``segments`` and ``groups`` (as many as tracks, if
        no artist is known: then the interval is too narrow); of several seeds the means of all
        of them, and ``least`` and ``greatest``, the track accuracies of the worst and the best.

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
    """Tell what a model's score on GTZAN is worth: the same model under one split after another.

    Parameters
    ----------
    model : function, scikit-learn classifier or Keras model
        As for `recipe`.
    x : np.ndarray or pd.DataFrame [shape=(n, ...)]
        One row a segment, or a track: MFCCs, or features of your own.
    table : pd.DataFrame
        What is known of each row: ``track`` and ``genre``, and ``segment`` (its number in the
        track) and ``augmentation``, if there is more than one row a track. The facts of
        `gtzan_mfcc.dataset.load_facts` are added where it has no columns for them.
    by : sequence of str
        Splits: ``"segment"`` for rows at random, ``"fault_filtered"``, or what
        `gtzan_mfcc.splits.folds` takes.
    n_folds : int
        Number of folds; fewer where a genre has fewer groups. With ``"fault_filtered"``, its
        ``train`` and ``valid`` train, and its ``test`` tests.
    seeds : sequence of int
        For each, folds are drawn anew, and the model is trained anew.
    **settings
        ``cache`` and ``progress`` of `cross_validate`.

    Returns
    -------
    card : pd.DataFrame
        One row a split, indexed by ``split`` and ``tested_on``: the scores of `scores`, with
        ``segment_low``, ``segment_high``, ``track_low`` and ``track_high`` for its intervals
        (whose groups are artists), and a ``remark`` that names what cannot be tested. Original
        segments are tested; copies train, but those of
        `gtzan_mfcc.augmentation.DEGRADATIONS`: they are tested, each in a row of its own.
        The row ``leak`` is the difference in accuracy between ``segment`` and ``artist``, on the
        tracks of both.
    predictions : dict of str to pd.DataFrame
        By split: the predictions of `cross_validate`, and their ``seed``.

    Raises
    ------
    ValueError
        If `table` does not fit `x`, lacks names, or names a segment twice.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    segments, rows, told = _segments(x, table), {}, {}
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
        told[each] = pd.concat(runs, keys=seeds, names=["seed"]).reset_index("seed")
        remarks = [str(warning.message) for warning in caught]
        if each in segments.table:
            unknown = segments.table["track"][segments.table[each].isna()].nunique()
            remarks += [f"tracks without {each}: {unknown}."] * (unknown > 0)
            if segments.table[each].isna().all():
                remarks += [f"So tracks are kept apart, and no {each}s."]
        for copy, predictions in told[each].groupby("augmentation", sort=False):
            score = scores(predictions, by="artist")
            for level in ("segment", "track"):
                score[f"{level}_low"], score[f"{level}_high"] = score.pop(f"{level}_interval")
            rows[each, copy] = score | {"remark": " ".join(dict.fromkeys(remarks))}
    if {"segment", "artist"} <= told.keys():
        leaky, fair = (told[by].query("augmentation == 'original'") for by in ("segment", "artist"))
        leaky = leaky[leaky["track"].isin(fair["track"])]
        leak = dict(zip(_UNTESTED, paired_interval(leaky, fair, by="artist")))
        leak |= {"tracks": fair["track"].nunique(), "remark": "segment - artist"}
        rows["leak", "original"] = leak
    card = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["split", "tested_on"])
    return card, told


def _segments(x: np.ndarray | pd.DataFrame, table: pd.DataFrame) -> Segments:
    """Check the rows of a report card, and add what is known of their tracks."""
    x, table = np.asarray(x), table.reset_index(drop=True)
    if len(x) != len(table) or not {"track", "genre"} <= set(table):
        found = f"x has {len(x):,} rows, and the table {len(table):,}, with {', '.join(table)}"
        raise ValueError(f"{found}; they need as many, and the columns track and genre.")
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
    """Divide the rows; test original segments and degraded copies of them, which never train."""
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
    """Vote by track; and give the group of each track, of those of all rows."""
    votes = track_vote(predictions)
    group_of = dict(zip(predictions["track"], groups))
    return votes, votes.index.get_level_values("track").map(group_of).to_numpy()


def _genre_scores(model: object, segments: Segments, rows: np.ndarray) -> np.ndarray:
    """Probabilities, or decision values of a scikit-learn classifier that has none."""
    x = segments.mfcc[rows]
    if not hasattr(model, "classes_"):
        return model.predict(x, verbose=0)
    # Genres of which there was nothing to train on have no column.
    by_genre = np.full((len(rows), len(segments.genres)), -np.inf)
    if hasattr(model, "predict_proba"):
        by_genre[:], values = 0, model.predict_proba(x)
    elif hasattr(model, "decision_function"):
        values = model.decision_function(x)
        if values.ndim == 1:  # scikit-learn's way with two classes
            values = np.stack([-values, values], axis=1)
    else:
        by_genre[:], values = 0, model.predict(x)[:, np.newaxis] == model.classes_
    by_genre[:, model.classes_] = values
    return by_genre


def _key(fit_model: Callable, segments: Segments) -> str:
    """Hash all that a fold's predictions depend on, but its rows."""
    data = [segments.mfcc, segments.table.to_csv(), segments.genres]
    try:
        return joblib.hash([fit_model, package_versions(), *data], coerce_mmap=True)
    except pickle.PicklingError as error:
        needed = "fit_model and all its settings must have names, by which its folds are kept"
        raise ValueError(f"{needed}: take a function of a module, no lambda ({error}).") from error
