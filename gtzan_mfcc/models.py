"""Build networks, as Keras models that are not compiled, and check what they predict.

`ann` and `cnn` are the study's networks. `statistics` and `mlp` are the two parts of a
better model; `average` joins them.
"""

from collections.abc import Sequence

import numpy as np

from gtzan_mfcc._keras import keras
from gtzan_mfcc._util import UserError


class ModelError(UserError, ValueError):
    """Raised if a model cannot be used; the message says why and what to do."""


def ann(
    n_features: int = 57,
    n_genres: int = 10,
    *,
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
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
    mean, variance : array [shape=(n_features,)], optional
        Mean and variance of each feature in the training set. With both, the first
        layer of the model standardises the features.
    seed : int
        Seed of weights and dropout; sets the global seed of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, n_features) to (batch, n_genres) probabilities; not compiled.

    Raises
    ------
    ValueError
        If only one of `mean` and `variance` is given.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this model.

    Examples
    --------
    >>> ann(n_features=57, n_genres=10).count_params()
    56650
    """
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((n_features,))], name="ann")
    if mean is not None or variance is not None:
        model.add(_standardise(mean, variance))
    return _classify(model, (256, 128, 64), n_genres)


def cnn(
    frames: int = 130,
    n_mfcc: int = 13,
    n_genres: int = 10,
    *,
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
    seed: int = 0,
) -> keras.Model:
    """Build the study's convolutional network on the MFCCs of a segment.

    Two blocks of convolution, max pooling and batch normalisation, two dense layers
    with dropout, softmax: 1,137,162 parameters with the default sizes.

    Parameters
    ----------
    frames : int
        MFCC frames of a segment.
    n_mfcc : int
        Coefficients of a frame.
    n_genres : int
        Number of genres.
    mean, variance : array [shape=(n_mfcc,)], optional
        Mean and variance of each coefficient in the training set. With both, the first
        layer of the model standardises the MFCCs; the study's CNN has no such layer.
    seed : int
        Seed of weights and dropout; sets the global seed of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, frames, n_mfcc), with or without a last axis of 1, to
        (batch, n_genres) probabilities; not compiled.

    Raises
    ------
    ValueError
        If only one of `mean` and `variance` is given.

    See Also
    --------
    Notebook ``4_cnn_training`` introduces this model.

    Examples
    --------
    >>> cnn().count_params()
    1137162
    >>> cnn(frames=259, n_mfcc=20, n_genres=3).output_shape
    (None, 3)
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential([keras.Input((frames, n_mfcc, 1))], name="cnn")
    if mean is not None or variance is not None:
        # The coefficients last: Keras before 3.14 takes no other axis.
        model.add(layers.Reshape((frames, n_mfcc)))
        model.add(_standardise(mean, variance))
        model.add(layers.Reshape((frames, n_mfcc, 1)))
    # The user may have set channels_first as Keras's default.
    order = "channels_last"
    for filters, size in ((32, 5), (64, 3)):
        model.add(layers.Conv2D(filters, size, activation="relu", data_format=order))
        model.add(layers.MaxPooling2D(2, data_format=order))
        model.add(layers.BatchNormalization())
    model.add(layers.Flatten(data_format=order))
    return _classify(model, (512, 256), n_genres)


def statistics(
    frames: int = 130,
    n_mfcc: int = 20,
    *,
    mean: Sequence[float],
    variance: Sequence[float],
) -> keras.Model:
    """Build a model without weights that computes statistics of the MFCCs of a segment.

    The statistics are the mean and standard deviation over time of the MFCCs and of
    their changes from frame to frame, and the correlations of the first 20
    coefficients. The mean of the first coefficient, which is the level of the
    recording, is left out, so the volume has no effect.

    Parameters
    ----------
    frames : int
        MFCC frames of a segment.
    n_mfcc : int
        Coefficients of a frame.
    mean, variance : array [shape=(n_mfcc,)]
        Mean and variance of each coefficient in the training set, to standardise the
        input.

    Returns
    -------
    model : keras.Model
        From (batch, frames, n_mfcc) to (batch, n_statistics); the first ``n_mfcc - 1``
        are means.

    See Also
    --------
    Notebook ``6_leakage`` introduces this model.

    Examples
    --------
    >>> statistics(130, 3, mean=[0, 0, 0], variance=[1, 1, 1]).output_shape
    (None, 14)
    """
    mfcc = keras.Input((frames, n_mfcc))
    x = _standardise(mean, variance)(mfcc)
    change = x[:, 1:] - x[:, :-1]
    together = [_moments(x)[:, 1:], _moments(change), _correlations(x[:, :, :20])]
    return keras.Model(mfcc, keras.layers.Concatenate()(together), name="statistics")


def mlp(
    n_statistics: int,
    n_means: int = 19,
    n_genres: int = 10,
    *,
    noise: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Build a multilayer perceptron on the output of `statistics`.

    Two dense layers and a softmax. In training, Gaussian noise is added to the means:
    an augmentation, which simulates other equaliser settings.

    Parameters
    ----------
    n_statistics : int
        Number of statistics.
    n_means : int
        Number of means of MFCCs, which come first.
    n_genres : int
        Number of genres.
    noise : float
        Standard deviation of the noise, at most 1; 0 for none.
    seed : int
        Seed of weights, dropout and noise; sets the global seed of Keras and NumPy.

    Returns
    -------
    model : keras.Model
        From (batch, n_statistics) to (batch, n_genres) probabilities; not compiled.

    See Also
    --------
    Notebook ``6_leakage`` introduces this model.

    Examples
    --------
    >>> mlp(n_statistics=269, n_genres=4).output_shape
    (None, 4)
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    regularizer = keras.regularizers.L2(3e-3)
    statistics = keras.Input((n_statistics,))
    means = layers.GaussianNoise(noise)(statistics[:, :n_means])
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

    Examples
    --------
    >>> first = statistics(130, 3, mean=[0, 0, 0], variance=[1, 1, 1])
    >>> members = [mlp(14, n_means=2, n_genres=4, seed=seed) for seed in range(3)]
    >>> average(first, members).output_shape
    (None, 4)
    """
    probabilities = []
    for member in members:
        # Leave out the optimiser, which is twice as large as the weights.
        plain = keras.Model(member.inputs[0], member.outputs[0], name=member.name)
        probabilities.append(plain(statistics.output))
    return keras.Model(statistics.input, keras.layers.Average()(probabilities))


def check_probabilities(probabilities: np.ndarray, n_genres: int) -> None:
    """Raise an error if the output of a network is not one probability per genre.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_genres)]
        The output of a network.
    n_genres : int
        Number of genres.

    Raises
    ------
    ModelError
        If the shape is another one, or if a row is not a probability distribution.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> check_probabilities(np.array([[0.2, 0.8], [0.5, 0.5]]), n_genres=2)
    """
    if (
        probabilities.shape[1:] != (n_genres,)
        or (probabilities < 0).any()
        or not np.allclose(probabilities.sum(axis=1), 1, atol=0.01)
    ):
        raise ModelError(
            f"the output of the network, of shape {probabilities.shape}, is not one "
            f"probability for each of {n_genres} genres; it should end in a Dense "
            f"layer of {n_genres} units with softmax."
        )


def _standardise(mean, variance):
    # Lists of numbers can be saved as plain JSON; arrays cannot.
    return keras.layers.Normalization(
        mean=np.asarray(mean).tolist(), variance=np.asarray(variance).tolist()
    )


def _classify(model, sizes, n_genres):
    """Add dense layers of these sizes, each with dropout, and a softmax layer."""
    for units in sizes:
        model.add(keras.layers.Dense(units, activation="relu"))
        model.add(keras.layers.Dropout(0.5))
    model.add(keras.layers.Dense(n_genres, activation="softmax"))
    return model


def _moments(x):
    """Compute means and standard deviations over time: (batch, n, k) to (batch, 2k)."""
    mean, variance = keras.ops.moments(x, axes=1)
    return keras.ops.concatenate([mean, keras.ops.sqrt(variance + 1e-5)], axis=-1)


def _correlations(x):
    """Compute the correlation over time of each pair of channels."""
    ops = keras.ops
    n = x.shape[2]
    x = x - ops.mean(x, axis=1, keepdims=True)
    x = x / ops.sqrt(ops.sum(ops.square(x), axis=1, keepdims=True) + 1e-2)
    matrix = ops.matmul(ops.transpose(x, (0, 2, 1)), x)
    # Take what is above the diagonal: the flattened matrix has it at row * n + column.
    row, column = np.triu_indices(n, 1)
    return ops.take(ops.reshape(matrix, (-1, n * n)), row * n + column, axis=1)
