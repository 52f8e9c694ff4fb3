"""Split tracks or segments into training and test sets, once or in k folds."""

import math
import warnings
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

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
        If there is no such column, `test_size` is out of range, or there are too few
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
    train = np.arange(len(table))
    test = []
    all_folds = folds(table, by, n_folds=share.denominator, seed=seed)
    for train_of_fold, test_of_fold in all_folds[: share.numerator]:
        train = np.intersect1d(train, train_of_fold)
        test = np.union1d(test, test_of_fold).astype(int)
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
        there is a column ``augmentation``, only its rows ``original`` are tested.
    by : str
        The unit that is never split: ``"segment"`` for random rows, or the name of a
        column, such as ``"track"`` or ``"artist"``. A track of unknown artist is a
        group of its own. If there is a column ``replica_of``, replicas are in the group
        of their original.
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
        Row positions [dtype=int]. Each fold has about the same share of each genre. By
        a column, the test sets have only original segments, and each track is tested
        exactly once. The exception is a genre with a single group (such as one artist):
        all tracks of this group are in every training set, and are never tested.

    Raises
    ------
    ValueError
        If there is no such column, there are fewer groups than folds, or a test set
        would be empty.

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
    genres = np.array([str(genre) for genre in table["genre"]], dtype=object)
    if by == "segment":
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        return list(splitter.split(genres, genres))
    groups = group(table, by)
    of_genre = {genre: set(groups[genres == genre]) for genre in np.unique(genres)}
    single = [genre for genre, names in of_genre.items() if len(names) == 1]
    if single:
        found = f"{', '.join(single)}: only one {by}"
        warnings.warn(f"{found}; its tracks are used for training only.", stacklevel=2)
    # The tracks of such a group in other genres are not tested, either.
    untested = set().union(*(of_genre[genre] for genre in single))
    testable = np.flatnonzero([name not in untested for name in groups])
    if fewer:
        sizes = [len(names - untested) for names in of_genre.values()]
        n_folds = min([n_folds, *(size for size in sizes if size > 1)])
    n_testable = len(set(groups[testable]))
    if n_testable < n_folds:
        raise ValueError(f"{n_testable} {by}s, but {n_folds} folds need {n_folds}.")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    result = []
    for _, test in splitter.split(testable, genres[testable], groups[testable]):
        rows = testable[test]
        train = np.setdiff1d(np.arange(len(table)), rows)
        result.append((train, _originals(table, rows)))
    if not all(len(test) for _, test in result):
        found = f"a test set of the {n_folds} folds by {by} is empty"
        raise ValueError(f"{found}; take fewer folds, or another seed.")
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
        If one of the three parts would be empty.

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
    train, valid, test = (
        np.flatnonzero(table["fault_filtered"].isin([part])) for part in PARTS
    )
    if not (len(train) and len(valid) and len(test)):
        counts = f"{len(train)} rows to train, {len(valid)} to validate"
        raise ValueError(
            f"the column fault_filtered names {counts} and {len(test)} to test; "
            "each part needs some."
        )
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
    tracks = table["track"].to_list()
    named = [
        str(track if pd.isna(name) else name) for track, name in zip(tracks, table[by])
    ]
    if "replica_of" in table:
        named = _merge_replicas(named, tracks, table["replica_of"])
    return np.array(named, dtype=object)


def _merge_replicas(
    named: list[str], tracks: list[str], originals: Iterable[str | None]
) -> list[str]:
    """Link each track with its group and its original; name groups by their first."""
    linked = DisjointSet()
    for name, track, original in set(zip(named, tracks, originals)):
        nodes = [("group", name), ("track", str(track))]
        if pd.notna(original):
            if isinstance(original, float) and original.is_integer():
                original = int(original)  # A column of numbers with gaps has floats.
            nodes.append(("track", str(original)))
        for node in nodes:
            linked.add(node)
            linked.merge(nodes[0], node)
    first = {}
    for name in set(named):
        joined = linked.subset(("group", name))
        first[name] = min(other for kind, other in joined if kind == "group")
    return [first[name] for name in named]


def find_replicas(
    x: np.ndarray, table: pd.DataFrame, *, limit: float = 0.25
) -> pd.Series:
    """Find recordings that are in a corpus twice, by equal or nearly equal features.

    Of the 20 known pairs among 493 tracks of GTZAN, it finds 12, and no false pair. The
    other pairs start at different positions in the recording (notebook 6).

    Parameters
    ----------
    x : np.ndarray [shape=(n, n_features)]
        Features of each row, such as those of `gtzan_mfcc.features.mfcc_statistics`.
    table : pd.DataFrame
        The track of each row, in the column ``track``.
    limit : float
        Maximum distance of two tracks: the root mean square, over the features, of the
        difference of their means, in standard deviations over all tracks.

    Returns
    -------
    replica_of : pd.Series
        For each track with an earlier replica, the first one; indexed by track. Map it
        to a column ``replica_of`` for `folds`.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [9.0, 2.0], [0.0, 1.0]])
    >>> find_replicas(x, pd.DataFrame({"track": [*"abc"]})).to_dict()
    {'c': 'a'}
    """
    means = pd.DataFrame(x).groupby(table["track"].astype(object).to_numpy()).mean()
    scaled = StandardScaler().fit_transform(means)
    radius = limit * np.sqrt(means.shape[1])
    near = NearestNeighbors(radius=radius).fit(scaled).radius_neighbors_graph()
    first, second = near.nonzero()
    pairs = pd.Series(means.index[second], means.index[first], name="replica_of")
    pairs = pairs[pairs < pairs.index]
    return pairs.rename_axis("track").groupby("track").min()


def _check_column(table: pd.DataFrame, name: str) -> None:
    if name not in table:
        raise ValueError(f"no column {name!r}; there are {', '.join(map(str, table))}.")


def _originals(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    if "augmentation" not in table:
        return rows
    return rows[(table["augmentation"].iloc[rows] == "original").to_numpy()]
