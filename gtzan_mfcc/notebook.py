"""Helpers of the notebooks: folders, figures, results, players and controls.

Figures and results go to the folder ``SNAPSHOTS_DIR``, by default ``build/snapshots``.
``make snapshots`` sets it to ``snapshots``, for the figures and results in the
repository.
"""

import io
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets
import numpy as np
import soundfile
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from IPython.display import Audio, Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gtzan_mfcc import dataset, plots, toy
from gtzan_mfcc._util import UserError, locked, package_versions, temporary
from gtzan_mfcc.audio import SAMPLE_RATE

_PACKAGES = (
    "audiomentations keras librosa numpy scikit-learn scipy soundfile soxr tensorflow"
)


def start() -> None:
    """Prepare a notebook: the theme and alternative texts of figures, and short errors.

    An error of this package says what to do, so a notebook shows it in one line. All
    other errors keep their traceback. The alternative text of a figure, for readers who
    do not see it, has its titles and the labels of its axes.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> start()
    """
    plots.set_theme()
    # IPython calls this method in place of its own formatter.
    UserError._render_traceback_ = lambda error: [f"{type(error).__name__}: {error}"]
    shell = get_ipython()
    if hasattr(shell, "kernel"):
        # First, because the backend of the notebooks sets a formatter of its own.
        shell.enable_matplotlib("inline")
        shell.display_formatter.formatters["image/png"].for_type(Figure, _picture)


def build_dir() -> Path:
    """Return the folder for files that can be made again: caches, models, results.

    Returns
    -------
    folder : Path
        ``BUILD_DIR`` if that environment variable is set, else ``build`` in the folder
        of the project.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, BUILD_DIR="/scratch"):
    ...     print(build_dir().as_posix())
    /scratch
    """
    return dataset.project_dir() / (os.environ.get("BUILD_DIR") or "build")


def cache_dir() -> Path:
    """Return the folder for the caches of the notebooks: ``cache`` in `build_dir`.

    Returns
    -------
    folder : Path
        It need not exist.

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> cache_dir().name
    'cache'
    """
    return build_dir() / "cache"


def corpus_folder() -> Path:
    """Return the folder of GTZAN, or of the toy corpus if there is no GTZAN.

    Returns
    -------
    folder : Path
        The result of `gtzan_mfcc.dataset.find_corpus`. If that is None, ``data/toy-2``
        in the folder of the project, where `gtzan_mfcc.toy.make_corpus` makes the toy
        corpus if it does not exist. (Another version of the toy corpus gets a new name,
        so that an old one is never taken for it.)

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> tracks = dataset.load_tracks(corpus_folder())  # doctest: +SKIP
    """
    folder = dataset.find_corpus()
    if folder is None:
        folder = toy.make_corpus(dataset.project_dir() / "data" / "toy-2")
    return folder


def run_dir(corpus: str, seed: int) -> Path:
    """Return the folder for trained models of a corpus and seed; make it if necessary.

    Parameters
    ----------
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns.
    seed : int
        The seed of split and training.

    Returns
    -------
    folder : Path

    See Also
    --------
    Notebook ``4_cnn_training`` introduces this helper.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as build, patch.dict(os.environ, BUILD_DIR=build):
    ...     run_dir("GTZAN, 421 of its 1,000 tracks", seed=0).name
    'gtzan-421-of-its-1-000-tracks-seed-0'
    """
    name = re.sub(r"[^a-z0-9]+", "-", corpus.lower()).strip("-")
    folder = build_dir() / "models" / f"{name}-seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save_figure(ax: Axes, name: str, corpus: str) -> None:
    """Write the name of the corpus on a figure, and save it as ``<name>.png``.

    Parameters
    ----------
    ax : matplotlib Axes
        Any Axes of the figure.
    name : str
        Name of the file, without suffix.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> ax = plots.waveform(np.zeros(100))
    >>> with TemporaryDirectory() as here, patch.dict(os.environ, SNAPSHOTS_DIR=here):
    ...     save_figure(ax, "silence", "GTZAN")
    ...     os.listdir(here)
    ['silence.png']
    """
    plots.annotate_corpus(ax, corpus)
    ax.figure.savefig(_snapshots_dir() / f"{name}.png", dpi=110)


def banner(corpus: str) -> Markdown:
    """Show the corpus at the top of a notebook, with a warning for the toy corpus.

    Parameters
    ----------
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns.

    Returns
    -------
    banner : IPython.display.Markdown

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> banner("GTZAN").data
    '**Corpus: GTZAN.**'
    """
    if not corpus.startswith("toy"):
        return Markdown(f"**Corpus: {corpus}.**")
    return Markdown(
        "## ⚠ TOY CORPUS, NOT MUSIC\n"
        f"No GTZAN was found, so this notebook runs on the {corpus}. Its numbers say "
        "nothing about music. Run `make data` to download GTZAN, or set `GTZAN_DIR` to "
        "your copy."
    )


def in_points(difference: Sequence[float], *, verdict: bool = False) -> str:
    """Write a difference of two accuracies and its interval in percentage points.

    Parameters
    ----------
    difference : sequence of float [shape=(3,)]
        The difference, and the lower and upper end of its 95 % interval, as from
        `gtzan_mfcc.metrics.paired_interval`.
    verdict : bool
        Say whether the difference is significant, that is whether the interval excludes
        zero.

    Returns
    -------
    text : str

    See Also
    --------
    Notebook ``6_leakage`` introduces this helper.

    Examples
    --------
    >>> in_points((0.017, -0.002, 0.036))
    '+1.7 (-0.2 to +3.6)'
    >>> in_points((0.03, 0.01, 0.05), verdict=True)
    '+3.0 (+1.0 to +5.0) points, significant'
    """
    # The sum makes 0.0 of -0.0.
    points = [round(100 * each, 1) + 0.0 for each in difference]
    text = "{:+.1f} ({:+.1f} to {:+.1f})".format(*points)
    if not verdict:
        return text
    _, low, high = difference
    significant = "significant" if low > 0 or high < 0 else "not significant"
    return f"{text} points, {significant}"


def record(
    name: str, *, corpus: str, split: str, seed: int, **results: object
) -> dict[str, object]:
    """Write results to ``results.json``, with corpus, split, seed and versions.

    Several processes may write at the same time.

    Parameters
    ----------
    name : str
        Name of the experiment; an existing entry of this name is replaced.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns.
    split : str
        A description of the split.
    seed : int
        The seed of split and training.
    **results
        Numbers or lists of numbers; shares are from 0 to 1, not in percent. They are
        rounded to six digits. NaN and infinity become null.

    Returns
    -------
    entry : dict
        The entry in ``results.json``.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as here, patch.dict(os.environ, SNAPSHOTS_DIR=here):
    ...     entry = record("svm", corpus="GTZAN", split="track", seed=0, accuracy=2 / 3)
    >>> entry["results"]
    {'accuracy': 0.666667}
    """
    entry = {
        "corpus": corpus,
        "split": split,
        "seed": seed,
        "results": {key: _for_json(result) for key, result in results.items()},
        "versions": package_versions(_PACKAGES),
    }
    path = _snapshots_dir() / "results.json"
    with locked(path.with_suffix(".lock")):
        entries = json.loads(path.read_text()) if path.is_file() else {}
        entries[name] = entry
        with temporary(path) as unfinished:
            text = json.dumps(entries, indent=2, sort_keys=True)
            unfinished.write_text(text + "\n")
    return entry


def player(
    y: np.ndarray,
    sample_rate: int = SAMPLE_RATE,
    *,
    stand_in: np.ndarray | None = None,
) -> Audio | Markdown:
    """Show a player for a signal, as MP3; all sounds have the same maximum.

    A player stores its sound in the notebook, and no licence allows copies of GTZAN's
    sound. So if ``SNAPSHOTS_DIR`` is set, as for the notebooks in the repository, the
    player has another sound, or a line of text replaces it.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal.
    sample_rate : int
        Its sample rate in Hz, one of MP3's; see `gtzan_mfcc.augmentation.mp3`.
    stand_in : np.ndarray [shape=(n,)], optional
        A sound that may be copied, to play if ``SNAPSHOTS_DIR`` is set, such as a track
        of the toy corpus.

    Returns
    -------
    player : IPython.display.Audio or Markdown

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.

    Examples
    --------
    >>> sound = player(np.sin(0.05 * np.arange(22_050)))
    """
    if os.environ.get("SNAPSHOTS_DIR"):
        if stand_in is None:
            return Markdown(
                "*Run this cell to hear the sound; the notebook does not keep it.*"
            )
        y = stand_in
    file = io.BytesIO()
    loudest = max(np.abs(y).max(), np.finfo(np.float32).tiny)
    soundfile.write(file, 0.9 * y / loudest, sample_rate, format="MP3")
    sound = Audio(file.getvalue())
    sound.mimetype = "audio/mpeg"
    return sound


def check(result: object, expected: object, *, tolerance: float = 0.01) -> Markdown:
    """Tell the reader of a notebook whether the result of an exercise is correct.

    Parameters
    ----------
    result : array_like or None
        What the reader has computed; None as long as there is nothing.
    expected : array_like
        What should come out, of the same shape.
    tolerance : float
        Largest difference that counts as equal.

    Returns
    -------
    verdict : IPython.display.Markdown

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.

    Examples
    --------
    >>> check(None, 4.5).data
    '*No result yet: put it in place of None, and run this cell again.*'
    >>> check(4.5, 4.5).data
    '**Your result agrees.**'
    >>> check([1, 2, 4], [1, 2, 3]).data
    '**Not yet:** the largest difference from the expected result is 1.'
    """
    if result is None:
        text = "*No result yet: put it in place of None, and run this cell again.*"
    elif np.shape(result) != np.shape(expected):
        text = f"**Not yet:** shape {np.shape(result)}, expected {np.shape(expected)}."
    else:
        difference = np.abs(np.subtract(result, expected)).max()
        text = "**Your result agrees.**"
        if not difference <= tolerance:  # also if it is NaN
            text = (
                "**Not yet:** the largest difference from the expected result is "
                f"{difference:.3g}."
            )
    return Markdown(text)


def interact(function: Callable, **controls: ipywidgets.ValueWidget) -> None:
    """Show controls, and call a function again when the reader changes one.

    If no reader is present, as in a script or when nbconvert runs the notebook, the
    function is called once with the initial values, and no controls are shown. So a
    page without a kernel shows the output.

    Parameters
    ----------
    function : callable
        Draws or displays something; its parameters are the values of the controls.
    **controls
        Widgets of ipywidgets, by the name of the parameter.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.

    Examples
    --------
    >>> interact(print, sep=ipywidgets.Text("-"))
    <BLANKLINE>
    """
    shell = get_ipython()
    # A script has no shell, and the shell of a terminal has no front end. A front end
    # with a reader accepts requests for input; nbconvert and papermill do not.
    if hasattr(shell, "get_parent") and shell.get_parent()["content"]["allow_stdin"]:
        ipywidgets.interact(function, **controls)
    else:
        function(**{name: control.value for name, control in controls.items()})


def _picture(figure):
    """Return a figure as PNG, and its alternative text."""
    texts = [figure.get_suptitle()]
    for ax in figure.axes:
        texts += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
    shown = dict.fromkeys(" ".join(text.split()) for text in texts if text)
    return print_figure(figure, base64=True), {"alt": f"Figure: {'; '.join(shown)}"}


def _snapshots_dir():
    """Return the folder for figures and results; make it if necessary."""
    folder = Path(os.environ.get("SNAPSHOTS_DIR") or build_dir() / "snapshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _for_json(result):
    """Round numbers, as Python's own types; JSON has no NaN and no infinity."""
    if np.ndim(result):
        return [_for_json(each) for each in result]
    # A float32 becomes a float first: rounded as it is, it would have more digits.
    number = np.asarray(result).item()
    if isinstance(number, float):
        return round(number, 6) if np.isfinite(number) else None
    return number
