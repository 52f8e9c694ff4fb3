"""Find GTZAN, list its tracks, and read tables of features."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_mfcc import toy
from gtzan_mfcc._disk import OneLineError
from gtzan_mfcc.features import FEATURE_NAMES

GENRES = tuple("blues classical country disco hiphop jazz metal pop reggae rock".split())
"""GTZAN's ten genres, in alphabetical order."""

CORRUPT_FILES = {"jazz.00054.wav": "corrupt in Kaggle's copy of GTZAN; the study left it out too"}
"""Files that are known to be damaged, and what is known about them."""

_GTZAN_FACTS = Path(__file__).with_name("tracks.csv")

# If a track exists in several formats, the first of these is used.
_EXTENSIONS = ".wav .flac .au .aif .aiff .w64 .caf .ogg .oga .opus .mp3 .m4a .m4b .mp4".split()
_EXTENSIONS += ".aac .wma .webm .ape .wv .tta .mpc .mkv .mka .mov .avi".split()


class DatasetError(OneLineError, RuntimeError):
    """Raised if a corpus or table is missing or incomplete; the message says what to do."""


def project_dir() -> Path:
    """Return the folder that contains ``data`` and ``build``.

    Returns
    -------
    folder : Path
        The checkout of the project if the package is imported from it, else the working directory.
    """
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def build_dir() -> Path:
    """Return the folder for files that can be made again: caches, models, executed notebooks.

    Returns
    -------
    folder : Path
        ``BUILD_DIR`` if that environment variable is set, else ``build`` in `project_dir`.
    """
    return project_dir() / (os.environ.get("BUILD_DIR") or "build")


def find_corpus() -> Path | None:
    """Find the folder of GTZAN.

    Returns
    -------
    folder : Path or None
        ``GTZAN_DIR`` if that environment variable is set. Otherwise, the first existing folder of
        ``data/genres_original``, ``data/Data/genres_original`` and ``data/genres``, or None.

    Raises
    ------
    DatasetError
        If ``GTZAN_DIR`` is not a folder.
    """
    if named := os.environ.get("GTZAN_DIR"):
        # A kernel runs in the folder of its notebook, so also try a path relative to the project.
        for folder in (Path(named).expanduser(), project_dir() / named):
            if folder.is_dir():
                return folder.absolute()
        raise DatasetError(f"GTZAN_DIR is {named}, no such folder; correct or unset it.")
    data = project_dir() / "data"
    candidates = [data / "genres_original", data / "Data" / "genres_original", data / "genres"]
    return next((folder for folder in candidates if folder.is_dir()), None)


def load_tracks(folder: str | Path | None = None, *, per_genre: int | None = None) -> pd.DataFrame:
    """List the tracks of a corpus: one row per sound file in ``<folder>/<genre>/`` or below.

    Supports the layouts of GTZAN from Kaggle (``genres_original/blues/blues.00000.wav``) and
    Marsyas (``genres/blues/blues.00000.au``), also as .flac, .ogg or .mp3. Any other folder with
    one folder per class works, too: ``<class>/<any name>.<ext>`` or
    ``<class>/<album>/<any name>.<ext>``, at any depth. Only the names of the files are read.

    Parameters
    ----------
    folder : str or Path, optional
        The folder with one folder per genre. By default the result of `find_corpus`, else the
        toy corpus, which is made if it does not exist.
    per_genre : int, optional
        Maximum number of tracks per genre, for quick runs.

    Returns
    -------
    tracks : pd.DataFrame
        Sorted by genre and track, with the columns

        - ``track``: name, such as ``blues.00000``; for other files ``class/any name`` or
          ``class/album/any name``
        - ``genre``: categorical, in alphabetical order
        - ``path``: the file
        - ``artist``: an id; missing if unknown
        - ``fault_filtered``: ``train``, ``valid`` or ``test`` in the partition of Kereliuk, Sturm
          and Larsen (2015); missing if the partition does not contain the track
        - ``replica_of``: the track of which it is a replica, if known

        The artists are from Foleiss and Tavares (2020), after Sturm, "The GTZAN dataset",
        arXiv:1306.1461. A replica has the artist of its original. If `folder` has a file
        ``tracks.csv``, its columns are used instead.

        ``tracks.attrs["ignored"]`` lists the files that are not tracks, each as a dict of
        ``track``, ``path`` and ``reason``. `extract_mfcc` and `extract_features` report them, too.

    Raises
    ------
    DatasetError
        If the folder is missing, or has no folders with sound files.
    ValueError
        If `per_genre` is less than 1.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    if per_genre is not None and per_genre < 1:
        raise ValueError(f"per_genre is {per_genre}; take 1 or more, or None for all tracks.")
    folder = Path(folder or find_corpus() or toy.make_corpus(project_dir() / "data" / "toy"))
    folder = folder.expanduser().absolute()
    own_facts = folder / "tracks.csv"
    # The preferred format of a track comes first, and files outside of the class folders last.
    paths = set(_files(folder)) - {own_facts}
    paths = sorted(paths, key=lambda path: (path.parent == folder, _preference(path), path))
    inside = [path.relative_to(folder) for path in paths]
    rows = {"track": map(_track_name, inside), "genre": [path.parts[0] for path in inside]}
    files = pd.DataFrame(rows | {"path": map(str, paths), "reason": None})
    files.loc[files.duplicated("track"), "reason"] = "exists in another format"
    files.loc[[len(path.parts) < 2 for path in inside], "reason"] = "not in a class folder"
    no_sound = [_preference(path) == len(_EXTENSIONS) for path in paths]
    files.loc[no_sound, "reason"] = "unknown file extension"
    tracks = files[files["reason"].isna()].drop(columns="reason")
    # A single class that contains only folders: they are the classes, and `folder` is their parent.
    if tracks["genre"].nunique() < 2 and not (tracks["track"].astype(str).str.count("/") < 2).any():
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        needed = "no <genre>/<track>.wav (or .flac, .mp3, .m4a, ...)"
        raise DatasetError(f"{folder} holds {there}, and {needed}; name the folder of the genres.")
    facts = load_facts(own_facts if own_facts.is_file() else _GTZAN_FACTS)
    tracks = tracks.merge(facts, on="track", how="left")
    tracks["genre"] = pd.Categorical(tracks["genre"], categories=sorted(set(tracks["genre"])))
    by_genre = tracks.sort_values(["genre", "track"]).groupby("genre", observed=True)
    tracks = by_genre.head(per_genre or len(tracks))
    ignored = files.dropna(subset="reason").drop(columns="genre")
    tracks.attrs["ignored"] = ignored.to_dict("records")
    return tracks.reset_index(drop=True)


def sound_files(folder: str | Path) -> list[Path]:
    """List the sound files in a folder and in all folders below it.

    Parameters
    ----------
    folder : str or Path
        Any folder.

    Returns
    -------
    files : list of Path
        The files with an extension of a sound format, sorted. Hidden files are left out. Links are
        followed, and each folder is visited once.

    Raises
    ------
    DatasetError
        If there is no such folder.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.
    """
    files = _files(Path(folder).expanduser())
    return [path for path in files if _preference(path) < len(_EXTENSIONS)]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; check its name.")
    files, visited = [], set()
    for base, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(base)) in visited:
            folders.clear()
            continue
        visited.add(real)
        # Skip names with a leading dot: macOS adds such files, which are not sound.
        files += [Path(base, name) for name in names if not name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(files)


def _track_name(inside: Path) -> str:
    """Name a track as GTZAN does, or with its class in front, so that all names are different."""
    name, genre = inside.with_suffix("").as_posix(), inside.parts[0]
    return re.sub(rf"^{re.escape(genre)}/({re.escape(genre)}\.\d{{5}})$", r"\1", name)


def _preference(path: Path) -> int:
    """Rank of the format by the file extension; the last rank for unknown extensions."""
    suffix = path.suffix.lower()
    return _EXTENSIONS.index(suffix) if suffix in _EXTENSIONS else len(_EXTENSIONS)


def load_facts(path: str | Path = _GTZAN_FACTS) -> pd.DataFrame:
    """Read a table of facts about each track, such as its artist.

    Parameters
    ----------
    path : str or Path
        A CSV table with the column ``track``. By default the table of the package, of all 1,000
        tracks of GTZAN.

    Returns
    -------
    facts : pd.DataFrame
        ``track``, ``artist``, ``fault_filtered``, ``replica_of`` (empty if the table lacks them)
        and all other columns of the table, as strings.

    Raises
    ------
    DatasetError
        If the table has no column ``track``.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    facts = pd.read_csv(path, dtype="string")
    if "track" not in facts:
        found = f"the columns {', '.join(facts)}, and no column named track"
        raise DatasetError(f"{path} has {found}; add it (blues.00000, ...), or remove the file.")
    wanted = ["track", "artist", "fault_filtered", "replica_of"]
    facts = facts.reindex(columns=[*wanted, *facts.columns.difference(wanted, sort=False)])
    return facts.drop(columns=["genre", "path"], errors="ignore").drop_duplicates("track")


def corpus_label(tracks: Iterable[str]) -> str:
    """Describe the corpus of these tracks, and how many of its tracks they are.

    Parameters
    ----------
    tracks : iterable of str
        Track names; repeated names count once.

    Returns
    -------
    label : str
        Such as ``"GTZAN, 421 of its 1,000 tracks"``; each figure shows it.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    names = set(tracks)
    if names <= set(load_facts()["track"]):
        return f"GTZAN, {len(names):,} of its 1,000 tracks" if len(names) < 1000 else "GTZAN"
    if all(name.partition(".")[0] in toy.GENRES for name in names):
        return f"toy corpus (synthetic, not music), {len(names):,} tracks"
    return f"your own corpus, {len(names):,} tracks"


def find_feature_table(
    folder: str | Path | None = None, name: str = "features_3_sec.csv"
) -> Path | None:
    """Find one of Kaggle's feature tables in the parent folder of the corpus.

    Parameters
    ----------
    folder : str or Path, optional
        The corpus; by default the result of `find_corpus`.
    name : str
        ``features_3_sec.csv``, with a row per segment, or ``features_30_sec.csv``, with a row per
        track.

    Returns
    -------
    path : Path or None
        None if there is no such table.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    folder = folder or find_corpus()
    path = folder and Path(folder).parent / name
    return path if path and path.is_file() else None


def load_feature_table(path: str | Path) -> pd.DataFrame:
    """Read a table of the 57 features, from Kaggle or made by `extract_features`.

    Parameters
    ----------
    path : str or Path
        The CSV file.

    Returns
    -------
    table : pd.DataFrame
        The columns ``filename``, ``length`` (samples), the 57 names of
        `gtzan_mfcc.features.FEATURE_NAMES`, and ``label`` (categorical, in alphabetical order).

    Raises
    ------
    DatasetError
        If the file is missing or not a table, if columns or rows are missing, if a filename occurs
        twice, or if a cell is not a finite number or a label.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    columns = ["filename", "length", *FEATURE_NAMES, "label"]
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a table that can be read ({error}).") from error
    if (missing := [column for column in columns if column not in table]) or table.empty:
        lacks = f"{len(table)} rows, and these of the {len(columns)} columns are missing: {missing}"
        raise DatasetError(f"{path} has {lacks}; make it again with extract_features.")
    table = table[columns]
    bad = ~np.isfinite(table[FEATURE_NAMES].apply(pd.to_numeric, errors="coerce"))
    bad["label"], bad["filename"] = table["label"].isna(), table["filename"].duplicated()
    if bad.any(axis=None):
        row = bad.any(axis=1).idxmax()
        wrong = f"{bad.to_numpy().sum()} cells are empty, not finite, or repeat a filename"
        first = f"the first in row {row + 2}, column {bad.loc[row].idxmax()}"
        raise DatasetError(f"{path}: {wrong}, {first}; download it again.")
    return table.assign(label=pd.Categorical(table["label"]))
