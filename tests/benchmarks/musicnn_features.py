"""Compute features of musicnn for each track: musicnn_features.py OUTPUT.npz FOLDER.

FOLDER has one folder per genre. ``make peers`` runs this in an environment of its own
(musicnn needs older packages), on one core. For both models, the output has the mean
over all patches of three layers, and the seconds that musicnn's function takes per
track. An interrupted run goes on. 493 tracks take half an hour.
"""

import contextlib
import io
import os
import sys
import time
from pathlib import Path

import numpy as np
from musicnn.extractor import extractor

LAYERS = ("mean_pool", "max_pool", "penultimate")


def features_of(path):
    """Compute the features of a track, by name of the array that gets them."""
    row = {"track": path.stem}
    for model in ("MTT_musicnn", "MSD_musicnn"):
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            _, _, layers = extractor(
                str(path), model=model, input_length=3, extract_features=True
            )
        row[f"{model}_seconds"] = time.process_time() - start
        for name in LAYERS:
            layer = np.asarray(layers[name])
            row[f"{model}_{name}"] = layer.reshape(-1, layer.shape[-1]).mean(axis=0)
    return row


def save(rows, output):
    """Write the rows of all tracks, as one array per name."""
    unfinished = output.with_suffix(".unfinished.npz")
    np.savez(unfinished, **{name: [row[name] for row in rows] for name in rows[0]})
    unfinished.replace(output)


def main():
    """Compute what is missing, and save it after every 20 tracks."""
    output, folder = map(Path, sys.argv[1:])
    output.parent.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    rows = []
    if output.exists():
        kept = dict(np.load(output))
        rows = [dict(zip(kept, values)) for values in zip(*kept.values())]
    done = {row["track"] for row in rows}
    for path in sorted(folder.glob("*/*")):
        if path.stem in done:
            continue
        try:
            rows.append(features_of(path))
        except Exception as error:
            print(f"left out: {path}: {error!r}", file=sys.stderr)
            continue
        if len(rows) % 20 == 0:
            save(rows, output)
    save(rows, output)


if __name__ == "__main__":
    main()
