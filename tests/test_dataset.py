import os
import sys
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

import download
from gtzan_mfcc import dataset, features, splits
from gtzan_mfcc.dataset import DatasetError

NAMES = [f"{genre}.{k:05d}" for genre in dataset.GENRES for k in range(100)]
GTZAN_FILES = [f"{name.split('.')[0]}/{name}.wav" for name in NAMES]


@pytest.fixture
def lay(tmp_path):
    """Make empty files with these names in a folder, and return the folder."""

    def lay(*names, folder="corpus"):
        folder = tmp_path / folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return folder

    return lay


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Use an empty folder as the project."""
    monkeypatch.setattr(dataset, "project_dir", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "tracks"),
    [
        (["zouk/b.wav", "zouk/a.wav", "axé/x.wav"], ["axé/x", "zouk/a", "zouk/b"]),
        # Albums and their discs.
        (["b/x/cd 1/1.mp3", "a/y/1.wav", "a/1.wav"], ["a/1", "a/y/1", "b/x/cd 1/1"]),
        # Only names like GTZAN's are shortened.
        (["rock/rock.01.wav", "rock/rock.00001.au"], ["rock.00001", "rock/rock.01"]),
        (["jazz/rock.00001.wav"], ["jazz/rock.00001"]),
        # All names are different.
        (["a/b.c.wav", "a.b/c.wav", "a/b/c.wav"], ["a/b.c", "a/b/c", "a.b/c"]),
        (["a/1.wav", "a/1.wav.mp3"], ["a/1"]),
    ],
)
def test_a_track_is_named_by_class_and_file(lay, files, tracks):
    found = dataset.load_tracks(lay(*files))
    assert found["track"].to_list() == tracks
    assert found["artist"].isna().all()


def test_a_class_is_one_class_whichever_way_its_accent_is_written(lay):
    mac = lay("cafe\u0301/1.wav", folder="mac")
    linux = lay("caf\xe9/2.wav", folder="linux")
    tracks = dataset.load_tracks([mac, linux])
    assert set(tracks["genre"]) == {"caf\xe9"}


def test_per_genre_keeps_the_first_tracks_of_each_class_folder(lay):
    folder = lay("b/x/2.wav", "b/1.wav", "b/x/1.wav", "a/7.wav")
    tracks = dataset.load_tracks(folder, per_genre=2)
    assert tracks["track"].to_dict() == {0: "a/7", 1: "b/1", 2: "b/x/1"}
    assert tracks["genre"].to_list() == ["a", "b", "b"]
    with pytest.raises(ValueError, match="per_genre is True; take 1 or more"):
        dataset.load_tracks(folder, per_genre=True)


def test_files_that_are_no_tracks_are_listed_with_the_reason(lay):
    folder = lay("a/x/1.wav", "a/x/1.mp3", "a/cover.jpg", "b.00001.wav")
    lay("b/b.00001.mp3", ".DS_Store", "a/._1.wav", "b/.more/c.wav")
    (folder / "tracks.csv").write_text("track\na/x/1\nb.00001")
    ignored = dataset.ignored_files(folder).set_index("path")["reason"]
    assert ignored.to_dict() == {
        str(folder / "a/x/1.mp3"): "exists in another format",
        str(folder / "b.00001.wav"): "not in a class folder",
        str(folder / "a/cover.jpg"): "unknown file extension",
    }
    # A file outside of the class folders replaces no track, even if it has its name.
    assert dataset.load_tracks(folder)["track"].to_list() == ["a/x/1", "b.00001"]


def test_a_folder_scan_finds_all_usual_sound_and_video_formats(lay):
    formats = """wav flac au snd aiff caf ogg opus spx mp2 mp3 m4a aac wma ape wv amr
    ac3 mka webm mkv mov mp4 m4v avi wmv flv ogv 3gp mpg mpeg ts m2ts mts vob rm ra"""
    names = [f"a/{name}.{name}" for name in formats.split()]
    assert len(dataset.load_tracks(lay(*names))) == len(names)


def test_links_are_followed_and_each_folder_is_visited_once_by_its_own_name(lay):
    folder = lay("m/y/2.WAV", "m/1.mp3", "m/cover.jpg", "m/.x/3.wav")
    (folder / "a").symlink_to("m")
    (folder / "m" / "up").symlink_to("..")
    (folder / "m" / "z").symlink_to(lay("10.ogg", folder="album"))
    files = [folder / "m/1.mp3", folder / "m/y/2.WAV", folder / "m/z/10.ogg"]
    assert dataset.sound_files(folder) == files


def test_a_folder_without_class_folders_is_refused(lay):
    with pytest.raises(DatasetError, match=r"0 sound files .* no <genre>/<track>"):
        dataset.load_tracks(lay("rock.00000.wav"))
    parent = lay("genres/a/x/1.wav", "genres/b/2.wav", folder="parent")
    with pytest.raises(DatasetError, match=r"has 2 .* name the folder of the genres"):
        dataset.load_tracks(parent)
    with pytest.raises(DatasetError, match="music: no such folder; check its name"):
        dataset.load_tracks(parent / "music")


def test_without_gtzan_an_error_says_what_to_do_and_nothing_is_made(project):
    with pytest.raises(DatasetError, match=r"make data.*GTZAN_DIR.*toy\.make_corpus"):
        dataset.load_tracks()
    assert not list(project.iterdir())


def test_tracks_of_equal_names_in_several_folders_stay_different(lay):
    first = lay("rock/1.wav", "rock/2.wav", folder="A")
    (first / "tracks.csv").write_text("track,replica_of\nrock/1,\nrock/2,rock/1\n")
    tracks = dataset.load_tracks([first, lay("rock/1.wav", "rock/3.wav", folder="B")])
    assert tracks["track"].to_list() == ["A/rock/1", "B/rock/1", "rock/2", "rock/3"]
    assert tracks["replica_of"].dropna().to_list() == ["A/rock/1"]


def test_a_folder_that_is_named_twice_brings_no_track_twice(lay):
    folder = lay("rock/x/1.wav", "pop/1.wav", folder="A")
    link = folder.with_name("B")
    link.symlink_to(folder)
    for other in (link, folder / "rock"):
        tracks = dataset.load_tracks([folder, other])
        assert tracks["track"].to_list() == ["pop/1", "rock/x/1"]


def test_folders_whose_names_do_not_tell_their_tracks_apart_are_refused(lay):
    folders = [lay("a/1.wav", folder="x/music"), lay("a/1.wav", folder="y/music")]
    with pytest.raises(DatasetError, match="several folders have a track music/a/1"):
        dataset.load_tracks(folders)


def test_gtzans_facts_are_whole_and_a_replica_has_the_artist_of_its_original(lay):
    tracks = dataset.load_tracks(lay(*GTZAN_FILES)).set_index("track")
    assert tracks.index.to_list() == NAMES
    assert [len(rows) for rows in splits.fault_filtered(tracks)] == [443, 197, 290]
    assert tracks["artist"].notna().sum() == 991
    replicas = tracks.dropna(subset="replica_of")
    originals = tracks.loc[replicas["replica_of"]]
    assert len(replicas) == 43
    assert replicas["artist"].to_list() == originals["artist"].to_list()


def test_own_files_with_names_of_gtzan_do_not_get_its_artists(lay, monkeypatch):
    own = lay("jazz/jazz.00000.mp3", "pop/pop.00001.mp3")
    with pytest.warns(UserWarning, match=r"pass facts=dataset\.load_facts\(\)"):
        tracks = dataset.load_tracks(own)
    assert tracks[["artist", "fault_filtered", "replica_of"]].isna().all(axis=None)
    assert dataset.corpus_label(tracks) == "your own corpus, 2 tracks"
    tracks = dataset.load_tracks(own, facts=dataset.load_facts())
    assert dataset.corpus_label(tracks) == "GTZAN, 2 of its 1,000 tracks"
    # A folder that the user calls GTZAN may have other files, too.
    monkeypatch.setenv("GTZAN_DIR", str(lay("fado/1.mp3")))
    assert dataset.load_tracks(own)["artist"].to_list()[1:] == ["224", "328"]


def test_a_corpus_brings_its_own_facts_with_all_their_columns(lay):
    folder = lay("blues/blues.00000.wav", "blues/b.c.wav")
    table = "year, track ,artist,genre\n1951,blues.00000, 007,jazz\n,blues/b.c,None,\n"
    (folder / "tracks.csv").write_text(table)
    tracks = dataset.load_tracks(folder).set_index("track")
    assert tracks["genre"].to_list() == ["blues", "blues"]
    assert tracks["artist"].to_dict() == {"blues.00000": "007", "blues/b.c": "None"}
    assert tracks["year"].fillna("").to_list() == ["1951", ""]


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("a/1.wav", "a/1.wav"),
        ("a/1.wav", "a\\1"),
        ("Amália/1.wav", "Ama\N{COMBINING ACUTE ACCENT}lia/1"),
        ("Ama\N{COMBINING ACUTE ACCENT}lia/1.wav", "Amália/1.WAV"),
        ("rock/rock.00001.wav", "rock/rock.00001"),
    ],
)
def test_facts_may_write_a_name_in_another_way(lay, file, written):
    facts = pd.DataFrame({"track": [written], "artist": "Queen", "replica_of": written})
    tracks = dataset.load_tracks(lay(file), facts=facts)
    assert tracks["artist"].to_list() == ["Queen"]
    assert tracks["replica_of"].to_list() == tracks["track"].to_list()


def test_facts_that_do_not_fit_all_tracks_give_a_warning_with_examples(lay):
    folder = lay("a/1.wav", "a/2.wav")
    (folder / "tracks.csv").write_text("track,artist\na/1,Queen\nsong2,Kiss\n")
    message = r"1 of 2 tracks have no row in the facts, such as \['a/2'\].*'song2'"
    with pytest.warns(UserWarning, match=message):
        dataset.load_tracks(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,artist\na/1,7\n", "the columns name, artist, and no column named track"),
        ("track,artist\na/1,x\na/1.wav,y\n", "has two rows for a/1; keep one"),
        ('track\n"a', "not a table that can be read"),
    ],
)
def test_facts_that_cannot_be_used_are_refused(tmp_path, table, message):
    path = tmp_path / "facts.csv"
    path.write_text(table)
    with pytest.raises(DatasetError, match=rf"facts\.csv.*{message}"):
        dataset.load_facts(path)


def test_empty_and_equal_rows_of_facts_are_left_out(tmp_path):
    (tmp_path / "facts.csv").write_text("track,artist\na/0,x\n,\na/0,x\n")
    assert dataset.load_facts(tmp_path / "facts.csv")["track"].to_list() == ["a/0"]


def test_a_piece_of_a_track_that_was_recorded_again_is_a_replica_of_it(lay):
    tracks = pd.DataFrame({"track": ["rock.00001", "own/a song", "own/b"]})
    names = "rock/rock.00001.20.wav", "rock/rock.00002.0.wav", "own/a song.5.mp3"
    folder = lay(*names, "own/b.live.mp3")
    pieces = dataset.load_rerecordings(folder, tracks.assign(artist=[*"ABC"]))
    found = pieces[["replica_of", "artist", "second"]].to_numpy().tolist()
    assert found == [["own/a song", "B", 5], ["rock.00001", "A", 20]]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
def test_names_of_files_need_not_be_utf8(lay):
    tracks = dataset.load_tracks(lay("a/caf\udce9.wav", "b\udce9/1.wav"))
    assert tracks["track"].to_list() == ["a/caf\udce9", "b\udce9/1"]
    assert dataset.corpus_label(tracks) == "your own corpus, 2 tracks"


def test_gtzan_dir_comes_before_the_layouts_in_data(lay, project, monkeypatch):
    assert dataset.find_corpus() is None
    for name in ("genres", "Data/genres_original", "genres_original"):
        assert lay(folder=f"data/{name}") == dataset.find_corpus()
    monkeypatch.setenv("GTZAN_DIR", "mine")  # in the folder of the project
    assert lay("fado/1.wav", folder="mine") == dataset.find_corpus()
    assert dataset.load_tracks()["track"].to_list() == ["fado/1"]
    monkeypatch.setenv("GTZAN_DIR", "nowhere")
    with pytest.raises(DatasetError, match="nowhere, no such folder; correct or unset"):
        dataset.find_corpus()


def test_a_pyproject_of_others_beside_the_package_does_not_make_it_a_checkout(
    lay, monkeypatch
):
    packages = lay("pyproject.toml", "gtzan_mfcc/dataset.py", folder="site-packages")
    monkeypatch.setattr(dataset, "__file__", str(packages / "gtzan_mfcc/dataset.py"))
    monkeypatch.chdir(lay())
    assert dataset.project_dir() == lay()
    (packages / "pyproject.toml").write_text('[project]\nname = "gtzan-mfcc"\n')
    assert dataset.project_dir() == packages


@pytest.mark.parametrize(
    ("tracks", "label"),
    [
        ([], "no tracks"),
        (NAMES * 2, "GTZAN"),
        (NAMES[:20], "GTZAN, 20 of its 1,000 tracks"),
        (["waltz.00000", "bells.00001"], "toy corpus (synthetic, not music), 2 tracks"),
        (["fado/1"], "your own corpus, 1 track"),
    ],
)
def test_a_label_names_the_corpus_and_its_size(tracks, label):
    assert dataset.corpus_label(pd.DataFrame({"track": tracks})) == label


@pytest.fixture
def table():
    """Make a valid feature table of three rows."""
    rows = pd.DataFrame(1.5, index=range(3), columns=features.FEATURE_NAMES)
    rows.insert(0, "filename", ["rock.0.wav", "rock.1.wav", "blues.0.wav"])
    rows.insert(1, "length", 66_149)
    return rows.assign(label=["01", "None", "True"])


def test_a_feature_table_is_read_with_kaggles_columns_and_names_as_text(
    table, tmp_path
):
    table.assign(extra=1).iloc[:, ::-1].to_csv(tmp_path / "a.csv", index=False)
    read = dataset.load_feature_table(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(read, table.astype({"label": "category"}))


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("tempo", [1, "", 2]),
        ("label", ["a", None, "b"]),
        ("filename", ["a", "a", "b"]),
    ],
)
def test_a_row_that_would_break_training_is_named(table, tmp_path, column, cells):
    table[column] = cells
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DatasetError, match=r"a\.csv: 1 rows .* the first in line 3"):
        dataset.load_feature_table(tmp_path / "a.csv")


@pytest.fixture
def kaggle(monkeypatch, lay):
    """Replace kagglehub: "download" these files, which are empty."""
    files = [f"genres_original/{file}" for file in GTZAN_FILES]
    kaggle = Mock(files=[*files, "features_3_sec.csv"])

    def dataset_download(handle):
        data = Path(os.environ["KAGGLEHUB_CACHE"], handle, "Data")
        if not data.exists():  # kagglehub does not download twice.
            lay(*kaggle.files, folder=data)
        return str(data.parent)

    kaggle.dataset_download.side_effect = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", kaggle)
    return kaggle


def test_download_brings_gtzan_and_its_table_and_nothing_twice(kaggle, project):
    assert dataset.find_feature_table() is None
    corpus = download.download()
    assert corpus == dataset.find_corpus()
    assert corpus == project / "data" / "Data" / "genres_original"
    assert dataset.find_feature_table() == corpus.with_name("features_3_sec.csv")
    assert os.listdir(project / "data") == ["Data"]
    assert download.download(str(project / "data")) == corpus
    kaggle.dataset_download.assert_called_once_with(
        "andradaolteanu/gtzan-dataset-music-genre-classification"
    )


def test_an_incomplete_download_names_what_is_missing_and_heals(kaggle, tmp_path):
    # A file of the existing copy is missing.
    (download.download(tmp_path) / "jazz" / "jazz.00033.wav").unlink()
    whole = kaggle.files
    kaggle.files = whole[1:900]
    missing = (
        "is not all of GTZAN: 99 of 100 tracks of blues; 0 of 100 tracks of rock; "
        "no features_3_sec.csv beside it; download it again"
    )
    with pytest.raises(DatasetError, match=missing):
        download.download(tmp_path)
    kaggle.files = whole
    download.check_corpus(download.download(tmp_path))
    assert os.listdir(tmp_path) == ["Data"]


def test_a_failed_download_gives_the_reason(kaggle, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", "the user's")
    kaggle.dataset_download.side_effect = KeyError
    with pytest.raises(DatasetError, match=r"\(KeyError\)\. Is there a network"):
        download.download(tmp_path)
    assert os.environ["KAGGLEHUB_CACHE"] == "the user's"
