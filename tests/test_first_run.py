"""Start many processes at the same time, before numba has compiled anything."""

import os
import re
import subprocess
import sys
import time

import pytest

WORK = """
import numpy as np

def work(_):
    from gtzan_mfcc import features

    y = np.random.default_rng(0).uniform(-0.5, 0.5, 8192).astype(np.float32)
    return features.tabular_features(y).tobytes().hex()
"""

# input() waits until the test lets all processes continue at the same time.
THREADS = f"""{WORK}
from multiprocessing.pool import ThreadPool

input()
print("features", *ThreadPool(2).map(work, range(2)))
"""

JOBLIB = f"""{WORK}
import joblib

input()
print("features", *joblib.Parallel(n_jobs=4)(joblib.delayed(work)(k) for k in range(4)))
"""

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

    def start(code):
        processes.append(subprocess.Popen([sys.executable, "-c", code], env=env, **pipes))
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
    features = " ".join(re.findall("features (.*)", "\n".join(outputs))).split()
    return features, re.findall(SAVED, "\n".join(outputs))


@pytest.mark.parametrize("code", [[THREADS] * 4, [JOBLIB]], ids=["processes", "joblib"])
def test_many_start_at_once(start, code):
    processes = [start(one) for one in code]
    go_on(*processes)
    features, saved = finish(*processes)
    # A crash is random. Its cause is two processes that compile the same function.
    assert len(saved) == len(set(saved)) > 0
    go_on(later := start(THREADS))
    features_later, saved_later = finish(later)
    assert not saved_later
    assert set(features) == set(features_later)
    assert len(set(features)) == 1


def test_one_is_killed_as_it_compiles(start, tmp_path):
    first, *others = (start(THREADS) for _ in range(4))
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
