"""Test a published network on our folds: the CNN on mel spectrograms of gtzan.keras.

``make mel-cnn`` trains it in five artist-disjoint folds, for three seeds. A fifth of
the artists in training is for early stopping. With 493 tracks and two cores a seed
takes more than an hour; an interrupted run goes on. ``snapshots/peers_mel_cnn.csv``
gets what it predicts, seed by seed; its rows are as those of ``peers.csv``.

The model is that of https://github.com/Hguimaraes/gtzan.keras: windows of 1.5 s, 128
mel bands in dB, five blocks of convolution. Not used here: its overlapping windows, and
the augmentation (mirrored, with stripes) in one of its notebooks.
"""

import librosa
import numpy as np
from peers import predicted_genres, record, write_csv

from gtzan_mfcc import (
    audio,
    dataset,
    extraction,
    notebook,
    splits,
    training,
    validation,
)
from gtzan_mfcc._keras import keras

WINDOW = 33_000  # samples, of 22,050 in a second


def mel_spectrograms(tracks):
    """Compute the input of the network for all windows: (n, bands, frames)."""
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
    """Build the network."""
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
        cache=notebook.cache_dir(),
    )
    print(f"  best epoch {history['val_loss'].idxmin()} of {len(history)}", flush=True)
    return model


def main():
    """Train seed by seed; after each, write what all seeds so far predict."""
    tracks = dataset.load_tracks(notebook.corpus_folder())
    segments = mel_spectrograms(tracks)
    for seeds in ([0], [0, 1], [0, 1, 2]):
        # What was trained before is read from the cache.
        card, predictions = validation.report_card(
            fit_mel_cnn, segments, by="artist", seeds=seeds
        )
        record("mel CNN", card, tracks, seeds)
        write_csv("peers_mel_cnn", {"mel CNN": predicted_genres(predictions)})


if __name__ == "__main__":
    main()
