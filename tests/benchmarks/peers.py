"""Compare features and classifiers on artist-disjoint and on fault-filtered folds.

``make peers`` computes the features of musicnn and calls this with their file. Each
classifier gets one row per track, standardised, and its defaults, but for C=10 of the
SVM; nothing is chosen for one kind of features. Whole models on segments are tested on
the same folds. With 493 tracks and two cores it takes about an hour, and goes on where
it stopped. ``snapshots/peers.csv`` gets what each predicts.
"""

import re
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gtzan_mfcc import (
    augmentation,
    dataset,
    extraction,
    features,
    metrics,
    models,
    notebook,
    training,
    validation,
)

SEEDS = [0, 1, 2]
TWENTY = features.Settings(n_mfcc=20)
CLASSIFIERS = {
    "5 nearest neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    "logistic regression": make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=5000)
    ),
    "SVM": make_pipeline(StandardScaler(), SVC(C=10)),
    "study's ANN": partial(  # for 100 of its 350 epochs
        training.fit_network,
        network=models.ann,
        standardise=True,
        epochs=100,
        learning_rate=2e-3,
    ),
}
PAIRS = [
    ("SVM, musicnn MSD", "SVM, musicnn MTT"),
    ("SVM, musicnn MTT", "SVM, 39 statistics"),
    ("SVM, musicnn MTT", "SVM, 269 statistics"),
    ("SVM, musicnn MTT", "SVM, 57 features"),
    ("SVM, 39 statistics", "SVM, 57 features"),
    ("SVM, 269 statistics", "SVM, 57 features"),
    ("SVM, musicnn MSD", "robust MLP"),
    ("SVM, musicnn MTT", "robust MLP"),
]


def table_features(tracks, **settings):
    """Compute the 57 features, one row per track."""
    table, _ = extraction.extract_features(tracks, whole_tracks=True, **settings)
    names = table["filename"].str.removesuffix(".wav")
    return table[features.FEATURE_NAMES].set_axis(names)


def mfcc_statistics(segments, model):
    """Compute the statistics of 13 and of 20 MFCCs, and their means by track."""
    of_segments = {
        "39 statistics": features.mfcc_statistics(segments.x[:, :, :13]),
        "269 statistics": model.predict(segments.x, verbose=0),
    }
    track = segments.table["track"].to_numpy()
    return {
        kind: pd.DataFrame(x).groupby(track).mean() for kind, x in of_segments.items()
    }


def musicnn_features(arrays):
    """Return the features in the file of musicnn_features.py, all layers and the last.

    MTT was trained on MagnaTagATune, and MSD on the Million Song Dataset.
    """
    kinds = {}
    for name in ("MTT", "MSD"):
        layers = [
            pd.DataFrame(arrays[f"{name}_musicnn_{layer}"], arrays["track"])
            for layer in ("mean_pool", "max_pool", "penultimate")
        ]
        kinds[f"musicnn {name}"] = pd.concat(layers, axis=1)
        kinds[f"musicnn {name}, last layer"] = layers[-1]
    return kinds


def core_seconds(compute, tracks):
    """Measure the median time of a processor core for one of 20 tracks."""
    times = []
    for k in np.linspace(0, len(tracks) - 1, 20, dtype=int):
        start = time.process_time()
        compute(tracks.iloc[[k]])
        times.append(time.process_time() - start)
    return np.median(times)


def key(name):
    """Name an entry of results.json after a contender."""
    return re.sub("[^a-z0-9]+", "_", name.lower())


def predicted_genres(predictions):
    """Return the genre that each track gets, by split, seed and track."""
    columns = {}
    for split, each in predictions.items():
        votes = metrics.track_vote(each)
        rows = [votes.runs["seed"], votes.table["track"]]
        columns[split] = votes.predicted.set_axis(rows)
    return pd.concat(columns, names=["split"])


def write_csv(name, columns):
    """Write predicted genres, a column per contender, beside the other results."""
    pd.DataFrame(columns).to_csv(notebook._snapshots_dir() / f"{name}.csv")


def record(name, card, tracks, seeds):
    """Record the scores of a report card."""
    numbers = {}
    for split, row in card.rename({"artist": "track"}).iterrows():
        numbers[f"{split}_accuracy"] = row["track_accuracy"]
        numbers[f"{split}_interval"] = [row["track_low"], row["track_high"]]
    notebook.record(
        f"peers_{key(name)}",
        corpus=dataset.corpus_label(tracks),
        split=f"{' and '.join(card.index)}, 5 folds, seeds {seeds}",
        seed=seeds[0],
        **numbers,
        least_and_greatest=[*card.loc["artist", ["least", "greatest"]]],
        balanced_accuracy=card.loc["artist", "balanced_accuracy"],
    )


def main(file):
    """Train and test all contenders; write what they predict, and their scores."""
    cache = notebook.cache_dir()
    tracks = dataset.load_tracks(notebook.corpus_folder())
    segments = extraction.extract_mfcc(tracks, TWENTY, cache=cache)
    copies = extraction.extract_mfcc(
        tracks, TWENTY, augmentations=augmentation.ROBUST, cache=cache
    )
    tracks = tracks[tracks["track"].isin(segments.table["track"])]
    thirteen = extraction.Segments(segments.x[:, :, :13], segments.table)
    contenders = {
        "CNN": (training.fit_network, thirteen),
        "SVM": (training.fit_svm, thirteen),
        "MLP": (training.fit_statistics_mlp, segments),
        "robust MLP": (training.fit_statistics_mlp, copies),
    }
    # Mean and variance of the MFCCs of all tracks; genres are not involved.
    mean = segments.x.mean(axis=(0, 1), dtype=float)
    variance = segments.x.var(axis=(0, 1), dtype=float)
    model = models.statistics(*segments.x.shape[1:], mean=mean, variance=variance)
    arrays = np.load(file)
    kinds = {"57 features": table_features(tracks, cache=cache)}
    kinds |= mfcc_statistics(segments, model)
    kinds |= musicnn_features(arrays)
    for kind, table in kinds.items():
        rows = extraction.Segments(table.loc[tracks["track"]].to_numpy(), tracks)
        for name, classifier in CLASSIFIERS.items():
            contenders[f"{name}, {kind}"] = (classifier, rows)

    columns = {}
    of_artists = {}
    for name, (recipe, rows) in contenders.items():
        card, predictions = validation.report_card(
            recipe, rows, by=["artist", "fault_filtered"], seeds=SEEDS, cache=cache
        )
        columns[name] = predicted_genres(predictions)
        of_artists[name] = predictions["artist"]
        record(name, card, tracks, SEEDS)
    write_csv("peers", columns)

    def mfccs(one):
        each = extraction.extract_mfcc(one, TWENTY, n_jobs=1, progress=False)
        return mfcc_statistics(each, model)

    table_of = partial(table_features, n_jobs=1, progress=False)
    seconds = dict.fromkeys(kinds, core_seconds(mfccs, tracks))
    seconds["57 features"] = core_seconds(table_of, tracks)
    for kind in kinds:
        if kind.startswith("musicnn"):
            seconds[kind] = np.median(arrays[f"{kind[8:11]}_musicnn_seconds"])
    seconds = {f"{key(kind)}_seconds": value for kind, value in seconds.items()}
    about = {"corpus": dataset.corpus_label(tracks), "seed": SEEDS[0]}
    notebook.record("peers_core_seconds", **about, split="none", **seconds)
    differences = {}
    for pair in PAIRS:
        ours, theirs = (of_artists[name] for name in pair)
        name = key("_minus_".join(pair))
        differences[name] = metrics.paired_interval(ours, theirs, by="artist")
    split = f"artist, 5 folds, seeds {SEEDS}"
    notebook.record("peers_differences", **about, split=split, **differences)


if __name__ == "__main__":
    main(sys.argv[1])
