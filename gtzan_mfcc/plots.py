"""Pictures: each helper draws on a given Axes (or a new one) and returns it."""

from itertools import cycle
from typing import TYPE_CHECKING

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from gtzan_mfcc.audio import SAMPLE_RATE
from gtzan_mfcc.features import HOP_LENGTH

if TYPE_CHECKING:  # Drawing must not wait for TensorFlow.
    import keras

    from gtzan_mfcc.predict import Prediction

# Sequential maps that colour-blind readers can tell apart and that print in grey.
COUNT_MAP = "Blues"
LEVEL_MAP = "viridis"


def set_theme() -> None:
    """Give all figures of a notebook one look, with room for every label.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    sns.set_theme(style="ticks", rc={"figure.constrained_layout.use": True})


def waveform(
    y: np.ndarray, *, sample_rate: int = SAMPLE_RATE, ax: Axes | None = None, **kwargs: object
) -> Axes:
    """Draw a signal over time.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal.
    sample_rate : int
        Sample rate of `y` in Hz.
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
    seconds = np.arange(len(y)) / sample_rate
    ax.plot(seconds, y, **{"linewidth": 0.4, "rasterized": True} | kwargs)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(y) / sample_rate))
    return ax


def spectrum(y: np.ndarray, *, sample_rate: int = SAMPLE_RATE, ax: Axes | None = None) -> Axes:
    """Draw the magnitude of the Fourier transform of a whole signal over frequency.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal.
    sample_rate : int
        Sample rate of `y` in Hz.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.
    """
    ax = _axes(ax, (10, 3))
    magnitude = np.abs(np.fft.rfft(y)) / len(y)
    frequencies = np.fft.rfftfreq(len(y), 1 / sample_rate)
    ax.plot(frequencies, magnitude, linewidth=0.4, rasterized=True)
    ax.set(xlabel="frequency (Hz)", ylabel="magnitude", xlim=(0, sample_rate / 2), ylim=(0, None))
    return ax


def spectrogram(
    levels: np.ndarray,
    *,
    frequency: str = "linear",
    unit: str = "level (dB)",
    sample_rate: int = SAMPLE_RATE,
    hop_length: int = HOP_LENGTH,
    ax: Axes | None = None,
) -> Axes:
    """Draw a spectrogram, with time in s and frequency in Hz.

    Parameters
    ----------
    levels : np.ndarray [shape=(bins, frames)]
        What to draw, such as decibels.
    frequency : str
        The frequency axis: ``"linear"``, ``"log"``, or ``"mel"`` for mel bands.
    unit : str
        Name of the colours.
    sample_rate : int
        Sample rate of the signal in Hz.
    hop_length : int
        Samples from frame to frame.
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
    mesh = librosa.display.specshow(
        levels,
        sr=sample_rate,
        hop_length=hop_length,
        x_axis="time",
        y_axis=frequency,
        cmap=LEVEL_MAP,
        ax=ax,
        rasterized=True,
    )
    ax.figure.colorbar(mesh, ax=ax, label=unit, pad=0.02)
    scale = {"linear": "", "log": ", logarithmic", "mel": ", mel scale"}[frequency]
    ax.set(xlabel="time (s)", ylabel=f"frequency (Hz{scale})")
    return ax


def mfcc(
    coefficients: np.ndarray,
    *,
    limits: tuple[float, float] | None = None,
    sample_rate: int = SAMPLE_RATE,
    hop_length: int = HOP_LENGTH,
    ax: Axes | None = None,
) -> Axes:
    """Draw MFCCs, with time in s across and the number of the coefficient upwards.

    Parameters
    ----------
    coefficients : np.ndarray [shape=(frames, n_mfcc)]
        What `gtzan_mfcc.features.mfcc` gives for one signal.
    limits : tuple of float, optional
        Ends of the colour scale; give the same to pictures that are to be compared. By
        default those of the coefficients themselves.
    sample_rate : int
        Sample rate of the signal in Hz.
    hop_length : int
        Samples from frame to frame.
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
    low, high = limits if limits is not None else (coefficients.min(), coefficients.max())
    image = ax.imshow(
        coefficients.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=LEVEL_MAP,
        vmin=low,
        vmax=high,
        extent=(0, frames * hop_length / sample_rate, 0.5, n_mfcc + 0.5),
    )
    ax.figure.colorbar(image, ax=ax, label="value", pad=0.02)
    ax.set(xlabel="time (s)", ylabel="MFCC number", yticks=range(1, n_mfcc + 1, 2))
    ax.grid(False)
    return ax


def learning_curve(history: pd.DataFrame, metric: str, *, ax: Axes | None = None) -> Axes:
    """Draw loss or accuracy by epoch, on the training and the validation part.

    Parameters
    ----------
    history : pd.DataFrame
        What `gtzan_mfcc.training.fit` returns.
    metric : str
        ``"loss"`` or ``"accuracy"``.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    ax = _axes(ax, (5, 4))
    # Dashes tell the lines apart in grey, too.
    for column, style, label in ((metric, "-", "training"), (f"val_{metric}", "--", "validation")):
        ax.plot(history.index, history[column], style, label=label)
    best = history["val_loss"].idxmin()
    ax.axvline(
        best, color="0.6", linewidth=1, linestyle=":", label=f"least validation loss ({best})"
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel=metric)
    ax.legend()
    return ax


def learning_curves(history: pd.DataFrame, title: str) -> Axes:
    """Draw loss and accuracy by epoch, side by side in a new figure.

    Parameters
    ----------
    history : pd.DataFrame
        What `gtzan_mfcc.training.fit` returns.
    title : str
        Title of the figure.

    Returns
    -------
    ax : matplotlib Axes
        The Axes of the accuracy; the loss is ``ax.figure.axes[0]``.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    learning_curve(history, "loss", ax=left)
    learning_curve(history, "accuracy", ax=right)
    figure.suptitle(title)
    return right


def confusion_matrix(confusion: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: counts in the cells, shares of the true genre as shades.

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
    # A genre without a row in this part is all zeros, not a division by zero.
    share = confusion.div(confusion.sum(axis=1).clip(lower=1), axis=0)
    sns.heatmap(
        share,
        annot=confusion,
        fmt="d",
        cmap=COUNT_MAP,
        vmin=0,
        vmax=1,
        linewidths=0.5,
        cbar_kws={"label": "share of the true genre"},
        ax=ax,
    )
    ax.tick_params(axis="x", rotation=45)
    ax.tick_params(axis="y", rotation=0)
    return ax


def genre_report(report: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw precision, recall and F1 of each genre and their means as a shaded table.

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
    sns.heatmap(
        report[["precision", "recall", "f1-score"]].set_axis(names),
        annot=True,
        fmt=".2f",
        cmap=COUNT_MAP,
        vmin=0,
        vmax=1,
        linewidths=0.5,
        cbar_kws={"label": "score"},
        ax=ax,
    )
    ax.axhline(len(report) - 2, color="0.3", linewidth=1.5)
    ax.set(ylabel="genre  (number of segments)")
    ax.tick_params(axis="y", rotation=0)
    return ax


def genre_probabilities(prediction: "Prediction", *, ax: Axes | None = None) -> Axes:
    """Draw how probable each genre is for a song as a whole, the most probable on top.

    Parameters
    ----------
    prediction : Prediction
        What `gtzan_mfcc.predict.predict` returns.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``5_evaluation`` introduces this plot.
    """
    probabilities = prediction.probabilities
    ax = _axes(ax, (6, 0.6 + 0.35 * len(probabilities)))
    rows = range(len(probabilities))
    bars = ax.barh(rows, probabilities, color="tab:blue")
    ax.set_yticks(rows, probabilities.index, parse_math=False)
    ax.bar_label(bars, [f"{p:.0%}" for p in probabilities], padding=3)
    ax.set(xlabel="mean probability over the song", ylabel="genre", xlim=(0, 1.1))
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.invert_yaxis()
    return ax


def genre_over_time(
    prediction: "Prediction",
    y: np.ndarray | None = None,
    *,
    sample_rate: int = SAMPLE_RATE,
    ax: Axes | None = None,
) -> Axes:
    """Draw which genre the model hears at each moment of a song.

    Shades are probabilities; a dot marks the most probable genre of each segment.

    Parameters
    ----------
    prediction : Prediction
        What `gtzan_mfcc.predict.predict` returns.
    y : np.ndarray [shape=(n,)], optional
        The song's signal, which is drawn above, on the same time axis; `ax` must be a subplot.
    sample_rate : int
        Sample rate of `y` in Hz.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes
        That of the genres; in a new figure, the waveform's is ``ax.figure.axes[1]``.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this plot.
    """
    table = prediction.over_time
    genres = table.columns.drop(["start", "end"])
    ax = _axes(ax, (10, (1.5 if y is None else 2.7) + 0.3 * len(genres)))
    panels = [ax] if y is None else [ax, _waveform_above(ax, y, sample_rate)]
    probabilities = table[genres].to_numpy().T
    middle = ((table["start"] + table["end"]) / 2).to_numpy()
    # Where segments overlap, each is drawn half way to the next.
    edges = [table["start"].iloc[0], *(middle[:-1] + middle[1:]) / 2, table["end"].iloc[-1]]
    rows = np.arange(len(genres) + 1) - 0.5
    mesh = ax.pcolormesh(edges, rows, probabilities, cmap=COUNT_MAP, vmin=0, vmax=1)
    mesh.set_rasterized(True)
    ax.plot(middle, probabilities.argmax(axis=0), "o", color="black", markersize=3)
    ax.set_yticks(range(len(genres)), genres, parse_math=False)
    ax.set(xlabel="time (s)", ylabel="genre", xlim=(0, prediction.seconds))
    ax.invert_yaxis()
    ax.figure.colorbar(mesh, ax=panels, label="probability", pad=0.02)
    return ax


def _waveform_above(ax: Axes, y: np.ndarray, sample_rate: int) -> Axes:
    """Draw a signal in the upper third of the place of `ax`, on the same time axis."""
    upper, lower = ax.get_subplotspec().subgridspec(2, 1, height_ratios=(1, 2), hspace=0.05)
    ax.set_subplotspec(lower)
    above = ax.figure.add_subplot(upper, sharex=ax)
    # As many peaks as the picture has room for: a song of an hour has 80 million samples.
    width = -(-len(y) // 4000)
    peaks = np.pad(y, (0, -len(y) % width), mode="edge").reshape(-1, width)
    outline = np.stack([peaks.min(axis=1), peaks.max(axis=1)], axis=1).ravel()
    waveform(outline, sample_rate=2 * sample_rate / width, ax=above)
    above.set(xlabel="")
    above.tick_params(labelbottom=False)
    return above


def split_scores(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of one or more models under each split, with intervals.

    Parameters
    ----------
    table : pd.DataFrame
        One row a model and split, with the columns ``model``, ``split``, ``accuracy``,
        ``low`` and ``high`` (0 to 1), in the order in which they are to be drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``6_leakage`` introduces this plot.
    """
    ax = _axes(ax, (7, 4.5))
    names = list(dict.fromkeys(table["split"]))
    by_model = table.groupby("model", sort=False)
    # Side by side, and with marks of their own, for readers without colour.
    shifts = np.linspace(-0.12, 0.12, len(by_model)) if len(by_model) > 1 else [0]
    for shift, mark, (model, rows) in zip(shifts, cycle("os^Dv"), by_model):
        x = [names.index(name) + shift for name in rows["split"]]
        spread = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        ax.errorbar(x, rows["accuracy"], spread, marker=mark, capsize=3, label=model)
    ax.set(xlabel="what the split keeps together", ylabel="accuracy by track", ylim=(0, 1.03))
    ax.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend()
    return ax


def architecture(model: "keras.Model", *, ax: Axes | None = None) -> Axes:
    """Draw the layers of a sequential model, with output shapes and numbers of parameters.

    Parameters
    ----------
    model : keras.Model
        A model whose layers follow one another.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.
    """
    ax = _axes(ax, (8, 0.55 * (len(model.layers) + 2)))
    rows = [("input", "", model.input_shape[1:], 0)]
    rows += [
        (type(layer).__name__, _settings(layer), layer.output.shape[1:], layer.count_params())
        for layer in model.layers
    ]
    colors = dict(zip(dict.fromkeys(name for name, *_ in rows), sns.color_palette("pastel", 10)))
    ax.plot([0.22, 0.22], [0, 1 - len(rows)], color="0.4", zorder=0)
    for position, (name, settings, shape, parameters) in enumerate(rows):
        ax.text(
            0.22,
            -position,
            f"{name} {settings}".strip(),
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.35", "facecolor": colors[name], "edgecolor": "0.4"},
        )
        ax.text(0.55, -position, " × ".join(map(str, shape)), ha="center", va="center")
        ax.text(0.9, -position, f"{parameters:,}" if parameters else "–", ha="right", va="center")
    for x, align, heading in (
        (0.22, "center", "layer"),
        (0.55, "center", "output shape"),
        (0.9, "right", "parameters"),
    ):
        ax.text(x, 1, heading, ha=align, va="center", weight="bold")
    ax.text(0.9, -len(rows), f"{model.count_params():,}", ha="right", va="center", weight="bold")
    ax.text(0.55, -len(rows), "in all", ha="center", va="center", weight="bold")
    ax.set(xlim=(0, 1), ylim=(-len(rows) - 0.5, 1.5))
    ax.axis("off")
    return ax


def _settings(layer: "keras.layers.Layer") -> str:
    """Tell what a reader wants to know of a layer, in a word or two."""
    config = layer.get_config()
    parts = [str(config.get(key, "")) for key in ("filters", "units", "rate")]
    size = config.get("kernel_size") or config.get("pool_size")
    parts.append("×".join(map(str, size)) if size else "")
    parts.append(config.get("activation") or "")
    return " ".join(part for part in parts if part)


def sign(ax: Axes, corpus: str) -> Axes:
    """Write on the figure what corpus it shows.

    Parameters
    ----------
    ax : matplotlib Axes
        Any Axes of the figure.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns; a toy corpus is marked in bold.

    Returns
    -------
    ax : matplotlib Axes
        The same.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    toy = corpus.startswith("toy")
    ax.figure.supxlabel(
        corpus.upper() if toy else corpus,
        fontsize="small",
        color="darkred" if toy else "0.4",
        weight="bold" if toy else "normal",
        x=0.99,
        ha="right",
    )
    return ax


def _axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
