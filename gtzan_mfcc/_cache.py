"""Do some work for every track: in parallel, once, and go on after a stop."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import joblib
import librosa
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from gtzan_mfcc import dataset
from gtzan_mfcc._disk import Item, Rows, writing_to
from gtzan_mfcc._progress import bar, note
from gtzan_mfcc.audio import AudioError

# Raised when what is extracted changes for the same settings, so that no older cache is read.
_CACHE_VERSION = 3

_PACKAGES = ("librosa", "numpy", "python-stretch", "scipy", "soundfile", "soxr")


def rows_of_tracks(
    kind: str,
    work: partial,
    tracks: pd.DataFrame,
    *,
    n_jobs: int,
    cache: str | Path | None,
    strict: bool,
    progress: bool,
) -> Rows:
    """Give the rows that `work` makes of each track's name and path, now or earlier.

    `work` and its keywords decide what comes out; `kind` is the first part of the name of
    the folder in `cache`. The other parameters are those of `extract_mfcc`.
    """
    keys = _keys(tracks, [kind, work.keywords])
    cache = Path(cache) if cache is not None else dataset.build_dir() / "cache"
    folder = cache / f"{kind}-{_digest(keys)}"
    rows = Rows(folder)
    if not rows.is_complete(len(keys)):
        with _only_one(folder, progress):
            # Another process may have finished it in the meantime.
            if not Rows(folder).is_complete(len(keys)):
                _fill(folder, work, tracks, keys, n_jobs, strict, progress)
        rows = Rows(folder)
    _check(rows.items, strict)
    return rows


def _fill(
    folder: Path,
    work: Callable,
    tracks: pd.DataFrame,
    keys: list[str],
    n_jobs: int,
    strict: bool,
    progress: bool,
) -> None:
    """Make a folder with the rows of these tracks; copy those that were made before."""
    kind = folder.name.partition("-")[0]
    rows = Rows(folder.with_suffix(".unfinished"))
    made = {
        item.key: (other, item)
        for other in map(Rows, folder.parent.glob(f"{kind}-*/"))
        for item in other.items
        if item.n_rows and other.folder != rows.folder
    }
    with writing_to(folder.parent):
        rows.go_on()
    _check(rows.items, strict)
    done = len(rows.items)
    jobs = list(zip(keys, tracks["track"], tracks["path"]))[done:]
    outcomes = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
        joblib.delayed(_attempt)(work, track, path) for key, track, path in jobs if key not in made
    )
    try:
        for key, track, path in bar(jobs, "track", progress, total=len(keys), initial=done):
            outcome = made[key][0].of(made[key][1]) if key in made else next(outcomes)
            if outcome is None:
                outcome = _attempt(work, track, path)
            with writing_to(folder.parent):
                if isinstance(outcome, AudioError):
                    rows.append(key, None, str(outcome))
                else:
                    rows.append(key, outcome)
            _check(rows.items[-1:], strict)
    finally:
        with warnings.catch_warnings():
            # joblib is sorry for the tracks that are lost when the loop is left early.
            warnings.simplefilter("ignore", UserWarning)
            outcomes.close()
    if not len(rows):
        reason = rows.items[0].reason if rows.items else "the track table is empty."
        raise AudioError(f"none of {len(keys)} tracks can be used; the first: {reason}")
    with writing_to(folder.parent):
        rows.finish(folder)


def _check(items: list[Item], strict: bool) -> None:
    """Raise, if so asked, for the first track that was left out."""
    if strict and (reasons := [item.reason for item in items if item.reason]):
        raise AudioError(reasons[0])


@contextmanager
def _only_one(folder: Path, progress: bool) -> Iterator[None]:
    """Let other processes that want to make the same folder wait."""
    lock = FileLock(f"{folder}.lock")
    with writing_to(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            note(f"another process is at work on {folder}; waiting for it", progress)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _keys(tracks: pd.DataFrame, settings: list) -> list[str]:
    """Make a key a track, which changes with its file, the settings and the packages."""
    made_by = [_CACHE_VERSION, *map(version, _PACKAGES), settings]
    keys = []
    for track, path in zip(tracks["track"], tracks["path"]):
        stat = os.stat(path) if os.access(path, os.R_OK) else None
        keys.append(_digest([made_by, track, str(path), stat and [stat.st_size, stat.st_mtime_ns]]))
    return keys


def _digest(content: list) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def left_out(tracks: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """List the tracks that gave no rows: ``track``, ``path``, ``reason``."""
    reasons = np.array([item.reason for item in rows.items], dtype=object)
    table = tracks[["track", "path"]].assign(reason=reasons)
    return table[table["reason"].notna()].reset_index(drop=True)


def _attempt(work: Callable, track: str, path: str) -> object:
    """Give the result, or the AudioError that tells why there is none."""
    try:
        return work(track, path)
    except (AudioError, librosa.ParameterError, OSError) as error:
        reason = str(error)
        if path not in reason:
            reason = f"{path}: {reason}"
        if known := dataset.KNOWN_FAULTS.get(Path(path).name):
            reason = f"{reason} ({known})"
        return AudioError(reason)
