"""Track table to arrays: MFCCs of every segment, or the 57 features, in parallel and cached."""

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
    """MFCCs of many segments, and one row about each; or features of your own in their place.

    Attributes
    ----------
    mfcc : np.ndarray [shape=(n, frames, n_mfcc), dtype=float32]
        Memory-mapped, read-only, where it comes from a cache. Features of your own may have any
        shape that begins with n.
    table : pd.DataFrame
        One row a segment: ``track``, ``genre`` (categorical), ``artist``, ``segment``
        (0, 1, ... in the track), ``augmentation``, ``fault_filtered``.
    left_out : pd.DataFrame
        One row a track that could not be used: ``track``, ``path``, ``reason``.

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
        """Keep the rows of a boolean mask or of positions."""
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
    """MFCCs of every segment of 3 s, of the originals and of their augmented copies.

    Parameters
    ----------
    tracks : pd.DataFrame
        What `gtzan_mfcc.dataset.load_tracks` gives.
    augmentations : sequence of str, or dict of str to function
        Which copies to add beside the originals, out of
        `gtzan_mfcc.augmentation.AUGMENTATIONS`; ``augmentation.STUDY`` for the study's three.
        Or augmentations of your own by name: functions of signals ``y`` and a keyword ``seed``.
    n_mfcc : int
        Number of coefficients.
    n_fft, hop_length : int
        Length of the Fourier transform, and samples from frame to frame.
    seed : int
        Seed of the augmentations.
    n_jobs : int
        Number of processes; -1 for one a core, or for all workers of a cluster.
    cache : str or Path, optional
        A folder in which the result of each track is kept as it is made. A track is not computed
        again as long as its file (path, size and date), the settings, the packages and the code
        are the same; a run that was stopped goes on where it was. By default ``build/cache`` of
        the project.
    strict : bool
        Raise at the first track that cannot be used, instead of leaving it out.
    progress : bool
        Show a progress bar.

    Returns
    -------
    segments : Segments
        In the order of `tracks`; of one track all originals first, then each
        augmentation.

    Raises
    ------
    AudioError
        If no track at all can be used, or, with `strict`, if one cannot.
    CacheError
        If `cache` cannot be written to; what was finished is kept.
    ValueError
        If there is no augmentation of that name.

    Notes
    -----
    The tracks go through joblib. With ``joblib.parallel_config(backend="dask")`` (or ray's)
    around the call they are spread over the workers of a cluster, who must find the files
    under the same paths; only this process writes to `cache`. The result is the same to
    the last bit.

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
    # In alphabetical order; of a selection of tracks, no genre that is not in it.
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
    """Build the table of 57 features for a corpus, as Kaggle's ``features_3_sec.csv`` has it.

    Parameters
    ----------
    tracks : pd.DataFrame
        What `gtzan_mfcc.dataset.load_tracks` gives.
    whole_tracks : bool
        One row a track, as ``features_30_sec.csv`` has it, instead of one a segment.
    n_jobs, cache, strict, progress
        As for `extract_mfcc`.

    Returns
    -------
    table : pd.DataFrame
        Kaggle's columns, in its order: ``filename`` (``blues.00000.0.wav``), ``length``
        (samples), the 57 features, ``label``.
    left_out : pd.DataFrame
        One row a track that could not be used: ``track``, ``path``, ``reason``.

    Raises
    ------
    AudioError
        If no track at all can be used, or, with `strict`, if one cannot.
    CacheError
        If `cache` cannot be written to; what was finished is kept.

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
    # Once glibc has been given so much back, it keeps what it is given back from then on; to ask
    # the system for memory again would take a quarter of the time.
    np.empty(31 * 2**20, np.uint8)
    # Each augmentation has a generator of its own, which goes on from batch to batch.
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
        # Segments start every 66,150 samples, and leave out the last of them.
        cut = audio.segments(audio.blocks(path), shortest=KAGGLE_SEGMENT_LENGTH)
        batches = (batch[:, :KAGGLE_SEGMENT_LENGTH] for batch in cut)
    # NumPy's last digits depend on its number of threads, and that on the number of workers.
    with threadpool_limits(1):
        rows = [(features.tabular_features(batch), batch.shape[1]) for batch in batches]
    return np.concatenate([np.insert(numbers, 0, length, axis=1) for numbers, length in rows])
