"""Find GTZAN, list the tracks of a corpus, and read tables about them."""

import os
import re
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_mfcc._tables import any_file_names
from gtzan_mfcc._util import UserError

GENRES = tuple(
    "blues classical country disco hiphop jazz metal pop reggae rock".split()
)
"""GTZAN's ten genres, in alphabetical order."""

CORRUPT_FILES = {
    "jazz.00054.wav": "corrupt in Kaggle's copy of GTZAN; the study left it out too"
}
"""Files that are known to be damaged, and what is known about them."""

_GTZAN_FACTS = Path(__file__).with_name("tracks.csv")

# Sound files and videos. If a track exists in several formats, the first one is used.
_EXTENSIONS = """
.wav .wave .flac .au .snd .aif .aiff .aifc .w64 .rf64 .bwf .caf .ape .wv .tta .tak .dsf
.dff .voc .sph .nist .iff .8svx .svx .avr .sf .ircam .ogg .oga .opus .spx .mp3 .mp2 .mp1
.mpa .mpga .m4a .m4b .m4r .mp4 .aac .adts .loas .wma .mpc .mp+ .ac3 .eac3 .ec3 .dts .amr
.awb .gsm .ra .mka .webm .weba .mkv .mov .qt .m4v .f4a .f4b .f4v .3gp .3gpp .3g2 .3ga
.avi .divx .asf .wmv .flv .ogv .ogx .ogm .mpg .mpeg .mpe .m2p .ts .m2t .m2ts .mts .vob
.rm .rmvb .mxf .nut .dv
""".split()
_RANK = {extension: rank for rank, extension in enumerate(_EXTENSIONS)}

Folders = str | Path | Iterable[str | Path]


class DatasetError(UserError, RuntimeError):
    """Raised if a corpus or a table is missing or incomplete; it says what to do."""


def project_dir() -> Path:
    """Return the folder that contains ``data``.

    Returns
    -------
    folder : Path
        The checkout of the project if the package is imported from it, else the working
        directory.

    Examples
    --------
    >>> project_dir().is_dir()
    True
    """
    checkout = Path(__file__).resolve().parent.parent
    settings = checkout / "pyproject.toml"
    if settings.is_file() and 'name = "gtzan-mfcc"' in settings.read_text("utf-8"):
        return checkout
    return Path.cwd()


def find_corpus() -> Path | None:
    """Find the folder of GTZAN.

    Returns
    -------
    folder : Path or None
        ``GTZAN_DIR`` if that environment variable is set. Otherwise, the first existing
        folder of ``data/genres_original``, ``data/Data/genres_original`` and
        ``data/genres``, or None.

    Raises
    ------
    DatasetError
        If ``GTZAN_DIR`` is not a folder.

    Examples
    --------
    >>> corpus = find_corpus()  # None, if there is no GTZAN
    """
    if named := os.environ.get("GTZAN_DIR"):
        # A kernel runs in the folder of its notebook, so also try the project's folder.
        for folder in (Path(named).expanduser(), project_dir() / named):
            if folder.is_dir():
                return folder.absolute()
        raise DatasetError(
            f"GTZAN_DIR is {named}, no such folder; correct or unset it."
        )
    for name in ("genres_original", "Data/genres_original", "genres"):
        folder = project_dir() / "data" / name
        if folder.is_dir():
            return folder
    return None


@any_file_names
def load_tracks(
    folder: Folders | None = None,
    *,
    per_genre: int | None = None,
    facts: pd.DataFrame | str | Path | None = None,
) -> pd.DataFrame:
    r"""List the tracks of a corpus: one row per sound file in ``<folder>/<genre>/``.

    Supports the layouts of GTZAN from Kaggle (``genres_original/jazz/jazz.00000.wav``)
    and Marsyas (``genres/jazz/jazz.00000.au``), also in other formats. Any other folder
    with one folder per class works, too: ``<class>/<any name>.<ext>`` or
    ``<class>/<album>/<any name>.<ext>``, at any depth. Only the names of the files are
    read. `ignored_files` lists the files that are not tracks.

    Parameters
    ----------
    folder : str, Path or list of these, optional
        The folder with one folder per genre, or several such folders. By default the
        result of `find_corpus`.
    per_genre : int, optional
        Maximum number of tracks per genre, for quick runs.
    facts : pd.DataFrame, str or Path, optional
        Facts about the tracks, such as their artists: a table with a column ``track``,
        or the path of a CSV file. By default ``tracks.csv`` in the folder, or else
        GTZAN's facts if the folder is GTZAN (see Notes).

    Returns
    -------
    tracks : pd.DataFrame
        Sorted by genre and track, with the columns

        - ``track``: name, such as ``blues.00000``; for other files ``class/any name``
          or ``class/album/any name``, without the extension of a sound file, and with
          composed accents (Unicode NFC). If several folders have a track of this name,
          the name of the folder stands in front of it.
        - ``genre``: categorical, in alphabetical order
        - ``path``: the file
        - ``artist``: an id; missing if unknown
        - ``fault_filtered``: ``train``, ``valid`` or ``test`` in the partition of
          Kereliuk, Sturm and Larsen (2015); missing if it does not contain the track
        - ``replica_of``: the track of which it is a replica, if known
        - all other columns of the facts

    Raises
    ------
    DatasetError
        If there is no folder, it has no folders with sound files, the facts have no
        column ``track`` or two rows for one track, or the names of several folders do
        not make the names of their tracks different.
    ValueError
        If `per_genre` is not a number of 1 or more.

    Warns
    -----
    UserWarning
        If some tracks have no row in the facts; or if all tracks are named as GTZAN's,
        but the folder may be another corpus.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Notes
    -----
    GTZAN's facts are used if the folder is the result of `find_corpus`, or if all ten
    genres are there and each track is named as one of GTZAN's. For a part of GTZAN,
    pass ``facts=load_facts()``. The artists are from Foleiss and Tavares (2020), after
    Sturm, "The GTZAN dataset", arXiv:1306.1461. A replica has the artist of its
    original.

    Facts may write the name of a track in other ways: with the extension of the file,
    with ``\`` for ``/``, as ``blues/blues.00000``, and with other Unicode characters
    for the same accents.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as music:
    ...     for name in ("waltz", "tango"):
    ...         Path(music, name).mkdir()
    ...         Path(music, name, "take 1.mp3").touch()
    ...     tracks = load_tracks(music)
    >>> tracks["track"].to_list()
    ['tango/take 1', 'waltz/take 1']
    """
    if per_genre is not None and (per_genre is True or per_genre < 1):
        raise ValueError(
            f"per_genre is {per_genre}; take 1 or more, or None for all tracks."
        )
    folders = _folders(folder)
    tables = []
    for each in folders:
        tables.append(_tracks_in(each, facts))
    tracks = pd.concat(tables, keys=[each.name for each in folders])
    tracks = _with_different_names(tracks.drop_duplicates("path"))
    tracks["genre"] = pd.Categorical(tracks["genre"])
    tracks = tracks.sort_values(["genre", "track"])
    if per_genre is not None:
        tracks = tracks.groupby("genre", observed=True).head(per_genre)
    return tracks.reset_index(drop=True)


@any_file_names
def load_rerecordings(folder: str | Path, tracks: pd.DataFrame) -> pd.DataFrame:
    """List pieces of the tracks of a corpus that were played and recorded again.

    Parameters
    ----------
    folder : str or Path
        With files such as ``rock/rock.00042.10.wav``: a recording of what
        ``rock/rock.00042`` plays from second 10 on.
    tracks : pd.DataFrame
        The corpus, from `load_tracks`. Pieces of other tracks, and files whose name has
        no second, are left out.

    Returns
    -------
    pieces : pd.DataFrame
        As from `load_tracks`: ``replica_of`` is the track, ``artist`` that of the
        track, and ``second`` is where the piece begins.

    Raises
    ------
    DatasetError
        As for `load_tracks`.

    See Also
    --------
    Notebook ``7_robustness`` introduces this helper.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> tracks = pd.DataFrame({"track": ["rock.00042"], "artist": ["Queen"]})
    >>> with TemporaryDirectory() as folder:
    ...     for genre in ("pop", "rock"):
    ...         Path(folder, genre).mkdir()
    ...         Path(folder, genre, f"{genre}.00042.10.wav").touch()
    ...     pieces = load_rerecordings(folder, tracks)
    >>> pieces[["replica_of", "artist", "second"]].to_numpy().tolist()
    [['rock.00042', 'Queen', 10]]
    """
    facts = load_tracks(folder)[["track"]]
    parts = facts["track"].str.rpartition(".")
    # As facts, so that the names of the tracks are written as those of the corpus.
    pieces = load_tracks(folder, facts=facts.assign(replica_of=parts[0]))
    artists = tracks.set_index("track")["artist"]
    pieces["artist"] = pieces["replica_of"].map(artists)
    pieces["second"] = parts[2]
    known = pieces["replica_of"].isin(tracks["track"]) & parts[2].str.isdigit()
    return pieces[known].astype({"second": int}).reset_index(drop=True)


@any_file_names
def ignored_files(folder: Folders | None = None) -> pd.DataFrame:
    """List the files in the folder of a corpus that are not tracks, with the reason.

    Parameters
    ----------
    folder : str, Path or list of these, optional
        As for `load_tracks`.

    Returns
    -------
    files : pd.DataFrame
        The columns ``path`` and ``reason``. Hidden files and ``tracks.csv`` are not in
        the list.

    Raises
    ------
    DatasetError
        If there is no such folder.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as music:
    ...     Path(music, "cover.jpg").touch()
    ...     ignored_files(music)["reason"].to_list()
    ['unknown file extension']
    """
    rows = []
    for each in _folders(folder):
        _, ignored = _scan(each)
        rows += ignored
    return pd.DataFrame(rows, columns=["path", "reason"])


def sound_files(folder: str | Path) -> list[Path]:
    """List the sound files in a folder and in all folders below it.

    Parameters
    ----------
    folder : str or Path
        Any folder.

    Returns
    -------
    files : list of Path
        The files with an extension of a sound format, sorted. Hidden files are left
        out. Links are followed, and each folder is visited once.

    Raises
    ------
    DatasetError
        If there is no such folder.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as music:
    ...     Path(music, "song.mp3").touch()
    ...     [path.name for path in sound_files(music)]
    ['song.mp3']
    """
    files = _files(Path(folder).expanduser())
    return [path for path in files if path.suffix.lower() in _RANK]


def load_facts(path: str | Path = _GTZAN_FACTS) -> pd.DataFrame:
    """Read a table of facts about each track, such as its artist.

    Parameters
    ----------
    path : str or Path
        A CSV table with the column ``track``. By default the table of the package, of
        all 1,000 tracks of GTZAN.

    Returns
    -------
    facts : pd.DataFrame
        ``track``, ``artist``, ``fault_filtered``, ``replica_of`` (empty if the table
        lacks them) and all other columns of the table but ``genre`` and ``path``, as
        text. The names of the tracks are written as by `load_tracks`. Only an empty
        cell is missing; an artist "None" is an artist.

    Raises
    ------
    DatasetError
        If the file cannot be read, or the table has no column ``track`` or two rows for
        one track.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> facts = load_facts().set_index("track")
    >>> facts.loc["blues.00000", ["artist", "fault_filtered"]].to_list()
    ['0', 'valid']
    """
    facts = _read_csv(path, dtype="string", skipinitialspace=True)
    return _check_facts(facts.rename(columns=str.strip), path)


@any_file_names
def corpus_label(tracks: pd.DataFrame) -> str:
    """Describe the corpus of these tracks, and how many of its tracks they are.

    Parameters
    ----------
    tracks : pd.DataFrame
        A table with the column ``track``; repeated names count once. If it has a column
        ``artist``, only tracks with GTZAN's artists are called GTZAN.

    Returns
    -------
    label : str
        Such as ``"GTZAN, 421 of its 1,000 tracks"``; each figure shows it.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> corpus_label(load_facts())
    'GTZAN'
    >>> corpus_label(pd.DataFrame({"track": ["fado/1", "fado/2"]}))
    'your own corpus, 2 tracks'
    """
    from gtzan_mfcc import toy

    tracks = tracks.drop_duplicates("track")
    n = len(tracks)
    if n == 0:
        return "no tracks"
    columns = tracks.columns.intersection(["track", "artist"])
    of_gtzan = tracks[columns].astype("string").merge(load_facts()[columns])
    if len(of_gtzan) == n:
        return "GTZAN" if n == 1000 else f"GTZAN, {n} of its 1,000 tracks"
    count = f"{n:,} tracks" if n > 1 else "1 track"
    genres = {str(name).partition(".")[0] for name in tracks["track"]}
    has_artists = "artist" not in tracks or tracks["artist"].notna().all()
    if genres <= set(toy.GENRES) and has_artists:
        return f"toy corpus (synthetic, not music), {count}"
    return f"your own corpus, {count}"


def find_feature_table(
    folder: str | Path | None = None, name: str = "features_3_sec.csv"
) -> Path | None:
    """Find one of Kaggle's feature tables in the parent folder of the corpus.

    Parameters
    ----------
    folder : str or Path, optional
        The corpus; by default the result of `find_corpus`.
    name : str
        ``features_3_sec.csv``, with one row per segment, or ``features_30_sec.csv``,
        with one row per track.

    Returns
    -------
    path : Path or None
        None if there is no such table.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> find_feature_table("/not/there") is None
    True
    """
    folder = folder or find_corpus()
    if folder is None:
        return None
    path = Path(folder).parent / name
    return path if path.is_file() else None


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
        `gtzan_mfcc.features.FEATURE_NAMES`, and ``label`` (categorical, in alphabetical
        order).

    Raises
    ------
    DatasetError
        If the file is missing or not a table, if it lacks a column, if a filename
        occurs twice, or if a cell is not a finite number or a label.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> load_feature_table("features.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    gtzan_mfcc.dataset.DatasetError: features.csv: not a table that can be read ...
    """
    # Here, so that a list of files does not wait for librosa.
    from gtzan_mfcc.features import FEATURE_NAMES

    columns = ["filename", "length", *FEATURE_NAMES, "label"]
    types = dict.fromkeys(FEATURE_NAMES, float)
    # A class may be called "01" or "True".
    types["filename"] = str
    types["label"] = str
    table = _read_csv(path, usecols=columns, dtype=types)[columns]
    bad = ~np.isfinite(table[FEATURE_NAMES]).all(axis=1)
    bad |= table["label"].isna() | table["filename"].duplicated()
    if bad.any():
        raise DatasetError(
            f"{path}: {bad.sum()} rows have a cell that is empty or not finite, or a "
            f"filename for the second time, the first in line {bad.idxmax() + 2}; "
            "download the table again."
        )
    return table.assign(label=pd.Categorical(table["label"]))


def _folders(folder):
    if folder is None:
        folder = find_corpus()
    if folder is None:
        raise DatasetError(
            "no GTZAN was found. Run make data to download it, set GTZAN_DIR to your "
            "copy, or name a folder; toy.make_corpus(folder) makes a synthetic corpus."
        )
    if isinstance(folder, str | Path):
        folder = [folder]
    folders = [Path(each).expanduser().absolute() for each in folder]
    # A folder that is named twice counts once.
    return list({each.resolve(): each for each in folders}.values())


def _files(folder):
    """List the files in a folder and below it; a hidden file is left out."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; check its name.")
    files = []
    visited = set()
    # This list grows by the links to folders. So they come last, and a folder that is
    # also inside is found by its own name.
    roots = [folder]
    for root in roots:
        for base, folders, names in os.walk(root):
            real = os.path.realpath(base)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(name for name in folders if name[0] != ".")
            paths = [Path(base, name) for name in folders]
            roots += [path for path in paths if path.is_symlink()]
            files += [Path(base, name) for name in names if name[0] != "."]
    return sorted(files)


def _scan(folder):
    """List the tracks (name, genre, path) and the ignored files (path, reason)."""
    tracks = {}
    ignored = []
    files = sorted(_files(folder), key=lambda path: _RANK.get(path.suffix.lower(), 0))
    for path in files:
        inside = path.relative_to(folder)
        name = _track_name(inside)
        if path == folder / "tracks.csv":
            continue
        if path.suffix.lower() not in _RANK:
            reason = "unknown file extension"
        elif len(inside.parts) == 1:
            reason = "not in a class folder"
        elif name in tracks:
            reason = "exists in another format"
        else:
            genre = unicodedata.normalize("NFC", inside.parts[0])
            tracks[name] = (name, genre, str(path))
            continue
        ignored.append((str(path), reason))
    return list(tracks.values()), ignored


def _track_name(written):
    r"""Write the name of a track in one way, whether it comes from a path or a table.

    ``blues\blues.00000.wav`` and ``blues/blues.00000`` are ``blues.00000``.
    """
    name = unicodedata.normalize("NFC", str(written)).replace("\\", "/")
    stem, extension = os.path.splitext(name)
    if extension.lower() in _RANK:
        return _track_name(stem)  # There may be two, as in song.au.wav.
    gtzan = re.fullmatch(r"([^/]+)/(\1\.\d{5})", name)
    return gtzan[2] if gtzan else name


def _tracks_in(folder, facts):
    """Return the table of the tracks in one folder, with their facts."""
    rows, _ = _scan(folder)
    tracks = pd.DataFrame(rows, columns=["track", "genre", "path"])
    in_class_folder = [Path(path).parent.parent == folder for path in tracks["path"]]
    # A single class that contains only folders: they are the classes.
    if tracks["genre"].nunique() < 2 and not any(in_class_folder):
        raise DatasetError(
            f"{folder} has {len(tracks)} sound files in folders below it, and no "
            "<genre>/<track>.wav (or .flac, .mp3, ...); name the folder of the genres."
        )
    return tracks.merge(_facts_of(folder, tracks, facts), on="track", how="left")


def _facts_of(folder, tracks, facts):
    """Return the facts of the caller, of the folder, or of GTZAN; warn of gaps."""
    if facts is None and (folder / "tracks.csv").is_file():
        facts = folder / "tracks.csv"
    if facts is None:
        return _gtzan_facts(folder, tracks)
    if isinstance(facts, pd.DataFrame):
        facts = _check_facts(facts, "the table of facts")
    else:
        facts = load_facts(facts)
    missing = sorted(set(tracks["track"]) - set(facts["track"]))
    if missing:
        warnings.warn(
            f"{folder}: {len(missing)} of {len(tracks)} tracks have no row in the "
            f"facts, such as {missing[:2]}; the first rows of the facts are for "
            f"{facts['track'].to_list()[:2]}.",
            stacklevel=5,
        )
    return facts


def _gtzan_facts(folder, tracks):
    """Return GTZAN's facts, or no rows of them if the folder may be another corpus."""
    facts = load_facts()
    known = tracks["track"].isin(facts["track"])
    if known.all() and set(GENRES) == set(tracks["genre"]):
        return facts
    corpus = find_corpus() if known.any() else None
    if corpus is not None and corpus.samefile(folder):
        return facts
    if known.all():
        warnings.warn(
            f"{folder}: all tracks are named as GTZAN's, but not all ten genres are "
            "there, so the artists are unknown. If this is a part of GTZAN, pass "
            "facts=dataset.load_facts().",
            stacklevel=6,
        )
    return facts[:0]


def _read_csv(path, **settings):
    """Read a CSV table, in which only an empty cell is missing."""
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], **settings)
    except (OSError, ValueError) as error:
        message = f"{path}: not a table that can be read ({error})."
        raise DatasetError(message) from error


def _check_facts(facts, source):
    """Return a table of facts with our columns and the names of `load_tracks`."""
    if "track" not in facts:
        raise DatasetError(
            f"{source} has the columns {', '.join(facts)}, and no column named track; "
            "add it (blues.00000, ...)."
        )
    wanted = ["track", "artist", "fault_filtered", "replica_of"]
    others = facts.columns.difference([*wanted, "genre", "path"], sort=False)
    facts = facts.dropna(subset="track").reindex(columns=[*wanted, *others])
    for column in ("track", "replica_of"):
        facts[column] = facts[column].map(_track_name, na_action="ignore")
    facts = facts.drop_duplicates()
    twice = facts["track"].duplicated()
    if twice.any():
        name = facts["track"][twice].iloc[0]
        raise DatasetError(f"{source} has two rows for {name}; keep one of them.")
    return facts


def _with_different_names(tracks):
    """Put the folder in front of each name that several folders have."""
    shared = set(tracks["track"][tracks["track"].duplicated()])
    folders = tracks.index.get_level_values(0)
    for column in ("track", "replica_of"):
        tracks[column] = [
            f"{folder}/{name}" if name in shared else name
            for folder, name in zip(folders, tracks[column])
        ]
    twice = tracks["track"].duplicated()
    if twice.any():
        name = tracks["track"][twice].iloc[0]
        raise DatasetError(f"several folders have a track {name}; rename a folder.")
    return tracks
