"""Train models: `fit` for any network, and a function for each model of the project."""

import inspect
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from gtzan_mfcc import features, models
from gtzan_mfcc._cache import kept_arrays
from gtzan_mfcc._identity import code_of_modules, digest
from gtzan_mfcc._keras import keras, keras_versions
from gtzan_mfcc.extraction import Segments

# Layers without code or state of others.
_PLAIN = {
    keras.layers.BatchNormalization,
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Normalization,
}


def fit(
    model: keras.Model,
    x: np.ndarray,
    labels: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    epochs: int = 50,
    batch_size: int = 64,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
    patience: int | None = 5,
    sample_weight: np.ndarray | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Compile and train a classifier with Adam, by default as the study trains its CNN.

    Parameters
    ----------
    model : keras.Model
        Such as from `gtzan_mfcc.models`; trained in place.
    x : np.ndarray [shape=(n, ...)]
        Training input.
    labels : np.ndarray [shape=(n,), dtype=int]
        Genre of each row as an index.
    validation : tuple of np.ndarray, optional
        Input and labels for the validation after each epoch.
    epochs : int
        Maximum number of epochs.
    batch_size : int
        Number of rows per step.
    learning_rate : float or Keras schedule
        Learning rate of Adam.
    patience : int, optional
        Stop if the validation loss has not fallen for this number of epochs, and
        restore the weights of the best epoch. With None, or without `validation`, all
        epochs are run.
    sample_weight : np.ndarray [shape=(n,)], optional
        Weight of each row in the loss; equal by default.
    seed : int
        Seed of the shuffle.
    cache : str or Path, optional
        A folder to keep the trained weights and the history; None keeps nothing. They
        are used again only if the model with its weights, the data, the settings, the
        code of this package and Keras with its backend are the same. Only Sequential
        models of Keras's most usual layers are kept. The state of the optimizer is not.

    Returns
    -------
    history : pd.DataFrame
        One row per epoch, counted from 1: ``accuracy``, ``loss`` and, with
        `validation`, ``val_accuracy``, ``val_loss``. Training values are means over the
        epoch, with dropout.

    Raises
    ------
    ModelError
        If the outputs of the model are not probabilities.
    CacheError
        If `cache` cannot be written to.
    ValueError
        If a label is not the index of an output.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> history = fit(models.ann(4, n_genres=2), x, (x[:, 0] > 0).astype(int), epochs=2)
    >>> list(history), len(history)
    (['accuracy', 'loss'], 2)
    """
    # Find out before the training, which may take hours.
    output = keras.ops.convert_to_numpy(model(x[:1]))
    models.check_probabilities(output, output.shape[-1])
    if not 0 <= np.min(labels) <= np.max(labels) < output.shape[-1]:
        raise ValueError(f"the labels go beyond the {output.shape[-1]} outputs.")
    keras.utils.set_random_seed(seed)
    _compile(model, learning_rate)
    callbacks = []
    if patience is not None and validation is not None:
        stop = keras.callbacks.EarlyStopping(
            patience=patience, restore_best_weights=True
        )
        callbacks.append(stop)

    def train():
        fitted = model.fit(
            x,
            labels,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation,
            sample_weight=sample_weight,
            callbacks=callbacks,
            verbose=0,
        )
        return {**fitted.history, **_variables(model)}

    file = None
    if cache is not None:
        data = [x, labels, validation, sample_weight]
        file = _file_of_fit(cache, model, data, [epochs, batch_size, patience, seed])
    result = kept_arrays(file, train)
    for number, variable in enumerate(model.variables):
        variable.assign(result.pop(str(number)))
    epoch = pd.RangeIndex(1, len(result.get("loss", [])) + 1, name="epoch")
    return pd.DataFrame(result, epoch)


def fit_network(
    segments: Segments,
    *,
    network: Callable[..., keras.Model] | keras.Model = models.cnn,
    standardise: bool = False,
    balanced: bool = False,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
    seed: int = 0,
) -> keras.Model:
    """Train a network on all segments, with `fit` and without early stopping.

    Early stopping would need a validation set, and leave fewer segments for training.
    For the study's CNN, it keeps epoch 7 to 11 under the study's split (notebook 4).

    Parameters
    ----------
    segments : Segments
        The training set, from `gtzan_mfcc.extraction.extract_mfcc`, or your own.
    network : function or keras.Model
        A function that builds a network, such as `gtzan_mfcc.models.cnn`. It is called
        with the shape of a row, the number of genres, and ``seed`` by name if it has
        such a parameter.

        Or a Keras model, which is copied with new weights, and not changed. It must not
        have weights that are not trained, such as frozen or adapted layers.
    standardise : bool
        Also pass to the function the ``mean`` and ``variance`` of each column, that is
        along the last axis: of each feature, or of each coefficient in all frames.
    balanced : bool
        Give all genres the same weight in the loss, and so all tracks of a genre.
    epochs, batch_size, learning_rate
        As for `fit`.
    seed : int
        Seed of the weights and the training.

    Returns
    -------
    model : keras.Model
        Trained; its outputs are probabilities.

    Raises
    ------
    ModelError
        If the outputs of the network are not probabilities, or if a Keras model has
        weights that are not trained.
    ValueError
        If the network has fewer outputs than genres, or if `standardise` is given with
        a Keras model.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": range(16), "genre": ["jazz", "rock"] * 8})
    >>> x = np.random.default_rng(0).normal(size=(16, 130, 13)).astype(np.float32)
    >>> fit_network(Segments(x, table), epochs=1).output_shape
    (None, 2)
    """
    x = segments.x
    keras.utils.set_random_seed(seed)
    if isinstance(network, keras.Model):
        if standardise:
            raise ValueError("standardise needs a function that builds the network.")
        model = _clone(network)
    else:
        if standardise:
            mean, variance = _mean_and_variance(x)
            network = partial(network, mean=mean, variance=variance)
        if "seed" in inspect.signature(network).parameters:
            network = partial(network, seed=seed)
        model = network(*x.shape[1:], len(segments.genres))
    fit(
        model,
        x,
        segments.labels,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        sample_weight=_weights(segments) if balanced else None,
        seed=seed,
    )
    return model


def fit_svm(segments: Segments, *, c: float = 10.0, balanced: bool = False) -> Pipeline:
    """Train a support vector machine on statistics of the MFCCs of each segment.

    Its input is `gtzan_mfcc.features.mfcc_statistics`, standardised. The kernel is a
    radial basis function.

    Parameters
    ----------
    segments : Segments
        The training set, from `gtzan_mfcc.extraction.extract_mfcc`.
    c : float
        Regularisation parameter: a lower value means stronger regularisation.
    balanced : bool
        Give all genres the same weight, and so all tracks of a genre.

    Returns
    -------
    classifier : sklearn Pipeline
        Its input is MFCCs [shape=(n, frames, n_mfcc)], as for a network.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": range(16), "genre": ["jazz", "rock"] * 8})
    >>> x = np.random.default_rng(0).normal(size=(16, 130, 13)).astype(np.float32)
    >>> classifier = fit_svm(Segments(x, table))
    >>> classifier.predict(x[:2])
    array([0, 1])
    """
    statistics = FunctionTransformer(features.mfcc_statistics)
    classifier = make_pipeline(statistics, StandardScaler(), SVC(C=c))
    weight = {"svc__sample_weight": _weights(segments)} if balanced else {}
    return classifier.fit(segments.x, segments.labels, **weight)


def fit_statistics_mlp(
    segments: Segments,
    *,
    members: int = 3,
    epochs: int = 25,
    balanced: bool = True,
    noise: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Train several `gtzan_mfcc.models.mlp` on statistics of MFCCs, as one model.

    The learning rate of Adam falls from 0.002 to 0 along a cosine. A batch has 256
    rows, or fewer if an epoch would have less than 16 batches. All epochs are run, so
    no validation set is needed.

    Parameters
    ----------
    segments : Segments
        The training set, from `gtzan_mfcc.extraction.extract_mfcc`.
    members : int
        Number of networks.
    epochs : int
        Epochs of each network.
    balanced : bool
        Give all genres the same weight in the loss, and so all tracks of a genre.
    noise : float
        Standard deviation of the noise that is added in training to the standardised
        means of MFCCs, at most 1; 0 for none.
    seed : int
        The seed of each network is derived from it.

    Returns
    -------
    model : keras.Model
        One model, whose output is the mean of the probabilities of all networks.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> table = pd.DataFrame({"track": range(16), "genre": ["jazz", "rock"] * 8})
    >>> x = np.random.default_rng(0).normal(size=(16, 130, 13)).astype(np.float32)
    >>> fit_statistics_mlp(Segments(x, table), members=1, epochs=1).output_shape
    (None, 2)
    """
    x = segments.x
    labels = segments.labels
    mean, variance = _mean_and_variance(x)
    statistics = models.statistics(*x.shape[1:], mean=mean, variance=variance)
    # Compute the statistics once, not in each epoch: they have no trainable weights.
    x = statistics.predict(x, batch_size=512, verbose=0)
    weight = _weights(segments) if balanced else None
    batch_size = int(np.clip(len(x) / 16, 8, 256))
    steps = epochs * math.ceil(len(x) / batch_size)
    build = partial(
        models.mlp,
        n_statistics=x.shape[1],
        n_means=segments.x.shape[2] - 1,
        n_genres=len(segments.genres),
        noise=noise,
    )
    # One network trains the weights of all members. So Keras compiles it once, which
    # takes a second, and TensorFlow keeps memory for one.
    network = build()
    _compile(network, keras.optimizers.schedules.CosineDecay(2e-3, steps))
    networks = []
    for seed_of_member in range(seed * 1000, seed * 1000 + members):
        member = build(seed=seed_of_member)
        _copy_variables(member, network)
        for variable in network.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        keras.utils.set_random_seed(seed_of_member)
        network.fit(
            x,
            labels,
            epochs=epochs,
            batch_size=batch_size,
            sample_weight=weight,
            verbose=0,
        )
        _copy_variables(network, member)
        networks.append(member)
    return models.average(statistics, networks)


def _compile(model, learning_rate):
    model.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def _copy_variables(source, target):
    """Copy weights and states of seeds to a model of the same layers."""
    for variable, copy in zip(source.variables, target.variables):
        copy.assign(variable)


def _variables(model):
    """Return the variables of a model by their number: weights, and states of seeds."""
    values = map(keras.ops.convert_to_numpy, model.variables)
    return {str(number): value for number, value in enumerate(values)}


def _file_of_fit(cache, model, data, settings):
    """Name the file that keeps what is trained; None if it may not be kept."""
    variables = _variables(model)
    kinds = {values.dtype.kind for values in variables.values()}
    if not _is_plain(model) or "V" in kinds:  # NumPy cannot read bfloat16 again.
        return None
    try:
        config = model.to_json()
        code = code_of_modules("models training")
    except Exception:  # A class of the user may have no configuration.
        return None
    # The configuration has only the name or the bytes of other code than Keras's.
    if re.search(r'"registered_name": "|__lambda__', config):
        return None
    # The names of layers have other numbers if the same model is built again.
    config = re.sub(r'("name": "\w+?)_\d+"', r'\1"', config)
    trained = [variable.trainable for variable in model.variables]
    how = [code, keras_versions(), config, trained, *settings]
    data = joblib.hash([variables, data], coerce_mmap=True)
    return Path(cache) / "fits" / f"{digest([how, data])}.npz"


def _is_plain(model):
    """Tell whether configuration and variables say all about the layers of a model."""
    for layer in model.layers:
        activation = getattr(layer, "activation", keras.activations.linear)
        if type(layer) not in _PLAIN or not activation.__module__.startswith("keras."):
            return False
    return type(model) is keras.Sequential


def _clone(model):
    """Copy a Keras model with new weights; refuse one of which a copy would lose more.

    The averages of a BatchNormalization are made anew by the training.
    """
    for weight in model.non_trainable_weights:
        if weight.name not in ("moving_mean", "moving_variance"):
            raise models.ModelError(
                f"{weight.path} is not trained, and a copy of the model would lose it; "
                "pass a function that builds the network."
            )
    return keras.models.clone_model(model)


def _mean_and_variance(x):
    """Compute mean and variance of each column over all rows, and frames if any.

    In two steps, because sums of millions of float32 are inexact, and a copy in float64
    would need much memory.
    """
    x = x.reshape(len(x), -1, x.shape[-1])
    means = x.mean(axis=1, dtype=float)
    within = x.var(axis=1).mean(axis=0, dtype=float)
    return means.mean(axis=0), within + means.var(axis=0)


def _weights(segments):
    """Weigh rows so that all genres count the same, and all tracks of a genre, too."""
    track = segments.table["track"]
    labels = segments.labels
    # All rows of a track together count 1.
    weight = 1 / track.map(track.value_counts()).to_numpy(float)
    tracks_of_genre = np.bincount(labels, weight)[labels]
    rows_per_genre = len(labels) / len(np.unique(labels))
    return weight * (rows_per_genre / tracks_of_genre)
