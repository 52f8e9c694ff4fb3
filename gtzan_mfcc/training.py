"""Train models: `fit` for any network, and a function for each kind of model of the project."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from gtzan_mfcc import features, models
from gtzan_mfcc._keras import keras
from gtzan_mfcc.extraction import Segments


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
) -> pd.DataFrame:
    """Compile and train a classifier with Adam; the defaults are those of the study's CNN.

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
        Stop if the validation loss has not fallen for this number of epochs, and restore the
        weights of the best epoch. With None, or without `validation`, all epochs are run.
    sample_weight : np.ndarray [shape=(n,)], optional
        Weight of each row in the loss; equal by default.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    history : pd.DataFrame
        One row per epoch, counted from 1: ``accuracy``, ``loss`` and, with `validation`,
        ``val_accuracy``, ``val_loss``. Training values are means over the epoch, with dropout.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    keras.utils.set_random_seed(seed)
    # Eight steps per call save time; the weights are the same.
    adam, loss = keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy"
    model.compile(adam, loss, metrics=["accuracy"], steps_per_execution=8)
    callbacks = []
    if patience is not None and validation is not None:
        callbacks = [keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)]
    settings = {"epochs": epochs, "batch_size": batch_size, "callbacks": callbacks, "verbose": 0}
    settings |= {"validation_data": validation, "sample_weight": sample_weight}
    fitted = model.fit(x, labels, **settings)
    return pd.DataFrame(fitted.history, np.add(fitted.epoch, 1)).rename_axis("epoch")


def fit_network(
    segments: Segments,
    rows: np.ndarray,
    *,
    network: str | Callable[..., keras.Model] = models.cnn,
    standardise: bool = False,
    epochs: int = 10,
    seed: int = 0,
    **settings: object,
) -> keras.Model:
    """Train a network on all rows, with `fit` and without early stopping.

    Early stopping would need a validation part, and leave fewer rows for training. Under the
    study's split, it restores the study's CNN of epoch 7 to 11 (notebook 4).

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`, or your own.
    rows : np.ndarray [shape=(n,), dtype=int]
        Rows to train on.
    network : str or function
        The result of ``to_json()`` of a Keras model: its layers without the weights. Or a function
        that builds a model from the shape of a row, the number of genres and a keyword ``seed``.
        The output must be one probability per genre.
    standardise : bool
        Also pass ``mean`` and ``variance`` of the rows to the function.
    epochs : int
        Number of epochs.
    seed : int
        Seed of the weights and the training.
    **settings
        Passed to `fit`.

    Returns
    -------
    model : keras.Model

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    x = segments.mfcc[rows]
    keras.utils.set_random_seed(seed)
    if isinstance(network, str):
        model = keras.models.model_from_json(network)
    else:
        scale = {"mean": x.mean(axis=0), "variance": x.var(axis=0)} if standardise else {}
        model = network(*x.shape[1:], len(segments.genres), seed=seed, **scale)
    fit(model, x, segments.labels[rows], epochs=epochs, seed=seed, **settings)
    return model


def fit_svm(segments: Segments, rows: np.ndarray, *, c: float = 10.0) -> Pipeline:
    """Train a support vector machine on statistics of the MFCCs of each segment.

    Its input is `gtzan_mfcc.features.mfcc_statistics`, standardised. The kernel is a radial basis
    function.

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    rows : np.ndarray [shape=(n,), dtype=int]
        Rows to train on.
    c : float
        Regularisation parameter: a lower value means stronger regularisation.

    Returns
    -------
    classifier : sklearn Pipeline
        Its input is MFCCs [shape=(n, frames, n_mfcc)], as for a network.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    statistics = FunctionTransformer(features.mfcc_statistics)
    classifier = make_pipeline(statistics, StandardScaler(), SVC(C=c))
    return classifier.fit(segments.mfcc[rows], segments.labels[rows])


def fit_statistics_mlp(
    segments: Segments, rows: np.ndarray, *, members: int = 3, epochs: int = 25, seed: int = 0
) -> keras.Model:
    """Train several `gtzan_mfcc.models.mlp` on statistics of MFCCs, and average their outputs.

    The learning rate of Adam falls from 0.002 to 0 along a cosine. A batch has 256 rows, or fewer
    if an epoch would have less than 16 batches. All epochs are run, so no validation part is
    needed. All genres have the same weight, and so do all tracks of a genre.

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    rows : np.ndarray [shape=(n,), dtype=int]
        Rows to train on.
    members : int
        Number of networks.
    epochs : int
        Epochs of each network.
    seed : int
        The seed of each network is derived from it.

    Returns
    -------
    model : keras.Model
        One model, whose output is the mean of the probabilities of all networks.

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.
    """
    x, labels = segments.mfcc[rows], segments.labels[rows]
    statistics = models.statistics(*x.shape[1:], mean=x.mean((0, 1)), variance=x.var((0, 1)))
    # Compute the statistics once, not in each epoch: they have no trainable weights.
    x = statistics.predict(x, batch_size=512, verbose=0)
    track = segments.table["track"].iloc[rows]
    weight = 1 / track.map(track.value_counts()).to_numpy(float)
    weight *= len(x) / len(np.unique(labels)) / np.bincount(labels, weight)[labels]
    batch = int(np.clip(len(x) / 16, 8, 256))
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * math.ceil(len(x) / batch))
    sizes = x.shape[1], segments.mfcc.shape[2] - 1, len(segments.genres)
    settings = {"learning_rate": schedule, "batch_size": batch, "sample_weight": weight}
    seeds = range(seed * 1000, seed * 1000 + members)
    networks = [models.mlp(*sizes, seed=each) for each in seeds]
    for each, network in zip(seeds, networks):
        fit(network, x, labels, epochs=epochs, seed=each, **settings)
    return models.average(statistics, networks)
