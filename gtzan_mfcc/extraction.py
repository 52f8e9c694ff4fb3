"""Extract MFCCs or the 57 features of all segments of a track table, in parallel, with a cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from gtzan_mfcc import audio, augmentation, features
from gtzan_mfcc._cache import rows_of_tracks
from gtzan_mfcc._disk import CacheError

__all__ = ["KAGGLE_SEGMENT_LENGTH", "CacheError", "Segments", "extract_features", "extract_mfcc"]

KAGGLE_SEGMENT_LENGTH = audio.SEGMENT_LENGTH - 1
"""Samples in a segment of Kaggle's ``features_3_sec.csv``."""


@dataclass(frozen=True)
class Segments:
    """MFCCs (or your own features) of many segments, with a table of one row per segment.

    Attributes
    ----------
    mfcc : np.ndarray [shape=(n, frames, n_mfcc), dtype=float32]
        Memory-mapped and read-only if it comes from the cache. Your own features may have any
        shape that begins with n.
    table : pd.DataFrame
        One row per segment: ``track``, ``genre`` (categorical), ``artist``, ``segment``
        (0, 1, ... in the track), ``augmentation``, ``fault_filtered``.
    left_out : pd.DataFrame
        One row per file that was not used: ``track``, ``path``, ``reason``.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this class.
    """

    mfcc: np.ndarray
    table: pd.DataFrame
    left_out: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        """Count the segments."""
        return len(self.table)

    @property
    def genres(self) -> list[str]:
        """Names of the genres, in the order of the labels."""
        return list(self.table["genre"].cat.categories)

    @property
    def labels(self) -> np.ndarray:
        """Genre of each segment as an index into `genres` [shape=(n,), dtype=int8]."""
        return self.table["genre"].cat.codes.to_numpy()

    def select(self, rows: np.ndarray) -> "Segments":
        """Select rows by a boolean mask or by positions."""
        table = self.table.iloc[rows].reset_index(drop=True)
        return Segments(self.mfcc[rows], table, self.left_out)


def extract_mfcc(
    tracks: pd.DataFrame,
    *,
    augmentations: Sequence[str] | dict[str, Callable] = (),
    n_mfcc: int = features.N_MFCC,
    n_fft: int = features.N_FFT,
    hop_length: int = features.HOP_LENGTH,
    seed: int = 0,
    n_jobs: int = -1,
    cache: str | Path | None = None,
    strict: bool = False,
    progress: bool = True,
) -> Segments:
    """Compute the MFCCs of all segments of 3 s, and of their augmented copies.

    Parameters
    ----------
    tracks : pd.DataFrame
        From `gtzan_mfcc.dataset.load_tracks`.
    augmentations : sequence of str, or dict of str to function
        Names of `gtzan_mfcc.augmentation.AUGMENTATIONS`, one for each copy to add to the
        originals; ``augmentation.STUDY`` for the study's three. Or your own augmentations by
        name: functions of signals ``y`` and a keyword ``seed``.
    n_mfcc : int
        Number of coefficients.
    n_fft, hop_length : int
        Length of the Fourier transform, and samples from one frame to the next.
    seed : int
        Seed of the augmentations.
    n_jobs : int
        Number of processes; -1 for one per core, or for all workers of a cluster.
    cache : str or Path, optional
        A folder for the result of each track. A track is computed again only if its file (path,
        size or date), the settings, the packages or the code have changed. An interrupted run
        continues where it stopped. By default ``build/cache`` of the project.
    strict : bool
        Raise an error for the first track that cannot be used, instead of leaving it out.
    progress : bool
        Show a progress bar.

    Returns
    -------
    segments : Segments
        In the order of `tracks`. For each track, all originals come first, then each augmentation.

    Raises
    ------
    AudioError
        If no track can be used, or, with `strict`, if one track cannot.
    CacheError
        If `cache` cannot be written to; finished results are kept.
    ValueError
        If there is no augmentation of that name.

    Notes
    -----
    The tracks are processed by joblib. With ``joblib.parallel_config(backend="dask")`` (or ray)
    around the call, the workers of a cluster process them. The workers must find the files under
    the same paths; only this process writes to `cache`. The result is exactly the same.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    known = augmentations if isinstance(augmentations, dict) else augmentation.AUGMENTATIONS
    if unknown := sorted(set(augmentations) - set(known)):
        raise ValueError(f"no augmentation {', '.join(unknown)}; there are {', '.join(known)}.")
    copies = {name: known[name] for name in augmentations}
    settings = {"seed": seed, "n_mfcc": n_mfcc, "n_fft": n_fft, "hop_length": hop_length}
    work = partial(_track_mfcc, copies=copies, **settings)
    mfcc, counts, left_out = rows_of_tracks(
        "mfcc", work, tracks, n_jobs=n_jobs, cache=cache, strict=strict, progress=progress
    )
    names = ["original", *copies]
    segments = [np.arange(n // len(names)) for n in counts]
    table = tracks.iloc[np.repeat(np.arange(len(tracks)), counts)].drop(columns="path")
    # In alphabetical order, and only the genres of these tracks.
    table["genre"] = pd.Categorical(table["genre"].astype(str))
    table["segment"] = np.concatenate([np.tile(of_track, len(names)) for of_track in segments])
    table["augmentation"] = np.concatenate([np.repeat(names, len(k)) for k in segments])
    return Segments(mfcc, table.reset_index(drop=True), left_out)


def extract_features(
    tracks: pd.DataFrame,
    *,
    whole_tracks: bool = False,
    n_jobs: int = -1,
    cache: str | Path | None = None,
    strict: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute the table of 57 features, in the format of Kaggle's ``features_3_sec.csv``.

    Parameters
    ----------
    tracks : pd.DataFrame
        From `gtzan_mfcc.dataset.load_tracks`.
    whole_tracks : bool
        One row per track, as in ``features_30_sec.csv``, instead of one per segment.
    n_jobs, cache, strict, progress
        As for `extract_mfcc`.

    Returns
    -------
    table : pd.DataFrame
        Kaggle's columns, in its order: ``filename`` (``blues.00000.0.wav``), ``length``
        (samples), the 57 features, ``label``.
    left_out : pd.DataFrame
        One row per file that was not used: ``track``, ``path``, ``reason``.

    Raises
    ------
    AudioError
        If no track can be used, or, with `strict`, if one track cannot.
    CacheError
        If `cache` cannot be written to; finished results are kept.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    work = partial(_track_features, whole_tracks=whole_tracks)
    rows, counts, left_out = rows_of_tracks(
        "features", work, tracks, n_jobs=n_jobs, cache=cache, strict=strict, progress=progress
    )
    table = pd.DataFrame(rows, columns=["length", *features.FEATURE_NAMES])
    table["length"] = table["length"].astype(int)
    names = [
        f"{track}.wav" if whole_tracks else f"{track}.{k}.wav"
        for track, n in zip(tracks["track"], counts)
        for k in range(n)
    ]
    table.insert(0, "filename", names)
    table["label"] = pd.Categorical(np.repeat(tracks["genre"].astype(str), counts))
    return table, left_out


def _track_mfcc(
    track: str, path: str, *, copies: dict[str, Callable], seed: int, n_mfcc: int, **spectrum: int
) -> np.ndarray:
    # After this is freed, glibc keeps freed memory for later use. Otherwise, requests for memory
    # would take a quarter of the time.
    np.empty(31 * 2**20, np.uint8)
    # Each augmentation has its own generator for all batches.
    draw = {name: augmentation.track_generator(track, name, seed=seed) for name in copies}
    mfcc = {name: [] for name in ("original", *copies)}
    shortest = audio.shortest_segment(spectrum["hop_length"])
    for batch in audio.segments(audio.blocks(path), shortest=shortest):
        mfcc["original"].append(features.mfcc(batch, n_mfcc=n_mfcc, **spectrum))
        for name, augment in copies.items():
            copy = augment(batch, seed=draw[name])
            mfcc[name].append(features.mfcc(copy, n_mfcc=n_mfcc, **spectrum))
    return np.concatenate([batch for batches in mfcc.values() for batch in batches])


def _track_features(track: str, path: str, *, whole_tracks: bool) -> np.ndarray:
    if whole_tracks:
        batches = [audio.load(path)[np.newaxis]]
    else:
        # Segments start every 66,150 samples; the last sample of each is left out.
        cut = audio.segments(audio.blocks(path), shortest=KAGGLE_SEGMENT_LENGTH)
        batches = (batch[:, :KAGGLE_SEGMENT_LENGTH] for batch in cut)
    # NumPy's rounding depends on its number of threads, which depends on the number of workers.
    with threadpool_limits(1):
        rows = [(features.tabular_features(batch), batch.shape[1]) for batch in batches]
    return np.concatenate([np.insert(numbers, 0, length, axis=1) for numbers, length in rows])
