import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import download
from gtzan_mfcc import dataset, features, splits, toy

COLUMNS = ["track", "genre", "path", "artist", "fault_filtered"]
NAMES = [f"{genre}.{k:05d}" for genre in dataset.GENRES for k in range(100)]


@pytest.fixture
def lay(tmp_path):
    """Make empty files with these names in a folder, and return the folder."""

    def lay(*names, folder="corpus"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return lay


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Use an empty folder as the project."""
    monkeypatch.setattr(dataset, "project_dir", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize("ending", [".wav", ".au", ".flac", ".ogg", ".mp3", ".WAV", ".Au"])
def test_layouts_of_gtzan_give_the_same_tracks(lay, ending):
    files = [f"{name}{ending}" for name in ("blues/blues.00000", "rock/rock.00001")]
    folder = lay(*files[::-1])
    tracks = dataset.load_tracks(folder)
    assert list(tracks) == [*COLUMNS, "replica_of"]
    assert tracks["track"].to_list() == ["blues.00000", "rock.00001"]
    assert tracks["genre"].to_list() == ["blues", "rock"]
    assert tracks["path"].to_list() == [str(folder / file) for file in files]


@pytest.mark.parametrize(
    ("files", "tracks"),
    [
        (["zouk/b.wav", "zouk/a.wav", "axé/x.wav"], ["axé/x", "zouk/a", "zouk/b"]),
        (["民謡/唄.ogg", "drum & bass/del mar.wav"], ["drum & bass/del mar", "民謡/唄"]),
        # The better of several formats; below, files that are not sound.
        (["rock/rock.00000.wav", "rock/rock.00000.au", "rock/rock.00000.mp3"], ["rock.00000"]),
        (["rock/a.wav", "rock/._a.wav", "rock/b.txt", "rock/.DS_Store"], ["rock/a"]),
        (["rock/a.wav", "b.wav", ".git/a.txt", "rock/.more/c.wav"], ["rock/a"]),
        # Albums and their discs.
        (
            ["a/x/1.wav", "a/y/1.wav", "a/1.wav", "b/x/cd 1/1.mp3"],
            ["a/1", "a/x/1", "a/y/1", "b/x/cd 1/1"],
        ),
        (["rock/x/rock.00001.wav", "rock/rock.00001.wav"], ["rock.00001", "rock/x/rock.00001"]),
        (["fado/c.mp3", ".trash/a.wav", ".genres/b.wav", "..odd/e.wav"], ["fado/c"]),
        (["genres/a.wav", "noise/b.wav"], ["genres/a", "noise/b"]),
        (["genres_original/a.wav", "noise/b.wav"], ["genres_original/a", "noise/b"]),
    ],
)
def test_sound_files_of_any_classes_are_found_in_alphabetical_order(lay, files, tracks):
    found = dataset.load_tracks(str(lay(*files)))
    assert found["track"].to_list() == tracks
    classes = [track.replace(".", "/").partition("/")[0] for track in tracks]
    assert found["genre"].to_list() == classes
    assert list(found["genre"].cat.categories) == sorted(set(classes))
    assert found.index.to_list() == [*range(len(tracks))]
    assert Path(found["path"][0]).suffix in (".wav", Path(files[0]).suffix)


@pytest.mark.parametrize(
    ("file", "track"),
    [
        ("rock/rock.00001.wav", "rock.00001"),
        ("rock/rock.0001.wav", "rock/rock.0001"),
        ("rock/rock.000010.wav", "rock/rock.000010"),
        ("rock/rockx00001.wav", "rock/rockx00001"),
        ("rock/blues.00001.wav", "rock/blues.00001"),
        ("c++ (a|b)/c++ (a|b).00001.mp3", "c++ (a|b).00001"),
    ],
)
def test_a_track_is_named_by_class_and_file_unless_it_has_a_name_like_gtzans(lay, file, track):
    (found,) = dataset.load_tracks(lay(file)).to_dict("records")
    assert (found["track"], found["genre"]) == (track, file.partition("/")[0])
    # Other songs have no artist of GTZAN.
    assert pd.notna(found["artist"]) == (track == "rock.00001")


def test_no_two_tracks_have_the_same_name(lay):
    files = [
        "a/b.c.wav", "a.b/c.wav", "a.b/a.b.00001.wav", "a/b.00001.wav", "a.b/00001.wav",
        "b/a.00001.wav", "a/a.00001.wav", "a/00001.wav", "b/1.wav", "a/1.wav",
    ]  # fmt: skip
    assert dataset.load_tracks(lay(*files))["track"].nunique() == len(files)


def test_per_genre_keeps_the_first_tracks_of_each(lay):
    folder = lay(*(f"{genre}/{k}.wav" for genre in ("a", "b") for k in (2, 0, 1)), "c/7.wav")
    tracks = dataset.load_tracks(folder, per_genre=2)
    assert tracks["track"].to_list() == ["a/0", "a/1", "b/0", "b/1", "c/7"]
    assert tracks.index.to_list() == [*range(5)]
    for nothing in (0, -1):
        with pytest.raises(ValueError, match="take 1 or more"):
            dataset.load_tracks(folder, per_genre=nothing)


def test_files_that_are_no_tracks_are_listed_with_the_reason(lay):
    folder = lay(
        "a/x/1.wav", "b/2.wav", "a/x/1.mp3", "a/cover.jpg", "a/x/notes", "loose.wav", "read.me",
        "b.00001.wav", "b/b.00001.mp3", "tracks.csv", "a/tracks.csv", ".DS_Store", "a/._1.wav",
        ".git/a.txt",
    )  # fmt: skip
    (folder / "tracks.csv").write_text("track\n")
    tracks = dataset.load_tracks(folder)
    # A file outside of the class folders replaces no track, even if it has the same name.
    assert tracks["track"].to_list() == ["a/x/1", "b.00001", "b/2"]
    no_sound = "unknown file extension"
    expected = {
        ("a/x/1.mp3", "a/x/1", "exists in another format"),
        ("loose.wav", "loose", "not in a class folder"),
        ("b.00001.wav", "b.00001", "not in a class folder"),
        ("read.me", "read", no_sound),
        *((f"a/{name}", f"a/{name.partition('.')[0]}", no_sound)
          for name in ("cover.jpg", "x/notes", "tracks.csv")),
    }  # fmt: skip
    assert {tuple(file) for file in tracks.attrs["ignored"]} == {("track", "path", "reason")}
    assert len(tracks.attrs["ignored"]) == len(expected)
    for file in tracks.attrs["ignored"]:
        path = Path(file["path"]).relative_to(folder).as_posix()
        assert (path, file["track"], file["reason"]) in expected


@pytest.fixture
def looped(lay):
    """Make songs in a folder, with links to the folder itself and to another album."""
    folder = lay("a/y/2.WAV", "a/x/1.mp3", "b/cover.jpg", "a/.x/3.wav", "a/._1.wav", "b/4.au")
    album = lay("10.ogg", folder="album")
    for link, target in {"a/x/up": folder, "a/z": album}.items():
        (folder / link).symlink_to(target, target_is_directory=True)
    return folder


def test_links_are_followed_and_each_folder_is_visited_once(looped):
    found = [path.relative_to(looped).as_posix() for path in dataset.sound_files(str(looped))]
    assert found == ["a/x/1.mp3", "a/y/2.WAV", "a/z/10.ogg", "b/4.au"]
    tracks = dataset.load_tracks(looped)
    assert tracks["track"].to_list() == ["a/x/1", "a/y/2", "a/z/10", "b/4"]
    with pytest.raises(dataset.DatasetError, match=r"1\.mp3: no such folder; check its name"):
        dataset.sound_files(looped / "a" / "x" / "1.mp3")


WANTED = r", and no <genre>/<track>\.wav .* name the folder of the genres"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "corpus: no such folder; check its name"),
        ([], f"holds nothing{WANTED}"),
        (["rock.00000.wav"], f"holds rock.00000.wav{WANTED}"),
        (["notes/read.me", "a.csv"], f"holds a.csv, notes{WANTED}"),
        (["genres/blues/blues.00000.wav"], f"holds genres{WANTED}"),
        (["genres/a/x/1.wav", "genres/b/2.wav"], f"holds genres{WANTED}"),
    ],
)
def test_an_unknown_layout_is_reported_with_the_expected_one(lay, tmp_path, files, message):
    folder = tmp_path / "corpus" if files is None else lay(*files)
    with pytest.raises(dataset.DatasetError, match=message):
        dataset.load_tracks(folder)


def test_gtzans_facts_are_whole_and_a_replica_has_the_artist_of_its_original(lay):
    facts = dataset.load_tracks(lay(*(f"{name.split('.')[0]}/{name}.au" for name in NAMES)))
    assert facts["track"].to_list() == NAMES
    assert facts["genre"].value_counts().eq(100).all()
    parts = splits.fault_filtered(facts.assign(augmentation="original"))
    assert [len(rows) for rows in parts] == [443, 197, 290]
    assert facts["artist"].notna().sum() == 991
    assert facts.groupby("genre", observed=True)["artist"].nunique()["jazz"] == 45
    replicas = facts.dropna(subset="replica_of")
    originals = facts.set_index("track").loc[replicas["replica_of"]]
    assert len(replicas) == 43
    assert replicas["artist"].to_list() == originals["artist"].to_list()
    assert replicas["artist"].notna().all()
    assert originals["replica_of"].isna().all()


def test_a_corpus_brings_its_own_facts_with_all_their_columns(lay):
    folder = lay("blues/blues.00000.wav", "blues/b.c.wav", "rock/c.mp3")
    (folder / "tracks.csv").write_text(
        "year,track,artist,genre,album\n1951,blues.00000,007,jazz,X\n,blues/b.c,Amália,,\n,c,y,,\n"
    )
    tracks = dataset.load_tracks(folder).set_index("track")
    assert list(tracks) == [*COLUMNS[1:], "replica_of", "year", "album"]
    assert tracks["genre"].to_list() == ["blues", "blues", "rock"]
    assert tracks["artist"].dropna().to_dict() == {"blues.00000": "007", "blues/b.c": "Amália"}
    assert tracks.loc["blues.00000", ["year", "album"]].to_list() == ["1951", "X"]
    assert tracks.loc["rock/c", ["artist", "fault_filtered", "year", "album"]].isna().all()
    (folder / "tracks.csv").write_text("name,artist\nblues.00000,7\n")
    with pytest.raises(dataset.DatasetError, match=r"name, artist, and no column named track; add"):
        dataset.load_tracks(folder)


def test_gtzan_dir_comes_before_the_layouts_in_data(lay, project, monkeypatch):
    assert dataset.find_corpus() is None
    for name in ("genres", "Data/genres_original", "genres_original"):
        assert lay(folder=f"data/{name}") == dataset.find_corpus()
    mine = lay("rock/rock.00000.wav", folder="mine")
    monkeypatch.setenv("GTZAN_DIR", str(mine))
    assert dataset.find_corpus() == mine
    assert dataset.load_tracks()["track"].to_list() == ["rock.00000"]
    monkeypatch.setenv("GTZAN_DIR", str(project / "nowhere"))
    with pytest.raises(dataset.DatasetError, match=r"nowhere, no such folder; correct or unset"):
        dataset.find_corpus()


def test_a_corpus_may_be_named_from_the_project_and_from_home(lay, project, monkeypatch):
    lay("a/b.wav", folder="music")
    monkeypatch.chdir(lay(folder="notebooks"))
    for named in ("music", "../music"):
        monkeypatch.setenv("GTZAN_DIR", named)
        assert dataset.find_corpus().samefile(project / "music")
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(project))
    assert len(dataset.load_tracks("~/music")) == 1


def test_without_gtzan_the_toy_corpus_is_taken(lay, project, monkeypatch):
    file = f"{toy.GENRES[0]}/{toy.GENRES[0]}.00000.wav"
    monkeypatch.setattr(toy, "make_corpus", lambda to: lay(file, folder=to.relative_to(project)))
    tracks = dataset.load_tracks()
    assert tracks["path"].to_list() == [str(project / "data" / "toy" / file)]
    assert dataset.corpus_label(tracks["track"]) == "toy corpus (synthetic, not music), 1 tracks"


def test_build_dir_is_in_the_project_unless_named(project, monkeypatch):
    for named, folder in {"/somewhere": Path("/somewhere"), "": project / "build"}.items():
        monkeypatch.setenv("BUILD_DIR", named)
        assert dataset.build_dir() == folder


@pytest.mark.parametrize(
    ("tracks", "label"),
    [
        (pd.Series(NAMES * 3), "GTZAN"),
        (NAMES[:999], "GTZAN, 999 of its 1,000 tracks"),
        ([f"{name}.0" for name in toy.GENRES], "toy corpus (synthetic, not music), 10 tracks"),
        (["rock.00000", f"{toy.GENRES[0]}.00000"], "your own corpus, 2 tracks"),
        ([f"fado.{k}" for k in range(1_234)], "your own corpus, 1,234 tracks"),
    ],
)
def test_a_label_names_the_corpus_and_its_size(tracks, label):
    assert dataset.corpus_label(tracks) == label


@pytest.fixture
def table() -> pd.DataFrame:
    """Make a valid feature table of three rows."""
    rows = pd.DataFrame(1.5, index=range(3), columns=features.FEATURE_NAMES)
    rows.insert(0, "filename", ["rock.00000.0.wav", "rock.00000.1.wav", "blues.00000.0.wav"])
    rows.insert(1, "length", 66_149)
    return rows.assign(label=["rock", "rock", "blues"])


def test_a_feature_table_is_read_with_kaggles_columns(table, tmp_path):
    table.assign(extra=1)[["extra", *table.columns[::-1]]].to_csv(tmp_path / "a.csv", index=False)
    read = dataset.load_feature_table(tmp_path / "a.csv")
    assert list(read["label"].cat.categories) == ["blues", "rock"]
    pd.testing.assert_frame_equal(read.astype({"label": table["label"].dtype}), table)


NOT_A_NUMBER = "1 cells are empty, not finite.* the first in row 3, column tempo; download"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        *(
            (lambda table, cell=cell: table.astype(object).assign(tempo=[1, cell, 2]), NOT_A_NUMBER)
            for cell in ("", "n/a", "1,5", "oops", "inf")
        ),
        (lambda table: table.assign(label=["a", "b", None]), "first in row 4, column label"),
        (
            lambda table: table.drop(columns=["tempo", "label"]),
            "tempo.*label.*; make it again with extract_f",
        ),
        (lambda table: table[:0], "has 0 rows, .*; make it again with extract_"),
        (lambda table: table.iloc[[0, 1, 0]], "first in row 4, column filename"),
    ],
)
def test_a_table_that_would_break_training_is_refused(table, tmp_path, spoil, message):
    spoil(table).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(dataset.DatasetError, match=rf"a\.csv.*{message}"):
        dataset.load_feature_table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe\x00\x01\x80", b'a,b\n1,"2', b"PK\x03\xff"]
)
def test_a_file_that_is_not_a_table_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(dataset.DatasetError, match=r"a\.csv"):
        dataset.load_feature_table(tmp_path / "a.csv")


def test_the_feature_table_is_found_beside_the_corpus(lay, project):
    assert dataset.find_feature_table() is None
    corpus = lay("rock/rock.00000.wav", folder="data/Data/genres_original")
    assert dataset.find_feature_table() is None
    beside = corpus.parent / "features_3_sec.csv"
    beside.touch()
    assert dataset.find_feature_table() == dataset.find_feature_table(str(corpus)) == beside
    assert dataset.find_feature_table(project / "elsewhere" / "genres") is None


@pytest.fixture
def kaggle(monkeypatch):
    """Replace kagglehub: make GTZAN of empty files, and record the requested handles."""
    monkeypatch.delenv("KAGGLEHUB_CACHE", raising=False)
    stand_in = SimpleNamespace(asked=[], names=NAMES, table=True, error=None, mounted=None)

    def dataset_download(handle):
        stand_in.asked.append(handle)
        if stand_in.error:
            raise stand_in.error
        root = stand_in.mounted or Path(os.environ["KAGGLEHUB_CACHE"]) / "datasets" / handle
        data = root / "versions" / "1" / "Data"
        if data.exists():  # kagglehub does not download twice.
            return str(data.parent)
        data.mkdir(parents=True)
        for name in stand_in.names:
            path = data / "genres_original" / name.split(".")[0] / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if stand_in.table:
            (data / "features_3_sec.csv").touch()
        return str(data.parent)

    stand_in.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", stand_in)
    return stand_in


def test_download_brings_gtzan_and_its_table_and_nothing_twice(kaggle, project):
    corpus = download.download()
    assert corpus == project / "data" / "Data" / "genres_original" == dataset.find_corpus()
    assert len(dataset.load_tracks()) == 1000
    assert dataset.find_feature_table() == project / "data" / "Data" / "features_3_sec.csv"
    assert [path.name for path in (project / "data").iterdir()] == ["Data"]
    assert download.download(str(project / "data")) == corpus
    assert kaggle.asked == ["andradaolteanu/gtzan-dataset-music-genre-classification"]


@pytest.mark.parametrize("broken", ["before", "after"])
def test_an_incomplete_download_names_what_is_missing_and_heals(kaggle, tmp_path, broken):
    if broken == "before":  # A file of the existing copy is missing.
        (download.download(tmp_path / "to") / "jazz" / "jazz.00033.wav").unlink()
    kaggle.names, kaggle.table = NAMES[1:700], False
    missing = (
        "is not all of GTZAN: 99 of 100 tracks of blues; 0 of 100 tracks of pop; 0 of 100 tracks "
        "of reggae; 0 of 100 tracks of rock; no features_3_sec.csv beside it; download it again"
    )
    with pytest.raises(dataset.DatasetError, match=missing):
        download.download(tmp_path / "to")
    kaggle.names, kaggle.table = NAMES, True
    download.check_corpus(download.download(tmp_path / "to"))
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["Data"]


@pytest.mark.parametrize("before", [None, "/my/cache"])
def test_a_failed_download_gives_the_reason_and_restores_kagglehubs_setting(
    kaggle, tmp_path, monkeypatch, before
):
    if before:
        monkeypatch.setenv("KAGGLEHUB_CACHE", before)
    kaggle.error = KeyError("x")
    with pytest.raises(dataset.DatasetError, match=r"\(KeyError\)\. Is there a network"):
        download.download(tmp_path / "to")
    assert os.environ.get("KAGGLEHUB_CACHE") == before


def test_data_that_is_mounted_elsewhere_is_copied_and_stays(kaggle, tmp_path):
    kaggle.mounted = tmp_path / "mounted"
    download.check_corpus(download.download(tmp_path / "to"))
    download.check_corpus(kaggle.mounted / "versions" / "1" / "Data" / "genres_original")
