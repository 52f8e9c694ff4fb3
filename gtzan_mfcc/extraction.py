"""Extract MFCCs or the 57 features of all segments of a track table, in parallel."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from gtzan_mfcc import audio, augmentation, features
from gtzan_mfcc._cache import clear_cache, rows_of_tracks
from gtzan_mfcc._identity import UnknownCodeError, code_of_modules, digest, identity
from gtzan_mfcc._tables import any_file_names, row_positions
from gtzan_mfcc._util import CacheError, fill_in, package_versions

__all__ = [
    "KAGGLE_SEGMENT_LENGTH",
    "CacheError",
    "Segments",
    "clear_cache",
    "concatenate",
    "extract_features",
    "extract_mfcc",
]

KAGGLE_SEGMENT_LENGTH = audio.SEGMENT_LENGTH - 1
"""Samples in a segment of Kaggle's ``features_3_sec.csv``."""

# What the rows of each track depend on.
_MODULES = "_decoders audio features extraction"
_PACKAGES = "av librosa numpy scipy soundfile soxr"

_NOTHING_LEFT_OUT = pd.DataFrame(columns=["track", "path", "reason"])

_PARALLEL = """n_jobs : int
        Number of processes; -1 for one per core, or for all workers of a cluster.
    cache : str or Path, optional
        A folder to keep the result of each copy of each track, and the joined rows of
        each selection of tracks; None keeps nothing. A result is used again only if the
        file (path, size, date), the settings, the code of this package and the packages
        that compute it are the same. What your own functions compute is not kept. An
        interrupted run continues where it stopped. `clear_cache` empties the folder.
    strict : bool
        Raise an error for the first track that cannot be used, instead of leaving it
        out.
    progress : bool
        Show a progress bar."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Numbers about many segments, such as MFCCs, and a table of one row per segment.

    Parameters
    ----------
    x : np.ndarray [shape=(n, ...)]
        One row per segment: MFCCs [shape=(n, frames, n_mfcc), dtype=float32] from
        `extract_mfcc`, or your own features. It is memory-mapped and read-only if it
        comes from a cache.
    table : pd.DataFrame
        One row per segment: ``track``, ``genre`` (if known), ``artist`` and other facts
        about the track, ``path``, ``segment`` (0, 1, ... in the track), ``start`` (in
        s) and ``augmentation``. Without ``segment``, the rows of a track are numbered;
        without ``augmentation``, all are original. ``genre`` is made categorical, in
        alphabetical order, unless it is categorical already.
    left_out : pd.DataFrame
        One row per file that was not used: ``track``, ``path``, ``reason``.
    settings : Settings, optional
        The settings of the MFCCs; None for your own features.

    Raises
    ------
    ValueError
        If `x` and `table` have different numbers of rows, or if a row has no ``track``.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this class.

    Examples
    --------
    >>> table = pd.DataFrame({"track": ["a", "a", "b"]})
    >>> table["genre"] = ["jazz", "jazz", "blues"]
    >>> segments = Segments(np.zeros((3, 57)), table)
    >>> segments.genres, segments.labels.tolist()
    (['blues', 'jazz'], [1, 1, 0])
    >>> segments.table["segment"].tolist()
    [0, 1, 0]
    """

    x: np.ndarray
    table: pd.DataFrame
    left_out: pd.DataFrame = field(default_factory=_NOTHING_LEFT_OUT.copy)
    settings: features.Settings | None = None

    def __post_init__(self) -> None:
        """Check the table, and add the columns that it lacks."""
        x = np.asanyarray(self.x)
        table = self.table.reset_index(drop=True)
        if len(x) != len(table):
            raise ValueError(f"x has {len(x):,} rows, and the table {len(table):,}.")
        if "track" not in table or table["track"].isna().any():
            raise ValueError("each row of the table needs a name in the column track.")
        if "augmentation" not in table:
            table["augmentation"] = "original"
        if "segment" not in table:
            table["segment"] = table.groupby(["track", "augmentation"]).cumcount()
        if "genre" in table:
            genre = table["genre"]
            if not isinstance(genre.dtype, pd.CategoricalDtype):
                genre = pd.Series(pd.Categorical(genre.map(str, na_action="ignore")))
            table["genre"] = genre.cat.rename_categories(str)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        """Count the segments."""
        return len(self.table)

    @property
    def genres(self) -> list[str]:
        """Names of the genres, in the order of the labels."""
        if "genre" not in self.table or self.table["genre"].isna().any():
            raise ValueError("some segments have no genre; add it to the table.")
        return list(self.table["genre"].cat.categories)

    @property
    def labels(self) -> np.ndarray:
        """Genre of each segment as an index into `genres` [shape=(n,), dtype=int64]."""
        return np.take(range(len(self.genres)), self.table["genre"].cat.codes)

    def select(self, rows: np.ndarray) -> "Segments":
        """Select rows by a boolean mask or by positions.

        All genres are kept, so that the labels of two selections mean the same; see
        `select_genres`.
        """
        rows = row_positions(rows, self.table)
        table = self.table.iloc[rows]
        return Segments(self.x[rows], table, self.left_out, self.settings)

    def select_genres(self, genres: Sequence[str]) -> "Segments":
        """Select the segments of these genres, and forget the other genres."""
        unknown = sorted(set(genres) - set(self.genres))
        if unknown:
            raise ValueError(f"no genre {unknown}; there are {', '.join(self.genres)}.")
        subset = self.select(self.table["genre"].isin(genres))
        subset.table["genre"] = subset.table["genre"].cat.remove_unused_categories()
        return subset


def concatenate(segments: Sequence[Segments]) -> Segments:
    """Join segments, such as those of two folders.

    Parameters
    ----------
    segments : sequence of Segments
        At least one; with rows of the same shape, and the same settings.

    Returns
    -------
    joined : Segments
        All rows, in the order given, with all genres; ``x`` is in memory.

    Raises
    ------
    ValueError
        If the settings or the shapes of the rows differ.

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> blues = Segments(np.zeros((2, 5)), pd.DataFrame({"track": ["a", "b"]}))
    >>> len(concatenate([blues, blues]))
    4
    """
    settings = segments[0].settings
    if any(each.settings != settings for each in segments):
        raise ValueError("the segments have MFCCs of different settings.")
    # pandas 2 warns of columns without values.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        table = pd.concat([each.table for each in segments])
    return Segments(
        np.concatenate([each.x for each in segments]),
        table,
        pd.concat([each.left_out for each in segments], ignore_index=True),
        settings,
    )


@fill_in(parallel=_PARALLEL)
@any_file_names
def extract_mfcc(
    tracks: pd.DataFrame | Sequence[str | Path],
    settings: features.Settings = features.STUDY,
    *,
    augmentations: Sequence[str] | dict[str, Callable] = (),
    hop_seconds: float | None = None,
    seed: int = 0,
    n_jobs: int = -1,
    cache: str | Path | None = None,
    strict: bool = False,
    progress: bool = True,
) -> Segments:
    """Compute the MFCCs of all segments of tracks, and of their augmented copies.

    Parameters
    ----------
    tracks : pd.DataFrame, or sequence of str or Path
        A table from `gtzan_mfcc.dataset.load_tracks`, or with the columns ``path`` and
        ``track``, and ``genre`` if it is known. Or just sound files, or one.
    settings : Settings
        Length of a segment, sample rate and the settings of the MFCCs.
    augmentations : sequence of str, or dict of str to callable
        Names of `gtzan_mfcc.augmentation.AUGMENTATIONS`, one for each copy to add to
        the originals; ``augmentation.STUDY`` for the study's three. Or augmentations by
        the name of the copy: whatever `gtzan_mfcc.augmentation.augment` takes, such as
        your own function of one signal.
    hop_seconds : float, optional
        Seconds from the start of one segment to the next; if less than
        ``settings.seconds``, segments overlap. By default they do not.
    seed : int
        Seed of the augmentations.
    {parallel}

    Returns
    -------
    segments : Segments
        In the order of `tracks`. For each track, all originals come first, then each
        copy.

    Raises
    ------
    AudioError
        If no track can be used, or, with `strict`, if one track cannot.
    CacheError
        If `cache` cannot be written to; finished results are kept.
    ValueError
        If two tracks or two copies have the same name, if there is no augmentation of
        that name, if `hop_seconds` is not between 0 and the length of a segment, or if
        the table has a column ``segment``, ``start`` or ``augmentation``.

    Notes
    -----
    The tracks are processed by joblib. With ``joblib.parallel_config(backend="dask")``
    (or ray) around the call, the workers of a cluster process them. The workers must
    find the files under the same paths; only this process writes to `cache`. The result
    is exactly the same.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> import soundfile
    >>> from tempfile import mkdtemp
    >>> from gtzan_mfcc import toy
    >>> file = Path(mkdtemp(), "waltz.wav")
    >>> soundfile.write(file, toy.make_track("waltz", 0, seconds=7), 22_050)
    >>> segments = extract_mfcc([file], augmentations=["white_noise"], n_jobs=1)
    >>> segments.x.shape
    (4, 130, 13)
    >>> segments.table[["segment", "start", "augmentation"]]
       segment  start augmentation
    0        0    0.0     original
    1        1    3.0     original
    2        0    0.0  white_noise
    3        1    3.0  white_noise
    """
    tracks = _track_table(tracks)
    functions = _augmentations(augmentations)
    step = settings.segment_length
    if hop_seconds is not None:
        step = round(hop_seconds * settings.sample_rate)
    work = partial(
        _mfcc_of_track, settings=settings, step=step, functions=functions, seed=seed
    )
    x, counts, left_out = rows_of_tracks(
        work,
        tracks,
        _keys(cache, ["mfcc", settings, step], functions, seed),
        cache=cache,
        n_jobs=n_jobs,
        strict=strict,
        progress=progress,
    )
    copies = ["original", *functions]
    table = tracks.loc[tracks.index.repeat(counts * len(copies))]
    table = table.reset_index(drop=True)
    if "genre" in table:
        # Only the genres of these tracks, in alphabetical order.
        table["genre"] = table["genre"].astype(object)
    segment = [np.tile(np.arange(n), len(copies)) for n in counts]
    table["segment"] = np.concatenate(segment)
    table["start"] = table["segment"] * step / settings.sample_rate
    table["augmentation"] = np.concatenate([np.repeat(copies, n) for n in counts])
    return Segments(x, table, left_out, settings)


@fill_in(parallel=_PARALLEL)
@any_file_names
def extract_features(
    tracks: pd.DataFrame | Sequence[str | Path],
    *,
    whole_tracks: bool = False,
    n_jobs: int = -1,
    cache: str | Path | None = None,
    strict: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute a table of the 57 features, as in Kaggle's ``features_3_sec.csv``.

    Parameters
    ----------
    tracks : pd.DataFrame, or sequence of str or Path
        As for `extract_mfcc`.
    whole_tracks : bool
        One row per track, as in ``features_30_sec.csv``, instead of one per segment.
    {parallel}

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
    ValueError
        If two tracks have the same name, or the table has a column ``segment``,
        ``start`` or ``augmentation``.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> import soundfile
    >>> from tempfile import mkdtemp
    >>> from gtzan_mfcc import toy
    >>> file = Path(mkdtemp(), "waltz.wav")
    >>> soundfile.write(file, toy.make_track("waltz", 0, seconds=7), 22_050)
    >>> table, left_out = extract_features([file], n_jobs=1)
    >>> table.shape, len(left_out)
    ((2, 60), 0)
    """
    tracks = _track_table(tracks)
    rows, counts, left_out = rows_of_tracks(
        partial(_features_of_track, whole_tracks=whole_tracks),
        tracks,
        _keys(cache, ["features", whole_tracks], {}, 0),
        cache=cache,
        n_jobs=n_jobs,
        strict=strict,
        progress=progress,
    )
    table = pd.DataFrame(rows, columns=["length", *features.FEATURE_NAMES])
    table["length"] = table["length"].astype(int)
    names = []
    for track, n in zip(tracks["track"], counts):
        if whole_tracks:
            names += [f"{track}.wav"] * n
        else:
            names += [f"{track}.{k}.wav" for k in range(n)]
    table.insert(0, "filename", names)
    genre = tracks.get("genre", pd.Series(pd.NA, tracks.index))
    genre = genre.astype(object).map(str, na_action="ignore")
    table["label"] = pd.Categorical(np.repeat(genre, counts))
    return table, left_out


def _track_table(tracks):
    """Make a track table of a list of files; check that no name occurs twice."""
    if isinstance(tracks, (str, Path)):
        tracks = [tracks]
    if not isinstance(tracks, pd.DataFrame):
        tracks = pd.DataFrame({"path": list(tracks)}, dtype=object)
    tracks = tracks.reset_index(drop=True)
    made_here = {"segment", "start", "augmentation"} & set(tracks)
    if made_here:
        raise ValueError(f"the track table has a column {made_here.pop()}; rename it.")
    if "track" not in tracks:
        tracks.insert(0, "track", list(map(str, tracks["path"])))
    # Workers may have been started in another folder.
    tracks["path"] = list(map(os.path.abspath, tracks["path"]))
    twice = tracks["track"].duplicated()
    if twice.any():
        raise ValueError(
            f"two tracks have the name {tracks['track'][twice.idxmax()]}; give each a "
            "name of its own, as load_tracks does for several folders."
        )
    return tracks


def _augmentations(augmentations):
    """Return the augmentation of each copy by name."""
    known = augmentation.AUGMENTATIONS
    if isinstance(augmentations, dict):
        known = augmentations
    elif isinstance(augmentations, str):
        augmentations = [augmentations]
    names = list(augmentations)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(
            f"no augmentation {', '.join(unknown)}; there are {', '.join(known)}."
        )
    if len({"original", *names}) <= len(names):
        raise ValueError(
            "two copies have the same name, or one is original; name each copy "
            'otherwise, such as {"noise": augmentation.white_noise}.'
        )
    return {name: known[name] for name in names}


def _keys(cache, settings, functions, seed):
    """Hash what each copy depends on; None if that is not known, or nothing is kept."""
    keys = dict.fromkeys(["original", *functions])
    if cache is None:
        return keys
    try:
        code = code_of_modules(_MODULES)
    except UnknownCodeError:
        return keys
    keys["original"] = digest([settings, code, package_versions(_PACKAGES)])
    how = [keys["original"], seed, package_versions("audiomentations")]
    ours = [augmentation.augment, augmentation.track_generator]
    for name, function in functions.items():
        with suppress(UnknownCodeError):
            keys[name] = digest([*how, name, identity([*ours, function])])
    return keys


def _mfcc_of_track(track, path, copies, *, settings, step, functions, seed):
    # Each augmentation has its own generator for all batches.
    rngs = {
        copy: augmentation.track_generator(track, copy, seed=seed) for copy in copies
    }
    rows = {copy: [] for copy in copies}
    blocks = audio.blocks(path, sample_rate=settings.sample_rate)
    for batch in audio.segments(
        blocks, settings.segment_length, step=step, shortest=settings.shortest_segment
    ):
        for copy in copies:
            y = batch
            if copy != "original":
                y = augmentation.augment(
                    functions[copy],
                    batch,
                    seed=rngs[copy],
                    sample_rate=settings.sample_rate,
                )
            rows[copy].append(features.mfcc(y, settings))
    return {copy: np.concatenate(batches) for copy, batches in rows.items()}


def _features_of_track(track, path, copies, *, whole_tracks):
    if whole_tracks:
        batches = [audio.load(path)[np.newaxis]]
    else:
        # Segments start every 66,150 samples; the last sample of each is left out.
        cut = audio.segments(audio.blocks(path), shortest=KAGGLE_SEGMENT_LENGTH)
        batches = (batch[:, :KAGGLE_SEGMENT_LENGTH] for batch in cut)
    rows = []
    # NumPy's rounding depends on its number of threads, which depends on the number of
    # workers.
    with threadpool_limits(1):
        for batch in batches:
            numbers = features.tabular_features(batch)
            rows.append(np.insert(numbers, 0, batch.shape[1], axis=1))
    return {"original": np.concatenate(rows)}
