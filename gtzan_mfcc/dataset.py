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

CORRUPT_FILES = {
    "jazz.00054.wav": "this file is corrupt in Kaggle's copy of GTZAN; the study left it out too",
}
"""Files that are known to be bad, and what is known of them."""

_GTZAN_FACTS = Path(__file__).with_name("tracks.csv")

# Where the same track lies in several formats, the first of these is read.
_EXTENSIONS = (".wav", ".flac", ".au", ".aif", ".aiff", ".w64", ".caf")
_EXTENSIONS += (".ogg", ".oga", ".opus", ".mp3")


class DatasetError(RuntimeError):
    """A corpus that is missing or incomplete; the message says what was found and what to do."""


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
        raise DatasetError(
            f"GTZAN_DIR is {named}, and there is no such folder; set it to the folder that "
            "holds one folder a genre, or unset it."
        )
    data = project_dir() / "data"
    candidates = [data / "genres_original", data / "Data" / "genres_original", data / "genres"]
    return next((folder for folder in candidates if folder.is_dir()), None)


def load_tracks(folder: str | Path | None = None, *, per_genre: int | None = None) -> pd.DataFrame:
    """List the tracks of a corpus: one row a sound file in ``<folder>/<genre>/``.

    Knows the layouts in which GTZAN is passed around: Kaggle's
    (``genres_original/blues/blues.00000.wav``), Marsyas's (``genres/blues/blues.00000.au``),
    and the same as .flac, .ogg or .mp3; and takes any folder of your own,
    ``<class>/<any name>.<ext>``. Nothing is read but names.

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

        - ``track``: name, such as ``blues.00000``; of other files ``class/any name``
        - ``genre``: categorical, in alphabetical order
        - ``path``: the file
        - ``artist``: an id, missing where unknown
        - ``fault_filtered``: ``train``, ``valid`` or ``test`` in the partition of
          Kereliuk, Sturm and Larsen (2015), missing where it leaves the track out
        - ``replica_of``: the track of which it is a replica, where that is known

        Artists are Foleiss and Tavares's (2020), after Sturm, "The GTZAN dataset",
        arXiv:1306.1461, where a replica has the artist of its original. A ``tracks.csv`` in
        `folder` takes the place of this table: its columns come with the tracks.

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
    folder = folder.expanduser()
    files = _sound_files(folder)
    own_facts = folder / "tracks.csv"
    facts = load_facts(own_facts if own_facts.is_file() else _GTZAN_FACTS)
    tracks = pd.DataFrame(
        {
            "track": [_track_name(path) for path in files],
            "genre": [path.parent.name for path in files],
            "path": [str(path) for path in files],
        }
    )
    # Files are sorted so that the preferred format of a track comes first.
    tracks = tracks.drop_duplicates("track").merge(facts, on="track", how="left")
    tracks["genre"] = pd.Categorical(tracks["genre"], categories=sorted(set(tracks["genre"])))
    tracks = tracks.sort_values(["genre", "track"])
    if per_genre is not None:
        tracks = tracks.groupby("genre", observed=True).head(per_genre)
    return tracks.reset_index(drop=True)


def _sound_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; run `make data`, or set GTZAN_DIR.")
    # Names with a leading dot are left by macOS, as in Marsyas's archive; they hold no sound.
    files = [
        path
        for path in folder.glob("*/*")
        if path.suffix.lower() in _EXTENSIONS
        and not path.name.startswith(".")
        and not path.parent.name.startswith(".")
    ]
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise DatasetError(
            f"{folder} holds {found}, and no <genre>/<track>.wav "
            f"(or {', '.join(_EXTENSIONS[1:])}); name the folder that has one folder a "
            "genre, such as genres_original."
        )
    return sorted(files, key=lambda path: (_EXTENSIONS.index(path.suffix.lower()), path))


def _track_name(path: Path) -> str:
    """GTZAN's names as they are; others with the class in front, so that all are different."""
    genre = path.parent.name
    of_gtzan = re.fullmatch(re.escape(genre) + r"\.\d{5}", path.stem)
    return path.stem if of_gtzan else f"{genre}/{path.stem}"


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
        raise DatasetError(
            f"{path} has the columns {', '.join(facts)}, and no column named track; add it, with "
            "names such as blues.00000, or take the file away."
        )
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
    path = Path(path)
    columns = ["filename", "length", *FEATURE_NAMES, "label"]
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a table that can be read ({error}).") from error
    if missing := [column for column in columns if column not in table] or table.empty:
        raise DatasetError(
            f"{path} has {len(table)} rows, and lacks of the {len(columns)} columns: {missing}; "
            "download it again, or make it anew with extract_features."
        )
    table = table[columns]
    bad = ~np.isfinite(table[FEATURE_NAMES].apply(pd.to_numeric, errors="coerce"))
    bad["label"], bad["filename"] = table["label"].isna(), table["filename"].duplicated()
    if bad.any(axis=None):
        row = bad.any(axis=1).idxmax()
        raise DatasetError(
            f"{path}: {bad.to_numpy().sum()} cells are empty, no finite numbers or a file named "
            f"twice, the first in row {row + 2}, column {bad.loc[row].idxmax()}; download it again."
        )
    genres = sorted(table["label"].unique())
    return table.assign(label=pd.Categorical(table["label"], categories=genres))
