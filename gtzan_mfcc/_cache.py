"""Keep what took long to compute, and continue after an interruption.

In the folder of a cache, ``tracks/<key>.npy`` holds the rows of one copy of one track,
and ``<key>.npy`` those of a whole call. ``fits/<key>.npz`` holds a trained network, and
``folds/<key>.npz`` the predictions of a fold. A key is a hash of everything that the
result depends on. Files that failed are tried again by each call.
"""

import os
import re
import warnings
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from librosa.util.exceptions import ParameterError

from gtzan_mfcc import audio, dataset
from gtzan_mfcc._identity import digest
from gtzan_mfcc._util import bar, locked, temporary, writing_to


def rows_of_tracks(work, tracks, keys, *, cache, n_jobs, strict, progress):
    """Compute the rows of all copies of each track, or read them from the cache.

    ``work(track, path, copies)`` computes the rows by copy. `keys` has a hash for each
    copy of everything but the track; None if the rows are not to be kept. The other
    parameters are those of `extract_mfcc`. Returns the rows, track by track and copy by
    copy; the number of rows of each track, for one copy; and a table of the tracks
    without rows.
    """
    if tracks.empty:
        raise audio.AudioError("the track table is empty.")
    folder = None if cache is None else Path(cache)
    files = [_files(folder, track, keys) for track in tracks.itertuples()]
    in_memory = {}
    reasons = {}
    if _missing(files, keys):
        with _only_process(folder):
            # Another process may have computed some of them in the meantime.
            missing = _missing(files, keys)
            computed = _compute(work, tracks, missing, n_jobs, progress)
            with closing(computed):  # This stops the workers after an error.
                for outcome, k in computed:
                    if not isinstance(outcome, str):
                        in_memory |= _save(outcome, k, files[k])
                    elif strict:
                        raise audio.AudioError(outcome)
                    else:
                        reasons[k] = outcome
    used = [k for k in range(len(tracks)) if k not in reasons]
    if not used:
        raise audio.AudioError(
            f"none of {len(tracks)} tracks can be used; {reasons[0]}"
        )

    def rows_of(k, copy):
        if (k, copy) in in_memory:
            return in_memory[k, copy]
        return np.load(files[k][copy])

    counts = np.zeros(len(tracks), int)
    for k in used:
        counts[k] = len(rows_of(k, "original"))
    pairs = [(k, copy) for k in used for copy in keys]
    if in_memory:
        joined = np.concatenate([rows_of(*pair) for pair in pairs])
    else:
        n_rows = counts.sum() * len(keys)
        joined = _joined(folder, [files[k][copy] for k, copy in pairs], n_rows)
    return joined, counts, _left_out(tracks, reasons)


def clear_cache(cache: str | Path) -> None:
    """Empty a cache: delete all results of extraction, training and cross-validation.

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
    ours = re.compile("[0-9a-f]{16}|unfinished-[0-9a-f]{8}")
    for pattern in ("*.npy", "tracks/*.npy", "fits/*.npz", "folds/*.npz"):
        for file in Path(cache).glob(pattern):
            if ours.fullmatch(file.stem):
                file.unlink(missing_ok=True)


def kept_arrays(file, compute):
    """Read arrays by name from a file; compute and write them if there is none.

    If `file` is None, nothing is kept.
    """
    if file is None:
        return compute()
    # A missing or damaged file raises errors of many kinds.
    with suppress(Exception), np.load(file) as kept:
        return dict(kept)
    arrays = compute()
    with writing_to(file.parent), temporary(file) as unfinished:
        np.savez(unfinished, **arrays)
    return arrays


def _files(folder, track, keys):
    """Name the file of each copy of a track whose rows are to be kept."""
    if folder is None:
        return {}
    try:
        stat = os.stat(track.path)
    except (OSError, ValueError):
        return {}  # It cannot be read, so it will have no rows.
    facts = [track.track, track.path, stat.st_size, stat.st_mtime_ns]
    return {
        copy: folder / "tracks" / f"{digest([key, *facts])}.npy"
        for copy, key in keys.items()
        if key is not None
    }


def _missing(files, copies):
    """List the copies of each track that are to be computed."""
    missing = {}
    for k, of_track in enumerate(files):
        names = [copy for copy in copies if _mapped(of_track.get(copy)) is None]
        if names:
            missing[k] = names
    return missing


def _only_process(folder):
    """Make the folder of the cache; let other processes that need it wait."""
    if folder is None:
        return nullcontext()
    with writing_to(folder / "tracks"):
        return locked(folder / "cache.lock")


def _left_out(tracks, reasons):
    """Make the table of the tracks without rows."""
    rows = [(tracks["track"][k], tracks["path"][k], reasons[k]) for k in reasons]
    return pd.DataFrame(rows, columns=["track", "path", "reason"])


def _compute(work, tracks, missing, n_jobs, progress):
    """Yield, of each track, its rows by copy or why it has none, and its number."""
    names = tracks["track"].to_list()
    paths = tracks["path"].to_list()
    jobs = [
        joblib.delayed(_attempt)(work, names[k], paths[k], copies)
        for k, copies in missing.items()
    ]
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    with warnings.catch_warnings(), closing(parallel(jobs)) as outcomes:
        # joblib warns about lost results if the loop ends early.
        warnings.filterwarnings("ignore", r"\d+ tasks ")
        steps = bar(outcomes, "track", progress, total=len(missing))
        yield from zip(steps, missing)


def _attempt(work, track, path, copies):
    """Return the rows of the copies of a track, or the reason why it has none."""
    try:
        return work(track, path, copies)
    except (audio.AudioError, ParameterError, OSError) as error:
        reason = str(error) if path in str(error) else f"{path}: {error}"
        known = dataset.CORRUPT_FILES.get(Path(path).name)
        return f"{reason} ({known})" if known else reason


def _save(outcome, k, files):
    """Save the rows of the copies that have a file; return those of the others."""
    in_memory = {}
    for copy, rows in outcome.items():
        if copy in files:
            with writing_to(files[copy].parent), temporary(files[copy]) as unfinished:
                np.save(unfinished, rows)
        else:
            in_memory[k, copy] = rows
    return in_memory


def _joined(folder, files, n_rows):
    """Join the rows of all files in one array on disk, file by file, to save memory."""
    path = folder / f"{digest([file.stem for file in files])}.npy"
    if _mapped(path) is None:
        # One file at a time, because a process cannot keep thousands of files open.
        first = np.load(files[0])
        header = np.lib.format.header_data_from_array_1_0(first)
        header["shape"] = (int(n_rows), *first.shape[1:])
        with (
            writing_to(folder),
            temporary(path) as unfinished,
            unfinished.open("wb") as joined,
        ):
            np.lib.format.write_array_header_1_0(joined, header)
            for file in files:
                joined.write(np.load(file))
    return _mapped(path)


def _mapped(path):
    """Memory-map an array; None if the file is missing or damaged."""
    try:
        rows = np.load(path, mmap_mode="r")
        complete = rows.offset + rows.nbytes == path.stat().st_size
        return rows if complete else None
    except Exception:  # A damaged header can raise many kinds of errors.
        return None
