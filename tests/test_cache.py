"""Finished results are kept after any failure, and used only if they are up to date."""

import contextlib
import ctypes
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

import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import _cache, audio, augmentation, dataset, extraction
from gtzan_mfcc._librosa import librosa

NAMES = [f"{genre}.{k:05d}" for genre in ("loud", "quiet") for k in range(3)]
# Not a sound file. Each run that computes anything tries it again.
BAD = "loud.00002"
SETTINGS = {"augmentations": ["random_gain", "white_noise"], "n_jobs": 1, "progress": False}

# Other processes. The package is imported once for all of them, so they start fast.
PROGRAMS = multiprocessing.get_context("forkserver")
PROGRAMS.set_forkserver_preload(["gtzan_mfcc.extraction"])


def sing(path, seconds, seed=1):
    y = np.random.default_rng(seed).uniform(-0.1, 0.1, int(seconds * 22_050))
    soundfile.write(path, y, 22_050)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Make six tracks of one to three segments; the third is not a sound file."""
    folder = tmp_path_factory.mktemp("cache") / "corpus"
    for k, name in enumerate(NAMES):
        path = folder / name.partition(".")[0] / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sing(path, 3 * (k % 3 + 1), seed=k)
    (folder / "loud" / f"{BAD}.wav").write_text("la la la")
    return folder


@pytest.fixture(scope="module")
def tracks(corpus) -> pd.DataFrame:
    return dataset.load_tracks(corpus)


def extract(tracks, cache, **settings) -> extraction.Segments:
    return extraction.extract_mfcc(tracks, cache=cache, **{**SETTINGS, **settings})


def content(cache) -> dict[str, bytes]:
    """Read all finished files; the locks are empty."""
    files = [path for path in cache.rglob("*.*") if ".unfinished-" not in path.name]
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


def note_reading(note, patch):
    """Call `note` with the name of each track that this process reads."""
    blocks = audio.blocks
    patch.setattr(audio, "blocks", lambda path: note(Path(path).stem) or blocks(path))


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    names = []
    note_reading(names.append, monkeypatch)
    return names


@pytest.fixture
def start():
    """Start a function of this module in a process; kill it and its workers after the test."""
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
    function, calls = pkgutil.resolve_name(function_name), itertools.count()

    def call_and_die(*args):
        function(*args)
        if next(calls) == call:
            if function is save:
                os.truncate(args[0], 10_000)
            os.kill(os.getpid(), signal.SIGKILL)

    save = np.save
    pytest.MonkeyPatch().setattr(function_name, call_and_die)
    extract(tracks, cache, n_jobs=n_jobs)


@pytest.mark.parametrize(
    ("function", "call", "n_jobs", "left"),
    [
        ("numpy.save", 3, 1, [BAD, *NAMES[3:]]),
        ("numpy.save", 3, 2, [BAD, *NAMES[3:]]),
        ("pathlib.Path.replace", 3, 1, [BAD, *NAMES[4:]]),
        ("numpy.lib.format.write_array_header_1_0", 0, 1, [BAD]),
        ("pathlib.Path.replace", 6, 1, []),
    ],
    ids=["writing a track", "with workers", "between tracks", "joining them", "at the end"],
)
def test_a_run_that_was_killed_continues(
    start, tracks, cache, unbroken, computed, function, call, n_jobs, left
):
    program = start(extract_and_die, tracks, cache, function, call, n_jobs)
    program.join()
    assert program.exitcode == -signal.SIGKILL
    segments = extract(tracks, cache)
    assert computed == left
    assert content(cache) == content(unbroken)
    assert len(segments.mfcc) == len(segments.table) == 9 * 3


def fail(*_, **__):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({}, KeyboardInterrupt),
        ({"strict": True}, audio.AudioError),
        ({"augmentations": ["fail"]}, ZeroDivisionError),
    ],
    ids=["interrupted", "strict", "error"],
)
def test_a_stopped_run_with_workers_prints_nothing_and_can_continue(
    tracks, cache, unbroken, monkeypatch, capfd, recwarn, settings, error
):
    with monkeypatch.context() as patch:
        patch.setitem(augmentation.AUGMENTATIONS, "fail", fail)
        if error is KeyboardInterrupt:
            # Not by a signal, because a background process may ignore it.
            patch.setattr(np, "save", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(error):
            extract(tracks, cache, n_jobs=2, **settings)
    assert not list(cache.glob("mfcc-*.npy"))
    assert not list(cache.rglob("*.unfinished-*"))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    extract(tracks, cache)
    assert content(cache).items() >= content(unbroken).items()


def test_strict_does_no_work_behind_the_first_bad_file(tracks, cache, computed):
    for expected in (NAMES[:3], [BAD]):
        del computed[:]
        with pytest.raises(audio.AudioError, match=BAD):
            extract(tracks, cache, strict=True)
        assert computed == expected


def extract_and_log(tracks, cache, log, barrier):
    """Extract at the same time as other processes; log the tracks that this process computes."""
    note_reading(log.put, pytest.MonkeyPatch())
    barrier.wait()
    extract(tracks, cache)


@pytest.mark.parametrize("step", [1, -1], ids=["same", "reversed"])
def test_programs_at_work_at_the_same_time_do_not_disturb_each_other(
    start, tracks, cache, unbroken, computed, step
):
    barrier, log = PROGRAMS.Barrier(2), PROGRAMS.SimpleQueue()
    programs = [start(extract_and_log, tracks[::each], cache, log, barrier) for each in (1, step)]
    for program in programs:
        program.join()
        assert program.exitcode == 0
    if step == 1:
        # The second process waits for the first, and uses its result.
        assert [log.get() for _ in NAMES] == NAMES
        assert log.empty()
    segments = extract(tracks[::step], cache)
    assert computed == []
    assert segments.table["track"].unique().tolist() == [n for n in NAMES if n != BAD][::step]
    assert content(cache).items() >= content(unbroken).items()


def test_the_array_is_mapped_as_numpy_writes_it_and_cannot_be_written_to(tracks, unbroken):
    mfcc, file = extract(tracks, unbroken).mfcc, io.BytesIO()
    assert isinstance(mfcc, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        mfcc[0] = 0
    np.save(file, mfcc)
    assert next(unbroken.glob("mfcc-*.npy")).read_bytes() == file.getvalue()


def flip(path, position):
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 8
    path.write_bytes(damaged)


DAMAGES = {
    "gone": Path.unlink,
    "empty": partial(os.truncate, length=0),
    "half a header": partial(os.truncate, length=60),
    "half the rows": partial(os.truncate, length=10_000),
    "too long": partial(os.truncate, length=1_000_000),
    "other format": partial(flip, position=0),
    "no brace": partial(flip, position=10),
    "other shape": partial(flip, position=61),
}


@pytest.mark.parametrize("kind", ["tracks/*.npy", "mfcc-*.npy"], ids=["track", "joined"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_again(tracks, cache, unbroken, computed, kind, damage):
    shutil.copytree(unbroken, cache)
    damage(next(path for path in sorted(cache.glob(kind)) if path.stat().st_size > 20_000))
    extract(tracks, cache)
    assert set(NAMES) >= set(computed) >= {BAD}
    assert len(computed) == (2 if kind.startswith("tracks") else 1)
    assert content(cache) == content(unbroken)


def test_a_file_that_could_not_be_read_is_tried_again(tracks, cache, unbroken, monkeypatch):
    faults = [OSError("no such server"), PermissionError("no"), librosa.ParameterError("odd")]

    def unreachable(path):
        raise faults.pop()

    extract(tracks[3:], cache)
    with monkeypatch.context() as patch:
        patch.setattr(audio, "blocks", unreachable)
        assert extract(tracks, cache).left_out["track"].to_list() == NAMES[:3]
    extract(tracks[1:], cache)
    # The joined array of all tracks is out of date now.
    segments = extract(tracks, cache)
    assert len(segments.mfcc) == len(segments.table) == 9 * 3
    assert content(cache).items() >= content(unbroken).items()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda loud: sing(loud / f"{NAMES[1]}.wav", seconds=4), [NAMES[1], BAD]),
        (lambda loud: os.utime(loud / f"{NAMES[0]}.wav", (0, 0)), [NAMES[0], BAD]),
        (lambda loud: sing(loud / f"{BAD}.wav", seconds=4), [BAD]),
        (lambda loud: (loud / f"{NAMES[0]}.wav").write_text("la la la"), [NAMES[0], BAD]),
        (lambda loud: sing(loud / "loud.00009.wav", seconds=4), [BAD, "loud.00009"]),
        (lambda loud: (loud / f"{NAMES[1]}.wav").unlink(), [BAD]),
        (lambda loud: loud.touch(), []),
    ],
    ids=["other sound", "touched", "mended", "spoiled", "new", "gone", "nothing"],
)
def test_only_the_files_that_have_changed_are_computed(
    corpus, tmp_path, cache, computed, change, expected
):
    copy = shutil.copytree(corpus, tmp_path / "copy")
    extract(dataset.load_tracks(copy), cache)
    del computed[:]
    change(copy / "loud")
    tracks = dataset.load_tracks(copy)
    segments = extract(tracks, cache)
    assert computed == expected
    fresh = extract(tracks, cache / "fresh")
    np.testing.assert_array_equal(segments.mfcc, fresh.mfcc)
    pd.testing.assert_frame_equal(segments.table, fresh.table)
    pd.testing.assert_frame_equal(segments.left_out, fresh.left_out)


def test_other_selections_and_orders_need_no_work_and_other_names_do(tracks, cache, computed):
    whole = extract(tracks, cache)
    del computed[:]
    for positions in ([0, 1], [5, 4, 3], [4, 0]):
        segments = extract(tracks.iloc[positions], cache)
        assert segments.table["track"].unique().tolist() == [NAMES[k] for k in positions]
        expected = [whole.mfcc[whole.table["track"] == NAMES[k]] for k in positions]
        np.testing.assert_array_equal(segments.mfcc, np.concatenate(expected))
    assert computed == []
    # The draws of the augmentations depend on the name.
    extract(tracks[:2].assign(track=["a", "b"]), cache)
    assert computed == NAMES[:2]


def echo(y, *, seed, factor=2):
    return factor * y


def extract_with_own(tracks, cache):
    augmentation.AUGMENTATIONS["own"] = echo
    extract(tracks, cache, **OWN)


def change_default(function, **defaults):
    return lambda patch: patch.setattr(function, "__kwdefaults__", defaults)


def put_in(function):
    return lambda patch: patch.setitem(augmentation.AUGMENTATIONS, "own", function)


OWN = {"augmentations": ["own"]}
CHANGES = {
    "n_mfcc": ({"n_mfcc": 20}, None),
    "n_fft": ({"n_fft": 1024}, None),
    "hop_length": ({"hop_length": 256}, None),
    "seed": ({"seed": 1}, None),
    "augmentations": ({"augmentations": []}, None),
    "package": ({}, lambda patch: patch.setattr(_cache, "package_versions", lambda: ["2.0"])),
    "module": ({}, lambda patch: patch.setattr(_cache, "_CODE", ["other"])),
    "default": ({}, change_default(augmentation.white_noise, factors=(1, 2))),
    "own default": (OWN, change_default(echo, factor=3)),
    "own code": (OWN, put_in(lambda y, *, seed, factor=2: -factor * y**3)),
    "own partial": (OWN, put_in(partial(echo, factor=3))),
}


@pytest.mark.parametrize(("settings", "change"), CHANGES.values(), ids=CHANGES)
def test_a_changed_setting_function_or_package_is_computed_again(
    start, tracks, cache, computed, monkeypatch, settings, change
):
    put_in(echo)(monkeypatch)
    if settings is OWN:
        # The key of a function is the same in another process.
        start(extract_with_own, tracks[:1], cache).join()
        extract(tracks[:1], cache, **OWN)
        assert computed == []
    else:
        extract(tracks[:1], cache)
        del computed[:]
    if change:
        change(monkeypatch)
    mfcc = extract(tracks[:1], cache, **settings).mfcc
    assert computed == NAMES[:1]
    np.testing.assert_array_equal(mfcc, extract(tracks[:1], cache / "fresh", **settings).mfcc)


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
    [(100, NAMES), (30_000, NAMES[1:]), (100_000, [BAD])],
    ids=["in the first track", "in the second", "when all are joined"],
)
def test_a_full_disk_is_reported_and_finished_tracks_are_kept(
    tracks, cache, unbroken, computed, limit, size, left
):
    limit(resource.RLIMIT_FSIZE, size)
    with pytest.raises(extraction.CacheError, match="make room, or name another") as caught:
        extract(tracks, cache)
    limit(resource.RLIMIT_FSIZE, -1)
    assert str(caught.value).startswith(f"{cache} cannot be written to")
    assert not list(cache.rglob("*.unfinished-*"))
    del computed[:]
    extract(tracks, cache)
    assert computed == left
    assert content(cache) == content(unbroken)


@pytest.fixture
def ordinary_user():
    """Remove root's right to ignore file permissions during the test."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, rights) == 0
    rights[0] ^= 1 << 1  # CAP_DAC_OVERRIDE in the effective set.
    assert libc.capset(header, rights) == 0
    yield
    rights[0] ^= 1 << 1
    assert libc.capset(header, rights) == 0


@pytest.mark.usefixtures("ordinary_user")
def test_a_read_only_cache_is_read_and_reported_before_any_work(tracks, cache, unbroken, computed):
    shutil.copytree(unbroken, cache)
    for folder in (cache, cache / "tracks"):
        folder.chmod(0o555)
    assert len(extract(tracks, cache)) == 9 * 3
    for folder in (cache, tracks.loc[0, "path"]):  # The second is a file.
        with pytest.raises(extraction.CacheError, match="name another folder") as caught:
            extract(tracks[:1], folder)
        assert str(caught.value).startswith(f"{folder} cannot be written to")
    for folder in (cache, cache / "tracks"):
        folder.chmod(0o755)
    assert computed == []


def test_an_error_that_is_not_of_the_folder_is_no_cache_error(tracks, cache, monkeypatch):
    def no_cluster(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(_cache.joblib, "Parallel", no_cluster)
    with pytest.raises(TimeoutError):
        extract(tracks, cache)


def ramp(track, path, *, size):
    return np.arange(size, dtype=np.float32).reshape(1, size)


def test_neither_memory_nor_open_files_grow_with_the_number_of_tracks(cache, limit):
    n = 100
    names = [f"{k}.wav" for k in range(n)]
    tracks = pd.DataFrame({"track": names, "path": names})
    settings = {"n_jobs": 1, "cache": cache, "strict": False, "progress": False}
    limit(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + 20)
    tracemalloc.start()
    rows, counts, _ = _cache.rows_of_tracks("any", partial(ramp, size=25_000), tracks, **settings)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.nbytes == n * 100_000
    assert counts == [1] * n
    assert most < 30 * 100_000
    np.testing.assert_array_equal(rows[-1], ramp("", "", size=25_000)[0])


@pytest.mark.parametrize(("progress", "disable"), [(True, ""), (False, ""), (True, "1")])
def test_the_bar_starts_with_the_tracks_that_are_done_and_leaves_no_trace(
    tracks, cache, monkeypatch, capfd, progress, disable
):
    monkeypatch.setenv("TQDM_DISABLE", disable)
    extract(tracks[:2], cache)
    extract(tracks, cache, progress=progress)
    printed = capfd.readouterr().err.split("\r")
    if progress and not disable:
        assert "| 2/6 [" in printed[1]
        assert not "".join(printed[-2:]).strip()  # A finished bar is erased.
    else:
        assert printed == [""]
