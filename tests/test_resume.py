import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from filelock import FileLock, Timeout

from gtzan_mfcc import _cache, audio, augmentation, dataset, extraction, features
from gtzan_mfcc._disk import CacheError, Rows

TESTS = Path(__file__).parent
NAMES = [f"{genre}.{k:05d}" for genre in ("loud", "quiet") for k in range(3)]
BAD = "loud.00002"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Six tracks of one to three segments, of which the third is no sound."""
    folder = tmp_path_factory.mktemp("resume") / "corpus"
    rng = np.random.default_rng(0)
    for k, name in enumerate(NAMES):
        path = folder / name.partition(".")[0] / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.uniform(-0.1, 0.1, (k % 3 + 1) * 66_150), 22_050)
    (folder / "loud" / f"{BAD}.wav").write_text("la la la")
    return folder


@pytest.fixture(scope="module")
def tracks(corpus) -> pd.DataFrame:
    return dataset.load_tracks(corpus)


def extract(tracks, cache, **settings) -> extraction.Segments:
    settings = {"n_jobs": 1, "progress": False, **settings}
    return extraction.extract_mfcc(
        tracks, augmentations=augmentation.AUGMENTATIONS, cache=cache, **settings
    )


@pytest.fixture(scope="module")
def unbroken(tracks, tmp_path_factory) -> Path:
    """The finished folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    extract(tracks, folder)
    return finished(folder)


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Names of the tracks that are read to be computed in this process, as they are."""
    names, blocks = [], audio.blocks

    def note_and_read(path, *args, **kwargs):
        names.append(Path(path).stem)
        return blocks(path, *args, **kwargs)

    monkeypatch.setattr(audio, "blocks", note_and_read)
    return names


@pytest.fixture
def start(corpus, cache, tmp_path):
    """Start tests/extracting.py with a log of its own; end it, and its workers, with the test."""
    started = []

    def start(*options, **settings):
        log = tmp_path / f"log-{len(started)}"
        log.touch()
        # Not to a pipe, which the workers of a program that was killed would keep open.
        output = (tmp_path / f"output-{len(started)}").open("w+")
        command = [sys.executable, TESTS / "extracting.py", corpus, cache, *map(str, options)]
        environment = {**os.environ, "LOG": str(log), "PYTHONPATH": str(TESTS)}
        environment.pop("TQDM_DISABLE", None)
        process = subprocess.Popen(
            command,
            **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **settings},
            env=environment,
            start_new_session=True,
        )
        process.log, process.output = log, output
        started.append(process)
        return process

    yield start
    for process in started:
        kill_group(process)
        process.output.close()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            pipe.close()


def kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def printed(process) -> str:
    process.output.seek(0)
    return process.output.read()


def finished(cache) -> Path:
    (folder,) = (path for path in cache.glob("mfcc-*/") if path.suffix == "" and path.is_dir())
    return folder


def assert_same_bytes(cache, unbroken):
    folder = finished(cache)
    assert sorted(path.name for path in folder.iterdir()) == ["items.jsonl", "rows.npy"]
    for name in ("items.jsonl", "rows.npy"):
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes(), name
    # Nothing else is left but the locks, which are empty.
    others = [path for path in cache.iterdir() if path != folder]
    assert all(path.suffix == ".lock" and path.stat().st_size == 0 for path in others)


def unfinished(cache) -> Path:
    (folder,) = cache.glob("*.unfinished")
    return folder


@pytest.fixture
def stopped(tracks, cache, monkeypatch):
    """A cache with the first four tracks, and the folder in which they stand."""
    append = Rows.append

    def stop_at_the_fifth(rows, *args):
        if len(rows.items) == 4:
            raise KeyboardInterrupt
        append(rows, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "append", stop_at_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            extract(tracks, cache)
    return unfinished(cache)


IN_A_TRACK = ["no rows", "half a header", "half the rows", "no line", "half a line"]


@pytest.mark.parametrize(
    ("n_jobs", "track", "moment"),
    [(1, 4, moment) for moment in IN_A_TRACK]
    + [(1, 0, "half the rows"), (1, 2, "half a line"), (1, 5, "no line")]
    + [(2, 3, moment) for moment in ("no rows", "half a line")],
)
def test_a_run_killed_while_it_writes_a_track_goes_on_with_this_track(
    start, cache, tracks, unbroken, computed, n_jobs, track, moment
):
    killed = start("--n-jobs", n_jobs, "--append", track, "--at", moment)
    assert killed.wait() == -signal.SIGKILL, printed(killed)
    assert len(Rows(unfinished(cache)).items) == track
    assert not list(cache.glob("mfcc-" + "[0-9a-f]" * 16))
    extract(tracks, cache)
    assert computed == NAMES[track:]
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize("moment", ["the first fsync", "the second fsync", "the rename"])
def test_a_run_killed_while_it_finishes_has_nothing_left_to_compute(
    start, cache, tracks, unbroken, computed, moment
):
    killed = start("--finish", "--at", moment)
    assert killed.wait() == -signal.SIGKILL, printed(killed)
    assert len(Rows(unfinished(cache)).items) == len(NAMES)
    extract(tracks, cache)
    assert computed == []
    assert_same_bytes(cache, unbroken)


def test_several_workers_go_on_with_what_is_missing(start, cache, unbroken):
    killed = start("--n-jobs", 2, "--append", 3, "--at", "half the rows")
    killed.wait()
    other = start("--n-jobs", 2)
    assert other.wait() == 0, printed(other)
    assert sorted(other.log.read_text().split()) == NAMES[3:]
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_runs_killed_from_outside_end_where_an_unbroken_run_does(start, cache, unbroken, n_jobs):
    delay = random.Random(n_jobs)
    kept = 0
    for _ in range(3):
        killed = start("--n-jobs", n_jobs)
        # The first tracks take longer than all the others.
        while killed.log.read_text().count("\n") <= n_jobs and killed.poll() is None:
            time.sleep(0.001)
        time.sleep(delay.uniform(0, 0.1))
        kill_group(killed)
        there = max((len(Rows(folder).items) for folder in cache.glob("*/")), default=0)
        assert there >= kept  # What was there is never lost.
        kept = there
    last = start("--n-jobs", n_jobs)
    assert last.wait() == 0, printed(last)
    assert len(last.log.read_text().split()) == len(NAMES) - kept
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_features_go_on_where_they_were_too(tracks, cache, computed, monkeypatch, error):
    settings = {"n_jobs": 1, "progress": False}
    whole, _ = extraction.extract_features(tracks, cache=cache / "whole", **settings)
    del computed[:]
    work = features.tabular_features

    def stop_at_the_fourth(*args):
        if len(computed) == 4:
            raise error("stopped")
        return work(*args)

    with monkeypatch.context() as patch:
        patch.setattr(features, "tabular_features", stop_at_the_fourth)
        with pytest.raises(error, match="stopped"):
            extraction.extract_features(tracks, cache=cache, **settings)
    assert computed == NAMES[:4]
    table, left_out = extraction.extract_features(tracks, cache=cache, **settings)
    assert computed[4:] == NAMES[3:]
    assert left_out["track"].to_list() == [BAD]
    pd.testing.assert_frame_equal(table, whole)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0b100
    path.write_bytes(content)


def start_of(folder, k) -> int:
    """Where the rows of a track begin in rows.npy."""
    rows = Rows(folder)
    return rows._rows.stat().st_size - (len(rows) - rows.items[k].start) * 130 * 13 * 4


@pytest.mark.parametrize("track", [0, 1, 3])
def test_damaged_rows_are_made_again(stopped, cache, tracks, unbroken, computed, track):
    flip(stopped / "rows.npy", start_of(stopped, track) + 1_000)
    extract(tracks, cache)
    assert set(NAMES[track:]) - {BAD} >= set(computed) - {BAD} >= {NAMES[track], *NAMES[4:]}
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize("position", [0, 6, 8, 10, 12, 20, 60, 66, 70, 75, 90, 127])
def test_a_damaged_header_is_made_again(stopped, cache, tracks, unbroken, position):
    flip(stopped / "rows.npy", position)
    extract(tracks, cache)
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize("size", [0, 5, 100, 128, 10_000])
def test_rows_cut_short_are_made_again(stopped, cache, tracks, unbroken, computed, size):
    os.truncate(stopped / "rows.npy", size)
    extract(tracks, cache)
    assert {NAMES[0], *NAMES[4:]} <= set(computed)
    assert_same_bytes(cache, unbroken)


def test_rows_that_are_gone_are_made_again(stopped, cache, tracks, unbroken):
    (stopped / "rows.npy").unlink()
    extract(tracks, cache)
    assert_same_bytes(cache, unbroken)


def test_lines_without_their_rows_do_not_count(stopped, cache, tracks, unbroken, computed):
    # As after a loss of power, when the one file has come to the disk and the other has not.
    os.truncate(stopped / "rows.npy", start_of(stopped, 3) + 5_000)
    extract(tracks, cache)
    assert computed == NAMES[3:]
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize(
    ("spoil", "kept"),
    [
        (lambda content: content + bytes(100), 4),
        (lambda content: content + bytes(100) + b"\n", 4),
        (lambda content: content[:-1], 3),
        (lambda content: content[:-20], 3),
        (lambda content: content[:-20] + bytes(20), 3),
        (lambda content: content[:-20] + b"\xff" * 19 + b"\n", 3),
        (lambda content: content + b"[1, 2]\n", 4),
        (lambda content: content + b"null\n", 4),
        (lambda content: b"", 0),
    ],
    ids=["NULs", "a line of NULs", "no line break", "torn", "torn, NULs", "noise", "short",
         "null", "empty"],
)  # fmt: skip
def test_damaged_lines_do_not_count(stopped, cache, tracks, unbroken, computed, spoil, kept):
    lines = stopped / "items.jsonl"
    lines.write_bytes(spoil(lines.read_bytes()))
    extract(tracks, cache)
    assert computed == NAMES[kept:]
    assert_same_bytes(cache, unbroken)


def test_rows_of_a_track_that_can_no_longer_be_read_are_dropped(start, cache, tracks, monkeypatch):
    def unreachable(path):
        raise OSError("no such server")

    start("--append", 5, "--at", "no line").wait()
    with monkeypatch.context() as patch:
        patch.setattr(audio, "segments", unreachable)
        segments = extract(tracks, cache)
    assert segments.left_out["track"].to_list() == [BAD, NAMES[5]]
    assert len(segments.mfcc) == len(segments.table)


@pytest.mark.parametrize("name", ["rows.npy", "items.jsonl"])
@pytest.mark.parametrize("size", [None, 0, 100, 128, 0.5, -1])
def test_a_finished_result_with_a_part_missing_is_made_again(tracks, cache, unbroken, name, size):
    folder = cache / unbroken.name
    shutil.copytree(unbroken, folder)
    path = folder / name
    if size is None:
        path.unlink()
    elif size == 0.5:
        os.truncate(path, path.stat().st_size // 2)
    else:
        os.truncate(path, size if size >= 0 else path.stat().st_size + size)
    extract(tracks, cache)
    assert_same_bytes(cache, unbroken)


@pytest.fixture
def own(corpus, tmp_path) -> pd.DataFrame:
    """The tracks, in a copy of the corpus that a test may change, and extracted once."""
    shutil.copytree(corpus, tmp_path / "own")
    tracks = dataset.load_tracks(tmp_path / "own")
    extract(tracks, tmp_path / "cache")
    return tracks


def sing(path, seconds=4.0, seed=1):
    y = np.random.default_rng(seed).uniform(-0.1, 0.1, int(seconds * 22_050))
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, y, 22_050)


def assert_like_fresh(tracks, cache, computed, expected):
    """Extract with the cache; check what was computed, and compare with an empty cache."""
    del computed[:]
    segments = extract(tracks, cache)
    assert computed == expected
    fresh = extract(tracks, cache / "fresh")
    np.testing.assert_array_equal(segments.mfcc, fresh.mfcc)
    pd.testing.assert_frame_equal(segments.table, fresh.table)
    pd.testing.assert_frame_equal(segments.left_out, fresh.left_out)


# A track without rows is looked at again whenever the tracks are others: it takes no time.
def test_of_changed_tracks_only_the_changed_one_is_computed(own, cache, computed):
    sing(Path(own.loc[1, "path"]))
    assert_like_fresh(own, cache, computed, [NAMES[1], BAD])


def test_a_touched_file_is_computed_anew(own, cache, computed):
    os.utime(own.loc[3, "path"], (0, 0))
    assert_like_fresh(own, cache, computed, [BAD, NAMES[3]])


def test_a_bad_file_that_is_mended_is_computed(own, cache, computed):
    sing(Path(own.loc[2, "path"]))
    assert_like_fresh(own, cache, computed, [BAD])


def test_a_good_file_that_is_spoiled_is_left_out(own, cache, computed):
    Path(own.loc[0, "path"]).write_text("la la la")
    assert_like_fresh(own, cache, computed, [NAMES[0], BAD])


def test_of_more_tracks_only_the_new_one_is_computed(own, cache, computed):
    new = Path(own.loc[0, "path"]).with_name("loud.00009.wav")
    sing(new)
    more = dataset.load_tracks(new.parents[1])
    assert_like_fresh(more, cache, computed, [BAD, "loud.00009"])


def test_of_fewer_or_reordered_tracks_none_is_computed(own, cache, computed):
    good = own.drop(index=2)
    assert_like_fresh(good, cache, computed, [])
    for other in (good[:2], good[::-1], good.iloc[[3, 0]]):
        del computed[:]
        segments = extract(other, cache)
        assert computed == []
        assert segments.table["track"].unique().tolist() == other["track"].to_list()


def test_a_track_of_another_name_is_computed_anew(own, cache, computed):
    # What is drawn for the augmentations depends on the name.
    other = own[:2].assign(track=["a", "b"])
    assert_like_fresh(other, cache, computed, NAMES[:2])


def test_what_a_stopped_run_made_is_taken_for_other_tracks_too(stopped, cache, tracks, computed):
    assert_like_fresh(tracks.iloc[[4, 3, 0]], cache, computed, [NAMES[4]])


def test_rows_damaged_in_another_result_are_not_copied(own, cache, computed):
    flip(finished(cache) / "rows.npy", start_of(finished(cache), 1) + 77)
    assert_like_fresh(own[:2], cache, computed, [NAMES[1]])


def test_a_result_that_is_finished_while_another_looks_at_it_does_no_harm(
    stopped, cache, tracks, monkeypatch
):
    # Another process gives the folder its final name just when this one is about to read it.
    read_bytes, renamed = Path.read_bytes, cache / "mfcc-0123456789abcdef"

    def rename_and_read(path):
        if path.parent == stopped and not renamed.exists():
            stopped.rename(renamed)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", rename_and_read)
    assert len(extract(tracks[:2], cache)) == 4 * 3
    assert renamed.exists()


def wait_and_go(*processes):
    """Let programs begin at the same time."""
    for process in processes:
        assert process.stdout.readline() == "ready\n", printed(process)
    for process in processes:
        print(file=process.stdin, flush=True)
    for process in processes:
        assert process.wait() == 0, printed(process)


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def test_processes_with_the_same_request_share_the_work(start, cache, unbroken):
    processes = [start("--wait", **PIPES) for _ in range(3)]
    wait_and_go(*processes)
    logged = [name for process in processes for name in process.log.read_text().split()]
    assert sorted(logged) == NAMES
    assert_same_bytes(cache, unbroken)


def test_processes_with_other_tracks_do_not_disturb_each_other(
    start, cache, tracks, unbroken, tmp_path, computed
):
    selections = ["0,1,2,3,4,5", "5,4,3,2,1,0", "1,3,5"]
    wait_and_go(*(start("--wait", "--tracks", selection, **PIPES) for selection in selections))
    assert not list(cache.glob("*.unfinished"))
    for selection in selections:
        selected = tracks.iloc[[int(k) for k in selection.split(",")]]
        fresh = extract(selected, tmp_path / "fresh").mfcc
        del computed[:]
        np.testing.assert_array_equal(extract(selected, cache).mfcc, fresh)
        assert computed == []


def test_a_process_that_waits_says_so_and_then_takes_the_others_result(start, cache, unbroken):
    cache.mkdir()
    with FileLock(cache / f"{unbroken.name}.lock"):
        waiting = start("--progress", stdout=subprocess.PIPE, text=True)
        line = waiting.stdout.readline()
        assert line.startswith("another process is at work on"), printed(waiting)
        assert str(cache / unbroken.name) in line
        shutil.copytree(unbroken, cache / unbroken.name)
    assert waiting.wait() == 0, printed(waiting)
    assert waiting.log.read_text() == ""
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize(("progress", "disable"), [(False, ""), (True, "1")])
def test_a_process_waits_in_silence_if_so_asked(
    tracks, cache, unbroken, computed, monkeypatch, capfd, progress, disable
):
    class Lock(FileLock):
        def acquire(self, blocking=True, **settings):
            if not blocking:
                raise Timeout(self.lock_file)
            shutil.copytree(unbroken, cache / unbroken.name)  # As if another had it till now.
            return super().acquire(**settings)

    monkeypatch.setattr(_cache, "FileLock", Lock)
    monkeypatch.setenv("TQDM_DISABLE", disable)
    assert len(extract(tracks, cache, progress=progress)) == 4 * 9
    assert computed == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.01, 0.35, 0.85])
def test_a_full_disk_is_told_and_what_was_finished_is_kept(
    start, cache, tracks, unbroken, computed, share
):
    size = (unbroken / "rows.npy").stat().st_size
    full = start("--full-at", int(share * size), stderr=subprocess.PIPE, text=True)
    _, error = full.communicate()
    assert full.returncode == 1
    (message,) = (line for line in error.splitlines() if line.startswith("gtzan_mfcc._disk.Cache"))
    assert f"{cache} cannot be written to" in message
    assert "make room, or name another folder" in message
    done = len(Rows(unfinished(cache)).items)
    assert done == {0.01: 0, 0.35: 3, 0.85: 5}[share]
    extract(tracks, cache)
    assert computed == NAMES[done:]
    assert_same_bytes(cache, unbroken)


@pytest.mark.parametrize("cache", ["file", "file/folder", "file/folder/folder"])
def test_a_cache_that_cannot_be_made_is_told(tracks, tmp_path, computed, cache):
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be written to") as caught:
        extract(tracks, tmp_path / cache)
    assert str(caught.value).startswith(str(tmp_path / cache))
    assert "name another folder" in str(caught.value)
    assert computed == []


@pytest.fixture
def ordinary_user():
    """Take from root, for a while, the right to write where nobody may."""
    if os.geteuid() != 0:
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    rights = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, rights) == 0
    before = rights[0]
    rights[0] &= ~(1 << 1)  # CAP_DAC_OVERRIDE, out of those in effect.
    assert libc.capset(header, rights) == 0
    yield
    rights[0] = before
    assert libc.capset(header, rights) == 0


@pytest.mark.usefixtures("ordinary_user")
def test_a_read_only_cache_is_told_before_the_work(tracks, cache, computed):
    cache.mkdir(mode=0o555)
    with pytest.raises(CacheError, match=f"{cache} cannot be written to .*ermission denied"):
        extract(tracks, cache)
    assert computed == []


@pytest.mark.usefixtures("ordinary_user")
def test_a_finished_result_in_a_read_only_cache_is_read(tracks, cache, unbroken, computed):
    shutil.copytree(unbroken, cache / unbroken.name)
    for path in (*cache.glob("*/*"), *cache.glob("*"), cache):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        segments = extract(tracks, cache)
        np.testing.assert_array_equal(segments.mfcc, np.load(unbroken / "rows.npy"))
        assert computed == []
        with pytest.raises(CacheError):
            extract(tracks[:1], cache)
    finally:
        cache.chmod(0o755)
        (cache / unbroken.name).chmod(0o755)


def test_the_array_is_mapped_and_cannot_be_written_to(tracks, cache):
    mfcc = extract(tracks, cache).mfcc
    assert isinstance(mfcc, np.memmap)
    assert not mfcc.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        mfcc[0] = 0
    mapped = np.load(finished(cache) / "rows.npy", mmap_mode="r")
    np.testing.assert_array_equal(mapped, mfcc)


def test_the_file_of_rows_is_what_numpy_would_write(unbroken):
    file = io.BytesIO()
    np.save(file, np.load(unbroken / "rows.npy"))
    assert (unbroken / "rows.npy").read_bytes() == file.getvalue()


def test_the_bar_starts_with_the_tracks_that_are_done(stopped, cache, tracks, monkeypatch, capfd):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    extract(tracks, cache, progress=True)
    bars = capfd.readouterr().err.split("\r")
    assert "| 4/6 [" in next(filter(str.strip, bars))
    assert "| 6/6 [" in bars[-1]


@pytest.mark.parametrize(("progress", "disable"), [(False, ""), (True, "1")])
def test_a_run_goes_on_in_silence_if_so_asked(
    stopped, cache, tracks, monkeypatch, capfd, progress, disable
):
    monkeypatch.setenv("TQDM_DISABLE", disable)
    extract(tracks, cache, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_a_selection_that_was_computed_needs_no_file_of_sound(own, cache, computed):
    whole = extract(own, cache)
    del computed[:]
    segments = extract(own[3:], cache)
    assert computed == []
    np.testing.assert_array_equal(segments.mfcc, whole.mfcc[whole.table["track"].isin(NAMES[3:])])
