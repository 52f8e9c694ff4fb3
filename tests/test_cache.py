"""Finished results are kept after any failure, and used only if they are up to date."""

import io
import multiprocessing
import os
import resource
import shutil
import signal
import tracemalloc
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import audiomentations
import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from conftest import quick_network
from gtzan_mfcc import _cache, _identity, _util, audio, augmentation, extraction
from gtzan_mfcc.features import Settings

NAMES = ["loud.0", "loud.1", "bad", "quiet.0", "quiet.1", "quiet.2"]
COPIES = ["original", "random_gain", "white_noise"]
# What is computed. The bad file is not a sound file: each call tries it again.
ALL = [(name, copy) for name in NAMES for copy in COPIES]
RETRY = [("bad", copy) for copy in COPIES]

# Other processes. The package is imported once for all of them, so they start fast.
PROGRAMS = multiprocessing.get_context("forkserver")
PROGRAMS.set_forkserver_preload(["gtzan_mfcc.extraction"])


def write_noise(path, seconds):
    y = np.random.default_rng(0).uniform(-0.1, 0.1, seconds * 22_050)
    soundfile.write(path, y, 22_050)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Make five tracks of one to three segments, and a file that is no sound."""
    folder = tmp_path_factory.mktemp("corpus")
    for k, name in enumerate(NAMES):
        write_noise(folder / f"{name}.wav", seconds=3 * (k % 3 + 1))
    (folder / "bad.wav").write_text("la la la")
    return folder


def table(corpus) -> pd.DataFrame:
    names = [name for name in NAMES if (corpus / f"{name}.wav").exists()]
    paths = [str(corpus / f"{name}.wav") for name in names]
    return pd.DataFrame({"track": names, "path": paths})


@pytest.fixture(scope="module")
def tracks(corpus) -> pd.DataFrame:
    return table(corpus)


def extract(tracks, cache, **settings):
    defaults = {"augmentations": COPIES[1:], "n_jobs": 1, "progress": False}
    return extraction.extract_mfcc(tracks, cache=cache, **{**defaults, **settings})


def content(cache) -> dict[str, bytes]:
    """Read all finished files."""
    files = [path for path in cache.rglob("*.npy") if "unfinished" not in path.name]
    return {str(path.relative_to(cache)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def unbroken(tracks, tmp_path_factory) -> Path:
    """Make the cache of a run without interruption."""
    cache = tmp_path_factory.mktemp("unbroken")
    extract(tracks, cache)
    return cache


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def note_computing(note, patch):
    """Call `note` with track and copy before this process computes them."""
    compute = extraction._mfcc_of_track

    def note_and_compute(track, path, copies, **settings):
        for copy in copies:
            note((track, copy))
        return compute(track, path, copies, **settings)

    patch.setattr(extraction, "_mfcc_of_track", note_and_compute)


@pytest.fixture
def computed(monkeypatch) -> list[tuple[str, str]]:
    pairs = []
    note_computing(pairs.append, monkeypatch)
    return pairs


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


@pytest.mark.parametrize("n_renamed", [4, 15], ids=["saving a copy", "joining them"])
def test_a_run_that_was_killed_continues_to_the_same_bytes(
    tracks, cache, unbroken, computed, n_renamed
):
    program = PROGRAMS.Process(target=extract_and_die, args=(tracks, cache, n_renamed))
    program.start()
    program.join()
    assert program.exitcode == -signal.SIGKILL
    extract(tracks, cache)
    good = [pair for pair in ALL if pair not in RETRY]
    assert sorted(computed) == sorted(RETRY + good[n_renamed:])
    assert content(cache) == content(unbroken)
    extraction.clear_cache(cache)
    assert not list(cache.rglob("*.npy"))


def fail(y):
    raise ZeroDivisionError


def test_a_stopped_run_with_workers_prints_nothing_and_can_continue(
    tracks, cache, unbroken, monkeypatch, capfd, recwarn
):
    with pytest.raises(ZeroDivisionError):
        extract(tracks, cache, augmentations={"fail": fail}, n_jobs=2)
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
    for expected in (ALL[:9], RETRY):
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
    barrier, log = PROGRAMS.Barrier(2), PROGRAMS.SimpleQueue()
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
    assert sorted(log.get() for _ in ALL + RETRY) == sorted(ALL + RETRY)
    assert log.empty()
    extract(tracks, cache)
    assert computed == RETRY
    assert content(cache).items() >= content(unbroken).items()


def test_the_result_is_mapped_as_numpy_writes_it_and_is_read_only(tracks, unbroken):
    x = extract(tracks, unbroken).x
    assert isinstance(x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 0
    file = io.BytesIO()
    np.save(file, x)
    assert next(unbroken.glob("*.npy")).read_bytes() == file.getvalue()


def flip(path, position):
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 8
    path.write_bytes(damaged)


@pytest.mark.parametrize(("kind", "expected"), [("tracks/*.npy", 1 + 3), ("*.npy", 3)])
@pytest.mark.parametrize(
    "damage",
    [
        partial(os.truncate, length=0),
        partial(os.truncate, length=10_000),
        partial(os.truncate, length=1_000_000),
        partial(flip, position=61),
    ],
    ids=["empty", "half the rows", "too long", "other shape"],
)
def test_a_damaged_file_is_made_again(
    tracks, cache, unbroken, computed, kind, expected, damage
):
    shutil.copytree(unbroken, cache)
    damage(next(path for path in cache.glob(kind) if path.stat().st_size > 20_000))
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


def test_only_the_files_that_have_changed_are_computed(
    corpus, tmp_path, cache, computed
):
    copy = shutil.copytree(corpus, tmp_path / "copy")
    extract(table(copy), cache)
    computed.clear()
    os.utime(copy / "loud.0.wav", (0, 0))  # another date
    write_noise(copy / "loud.1.wav", seconds=4)
    write_noise(copy / "bad.wav", seconds=4)
    (copy / "quiet.1.wav").unlink()
    segments = extract(table(copy), cache)
    changed = ["loud.0", "loud.1", "bad"]
    assert computed == [(name, copy) for name in changed for copy in COPIES]
    fresh = extract(table(copy), None)
    np.testing.assert_array_equal(segments.x, fresh.x)
    pd.testing.assert_frame_equal(segments.table, fresh.table)


def test_other_selections_and_orders_need_no_work_and_other_names_do(
    tracks, unbroken, cache, computed
):
    shutil.copytree(unbroken, cache)
    for positions in ([0, 1], [5, 4, 3], [4, 0]):
        segments = extract(tracks.iloc[positions], cache)
        assert computed == []
        fresh = extract(tracks.iloc[positions], None)
        np.testing.assert_array_equal(segments.x, fresh.x)
        computed.clear()
    # The draws of the augmentations depend on the name.
    extract(tracks[:1].assign(track="a"), cache)
    assert computed == [("a", copy) for copy in COPIES]


def test_one_copy_more_or_less_computes_only_what_is_new(tracks, cache, computed):
    extract(tracks[:1], cache, augmentations=["white_noise"])
    extract(tracks[:1], cache, augmentations=["mp3", "white_noise"])
    extract(tracks[:1], cache, augmentations=["mp3"])
    x = extract(tracks[:1], cache, augmentations=["mp3", "clipped"]).x
    new = ["original", "white_noise", "mp3", "clipped"]
    assert computed == [("loud.0", copy) for copy in new]
    fresh = extract(tracks[:1], None, augmentations=["mp3", "clipped"]).x
    np.testing.assert_array_equal(x, fresh)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"settings": Settings(n_mfcc=20)}, COPIES),
        ({"settings": Settings(sample_rate=16_000)}, COPIES),
        ({"hop_seconds": 1}, COPIES),
        ({"seed": 1}, COPIES[1:]),
        ({"augmentations": {"white_noise": augmentation.mp3}}, COPIES[2:]),
    ],
    ids=["n_mfcc", "sample_rate", "hop_seconds", "seed", "function"],
)
def test_other_settings_are_computed_again(tracks, cache, computed, others, expected):
    extract(tracks[:1], cache)
    computed.clear()
    x = extract(tracks[:1], cache, **others).x
    assert computed == [("loud.0", copy) for copy in expected]
    np.testing.assert_array_equal(x, extract(tracks[:1], None, **others).x)


def test_an_own_augmentation_is_computed_each_time_and_other_copies_are_kept(
    tracks, cache, computed
):
    for factor in (2, 4):
        computed.clear()
        own = {
            "white_noise": augmentation.white_noise,
            "own": lambda y, factor=factor: factor * y,
        }
        x = extract(tracks[:1], cache, augmentations=own).x
        # A gain changes the first coefficient only.
        louder = 20 * np.log10(factor) * np.sqrt(128)
        np.testing.assert_allclose(x[2, :, 0] - x[0, :, 0], louder, rtol=1e-4)
    assert computed == [("loud.0", "own")]


class Gain:
    def __call__(self, y):
        return 2 * y


def double(y):
    return 2 * y


@pytest.mark.parametrize(
    "value",
    [
        lambda y: 2 * y,
        double,
        partial(double),
        Gain(),
        Gain().__call__,
        audiomentations.Compose([double]),
        partial(augmentation.white_noise, factors=Gain()),
    ],
)
def test_code_of_the_user_is_never_known(value):
    with pytest.raises(_identity.UnknownCodeError):
        _identity.identity(value)


def test_a_keras_model_is_code_of_the_user():
    for value in (quick_network(), partial(np.sum, quick_network())):
        with pytest.raises(_identity.UnknownCodeError, match="Keras"):
            _identity.identity(value)


def test_augmentations_of_installed_packages_with_the_same_settings_are_kept(
    tracks, cache, computed
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
    extract(tracks[:1], cache, augmentations=copies)
    computed.clear()
    # Objects of audiomentations remember their last draw, which does not matter.
    for again in (copies, louder(2)):
        extract(tracks[:1], cache, augmentations=again)
    assert computed == []
    extract(tracks[:1], cache, augmentations=louder(3))
    assert computed == [("loud.0", copy) for copy in ("gain", "compose", "noise")]


@pytest.mark.parametrize(
    ("package", "expected"),
    [("librosa", COPIES), ("audiomentations", COPIES[1:]), ("tensorflow", [])],
)
def test_only_packages_that_matter_are_a_reason_to_compute_again(
    tracks, cache, computed, monkeypatch, package, expected
):
    extract(tracks[:1], cache)
    computed.clear()
    version = _util.version
    other = {package: "99"}
    monkeypatch.setattr(_util, "version", lambda name: other.get(name) or version(name))
    extract(tracks[:1], cache)
    assert computed == [("loud.0", copy) for copy in expected]


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
    ids="new comment docstring helper function import augment draws features".split(),
)
def test_an_edited_line_computes_again_what_it_can_change(
    tracks, cache, computed, edit, module, old, new, expected
):
    extract(tracks[:1], cache, augmentations=EDITED)
    computed.clear()
    edit(module, old, new)
    extract(tracks[:1], cache, augmentations=EDITED)
    assert computed == [("loud.0", copy) for copy in expected]


def test_nothing_is_kept_if_the_package_was_edited_after_its_import(
    tracks, cache, computed, edit
):
    edit("features", "- 80", "- 90", imported=False)
    for _ in range(2):
        extract(tracks[:1], cache)
    assert computed == ALL[:3] * 2
    assert content(cache) == {}


def test_without_a_cache_nothing_is_written(tracks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extraction.extract_mfcc(tracks[:1], n_jobs=1, progress=False)
    extraction.extract_features(tracks[:1], n_jobs=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_clear_cache_deletes_results_and_no_other_files(tracks, cache, computed):
    extract(tracks[:1], cache)
    extraction.extract_features(tracks[:1], n_jobs=1, cache=cache, progress=False)
    mine = {cache / name for name in ("notes.txt", "mine.npy", "tracks/mine.npy")}
    for file in mine:
        file.touch()
    extraction.clear_cache(cache)
    left = {file for file in cache.rglob("*.*") if file.suffix != ".lock"}
    assert left == mine
    computed.clear()
    extract(tracks[:1], cache)
    assert computed == ALL[:3]


@pytest.fixture
def limit():
    """Lower a resource limit of this process during the test."""
    before = {}

    def limit(name, soft):
        before.setdefault(name, resource.getrlimit(name))
        resource.setrlimit(name, (soft, before[name][1]))

    yield limit
    for name, limits in before.items():
        resource.setrlimit(name, limits)


@pytest.mark.parametrize(
    ("size", "left"),
    [(10_000, ALL[3:]), (100_000, RETRY)],
    ids=["second track", "joining them"],
)
def test_a_full_disk_is_reported_and_finished_copies_are_kept(
    tracks, cache, unbroken, computed, limit, size, left
):
    limit(resource.RLIMIT_FSIZE, size)
    with pytest.raises(extraction.CacheError, match=f"{cache}.*; make room"):
        extract(tracks, cache)
    limit(resource.RLIMIT_FSIZE, -1)
    assert not list(cache.rglob("unfinished-*"))
    computed.clear()
    extract(tracks, cache)
    assert computed == left
    assert content(cache) == content(unbroken)


def test_a_cache_that_cannot_be_made_is_named_before_any_work(tracks, computed):
    file = Path(tracks["path"][0])
    with pytest.raises(extraction.CacheError, match=f"{file}.* cannot be written"):
        extract(tracks, file)
    assert computed == []


def ramp(track, path, copies):
    return {"original": np.arange(25_000, dtype=np.float32)[np.newaxis]}


def test_neither_memory_nor_open_files_grow_with_the_number_of_tracks(
    cache, tmp_path, limit
):
    files = [tmp_path / f"{k}.wav" for k in range(100)]
    for file in files:
        file.touch()
    tracks = pd.DataFrame({"track": range(100), "path": map(str, files)})
    limit(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + 20)
    tracemalloc.start()
    rows, counts, _ = _cache.rows_of_tracks(
        ramp,
        tracks,
        {"original": "key"},
        cache=cache,
        n_jobs=1,
        strict=False,
        progress=False,
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.nbytes == 100 * 100_000
    assert counts.tolist() == [1] * 100
    assert most < 30 * 100_000
    np.testing.assert_array_equal(rows[-1], np.arange(25_000))


def test_the_bar_counts_the_tracks_that_are_to_be_computed_and_leaves_no_trace(
    tracks, cache, monkeypatch, capfd
):
    monkeypatch.setenv("TQDM_DISABLE", "")
    extract(tracks[:2], cache)
    assert capfd.readouterr().err == ""
    extract(tracks, cache, progress=True)
    printed = capfd.readouterr().err.split("\r")
    assert "| 0/4 [" in printed[1]
    assert not "".join(printed[-2:]).strip()  # A finished bar is erased.
