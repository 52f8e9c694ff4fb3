"""Do some work for every track: in parallel, once, and go on after a stop.

In the cache folder, ``tracks/<key>.npy`` holds the rows of one track (or the reason why there
are none), and ``<kind>-<key>.npy`` those of a whole call. A key changes with everything that
its rows depend on.
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

# The modules whose code decides what is extracted, as they are when this process imports them.
_MODULES = "_decoders audio augmentation extraction features".split()
_CODE = [Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in _MODULES]


def rows_of_tracks(
    kind: str, work: partial, tracks: pd.DataFrame, *, cache: str | Path | None, **how: bool | int
) -> tuple[np.ndarray, list[int], pd.DataFrame]:
    """Give the rows that `work` makes of each track's name and path, now or earlier.

    The other parameters are those of `extract_mfcc`, all of them. Returned are the rows, how many
    of them each track has, and the tracks that have none.
    """
    folder = Path(cache) if cache is not None else dataset.build_dir() / "cache"
    keys = _keys(work, tracks)
    files = [folder / "tracks" / f"{key}.npy" for key in keys]
    path = folder / f"{kind}-{_digest(keys)}.npy"
    if not _is_finished(path, files):
        with writing_to(folder):
            (folder / "tracks").mkdir(parents=True, exist_ok=True)
            # A second process that wants the same result waits here for it.
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
    """Tell if all tracks are there, and the rows of all of them in one array."""
    joined, (counts, reasons) = _mapped(path), _outcomes(files)
    return joined is not None and "" not in reasons and len(joined) == sum(counts)


def _make(files: list[Path], work: partial, tracks: pd.DataFrame, how: dict) -> None:
    """Make and keep the rows of each track that has none; look at bad files again."""
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
            # joblib warns of the tracks that are lost when the loop is left early.
            warnings.simplefilter("ignore", UserWarning)
            outcomes.close()


def _join(files: list[Path], path: Path) -> None:
    """Write the rows of all tracks to one array, file by file, so that memory stays small."""
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
    """Count the rows of each track; give the reason if it has none, "" if it was never made."""
    counts, reasons = [], []
    for rows in map(_mapped, files):
        counts.append(len(rows) if rows is not None and rows.ndim else 0)
        reasons.append(None if counts[-1] else "" if rows is None else str(rows))
    return counts, reasons


def _mapped(path: Path) -> np.ndarray | None:
    """Map an array into memory; None if there is none, or it is damaged."""
    try:
        rows = np.load(path, mmap_mode="r")
        return rows if rows.offset + rows.nbytes == path.stat().st_size else None
    except Exception:  # A damaged header fails in many ways.
        return None


def _keys(work: partial, tracks: pd.DataFrame) -> list[str]:
    """Make a key for each track, of all that its rows depend on."""
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
    """Describe a function, which JSON cannot hold: an augmentation, perhaps from a notebook."""
    function, settings = getattr(value, "func", value), getattr(value, "keywords", None)
    code, defaults = get_func_code(function)[0], getattr(function, "__kwdefaults__", value)
    return [code, repr([defaults, settings])]


def _attempt(work: Callable, track: str, path: str) -> np.ndarray:
    """Give the rows of a track; or, as an array without axes, the reason why there are none."""
    try:
        return work(track, path)
    except (audio.AudioError, librosa.ParameterError, OSError) as error:
        reason = str(error) if path in str(error) else f"{path}: {error}"
        if known := dataset.CORRUPT_FILES.get(Path(path).name):
            reason = f"{reason} ({known})"
        return np.array(reason)
