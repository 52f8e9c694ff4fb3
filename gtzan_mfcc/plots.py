"""Plots: each function draws on given Axes, or in a new figure, and returns Axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from gtzan_mfcc._librosa import librosa
from gtzan_mfcc.audio import SAMPLE_RATE
from gtzan_mfcc.features import STUDY, Settings

if TYPE_CHECKING:  # Plots do not need Keras.
    from gtzan_mfcc.predict import Prediction

# Colour maps for colour-blind readers, also readable in grey.
COUNT_MAP = "Blues"
LEVEL_MAP = "viridis"
DIFFERENCE_MAP = "PuOr"

COLOURS = {"CNN": "C0", "SVM": "C1", "MLP": "C2", "ANN": "C3"}
"""The colour of each kind of model in all figures, from the palette of `set_theme`."""


def set_theme() -> None:
    """Set the style of all figures of a notebook; the layout cuts off no labels.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> with plt.rc_context():  # The style ends with this block.
    ...     set_theme()
    ...     ax = waveform(np.zeros(22_050))
    >>> plt.close()
    """
    layout = {"figure.constrained_layout.use": True}
    sns.set_theme("notebook", "ticks", "colorblind", rc=layout)


def waveform(
    y: np.ndarray,
    *,
    sample_rate: int = SAMPLE_RATE,
    color: str = "0.3",
    linewidth: float = 0.4,
    ax: Axes | None = None,
) -> Axes:
    """Draw a signal over time.

    A long signal is divided into at most 8,000 pieces, and the lowest and the highest
    sample of each are drawn. An hour has 80 million samples, more than a figure shows.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal.
    sample_rate : int
        Samples per second (Hz) of the signal.
    color : str
        Colour of the line, for matplotlib.
    linewidth : float
        Width of the line in points.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.

    Examples
    --------
    >>> y = np.sin(np.arange(32_000))
    >>> ax = waveform(y, sample_rate=16_000, color="navy")
    >>> print(*ax.get_xlim())
    0.0 2.0
    >>> plt.close()
    """
    ax = _axes(ax, (10, 3))
    starts = np.arange(0, len(y), len(y) // 8000 + 1)
    lowest = np.minimum.reduceat(y, starts)
    highest = np.maximum.reduceat(y, starts)
    peaks = np.column_stack([lowest, highest]).ravel()
    seconds = np.repeat(starts, 2) / sample_rate
    ax.plot(seconds, peaks, color=color, linewidth=linewidth)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(y) / sample_rate))
    return ax


def spectrogram(
    data: np.ndarray,
    settings: Settings = STUDY,
    *,
    frequency: str = "linear",
    unit: str = "level (dB)",
    ax: Axes | None = None,
) -> Axes:
    """Draw a spectrogram over time (s) and frequency (Hz).

    Parameters
    ----------
    data : np.ndarray [shape=(bins, frames)]
        The values, such as levels in dB: ``1 + n_fft // 2`` frequencies, or ``n_mels``
        mel bands.
    settings : Settings
        The sample rate, ``n_fft``, ``hop_length`` and ``n_mels`` of `data`.
    frequency : str
        The frequency axis: ``"linear"``, ``"log"``, or ``"mel"`` for mel bands.
    unit : str
        Label of the colour bar.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ValueError
        If `data` has other rows than `settings`: the axes would be wrong.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.

    Examples
    --------
    >>> settings = Settings(sample_rate=16_000, n_mels=64)
    >>> mel = np.random.default_rng(0).uniform(size=(64, 100))
    >>> ax = spectrogram(mel, settings, frequency="mel", unit="power")
    >>> plt.close()
    """
    scales = {"linear": "Hz", "log": "Hz, logarithmic", "mel": "Hz, mel scale"}
    n_bins = settings.n_mels if frequency == "mel" else 1 + settings.n_fft // 2
    if len(data) != n_bins:
        raise ValueError(
            f"the data have {len(data)} rows, and the settings {n_bins} for the axis "
            f"{frequency!r}; give the Settings and the frequency axis of the data."
        )
    ax = _axes(ax, (10, 4))
    mesh = librosa.display.specshow(
        data,
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        x_axis="s",
        y_axis=frequency,
        cmap=LEVEL_MAP,
        ax=ax,
    )
    ax.figure.colorbar(mesh, ax=ax, label=unit, pad=0.02)
    ax.set(xlabel="time (s)", ylabel=f"frequency ({scales[frequency]})")
    return ax


def mfcc(
    coefficients: np.ndarray,
    settings: Settings = STUDY,
    *,
    limits: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw MFCCs over time (s), from the first coefficient at the bottom to the last.

    White is zero, purple is positive and orange is negative. The first two coefficients
    are much larger than the others. To show the others, set `limits` to their range.
    The colour bar then has arrows at its ends, because some values are beyond it.

    Parameters
    ----------
    coefficients : np.ndarray [shape=(frames, n_mfcc)]
        From `gtzan_mfcc.features.mfcc` for one signal.
    settings : Settings
        The sample rate and ``hop_length`` of the MFCCs.
    limits : sequence of two float, optional
        Lowest and highest value of the colour scale; use the same limits to compare
        figures. By default it ends at the largest magnitude on both sides of zero.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this plot.

    Examples
    --------
    >>> settings = Settings(sample_rate=16_000, hop_length=160, n_mfcc=20)
    >>> ax = mfcc(np.zeros((300, 20)), settings, limits=(-50, 50))
    >>> print(*ax.get_xlim())
    0.0 3.0
    >>> plt.close()
    """
    ax = _axes(ax, (10, 3.5))
    frames, n_mfcc = coefficients.shape
    seconds = np.arange(frames + 1) * settings.hop_length / settings.sample_rate
    numbers = np.arange(n_mfcc + 1) + 0.5
    ends = "neither" if limits is None else "both"
    if limits is None:
        reach = np.nanmax(np.abs(coefficients))
        limits = (-reach, reach)
    style = {"cmap": DIFFERENCE_MAP, "clim": limits}
    mesh = ax.pcolormesh(seconds, numbers, coefficients.T, **style)
    ax.figure.colorbar(mesh, ax=ax, label="coefficient (dB)", pad=0.02, extend=ends)
    ax.set(xlabel="time (s)", ylabel="MFCC number")
    ax.set_yticks(range(1, n_mfcc + 1, max(2, n_mfcc // 7)))
    return ax


def learning_curves(
    history: pd.DataFrame,
    title: str | None = None,
    *,
    color: str = "black",
    axes: Sequence[Axes] | None = None,
) -> Axes:
    """Draw loss and accuracy by epoch, next to each other.

    The curves are those of the training set and, if there is one, the validation set.
    The accuracy is on a scale from 0 to 1, so that figures can be compared.

    Parameters
    ----------
    history : pd.DataFrame
        What `gtzan_mfcc.training.fit` returns.
    title : str, optional
        Title of the figure.
    color : str
        Colour of the lines, such as the model's in `COLOURS`.
    axes : sequence of two matplotlib Axes, optional
        Where to draw the loss and the accuracy; a new figure by default.

    Returns
    -------
    ax : matplotlib Axes
        The Axes of the accuracy; in a new figure, the loss is ``ax.figure.axes[0]``.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.

    Examples
    --------
    >>> history = pd.DataFrame({"loss": [2.0, 1.2], "accuracy": [0.3, 0.6]})
    >>> figure, axes = plt.subplots(2)
    >>> ax = learning_curves(history, axes=axes)
    >>> plt.close()
    """
    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    loss, accuracy = axes
    for ax, metric in [(loss, "loss"), (accuracy, "accuracy")]:
        ax.plot(history[metric], color=color, label="training")
        if "val_loss" in history:
            ax.plot(history[f"val_{metric}"], "--", color=color, label="validation")
            best = history["val_loss"].idxmin()
            label = f"lowest validation loss ({best})"
            ax.axvline(best, color="0.6", linestyle=":", label=label)
        ax.set(xlabel="epoch", ylabel=metric)
        ax.xaxis.get_major_locator().set_params(integer=True)
    loss.set_ylim(0, None)
    accuracy.set_ylim(0, 1)
    accuracy.legend(loc="lower right")
    if title is not None:
        ax.figure.suptitle(title)
    return accuracy


def confusion_matrix(
    confusion: pd.DataFrame | np.ndarray, *, ax: Axes | None = None
) -> Axes:
    """Draw a confusion matrix: numbers, and shares of the true genre as colours.

    Parameters
    ----------
    confusion : pd.DataFrame or np.ndarray [shape=(n_true, n_predicted)]
        Counts (integers), or shares (shown with two decimals) of the true genre or of
        all rows. One row per true genre, and one column per predicted genre, as in
        `gtzan_mfcc.metrics.genre_confusion` and scikit-learn. Any labels are shown as
        text.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.

    Examples
    --------
    >>> genres = ["jazz", "rock"]
    >>> confusion = pd.DataFrame([[3, 1], [0, 4]], index=genres, columns=genres)
    >>> ax = confusion_matrix(confusion)
    >>> [text.get_text() for text in ax.texts]
    ['3', '1', '0', '4']
    >>> plt.close()
    """
    confusion = pd.DataFrame(confusion)
    shares = confusion.div(confusion.sum(axis=1), axis=0)
    shares = shares.fillna(0)  # a genre without rows
    scale = max(1, len(confusion) / 13)
    ax = _axes(ax, (8 * scale, 6.5 * scale))
    _heatmap(ax, shares, confusion, label="colour: share of the true genre")
    ax.tick_params(axis="x", rotation=45)
    ax.set_xlabel(confusion.columns.name or "predicted genre")
    ax.set_ylabel(confusion.index.name or "true genre")
    return ax


def genre_report(report: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw precision, recall and F1 of each genre, and their means, as a heat map.

    Parameters
    ----------
    report : pd.DataFrame
        What `gtzan_mfcc.metrics.genre_report` returns. If the last two rows are
        ``macro avg`` and ``weighted avg``, a line separates them from the genres.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this plot.

    Examples
    --------
    >>> columns = ["precision", "recall", "f1-score", "support"]
    >>> rows = {"jazz": [1.0, 0.75, 0.86, 4], "rock": [0.8, 1.0, 0.89, 4]}
    >>> report = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    >>> ax = genre_report(report)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['jazz  (4)', 'rock  (4)']
    >>> plt.close()
    """
    ax = _axes(ax, (6.5, max(6, 0.3 * len(report))))
    names = [f"{name}  ({row['support']:,.0f})" for name, row in report.iterrows()]
    scores = report[["precision", "recall", "f1-score"]].set_axis(names)
    _heatmap(ax, scores, scores, label="score")
    if list(report.index[-2:]) == ["macro avg", "weighted avg"]:
        ax.axhline(len(report) - 2, color="0.3", linewidth=1.5)
    ax.set_ylabel("genre  (number tested)")
    return ax


def report_card(
    cards: pd.DataFrame | Mapping[str, pd.DataFrame], *, ax: Axes | None = None
) -> Axes:
    """Draw the accuracy by track under each split, with its 95 % interval.

    A grey line marks the share of the most frequent genre among the tested tracks.

    Parameters
    ----------
    cards : pd.DataFrame, or dict of them by name of the model
        What `gtzan_mfcc.validation.report_card` returns, with one row per split. The
        cards may have different splits. The row ``leak`` is not drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``6_leakage`` introduces this plot.

    Examples
    --------
    >>> columns = ["track_accuracy", "track_low", "track_high", "majority"]
    >>> rows = {"segment": [0.9, 0.8, 0.95, 0.1], "artist": [0.6, 0.5, 0.7, 0.1]}
    >>> card = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    >>> ax = report_card({"CNN": card, "SVM": card.loc[["artist"]]})
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['segment', 'artist']
    >>> plt.close()
    """
    if isinstance(cards, pd.DataFrame):
        cards = {"": cards}
    table = pd.concat(cards, names=["model", "split"]).reset_index()
    table = table[table["split"] != "leak"]
    place, splits = pd.factorize(table["split"])
    table = table.assign(place=place)
    ax = _axes(ax, (7.5, 4.5))
    ax.hlines(
        table["majority"],
        place - 0.3,
        place + 0.3,
        color="0.6",
        linestyle=":",
        label="most frequent genre",
    )
    # All models of a split are above its grey line.
    distance = min(0.12, 0.6 / len(cards))
    for number, (name, card) in enumerate(table.groupby("model", sort=False)):
        offset = distance * (number - (len(cards) - 1) / 2)
        accuracy = card["track_accuracy"]
        below = accuracy - card["track_low"]
        above = card["track_high"] - accuracy
        ax.errorbar(
            card["place"] + offset,
            accuracy,
            [below, above],
            capsize=3,
            label=name,
            fmt="os^Dv"[number % 5],
            color=COLOURS.get(name, f"C{len(COLOURS) + number}"),
        )
    _name_ticks(ax.xaxis, [str(split).replace("_", "\n") for split in splits])
    ax.set(xlabel="split", ylabel="accuracy by track")
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def genre_over_time(
    prediction: "Prediction",
    y: np.ndarray | None = None,
    *,
    sample_rate: int = SAMPLE_RATE,
    ax: Axes | None = None,
) -> Axes:
    """Draw the probability of each genre over the time of a song.

    Colours are probabilities; a dot marks the most probable genre of each segment.

    Parameters
    ----------
    prediction : Prediction
        What `gtzan_mfcc.predict.predict` returns.
    y : np.ndarray [shape=(n,)], optional
        The signal of the song, drawn over the same time in the upper third of `ax`.
    sample_rate : int
        Samples per second (Hz) of `y`.
    ax : matplotlib Axes, optional
        Where to draw; a new one by default.

    Returns
    -------
    ax : matplotlib Axes
        The Axes of the genres; the waveform is ``ax.child_axes[0]``.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this plot.

    Examples
    --------
    >>> from gtzan_mfcc.predict import Prediction
    >>> times = pd.MultiIndex.from_tuples([(0, 3), (3, 6)], names=["start", "end"])
    >>> table = pd.DataFrame({"jazz": [0.2, 0.6], "rock": [0.8, 0.4]}, index=times)
    >>> prediction = Prediction(table, seconds=6.0, padded=False, silent=False)
    >>> ax = genre_over_time(prediction, np.zeros(6 * 22_050))
    >>> plt.close()
    """
    table = prediction.over_time
    times = table.index.to_frame()
    height = 1.5 if y is None else 2.7
    ax = _axes(ax, (10, height + 0.3 * len(table.columns)))
    middle = times.mean(axis=1).to_numpy()
    # If segments overlap, the edge between two is halfway between their middles.
    between = (middle[:-1] + middle[1:]) / 2
    edges = [times["start"].iloc[0], *between, times["end"].iloc[-1]]
    rows = np.arange(table.shape[1] + 1) - 0.5
    mesh = ax.pcolormesh(edges, rows, table.T, cmap=COUNT_MAP, vmin=0, vmax=1)
    likeliest = table.to_numpy().argmax(axis=1)
    dots = {"color": "white", "markeredgecolor": "black", "markersize": 4}
    ax.plot(middle, likeliest, "o", **dots)
    _name_ticks(ax.yaxis, table.columns)
    ax.set(xlabel="time (s)", ylabel="genre")
    ax.invert_yaxis()
    ax.figure.colorbar(mesh, ax=ax, label="probability", pad=0.02)
    if y is not None:
        ax.set_axes_locator(_lower_part)
        above = ax.inset_axes((0, 1.07, 1, 0.5), sharex=ax)
        waveform(y, sample_rate=sample_rate, ax=above)
        above.set_xlabel("")
        above.tick_params(labelbottom=False)
    ax.set_xlim(0, prediction.seconds)
    return ax


def annotate_corpus(ax: Axes, corpus: str) -> Axes:
    """Write the name of the corpus on the figure.

    Parameters
    ----------
    ax : matplotlib Axes
        Any Axes of the figure.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns; the toy corpus is in bold red.

    Returns
    -------
    ax : matplotlib Axes

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> ax = annotate_corpus(waveform(np.zeros(22_050)), "GTZAN, 421 tracks")
    >>> ax.figure.get_supxlabel()
    'GTZAN, 421 tracks'
    >>> plt.close()
    """
    is_toy = corpus.startswith("toy")
    ax.figure.supxlabel(
        corpus,
        x=0.99,
        ha="right",
        fontsize="small",
        color="darkred" if is_toy else "0.4",
        weight="bold" if is_toy else "normal",
        parse_math=False,
    )
    return ax


def _axes(ax, figsize):
    """Return the Axes given, or those of a new figure."""
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


def _heatmap(ax, shares, numbers, *, label):
    """Draw a table of shares as colours from 0 to 1, with numbers on them."""
    is_count = numbers.to_numpy().dtype.kind in "iu"
    sns.heatmap(
        shares,
        vmin=0,
        vmax=1,
        cmap=COUNT_MAP,
        annot=numbers,
        fmt="d" if is_count else ".2f",
        linewidths=0.5,
        cbar_kws={"label": label},
        # seaborn would read a name between two dollar signs as a formula.
        xticklabels=False,
        yticklabels=False,
        ax=ax,
    )
    _name_ticks(ax.xaxis, shares.columns, first=0.5)
    _name_ticks(ax.yaxis, shares.index, first=0.5)


def _lower_part(ax, _):
    """Return where Axes are if they leave room for a waveform above (a Bbox)."""
    left, bottom, width, height = ax.get_position(original=True).bounds
    return Bbox.from_bounds(left, bottom, width, height / 1.57)


def _name_ticks(axis, names, *, first=0):
    """Name the ticks `first`, `first` + 1, ... in plain text, dollar signs included."""
    labels = [str(name) for name in names]
    axis.set_ticks(first + np.arange(len(labels)), labels, parse_math=False)
