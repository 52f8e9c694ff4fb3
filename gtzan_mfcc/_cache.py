"""Process tracks in parallel, keep the result of each, and continue after an interruption.

In the cache folder, ``tracks/<key>.npy`` holds the rows of one track (or the reason why it has
none), and ``<kind>-<key>.npy`` the rows of a whole call. A key is a hash of everything that the
rows depend on.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from filelock import FileLock
from joblib.func_inspect import get_func_code

from gtzan_mfcc import audio, dataset
from gtzan_mfcc._disk import aside, package_versions, writing_to
from gtzan_mfcc._librosa import librosa
from gtzan_mfcc._progress import bar

# The modules whose code the rows depend on, read when this process imports them.
_MODULES = "_decoders audio augmentation extraction features".split()
_CODE = [Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in _MODULES]


def rows_of_tracks(
    kind: str, work: partial, tracks: pd.DataFrame, *, cache: str | Path | None, **how: bool | int
) -> tuple[np.ndarray, list[int], pd.DataFrame]:
    """Compute the rows of each track with `work(track, path)`, or read them from the cache.

    The other parameters are those of `extract_mfcc`; all are required. Returns the rows, the
    number of rows of each track, and a table of the tracks without rows.
    """
    folder = Path(cache) if cache is not None else dataset.build_dir() / "cache"
    keys = _keys(work, tracks)
    files = [folder / "tracks" / f"{key}.npy" for key in keys]
    path = folder / f"{kind}-{_digest(keys)}.npy"
    if not _is_finished(path, files):
        with writing_to(folder):
            (folder / "tracks").mkdir(parents=True, exist_ok=True)
            # A second process that needs the same result waits here.
            lock = FileLock(path.with_suffix(".lock")).acquire()
        with lock:
            if not _is_finished(path, files):
                _make(files, work, tracks, how)
                _join(files, path)
    counts, reasons = _outcomes(files)
    left_out = tracks[["track", "path"]].assign(reason=pd.Series(reasons, tracks.index, object))
    left_out = left_out.dropna(subset="reason").reset_index(drop=True)
    if how["strict"] and len(left_out):
        raise audio.AudioError(left_out["reason"][0])
    ignored = pd.DataFrame(tracks.attrs.get("ignored", []), columns=left_out.columns)
    return _mapped(path), counts, pd.concat([left_out, ignored], ignore_index=True)


def _is_finished(path: Path, files: list[Path]) -> bool:
    """Return whether all tracks are in the cache, and the array of all rows, too."""
    joined, (counts, reasons) = _mapped(path), _outcomes(files)
    return joined is not None and "" not in reasons and len(joined) == sum(counts)


def _make(files: list[Path], work: partial, tracks: pd.DataFrame, how: dict) -> None:
    """Compute and save the rows of each track that has none; try bad files again."""
    missing = [k for k, n in enumerate(_outcomes(files)[0]) if not n]
    to_do = tracks[["track", "path"]].iloc[missing].itertuples(index=False)
    jobs = (joblib.delayed(_attempt)(work, *track) for track in to_do)
    outcomes = joblib.Parallel(n_jobs=how["n_jobs"], return_as="generator")(jobs)
    done = len(files) - len(missing)
    try:
        for k in bar(missing, "track", how["progress"], total=len(files), initial=done):
            rows = next(outcomes)
            with writing_to(files[k].parents[1]), aside(files[k]) as unfinished:
                np.save(unfinished, rows)
            if how["strict"] and not rows.ndim:
                raise audio.AudioError(str(rows))
    finally:
        with warnings.catch_warnings():
            # joblib warns about lost results if the loop ends early.
            warnings.simplefilter("ignore", UserWarning)
            outcomes.close()


def _join(files: list[Path], path: Path) -> None:
    """Write the rows of all tracks to one array, file by file, to save memory."""
    counts, reasons = _outcomes(files)
    if not any(counts):
        reason = reasons[0] if files else "the track table is empty."
        raise audio.AudioError(f"none of {len(files)} tracks can be used; the first: {reason}")
    used = [file for file, n in zip(files, counts) if n]
    header = np.lib.format.header_data_from_array_1_0(np.load(used[0]))
    header["shape"] = (sum(counts), *header["shape"][1:])
    with writing_to(path.parent), aside(path) as unfinished, unfinished.open("wb") as joined:
        np.lib.format.write_array_header_1_0(joined, header)
        for file in used:
            joined.write(np.load(file))


def _outcomes(files: list[Path]) -> tuple[list[int], list[str | None]]:
    """Count the rows of each track; if none, give the reason, or "" if it is not in the cache."""
    counts, reasons = [], []
    for rows in map(_mapped, files):
        counts.append(len(rows) if rows is not None and rows.ndim else 0)
        reasons.append(None if counts[-1] else "" if rows is None else str(rows))
    return counts, reasons


def _mapped(path: Path) -> np.ndarray | None:
    """Memory-map an array; None if the file is missing or damaged."""
    try:
        rows = np.load(path, mmap_mode="r")
        return rows if rows.offset + rows.nbytes == path.stat().st_size else None
    except Exception:  # A damaged header can raise many kinds of errors.
        return None


def _keys(work: partial, tracks: pd.DataFrame) -> list[str]:
    """Hash everything that the rows of each track depend on."""
    packages = [package_versions(), find_spec("av") is None]
    made_by = _digest([work.func.__name__, work.keywords, packages, _CODE])
    keys = []
    for track, path in zip(tracks["track"], tracks["path"]):
        stat = os.stat(path) if os.access(path, os.R_OK) else None
        keys.append(_digest([made_by, track, path, stat and [stat.st_size, stat.st_mtime_ns]]))
    return keys


def _digest(content: list) -> str:
    return hashlib.sha256(json.dumps(content, default=_described).encode()).hexdigest()[:16]


def _described(value: Callable) -> list:
    """Describe a function, such as an augmentation, by its code and settings, for JSON."""
    function, settings = getattr(value, "func", value), getattr(value, "keywords", None)
    code, defaults = get_func_code(function)[0], getattr(function, "__kwdefaults__", value)
    return [code, repr([defaults, settings])]


def _attempt(work: Callable, track: str, path: str) -> np.ndarray:
    """Return the rows of a track, or a 0-dimensional array with the reason why it has none."""
    try:
        return work(track, path)
    except (audio.AudioError, librosa.ParameterError, OSError) as error:
        reason = str(error) if path in str(error) else f"{path}: {error}"
        if known := dataset.CORRUPT_FILES.get(Path(path).name):
            reason = f"{reason} ({known})"
        return np.array(reason)
