"""The toy corpus is the same every time, safe to interrupt, and not trivial."""

import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from gtzan_mfcc import dataset, features, toy
from gtzan_mfcc._util import CacheError

SMALL = {"tracks_per_genre": 2, "seconds": 0.1}


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_only_the_same_arguments_give_the_same_track():
    track = toy.make_track("fuzz", 0, seconds=2)
    assert np.array_equal(track, toy.make_track("fuzz", 0, seconds=2))
    for other in (
        toy.make_track("fuzz", 1, seconds=2),
        toy.make_track("fuzz", 5, seconds=2),  # by the artist of track 0
        toy.make_track("fuzz", 0, seed=1, seconds=2),
    ):
        assert abs(np.corrcoef(track, other)[0, 1]) < 0.9


@pytest.mark.parametrize("genre", toy.GENRES)
def test_a_track_is_sound_at_full_scale(genre):
    y = toy.make_track(genre, 0, seconds=3.3)
    assert y.dtype == np.float32
    assert y.shape == (72_765,)
    assert 0.5 < np.abs(y).max() <= 1
    assert np.mean(np.abs(y) > 0.99) < 0.01


def test_genres_can_be_told_apart_and_a_known_artist_helps():
    # The first five tracks of a genre are by five artists.
    artists = [(genre, number) for genre in toy.GENRES for number in range(5)]
    signals = [toy.make_track(*artist, seconds=9) for artist in artists]
    mfcc = features.mfcc(np.reshape(signals, (150, -1)))
    x = features.mfcc_statistics(mfcc)
    genres = np.repeat(toy.GENRES, 15)
    groups = np.repeat(range(50), 3)
    model = LinearDiscriminantAnalysis()
    at_random = KFold(5, shuffle=True, random_state=0)
    known = cross_val_score(model, x, genres, cv=at_random).mean()
    unknown = cross_val_score(model, x, genres, groups=groups, cv=GroupKFold(5)).mean()
    assert 0.5 < unknown < known - 0.05


def test_the_corpus_has_gtzans_layout_and_artists_of_one_genre_and_part(tmp_path):
    corpus = toy.make_corpus(tmp_path, tracks_per_genre=10, seconds=0.01)
    tracks = dataset.load_tracks(corpus)
    assert tracks["genre"].cat.categories.to_list() == list(toy.GENRES)
    label = "toy corpus (synthetic, not music), 100 tracks"
    assert dataset.corpus_label(tracks) == label
    y, sample_rate = soundfile.read(corpus / "march" / "march.00001.wav")
    assert sample_rate == 22_050
    assert y == pytest.approx(toy.make_track("march", 1, seconds=0.01), abs=1e-4)
    artists = tracks[["genre", "artist", "fault_filtered"]].drop_duplicates()
    assert len(artists) == artists["artist"].nunique() == 50
    counts = tracks["fault_filtered"].value_counts()
    assert counts.to_dict() == {"train": 60, "test": 20, "valid": 20}


def test_a_corpus_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "march").mkdir()
    (tmp_path / "march" / "march.00000.wav").write_bytes(b"kept")
    toy.make_corpus(tmp_path, **SMALL)
    assert files(tmp_path) == {"march/march.00000.wav": b"kept"}


def test_a_full_disk_is_reported_and_nothing_but_the_lock_stays(tmp_path, monkeypatch):
    full = OSError(28, "No space left")
    monkeypatch.setattr(toy.wavfile, "write", Mock(side_effect=full))
    with pytest.raises(CacheError, match=r"cannot be written to \(No space left\)"):
        toy.make_corpus(tmp_path / "toy", **SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["toy.lock"]


def test_two_processes_at_once_make_one_corpus(tmp_path):
    corpus = tmp_path / "toy"
    make = f"toy.make_corpus({str(corpus)!r}, **{SMALL}, seed=1)"
    code = f"from gtzan_mfcc import toy; {make}"
    runs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert files(corpus) == files(toy.make_corpus(tmp_path / "alone", **SMALL, seed=1))


@pytest.mark.parametrize(("genre", "number"), [("tango", 0), ("waltz", -1)])
def test_a_track_that_does_not_exist_is_refused(genre, number):
    with pytest.raises(ValueError, match=f"no track {genre} {number}"):
        toy.make_track(genre, number)
