"""Split tracks or segments into training and test sets, once or in k folds."""

import math
import warnings
from fractions import Fraction
from functools import reduce

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

PARTS = ("train", "valid", "test")
"""Parts of the fault-filtered partition."""

Split = tuple[np.ndarray, np.ndarray]  # row positions of the training and the test set


def split(
    table: pd.DataFrame, by: str, *, test_size: float = 0.2, seed: int = 0
) -> Split:
    """Split the rows once, into a training and a test set.

    Parameters
    ----------
    table : pd.DataFrame
        One row per track or segment, as for `folds`.
    by : str
        The unit that is never split: ``"segment"`` for random rows, including augmented
        copies, as in the study; or a column of the table, as for `folds`. Random rows
        leak: pieces and copies of one recording are in both sets.
    test_size : float
        Share of the rows in the test set, between 0 and 1. By a column, the share of
        the tracks: the test set is m of k folds, where m/k is the nearest fraction with
        k up to 10 (such as 3/10 for 0.3).
    seed : int
        Seed of the shuffle.

    Returns
    -------
    train, test : np.ndarray [dtype=int]
        Row positions. By a column, the test set has only original segments, and about
        the same share of each genre.

    Raises
    ------
    ValueError
        If there is no column `by`, `test_size` is out of range, or there are too few
        groups.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> songs = pd.DataFrame({"track": [*"abcdefgh"], "genre": ["rock"] * 8})
    >>> train, test = split(songs, "track", test_size=0.25)
    >>> len(train), len(test)
    (6, 2)
    """
    if not 0 < test_size < 1:
        raise ValueError(f"test_size is {test_size}; take a share between 0 and 1.")
    if by == "segment":
        rows = np.arange(len(table))
        train, test = train_test_split(rows, test_size=test_size, random_state=seed)
        return train, test
    # A share below 1/10 or above 9/10 needs more folds.
    most_folds = max(10, math.ceil(1 / min(test_size, 1 - test_size)))
    share = Fraction(test_size).limit_denominator(most_folds)
    all_folds = folds(table, by, n_folds=share.denominator, seed=seed)
    chosen = all_folds[: share.numerator]
    train = reduce(np.intersect1d, [train for train, _ in chosen])
    test = np.sort(np.concatenate([test for _, test in chosen]))
    return train, test


def folds(
    table: pd.DataFrame,
    by: str,
    *,
    n_folds: int = 5,
    fewer: bool = False,
    seed: int = 0,
) -> list[Split]:
    """Split the rows into k folds, each of which is the test set once.

    Parameters
    ----------
    table : pd.DataFrame
        One row per track or segment, with the columns ``track``, ``genre`` and `by`. If
        there is a column ``augmentation``, only its rows ``original`` are tested by a
        column; ``"segment"`` tests all rows, as in the study.
    by : str
        What stays together: rows with the same value in this column, such as
        ``"track"`` or ``"artist"``. A track of unknown artist is a group of its own. If
        there is a column ``replica_of``, replicas are in the group of their original.
        ``"segment"`` keeps nothing together: rows are drawn at random.
    n_folds : int
        Number of folds, 2 or more.
    fewer : bool
        Make fewer folds if a genre has fewer groups, so that each fold tests each genre
        (if no group has several genres).
    seed : int
        Seed of the shuffle.

    Returns
    -------
    folds : list of (train, test)
        Row positions [dtype=int]. Each fold has about the same share of the tracks of
        each genre; it does not depend on the number of segments and copies. By a
        column, the test sets have only original segments, and each track is tested
        exactly once. The exception is a genre with a single group (such as one artist):
        all tracks of this group are in every training set, and are never tested.

    Raises
    ------
    ValueError
        If a column or a genre is missing, there are fewer groups than folds, or a test
        set would be empty.

    Warns
    -----
    UserWarning
        If a genre cannot be tested.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> songs = pd.DataFrame({"track": [*"abcd"], "genre": ["rock"] * 4})
    >>> songs["artist"] = ["Queen", "Queen", "Kiss", "Kiss"]
    >>> for train, test in folds(songs, "artist", n_folds=2):
    ...     print(train, test)
    [2 3] [0 1]
    [0 1] [2 3]
    """
    _check_column(table, "genre")
    if table["genre"].isna().any():
        raise ValueError("some rows have no genre; leave them out.")
    genres = np.array([str(genre) for genre in table["genre"]], dtype=object)
    if by == "segment":
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        return list(splitter.split(genres, genres))
    groups = group(table, by)
    # The folds are drawn from tracks, so that they do not depend on the number of
    # segments and copies.
    tracks = pd.DataFrame({"track": table["track"].to_numpy(), "genre": genres})
    tracks["group"] = groups
    tracks = tracks.drop_duplicates()
    n_groups = tracks.groupby("genre")["group"].nunique()
    single = n_groups.index[n_groups == 1]
    if len(single):
        warnings.warn(
            f"{', '.join(single)}: only one {by}; its tracks are used for training "
            "only.",
            stacklevel=2,
        )
    # The tracks of such a group in other genres are not tested, either.
    untested = tracks["group"][tracks["genre"].isin(single)]
    tracks = tracks[~tracks["group"].isin(untested)]
    if fewer:
        n_groups = tracks.groupby("genre")["group"].nunique()
        n_folds = min([n_folds, *n_groups[n_groups > 1]])
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    # A genre may have fewer tracks than folds, but scikit-learn needs as many rows.
    rows = tracks.loc[tracks.index.repeat(n_folds)]
    result = []
    for _, tested in splitter.split(rows, rows["genre"], rows["group"]):
        is_tested = pd.Series(groups).isin(rows["group"].iloc[tested])
        train = np.flatnonzero(~is_tested)
        test = _originals(table, np.flatnonzero(is_tested))
        if not len(test):
            raise ValueError(
                f"a test set of the {n_folds} folds by {by} is empty; take fewer "
                "folds, or another seed."
            )
        result.append((train, test))
    return result


def fault_filtered(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Use the partition of Kereliuk, Sturm and Larsen (2015), without faulty tracks.

    It has 443, 197 and 290 tracks of GTZAN. Replicas and distorted or mislabelled
    tracks are left out, and almost no artist is in two parts. A smaller corpus uses its
    tracks of each part.

    Parameters
    ----------
    table : pd.DataFrame
        As for `folds`, with the column ``fault_filtered``.

    Returns
    -------
    train, valid, test : np.ndarray [dtype=int]
        Row positions. `valid` is for choices, such as early stopping. Only `train` has
        augmented copies.

    Raises
    ------
    ValueError
        If there is no such column, or one of the three parts would be empty.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> from gtzan_mfcc import dataset
    >>> [len(rows) for rows in fault_filtered(dataset.load_facts())]
    [443, 197, 290]
    """
    _check_column(table, "fault_filtered")
    parts = []
    for part in PARTS:
        rows = np.flatnonzero(table["fault_filtered"].isin([part]))
        if not len(rows):
            raise ValueError(
                f"no row has {part} in the column fault_filtered; each part needs some."
            )
        parts.append(rows)
    train, valid, test = parts
    return train, _originals(table, valid), _originals(table, test)


def group(table: pd.DataFrame, by: str) -> np.ndarray:
    """Return the group of each row, such as its artist; if it is unknown, the track.

    Replicas are in the group of their original. If this links two groups, they are
    merged.

    Parameters
    ----------
    table : pd.DataFrame
        With the columns ``track`` and `by`, and ``replica_of`` if replicas are known.
    by : str
        A column, such as ``"track"`` or ``"artist"``.

    Returns
    -------
    groups : np.ndarray [shape=(n,)]
        Names of the groups, as text.

    Raises
    ------
    ValueError
        If there is no such column.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> songs = pd.DataFrame({"track": [*"abc"], "artist": ["Queen", None, None]})
    >>> group(songs, "artist").tolist()
    ['Queen', 'b', 'c']
    >>> group(songs.assign(replica_of=[None, "a", None]), "artist").tolist()
    ['Queen', 'Queen', 'c']
    """
    _check_column(table, by)
    tracks = table["track"]
    names = [
        str(track if pd.isna(name) else name) for track, name in zip(tracks, table[by])
    ]
    if "replica_of" in table:
        names = _merge_replicas(names, tracks, table["replica_of"])
    return np.array(names, dtype=object)


def _merge_replicas(names, tracks, originals):
    """Merge the groups of a track and its original; name them by the first name."""
    # A column of numbers with gaps has 1.0 for track 1.
    originals = originals.convert_dtypes()
    groups = DisjointSet(names)
    # The first group of each track. A track in two groups links them, and so does a
    # replica with its original.
    group_of = {}
    for name, track, original in set(zip(names, tracks, originals)):
        for known in (track, original):
            if pd.notna(known):
                groups.merge(name, group_of.setdefault(str(known), name))
    first = {name: min(groups.subset(name)) for name in set(names)}
    return [first[name] for name in names]


def _check_column(table, name):
    if name not in table:
        raise ValueError(f"no column {name!r}; there are {', '.join(map(str, table))}.")


def _originals(table, rows):
    if "augmentation" not in table:
        return rows
    return rows[(table["augmentation"].iloc[rows] == "original").to_numpy()]
