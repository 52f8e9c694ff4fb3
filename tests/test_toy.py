"""The toy corpus is the same every time, safe to interrupt, learnable and not trivial."""

import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from gtzan_mfcc import dataset, features, toy
from gtzan_mfcc._disk import CacheError
from gtzan_mfcc.audio import SAMPLE_RATE

SMALL = {"tracks_per_genre": 2, "seconds": 0.1}


@pytest.fixture
def corpus(tmp_path):
    return toy.make_corpus(tmp_path / "toy", **SMALL)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_only_the_same_arguments_give_the_same_track():
    # Tracks 0 and 5 are by one artist, 0 and 1 by two.
    settings = [("fuzz", 0, 0), ("fuzz", 0, 1), ("fuzz", 1, 0), ("fuzz", 5, 0), ("waltz", 0, 0)]
    tracks = [toy.make_track(genre, k, seed=seed, seconds=2) for genre, k, seed in settings]
    assert np.array_equal(tracks[0], toy.make_track("fuzz", 0, seconds=2))
    assert np.abs(np.corrcoef(tracks) - np.eye(5)).max() < 0.9


@pytest.mark.parametrize("genre", toy.GENRES)
def test_track_is_sound_at_full_scale(genre):
    y = toy.make_track(genre, 0, seconds=3.3)
    assert (y.dtype, y.shape) == (np.float32, (int(3.3 * SAMPLE_RATE),))
    assert 0.5 < np.abs(y).max() <= 1
    assert np.mean(np.abs(y) > 0.99) < 0.01
    assert np.isfinite(features.tabular_features(y)).all()


def test_genres_can_be_told_apart_and_a_known_artist_helps():
    # The first five tracks of a genre are by five artists.
    artists = [(genre, number) for genre in toy.GENRES for number in range(5)]
    signals = np.concatenate([toy.make_track(*artist, seconds=9) for artist in artists])
    x = features.mfcc_statistics(features.mfcc(signals.reshape(150, -1)))
    genres, groups = np.repeat(toy.GENRES, 15), np.repeat(range(50), 3)
    model, at_random = LinearDiscriminantAnalysis(), KFold(5, shuffle=True, random_state=0)
    unknown = cross_val_score(model, x, genres, groups=groups, cv=GroupKFold(5)).mean()
    known = cross_val_score(model, x, genres, cv=at_random).mean()
    assert 0.5 < unknown < known - 0.05


def test_corpus_lies_as_gtzan_does(corpus):
    tracks = dataset.load_tracks(corpus)
    assert list(tracks["track"]) == [f"{genre}.0000{k}" for genre in toy.GENRES for k in (0, 1)]
    assert not set(toy.GENRES) & set(dataset.GENRES)
    assert (corpus / "tracks.csv").read_text().startswith("track,artist,fault_filtered\n")
    path = corpus / "march" / "march.00001.wav"
    y, sample_rate = soundfile.read(path)
    assert (sample_rate, soundfile.info(path).subtype) == (SAMPLE_RATE, "PCM_16")
    assert y == pytest.approx(toy.make_track("march", 1, seconds=0.1), abs=1e-4)


def test_each_artist_plays_one_genre_and_stands_in_one_part(tmp_path):
    table = dataset.load_tracks(toy.make_corpus(tmp_path, tracks_per_genre=10, seconds=0.01))
    places = table[["genre", "artist", "fault_filtered"]].drop_duplicates()
    assert len(places) == places["artist"].nunique() == 50
    assert dict(table["fault_filtered"].value_counts()) == {"train": 60, "test": 20, "valid": 20}


def test_a_corpus_that_is_there_is_left_as_it_is(corpus):
    (corpus / "march" / "march.00000.wav").write_bytes(b"kept")
    before = files(corpus)
    assert toy.make_corpus(corpus, **SMALL, seed=1) == corpus
    assert files(corpus) == before


def test_a_full_disk_is_reported_and_nothing_but_the_lock_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(toy.wavfile, "write", Mock(side_effect=OSError(28, "No space left")))
    with pytest.raises(CacheError, match=r"cannot be written to \(No space left\)"):
        toy.make_corpus(tmp_path / "toy", **SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["toy.lock"]


def test_two_processes_at_once_make_one_corpus(tmp_path):
    corpus = tmp_path / "toy"
    code = f"from gtzan_mfcc import toy; toy.make_corpus({str(corpus)!r}, **{SMALL}, seed=1)"
    runs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert files(corpus) == files(toy.make_corpus(tmp_path / "alone", **SMALL, seed=1))
