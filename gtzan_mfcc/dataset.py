"""Find GTZAN, and give the track table."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_mfcc import toy
from gtzan_mfcc.features import FEATURE_NAMES

GENRES = tuple("blues classical country disco hiphop jazz metal pop reggae rock".split())
"""GTZAN's ten genres, in alphabetical order."""

CORRUPT_FILES = {"jazz.00054.wav": "corrupt in Kaggle's copy of GTZAN; the study left it out too"}
"""Files that are known to be bad, and what is known of them."""

_GTZAN_FACTS = Path(__file__).with_name("tracks.csv")

# Where the same track lies in several formats, the first of these is read.
_EXTENSIONS = ".wav .flac .au .aif .aiff .w64 .caf .ogg .oga .opus .mp3 .m4a .m4b .mp4".split()
_EXTENSIONS += ".aac .wma .webm .ape .wv .tta .mpc .mkv .mka .mov .avi".split()


class DatasetError(RuntimeError):
    """A corpus that is missing or incomplete; the message says what was found and what to do."""

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook: it says what to change."""
        return [f"DatasetError: {self}"]


def project_dir() -> Path:
    """Return the folder that holds ``data`` and ``build``.

    Returns
    -------
    folder : Path
        The project's checkout if the package is used from one, else the working directory.
    """
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def build_dir() -> Path:
    """Return the folder for all that can be made again: caches, models, executed notebooks.

    Returns
    -------
    folder : Path
        ``BUILD_DIR`` if that environment variable is set, else ``build`` in `project_dir`.
    """
    return project_dir() / (os.environ.get("BUILD_DIR") or "build")


def find_corpus() -> Path | None:
    """Find the folder that holds GTZAN.

    Returns
    -------
    folder : Path or None
        ``GTZAN_DIR`` if that environment variable is set; else the first that exists of
        ``data/genres_original``, ``data/Data/genres_original`` and ``data/genres``; else
        None.

    Raises
    ------
    DatasetError
        If ``GTZAN_DIR`` names something that is not a folder.
    """
    if named := os.environ.get("GTZAN_DIR"):
        # A kernel works in the folder of its notebook, so a relative path may be meant from above.
        for folder in (Path(named).expanduser(), project_dir() / named):
            if folder.is_dir():
                return folder.absolute()
        raise DatasetError(f"GTZAN_DIR is {named}, no such folder; correct or unset it.")
    data = project_dir() / "data"
    candidates = [data / "genres_original", data / "Data" / "genres_original", data / "genres"]
    return next((folder for folder in candidates if folder.is_dir()), None)


def load_tracks(folder: str | Path | None = None, *, per_genre: int | None = None) -> pd.DataFrame:
    """List the tracks of a corpus: one row a sound file in ``<folder>/<genre>/``, or below it.

    Knows the layouts in which GTZAN is passed around: Kaggle's
    (``genres_original/blues/blues.00000.wav``), Marsyas's (``genres/blues/blues.00000.au``),
    and the same as .flac, .ogg or .mp3; and takes any folder of your own, with one folder a
    class: ``<class>/<any name>.<ext>`` or ``<class>/<album>/<any name>.<ext>``, at any depth.
    Nothing is read but names.

    Parameters
    ----------
    folder : str or Path, optional
        The folder with one folder a genre. By default what `find_corpus` finds, else the
        toy corpus, which is made if it is not there yet.
    per_genre : int, optional
        Keep only the first so many tracks of each genre, for quick runs.

    Returns
    -------
    tracks : pd.DataFrame
        Sorted by genre and track, with the columns

        - ``track``: name, such as ``blues.00000``; of other files ``class/any name``,
          or ``class/album/any name``
        - ``genre``: categorical, in alphabetical order
        - ``path``: the file
        - ``artist``: an id, missing where unknown
        - ``fault_filtered``: ``train``, ``valid`` or ``test`` in the partition of
          Kereliuk, Sturm and Larsen (2015), missing where it leaves the track out
        - ``replica_of``: the track of which it is a replica, where that is known

        Artists are Foleiss and Tavares's (2020), after Sturm, "The GTZAN dataset",
        arXiv:1306.1461, where a replica has the artist of its original. A ``tracks.csv`` in
        `folder` takes the place of this table: its columns come with the tracks.

        ``tracks.attrs["ignored"]`` is a list of the files that are no tracks, each a dict of
        ``track``, ``path`` and ``reason``. What is extracted of the tracks names them, too.

    Raises
    ------
    DatasetError
        If the folder is missing, or holds no folders with sound files in them.
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
    # Sorted so that the preferred format of a track comes first, and what lies in no class last.
    paths = set(_files(folder)) - {own_facts}
    paths = sorted(paths, key=lambda path: (path.parent == folder, _preference(path), path))
    inside = [path.relative_to(folder) for path in paths]
    rows = {"track": map(_track_name, inside), "genre": [path.parts[0] for path in inside]}
    files = pd.DataFrame(rows | {"path": map(str, paths), "reason": None})
    files.loc[files.duplicated("track"), "reason"] = "there in another format, too"
    files.loc[[len(path.parts) < 2 for path in inside], "reason"] = "in no folder of a class"
    no_sound = [_preference(path) == len(_EXTENSIONS) for path in paths]
    files.loc[no_sound, "reason"] = "not called like a sound file"
    tracks = files[files["reason"].isna()].drop(columns="reason")
    # One class, and nothing in it but folders: they are the classes, and this is above them.
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
        Those that are called like sound files, sorted; hidden ones are left out, and each folder
        is visited once, wherever links lead.

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
        # Names with a leading dot are left by macOS, as in Marsyas's archive; they hold no sound.
        files += [Path(base, name) for name in names if not name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(files)


def _track_name(inside: Path) -> str:
    """GTZAN's names as they are; others with the class in front, so that all are different."""
    name, genre = inside.with_suffix("").as_posix(), inside.parts[0]
    return re.sub(rf"^{re.escape(genre)}/({re.escape(genre)}\.\d{{5}})$", r"\1", name)


def _preference(path: Path) -> int:
    """Place among the formats; beyond them for what is not called like a sound file."""
    suffix = path.suffix.lower()
    return _EXTENSIONS.index(suffix) if suffix in _EXTENSIONS else len(_EXTENSIONS)


def load_facts(path: str | Path = _GTZAN_FACTS) -> pd.DataFrame:
    """Read what is known of each track, such as its artist.

    Parameters
    ----------
    path : str or Path
        A table with the column ``track``. By default the one that comes with the package, of
        all 1,000 tracks of GTZAN.

    Returns
    -------
    facts : pd.DataFrame
        ``track``, ``artist``, ``fault_filtered``, ``replica_of`` (empty where the table lacks
        them) and whatever else it has, as strings.

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
    """Say what corpus tracks of these names come from, and how much of it they are.

    Parameters
    ----------
    tracks : iterable of str
        Track names; repeated ones count once.

    Returns
    -------
    label : str
        Such as ``"GTZAN, 421 of its 1,000 tracks"``; stands on every figure.

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
    """Find one of Kaggle's feature tables beside the corpus.

    Parameters
    ----------
    folder : str or Path, optional
        The corpus; by default what `find_corpus` finds.
    name : str
        ``features_3_sec.csv``, with a row a segment, or ``features_30_sec.csv``, with a row a
        track.

    Returns
    -------
    path : Path or None
        None where there is no such table.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    folder = folder or find_corpus()
    path = folder and Path(folder).parent / name
    return path if path and path.is_file() else None


def load_feature_table(path: str | Path) -> pd.DataFrame:
    """Read a table of the 57 features, Kaggle's or one that `extract_features` wrote.

    Parameters
    ----------
    path : str or Path
        The CSV file.

    Returns
    -------
    table : pd.DataFrame
        The columns ``filename``, ``length`` (samples), the 57 of
        `gtzan_mfcc.features.FEATURE_NAMES` and ``label`` (categorical, in alphabetical
        order).

    Raises
    ------
    DatasetError
        If the file is missing, is no table, lacks columns or rows, names a file twice, or has
        cells that are not finite numbers or labels.

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
        lacks = f"{len(table)} rows, and lacks of the {len(columns)} columns: {missing}"
        raise DatasetError(f"{path} has {lacks}; make it anew with extract_features.")
    table = table[columns]
    bad = ~np.isfinite(table[FEATURE_NAMES].apply(pd.to_numeric, errors="coerce"))
    bad["label"], bad["filename"] = table["label"].isna(), table["filename"].duplicated()
    if bad.any(axis=None):
        row = bad.any(axis=1).idxmax()
        wrong = f"{bad.to_numpy().sum()} cells are empty, no finite numbers or a file named twice"
        first = f"the first in row {row + 2}, column {bad.loc[row].idxmax()}"
        raise DatasetError(f"{path}: {wrong}, {first}; download it again.")
    return table.assign(label=pd.Categorical(table["label"]))
