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

from gtzan_mfcc import augmentation, dataset, extraction, models, notebook, training
from gtzan_mfcc._keras import keras

SEGMENTS = 39_944
PLAIN = "plain model.fit, batch 64"
OURS = "as training.fit does, batch 64"
WAYS = {
    PLAIN: {},
    OURS: {"steps_per_execution": training._STEPS_AT_ONCE},
    "plain model.fit, batch 256": {"batch_size": 256},
    "tf.data, batch 64": {"tf_data": True},
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
        dataset.load_tracks(), augmentations=augmentation.STUDY, progress=False
    )
    rows = np.arange(SEGMENTS) % len(segments)
    x, labels = segments.mfcc[rows], segments.labels[rows]
    model = models.cnn(*x.shape[1:], len(segments.genres), seed=0)
    times, settings = EpochTimes(), dict(WAYS[way])
    batch_size = settings.pop("batch_size", 64)
    data = {"x": x, "y": labels, "batch_size": batch_size}
    if settings.pop("tf_data", False):
        import tensorflow as tf

        pairs = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(SEGMENTS)
        data = {"x": pairs.batch(batch_size).prefetch(tf.data.AUTOTUNE), "shuffle": False}
    keras.utils.set_random_seed(0)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"], **settings)
    losses = model.fit(**data, epochs=1 + epochs, verbose=0, callbacks=[times]).history["loss"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"seconds": min(times.seconds), "megabytes": peak, "loss": losses[-1]}


def main() -> None:
    """Let the ways take turns, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--once", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.once, options.epochs)))
        return
    tracks = dataset.load_tracks()
    label = dataset.corpus_label(tracks["track"])
    print(f"{label}, repeated to {SEGMENTS:,} segments; {options.rounds} rounds in turn")
    extraction.extract_mfcc(tracks, augmentations=augmentation.STUDY)
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
    ratios = seconds.rdiv(seconds[PLAIN], axis=0)
    print("\ntimes as fast as plain model.fit with batches of 64 (median, least, greatest):")
    for way in WAYS:
        one = results[results["way"] == way]
        print(
            f"  {way:28} {ratios[way].median():.2f} ({ratios[way].min():.2f} to "
            f"{ratios[way].max():.2f}), {one['megabytes'].max():5.0f} MB at most, last loss "
            f"{one['loss'].iloc[0]:.6f}"
        )
    ours = ratios[OURS]
    notebook.record(
        "training_benchmark",
        corpus=label,
        split="none",
        seed=0,
        segments=SEGMENTS,
        epoch_seconds=seconds[OURS].median(),
        plain_epoch_seconds=seconds[PLAIN].median(),
        speed_ratio=ours.median(),
        slowest_ratio=ours.min(),
        fastest_ratio=ours.max(),
    )


if __name__ == "__main__":
    main()
