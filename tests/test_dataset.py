import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import dataset, extraction, features, toy

COLUMNS = ["track", "genre", "path", "artist", "fault_filtered"]


@pytest.fixture
def lay(tmp_path):
    """Make empty files of these names in a folder, and give the folder; nothing reads them."""

    def lay(*names, folder="corpus"):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return lay


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Give an empty folder that is taken for the project."""
    monkeypatch.setattr(dataset, "project_dir", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def names():
    """All of GTZAN's track names."""
    return [f"{genre}.{k:05d}" for genre in dataset.GENRES for k in range(100)]


@pytest.mark.parametrize("ending", [".wav", ".au", ".flac", ".ogg", ".mp3", ".WAV", ".Au"])
def test_layouts_of_gtzan_give_the_same_tracks(lay, ending):
    folder = lay(*(f"{name}{ending}" for name in ("rock/rock.00001", "blues/blues.00000")))
    tracks = dataset.load_tracks(folder)
    assert list(tracks) == COLUMNS
    assert tracks["track"].to_list() == ["blues.00000", "rock.00001"]
    assert tracks["genre"].to_list() == ["blues", "rock"]
    assert tracks["path"].to_list() == [
        str(folder / f"blues/blues.00000{ending}"),
        str(folder / f"rock/rock.00001{ending}"),
    ]


def test_genres_and_tracks_are_in_alphabetical_order(lay):
    folder = lay("zouk/b.wav", "zouk/a.wav", "axé/x.flac", "axé/c.wav")
    tracks = dataset.load_tracks(folder)
    assert list(tracks["genre"].cat.categories) == ["axé", "zouk"]
    assert tracks["track"].to_list() == ["axé/c", "axé/x", "zouk/a", "zouk/b"]
    assert tracks.index.to_list() == [0, 1, 2, 3]


def test_folders_may_have_spaces_and_any_letters(lay):
    folder = lay("drum & bass/café del mar.wav", "民謡/唄.ogg", folder="meine Musik (neu)")
    tracks = dataset.load_tracks(str(folder))
    assert tracks["track"].to_list() == ["drum & bass/café del mar", "民謡/唄"]
    assert all(Path(path).is_file() for path in tracks["path"])


def test_what_is_no_sound_is_passed_over(lay):
    folder = lay(
        "rock/rock.00000.wav", "rock/._rock.00000.wav", "rock/rock.00001.txt", "rock/.DS_Store",
        "README.wav", ".git/a.txt", "rock/more/rock.00002.wav",
    )  # fmt: skip
    assert dataset.load_tracks(folder)["track"].to_list() == ["rock.00000"]


def test_a_track_in_two_formats_counts_once_in_the_better_one(lay):
    folder = lay("rock/rock.00000.mp3", "rock/rock.00000.au", "rock/rock.00000.wav", "pop/a.ogg")
    tracks = dataset.load_tracks(folder)
    assert [Path(path).name for path in tracks["path"]] == ["a.ogg", "rock.00000.wav"]


def test_per_genre_keeps_the_first_tracks_of_each(lay):
    folder = lay(*(f"{genre}/{k}.wav" for genre in ("a", "b") for k in (2, 0, 1)), "c/7.wav")
    tracks = dataset.load_tracks(folder, per_genre=2)
    assert tracks["track"].to_list() == ["a/0", "a/1", "b/0", "b/1", "c/7"]


def test_a_folder_that_is_missing_tells_what_to_do(tmp_path):
    with pytest.raises(dataset.DatasetError, match=r"nowhere: no such folder; run `make data`"):
        dataset.load_tracks(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("files", "finding"),
    [
        ([], "nothing"),
        (["rock.00000.wav"], "rock.00000.wav"),
        (["music/rock/rock.00000.wav"], "music"),
        (["notes/read.me", "a.csv"], "a.csv, notes"),
    ],
    ids=["empty", "flat", "deep", "other"],
)
def test_an_unknown_layout_tells_what_is_there_and_what_is_wanted(lay, tmp_path, files, finding):
    (tmp_path / "corpus").mkdir()
    with pytest.raises(dataset.DatasetError) as caught:
        dataset.load_tracks(lay(*files))
    assert f"holds {finding}, and no <genre>/<track>.wav" in str(caught.value)
    assert "one folder a genre" in str(caught.value)


def test_gtzans_tracks_get_gtzans_facts(lay):
    tracks = dataset.load_tracks(
        lay("blues/blues.00000.wav", "disco/disco.00051.au", "disco/disco.99999.au")
    )
    known, unknown, foreign = tracks.to_dict("records")
    assert (known["artist"], known["fault_filtered"]) == ("0", "valid")
    for track in (unknown, foreign):
        assert pd.isna(track["artist"])
        assert pd.isna(track["fault_filtered"])


def test_gtzans_facts_are_whole(lay, names):
    facts = dataset.load_tracks(lay(*(f"{name.split('.')[0]}/{name}.wav" for name in names)))
    assert facts["track"].to_list() == names
    assert facts["fault_filtered"].value_counts().to_dict() == {
        "train": 443,
        "valid": 197,
        "test": 290,
    }
    assert facts["genre"].value_counts().eq(100).all()
    assert facts["artist"].notna().sum() > 900


def test_a_corpus_may_bring_its_own_facts(lay):
    folder = lay("blues/blues.00000.wav", "blues/blues.00001.wav")
    (folder / "tracks.csv").write_text("track,artist,year\nblues.00000,007,1951\n")
    tracks = dataset.load_tracks(folder)
    assert list(tracks) == COLUMNS
    assert tracks.loc[0, "artist"] == "007"
    assert tracks.loc[1].isna().to_dict() == {name: name in COLUMNS[3:] for name in COLUMNS}
    assert pd.isna(tracks.loc[0, "fault_filtered"])


def test_own_facts_without_track_names_tell_what_to_do(lay):
    folder = lay("blues/blues.00000.wav")
    (folder / "tracks.csv").write_text("name,artist\nblues.00000,7\n")
    with pytest.raises(dataset.DatasetError, match=r"name, artist, and no column named track; add"):
        dataset.load_tracks(folder)


def test_gtzan_dir_comes_before_data(lay, project, monkeypatch):
    lay("blues/blues.00000.wav", folder="data/genres_original")
    mine = lay("rock/rock.00000.wav", folder="mine")
    monkeypatch.setenv("GTZAN_DIR", str(mine))
    assert dataset.find_corpus() == mine
    assert dataset.load_tracks()["track"].to_list() == ["rock.00000"]


def test_a_relative_gtzan_dir_may_be_meant_from_the_project(project, monkeypatch):
    for folder in ("music", "notebooks"):
        (project / folder).mkdir()
    monkeypatch.chdir(project / "notebooks")
    monkeypatch.setenv("GTZAN_DIR", "music")
    assert dataset.find_corpus() == project / "music"
    monkeypatch.setenv("GTZAN_DIR", "../music")
    assert dataset.find_corpus().samefile(project / "music")


def test_layouts_in_data_are_found_in_order(project):
    assert dataset.find_corpus() is None
    for name in ("genres", "Data/genres_original", "genres_original"):
        (project / "data" / name).mkdir(parents=True)
        assert dataset.find_corpus() == project / "data" / name


def test_gtzan_dir_to_nowhere_is_an_error(project, monkeypatch):
    (project / "data" / "genres").mkdir(parents=True)
    monkeypatch.setenv("GTZAN_DIR", str(project / "nowhere"))
    with pytest.raises(dataset.DatasetError, match=r"nowhere, and there is no such folder; set it"):
        dataset.find_corpus()


def test_without_gtzan_the_toy_corpus_is_taken(project, toy_corpus, monkeypatch):
    monkeypatch.setattr(toy, "make_corpus", lambda: toy_corpus)
    tracks = dataset.load_tracks()
    assert set(tracks["genre"]) <= set(toy.GENRES)
    assert dataset.corpus_label(tracks["track"]).startswith("toy corpus")


def test_build_dir_is_in_the_project_unless_named(project, monkeypatch):
    monkeypatch.setenv("BUILD_DIR", "/somewhere")
    assert dataset.build_dir() == Path("/somewhere")
    monkeypatch.delenv("BUILD_DIR")
    assert dataset.build_dir() == project / "build"


def test_label_of_the_whole_of_gtzan_is_its_name(names):
    assert dataset.corpus_label(names) == "GTZAN"
    assert dataset.corpus_label(pd.Series(names * 3)) == "GTZAN"


def test_label_of_a_part_tells_how_much_it_is(names):
    assert dataset.corpus_label(names[:999]) == "GTZAN, 999 of its 1,000 tracks"
    assert dataset.corpus_label(["rock.00000"] * 5) == "GTZAN, 1 of its 1,000 tracks"


@pytest.mark.parametrize(
    ("tracks", "label"),
    [
        (
            [f"{genre}.00000" for genre in toy.GENRES],
            "toy corpus (synthetic, not music), 10 tracks",
        ),
        (["rock.mysong", "rock.00000"], "your own corpus, 2 tracks"),
        (["rock.00000", f"{toy.GENRES[0]}.00000"], "your own corpus, 2 tracks"),
        ([f"fado.{k}" for k in range(1_234)], "your own corpus, 1,234 tracks"),
    ],
    ids=["toy", "foreign names", "mixed", "own"],
)
def test_label_of_another_corpus_says_so(tracks, label):
    assert dataset.corpus_label(tracks) == label


@pytest.fixture
def table() -> pd.DataFrame:
    """Give a good feature table of three rows."""
    rows = pd.DataFrame(1.5, index=range(3), columns=features.FEATURE_NAMES)
    rows.insert(0, "filename", ["rock.00000.0.wav", "rock.00000.1.wav", "blues.00000.0.wav"])
    rows.insert(1, "length", 66_149)
    return rows.assign(label=["rock", "rock", "blues"])


def test_a_feature_table_is_read_with_kaggles_columns(table, tmp_path):
    table.assign(extra=1)[["extra", *table.columns[::-1]]].to_csv(tmp_path / "a.csv", index=False)
    read = dataset.load_feature_table(tmp_path / "a.csv")
    assert list(read["label"].cat.categories) == ["blues", "rock"]
    pd.testing.assert_frame_equal(read.astype({"label": table["label"].dtype}), table)


def test_kaggles_own_table_is_read(reference):
    read = dataset.load_feature_table(reference / "reference" / "kaggle_features_30_sec.csv")
    assert read.shape == (1000, 60)
    assert tuple(read["label"].cat.categories) == dataset.GENRES


@pytest.mark.parametrize("cell", ["", "n/a", "1,5", "oops"])
def test_a_cell_that_is_no_number_is_pointed_at(table, tmp_path, cell):
    table.astype({"tempo": object}).replace({"tempo": {1.5: cell}}).iloc[[0]].to_csv(
        tmp_path / "a.csv", index=False
    )
    with pytest.raises(dataset.DatasetError) as caught:
        dataset.load_feature_table(tmp_path / "a.csv")
    assert "1 cells are empty or not finite numbers, the first in row 2, column tempo" in str(
        caught.value
    )
    assert "download it again" in str(caught.value)


def test_missing_columns_are_named(table, tmp_path):
    table.drop(columns=["tempo", "label"]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(dataset.DatasetError, match=r"lacks 2 of the 60 columns: tempo, label; dow"):
        dataset.load_feature_table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xff\xfe\x00\x01\x80", b'a,b\n1,"2', b"PK\x03\x04\x14\x00\x80\xff" * 9],
    ids=["missing", "empty", "bytes", "broken", "zip"],
)
def test_what_is_no_table_is_named(tmp_path, content):
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(dataset.DatasetError, match=r"a\.csv"):
        dataset.load_feature_table(path)


def test_the_feature_table_is_found_beside_the_corpus(lay, project, monkeypatch):
    assert dataset.find_feature_table() is None
    corpus = lay("rock/rock.00000.wav", folder="data/Data/genres_original")
    assert dataset.find_feature_table() is None
    beside = corpus.parent / "features_3_sec.csv"
    beside.touch()
    assert dataset.find_feature_table() == beside
    assert dataset.find_feature_table(corpus) == beside
    assert dataset.find_feature_table(project / "elsewhere" / "genres") is None


@pytest.fixture
def kaggle(monkeypatch, tmp_path, names):
    """Stand in for kagglehub: lays down GTZAN as empty files, and keeps the handles asked for."""
    monkeypatch.delenv("KAGGLEHUB_CACHE", raising=False)
    stand_in = SimpleNamespace(asked=[], names=names, table=True, error=None, mounted=None)

    def dataset_download(handle):
        stand_in.asked.append(handle)
        if stand_in.error:
            raise stand_in.error
        root = stand_in.mounted or Path(os.environ["KAGGLEHUB_CACHE"]) / "datasets" / handle
        data = root / "versions" / "1" / "Data"
        if data.exists():  # What kagglehub has once, it does not fetch again.
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


def test_download_brings_gtzan_and_its_table(kaggle, project):
    corpus = dataset.download()
    assert kaggle.asked == ["andradaolteanu/gtzan-dataset-music-genre-classification"]
    assert corpus == project / "data" / "Data" / "genres_original" == dataset.find_corpus()
    assert len(dataset.load_tracks()) == 1000
    assert dataset.find_feature_table() == project / "data" / "Data" / "features_3_sec.csv"
    assert [path.name for path in (project / "data").iterdir()] == ["Data"]


def test_download_fetches_nothing_that_is_there(kaggle, tmp_path):
    first = dataset.download(tmp_path / "to")
    assert dataset.download(str(tmp_path / "to")) == first
    assert len(kaggle.asked) == 1


@pytest.mark.parametrize("broken", ["before", "after"])
def test_an_incomplete_download_names_what_is_missing_and_heals(kaggle, tmp_path, names, broken):
    if broken == "before":  # What is there already has lost a file.
        (dataset.download(tmp_path / "to") / "jazz" / "jazz.00033.wav").unlink()
    kaggle.names, kaggle.table = names[1:700], False
    with pytest.raises(dataset.DatasetError) as caught:
        dataset.download(tmp_path / "to")
    assert (
        "is not all of GTZAN: 99 of 100 tracks of blues; 0 of 100 tracks of pop; 0 of 100 tracks "
        "of reggae; 0 of 100 tracks of rock; no features_3_sec.csv beside it"
    ) in str(caught.value)
    kaggle.names, kaggle.table = names, True
    corpus = dataset.download(tmp_path / "to")
    dataset.check_corpus(corpus)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["Data"]


def test_a_download_that_leaves_no_corpus_tells_what_to_do(kaggle, tmp_path):
    kaggle.names = []
    with pytest.raises(dataset.DatasetError, match="make data"):
        dataset.download(tmp_path / "to")


@pytest.mark.parametrize("error", [ConnectionError("no route"), KeyError("x"), OSError("disk")])
def test_a_failed_download_tells_why_and_what_to_do(kaggle, tmp_path, error):
    kaggle.error = error
    with pytest.raises(dataset.DatasetError) as caught:
        dataset.download(tmp_path / "to")
    assert str(error) in str(caught.value)
    assert "Try again" in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("before", [None, "/my/cache"])
@pytest.mark.parametrize("error", [None, OSError("disk")])
def test_kagglehubs_setting_is_put_back(kaggle, tmp_path, monkeypatch, before, error):
    if before:
        monkeypatch.setenv("KAGGLEHUB_CACHE", before)
    kaggle.error = error
    try:
        dataset.download(tmp_path / "to")
    except dataset.DatasetError:
        assert error
    assert os.environ.get("KAGGLEHUB_CACHE") == before


def test_data_that_is_mounted_elsewhere_is_copied_and_stays(kaggle, tmp_path):
    kaggle.mounted = tmp_path / "mounted"
    corpus = dataset.download(tmp_path / "to")
    dataset.check_corpus(corpus)
    dataset.check_corpus(kaggle.mounted / "versions" / "1" / "Data" / "genres_original")


def test_check_refuses_a_part_of_gtzan(kaggle, tmp_path):
    corpus = dataset.download(tmp_path / "to")
    (corpus.parent / "features_3_sec.csv").unlink()
    with pytest.raises(dataset.DatasetError, match=r"GTZAN: no features_3_sec.csv beside it; down"):
        dataset.check_corpus(corpus)


def test_the_known_corrupt_file_is_left_out_with_what_is_known_of_it(lay, tone, tmp_path):
    folder = lay("jazz/jazz.00054.wav", "jazz/jazz.00053.wav", "jazz/jazz.00052.wav")
    soundfile.write(folder / "jazz" / "jazz.00053.wav", tone, 22_050)
    (folder / "jazz" / "jazz.00054.wav").write_bytes(b"\x00" * 1_000)
    segments = extraction.extract_mfcc(
        dataset.load_tracks(folder), n_jobs=1, cache=tmp_path / "cache", progress=False
    )
    reasons = segments.left_out.set_index("track")["reason"]
    assert list(reasons.index) == ["jazz.00052", "jazz.00054"]
    assert "corrupt in Kaggle's copy of GTZAN; the study left it out too" in reasons["jazz.00054"]
    assert "Kaggle" not in reasons["jazz.00052"]
    assert segments.table["track"].to_list() == ["jazz.00053"]


@pytest.mark.parametrize("name", ["genres_original", "genres"])
def test_the_folder_above_the_corpus_is_refused_with_its_name(tmp_path, name):
    (tmp_path / name / "blues").mkdir(parents=True)
    (tmp_path / "lossless").mkdir()
    (tmp_path / "lossless" / "blues.00000.flac").touch()
    with pytest.raises(dataset.DatasetError, match=f"name that one, .*{name}, instead"):
        dataset.load_tracks(tmp_path)


@pytest.mark.parametrize("name", ["genres", "genres_original"])
def test_a_class_may_be_called_genres_if_it_has_sound_in_it(lay, name):
    tracks = dataset.load_tracks(lay(f"{name}/a.wav", "noise/b.wav"))
    assert tracks["track"].to_list() == [f"{name}/a", "noise/b"]
    assert list(tracks["genre"].cat.categories) == [name, "noise"]


@pytest.mark.parametrize("name", ["genres", "genres_original"])
@pytest.mark.parametrize("inside", ["cover.jpg", ".hidden.wav", "blues/blues.00000.wav"])
def test_a_folder_called_genres_without_sound_of_its_own_is_named(lay, name, inside):
    with pytest.raises(dataset.DatasetError, match=f"name that one, .*{name}, instead"):
        dataset.load_tracks(lay(f"{name}/{inside}", "noise/b.wav"))


def test_hidden_folders_are_no_classes(lay):
    folder = lay(".trash/a.wav", ".genres/b.wav", "fado/c.wav", "fado/.d.wav", "..odd/e.wav")
    tracks = dataset.load_tracks(folder)
    assert tracks["track"].to_list() == ["fado/c"]
    assert list(tracks["genre"].cat.categories) == ["fado"]


def test_a_folder_of_hidden_folders_alone_has_no_classes(lay):
    with pytest.raises(dataset.DatasetError, match=r"and no <genre>/<track>\.wav"):
        dataset.load_tracks(lay(".trash/a.wav"))


@pytest.mark.parametrize(
    ("file", "track"),
    [
        ("rock/rock.00001.wav", "rock.00001"),
        ("rock/00001.wav", "rock/00001"),
        ("rock/rock.0001.wav", "rock/rock.0001"),
        ("rock/rock.000010.wav", "rock/rock.000010"),
        ("rock/rock.00001.live.wav", "rock/rock.00001.live"),
        ("rock/rockx00001.wav", "rock/rockx00001"),
        ("rock/blues.00001.wav", "rock/blues.00001"),
        ("Rock/rock.00001.wav", "Rock/rock.00001"),
        ("c++ (a|b)/c++ (a|b).00001.mp3", "c++ (a|b).00001"),
        ("a.b/a.b.00001.flac", "a.b.00001"),
        ("a/My Song (live).x.mp3", "a/My Song (live).x"),
        ("a/٠٠٠٠١.wav", "a/٠٠٠٠١"),
    ],
)
def test_a_track_is_named_by_class_and_file_unless_it_has_a_name_like_gtzans(lay, file, track):
    (found,) = dataset.load_tracks(lay(file)).to_dict("records")
    assert (found["track"], found["genre"]) == (track, file.partition("/")[0])


def test_no_two_tracks_have_the_same_name(lay):
    files = [
        "a/b.c.wav", "a.b/c.wav", "a.b/a.b.00001.wav", "a/b.00001.wav", "a.b/00001.wav",
        "b/a.00001.wav", "a/a.00001.wav", "a/00001.wav", "b/1.wav", "a/1.wav",
    ]  # fmt: skip
    tracks = dataset.load_tracks(lay(*files))
    assert len(tracks) == len(files)
    assert tracks["track"].is_unique
    assert sorted(tracks["path"].str.split("corpus/").str[1]) == sorted(files)


@pytest.mark.parametrize(
    "file", ["rock/00001.wav", "rock/blues.00001.wav", "Rock/rock.00001.wav", "my/rock.00001.wav"]
)
def test_songs_of_ones_own_get_no_artist_of_gtzans(lay, file):
    (known, own) = (
        dataset.load_tracks(lay(file, "blues/blues.00001.wav"))
        .sort_values("path", key=lambda paths: ~paths.str.endswith("blues/blues.00001.wav"))
        .to_dict("records")
    )
    assert known["artist"] == "0"
    assert pd.isna(own["artist"])
    assert pd.isna(own["fault_filtered"])


def test_own_facts_are_found_by_class_and_name(lay):
    folder = lay("fado/a.b.wav", "fado/c.mp3", "rock/c.mp3")
    (folder / "tracks.csv").write_text("track,artist\nfado/a.b,Amália\nrock/c,x\nc,y\n")
    artists = dataset.load_tracks(folder).set_index("track")["artist"]
    assert artists.dropna().to_dict() == {"fado/a.b": "Amália", "rock/c": "x"}
    assert pd.isna(artists["fado/c"])


def test_classes_of_the_same_song_names_are_extracted_each_on_its_own(tmp_path, tone):
    for name, gain in (("a.b", 1), ("a", 0.1)):
        (tmp_path / "own" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "own" / name / "c.wav", tone * gain, 22_050)
    soundfile.write(tmp_path / "own" / "a" / "b.c.wav", tone * 0.5, 22_050)
    segments = extraction.extract_mfcc(
        dataset.load_tracks(tmp_path / "own"), n_jobs=1, cache=tmp_path / "cache", progress=False
    )
    assert segments.table["track"].to_list() == ["a/b.c", "a/c", "a.b/c"]
    assert segments.table["genre"].to_list() == ["a", "a", "a.b"]
    loudness = segments.mfcc[:, :, 0].mean(axis=1)
    assert loudness.argsort().tolist() == [1, 0, 2]


@pytest.mark.parametrize("per_genre", [0, -1])
def test_no_tracks_a_genre_are_refused(small_corpus, per_genre):
    with pytest.raises(ValueError, match="take 1 or more"):
        dataset.load_tracks(small_corpus, per_genre=per_genre)


@pytest.mark.parametrize("spoil", ["label", "infinite", "rows"])
def test_feature_table_that_would_break_training_is_refused(tmp_path, spoil):
    columns = ["filename", "length", *features.FEATURE_NAMES, "label"]
    table = pd.DataFrame([["a.00000.0.wav", 66_149, *range(57), "a"]] * 2, columns=columns)
    table = table.astype({"tempo": float})
    if spoil == "label":
        table.loc[1, "label"] = None
    elif spoil == "infinite":
        table.loc[1, "tempo"] = np.inf
    else:
        table = table[:0]
    table.to_csv(tmp_path / "features.csv", index=False)
    with pytest.raises(dataset.DatasetError, match=r"features\.csv"):
        dataset.load_feature_table(tmp_path / "features.csv")


def test_a_folder_may_be_named_from_home(small_corpus, monkeypatch):
    monkeypatch.setenv("HOME", str(small_corpus.parent))
    monkeypatch.setenv("USERPROFILE", str(small_corpus.parent))
    assert len(dataset.load_tracks("~/corpus")) == 4
