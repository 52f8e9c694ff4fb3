"""Measure ``make snapshots``: its time from nothing and again, and each peak memory.

Run it with GTZAN_DIR set; it takes more than an hour. It works on a clone of the last
commit in a temporary folder, so nothing is kept from earlier runs.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import joblib
import psutil

from gtzan_mfcc import dataset, notebook

PROJECT = Path(__file__).parents[2]


def measure(folder):
    """Run the notebooks of a clone; return the minutes, and each peak memory in MB.

    The memory is measured every five seconds; that of shared pages is Linux's.
    """
    peaks = Counter()
    start = time.perf_counter()
    env = os.environ | {"GTZAN_DIR": str(dataset.find_corpus().absolute())}
    process = psutil.Popen(["make", "snapshots"], cwd=folder, env=env)
    while process.poll() is None:
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                runs = re.search(
                    r"nbconvert .*/(\w+)\.ipynb", " ".join(child.cmdline())
                )
                if runs:
                    peaks[runs[1]] = max(peaks[runs[1]], memory(child))
        time.sleep(5)
    minutes = (time.perf_counter() - start) / 60
    if process.returncode:
        sys.exit("make snapshots has failed; the lines above say why.")
    return round(minutes, 1), dict(peaks)


def memory(process):
    """Return the memory of a process and its children in MB, with shared pages once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            total += one.memory_full_info().pss
    return round(total / 1e6)


def main():
    """Measure, and record the numbers."""
    label = dataset.corpus_label(dataset.load_tracks(dataset.find_corpus()))
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary, "clone")
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        subprocess.run(["make", ".venv/installed"], cwd=clone, check=True)
        from_nothing, peaks = measure(clone)
        again, _ = measure(clone)
    numbers = {
        "from_nothing_minutes": from_nothing,
        "again_minutes": again,
        "cores": joblib.cpu_count(),
        **{f"peak_mb_of_{name}": peak for name, peak in peaks.items()},
    }
    print(numbers)
    notebook.record(
        "snapshots_benchmark", corpus=label, split="none", seed=0, **numbers
    )


if __name__ == "__main__":
    main()
