"""Process tracks in parallel, keep the rows of each, continue after an interruption.

In the folder of a cache, ``tracks/<key>.npy`` holds the rows of one copy of one track,
and ``<kind>-<key>.npy`` those of a whole call. A key is a hash of everything that the
rows depend on. Files that failed are tried again by each call.
"""

import os
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryFile

import joblib
import numpy as np
import pandas as pd

from gtzan_mfcc import audio, dataset
from gtzan_mfcc._identity import digest
from gtzan_mfcc._librosa import librosa
from gtzan_mfcc._util import bar, locked, temporary, writing_to

Work = Callable[[str, str, list[str]], list[np.ndarray]]


def rows_of_tracks(
    kind: str,
    work: Work,
    tracks: pd.DataFrame,
    keys: dict[str, str | None],
    *,
    cache: str | Path | None,
    n_jobs: int,
    strict: bool,
    progress: bool,
) -> tuple[np.ndarray, list[int], pd.DataFrame]:
    """Compute the rows of all copies of each track, or read them from the cache.

    ``work(track, path, copies)`` computes the rows of these copies. `keys` has a hash
    for each copy of everything but the track; None if the rows are not to be kept. The
    other parameters are those of `extract_mfcc`. Returns the rows, track by track and
    copy by copy; the number of rows of each track, for one copy; and a table of the
    tracks without rows.
    """
    if tracks.empty:
        raise audio.AudioError("the track table is empty.")
    folder = None if cache is None else Path(cache)
    files = [_files(folder, track, keys) for track in tracks.itertuples()]
    rows: dict[int, list[np.ndarray | None]] = {}
    reasons: dict[int, str] = {}
    missing = _missing(files)
    if missing:
        with _only_process(folder):
            # Another process may have computed some of them in the meantime.
            missing = _missing(files)
            outcomes = _compute(work, tracks, list(keys), missing, n_jobs)
            done = len(tracks) - len(missing)
            try:
                for k in bar(
                    missing, "track", progress, total=len(tracks), initial=done
                ):
                    outcome = next(outcomes)
                    if isinstance(outcome, str):
                        reasons[k] = outcome
                        if strict:
                            raise audio.AudioError(outcome)
                    else:
                        rows[k] = _keep(outcome, missing[k], files[k])
            finally:
                with warnings.catch_warnings():
                    # joblib warns about lost results if the loop ends early.
                    warnings.simplefilter("ignore", UserWarning)
                    outcomes.close()
    left_out = tracks[["track", "path"]].iloc[list(reasons)]
    left_out = left_out.reset_index(drop=True)
    left_out["reason"] = pd.Series(list(reasons.values()), dtype=object)
    used = [k for k in range(len(tracks)) if k not in reasons]
    if not used:
        reason = left_out["reason"][0]
        raise audio.AudioError(f"none of {len(tracks)} tracks can be used; {reason}")
    used_files = [file for k in used for file in files[k]]
    if folder is not None and None not in used_files:
        joined = _joined(folder, kind, used_files)
        n_rows = [len(_mapped(files[k][0])) for k in used]
    else:
        pieces = [_read(rows.get(k), files[k]) for k in used]
        n_rows = [len(of_track[0]) for of_track in pieces]
        joined = np.concatenate([piece for of_track in pieces for piece in of_track])
    counts = np.zeros(len(tracks), int)
    counts[used] = n_rows
    return joined, counts.tolist(), left_out


def clear_cache(cache: str | Path) -> None:
    """Empty a cache: delete all results in it, of extraction and of cross-validation.

    Parameters
    ----------
    cache : str or Path
        The folder that was given as ``cache``. Other files in it stay.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> clear_cache(mkdtemp())
    """
    ours = re.compile(r"((mfcc|features)-)?[0-9a-f]{16}|unfinished-[0-9a-f]{8}")
    for pattern in ("*.npy", "tracks/*.npy", "folds/*.npz"):
        for file in Path(cache).glob(pattern):
            if ours.fullmatch(file.stem):
                file.unlink(missing_ok=True)


def _files(
    folder: Path | None, track: tuple, keys: dict[str, str | None]
) -> list[Path | None]:
    """Name the file of each copy of a track; None if its rows are not to be kept."""
    if folder is None:
        return [None] * len(keys)
    try:
        stat = os.stat(track.path)
        version = [stat.st_size, stat.st_mtime_ns]
    except (OSError, ValueError):
        version = None  # It cannot be read, so it will have no rows.
    facts = [track.track, track.path, version]
    return [
        None if key is None else folder / "tracks" / f"{digest([key, *facts])}.npy"
        for key in keys.values()
    ]


def _missing(files: list[list[Path | None]]) -> dict[int, list[int]]:
    """List the copies of each track that are to be computed."""
    missing = {}
    for k, of_track in enumerate(files):
        copies = [
            copy
            for copy, file in enumerate(of_track)
            if file is None or _mapped(file) is None
        ]
        if copies:
            missing[k] = copies
    return missing


def _only_process(folder: Path | None) -> object:
    """Make the folder of the cache; let other processes that need it wait."""
    if folder is None:
        return nullcontext()
    with writing_to(folder / "tracks"), TemporaryFile(dir=folder / "tracks"):
        pass  # It can be written to. Otherwise, fail now and not after the work.
    return locked(folder / "cache.lock")


def _compute(
    work: Work,
    tracks: pd.DataFrame,
    names: list[str],
    missing: dict[int, list[int]],
    n_jobs: int,
) -> object:
    """Compute the missing copies, track by track, with several processes."""
    jobs = []
    for k, copies in missing.items():
        track, path = tracks[["track", "path"]].iloc[k]
        wanted = [names[copy] for copy in copies]
        jobs.append(joblib.delayed(_attempt)(work, track, path, wanted))
    return joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)


def _attempt(
    work: Work, track: str, path: str, copies: list[str]
) -> list[np.ndarray] | str:
    """Return the rows of the copies of a track, or the reason why it has none."""
    try:
        return work(track, path, copies)
    except (audio.AudioError, librosa.ParameterError, OSError) as error:
        reason = str(error) if path in str(error) else f"{path}: {error}"
        known = dataset.CORRUPT_FILES.get(Path(path).name)
        return f"{reason} ({known})" if known else reason


def _keep(
    outcome: list[np.ndarray], copies: list[int], files: list[Path | None]
) -> list[np.ndarray | None]:
    """Save the rows that have a file; return those that have none, in their places."""
    rows = [None] * len(files)
    for copy, computed in zip(copies, outcome):
        file = files[copy]
        if file is None:
            rows[copy] = computed
        else:
            with writing_to(file.parent), temporary(file) as unfinished:
                np.save(unfinished, computed)
    return rows


def _read(
    rows: list[np.ndarray | None] | None, files: Sequence[Path | None]
) -> list[np.ndarray]:
    """Return the rows of all copies of a track, from memory or from its files."""
    if rows is None:
        rows = [None] * len(files)
    return [
        np.load(file) if computed is None else computed
        for computed, file in zip(rows, files)
    ]


def _joined(folder: Path, kind: str, files: list[Path]) -> np.ndarray:
    """Join the rows of all files in one array on disk, file by file, to save memory."""
    path = folder / f"{kind}-{digest([file.stem for file in files])}.npy"
    mapped = _mapped(path)
    if mapped is None:
        # One file at a time, because a process cannot keep thousands of files open.
        n_rows = sum(len(_mapped(file)) for file in files)
        first = np.load(files[0])
        header = np.lib.format.header_data_from_array_1_0(first)
        header["shape"] = (n_rows, *first.shape[1:])
        with (
            writing_to(folder),
            temporary(path) as unfinished,
            unfinished.open("wb") as joined,
        ):
            np.lib.format.write_array_header_1_0(joined, header)
            for file in files:
                joined.write(np.load(file))
        mapped = _mapped(path)
    return mapped


def _mapped(path: Path) -> np.ndarray | None:
    """Memory-map an array; None if the file is missing or damaged."""
    try:
        rows = np.load(path, mmap_mode="r")
        complete = rows.offset + rows.nbytes == path.stat().st_size
        return rows if complete else None
    except Exception:  # A damaged header can raise many kinds of errors.
        return None
