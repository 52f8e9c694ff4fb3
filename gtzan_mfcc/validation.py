"""Cross-validation of any model, and a report card of it under several splits."""

import time
import warnings
from collections.abc import Sequence
from functools import partial
from inspect import signature
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone

from gtzan_mfcc import metrics, splits
from gtzan_mfcc._cache import kept_arrays
from gtzan_mfcc._identity import UnknownCodeError, code_of_modules, digest, identity
from gtzan_mfcc._tables import any_file_names
from gtzan_mfcc._util import bar, fill_in, package_versions
from gtzan_mfcc.extraction import Segments
from gtzan_mfcc.metrics import Predictions

SPLITS = ("segment", "track", "artist", "fault_filtered")
"""The splits of a report card, from the weakest to the strictest."""

# What the predictions of a fold depend on.
_MODULES = "extraction features models training validation"
_PACKAGES = "numpy pandas scikit-learn scipy"

_COLUMNS = [
    "segment_accuracy",
    "segment_low",
    "segment_high",
    "track_accuracy",
    "track_low",
    "track_high",
    "least",
    "greatest",
    "balanced_accuracy",
    "macro_f1",
    "majority",
    "genres",
    "tracks",
    "groups",
    "segments",
    "remark",
]

_MODEL = """model : function, scikit-learn classifier or Keras model
        - a function that trains a model on the segments that it gets, and returns it:
          one of `gtzan_mfcc.training`, a ``functools.partial`` of one, or your own. The
          result is a Keras model or a scikit-learn classifier.
        - a function that builds a network, such as `gtzan_mfcc.models.cnn`; it has a
          parameter ``n_genres``
        - a scikit-learn classifier, which is cloned for each training
        - a Keras model, which is copied with new weights for each training

        Networks are trained by `gtzan_mfcc.training.fit_network` with its
        defaults."""

_CACHE = """cache : str or Path, optional
        A folder to keep the predictions of each fold; None keeps nothing. They are used
        again only if the segments, the fold, the model with its settings, the code of
        this package and the packages are the same. What your own functions or Keras
        models predict is not kept, nor what a classifier without a seed does. An
        interrupted run continues where it stopped.
    progress : bool
        Show a progress bar."""


@fill_in(model=_MODEL, cache=_CACHE)
@any_file_names
def cross_validate(
    model: object,
    segments: Segments,
    folds: Sequence[splits.Split],
    *,
    seed: int | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Predictions:
    """Train and test a model on each fold, and return all predictions.

    Parameters
    ----------
    {model}
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`, or with your own features.
    folds : sequence of (train, test)
        From `gtzan_mfcc.splits.folds`, or a list with a single split.
    seed : int, optional
        Passed on as ``seed`` or ``random_state``, if the model has such a parameter.
    {cache}

    Returns
    -------
    predictions : Predictions
        One row per tested segment, fold by fold. ``runs`` has ``fold`` and
        ``fit_seconds``, the training time of the fold.

    Raises
    ------
    CacheError
        If `cache` cannot be written to; finished results are kept.
    ValueError
        If a network does not give one probability per genre, or a classifier has
        classes that are not genres.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> table = pd.DataFrame({"track": list("abcd"), "genre": ["jazz", "rock"] * 2})
    >>> segments = Segments(np.array([[0.0], [9.0], [1.0], [8.0]]), table)
    >>> folds = splits.folds(segments.table, "track", n_folds=2)
    >>> predictions = cross_validate(LogisticRegression(), segments, folds)
    >>> predictions.correct.tolist()
    [True, True, True, True]
    """
    fit_model = _fit_function(model, seed)
    key = None if cache is None else _key(fit_model, segments)
    predictions = []
    for number, (train, test) in enumerate(bar(folds, "fold", progress)):
        file = None
        if key is not None:
            name = digest([key, np.asarray(train).tolist(), np.asarray(test).tolist()])
            file = Path(cache) / "folds" / f"{name}.npz"
        work = partial(_train_and_test, fit_model, segments, train, test)
        result = kept_arrays(file, work)
        table = segments.table.iloc[test]
        probabilities = pd.DataFrame(result["probabilities"], columns=segments.genres)
        runs = pd.DataFrame(index=table.index)
        runs["fold"] = number
        runs["fit_seconds"] = float(result["fit_seconds"])
        predictions.append(Predictions(table, probabilities, runs))
    return metrics.concatenate(predictions)


@fill_in(model=_MODEL, cache=_CACHE)
@any_file_names
def report_card(
    model: object,
    segments: Segments,
    *,
    by: str | Sequence[str] = SPLITS,
    n_folds: int = 5,
    seeds: Sequence[int] = (0,),
    cache: str | Path | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, dict[str, Predictions]]:
    """Train and test a model under several splits, and compare its scores.

    Original segments are tested; augmented copies are for training only.

    Parameters
    ----------
    {model}
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`, or with your own features, of
        segments or of whole tracks.
    by : str or sequence of str
        Splits: ``"segment"`` for random rows, ``"fault_filtered"``, or a column of the
        table whose groups are kept together; see `gtzan_mfcc.splits.folds`.
    n_folds : int
        Number of folds; fewer if a genre has fewer groups. ``"fault_filtered"`` has one
        split: ``train`` and ``valid`` are for training, and ``test`` for testing.
    seeds : sequence of int
        For each seed, the folds are drawn and the model is trained again. A seed is
        passed on as ``seed`` or ``random_state``, if the model has such a parameter.
    {cache}

    Returns
    -------
    card : pd.DataFrame
        One row per split: the results of `gtzan_mfcc.metrics.scores`, with the
        intervals over artists as ``segment_low``, ``segment_high``, ``track_low`` and
        ``track_high``, and a ``remark`` about what cannot be tested. The row ``leak``
        is the difference in accuracy between ``segment`` and ``artist``, on the tracks
        that both test.
    predictions : dict of str to Predictions
        The predictions under each split; ``runs`` has ``seed``, too.

    Raises
    ------
    CacheError
        If `cache` cannot be written to; finished results are kept.
    ValueError
        If a split is unknown, a row has no genre or is there twice, or a track has
        several genres; and as for `cross_validate`.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> table = pd.DataFrame({"track": list("abcdefgh")})
    >>> table["genre"] = ["jazz", "rock"] * 4
    >>> x = np.arange(8)[:, np.newaxis] % 2
    >>> card, _ = report_card(LogisticRegression(), Segments(x, table), by="track")
    >>> card["track_accuracy"]
    split
    track    1.0
    Name: track_accuracy, dtype: float64
    """
    by = [by] if isinstance(by, str) else list(by)
    seeds = list(dict.fromkeys(seeds))
    known = {*SPLITS, *segments.table} - {"leak"}
    if not known.issuperset(by):
        raise ValueError(f"by is {by}; the splits are {sorted(known, key=str)}.")
    _check_rows(segments)
    rows = {}
    predictions = {}
    for split in by:
        try:
            folds, remark = _folds(segments.table, split, n_folds, seeds)
        except ValueError as error:
            rows[split] = {"remark": f"not tested: {error}"}
            continue
        of_seeds = []
        for seed in seeds:
            of_seed = cross_validate(
                model,
                segments,
                folds[seed],
                seed=seed,
                cache=cache,
                progress=progress,
            )
            of_seed.runs["seed"] = seed
            of_seeds.append(of_seed)
        predictions[split] = metrics.concatenate(of_seeds)
        rows[split] = _row(predictions[split], remark)
    if {"segment", "artist"} <= predictions.keys():
        rows["leak"] = _leak(predictions["segment"], predictions["artist"])
    card = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=_COLUMNS)
    return card.rename_axis("split"), predictions


def _check_rows(segments):
    """Raise an error if a row is there twice, or if a track has several genres."""
    table = segments.table
    twice = table.duplicated(["track", "segment", "augmentation"])
    if twice.any():
        raise ValueError(
            f"a segment of {table['track'][twice].iloc[0]} is there twice; number the "
            "segments of each track in the column segment."
        )
    n_genres = pd.Series(segments.labels).groupby(table["track"]).nunique()
    if n_genres.max() > 1:
        raise ValueError(f"the track {n_genres.idxmax()} has several genres.")


def _folds(table, split, n_folds, seeds):
    """Make the folds of each seed, and say what they cannot test."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folds = {seed: _folds_of_seed(table, split, n_folds, seed) for seed in seeds}
    remarks = [str(warning.message) for warning in caught]
    if split in table:
        unknown = table[split].isna()
        if unknown.any():
            n_tracks = table["track"][unknown].nunique()
            remarks.append(f"Tracks without {split}: {n_tracks}.")
        if unknown.all():
            remarks.append(f"So the sets are grouped by track, not by {split}.")
    return folds, " ".join(dict.fromkeys(remarks))


def _folds_of_seed(table, split, n_folds, seed):
    """Make folds whose test sets have only original segments."""
    if split == "fault_filtered":
        train, valid, test = splits.fault_filtered(table)
        return [(np.concatenate([train, valid]), test)]
    folds = splits.folds(table, split, n_folds=n_folds, fewer=True, seed=seed)
    original = (table["augmentation"] == "original").to_numpy()
    return [(train, test[original[test]]) for train, test in folds]


def _row(predictions, remark):
    """Make the row of a split in a report card."""
    by = "artist" if "artist" in predictions.table else "track"
    row = metrics.scores(predictions, by=by)
    row["segment_low"], row["segment_high"] = row["segment_interval"]
    row["track_low"], row["track_high"] = row["track_interval"]
    row["remark"] = remark
    return row


def _leak(leaky, fair):
    """Make the row of the difference between two splits, on the tracks of both."""
    both = leaky.select(leaky.table["track"].isin(fair.table["track"]))
    difference, low, high = metrics.paired_interval(both, fair, by="artist")
    return {
        "track_accuracy": difference,
        "track_low": low,
        "track_high": high,
        "tracks": fair.table["track"].nunique(),
        "remark": "segment - artist",
    }


def _fit_function(model, seed):
    """Return a function of segments that trains the model."""
    if hasattr(model, "get_params"):
        classifier = clone(model)
        if seed is not None:
            for name in model.get_params():
                if name.endswith("random_state"):
                    classifier.set_params(**{name: seed})
        return partial(_fit_classifier, classifier=classifier)
    if hasattr(model, "to_json") or "n_genres" in signature(model).parameters:
        from gtzan_mfcc.training import fit_network

        model = partial(fit_network, network=model)
    if seed is not None and "seed" in signature(model).parameters:
        model = partial(model, seed=seed)
    return model


def _fit_classifier(segments, *, classifier):
    return clone(classifier).fit(segments.x, segments.labels)


def _key(fit_model, segments):
    """Hash what the predictions depend on, except the fold; None if unknown."""
    is_classifier = getattr(fit_model, "func", None) is _fit_classifier
    if is_classifier:
        settings = fit_model.keywords["classifier"].get_params()
        for name, value in settings.items():
            if name.endswith("random_state") and value is None:
                return None  # It may be random.
    try:
        how = [identity(fit_model), code_of_modules(_MODULES)]
    except UnknownCodeError:
        return None
    how.append(package_versions(_PACKAGES))
    if not is_classifier:
        from gtzan_mfcc._keras import keras_versions

        how += keras_versions()
    # joblib copies an array that is not contiguous; in parts, the copies are small.
    parts = np.array_split(segments.x, 1 + len(segments) // 5_000)
    how.append([joblib.hash(part, coerce_mmap=True) for part in parts])
    return digest([how, segments.table.to_dict("list"), segments.genres])


def _train_and_test(fit_model, segments, train, test):
    """Train a model on some rows, and predict the probabilities of others."""
    started = time.perf_counter()
    trained = fit_model(segments.select(train))
    seconds = round(time.perf_counter() - started, 2)
    probabilities = _probabilities(trained, segments.select(test))
    return {"probabilities": probabilities, "fit_seconds": seconds}


def _probabilities(model, segments):
    """Predict probabilities; decision values or classes of classifiers without them."""
    x = segments.x
    genres = segments.genres
    if not hasattr(model, "classes_"):
        from gtzan_mfcc.models import check_probabilities

        probabilities = model.predict(x, verbose=0)
        check_probabilities(probabilities, len(genres))
        return probabilities
    if hasattr(model, "predict_proba"):
        return _by_genre(model.predict_proba(x), model.classes_, genres)
    if hasattr(model, "decision_function") and not _decides_by_pairs(model):
        values = model.decision_function(x)
        if values.ndim == 1:  # as scikit-learn does for two classes
            values = np.stack([-values, values], axis=1)
        return _by_genre(values, model.classes_, genres, missing=-np.inf)
    is_predicted = np.equal.outer(model.predict(x), model.classes_)
    return _by_genre(is_predicted, model.classes_, genres)


def _by_genre(values, classes, genres, missing=0):
    """Bring columns by class into the order of the genres.

    A genre that was not in the training set has no class; its value is `missing`.
    """
    # A user's function may train on names in place of numbers.
    labels = dict(enumerate(genres))
    names = [labels.get(label, label) for label in classes]
    unknown = set(names).difference(genres)
    if unknown:
        raise ValueError(
            f"the model has the classes {', '.join(map(str, unknown))}, which are no "
            "genres; train on segments.labels, or on names of genres."
        )
    by_genre = pd.DataFrame(values, columns=names, dtype=float)
    return by_genre.reindex(columns=genres, fill_value=missing).to_numpy()


def _decides_by_pairs(classifier):
    """Tell whether decision values are of pairs of genres, as those of SVC may be."""
    return "ovo" in map(str, classifier.get_params().values())
