"""The toy corpus is the same every time, safe to interrupt, and not trivial."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

from gtzan_mfcc import dataset, extraction, features, toy, training, validation
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
        toy.make_track("fuzz", 3, seconds=2),  # by the artist of track 0
        toy.make_track("fuzz", 0, seed=1, seconds=2),
    ):
        assert abs(np.corrcoef(track, other)[0, 1]) < 0.9


@pytest.mark.parametrize("genre", toy.GENRES)
def test_a_track_is_sound_that_is_not_clipped(genre):
    for number in range(3):
        y = toy.make_track(genre, number, seconds=3.3)
        assert y.dtype == np.float32
        assert y.shape == (72_765,)
        assert 0.2 < np.abs(y).max() <= 1
        assert np.mean(np.abs(y) > 0.95) < 0.04


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """Extract the MFCCs of the toy corpus that the notebooks use."""
    corpus = toy.make_corpus(tmp_path_factory.mktemp("corpus") / "toy")
    settings = features.Settings(n_mfcc=20)
    return extraction.extract_mfcc(dataset.load_tracks(corpus), settings)


# What the CNN computes depends on the processor, so its second step may vanish.
@pytest.mark.parametrize(
    ("fit", "second_step"),
    [
        (training.fit_svm, 0.04),
        (partial(training.fit_statistics_mlp, epochs=10, members=1), 0.04),
        (partial(training.fit_network, epochs=30, batch_size=16), -0.1),
    ],
    ids=["SVM", "MLP", "CNN"],
)
def test_a_split_that_keeps_more_together_lowers_accuracy(fit, second_step, segments):
    n_mfcc = 20 if "mlp" in repr(fit) else 13
    rows = extraction.Segments(segments.x[:, :, :n_mfcc], segments.table)
    by = ["segment", "track", "artist"]
    card, _ = validation.report_card(fit, rows, by=by, n_folds=2)
    at_random, grouped_by_track, artist_disjoint = card["track_accuracy"][by]
    assert at_random > 0.9
    assert at_random > grouped_by_track + 0.04
    assert grouped_by_track > artist_disjoint + second_step
    assert artist_disjoint > 0.2  # by chance 0.1


def test_the_corpus_has_gtzans_layout_artists_parts_and_replicas(tmp_path):
    corpus = toy.make_corpus(tmp_path, seconds=0.01)
    tracks = dataset.load_tracks(corpus)
    assert tracks["genre"].cat.categories.to_list() == list(toy.GENRES)
    label = "toy corpus (synthetic, not music), 60 tracks"
    assert dataset.corpus_label(tracks) == label
    y, sample_rate = soundfile.read(corpus / "march" / "march.00001.wav")
    assert sample_rate == 22_050
    assert y == pytest.approx(toy.make_track("march", 1, seconds=0.01), abs=1e-4)
    assert (tracks.groupby("artist")["genre"].nunique() == 1).all()
    assert (tracks.groupby("genre", observed=True)["artist"].nunique() == 3).all()
    assert (tracks.groupby("artist")["fault_filtered"].nunique() == 1).all()
    replicas = tracks[tracks["replica_of"].notna()]
    assert len(replicas) == 10
    assert replicas["fault_filtered"].isna().all()
    for path, original in zip(replicas["path"], replicas["replica_of"]):
        other = Path(path).with_name(f"{original}.wav")
        assert Path(path).read_bytes() == other.read_bytes()


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
