"""Measure `predict`: a cold start, a song of 3 min, one of an hour, and many files.

``make bench`` runs it on GTZAN, or on the toy corpus if there is no GTZAN. A quick run
is ``python tests/benchmarks/prediction.py --files 100 --songs 20 --rounds 2``. What is
compared alternates: the command with the import of Keras alone; `predict_files` on
songs of 3 min with decoding alone; and on tracks of 30 s with `extract_mfcc`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import soundfile
import soxr
from extraction import corpus

from gtzan_mfcc import audio, dataset, extraction, features, notebook, predict

# A process inherits the peak memory of the one that starts it, so a small one does.
MEASURE = """
import resource, subprocess, sys, time
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
started = time.perf_counter()
done = subprocess.run([sys.executable, *sys.argv[1:]], **quiet)
assert (done.returncode == 0) == ("nowhere.mp3" not in sys.argv)
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
"""


def song(path, tracks, seconds):
    """Write a song that joins tracks of the corpus, in stereo at 44.1 kHz."""
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        while file.frames < seconds * 44_100:
            for track in tracks["path"]:
                y = soxr.resample(audio.load(track), audio.SAMPLE_RATE, 44_100)
                stereo = np.stack([y, y[::-1]], axis=1)
                file.write(stereo[: seconds * 44_100 - file.frames])
    return path


def timed(work, *args, **settings):
    """Return the time of a call in seconds."""
    started = time.perf_counter()
    work(*args, **settings)
    return time.perf_counter() - started


def peak_mb():
    """Return the peak memory of this process in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def cold(path, rounds):
    """Measure new processes in turn, most of all the command for one song."""
    command = ["-m", "gtzan_mfcc"]
    processes = {
        "command": [*command, "predict", path],
        "keras": ["-c", "import keras"],
        "wrong_name": [*command, "predict", "nowhere.mp3"],
        "help": [*command, "--help"],
        "import_dataset": ["-c", "import gtzan_mfcc.dataset"],
    }
    table = pd.DataFrame()
    for k in range(rounds):
        for name, arguments in processes.items():
            measure = [sys.executable, "-c", MEASURE, *arguments]
            seconds, peak = subprocess.check_output(measure, text=True).split()
            table.loc[k, [f"{name}_seconds", f"{name}_mb"]] = (
                float(seconds),
                float(peak),
            )
    without_keras = table["command_seconds"] - table["keras_seconds"]
    table = table.assign(command_without_keras_seconds=without_keras)
    return table.median().to_dict()


def decode(paths):
    """Read all songs, and forget them, in as many threads as `predict_files` has."""
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        deque(pool.map(lambda path: deque(audio.blocks(path), 0), paths), 0)


def in_turn(name, rounds, reference, work):
    """Return how fast some work is in relation to a reference, with least and most."""
    ratios = []
    for _ in range(rounds):
        seconds = [timed(reference), timed(work)]
        print(f"{name}: reference {seconds[0]:.1f} s, predict_files {seconds[1]:.1f} s")
        ratios.append(seconds[0] / seconds[1])
    return {
        f"{name}_ratio": np.median(ratios),
        f"{name}_slowest_ratio": min(ratios),
        f"{name}_fastest_ratio": max(ratios),
    }


def main():
    """Measure, and record the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--songs", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = options.rounds
    label = dataset.corpus_label(dataset.load_tracks(notebook.corpus_folder()))
    tracks = corpus(max(48, options.files))
    numbers = vars(options) | {"cores": joblib.cpu_count()}
    print(f"{label}; {numbers['cores']} cores")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        songs = [
            song(folder / f"{k}.mp3", tracks[6 * k : 6 * k + 6], 180) for k in range(8)
        ]
        numbers |= cold(songs[0], rounds)
        print(numbers)
        model = predict.load_pretrained()
        seconds = [timed(predict.predict, songs[0], model) for _ in range(5)]
        numbers["mp3_first_seconds"] = seconds[0]
        numbers["mp3_seconds"] = np.median(seconds[1:])
        numbers["mp3_peak_mb"] = peak_mb()
        hour = song(folder / "hour.mp3", tracks.head(20), 3600)
        numbers["hour_seconds"] = timed(predict.predict, hour, model)
        numbers["hour_peak_mb"] = peak_mb()
        many = (songs * options.songs)[: options.songs]
        numbers |= in_turn(
            "decoding",
            rounds,
            lambda: decode(many),
            lambda: deque(predict.predict_files(many, model), 0),
        )
        settings = features.Settings(n_mfcc=20)
        numbers |= in_turn(
            "extraction",
            rounds,
            lambda: extraction.extract_mfcc(
                tracks, settings, cache=tempfile.mkdtemp(dir=folder), progress=False
            ),
            lambda: deque(predict.predict_files(tracks["path"], model), 0),
        )
    print(numbers)
    notebook.record(
        "prediction_benchmark", corpus=label, split="none", seed=0, **numbers
    )


if __name__ == "__main__":
    main()
