"""From segments and rows to a trained model: how each model of the project is trained."""

import math
import warnings

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from gtzan_mfcc import features, models, splits, training
from gtzan_mfcc._keras import keras
from gtzan_mfcc.extraction import Segments


def cnn(
    segments: Segments, rows: np.ndarray, *, by: str = "artist", epochs: int = 50, seed: int = 0
) -> keras.Model:
    """Train the study's CNN, and stop by a fifth of the rows that is kept apart.

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    rows : np.ndarray [shape=(n,), dtype=int]
        Rows to train on and to stop by.
    by : str
        Name of the split that keeps the fifth apart: ``"segment"``, ``"track"`` or
        ``"artist"``.
    epochs : int
        At most so many.
    seed : int
        Seed of the split, the weights and the training.

    Returns
    -------
    model : keras.Model

    See Also
    --------
    Notebook ``6_leakage`` introduces this recipe.
    """
    with warnings.catch_warnings():
        # The split that gave `rows` has already named the genres with a single artist.
        warnings.simplefilter("ignore", UserWarning)
        fit, stop = getattr(splits, by)(segments.table.iloc[rows], seed=seed)
    fit, stop = rows[fit], rows[stop]
    model = models.cnn(*segments.mfcc.shape[1:], len(segments.genres), seed=seed)
    training.fit(
        model,
        segments.mfcc[fit],
        segments.labels[fit],
        validation=(segments.mfcc[stop], segments.labels[stop]),
        epochs=epochs,
        seed=seed,
    )
    return model


def svm(segments: Segments, rows: np.ndarray, *, c: float = 10.0) -> Pipeline:
    """Train a support vector machine on statistics of each coefficient over a segment.

    Mean, standard deviation and standard deviation of the differences from frame to frame,
    standardised; radial basis functions.

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    rows : np.ndarray [shape=(n,), dtype=int]
        Rows to train on.
    c : float
        The lower, the smoother.

    Returns
    -------
    classifier : sklearn Pipeline
        Takes MFCCs [shape=(n, frames, n_mfcc)], as a network does.

    See Also
    --------
    Notebook ``6_leakage`` introduces this recipe.
    """
    classifier = make_pipeline(
        FunctionTransformer(features.mfcc_statistics), StandardScaler(), SVC(C=c)
    )
    return classifier.fit(segments.mfcc[rows], segments.labels[rows])


def mfcc_resnet(
    segments: Segments,
    rows: np.ndarray,
    *,
    blocks: int = 0,
    members: int = 3,
    epochs: int = 25,
    seed: int = 0,
) -> keras.Model:
    """Train one or more networks of `gtzan_mfcc.models.mfcc_resnet`, and average them.

    Adam with a learning rate that falls from 0.002 to 0 along a cosine, batches of 64; all
    epochs are run, so that no row is needed to stop by.

    Parameters
    ----------
    segments : Segments
        From `gtzan_mfcc.extraction.extract_mfcc`.
    rows : np.ndarray [shape=(n,), dtype=int]
        Rows to train on.
    blocks : int
        Residual blocks of each network. Without any, as the model that comes with the package,
        it trains several times as fast and scores no worse.
    members : int
        Number of networks.
    epochs : int
        Epochs of each network.
    seed : int
        Seed of all of them; each gets one of its own from it.

    Returns
    -------
    model : keras.Model
        A single model, whose output is the mean of the members' probabilities.

    See Also
    --------
    Notebook ``6_leakage`` introduces this recipe.
    """
    x, labels = segments.mfcc[rows], segments.labels[rows]
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    batch_size = 64
    steps = epochs * math.ceil(len(rows) / batch_size)
    trained = []
    for member_seed in range(seed * 1000, seed * 1000 + members):
        model = models.mfcc_resnet(
            *x.shape[1:],
            len(segments.genres),
            mean=mean,
            variance=variance,
            blocks=blocks,
            seed=member_seed,
        )
        training.fit(
            model,
            x,
            labels,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=keras.optimizers.schedules.CosineDecay(2e-3, steps),
            patience=None,
            seed=member_seed,
        )
        trained.append(model)
    return models.average(trained)
