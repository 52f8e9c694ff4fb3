"""The toy corpus: the same every time, safe to interrupt, learnable and not trivial."""

import itertools

import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import dataset, features, toy
from gtzan_mfcc.audio import SAMPLE_RATE


@pytest.fixture
def quick_tracks(monkeypatch):
    """Noise in place of tracks, for tests of the files alone."""

    def noise(genre, number, *, seed=0, seconds=30.0):
        rng = np.random.default_rng([seed, toy.GENRES.index(genre), number])
        return rng.uniform(-1, 1, int(seconds * SAMPLE_RATE)).astype(np.float32)

    monkeypatch.setattr(toy, "make_track", noise)


@pytest.fixture
def corpus(tmp_path, quick_tracks):
    """Make a small corpus: two tracks a genre, of half a second."""
    return toy.make_corpus(tmp_path / "toy", tracks_per_genre=2, seconds=0.5)


def dates(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_genres_are_ten_in_alphabetical_order_and_none_of_gtzans():
    assert len(toy.GENRES) == 10
    assert list(toy.GENRES) == sorted(toy.GENRES)
    assert not set(toy.GENRES) & set(dataset.GENRES)


def test_same_arguments_give_the_same_track():
    assert np.array_equal(
        toy.make_track("groove", 3, seed=7, seconds=3),
        toy.make_track("groove", 3, seed=7, seconds=3),
    )


def test_every_other_argument_gives_another_track():
    # Tracks 0 and 5 are by one artist, 0 and 1 by two.
    settings = [("fuzz", 0, 0), ("fuzz", 0, 1), ("fuzz", 1, 0), ("fuzz", 5, 0), ("waltz", 0, 0)]
    tracks = [toy.make_track(genre, k, seed=seed, seconds=2) for genre, k, seed in settings]
    for one, other in itertools.combinations(tracks, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.9


@pytest.mark.parametrize("genre", toy.GENRES)
def test_track_is_sound_at_full_scale(genre):
    y = toy.make_track(genre, 0, seconds=3.3)
    assert y.dtype == np.float32
    assert y.shape == (int(3.3 * SAMPLE_RATE),)
    assert 0.5 < np.abs(y).max() <= 1
    assert abs(y.mean()) < 0.02


def test_default_track_has_thirty_seconds():
    assert toy.make_track("bells", 0).shape == (30 * SAMPLE_RATE,)


@pytest.mark.parametrize("part", ["comping", "melody", "bass", "kick", "snare", "hat"])
def test_patterns_hold_only_known_marks(part):
    assert set("".join(getattr(recipe, part) for recipe in toy.RECIPES.values())) <= set(".xX")


@pytest.mark.parametrize(
    ("genre", "number", "seconds", "message"),
    [
        ("blues", 0, 1.0, "no genre of the toy corpus"),
        ("waltz", -1, 1.0, "a number from 0"),
        ("waltz", 0, 0.0, "a length"),
    ],
)
def test_track_that_cannot_be_is_refused(genre, number, seconds, message):
    with pytest.raises(ValueError, match=message):
        toy.make_track(genre, number, seconds=seconds)


@pytest.mark.parametrize("settings", [{"tracks_per_genre": 0}, {"seconds": 0.0}])
def test_empty_corpus_is_refused(tmp_path, settings):
    with pytest.raises(ValueError, match="take more"):
        toy.make_corpus(tmp_path / "toy", **settings)
    assert not (tmp_path / "toy").exists()


def test_corpus_lies_as_gtzan_does(corpus):
    assert sorted(path.name for path in corpus.iterdir() if path.is_dir()) == list(toy.GENRES)
    assert sorted(p.name for p in (corpus / "drone").iterdir()) == [
        "drone.00000.wav",
        "drone.00001.wav",
    ]
    info = soundfile.info(corpus / "drone" / "drone.00001.wav")
    assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
    assert info.frames == SAMPLE_RATE // 2


def test_file_holds_the_track(tmp_path):
    folder = toy.make_corpus(tmp_path, tracks_per_genre=2, seed=3, seconds=0.5)
    y, _ = soundfile.read(folder / "march" / "march.00001.wav")
    assert y == pytest.approx(toy.make_track("march", 1, seed=3, seconds=0.5), abs=1e-4)


def test_default_folder_is_in_the_project(tmp_path, monkeypatch, quick_tracks):
    monkeypatch.setattr(dataset, "project_dir", lambda: tmp_path)
    assert toy.make_corpus(tracks_per_genre=1, seconds=0.1) == tmp_path / "data" / "toy"


def test_track_table_and_label(corpus):
    tracks = dataset.load_tracks(corpus)
    assert len(tracks) == 20
    assert list(tracks["genre"].cat.categories) == list(toy.GENRES)
    assert tracks[["artist", "fault_filtered"]].notna().all(axis=None)
    assert dataset.corpus_label(tracks["track"]) == "toy corpus (synthetic, not music), 20 tracks"


def test_facts_give_several_artists_each_in_one_part(tmp_path, quick_tracks):
    folder = toy.make_corpus(tmp_path, tracks_per_genre=8, seconds=0.02)
    facts = pd.read_csv(folder / "tracks.csv")
    assert list(facts.columns) == ["track", "genre", "artist", "fault_filtered"]
    assert (facts.groupby("genre")["artist"].nunique() == 5).all()
    assert (facts.groupby("artist")[["genre", "fault_filtered"]].nunique() == 1).all(axis=None)
    share = facts["fault_filtered"].value_counts(normalize=True)
    assert share.to_dict() == pytest.approx({"train": 0.5, "valid": 0.2, "test": 0.3}, abs=0.06)


def test_second_call_writes_nothing(corpus):
    before = dates(corpus)
    assert toy.make_corpus(corpus, tracks_per_genre=2, seconds=0.5) == corpus
    assert dates(corpus) == before


def test_stopped_run_leaves_nothing(tmp_path, monkeypatch, quick_tracks):
    write, written = soundfile.write, []

    def stop_in_the_fourth(path, *args, **kwargs):
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        write(path, *args, **kwargs)

    monkeypatch.setattr(soundfile, "write", stop_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        toy.make_corpus(tmp_path / "toy", tracks_per_genre=2, seconds=0.5)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(soundfile, "write", write)
    toy.make_corpus(tmp_path / "toy", tracks_per_genre=2, seconds=0.5)
    assert len(dataset.load_tracks(tmp_path / "toy")) == 20


def test_corpus_that_another_process_made_meanwhile_stays(tmp_path, monkeypatch, quick_tracks):
    make, settings = toy._write_tracks, {"tracks_per_genre": 1, "seconds": 0.5}

    def overtaken(folder, *args):
        make(folder, *args)
        monkeypatch.setattr(toy, "_write_tracks", make)
        toy.make_corpus(tmp_path / "toy", **settings)
        overtaken.dates = dates(tmp_path / "toy")

    monkeypatch.setattr(toy, "_write_tracks", overtaken)
    toy.make_corpus(tmp_path / "toy", **settings)
    assert dates(tmp_path / "toy") == overtaken.dates
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


@pytest.mark.parametrize(
    "changed", [{"tracks_per_genre": 1}, {"tracks_per_genre": 3}, {"seed": 1}, {"seconds": 0.25}]
)
def test_other_settings_replace_the_corpus(corpus, changed, tmp_path):
    settings = {"tracks_per_genre": 2, "seconds": 0.5} | changed
    toy.make_corpus(corpus, **settings)
    fresh = toy.make_corpus(tmp_path / "fresh", **settings)
    assert {path.relative_to(corpus): path.read_bytes() for path in dates(corpus)} == {
        path.relative_to(fresh): path.read_bytes() for path in dates(fresh)
    }


def test_folder_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(dataset.DatasetError, match=str(tmp_path)):
        toy.make_corpus(tmp_path, tracks_per_genre=2, seconds=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_genres_differ_and_overlap():
    def summary(genre, number):
        mfcc = features.mfcc(toy.make_track(genre, number, seconds=4))
        return np.concatenate([mfcc.mean(axis=0), mfcc.std(axis=0)])

    rows = np.array([[summary(genre, number) for number in range(5)] for genre in toy.GENRES])
    known, heard = rows[:, :3], rows[:, 3:]
    offset = (heard[:, :, np.newaxis] - known.mean(axis=1)) / known.std(axis=(0, 1))
    distance = np.linalg.norm(offset, axis=-1)  # (genre, track, centroid)
    accuracy = (distance.argmin(axis=-1) == np.arange(10)[:, np.newaxis]).mean()
    assert 0.4 < accuracy < 1
