"""Split segments into a training and a test part, once or in k folds; find replicas."""

import warnings

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

PARTS = ("train", "valid", "test")
"""Parts of the fault-filtered partition."""

Split = tuple[np.ndarray, np.ndarray]  # row positions of the training and the test part


def split(table: pd.DataFrame, by: str, *, test_size: float = 0.2, seed: int = 0) -> Split:
    """Split the rows once, into a training and a test part.

    Parameters
    ----------
    table : pd.DataFrame
        One row per segment, as for `folds`.
    by : str
        The unit that is never split: ``"segment"`` for random rows, including augmented copies, as
        in the study; or a column of the table, as for `folds`. Random rows leak: pieces and copies
        of one recording are in both parts.
    test_size : float
        Share of the rows in the test part. By a column, the share of the tracks, at most 0.5: it
        is rounded to 1/2, 1/3, 1/4 and so on, and it is approximate if there are few groups.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    train, test : np.ndarray [dtype=int]
        Row positions. By a column, the test part has only original segments, and about the same
        share of each genre.

    Raises
    ------
    ValueError
        If there is no such column, `test_size` is out of range, or there are too few groups.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    if by == "segment":
        rows = np.arange(len(table))
        return tuple(train_test_split(rows, test_size=test_size, random_state=seed))
    if not 0 < test_size <= 0.5:
        raise ValueError(f"test_size is {test_size}; take a share above 0 and up to 0.5.")
    return folds(table, by, n_folds=round(1 / test_size), seed=seed)[0]


def folds(
    table: pd.DataFrame, by: str, *, n_folds: int = 5, fewer: bool = False, seed: int = 0
) -> list[Split]:
    """Split the rows into k folds, each of which is the test part once.

    Parameters
    ----------
    table : pd.DataFrame
        One row per segment, with the columns ``track``, ``genre``, ``augmentation`` and `by`.
    by : str
        The unit that is never split: ``"segment"`` for random rows, or the name of a column, such
        as ``"track"`` or ``"artist"``. A track of unknown artist is a group of its own. If there
        is a column ``replica_of``, replicas are in the group of their original.
    n_folds : int
        Number of folds.
    fewer : bool
        Make fewer folds if a genre has fewer groups, so that each fold tests each genre.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    folds : list of (train, test)
        Row positions [dtype=int]. Each fold has about the same share of each genre. By a column,
        the test parts have only original segments, and each track is tested exactly once. The
        exception is a genre with a single group (such as one artist): all tracks of this group
        are in every training part, and are never tested.

    Raises
    ------
    ValueError
        If there is no such column, or there are fewer groups than folds.

    Warns
    -----
    UserWarning
        If a genre cannot be tested.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    if by == "segment":
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        return list(splitter.split(table, table["genre"]))
    groups = group(table, by)
    n_groups = pd.Series(groups).groupby(table["genre"].astype(str).to_numpy()).nunique()
    if single := n_groups.index[n_groups == 1].to_list():
        names = ", ".join(single)
        warnings.warn(f"{names}: only one {by}, which trains and is not tested.", stacklevel=2)
    n_folds = min(n_folds, n_groups[n_groups > 1].min()) if fewer else n_folds
    # The tracks of such a group in other genres are not tested, either.
    testable = np.flatnonzero(~np.isin(groups, groups[table["genre"].isin(single)]))
    if (n_groups := len(set(groups[testable]))) < n_folds:
        raise ValueError(f"{n_groups} {by}s, and {n_folds} folds need at least {n_folds}.")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return [
        (np.setdiff1d(np.arange(len(table)), testable[test]), _originals(table, testable[test]))
        for _, test in splitter.split(testable, table["genre"].iloc[testable], groups[testable])
    ]


def fault_filtered(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Use the partition of Kereliuk, Sturm and Larsen (2015), without GTZAN's faulty tracks.

    It has 443, 197 and 290 tracks of GTZAN. Replicas and distorted or mislabelled tracks are left
    out, and almost no artist is in two parts. A smaller corpus uses its tracks of each part.

    Parameters
    ----------
    table : pd.DataFrame
        As for `folds`, with the column ``fault_filtered``.

    Returns
    -------
    train, valid, test : np.ndarray [dtype=int]
        Row positions. `valid` is for choices, such as early stopping. Only `train` has copies.

    Raises
    ------
    ValueError
        If one of the three parts would be empty.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    train, valid, test = (np.flatnonzero(table["fault_filtered"].isin([name])) for name in PARTS)
    if not (len(train) and len(valid) and len(test)):
        counts = f"{len(train)} rows to train, {len(valid)} to validate and {len(test)} to test"
        raise ValueError(f"the column fault_filtered names {counts}; each part needs some.")
    return train, _originals(table, valid), _originals(table, test)


def group(table: pd.DataFrame, by: str) -> np.ndarray:
    """Return the group of each row, such as its artist; if it is unknown, the track.

    Replicas are in the group of their original. If this links two groups, they are merged.

    Parameters
    ----------
    table : pd.DataFrame
        With the columns ``track`` and `by`, and ``replica_of`` if replicas are known.
    by : str
        A column, such as ``"track"`` or ``"artist"``.

    Returns
    -------
    groups : np.ndarray [shape=(n,)]

    Raises
    ------
    ValueError
        If there is no such column.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    if by not in table:
        raise ValueError(f"no column {by!r}; there are {', '.join(table)}.")
    track, named = (table[column].astype(object).reset_index(drop=True) for column in ("track", by))
    named = named.where(named.notna(), track).astype(str)
    if "replica_of" in table:
        # A graph that connects each track with its group and with its original.
        original = table["replica_of"].astype(object).reset_index(drop=True)
        ends = pd.concat(["group " + named, ("track " + original).dropna()])
        starts = "track " + track.astype(str).loc[ends.index]
        codes = pd.factorize(pd.concat([starts, ends]))[0].reshape(2, -1)
        links = coo_array((np.ones(len(ends)), codes), shape=(codes.max() + 1,) * 2)
        joined = connected_components(links, directed=False)[1][codes[0, : len(table)]]
        named = named.groupby(joined).transform("min")
    return named.to_numpy()


def find_replicas(x: np.ndarray, table: pd.DataFrame, *, limit: float = 0.25) -> pd.Series:
    """Find recordings that are in a corpus twice, by equal or nearly equal features.

    Of the 20 known pairs among 493 tracks of GTZAN, it finds 12, and no false pair. The other
    pairs start at different positions in the recording (notebook 6).

    Parameters
    ----------
    x : np.ndarray [shape=(n, n_features)]
        Features of each row, such as those of `gtzan_mfcc.features.mfcc_statistics`.
    table : pd.DataFrame
        The track of each row, in the column ``track``.
    limit : float
        Maximum distance of two tracks: the root mean square, over the features, of the difference
        of their means, in standard deviations over all tracks.

    Returns
    -------
    replica_of : pd.Series
        For each track with an earlier replica, the first one; indexed by track. Map it to a
        column ``replica_of`` for `folds`.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    means = pd.DataFrame(x).groupby(table["track"].astype(str).to_numpy()).mean()
    scaled = StandardScaler().fit_transform(means)
    near = NearestNeighbors(radius=limit * np.sqrt(means.shape[1])).fit(scaled)
    track, other = (means.index[ends] for ends in near.radius_neighbors_graph().nonzero())
    pairs = pd.Series(other, track, name="replica_of").rename_axis("track")
    return pairs[pairs < pairs.index].groupby("track").min()


def _originals(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return rows[(table["augmentation"].iloc[rows] == "original").to_numpy()]
