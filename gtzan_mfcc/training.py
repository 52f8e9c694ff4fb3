"""Compile and fit a model, seeded, with the history as a DataFrame; keep and load the result."""

from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_mfcc import models  # noqa: F401 - so that load_run knows the layers of ours
from gtzan_mfcc._disk import aside
from gtzan_mfcc._keras import keras

# Going back to Python after each step takes time; the weights that come out are the same.
_STEPS_AT_ONCE = 8


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
    seed: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Compile and train a classifier with Adam; the defaults are those of the study's CNN.

    Parameters
    ----------
    model : keras.Model
        From `gtzan_mfcc.models`; trained in place.
    x : np.ndarray [shape=(n, ...)]
        Training input.
    labels : np.ndarray [shape=(n,), dtype=int]
        Genre of each row as an index.
    validation : tuple of np.ndarray, optional
        Input and labels on which each epoch is scored; without it, `patience` must be None.
    epochs : int
        At most so many passes over the training part.
    batch_size : int
        Rows in a step.
    learning_rate : float or Keras schedule
        Adam's.
    patience : int, optional
        Stop when the validation loss has not fallen for so many epochs, and go back to
        the weights of the best one. With None all epochs are run.
    seed : int
        Seed of the shuffle.
    verbose : int
        Keras's: 0 for silence, 1 for a bar, 2 for a line an epoch.

    Returns
    -------
    history : pd.DataFrame
        One row an epoch, counted from 1: ``accuracy``, ``loss`` and, with `validation`,
        ``val_accuracy``, ``val_loss``. Training values are means over the epoch, with dropout on.

    Raises
    ------
    ValueError
        If there is `patience` and no `validation`.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    if patience is not None and validation is None:
        raise ValueError("to stop early, fit needs validation data; or else patience=None.")
    keras.utils.set_random_seed(seed)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=_STEPS_AT_ONCE,
    )
    callbacks = []
    if patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
        )
    fitted = model.fit(
        x,
        labels,
        validation_data=validation,
        epochs=epochs,
        batch_size=batch_size,
        callbacks=callbacks,
        verbose=verbose,
    )
    history = pd.DataFrame(fitted.history)
    history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
    return history


def save_run(model: keras.Model, history: pd.DataFrame, path: str | Path) -> None:
    """Keep a trained model and its history, as ``<path>.keras`` and ``<path>.csv``.

    Parameters
    ----------
    model : keras.Model
        The trained model.
    history : pd.DataFrame
        What `fit` returned.
    path : str or Path
        Folder and name, without an ending; the folder is made if need be.

    See Also
    --------
    Notebook ``4_cnn_training`` introduces this helper.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    history.to_csv(path.with_name(f"{path.name}.csv"))
    # A reader never meets half a model.
    with aside(path.with_name(f"{path.name}.keras")) as unfinished:
        model.save(unfinished)


def load_run(path: str | Path) -> tuple[keras.Model, pd.DataFrame]:
    """Load what `save_run` kept.

    Parameters
    ----------
    path : str or Path
        As for `save_run`.

    Returns
    -------
    model : keras.Model
    history : pd.DataFrame

    Raises
    ------
    FileNotFoundError
        If nothing was kept under that name.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    path = Path(path)
    model = path.with_name(f"{path.name}.keras")
    history = path.with_name(f"{path.name}.csv")
    if not (model.is_file() and history.is_file()):
        raise FileNotFoundError(
            f"no {model.name} and {history.name} in {path.parent}; run the notebook "
            "4_cnn_training first, on the same corpus and with the same parameters."
        )
    return keras.models.load_model(model), pd.read_csv(history, index_col="epoch")
