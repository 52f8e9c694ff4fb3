"""Measure the time of `predict`: a song of 3 min, one of an hour, and a thousand files.

``make bench`` runs it on GTZAN, or on the toy corpus if there is no GTZAN. For the
thousand files, `predict_files` and `extract_mfcc` alternate: they should take about the
same time.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from extraction import corpus

from gtzan_mfcc import audio, dataset, extraction, features, notebook, predict

N_FILES = 1_000
N_ROUNDS = 3


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


def main():
    """Measure, and record the numbers."""
    label = dataset.corpus_label(dataset.load_tracks(notebook.corpus_folder()))
    tracks = corpus(N_FILES)
    numbers = {"files": len(tracks), "rounds": N_ROUNDS}
    model = predict.load_pretrained()
    print(label)
    with tempfile.TemporaryDirectory() as temporary:
        short = song(Path(temporary, "short.mp3"), tracks.head(6), 180)
        seconds = [timed(predict.predict, short, model) for _ in range(5)]
        numbers["mp3_first_seconds"] = seconds[0]
        numbers["mp3_seconds"] = np.median(seconds[1:])
        numbers["mp3_peak_mb"] = peak_mb()
        hour = song(Path(temporary, "hour.mp3"), tracks.head(20), 3600)
        numbers["hour_seconds"] = timed(predict.predict, hour, model)
        numbers["hour_peak_mb"] = peak_mb()
    ratios = []
    for _ in range(N_ROUNDS):
        with tempfile.TemporaryDirectory() as empty:
            extracting = timed(
                extraction.extract_mfcc,
                tracks,
                features.Settings(n_mfcc=20),
                cache=empty,
                progress=False,
            )
        predicting = timed(lambda: list(predict.predict_files(tracks["path"], model)))
        ratios.append(extracting / predicting)
        print(
            f"{len(tracks):,} files: extract_mfcc {extracting:.1f} s, "
            f"predict {predicting:.1f} s"
        )
    numbers["extraction_ratio"] = np.median(ratios)
    numbers["slowest_ratio"] = min(ratios)
    numbers["fastest_ratio"] = max(ratios)
    print(numbers)
    notebook.record(
        "prediction_benchmark", corpus=label, split="none", seed=0, **numbers
    )


if __name__ == "__main__":
    main()
