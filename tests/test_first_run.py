"""The first start: many processes at once, no cache of numba, no console, no home."""

import os
import re
import subprocess
import sys
import time

import pytest

# input() waits until the test lets all processes continue at the same time.
START = """
import joblib
import numpy as np

def work(_):
    from gtzan_mfcc import features

    y = np.random.default_rng(0).uniform(-0.5, 0.5, 8192).astype(np.float32)
    return features.tabular_features(y).tobytes().hex()

input()
"""
THREADS = (
    "joblib.Parallel(2, prefer='threads')(joblib.delayed(work)(k) for k in range(2))"
)
WORKERS = "joblib.Parallel(4)(joblib.delayed(work)(k) for k in range(4))"

# With NUMBA_DEBUG_CACHE, numba prints this when it has compiled a function.
SAVED = "data saved to '(.*?)'"


@pytest.fixture
def start(tmp_path):
    """Start Python processes with the cache of numba in `tmp_path`."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DEBUG_CACHE": "1"}
    # The workers of joblib share one pipe, so they must write line by line.
    env["PYTHONUNBUFFERED"] = "1"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = []

    def start(work):
        command = [sys.executable, "-c", f"{START}print('features', *{work})"]
        processes.append(subprocess.Popen(command, env=env, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def go_on(*processes):
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def finish(*processes):
    """Wait for all processes; return their features and the files that numba saved."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    text = "\n".join(outputs)
    features = " ".join(re.findall("features (.*)", text)).split()
    return features, re.findall(SAVED, text)


@pytest.mark.parametrize(
    "works", [[THREADS] * 4, [WORKERS]], ids=["threads", "workers"]
)
def test_many_start_at_once(start, works):
    processes = [start(work) for work in works]
    go_on(*processes)
    features, saved = finish(*processes)
    # A crash is random. Its cause is two processes that compile the same function.
    assert len(saved) == len(set(saved)) > 0
    go_on(later := start(THREADS))
    features_later, saved_later = finish(later)
    assert not saved_later
    assert len({*features, *features_later}) == 1


def test_one_is_killed_as_it_compiles(start, tmp_path):
    first, *others = (start(THREADS) for _ in range(3))
    go_on(first)
    while not list(tmp_path.rglob("*.nbc")):
        assert first.poll() is None
        time.sleep(0.01)
    go_on(*others)
    time.sleep(2)
    first.kill()
    saved_before = re.findall(SAVED, first.communicate()[0])
    features, saved = finish(*others)
    assert saved_before
    assert not set(saved) & set(saved_before)
    assert len(saved) == len(set(saved)) > 0
    assert len(set(features)) == 1


def test_a_program_without_a_console_can_import_all():
    code = "from gtzan_mfcc import augmentation, predict"
    command = f'"{sys.executable}" -c "{code}" <&- >&- 2>&-'
    assert subprocess.run(command, shell=True, timeout=300).returncode == 0


def test_without_a_folder_for_a_cache_librosa_is_compiled_with_a_warning():
    # As if neither librosa's folder nor the home can be written to.
    env = os.environ | {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    env.pop("NUMBA_CACHE_DIR", None)
    code = "import os, gtzan_mfcc._librosa; print(os.environ['NUMBA_CACHE_DIR'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "set NUMBA_CACHE_DIR to a folder" in done.stderr
    assert not os.path.exists(done.stdout.strip())
