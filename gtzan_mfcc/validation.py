"""Cross-validation of any model, and a report card of it under several splits."""

import inspect
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone

from gtzan_mfcc import metrics, splits
from gtzan_mfcc._identity import UnknownCodeError, code_of_modules, digest, identity
from gtzan_mfcc._tables import any_file_names
from gtzan_mfcc._util import bar, fill_in, package_versions, temporary, writing_to
from gtzan_mfcc.extraction import Segments
from gtzan_mfcc.metrics import Predictions

SPLITS = ("segment", "track", "artist", "fault_filtered")
"""The splits of a report card, from the weakest to the strictest."""

# What the predictions of a fold depend on.
_MODULES = "extraction features models training validation"
_PACKAGES = "numpy pandas scikit-learn scipy"

_MODEL = """model : function, scikit-learn classifier or Keras model
        - a function that trains a model on the segments that it gets, and returns it:
          one of `gtzan_mfcc.training`, a ``functools.partial`` of one, or your own. The
          result is a Keras model or a scikit-learn classifier.
        - a function that builds a network, such as `gtzan_mfcc.models.cnn`; it has a
          parameter ``n_genres``
        - a scikit-learn classifier, which is cloned for each training
        - a Keras model, whose layers get new weights for each training

        Networks are trained by `gtzan_mfcc.training.fit_network` with its
        defaults."""

_CACHE = """cache : str or Path, optional
        A folder to keep the predictions of each fold; None keeps nothing. They are used
        again only if the segments, the fold, the model with its settings, the code of
        this package and the packages are the same. What your own functions train is not
        kept. An interrupted run continues where it stopped.
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
        If `model` cannot be trained, or a network does not give one probability per
        genre.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> table = pd.DataFrame({{"track": list("abcd"), "genre": ["jazz", "rock"] * 2}})
    >>> segments = Segments(np.array([[0.0], [9.0], [1.0], [8.0]]), table)
    >>> folds = splits.folds(segments.table, "track", n_folds=2)
    >>> predictions = cross_validate(LogisticRegression(), segments, folds)
    >>> predictions.correct.tolist()
    [True, True, True, True]
    """
    fit_model = _fit_function(model, seed)
    key = None if cache is None else _key(fit_model, segments)
    tables = []
    probabilities = []
    runs = []
    for number, (train, test) in enumerate(bar(folds, "fold", progress)):
        file = None
        if key is not None:
            name = digest([key, np.asarray(train).tolist(), np.asarray(test).tolist()])
            file = Path(cache) / "folds" / f"{name}.npz"
        of_fold, seconds = _kept(file)
        if of_fold is None:
            started = time.perf_counter()
            trained = fit_model(segments.select(train))
            seconds = round(time.perf_counter() - started, 2)
            of_fold = _probabilities(trained, segments.select(test))
            if file is not None:
                with writing_to(file.parent), temporary(file) as unfinished:
                    np.savez(unfinished, probabilities=of_fold, fit_seconds=seconds)
        tables.append(segments.table.iloc[test])
        probabilities.append(pd.DataFrame(of_fold, columns=segments.genres))
        run = {"fold": number, "fit_seconds": seconds}
        runs.append(pd.DataFrame(run, index=range(len(of_fold))))
    return Predictions(pd.concat(tables), pd.concat(probabilities), pd.concat(runs))


def _kept(file: Path | None) -> tuple[np.ndarray | None, float]:
    """Read the probabilities of a fold and its training time, if they are kept."""
    if file is None or not file.is_file():
        return None, 0.0
    try:
        with np.load(file) as kept:
            return kept["probabilities"], float(kept["fit_seconds"])
    except Exception:  # A damaged file raises errors of many kinds.
        return None, 0.0


def _fit_function(model: object, seed: int | None) -> Callable[[Segments], object]:
    """Return a function of segments that trains the model."""
    if hasattr(model, "get_params"):
        classifier = clone(model)
        if seed is not None:
            names = classifier.get_params()
            states = [name for name in names if name.endswith("random_state")]
            classifier.set_params(**dict.fromkeys(states, seed))
        return partial(_fit_classifier, classifier=classifier)
    is_network = hasattr(model, "to_json")
    if not is_network and not callable(model):
        found = type(model).__name__
        raise ValueError(f"a {found} cannot be trained; see the parameter model.")
    if is_network or "n_genres" in inspect.signature(model).parameters:
        from gtzan_mfcc.training import fit_network

        model = partial(fit_network, network=model)
    if seed is not None and "seed" in inspect.signature(model).parameters:
        model = partial(model, seed=seed)
    return model


def _fit_classifier(segments: Segments, *, classifier: object) -> object:
    return clone(classifier).fit(segments.x, segments.labels)


def _probabilities(model: object, segments: Segments) -> np.ndarray:
    """Predict probabilities; decision values or classes of classifiers without them."""
    x = segments.x
    genres = segments.genres
    if not hasattr(model, "classes_"):
        if hasattr(model, "predict_proba"):
            probabilities = np.asarray(model.predict_proba(x))
        elif hasattr(model, "predict") and not hasattr(model, "get_params"):
            probabilities = np.asarray(model.predict(x, verbose=0))
        else:
            wanted = "return a Keras model or a scikit-learn classifier"
            raise ValueError(
                f"the function returns a {type(model).__name__}; {wanted}."
            )
        from gtzan_mfcc.models import check_probabilities

        check_probabilities(probabilities, len(genres))
        return probabilities
    # A classifier has no column for genres that were not in its training set.
    if hasattr(model, "predict_proba"):
        missing = 0
        values = model.predict_proba(x)
    elif hasattr(model, "decision_function") and not _decides_by_pairs(model):
        missing = -np.inf
        values = model.decision_function(x)
        if values.ndim == 1:  # as scikit-learn does for two classes
            values = np.stack([-values, values], axis=1)
    else:
        missing = 0
        values = np.equal.outer(model.predict(x), model.classes_)
    by_genre = np.full((len(x), len(genres)), missing, dtype=float)
    for column, label in enumerate(model.classes_):
        # An own function may train on names in place of numbers.
        name = genres[label] if label in range(len(genres)) else label
        if name not in genres:
            wanted = "train on segments.labels, or on names of genres"
            raise ValueError(f"the model has the class {label!r}; {wanted}.")
        by_genre[:, genres.index(name)] = values[:, column]
    return by_genre


def _decides_by_pairs(classifier: object) -> bool:
    """Tell whether the decision values are of pairs of genres, as SVC has them."""
    settings = getattr(classifier, "get_params", dict)()
    names = [name for name in settings if name.endswith("decision_function_shape")]
    return any(settings[name] == "ovo" for name in names)


def _key(fit_model: Callable, segments: Segments) -> str | None:
    """Hash what the predictions depend on, except the fold; None if unknown."""
    try:
        how = [identity(fit_model), code_of_modules(_MODULES)]
    except UnknownCodeError:
        return None
    how.append(package_versions(_PACKAGES))
    function = getattr(fit_model, "func", fit_model)
    if function.__module__ == "gtzan_mfcc.training":
        from gtzan_mfcc._keras import keras

        # Not the version of a package, because TensorFlow has several packages.
        backend = keras.backend.backend()
        how.append([keras.__version__, backend, sys.modules[backend].__version__])
        how.append([keras.config.floatx(), keras.config.dtype_policy().name])
    how.append(joblib.hash(segments.x, coerce_mmap=True))
    return digest([how, segments.table.to_dict("list"), segments.genres])


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
        If a split is unknown, a row has no genre or occurs twice, or a track has
        several genres; and as for `cross_validate`.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> table = pd.DataFrame({{"track": list("abcdefgh")}})
    >>> table["genre"] = ["jazz", "rock"] * 4
    >>> x = np.arange(8)[:, np.newaxis] % 2
    >>> card, _ = report_card(LogisticRegression(), Segments(x, table), by="track")
    >>> card["track_accuracy"]
    split
    track    1.0
    Name: track_accuracy, dtype: float64
    """
    by = [by] if isinstance(by, str) else list(by)
    if isinstance(seeds, Integral):
        raise ValueError(f"seeds is {seeds}; give a sequence, such as (0, 1, 2).")
    seeds = list(seeds)
    if not by or not seeds:
        raise ValueError("no split or no seed is given.")
    unknown = set(by) - {*SPLITS, *segments.table} | {"leak"}.intersection(by)
    if unknown:
        there = ", ".join(map(str, [*SPLITS, *segments.table]))
        raise ValueError(f"no split {sorted(unknown)}; there are {there}.")
    _check_rows(segments.table, segments.genres)
    rows = {}
    predictions = {}
    for split in by:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                folds = [_folds(segments.table, split, n_folds, seed) for seed in seeds]
            except ValueError as error:
                rows[split] = {
                    "track_accuracy": np.nan,
                    "track_low": np.nan,
                    "track_high": np.nan,
                    "majority": np.nan,
                    "remark": f"not tested: {error}",
                }
                continue
        runs = []
        for seed, of_seed in zip(seeds, folds):
            run = cross_validate(
                model, segments, of_seed, seed=seed, cache=cache, progress=progress
            )
            run.runs["seed"] = seed
            runs.append(run)
        predictions[split] = Predictions(
            pd.concat([run.table for run in runs]),
            pd.concat([run.probabilities for run in runs]),
            pd.concat([run.runs for run in runs]),
        )
        rows[split] = _row(predictions[split])
        remarks = [str(warning.message) for warning in caught]
        remarks += _unknown_groups(segments.table, split)
        rows[split]["remark"] = " ".join(dict.fromkeys(remarks))
    if {"segment", "artist"} <= predictions.keys():
        fair = predictions["artist"]
        leaky = predictions["segment"]
        leaky = leaky.select(leaky.table["track"].isin(fair.table["track"]))
        difference, low, high = metrics.paired_interval(leaky, fair, by="artist")
        rows["leak"] = {
            "track_accuracy": difference,
            "track_low": low,
            "track_high": high,
            "tracks": fair.table["track"].nunique(),
            "remark": "segment - artist",
        }
    card = pd.DataFrame.from_dict(rows, orient="index").rename_axis("split")
    return card, predictions


def _check_rows(table: pd.DataFrame, genres: list[str]) -> None:
    """Raise an error if the rows cannot be tested."""
    if len(genres) < 2:
        raise ValueError(f"the only genre is {genres}; two are needed.")
    twice = table.duplicated(["track", "segment", "augmentation"])
    if twice.any():
        track, segment = table.loc[twice.idxmax(), ["track", "segment"]]
        needed = "number the segments of each track in the column segment"
        raise ValueError(f"segment {segment} of {track} is there twice; {needed}.")
    several = table.groupby("track")["genre"].nunique() > 1
    if several.any():
        raise ValueError(f"the track {several.idxmax()} has several genres.")


def _folds(
    table: pd.DataFrame, split: str, n_folds: int, seed: int
) -> list[splits.Split]:
    """Make folds whose test sets have only original segments."""
    if split == "fault_filtered":
        train, valid, test = splits.fault_filtered(table)
        folds = [(np.concatenate([train, valid]), test)]
    else:
        folds = splits.folds(table, split, n_folds=n_folds, fewer=True, seed=seed)
    original = (table["augmentation"] == "original").to_numpy()
    return [(train, test[original[test]]) for train, test in folds]


def _row(predictions: Predictions) -> dict:
    """Compute a row of the report card."""
    by = "artist" if "artist" in predictions.table else "track"
    row = metrics.scores(predictions, by=by)
    for level in ("segment", "track"):
        low, high = row.pop(f"{level}_interval")
        row[f"{level}_low"] = low
        row[f"{level}_high"] = high
    return row


def _unknown_groups(table: pd.DataFrame, split: str) -> list[str]:
    """Say of how many tracks the group is not known, such as the artist."""
    if split not in table or split == "segment":
        return []
    missing = table[split].isna()
    if not missing.any():
        return []
    remarks = [f"tracks without {split}: {table['track'][missing].nunique()}."]
    if missing.all():
        remarks.append(f"So the split keeps tracks apart, not {split}s.")
    return remarks
