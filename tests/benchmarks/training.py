"""How long the study's CNN takes for an epoch of full-size data, in several ways.

``make bench`` runs it on MFCCs of GTZAN (or of the toy corpus), repeated until there are the
study's 39,944 segments. Every run is a process of its own; the ways take turns.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from gtzan_mfcc import augmentation, dataset, extraction, models, snapshots, training
from gtzan_mfcc._keras import keras

SEGMENTS = 39_944
WAYS = {
    "plain model.fit, batch 64": {"steps_per_execution": 1, "batch_size": 64},
    "training.fit, batch 64": None,
    "plain model.fit, batch 256": {"steps_per_execution": 1, "batch_size": 256},
    "tf.data, batch 64": "tf.data",
}


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def once(way: str, epochs: int) -> dict:
    """Train some epochs; the time of the quickest (the first compiles), and most memory."""
    segments = extraction.extract_mfcc(
        dataset.load_tracks(), augmentations=augmentation.AUGMENTATIONS, progress=False
    )
    rows = np.arange(SEGMENTS) % len(segments)
    x, labels = segments.mfcc[rows], segments.labels[rows]
    model = models.cnn(*x.shape[1:], len(segments.genres), seed=0)
    times, settings = EpochTimes(), WAYS[way]
    if settings is None:
        # training.fit takes no callbacks: the difference between two runs is an epoch.
        seconds = []
        for n in (1, 1 + epochs):
            started = time.perf_counter()
            model = models.cnn(*x.shape[1:], len(segments.genres), seed=0)
            history = training.fit(model, x, labels, epochs=n, patience=None)
            seconds.append(time.perf_counter() - started)
        times.seconds = [(seconds[1] - seconds[0]) / epochs]
        loss = history["loss"].iloc[-2]
    else:
        keras.utils.set_random_seed(0)
        data = {"x": x, "y": labels}
        if settings == "tf.data":
            import tensorflow as tf

            pairs = tf.data.Dataset.from_tensor_slices((x, labels))
            data = {"x": pairs.shuffle(SEGMENTS).batch(64).prefetch(tf.data.AUTOTUNE)}
            settings = {}
        batch_size = settings.pop("batch_size", None)
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], **settings)
        fitted = model.fit(
            **data, epochs=1 + epochs, batch_size=batch_size, verbose=0, callbacks=[times]
        )
        loss = fitted.history["loss"][-2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"seconds": min(times.seconds), "megabytes": peak, "loss": float(loss)}


def main() -> None:
    """Let the ways take turns, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--once", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.once, options.epochs)))
        return
    tracks = dataset.load_tracks()
    label = dataset.corpus_label(tracks["track"])
    print(f"{label}, repeated to {SEGMENTS:,} segments; {options.rounds} rounds in turn")
    extraction.extract_mfcc(tracks, augmentations=augmentation.AUGMENTATIONS)
    results = []
    for _ in range(options.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--once", way, "--epochs", str(options.epochs)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            results.append({"way": way} | json.loads(output.splitlines()[-1]))
            print("  {way:28} {seconds:6.1f} s an epoch".format(**results[-1]))
    results = pd.DataFrame(results)
    results["round"] = results.groupby("way").cumcount()
    seconds = results.pivot(index="round", columns="way", values="seconds")
    ratios = seconds.rdiv(seconds["plain model.fit, batch 64"], axis=0)
    print("\ntimes as fast as plain model.fit with batches of 64 (median, least, greatest):")
    for way in WAYS:
        one = results[results["way"] == way]
        print(
            f"  {way:28} {ratios[way].median():.2f} ({ratios[way].min():.2f} to "
            f"{ratios[way].max():.2f}), {one['megabytes'].max():5.0f} MB at most, loss in the "
            f"last epoch but one {one['loss'].iloc[0]:.6f}"
        )
    ours = ratios["training.fit, batch 64"]
    snapshots.record(
        "training_benchmark",
        corpus=label,
        split="none",
        seed=0,
        segments=SEGMENTS,
        epoch_seconds=seconds["training.fit, batch 64"].median(),
        plain_epoch_seconds=seconds["plain model.fit, batch 64"].median(),
        speed_ratio=ours.median(),
        slowest_ratio=ours.min(),
        fastest_ratio=ours.max(),
    )


if __name__ == "__main__":
    main()
