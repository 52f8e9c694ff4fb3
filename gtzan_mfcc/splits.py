"""Divide segments into a training and a test part."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split


def segment(
    table: pd.DataFrame, *, test_size: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split at random by row, as the study did, augmented copies and all.

    Leaks: pieces and copies of one recording stand on both sides, and the score tells in
    part how well the model knows the recordings again. Use `track` to know how well it
    does on music it has not heard.

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


def track(
    table: pd.DataFrame, *, test_size: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
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
    if not 0 < test_size <= 0.5:
        raise ValueError(f"test_size is {test_size}; take a share above 0 and up to 0.5.")
    n_folds, n_tracks = round(1 / test_size), table["track"].nunique()
    if n_tracks < n_folds:
        raise ValueError(
            f"{n_tracks} tracks, and a test part of {test_size:.0%} needs at least {n_folds}."
        )
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    train, test = next(folds.split(table, table["genre"], groups=table["track"]))
    return train, test[(table["augmentation"] == "original").to_numpy()[test]]
