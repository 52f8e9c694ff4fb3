"""The study's networks, as uncompiled Keras models."""

import numpy as np

from gtzan_mfcc._keras import keras


def ann(
    n_features: int = 57,
    n_genres: int = 10,
    *,
    mean: np.ndarray | None = None,
    variance: np.ndarray | None = None,
    seed: int = 0,
) -> keras.Model:
    """Build the study's dense network on the 57 features.

    Dense layers of 256, 128 and 64 units with ReLU, dropout of 0.5 after each, softmax.

    Parameters
    ----------
    n_features : int
        Number of feature columns.
    n_genres : int
        Number of genres.
    mean, variance : np.ndarray [shape=(n_features,)], optional
        Of each feature in the training part. With them the model standardises its input
        itself, and takes features as they are.
    seed : int
        Seed of weights and dropout; set for all of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, n_features) to (batch, n_genres) probabilities; not compiled.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this model.
    """
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((n_features,))], name="ann")
    if mean is not None:
        # Lists, so that the saved model holds them as plain JSON.
        model.add(
            keras.layers.Normalization(
                mean=list(map(float, mean)), variance=list(map(float, variance))
            )
        )
    for units in (256, 128, 64):
        model.add(keras.layers.Dense(units, activation="relu"))
        model.add(keras.layers.Dropout(0.5))
    model.add(keras.layers.Dense(n_genres, activation="softmax"))
    return model


def cnn(frames: int = 130, n_mfcc: int = 13, n_genres: int = 10, *, seed: int = 0) -> keras.Model:
    """Build the study's convolutional network on the MFCCs of a segment.

    Two blocks of convolution, max pooling and batch normalisation, two dense layers with
    dropout, softmax: 1,137,162 parameters with the default sizes.

    Parameters
    ----------
    frames : int
        MFCC frames of a segment.
    n_mfcc : int
        Coefficients of a frame.
    n_genres : int
        Number of genres.
    seed : int
        Seed of weights and dropout; set for all of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, frames, n_mfcc), with or without a last axis of 1, to
        (batch, n_genres) probabilities; not compiled.

    See Also
    --------
    Notebook ``4_cnn_training`` introduces this model.
    """
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((frames, n_mfcc, 1)),
            keras.layers.Conv2D(32, 5, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(n_genres, activation="softmax"),
        ],
        name="cnn",
    )
