"""Track table to arrays: MFCCs of every segment, or the 57 features, in parallel and cached."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import joblib
import librosa
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from gtzan_mfcc import audio, augmentation, dataset, features
from gtzan_mfcc._progress import bar

KAGGLE_SEGMENT_LENGTH = audio.SEGMENT_LENGTH - 1
"""Samples in a segment of Kaggle's ``features_3_sec.csv``."""

# Raised when what is extracted changes for the same settings, so that no older cache is read.
_CACHE_VERSION = 1


@dataclass(frozen=True)
class Segments:
    """MFCCs of many segments, and one row about each.

    Attributes
    ----------
    mfcc : np.ndarray [shape=(n, frames, n_mfcc), dtype=float32]
        Memory-mapped, read-only, where it comes from a cache.
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
    left_out: pd.DataFrame

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
        return Segments(
            self.mfcc[rows], self.table.iloc[rows].reset_index(drop=True), self.left_out
        )


def extract_mfcc(
    tracks: pd.DataFrame,
    *,
    augmentations: Sequence[str] = (),
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
    augmentations : sequence of str
        Which copies to add beside the originals, out of
        `gtzan_mfcc.augmentation.AUGMENTATIONS`.
    n_mfcc : int
        Number of coefficients.
    n_fft, hop_length : int
        Length of the Fourier transform, and samples from frame to frame.
    seed : int
        Seed of the augmentations.
    n_jobs : int
        Number of processes; -1 for one a core.
    cache : str or Path, optional
        A folder in which the result is kept, and from which it is read when tracks
        (names, sizes and dates of the files) and settings are the same. By default
        ``build/cache`` of the project.
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
    ValueError
        If there is no augmentation of that name.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    if isinstance(augmentations, str):
        augmentations = [augmentations]
    if unknown := set(augmentations) - set(augmentation.AUGMENTATIONS):
        raise ValueError(
            f"no augmentation {', '.join(sorted(unknown))}; there are "
            f"{', '.join(augmentation.AUGMENTATIONS)}."
        )
    copies = ("original", *augmentations)
    work = partial(
        _track_mfcc, copies=copies, seed=seed, n_mfcc=n_mfcc, n_fft=n_fft, hop_length=hop_length
    )

    def compute(folder: Path) -> None:
        results, left_out = _map_tracks(work, tracks, n_jobs, strict, progress)
        np.save(folder / "mfcc.npy", np.concatenate([mfcc for _, mfcc in results]))
        rows = [
            (position, segment, copy)
            for position, mfcc in results
            for copy in copies
            for segment in range(len(mfcc) // len(copies))
        ]
        table = pd.DataFrame(rows, columns=["position", "segment", "augmentation"])
        table.to_csv(folder / "segments.csv", index=False)
        left_out.to_csv(folder / "left_out.csv", index=False)

    settings = ["mfcc", copies, seed, n_mfcc, n_fft, hop_length]
    files = ["mfcc.npy", "segments.csv", "left_out.csv"]
    folder = _cached(compute, files, tracks, settings, cache)
    table = pd.read_csv(folder / "segments.csv")
    facts = tracks.iloc[table.pop("position")].drop(columns="path").reset_index(drop=True)
    # In alphabetical order; of a selection of tracks, no genre that is not in it.
    facts["genre"] = pd.Categorical(facts["genre"].astype(str))
    return Segments(
        np.load(folder / "mfcc.npy", mmap_mode="r"),
        pd.concat([facts, table], axis=1),
        pd.read_csv(folder / "left_out.csv"),
    )


def extract_features(
    tracks: pd.DataFrame,
    path: str | Path | None = None,
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
    path : str or Path, optional
        Write the table to this CSV file, too; its folder is made if need be.
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

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    work = partial(_track_features, whole_tracks=whole_tracks)

    def compute(folder: Path) -> None:
        results, left_out = _map_tracks(work, tracks, n_jobs, strict, progress)
        genres = tracks["genre"].to_list()
        table = pd.concat([rows.assign(label=genres[position]) for position, rows in results])
        table.to_csv(folder / "features.csv", index=False)
        left_out.to_csv(folder / "left_out.csv", index=False)

    # The labels stand in the file itself.
    settings = ["features", whole_tracks, tracks["genre"].to_list()]
    folder = _cached(compute, ["features.csv", "left_out.csv"], tracks, settings, cache)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "features.csv", path)
    table = dataset.load_feature_table(folder / "features.csv")
    return table, pd.read_csv(folder / "left_out.csv")


def _track_mfcc(
    track: str, path: str, *, copies: Sequence[str], seed: int, **settings: int
) -> np.ndarray:
    segments = audio.cut(audio.load(path))
    return np.concatenate(
        [
            features.mfcc(augmentation.augment(segments, copy, track=track, seed=seed), **settings)
            for copy in copies
        ]
    )


def _track_features(track: str, path: str, *, whole_tracks: bool) -> pd.DataFrame:
    y = audio.load(path)
    if whole_tracks:
        signals, names = y[np.newaxis], [f"{track}.wav"]
    else:
        # Segments start every 66,150 samples, and leave out the last of them.
        signals = audio.cut(y, shortest=KAGGLE_SEGMENT_LENGTH)[:, :KAGGLE_SEGMENT_LENGTH]
        names = [f"{track}.{k}.wav" for k in range(len(signals))]
    table = pd.DataFrame(features.tabular_features(signals), columns=features.FEATURE_NAMES)
    table.insert(0, "filename", names)
    table.insert(1, "length", signals.shape[1])
    return table


def _map_tracks(
    work: Callable, tracks: pd.DataFrame, n_jobs: int, strict: bool, progress: bool
) -> tuple[list[tuple[int, object]], pd.DataFrame]:
    """Apply `work` to each track; give (position, result) of those that worked, and the rest."""
    names_and_paths = list(zip(tracks["track"], tracks["path"]))
    outcomes = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
        joblib.delayed(_attempt)(work, track, path) for track, path in names_and_paths
    )
    outcomes = bar(outcomes, "track", progress, total=len(tracks))
    results, left_out = [], []
    for position, outcome in enumerate(outcomes):
        if not isinstance(outcome, audio.AudioError):
            results.append((position, outcome))
        elif strict:
            raise outcome
        else:
            left_out.append((*names_and_paths[position], str(outcome)))
    if not results:
        reason = left_out[0][2] if left_out else "the track table is empty."
        raise audio.AudioError(f"none of {len(tracks)} tracks can be used; the first: {reason}")
    return results, pd.DataFrame(left_out, columns=["track", "path", "reason"])


def _attempt(work: Callable, track: str, path: str) -> object:
    """Give the result, or the AudioError that tells why there is none."""
    try:
        # NumPy's last digits depend on its number of threads, and that on the number of workers.
        with threadpool_limits(1):
            return work(track, path)
    except (audio.AudioError, librosa.ParameterError, OSError) as error:
        reason = str(error)
        if path not in reason:
            reason = f"{path}: {reason}"
        if known := dataset.KNOWN_FAULTS.get(Path(path).name):
            reason = f"{reason} ({known})"
        return audio.AudioError(reason)


def _cached(
    compute: Callable[[Path], None],
    names: Sequence[str],
    tracks: pd.DataFrame,
    settings: list,
    cache: str | Path | None,
) -> Path:
    """Return the folder that `compute` filled with files of these names, now or earlier."""
    files = []
    for track, path in zip(tracks["track"], tracks["path"]):
        stat = os.stat(path) if os.path.exists(path) else None
        files.append((track, str(path), stat and (stat.st_size, stat.st_mtime_ns)))
    made_by = [_CACHE_VERSION, *map(version, ("audiomentations", "librosa", "numpy", "scipy"))]
    key = hashlib.sha256(json.dumps([made_by, settings, files]).encode()).hexdigest()[:16]
    cache = Path(cache) if cache is not None else dataset.build_dir() / "cache"
    folder = cache / f"{settings[0]}-{key}"
    if all((folder / name).is_file() for name in names):
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # Someone took away a part of it.
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=cache, prefix="unfinished-"))
    try:
        compute(unfinished)
        # Renamed when complete: a run that is stopped leaves nothing that looks finished.
        os.rename(unfinished, folder)
    except OSError:
        # Another process may have finished the same work first.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
