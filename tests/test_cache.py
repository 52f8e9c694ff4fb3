"""Finished results are kept after any failure, and used only if they are up to date."""

import contextlib
import io
import itertools
import multiprocessing
import os
import pkgutil
import resource
import shutil
import signal
import tracemalloc
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import audiomentations
import librosa
import numba
import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import _cache, _identity, _util, audio, augmentation, extraction
from gtzan_mfcc.features import Settings

NAMES = ["loud.0", "loud.1", "bad", "quiet.0", "quiet.1", "quiet.2"]
# Not a sound file: each call tries it again.
BAD = "bad"
COPIES = ["original", "random_gain", "white_noise"]
# What is computed: five good tracks and the bad one, three copies each.
ALL = list(itertools.product(NAMES, COPIES))
RETRY = list(itertools.product([BAD], COPIES))

# Other processes. The package is imported once for all of them, so they start fast.
PROGRAMS = multiprocessing.get_context("forkserver")
PROGRAMS.set_forkserver_preload(["gtzan_mfcc.extraction"])


def write_noise(path, seconds, seed=1):
    y = np.random.default_rng(seed).uniform(-0.1, 0.1, int(seconds * 22_050))
    soundfile.write(path, y, 22_050)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Make five tracks of one to three segments, and a file that is no sound."""
    folder = tmp_path_factory.mktemp("corpus")
    for k, name in enumerate(NAMES):
        write_noise(folder / f"{name}.wav", seconds=3 * (k % 3 + 1), seed=k)
    (folder / f"{BAD}.wav").write_text("la la la")
    return folder


def table(corpus) -> pd.DataFrame:
    names = [name for name in NAMES if (corpus / f"{name}.wav").exists()]
    paths = [str(corpus / f"{name}.wav") for name in names]
    return pd.DataFrame({"track": names, "path": paths})


@pytest.fixture(scope="module")
def tracks(corpus) -> pd.DataFrame:
    return table(corpus)


def extract(tracks, cache, *settings, **others):
    others = {"n_jobs": 1, "progress": False, "augmentations": COPIES[1:], **others}
    return extraction.extract_mfcc(tracks, *settings, cache=cache, **others)


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
    make = augmentation.track_generator

    def track_generator(track, copy, *, seed):
        note((track, copy))
        return make(track, copy, seed=seed)

    patch.setattr(augmentation, "track_generator", track_generator)


@pytest.fixture
def computed(monkeypatch) -> list[tuple[str, str]]:
    pairs = []
    note_computing(pairs.append, monkeypatch)
    return pairs


@pytest.fixture
def start():
    """Start a function of this module in a process; kill it after the test."""
    started = []

    def start(function, *args):
        started.append(PROGRAMS.Process(target=function, args=args))
        started[-1].start()
        return started[-1]

    yield start
    for program in started:
        program.join(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def extract_and_die(tracks, cache, function_name, call, n_jobs):
    """Kill this process at the end of a call of a function that writes files."""
    os.setsid()
    save = np.save
    function = pkgutil.resolve_name(function_name)
    calls = itertools.count()

    def call_and_die(*args):
        function(*args)
        if next(calls) == call:
            if function is save:
                os.truncate(args[0], 5_000)
            os.kill(os.getpid(), signal.SIGKILL)

    pytest.MonkeyPatch().setattr(function_name, call_and_die)
    extract(tracks, cache, n_jobs=n_jobs)


@pytest.mark.parametrize(
    ("function", "call", "n_jobs", "done"),
    [
        ("numpy.save", 4, 2, 4),
        ("numpy.lib.format.write_array_header_1_0", 0, 1, 15),
        ("pathlib.Path.replace", 15, 1, 15),
    ],
    ids=["writing a file", "joining them", "at the end"],
)
def test_a_run_that_was_killed_continues_to_the_same_bytes(
    start, tracks, cache, unbroken, computed, function, call, n_jobs, done
):
    program = start(extract_and_die, tracks, cache, function, call, n_jobs)
    program.join()
    assert program.exitcode == -signal.SIGKILL
    extract(tracks, cache)
    good = [pair for pair in ALL if pair not in RETRY]
    assert sorted(computed) == sorted(RETRY + good[done:])
    assert content(cache) == content(unbroken)
    extraction.clear_cache(cache)
    assert not list(cache.rglob("*.npy"))


def fail(y):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({}, KeyboardInterrupt),
        ({"strict": True}, audio.AudioError),
        ({"augmentations": {"fail": fail}}, ZeroDivisionError),
    ],
    ids=["interrupted", "strict", "error"],
)
def test_a_stopped_run_with_workers_prints_nothing_and_can_continue(
    tracks, cache, unbroken, monkeypatch, capfd, recwarn, settings, error
):
    with monkeypatch.context() as patch:
        if error is KeyboardInterrupt:
            # Not by a signal, because a background process may ignore it.
            patch.setattr(np, "save", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(error):
            extract(tracks, cache, n_jobs=2, **settings)
    assert not list(cache.glob("mfcc-*.npy"))
    assert not list(cache.rglob("unfinished-*"))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    extract(tracks, cache)
    assert content(cache) == content(unbroken)


def test_strict_does_no_work_behind_the_first_bad_file(tracks, cache, computed):
    for expected in (ALL[:9], RETRY):
        del computed[:]
        with pytest.raises(audio.AudioError, match=BAD):
            extract(tracks, cache, strict=True)
        assert computed == expected


def extract_and_log(tracks, cache, log, barrier):
    note_computing(log.put, pytest.MonkeyPatch())
    barrier.wait()
    extract(tracks, cache)


@pytest.mark.parametrize("step", [1, -1], ids=["same", "reversed"])
def test_two_programs_at_the_same_time_compute_nothing_twice(
    start, tracks, cache, unbroken, computed, step
):
    barrier, log = PROGRAMS.Barrier(2), PROGRAMS.SimpleQueue()
    orders = (tracks, tracks[::step])
    programs = [start(extract_and_log, each, cache, log, barrier) for each in orders]
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
    x, file = extract(tracks, unbroken).x, io.BytesIO()
    assert isinstance(x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 0
    np.save(file, x)
    assert next(unbroken.glob("mfcc-*.npy")).read_bytes() == file.getvalue()


def flip(path, position):
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 8
    path.write_bytes(damaged)


DAMAGES = {
    "gone": Path.unlink,
    "empty": partial(os.truncate, length=0),
    "half the rows": partial(os.truncate, length=10_000),
    "too long": partial(os.truncate, length=1_000_000),
    "other shape": partial(flip, position=61),
}


@pytest.mark.parametrize(
    ("kind", "expected"), [("tracks/*.npy", 1 + 3), ("mfcc-*.npy", 3)]
)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
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
    del computed[:]
    os.utime(copy / "loud.0.wav", (0, 0))  # another date
    write_noise(copy / "loud.1.wav", seconds=4)
    write_noise(copy / "bad.wav", seconds=4)
    (copy / "quiet.1.wav").unlink()
    segments = extract(table(copy), cache)
    assert computed == list(itertools.product(["loud.0", "loud.1", "bad"], COPIES))
    fresh = extract(table(copy), None)
    np.testing.assert_array_equal(segments.x, fresh.x)
    pd.testing.assert_frame_equal(segments.table, fresh.table)


def test_other_selections_and_orders_need_no_work_and_other_names_do(
    tracks, unbroken, cache, computed
):
    shutil.copytree(unbroken, cache)
    for positions in ([0, 1], [5, 4, 3], [4, 0]):
        segments = extract(tracks.iloc[positions], cache)
        fresh = extract(tracks.iloc[positions], None)
        np.testing.assert_array_equal(segments.x, fresh.x)
        del computed[-3 * len(positions) :]
    assert computed == []
    # The draws of the augmentations depend on the name.
    extract(tracks[:1].assign(track="a"), cache)
    assert computed == [("a", copy) for copy in COPIES]


def test_one_copy_more_or_less_computes_only_what_is_new(tracks, cache, computed):
    for copies in (
        ["white_noise"],
        ["mp3", "white_noise"],
        ["mp3"],
        ["mp3", "clipped"],
    ):
        x = extract(tracks[:1], cache, augmentations=copies).x
    new = ["original", "white_noise", "mp3", "clipped"]
    assert computed == [("loud.0", copy) for copy in new]
    np.testing.assert_array_equal(x, extract(tracks[:1], None, augmentations=copies).x)


@pytest.mark.parametrize(
    ("settings", "others", "expected"),
    [
        (Settings(n_mfcc=20), {}, COPIES),
        (Settings(sample_rate=16_000), {}, COPIES),
        (Settings(), {"hop_seconds": 1}, COPIES),
        (Settings(), {"seed": 1}, COPIES[1:]),
        (Settings(), {"augmentations": {"white_noise": augmentation.mp3}}, COPIES[2:]),
    ],
    ids=["n_mfcc", "sample_rate", "hop_seconds", "seed", "function"],
)
def test_other_settings_are_computed_again(
    tracks, cache, computed, settings, others, expected
):
    extract(tracks[:1], cache)
    del computed[:]
    x = extract(tracks[:1], cache, settings, **others).x
    assert computed == [("loud.0", copy) for copy in expected]
    np.testing.assert_array_equal(x, extract(tracks[:1], None, settings, **others).x)


class Gain:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, y):
        return self.factor * y


def scale(factor, y):
    return factor * y


def with_default(factor):
    def gain(y, factor=factor):
        return factor * y

    return gain


def with_global(factor):
    globals()["FACTOR"] = factor
    return use_global


def with_helper(factor):
    globals()["helper"] = lambda y: factor * y
    return use_helper


def use_global(y):
    return FACTOR * y  # noqa: F821


def use_helper(y):
    return helper(y)  # noqa: F821


OWN = {
    "closure": lambda factor: lambda y: factor * y,
    "default": with_default,
    "global": with_global,
    "redefined helper": with_helper,
    "partial": lambda factor: partial(scale, factor),
    "object": Gain,
    "bound method": lambda factor: Gain(factor).__call__,
    "compiled": lambda factor: numba.njit(lambda y: factor * y),
}


@pytest.mark.parametrize("make", OWN.values(), ids=OWN)
def test_an_own_augmentation_is_computed_each_time_and_other_copies_are_kept(
    tracks, cache, computed, make
):
    for factor in (2, 4):
        del computed[:]
        copies = {"white_noise": augmentation.white_noise, "own": make(factor)}
        segments = extract(tracks[:1], cache, augmentations=copies)
        original, _, own = segments.x[:, :, 0]
        # A gain changes the first coefficient only.
        louder = 20 * np.log10(factor) * np.sqrt(128)
        np.testing.assert_allclose(own - original, louder, rtol=1e-4)
    assert computed == [("loud.0", "own")]


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
    del computed[:]
    # Objects of audiomentations remember their last draw, which does not matter.
    for again in (copies, louder(2)):
        extract(tracks[:1], cache, augmentations=again)
    assert computed == []
    extract(tracks[:1], cache, augmentations=louder(3))
    assert computed == [("loud.0", copy) for copy in ("gain", "compose", "noise")]


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("librosa", COPIES),
        ("audiomentations", COPIES[1:]),
        ("tensorflow", []),
        ("scikit-learn", []),
    ],
)
def test_only_packages_that_matter_are_a_reason_to_compute_again(
    tracks, cache, computed, monkeypatch, package, expected
):
    extract(tracks[:1], cache)
    del computed[:]
    version = _util.version
    other = {package: "99"}
    monkeypatch.setattr(_util, "version", lambda name: other.get(name) or version(name))
    extract(tracks[:1], cache)
    assert computed == [("loud.0", copy) for copy in expected]


@pytest.fixture
def edit(monkeypatch, tmp_path):
    """Edit a copy of a module, as if before the import."""
    folder = tmp_path / "package"
    shutil.copytree(_identity._FOLDER, folder)
    monkeypatch.setattr(_identity, "_FOLDER", folder)

    def edit(module, old, new, imported=True):
        path = folder / f"{module}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        if imported:
            monkeypatch.setitem(_identity._SOURCES, module, path.read_text())

    return edit


CODE_COPIES = ["white_noise", "resample", "rerecord", "30 dB quieter"]


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        ("augmentation", "def augment", "def new(y):\n    pass\n\n\ndef augment", []),
        ("augmentation", "# Parts of docstrings", "# Some parts", []),
        ("augmentation", '"""Add reverberation', '"""Add echoes', []),
        ("augmentation", "np.exp(", "np.exp2(", ["resample", "rerecord"]),
        ("augmentation", "* y.std()\n", "* y.var()\n", ["white_noise"]),
        ("augmentation", "2**32", "2**31", CODE_COPIES),
        ("features", "- 80", "- 90", ["original", *CODE_COPIES]),
    ],
    ids="new comment docstring helper function augment features".split(),
)
def test_an_edited_line_computes_again_what_it_can_change(
    tracks, cache, computed, edit, module, old, new, expected
):
    extract(tracks[:1], cache, augmentations=CODE_COPIES)
    del computed[:]
    edit(module, old, new)
    extract(tracks[:1], cache, augmentations=CODE_COPIES)
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
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    extraction.extract_mfcc(tracks[:1], n_jobs=1, progress=False)
    extraction.extract_features(tracks[:1], n_jobs=1, progress=False)
    assert list(folder.iterdir()) == []


def test_clear_cache_deletes_results_and_no_other_files(tracks, cache, computed):
    extract(tracks[:1], cache)
    extraction.extract_features(tracks[:1], n_jobs=1, cache=cache, progress=False)
    names = ("notes.txt", "mfcc-mine.npy", "tracks/mine.npy")
    mine = [cache / name for name in names]
    for file in mine:
        file.touch()
    extraction.clear_cache(cache)
    left = {file for file in cache.rglob("*.*") if file.suffix != ".lock"}
    assert left == set(mine)
    del computed[:]
    extract(tracks[:1], cache)
    assert computed == ALL[:3]


@pytest.fixture
def limit():
    """Lower a resource limit of this process during the test."""
    names = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
    before = {name: resource.getrlimit(name) for name in names}

    def limit(name, soft):
        resource.setrlimit(name, (soft, before[name][1]))

    yield limit
    for name, limits in before.items():
        resource.setrlimit(name, limits)


@pytest.mark.parametrize(
    ("size", "left"),
    [(100, ALL), (10_000, ALL[3:]), (100_000, RETRY)],
    ids=["first track", "second track", "joining them"],
)
def test_a_full_disk_is_reported_and_finished_copies_are_kept(
    tracks, cache, unbroken, computed, limit, size, left
):
    limit(resource.RLIMIT_FSIZE, size)
    with pytest.raises(extraction.CacheError, match=f"{cache}.*; make room"):
        extract(tracks, cache)
    limit(resource.RLIMIT_FSIZE, -1)
    assert not list(cache.rglob("unfinished-*"))
    del computed[:]
    extract(tracks, cache)
    assert computed == left
    assert content(cache) == content(unbroken)


def test_a_cache_that_cannot_be_written_to_is_named_before_any_work(
    tracks, cache, computed, monkeypatch
):
    file = Path(tracks["path"][0])
    with pytest.raises(extraction.CacheError, match=f"{file}.* cannot be written"):
        extract(tracks, file)
    read_only = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(_cache, "TemporaryFile", read_only)
    with pytest.raises(extraction.CacheError, match="Permission denied"):
        extract(tracks, cache)
    assert computed == []


def ramp(track, path, copies, *, size):
    return [np.arange(size, dtype=np.float32)[np.newaxis]]


def test_neither_memory_nor_open_files_grow_with_the_number_of_tracks(cache, limit):
    n = 100
    names = [f"{k}.wav" for k in range(n)]
    tracks = pd.DataFrame({"track": names, "path": names})
    settings = {"n_jobs": 1, "cache": cache, "strict": False, "progress": False}
    limit(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + 20)
    tracemalloc.start()
    rows, counts, _ = _cache.rows_of_tracks(
        "any", partial(ramp, size=25_000), tracks, {"original": "key"}, **settings
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.nbytes == n * 100_000
    assert counts == [1] * n
    assert most < 30 * 100_000
    np.testing.assert_array_equal(rows[-1], np.arange(25_000))


@pytest.mark.parametrize(("show", "disable"), [(True, ""), (False, ""), (True, "1")])
def test_the_bar_starts_with_the_tracks_that_are_done_and_leaves_no_trace(
    tracks, cache, monkeypatch, capfd, show, disable
):
    monkeypatch.setenv("TQDM_DISABLE", disable)
    extract(tracks[:2], cache)
    extract(tracks, cache, progress=show)
    printed = capfd.readouterr().err.split("\r")
    if show and not disable:
        assert "| 2/6 [" in printed[1]
        assert not "".join(printed[-2:]).strip()  # A finished bar is erased.
    else:
        assert printed == [""]
