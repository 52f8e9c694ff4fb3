"""Finished results are kept after any failure, and used only if they are up to date."""

import multiprocessing
import os
import resource
import shutil
import signal
import tracemalloc
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import audiomentations
import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import _identity, _util, audio, augmentation, extraction
from gtzan_mfcc.features import Settings

NAMES = ["loud.0", "loud.1", "bad", "quiet.0", "quiet.1", "quiet.2"]
COPIES = ["original", "random_gain", "white_noise"]

# Other processes. The package is imported once for all of them, so they start fast.
PROGRAMS = multiprocessing.get_context("forkserver")
PROGRAMS.set_forkserver_preload(["gtzan_mfcc.extraction"])


def write_noise(path, seconds):
    y = np.random.default_rng(0).uniform(-0.1, 0.1, seconds * 22_050)
    soundfile.write(path, y, 22_050)


def make_tracks(folder):
    """Make five tracks of one to three segments, and a file that is no sound.

    Each call tries this file again.
    """
    paths = [folder / f"{name}.wav" for name in NAMES]
    for k, path in enumerate(paths):
        write_noise(path, seconds=3 * (k % 3 + 1))
    paths[2].write_text("la la la")
    return pd.DataFrame({"track": NAMES, "path": paths})


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return make_tracks(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def track(tracks):
    return tracks[:1]


def extract(tracks, cache, augmentations=COPIES[1:], n_jobs=1, **settings):
    return extraction.extract_mfcc(
        tracks,
        augmentations=augmentations,
        n_jobs=n_jobs,
        cache=cache,
        progress=False,
        **settings,
    )


def content(cache):
    """Read all files but those whose name starts with `unfinished`."""
    return {path.name: path.read_bytes() for path in cache.rglob("[0-9a-f]*.npy")}


@pytest.fixture(scope="module")
def unbroken(tracks, tmp_path_factory):
    """Make the cache of a run without interruption."""
    cache = tmp_path_factory.mktemp("unbroken")
    extract(tracks, cache)
    return cache


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def note_computing(note, patch):
    """Call `note` with the copies of a track before this process computes them."""
    compute = extraction._mfcc_of_track

    def note_and_compute(track, path, copies, **settings):
        note(copies)
        return compute(track, path, copies, **settings)

    patch.setattr(extraction, "_mfcc_of_track", note_and_compute)


@pytest.fixture
def computed(monkeypatch):
    """List the copies that are computed, for one track after the other."""
    copies = []
    note_computing(copies.extend, monkeypatch)
    return copies


def extract_and_die(tracks, cache, n_renamed):
    """Kill this process when it has renamed some files and written one more."""
    replace = Path.replace
    renamed = []

    def replace_or_die(path, target):
        if len(renamed) == n_renamed:
            os.kill(os.getpid(), signal.SIGKILL)
        renamed.append(target)
        return replace(path, target)

    pytest.MonkeyPatch().setattr(Path, "replace", replace_or_die)
    extract(tracks, cache)


# It dies while it saves the fifth copy of 15, or while it joins them.
@pytest.mark.parametrize("n_renamed", [4, 15])
def test_a_run_that_was_killed_continues_to_the_same_bytes(
    tracks, cache, unbroken, computed, n_renamed
):
    program = PROGRAMS.Process(target=extract_and_die, args=(tracks, cache, n_renamed))
    program.start()
    program.join()
    assert program.exitcode == -signal.SIGKILL
    extract(tracks, cache)
    assert len(computed) == 6 * 3 - n_renamed
    assert content(cache) == content(unbroken)
    extraction.clear_cache(cache)
    assert not list(cache.rglob("*.npy"))


def fail(y):
    raise ZeroDivisionError


def test_a_stopped_run_with_workers_prints_nothing_and_can_continue(
    tracks, cache, unbroken, monkeypatch, capfd, recwarn
):
    with pytest.raises(ZeroDivisionError):
        extract(tracks, cache, {"fail": fail}, n_jobs=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        # Not by a signal, because a background process may ignore it.
        patch.setattr(np, "save", Mock(side_effect=KeyboardInterrupt))
        extract(tracks, cache, n_jobs=2)
    assert not list(cache.glob("*.npy"))
    assert not list(cache.rglob("unfinished-*"))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    extract(tracks, cache)
    assert content(cache) == content(unbroken)


def test_strict_does_no_work_behind_the_first_bad_file(tracks, cache, computed):
    for expected in (COPIES * 3, COPIES):
        computed.clear()
        with pytest.raises(audio.AudioError, match="bad"):
            extract(tracks, cache, strict=True)
        assert computed == expected


def extract_and_log(tracks, cache, log, barrier):
    note_computing(log.put, pytest.MonkeyPatch())
    barrier.wait()
    extract(tracks, cache)


def test_two_programs_at_the_same_time_compute_nothing_twice(
    tracks, cache, unbroken, computed
):
    barrier = PROGRAMS.Barrier(2)
    log = PROGRAMS.SimpleQueue()
    programs = [
        PROGRAMS.Process(target=extract_and_log, args=(each, cache, log, barrier))
        for each in (tracks, tracks[::-1])
    ]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
        assert program.exitcode == 0
    # The second waits for the first, uses its result, and tries the bad file again.
    for _ in range(6 + 1):
        assert log.get() == COPIES
    assert log.empty()
    extract(tracks, cache)
    assert computed == COPIES
    assert content(cache).items() >= content(unbroken).items()


def test_the_result_is_mapped_as_numpy_writes_it_and_is_read_only(
    tracks, unbroken, tmp_path
):
    x = extract(tracks, unbroken).x
    assert isinstance(x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 0
    np.save(tmp_path / "x.npy", x)
    (joined,) = unbroken.glob("*.npy")
    assert joined.read_bytes() == (tmp_path / "x.npy").read_bytes()


@pytest.mark.parametrize(("kind", "expected"), [("tracks/*.npy", 1 + 3), ("*.npy", 3)])
@pytest.mark.parametrize("n_bytes", [0, 5_000, 1_000_000])
def test_a_damaged_file_is_made_again(
    tracks, cache, unbroken, computed, kind, expected, n_bytes
):
    shutil.copytree(unbroken, cache)
    os.truncate(next(cache.glob(kind)), n_bytes)
    extract(tracks, cache)
    assert len(computed) == expected
    assert content(cache) == content(unbroken)


def test_a_file_that_failed_once_is_tried_again_by_the_same_call(
    tracks, cache, unbroken, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(audio, "blocks", Mock(side_effect=OSError("no such server")))
        with pytest.raises(audio.AudioError, match="no such server"):
            extract(tracks, cache)
    extract(tracks, cache)
    assert content(cache) == content(unbroken)


def test_only_the_files_that_have_changed_are_computed(tmp_path, cache, computed):
    tracks = make_tracks(tmp_path)
    extract(tracks, cache)
    computed.clear()
    os.utime(tracks["path"][0], (0, 0))  # another date
    write_noise(tracks["path"][1], seconds=4)
    write_noise(tracks["path"][2], seconds=4)
    tracks["path"][4].unlink()
    segments = extract(tracks, cache)
    assert computed == COPIES * 4
    fresh = extract(tracks, None)
    np.testing.assert_array_equal(segments.x, fresh.x)
    pd.testing.assert_frame_equal(segments.table, fresh.table)


def test_other_selections_and_orders_need_no_work_and_other_names_do(
    tracks, track, unbroken, cache, computed
):
    shutil.copytree(unbroken, cache)
    some = tracks.iloc[[5, 0, 4]]
    segments = extract(some, cache)
    assert computed == []
    np.testing.assert_array_equal(segments.x, extract(some, None).x)
    computed.clear()
    # The draws of the augmentations depend on the name.
    extract(track.assign(track="a"), cache)
    assert computed == COPIES


def test_one_copy_more_or_less_computes_only_what_is_new(track, cache, computed):
    extract(track, cache, ["white_noise"])
    extract(track, cache, ["mp3", "white_noise"])
    extract(track, cache, ["mp3"])
    x = extract(track, cache, ["mp3", "clipped"]).x
    assert computed == ["original", "white_noise", "mp3", "clipped"]
    np.testing.assert_array_equal(x, extract(track, None, ["mp3", "clipped"]).x)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"settings": Settings(n_mfcc=20)}, COPIES),
        ({"hop_seconds": 1}, COPIES),
        ({"seed": 1}, COPIES[1:]),
        ({"augmentations": {"white_noise": augmentation.mp3}}, ["white_noise"]),
    ],
)
def test_other_settings_are_computed_again(track, cache, computed, others, expected):
    extract(track, cache)
    computed.clear()
    x = extract(track, cache, **others).x
    assert computed == expected
    np.testing.assert_array_equal(x, extract(track, None, **others).x)


def gain(factor, y):
    return factor * y


class Gain:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, y, sample_rate):
        return self.factor * y


def own(factor):
    return {
        "white_noise": augmentation.white_noise,
        "function": lambda y: factor * y,
        "partial": partial(gain, factor),
        "method": Gain(factor).__call__,
        "compose": audiomentations.Compose([Gain(factor)]),
    }


def test_what_code_of_the_user_computes_is_never_kept(track, cache, computed):
    for factor in (2, 4, 4):
        computed.clear()
        x = extract(track, cache, own(factor)).x
    assert computed == ["function", "partial", "method", "compose"]
    # A gain changes the first coefficient only.
    louder = 20 * np.log10(4) * np.sqrt(128)
    np.testing.assert_allclose(x[2:, :, 0] - x[0, :, 0], louder, rtol=1e-4)


def test_augmentations_of_installed_packages_with_the_same_settings_are_kept(
    track, cache, computed
):
    def louder(decibels):
        gain = audiomentations.Gain(decibels, decibels, p=1.0)
        return {
            "gain": gain,
            "compose": audiomentations.Compose([gain]),
            "noise": partial(augmentation.white_noise, factors=[decibels]),
            "librosa": librosa.effects.preemphasis,
        }

    copies = louder(2)
    extract(track, cache, copies)
    computed.clear()
    # Objects of audiomentations remember their last draw, which does not matter.
    extract(track, cache, copies)
    extract(track, cache, louder(2))
    assert computed == []
    extract(track, cache, louder(3))
    assert computed == ["gain", "compose", "noise"]


@pytest.mark.parametrize(
    ("package", "expected"),
    [("librosa", COPIES), ("audiomentations", COPIES[1:]), ("tensorflow", [])],
)
def test_only_packages_that_matter_are_a_reason_to_compute_again(
    track, cache, computed, monkeypatch, package, expected
):
    extract(track, cache)
    computed.clear()
    version = _util.version
    other = {package: "99"}
    monkeypatch.setattr(_util, "version", lambda name: other.get(name) or version(name))
    extract(track, cache)
    assert computed == expected


@pytest.fixture
def edit(monkeypatch, tmp_path):
    """Edit a copy of a module, as if before the import."""
    folder = shutil.copytree(_identity._FOLDER, tmp_path / "package")
    monkeypatch.setattr(_identity, "_FOLDER", folder)

    def edit(module, old, new, imported=True):
        path = folder / f"{module}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        if imported:
            monkeypatch.setitem(_identity._SOURCES, module, path.read_text())

    return edit


EDITED = ["white_noise", "resample", "rerecord", "30 dB quieter"]


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        ("augmentation", "def augment", "def new(y):\n    pass\n\n\ndef augment", []),
        ("augmentation", "# Parts of docstrings", "# Some parts", []),
        ("augmentation", '"""Add reverberation', '"""Add echoes', []),
        ("augmentation", "np.exp(", "np.exp2(", ["resample", "rerecord"]),
        ("augmentation", "* y.std()\n", "* y.var()\n", ["white_noise"]),
        ("augmentation", "import soxr\n", "import other as soxr\n", EDITED),
        ("augmentation", "2**32", "2**31", EDITED),
        ("augmentation", "map(crc32", "map(hash", EDITED),
        ("features", "- 80", "- 90", ["original", *EDITED]),
    ],
)
def test_an_edited_line_computes_again_what_it_can_change(
    track, cache, computed, edit, module, old, new, expected
):
    extract(track, cache, EDITED)
    computed.clear()
    edit(module, old, new)
    extract(track, cache, EDITED)
    assert computed == expected


def test_nothing_is_kept_if_the_package_was_edited_after_its_import(
    track, cache, computed, edit
):
    edit("features", "- 80", "- 90", imported=False)
    extract(track, cache)
    extract(track, cache)
    assert computed == COPIES * 2
    assert content(cache) == {}


def test_without_a_cache_nothing_is_written(track, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extraction.extract_mfcc(track, n_jobs=1, progress=False)
    extraction.extract_features(track, n_jobs=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_clear_cache_deletes_results_and_no_other_files(track, cache):
    extract(track, cache)
    extraction.extract_features(track, n_jobs=1, cache=cache, progress=False)
    mine = {cache / name for name in ("notes.txt", "mine.npy", "tracks/mine.npy")}
    for file in mine:
        file.touch()
    extraction.clear_cache(cache)
    left = {file for file in cache.rglob("*.*") if file.suffix != ".lock"}
    assert left == mine


@contextmanager
def limit(name, soft):
    """Lower a resource limit of this process."""
    before = resource.getrlimit(name)
    resource.setrlimit(name, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(name, before)


# The second track does not fit, or all of them joined.
@pytest.mark.parametrize(("n_bytes", "left"), [(10_000, COPIES * 5), (100_000, COPIES)])
def test_a_full_disk_is_reported_and_finished_copies_are_kept(
    tracks, cache, unbroken, computed, n_bytes, left
):
    with (
        limit(resource.RLIMIT_FSIZE, n_bytes),
        pytest.raises(extraction.CacheError, match=f"{cache}.*; make room"),
    ):
        extract(tracks, cache)
    assert not list(cache.rglob("unfinished-*"))
    computed.clear()
    extract(tracks, cache)
    assert computed == left
    assert content(cache) == content(unbroken)


def test_a_cache_that_cannot_be_made_is_named_before_any_work(tracks, computed):
    file = tracks["path"][0]
    with pytest.raises(extraction.CacheError, match=f"{file}.* cannot be written"):
        extract(tracks, file)
    assert computed == []


def test_neither_memory_nor_open_files_grow_with_the_number_of_tracks(
    cache, tmp_path, monkeypatch
):
    ramp = np.arange(25_000, dtype=np.float32)
    rows = Mock(return_value={"original": ramp[np.newaxis]})
    monkeypatch.setattr(extraction, "_mfcc_of_track", rows)
    files = [tmp_path / f"{k}.wav" for k in range(100)]
    for file in files:
        file.touch()
    tracemalloc.start()
    with limit(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + 20):
        x = extract(files, cache, []).x
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x.shape == (100, 25_000)
    assert most < 0.3 * x.nbytes
    np.testing.assert_array_equal(x[-1], ramp)


def test_the_bar_counts_the_tracks_that_are_to_be_computed_and_leaves_no_trace(
    tracks, cache, monkeypatch, capfd
):
    monkeypatch.setenv("TQDM_DISABLE", "")
    extract(tracks[:2], cache, [])
    assert capfd.readouterr().err == ""
    extraction.extract_mfcc(tracks, n_jobs=1, cache=cache)
    printed = capfd.readouterr().err.split("\r")
    assert "| 0/4 [" in printed[1]
    assert not "".join(printed[-2:]).strip()  # A finished bar is erased.
