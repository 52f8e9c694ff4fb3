"""Helpers for the notebooks: banner, players, controls, folders for figures, results and models.

Figures and results go to the folder ``SNAPSHOTS_DIR``, by default ``build/snapshots``.
``make snapshots`` sets it to ``snapshots``, for the figures and results in the repository.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import ipywidgets
import numpy as np
from IPython import get_ipython
from IPython.display import Audio, Markdown
from matplotlib.axes import Axes

from gtzan_mfcc import dataset, plots
from gtzan_mfcc._disk import aside, package_versions
from gtzan_mfcc.audio import SAMPLE_RATE


def snapshots_dir() -> Path:
    """Return the folder for figures and results; make it if necessary.

    Returns
    -------
    folder : Path
    """
    folder = Path(os.environ.get("SNAPSHOTS_DIR") or dataset.build_dir() / "snapshots")
    folder.mkdir(parents=True, exist_ok=True)
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
    """
    name = re.sub(r"[^a-z0-9]+", "-", corpus.lower()).strip("-")
    folder = dataset.build_dir() / "models" / f"{name}-seed-{seed}"
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
    """
    plots.sign(ax, corpus)
    ax.figure.savefig(snapshots_dir() / f"{name}.png", dpi=110)


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
    """
    if corpus.startswith("toy"):
        found = f"No GTZAN was found, so this notebook runs on the {corpus}. Its numbers say"
        wanted = "Run `make data` to download GTZAN, or set `GTZAN_DIR` to your copy."
        return Markdown(f"## ⚠ TOY CORPUS, NOT MUSIC\n{found} nothing about music. {wanted}")
    return Markdown(f"**Corpus: {corpus}.**")


def record(name: str, *, corpus: str, split: str, seed: int, **results: object) -> dict:
    """Write results to ``results.json``, with corpus, split, seed and package versions.

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
        Numbers or lists of numbers; shares are from 0 to 1, not in percent.

    Returns
    -------
    entry : dict
        The entry in ``results.json``.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    path = snapshots_dir() / "results.json"
    entries = json.loads(path.read_text()) if path.is_file() else {}
    # Convert to Python's floats first: a rounded float32 would have more digits.
    rounded = {key: np.round(np.array(each).tolist(), 6).tolist() for key, each in results.items()}
    entries[name] = {"corpus": corpus, "split": split, "seed": seed, "results": rounded}
    entries[name]["versions"] = package_versions()
    with aside(path) as unfinished:
        unfinished.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    return entries[name]


def player(y: np.ndarray) -> Audio | Markdown:
    """Show a player for a signal.

    A player stores its sound in the notebook, and no licence allows copies of GTZAN's sound. So
    if ``SNAPSHOTS_DIR`` is set, as for the notebooks in the repository, a line of text replaces
    the player.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        The signal, at 22,050 Hz.

    Returns
    -------
    player : IPython.display.Audio or Markdown

    See Also
    --------
    Notebook ``2_mfcc_extraction`` introduces this helper.
    """
    if os.environ.get("SNAPSHOTS_DIR"):
        return Markdown("*Run this cell to hear the sound; it is not kept in the notebook.*")
    return Audio(y, rate=SAMPLE_RATE)


def interact(function: Callable, **controls: ipywidgets.ValueWidget) -> None:
    """Show controls, and call a function again when the reader changes one.

    If no reader is present, as when nbconvert runs the notebook, the function is called once with
    the initial values, and no controls are shown. So a page without a kernel shows the output.

    Parameters
    ----------
    function : callable
        Draws or displays something; its parameters are the values of the controls.
    **controls
        Widgets of ipywidgets, by the name of the parameter.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    # A front end with a reader accepts requests for input; nbconvert and papermill do not.
    if get_ipython().get_parent()["content"]["allow_stdin"]:
        ipywidgets.interact(function, **controls)
    else:
        function(**{name: control.value for name, control in controls.items()})
