"""The study's networks and a stronger one, as uncompiled Keras models."""

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
        model.add(_standardise(mean, variance))
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


def statistics_mlp(
    frames: int = 130,
    n_mfcc: int = 20,
    n_genres: int = 10,
    *,
    mean: np.ndarray,
    variance: np.ndarray,
    seed: int = 0,
) -> keras.Model:
    """Build a multilayer perceptron on statistics of the MFCCs of a segment.

    The statistics are the mean and standard deviation over time of the MFCCs and of their
    changes, and the correlations of the first 20 coefficients. Two dense layers and a softmax
    follow. In training, `RandomShift` moves each coefficient of a segment.

    Parameters
    ----------
    frames : int
        MFCC frames of a segment.
    n_mfcc : int
        Coefficients of a frame.
    n_genres : int
        Number of genres.
    mean, variance : np.ndarray [shape=(n_mfcc,)]
        Of each coefficient in the training part; the model standardises its input itself.
    seed : int
        Seed of weights and dropout; set for all of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, frames, n_mfcc) to (batch, n_genres) probabilities; not compiled.

    See Also
    --------
    Notebook ``6_leakage`` introduces this model.
    """
    keras.utils.set_random_seed(seed)
    layers, regularizer = keras.layers, keras.regularizers.L2(3e-3)
    mfcc = keras.Input((frames, n_mfcc))
    x = _standardise(mean, variance)(mfcc)
    x = RandomShift(0.3)(x)
    change = x[:, 1:] - x[:, :-1]
    x = layers.Concatenate()([_moments(x), _moments(change), _correlations(x[:, :, :20])])
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Dropout(0.2)(x)
    for units in (256, 128):
        x = layers.Dense(units, activation="relu", kernel_regularizer=regularizer)(x)
        x = layers.Dropout(0.3)(x)
    genres = layers.Dense(n_genres, activation="softmax")(x)
    return keras.Model(mfcc, genres, name="statistics_mlp")


def average(models: list[keras.Model]) -> keras.Model:
    """Join trained models to one that gives the mean of their probabilities.

    Parameters
    ----------
    models : list of keras.Model
        With the same input and output.

    Returns
    -------
    model : keras.Model

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    mfcc = keras.Input(models[0].input_shape[1:])
    # Layers of one model need different names, and the models may have the same.
    members = [
        keras.Model(model.input, model.output, name=f"member_{number}")
        for number, model in enumerate(models)
    ]
    return keras.Model(mfcc, keras.layers.Average()([member(mfcc) for member in members]))


def _standardise(mean: np.ndarray, variance: np.ndarray) -> keras.layers.Normalization:
    # Lists, so that the saved model holds them as plain JSON.
    return keras.layers.Normalization(
        mean=list(map(float, mean)), variance=list(map(float, variance))
    )


def _moments(x: keras.KerasTensor) -> keras.KerasTensor:
    """Mean and standard deviation over time: (batch, frames, n) to (batch, 2 n)."""
    mean, variance = keras.ops.moments(x, axes=1)
    return keras.ops.concatenate([mean, keras.ops.sqrt(variance + 1e-5)], axis=-1)


def _correlations(x: keras.KerasTensor) -> keras.KerasTensor:
    """Correlation over time of each pair of n channels: to (batch, n (n - 1) / 2)."""
    ops, n = keras.ops, x.shape[2]
    x = x - ops.mean(x, axis=1, keepdims=True)
    x = x / ops.sqrt(ops.sum(ops.square(x), axis=1, keepdims=True) + 1e-2)
    products = ops.reshape(ops.matmul(ops.transpose(x, (0, 2, 1)), x), (-1, n * n))
    first, second = np.triu_indices(n, 1)
    return ops.take(products, first * n + second, axis=1)


@keras.saving.register_keras_serializable(package="gtzan_mfcc")
class RandomShift(keras.layers.Layer):
    """Shift each coefficient of a whole segment at random, in training alone.

    On MFCCs, that is another loudness and another equaliser.
    """

    def __init__(self, stddev: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.stddev = stddev
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Shift."""
        if not training:
            return x
        shape = (keras.ops.shape(x)[0], 1, x.shape[2])
        return x + keras.random.normal(shape, stddev=self.stddev, seed=self.seed_generator)

    def get_config(self) -> dict:
        """Give what the layer was made with."""
        return {**super().get_config(), "stddev": self.stddev}
