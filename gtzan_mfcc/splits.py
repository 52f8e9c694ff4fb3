"""Divide segments into a training and a test part, once or in k folds, and look for leaks."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

SPLITS = ("segment", "track", "artist", "fault_filtered")
"""What `folds` can keep together, from the study's way to the strictest."""

PARTS = ("train", "valid", "test")
"""Parts of the fault-filtered partition."""

Split = tuple[np.ndarray, np.ndarray]


class Leakage(NamedTuple):
    """Names of the tracks and artists that stand on both sides of a split."""

    tracks: list[str]
    artists: list[str]


def segment(table: pd.DataFrame, *, test_size: float = 0.2, seed: int = 0) -> Split:
    """Split at random by row, as the study did, augmented copies and all.

    Leaks: pieces and copies of one recording stand on both sides, and the score tells in
    part how well the model knows the recordings again. Use `track` or `artist` to know how
    well it does on music it has not heard.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment; only their number matters.
    test_size : float
        Share of the rows in the test part.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    train, test : np.ndarray [dtype=int]
        Row positions.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    train, test = train_test_split(np.arange(len(table)), test_size=test_size, random_state=seed)
    return train, test


def track(table: pd.DataFrame, *, test_size: float = 0.2, seed: int = 0) -> Split:
    """Split so that all segments of a track, and their copies, stand on one side.

    The test part holds original segments only, and about the same share of each genre.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment, with the columns ``track``, ``genre`` and ``augmentation``.
    test_size : float
        Share of the tracks in the test part, up to a half; it comes out as the nearest of
        1/2, 1/3, 1/4 and so on.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    train, test : np.ndarray [dtype=int]
        Row positions.

    Raises
    ------
    ValueError
        If `test_size` is not above 0 and at most a half, or there are too few tracks.

    See Also
    --------
    Notebook ``4_cnn_training`` introduces this helper.
    """
    return folds(table, "track", n_folds=_n_folds(test_size), seed=seed)[0]


def artist(table: pd.DataFrame, *, test_size: float = 0.2, seed: int = 0) -> Split:
    """Split so that all tracks of an artist stand on one side.

    A track whose artist is unknown is its own artist. The tracks of a genre with a single
    artist (see `one_artist_genres`) are trained on and never tested.

    Parameters
    ----------
    table : pd.DataFrame
        As for `track`, with the column ``artist``.
    test_size : float
        Share of the test part, as for `track`; with few artists it is met only roughly.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    train, test : np.ndarray [dtype=int]
        Row positions.

    Raises
    ------
    ValueError
        As for `track`, of artists.

    Warns
    -----
    UserWarning
        If there are genres with a single artist.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    return folds(table, "artist", n_folds=_n_folds(test_size), seed=seed)[0]


def fault_filtered(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split as Kereliuk, Sturm and Larsen (2015) did, without GTZAN's faulty tracks.

    443, 197 and 290 tracks of GTZAN; replicas, distorted and mislabelled ones are left
    out, and nearly no artist stands in two parts. On a corpus with fewer tracks, those it has.

    Parameters
    ----------
    table : pd.DataFrame
        As for `track`, with the column ``fault_filtered``.

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


def folds(
    table: pd.DataFrame, by: str = "track", *, n_folds: int = 5, seed: int = 0
) -> list[Split]:
    """Divide the rows into k folds, each of which is the test part once.

    Parameters
    ----------
    table : pd.DataFrame
        One row a segment, with the columns ``track``, ``genre`` and ``augmentation``, and
        what `by` needs.
    by : str
        One of `SPLITS`: what is never divided. For ``"fault_filtered"``, artists, over the
        tracks that the fault-filtered partition keeps.
    n_folds : int
        Number of folds.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    folds : list of (train, test)
        Row positions, [dtype=int]. Each fold has about the same share of each genre.
        Except under ``"segment"``, test parts hold original segments only. Each track is
        tested exactly once; under ``"artist"`` and ``"fault_filtered"``, those of a genre
        with a single artist (and all else by that artist) never are: they train in every fold.

    Raises
    ------
    ValueError
        If there is no split of that name, or there are fewer tracks or artists than folds.

    Warns
    -----
    UserWarning
        If there are genres with a single artist, and `by` would have to divide them.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    if by not in SPLITS:
        raise ValueError(f"no split {by!r}; there are {', '.join(SPLITS)}.")
    rows = np.arange(len(table))
    if by == "segment":
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        return list(splitter.split(rows, table["genre"]))
    if by == "fault_filtered":
        rows = np.flatnonzero(table["fault_filtered"].isin(PARTS))
    unit = "track" if by == "track" else "artist"
    groups = group(table, unit)
    testable = rows
    if unit == "artist" and (single := one_artist_genres(table.iloc[rows])):
        warnings.warn(
            f"all tracks of {', '.join(single)} are by one artist: they train, and are not tested.",
            stacklevel=2,
        )
        # With all they play, should they play in another genre, too.
        never = set(groups[rows[table["genre"].iloc[rows].isin(single)]])
        testable = rows[[each not in never for each in groups[rows]]]
    if (n_groups := len(set(groups[testable]))) < n_folds:
        raise ValueError(f"{n_groups} {unit}s, and {n_folds} folds need at least {n_folds}.")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    genres = table["genre"].iloc[testable]
    return [
        (np.setdiff1d(rows, testable[test]), _originals(table, testable[test]))
        for _, test in splitter.split(testable, genres, groups[testable])
    ]


def inner_folds(folds: list[Split]) -> list[Split]:
    """Leave two neighbouring folds out, to choose between models for each fold in turn.

    What is chosen for fold i must not have seen its test part. Split i tests on the test
    parts of the folds i and i + 1 (the first follows the last) and trains without both, so
    that each of the two can be validated on for the other.

    Parameters
    ----------
    folds : list of (train, test)
        From `folds`.

    Returns
    -------
    inner : list of (train, test)
        As many; [dtype=int].

    Raises
    ------
    ValueError
        If there are fewer than three folds.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    if len(folds) < 3:
        raise ValueError(f"{len(folds)} folds; to leave two out, there must be at least 3.")
    pairs = zip(folds, [*folds[1:], folds[0]])
    return [
        (np.intersect1d(train, next_train), np.union1d(test, next_test))
        for (train, test), (next_train, next_test) in pairs
    ]


def group(table: pd.DataFrame, by: str) -> np.ndarray:
    """Name the track or the artist of each row; a track of unknown artist is its own.

    Parameters
    ----------
    table : pd.DataFrame
        With the column ``track`` and, by artist, ``artist``.
    by : str
        ``"track"`` or ``"artist"``.

    Returns
    -------
    groups : np.ndarray [shape=(n,)]

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    named = table[by].astype(object)
    return named.where(named.notna(), table["track"]).astype(str).to_numpy()


def one_artist_genres(table: pd.DataFrame) -> list[str]:
    """Name the genres that no split by artist can test: all their tracks are by one artist.

    Parameters
    ----------
    table : pd.DataFrame
        With the columns ``track``, ``genre`` and ``artist``.

    Returns
    -------
    genres : list of str

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    artists = pd.Series(group(table, "artist")).groupby(table["genre"].astype(str).to_numpy())
    return artists.nunique().loc[lambda n: n == 1].index.to_list()


def check_leakage(train: pd.DataFrame, test: pd.DataFrame) -> Leakage:
    """Name every track and every artist that stands on both sides.

    Parameters
    ----------
    train, test : pd.DataFrame
        The rows of the two parts, with the columns ``track`` and ``artist``.

    Returns
    -------
    leakage : Leakage
        ``tracks`` and ``artists``, sorted; both empty if nothing leaks. Unknown artists
        are not compared.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    return Leakage(
        *(sorted(set(train[by].dropna()) & set(test[by].dropna())) for by in ("track", "artist"))
    )


def _n_folds(test_size: float) -> int:
    if not 0 < test_size <= 0.5:
        raise ValueError(f"test_size is {test_size}; take a share above 0 and up to 0.5.")
    return round(1 / test_size)


def _originals(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return rows[(table["augmentation"].iloc[rows] == "original").to_numpy()]
