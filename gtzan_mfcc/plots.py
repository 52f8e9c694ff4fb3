"""Plots: each function draws on a given Axes, or a new one, and returns it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from gtzan_mfcc._librosa import librosa
from gtzan_mfcc.audio import SAMPLE_RATE
from gtzan_mfcc.features import HOP_LENGTH

if TYPE_CHECKING:  # Plots do not need TensorFlow.
    import keras

    from gtzan_mfcc.predict import Prediction

# Colour maps for colour-blind readers, also readable in grey.
COUNT_MAP = "Blues"
LEVEL_MAP = "viridis"
DIFFERENCE_MAP = "PuOr"

COLOURS = {"CNN": "C0", "SVM": "C1", "MLP": "C2", "ANN": "C3"}
"""The colour of each kind of model in all figures, from the palette of `set_theme`."""


def set_theme() -> None:
    """Set the style of all figures of a notebook, with a layout that does not cut off labels.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    sns.set_theme("notebook", "ticks", "colorblind", rc={"figure.constrained_layout.use": True})


def waveform(y: np.ndarray, *, ax: Axes | None = None, **kwargs: object) -> Axes:
    """Draw a signal over time.

    A long signal is divided into at most 8,000 pieces, and the lowest and highest sample of each
    are drawn. An hour has 80 million samples, more than a figure can show.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal, at 22,050 Hz.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.
    **kwargs
        Passed to ``Axes.plot``.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.
    """
    ax = _axes(ax, (10, 3))
    starts = np.arange(0, len(y), len(y) // 8000 + 1)
    peaks = np.ravel([np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)], order="F")
    style = {"linewidth": 0.4, "color": "0.3"} | kwargs
    ax.plot(np.repeat(starts, 2) / SAMPLE_RATE, peaks, **style)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(y) / SAMPLE_RATE))
    return ax


def spectrogram(
    data: np.ndarray, *, frequency: str = "linear", unit: str = "level (dB)", ax: Axes | None = None
) -> Axes:
    """Draw a spectrogram over time (s) and frequency (Hz).

    Parameters
    ----------
    data : np.ndarray [shape=(bins, frames)]
        The values, such as levels in dB; from a signal at 22,050 Hz, with a hop of 512 samples.
    frequency : str
        The frequency axis: ``"linear"``, ``"log"``, or ``"mel"`` for mel bands.
    unit : str
        Label of the colour bar.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.
    """
    ax = _axes(ax, (10, 4))
    # SAMPLE_RATE and HOP_LENGTH are librosa's defaults.
    mesh = librosa.display.specshow(data, x_axis="s", y_axis=frequency, cmap=LEVEL_MAP, ax=ax)
    ax.figure.colorbar(mesh, ax=ax, label=unit, pad=0.02)
    scale = {"linear": "", "log": ", logarithmic", "mel": ", mel scale"}[frequency]
    ax.set(xlabel="time (s)", ylabel=f"frequency (Hz{scale})")
    return ax


def mfcc(
    coefficients: np.ndarray, *, limits: Sequence[float] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw MFCCs over time (s), from the first coefficient at the bottom to the last at the top.

    The first two coefficients are much larger than the others. To show the others, set `limits`
    to their range. The colour bar then has arrows at its ends, because some values are beyond it.

    Parameters
    ----------
    coefficients : np.ndarray [shape=(frames, n_mfcc)]
        From `gtzan_mfcc.features.mfcc` for one signal, with a hop of 512 samples.
    limits : sequence of two float, optional
        Lowest and highest value of the colour scale; use the same limits to compare figures. By
        default the lowest and highest coefficient.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.
    """
    ax = _axes(ax, (10, 3.5))
    frames, n_mfcc = coefficients.shape
    seconds = np.arange(frames + 1) * HOP_LENGTH / SAMPLE_RATE
    numbers = np.arange(n_mfcc + 1) + 0.5
    mesh = ax.pcolormesh(seconds, numbers, coefficients.T, cmap=LEVEL_MAP, clim=limits)
    ends = "neither" if limits is None else "both"
    ax.figure.colorbar(mesh, ax=ax, label="value", pad=0.02, extend=ends)
    ax.set(xlabel="time (s)", ylabel="MFCC number", yticks=range(1, n_mfcc + 1, 2))
    return ax


def learning_curves(history: pd.DataFrame, title: str, *, color: str = "black") -> Axes:
    """Draw loss and accuracy by epoch, next to each other in a new figure.

    The curves are those of the training part and, if there is one, of the validation part.

    Parameters
    ----------
    history : pd.DataFrame
        What `gtzan_mfcc.training.fit` returns.
    title : str
        Title of the figure.
    color : str
        Colour of the lines, such as the model's in `COLOURS`.

    Returns
    -------
    ax : matplotlib Axes
        The Axes of the accuracy; the loss is ``ax.figure.axes[0]``.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    figure.suptitle(title)
    for ax, metric in zip(axes, ("loss", "accuracy")):
        history[metric].plot(ax=ax, color=color, label="training", xlabel="epoch", ylabel=metric)
        if "val_loss" in history:
            history[f"val_{metric}"].plot(ax=ax, color=color, style="--", label="validation")
            best = history["val_loss"].idxmin()
            ax.axvline(best, color="0.6", linestyle=":", label=f"least validation loss ({best})")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    return axes[1]


def confusion_matrix(confusion: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: counts as numbers, shares of the true genre as colours.

    Parameters
    ----------
    confusion : pd.DataFrame
        What `gtzan_mfcc.evaluation.genre_confusion` returns.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    ax = _axes(ax, (8, 6.5))
    # For a genre without rows, divide by 1, not by 0.
    share = confusion.div(confusion.sum(axis=1).clip(lower=1), axis=0)
    _heatmap(share, annot=confusion, fmt="d", cbar_kws={"label": "share of the true genre"}, ax=ax)
    ax.tick_params(axis="x", rotation=45)
    return ax


def genre_report(report: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw precision, recall and F1 of each genre, and their means, as a heat map.

    Parameters
    ----------
    report : pd.DataFrame
        What `gtzan_mfcc.evaluation.genre_report` returns.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    ax = _axes(ax, (6.5, 6))
    names = [f"{name}  ({row.support:,.0f})" for name, row in report.iterrows()]
    scores = report[["precision", "recall", "f1-score"]].set_axis(names)
    # With a scale from 0 to 1, high scores would all look the same.
    lowest = min(0.9, np.floor(10 * scores.min(axis=None)) / 10)
    _heatmap(scores, annot=True, fmt=".2f", vmin=lowest, cbar_kws={"label": "score"}, ax=ax)
    ax.axhline(len(report) - 2, color="0.3", linewidth=1.5)
    ax.set(ylabel="genre  (number of segments)")
    return ax


def _heatmap(shares: pd.DataFrame, *, ax: Axes, vmin: float = 0, **kwargs: object) -> None:
    """Draw a heat map of shares, with row and column names as plain text."""
    # Text between two dollar signs is a formula for Matplotlib; seaborn cannot turn this off.
    style = {"xticklabels": False, "yticklabels": False, "linewidths": 0.5, "cmap": COUNT_MAP}
    sns.heatmap(shares, vmin=vmin, vmax=1, ax=ax, **style, **kwargs)
    ax.set_xticks(np.arange(shares.shape[1]) + 0.5, shares.columns, parse_math=False)
    ax.set_yticks(np.arange(shares.shape[0]) + 0.5, shares.index, parse_math=False)


def report_card(cards: pd.DataFrame | dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy by track under each split, with its 95 % interval.

    A grey line marks the share of the most frequent genre among the tested tracks.

    Parameters
    ----------
    cards : pd.DataFrame, or dict of them by name of the model
        What `gtzan_mfcc.evaluation.report_card` returns.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``6_leakage`` introduces this plot.
    """
    ax = _axes(ax, (7.5, 4.5))
    cards = {"": cards} if isinstance(cards, pd.DataFrame) else cards
    for number, (name, card) in enumerate(cards.items()):
        card = card.drop(index="leak", level="split", errors="ignore").reset_index()
        accuracy, x = card["track_accuracy"], card.index + 0.12 * (number - (len(cards) - 1) / 2)
        ends = [accuracy - card["track_low"], card["track_high"] - accuracy]
        style = {"fmt": "os^Dv"[number % 5], "color": COLOURS.get(name, f"C{number}")}
        ax.errorbar(x, accuracy, ends, capsize=3, label=name, **style)
    ends = card.index - 0.3, card.index + 0.3
    ax.hlines(card["majority"], *ends, color="0.6", linestyle=":", label="most frequent genre")
    tested = card["split"].mask(card["tested_on"] != "original", card["tested_on"])
    ax.set_xticks(card.index, tested.str.replace("_", "\n"))
    ax.set(xlabel="what the split keeps together", ylabel="accuracy by track", ylim=(0, 1.03))
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def genre_over_time(
    prediction: "Prediction", y: np.ndarray | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the probability of each genre over the time of a song.

    Colours are probabilities; a dot marks the most probable genre of each segment.

    Parameters
    ----------
    prediction : Prediction
        What `gtzan_mfcc.predict.predict` returns.
    y : np.ndarray [shape=(n,)], optional
        The signal of the song at 22,050 Hz, drawn above with the same time axis. Then `ax` must be
        a subplot.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes
        The Axes of the genres; in a new figure, the waveform is ``ax.figure.axes[1]``.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this plot.
    """
    table = prediction.over_time
    genres = table.columns[2:]
    ax = _axes(ax, (10, (1.5 if y is None else 2.7) + 0.3 * len(genres)))
    panels = [ax]
    if y is not None:
        upper, lower = ax.get_subplotspec().subgridspec(2, 1, height_ratios=(1, 2), hspace=0.05)
        ax.set_subplotspec(lower)
        panels += [waveform(y, ax=ax.figure.add_subplot(upper, sharex=ax))]
        panels[1].label_outer()
    probabilities = table[genres].to_numpy().T
    middle = table[["start", "end"]].mean(axis=1).to_numpy()
    # If segments overlap, the edge between two is halfway between their middles.
    edges = [table["start"].iloc[0], *(middle[:-1] + middle[1:]) / 2, table["end"].iloc[-1]]
    rows = np.arange(len(genres) + 1) - 0.5
    mesh = ax.pcolormesh(edges, rows, probabilities, cmap=COUNT_MAP, vmin=0, vmax=1)
    ax.plot(middle, probabilities.argmax(axis=0), "o", color="black", markersize=3)
    ax.set_yticks(range(len(genres)), genres, parse_math=False)
    ax.set(xlabel="time (s)", ylabel="genre", xlim=(0, prediction.seconds))
    ax.invert_yaxis()
    ax.figure.colorbar(mesh, ax=panels, label="probability", pad=0.02)
    return ax


def architecture(model: "keras.Model", *, ax: Axes | None = None) -> Axes:
    """Draw the layers of a sequential model, with output shapes and numbers of parameters.

    Parameters
    ----------
    model : keras.Model
        A sequential model.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    layers = [("input", model.input_shape, 0)]
    layers += [(_describe(each), each.output.shape, each.count_params()) for each in model.layers]
    layers += [("in all", (), model.count_params())]
    rows = [(" × ".join(map(str, shape[1:])), f"{count:,}") for _, shape, count in layers]
    ax = _axes(ax, (7, 0.35 * (len(rows) + 1)))
    names = {"rowLabels": [row[0] for row in layers], "colLabels": ["output shape", "parameters"]}
    style = {"rowLoc": "left", "colLoc": "right", "edges": "horizontal"}
    ax.table(rows, **names, **style, bbox=(0.35, 0, 0.65, 1))
    ax.axis("off")
    return ax


def _describe(layer: "keras.layers.Layer") -> str:
    """Describe a layer by its type and its main settings."""
    keys = ("filters", "units", "rate", "kernel_size", "pool_size", "activation")
    parts = [layer.get_config().get(key) for key in keys]
    return " ".join(str(part) for part in [type(layer).__name__, *parts] if part)


def sign(ax: Axes, corpus: str) -> Axes:
    """Write the name of the corpus on the figure.

    Parameters
    ----------
    ax : matplotlib Axes
        Any Axes of the figure.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns; the toy corpus is in bold and red.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    style = {"color": "darkred", "weight": "bold"} if corpus.startswith("toy") else {"color": "0.4"}
    ax.figure.supxlabel(corpus, x=0.99, ha="right", fontsize="small", **style)
    return ax


def _axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
