"""Divide segments into a training and a test part, once or in k folds, and look for leaks."""

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
    """Divide the rows once, into a training and a test part.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment, as for `folds`.
    by : str
        What is never divided: ``"segment"`` for rows at random, as in the study, augmented copies
        and all; or a column of the table, as for `folds`. Rows at random leak: pieces and copies
        of one recording stand on both sides.
    test_size : float
        Share of the rows in the test part. By a column, share of the tracks, up to a half: it
        comes out as the nearest of 1/2, 1/3, 1/4 and so on, and with few groups only roughly.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    train, test : np.ndarray [dtype=int]
        Row positions. By a column, the test part holds original segments only, and about the
        same share of each genre.

    Raises
    ------
    ValueError
        If there is no such column, if `test_size` is out of range, or there are too few groups.

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
    """Divide the rows into k folds, each of which is the test part once.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment, with the columns ``track``, ``genre``, ``augmentation`` and `by`.
    by : str
        What is never divided: ``"segment"`` for rows at random, or the name of a column, such as
        ``"track"`` or ``"artist"``. A track whose artist is unknown is its own artist. Replicas
        of a track stay with it, by the column ``replica_of``, if there is one.
    n_folds : int
        Number of folds.
    fewer : bool
        Make fewer folds if a genre has fewer groups, so that each fold tests each genre.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    folds : list of (train, test)
        Row positions, [dtype=int]. Each fold has about the same share of each genre. By a
        column, test parts hold original segments only, and each track is tested exactly once;
        but the tracks of a genre with a single group (such as one artist), and all else of that
        group, train in every fold and are never tested.

    Raises
    ------
    ValueError
        If there is no such column, or there are fewer groups than folds.

    Warns
    -----
    UserWarning
        If there are genres that cannot be tested.

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
    # With all that the group has in other genres.
    testable = np.flatnonzero(~np.isin(groups, groups[table["genre"].isin(single)]))
    if (n_groups := len(set(groups[testable]))) < n_folds:
        raise ValueError(f"{n_groups} {by}s, and {n_folds} folds need at least {n_folds}.")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return [
        (np.setdiff1d(np.arange(len(table)), testable[test]), _originals(table, testable[test]))
        for _, test in splitter.split(testable, table["genre"].iloc[testable], groups[testable])
    ]


def fault_filtered(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split as Kereliuk, Sturm and Larsen (2015) did, without GTZAN's faulty tracks.

    443, 197 and 290 tracks of GTZAN; replicas, distorted and mislabelled ones are left
    out, and nearly no artist stands in two parts. On a corpus with fewer tracks, those it has.

    Parameters
    ----------
    table : pd.DataFrame
        As for `folds`, with the column ``fault_filtered``.

    Returns
    -------
    train, valid, test : np.ndarray [dtype=int]
        Row positions; `valid` is for choosing, such as when to stop. Copies are in `train`
        alone.

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
    """Name the group of each row, such as its artist; where it is unknown, the track.

    Replicas of a track are in its group. What is in two groups for that reason makes them one.

    Parameters
    ----------
    table : pd.DataFrame
        With the columns ``track`` and `by`; and ``replica_of``, if replicas are known.
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
        # A graph: each track is joined to its group and to its original.
        original = table["replica_of"].astype(object).reset_index(drop=True)
        ends = pd.concat(["group " + named, ("track " + original).dropna()])
        starts = "track " + track.astype(str).loc[ends.index]
        codes = pd.factorize(pd.concat([starts, ends]))[0].reshape(2, -1)
        links = coo_array((np.ones(len(ends)), codes), shape=(codes.max() + 1,) * 2)
        joined = connected_components(links, directed=False)[1][codes[0, : len(table)]]
        named = named.groupby(joined).transform("min")
    return named.to_numpy()


def find_replicas(x: np.ndarray, table: pd.DataFrame, *, limit: float = 0.25) -> pd.Series:
    """Find recordings that a corpus holds twice, by equal or nearly equal features.

    Of the 20 pairs that are known among 493 tracks of GTZAN it finds 12, and no false one; the
    others begin at another place of the recording (notebook 6).

    Parameters
    ----------
    x : np.ndarray [shape=(n, n_features)]
        Features of each row, such as those of `gtzan_mfcc.features.mfcc_statistics`.
    table : pd.DataFrame
        The track of each row, in the column ``track``.
    limit : float
        Greatest distance of two tracks: the root mean square, over the features, of the
        differences between their means, in standard deviations over all tracks.

    Returns
    -------
    replica_of : pd.Series
        For each track that has an earlier replica, the first of these; indexed by track. Map it
        to a column ``replica_of`` for `folds`.

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
