"""The study's networks and a better one, as Keras models that are not compiled."""

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
        Mean and variance of each feature in the training part. With them, the first layer of the
        model standardises the features.
    seed : int
        Seed of weights and dropout; sets the global seed of Keras and NumPy.

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
    if mean is not None:  # Lists are saved as plain JSON.
        model.add(keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist()))
    return _classify(model, (256, 128, 64), n_genres)


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
        Seed of weights and dropout; sets the global seed of Keras and NumPy.

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
    model = keras.Sequential([keras.Input((frames, n_mfcc, 1))], name="cnn")
    for filters, size in ((32, 5), (64, 3)):
        model.add(keras.layers.Conv2D(filters, size, activation="relu"))
        model.add(keras.layers.MaxPooling2D(2))
        model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Flatten())
    return _classify(model, (512, 256), n_genres)


def statistics(
    frames: int = 130, n_mfcc: int = 20, *, mean: np.ndarray, variance: np.ndarray
) -> keras.Model:
    """Build a model without weights that computes statistics of the MFCCs of a segment over time.

    The statistics are the mean and standard deviation of the MFCCs and of their changes from frame
    to frame, and the correlations of the first 20 coefficients. The mean of the first coefficient,
    which is the level of the recording, is left out, so the volume has no effect.

    Parameters
    ----------
    frames : int
        MFCC frames of a segment.
    n_mfcc : int
        Coefficients of a frame.
    mean, variance : np.ndarray [shape=(n_mfcc,)]
        Mean and variance of each coefficient in the training part, to standardise the input.

    Returns
    -------
    model : keras.Model
        From (batch, frames, n_mfcc) to (batch, n_statistics); the first ``n_mfcc - 1`` are means.

    See Also
    --------
    Notebook ``6_leakage`` introduces this model.
    """
    mfcc = keras.Input((frames, n_mfcc))
    x = keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist())(mfcc)
    change = x[:, 1:] - x[:, :-1]
    together = [_moments(x)[:, 1:], _moments(change), _correlations(x[:, :, :20])]
    return keras.Model(mfcc, keras.layers.Concatenate()(together), name="statistics")


def mlp(n_statistics: int, n_means: int = 19, n_genres: int = 10, *, seed: int = 0) -> keras.Model:
    """Build a multilayer perceptron on the output of `statistics`.

    Two dense layers and a softmax. In training, Gaussian noise is added to the means, which
    simulates other equaliser settings.

    Parameters
    ----------
    n_statistics : int
        Number of statistics.
    n_means : int
        Number of means of MFCCs, which come first.
    n_genres : int
        Number of genres.
    seed : int
        Seed of weights, dropout and noise; sets the global seed of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, n_statistics) to (batch, n_genres) probabilities; not compiled.

    See Also
    --------
    Notebook ``6_leakage`` introduces this model.
    """
    keras.utils.set_random_seed(seed)
    layers, regularizer = keras.layers, keras.regularizers.L2(3e-3)
    statistics = keras.Input((n_statistics,))
    means = layers.GaussianNoise(0.3)(statistics[:, :n_means])
    x = layers.Concatenate()([means, statistics[:, n_means:]])
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Dropout(0.2)(x)
    for units in (256, 128):
        x = layers.Dense(units, activation="relu", kernel_regularizer=regularizer)(x)
        x = layers.Dropout(0.3)(x)
    genres = layers.Dense(n_genres, activation="softmax")(x)
    return keras.Model(statistics, genres, name=f"mlp_{seed}")


def average(statistics: keras.Model, members: list[keras.Model]) -> keras.Model:
    """Combine trained models into one, whose output is the mean of their probabilities.

    Parameters
    ----------
    statistics : keras.Model
        The model whose output is the input of all members.
    members : list of keras.Model
        Models with the same input and output shapes, and different names.

    Returns
    -------
    model : keras.Model
        From the input of `statistics` to the mean probabilities.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    # Leave out the optimisers, which are twice as large as the weights.
    plain = [keras.Model(each.inputs[0], each.outputs[0], name=each.name) for each in members]
    probabilities = [member(statistics.output) for member in plain]
    return keras.Model(statistics.input, keras.layers.Average()(probabilities))


def _classify(model: keras.Model, sizes: tuple[int, ...], n_genres: int) -> keras.Model:
    """Add dense layers of these sizes, each with dropout, and a softmax layer of the genres."""
    for units in sizes:
        model.add(keras.layers.Dense(units, activation="relu"))
        model.add(keras.layers.Dropout(0.5))
    model.add(keras.layers.Dense(n_genres, activation="softmax"))
    return model


def _moments(x: keras.KerasTensor) -> keras.KerasTensor:
    """Compute mean and standard deviation over time: (batch, frames, n) to (batch, 2 n)."""
    mean, variance = keras.ops.moments(x, axes=1)
    return keras.ops.concatenate([mean, keras.ops.sqrt(variance + 1e-5)], axis=-1)


def _correlations(x: keras.KerasTensor) -> keras.KerasTensor:
    """Compute the correlation of each pair of n channels over time: to (batch, n (n - 1) / 2)."""
    ops, n = keras.ops, x.shape[2]
    x = x - ops.mean(x, axis=1, keepdims=True)
    x = x / ops.sqrt(ops.sum(ops.square(x), axis=1, keepdims=True) + 1e-2)
    products = ops.reshape(ops.matmul(ops.transpose(x, (0, 2, 1)), x), (-1, n * n))
    first, second = np.triu_indices(n, 1)
    return ops.take(products, first * n + second, axis=1)
