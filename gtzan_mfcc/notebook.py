"""What every notebook needs: a banner, players, and a place for figures, results and models.

``SNAPSHOTS_DIR`` names the folder of the figures and results. It is set, to ``snapshots``,
when the project makes what it commits; otherwise they go to ``build/snapshots``.
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
    """Return the folder for figures and results; it is made if need be.

    Returns
    -------
    folder : Path
    """
    folder = Path(os.environ.get("SNAPSHOTS_DIR") or dataset.build_dir() / "snapshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_dir(corpus: str, seed: int) -> Path:
    """Return the folder for trained models, one for each corpus and seed; it is made if need be.

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
    """Sign a figure with the corpus it shows, and save it as ``<name>.png``.

    Parameters
    ----------
    ax : matplotlib Axes
        Any Axes of the figure.
    name : str
        Name of the file, without ending.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    plots.sign(ax, corpus)
    ax.figure.savefig(snapshots_dir() / f"{name}.png", dpi=110)


def banner(corpus: str) -> Markdown:
    """Say at the head of a notebook what corpus its results are of.

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
    """Write results to ``results.json``, with what they were made with.

    Parameters
    ----------
    name : str
        Name of the experiment; an earlier entry of that name is replaced.
    corpus : str
        What `gtzan_mfcc.dataset.corpus_label` returns.
    split : str
        How training and validation part were made.
    seed : int
        The seed of split and training.
    **results
        Numbers (or lists of them), as shares of 1 and not in percent.

    Returns
    -------
    entry : dict
        What was written.

    See Also
    --------
    Notebook ``1_features_ann`` introduces this helper.
    """
    path = snapshots_dir() / "results.json"
    entries = json.loads(path.read_text()) if path.is_file() else {}
    # By way of Python's own numbers: float32 would be written with all its false digits.
    rounded = {key: np.round(np.array(each).tolist(), 6).tolist() for key, each in results.items()}
    entries[name] = {"corpus": corpus, "split": split, "seed": seed, "results": rounded}
    entries[name]["versions"] = package_versions()
    with aside(path) as unfinished:
        unfinished.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    return entries[name]


def player(y: np.ndarray) -> Audio | Markdown:
    """Show a player for a signal.

    A player writes its sound into the notebook, and GTZAN's sound has no licence that lets
    it be handed on. So where ``SNAPSHOTS_DIR`` is set, for notebooks that are to be
    committed, a line stands in the player's place.

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
    """Call a function again whenever a reader moves a control.

    Where nobody is there to move one, as when nbconvert runs the notebook, the function is called
    once, with the values at which the controls start. So a page without a kernel shows what it
    draws, and no dead control.

    Parameters
    ----------
    function : callable
        Draws or displays something; takes the values of the controls by name.
    **controls
        Widgets of ipywidgets.

    See Also
    --------
    Notebook ``3_augmentation`` introduces this helper.
    """
    # A front end with a reader before it can be asked for input; a program that runs notebooks
    # says that it cannot.
    if get_ipython().get_parent()["content"]["allow_stdin"]:
        ipywidgets.interact(function, **controls)
    else:
        function(**{name: control.value for name, control in controls.items()})
