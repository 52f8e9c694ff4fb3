"""Divide segments into a training and a test part, once or in k folds, and look for leaks."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

PARTS = ("train", "valid", "test")
"""Parts of the fault-filtered partition."""

Split = tuple[np.ndarray, np.ndarray]
"""Row positions to train on and to test on [dtype=int]."""


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
        train, test = train_test_split(
            np.arange(len(table)), test_size=test_size, random_state=seed
        )
        return train, test
    if not 0 < test_size <= 0.5:
        raise ValueError(f"test_size is {test_size}; take a share above 0 and up to 0.5.")
    return folds(table, by, n_folds=round(1 / test_size), seed=seed)[0]


def folds(table: pd.DataFrame, by: str, *, n_folds: int = 5, seed: int = 0) -> list[Split]:
    """Divide the rows into k folds, each of which is the test part once.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment, with the columns ``track``, ``genre``, ``augmentation`` and `by`.
    by : str
        What is never divided: ``"segment"`` for rows at random, or the name of a column, such as
        ``"track"`` or ``"artist"``. A track whose artist is unknown is its own artist.
    n_folds : int
        Number of folds.
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
    if single := one_group_genres(table, by):
        warnings.warn(
            f"{', '.join(single)}: only one {by}, which trains and is not tested.", stacklevel=2
        )
    # With all that the group has in other genres.
    never = set(groups[table["genre"].isin(single)])
    testable = np.flatnonzero(~np.isin(groups, list(never)))
    if (n_groups := len(set(groups[testable]))) < n_folds:
        raise ValueError(f"{n_groups} {by}s, and {n_folds} folds need at least {n_folds}.")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    genres = table["genre"].iloc[testable]
    return [
        (np.setdiff1d(np.arange(len(table)), testable[test]), _originals(table, testable[test]))
        for _, test in splitter.split(testable, genres, groups[testable])
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
        raise ValueError(
            f"the column fault_filtered names {len(train)} rows to train, {len(valid)} to "
            f"validate and {len(test)} to test; each part needs some."
        )
    return train, _originals(table, valid), _originals(table, test)


def group(table: pd.DataFrame, by: str) -> np.ndarray:
    """Name the group of each row, such as its artist; where it is unknown, the track.

    Parameters
    ----------
    table : pd.DataFrame
        With the columns ``track`` and `by`.
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
    named = table[by].astype(object)
    return named.where(named.notna(), table["track"]).astype(str).to_numpy()


def one_group_genres(table: pd.DataFrame, by: str = "artist") -> list[str]:
    """Name the genres that no split by this column can test: all their tracks are in one group.

    Parameters
    ----------
    table : pd.DataFrame
        With the columns ``track``, ``genre`` and `by`.
    by : str
        A column, such as ``"artist"``.

    Returns
    -------
    genres : list of str

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    groups = pd.Series(group(table, by)).groupby(table["genre"].astype(str).to_numpy())
    return groups.nunique().loc[lambda n: n == 1].index.to_list()


def check_leakage(
    train: pd.DataFrame, test: pd.DataFrame, by: Sequence[str] = ("track", "artist")
) -> dict[str, list[str]]:
    """Name every track and every artist that stands on both sides.

    Parameters
    ----------
    train, test : pd.DataFrame
        The rows of the two parts, with the columns `by`.
    by : sequence of str
        The columns to compare.

    Returns
    -------
    leakage : dict of str to list of str
        Sorted names by column; all lists are empty if nothing leaks. Unknown artists are not
        compared.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    return {each: sorted(set(train[each].dropna()) & set(test[each].dropna())) for each in by}


def _originals(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return rows[(table["augmentation"].iloc[rows] == "original").to_numpy()]
