"""Test a published model on our folds: the CNN on mel spectrograms of gtzan.keras.

``make peers`` trains it in five folds with artists apart. A fifth of the artists in
training is for early stopping. The study's CNN, the SVM and the MLP are trained on the
same folds. On 493 tracks and two cores it takes about two hours.

The model is that of https://github.com/Hguimaraes/gtzan.keras: windows of 1.5 s, 128
mel bands in dB, five blocks of convolution. Not used here: its overlapping windows, and
the augmentation (mirrored, with stripes) in one of its notebooks.
"""

import warnings

import librosa
import numpy as np
import pandas as pd

from gtzan_mfcc import (
    audio,
    dataset,
    extraction,
    features,
    metrics,
    models,
    notebook,
    splits,
    training,
    validation,
)
from gtzan_mfcc._keras import keras

WINDOW = 33_000  # samples, of 22,050 in a second
SEED = 0


def mel_spectrograms(tracks):
    """Compute the input of the peer for windows of all tracks: (n, bands, frames)."""
    spectrograms = []
    counts = []
    for path in tracks["path"]:
        y = audio.load(path)
        windows = y[: len(y) // WINDOW * WINDOW].reshape(-1, WINDOW)
        mel = librosa.feature.melspectrogram(
            y=windows, sr=audio.SAMPLE_RATE, n_fft=1024, hop_length=256, n_mels=128
        )
        spectrograms += [librosa.power_to_db(each, ref=np.max) for each in mel]
        counts.append(len(windows))
    table = tracks.iloc[np.repeat(np.arange(len(tracks)), counts)]
    return extraction.Segments(np.float32(spectrograms), table)


def mel_cnn(bands, frames, n_genres, *, seed):
    """Build the peer's network."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    l2 = keras.regularizers.L2(0.02)
    model = keras.Sequential([keras.Input((bands, frames, 1))])
    for filters in (16, 32, 64, 128, 256):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D(2))
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(512, activation="relu", kernel_regularizer=l2))
    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(n_genres, activation="softmax"))
    return model


def fit_mel_cnn(segments, *, seed):
    """Train it; stop if the loss on a fifth of the artists does not fall any more."""
    rows, validation_rows = splits.split(segments.table, "artist", seed=seed)
    train = segments.select(rows)
    stop = segments.select(validation_rows)
    model = mel_cnn(*train.x.shape[1:], len(train.genres), seed=seed)
    history = training.fit(
        model,
        train.x,
        train.labels,
        validation=(stop.x, stop.labels),
        epochs=60,
        seed=seed,
    )
    print(f"  best epoch {history['val_loss'].idxmin()} of {len(history)}", flush=True)
    return model


def main():
    """Train all models, fold by fold, and record the numbers."""
    warnings.filterwarnings("ignore", message=".*used for training only")
    tracks = dataset.load_tracks(notebook.corpus_folder())
    corpus = dataset.corpus_label(tracks)
    segments = extraction.extract_mfcc(
        tracks, features.Settings(n_mfcc=20), cache=notebook.cache_dir()
    )
    thirteen = extraction.Segments(segments.x[:, :, :13], segments.table)
    contenders = {
        "mel_cnn": (fit_mel_cnn, mel_spectrograms(tracks)),
        "cnn": (training.fit_network, thirteen),
        "svm": (training.fit_svm, thirteen),
        "mlp": (training.fit_statistics_mlp, segments),
    }
    folds = splits.folds(thirteen.table, "artist", seed=SEED)
    of_folds = {name: [] for name in contenders}
    seconds = pd.DataFrame(columns=[*contenders], dtype=float)
    for number, (_, test) in enumerate(folds):
        # The same tracks for models with other segments.
        tracks_of_fold = thirteen.table["track"].iloc[test].unique()
        for name, (fit_model, each) in contenders.items():
            tested = each.table["track"].isin(tracks_of_fold).to_numpy()
            fold = np.flatnonzero(~tested), np.flatnonzero(tested)
            predicted = validation.cross_validate(
                fit_model, each, [fold], seed=SEED, progress=False
            )
            of_folds[name].append(predicted)
            seconds.loc[number, name] = predicted.runs["fit_seconds"][0]
        print(seconds, flush=True)
    predictions = {name: metrics.concatenate(each) for name, each in of_folds.items()}
    for name, each in predictions.items():
        score = metrics.scores(each, by="artist")
        gain, low, high = metrics.paired_interval(predictions["svm"], each, by="artist")
        notebook.record(
            f"peers_{name}",
            corpus=corpus,
            split="artist, 5 folds",
            seed=SEED,
            **score,
            svm_gain=gain,
            svm_gain_interval=(low, high),
            fit_seconds=seconds[name].mean(),
            training_ratio=(seconds[name] / seconds["mlp"]).median(),
        )
    mlp = training.fit_statistics_mlp(segments.select(np.arange(99)), epochs=1)
    notebook.record(
        "peers_parameters",
        corpus=corpus,
        split="none",
        seed=SEED,
        mel_cnn=mel_cnn(128, 129, 10, seed=SEED).count_params(),
        cnn=models.cnn().count_params(),
        mlp=mlp.count_params(),
    )


if __name__ == "__main__":
    main()
