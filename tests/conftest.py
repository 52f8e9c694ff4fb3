import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

PROJECT = Path(__file__).parent.parent
SHARED = PROJECT.parent / "shared" / "gtzan"


def quick_network(frames=130, n_mfcc=13, n_genres=3, seed=0):
    """Make a small untrained network whose output depends on every frame."""
    # Import TensorFlow only for the tests that need it.
    from gtzan_mfcc._keras import keras

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((frames, n_mfcc)),
            layers.Rescaling(0.02),
            layers.Flatten(),
            layers.Dense(n_genres, activation="softmax"),
        ]
    )


# A worker of pytest-xdist runs a file as a whole, or a group; the longest come first.
FIRST = ["7_robustness", "6_leakage", "9_model_card", "4_cnn_training"]
FIRST += ["8_your_own_music"]
LAST = "after the notebooks"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    def place(item):
        group = item.get_closest_marker("xdist_group").args[0]
        return FIRST.index(group) if group in FIRST else len(FIRST) + (group == LAST)

    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=place)


# Read here, because the fixture below hides GTZAN_DIR from the tests.
GTZAN = Path(os.environ["GTZAN_DIR"]).parent if os.environ.get("GTZAN_DIR") else None


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch, tmp_path_factory):
    """Hide the user's corpus from the tests; let them write to a temporary folder."""
    for name in ("GTZAN_DIR", "SNAPSHOTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BUILD_DIR", str(tmp_path_factory.mktemp("build")))


@pytest.fixture(scope="session")
def reference():
    """Return the folder with `lossless` tracks and Kaggle's `reference` tables."""
    for folder in filter(None, (GTZAN, SHARED)):
        if (folder / "lossless").is_dir() and (folder / "reference").is_dir():
            return folder
    pytest.skip("no lossless and reference folders beside GTZAN_DIR or in ../shared")


@pytest.fixture(scope="session")
def toy_corpus(tmp_path_factory):
    """Make a corpus with two tracks of each toy genre."""
    from gtzan_mfcc import toy

    return toy.make_corpus(tmp_path_factory.mktemp("toy") / "toy", tracks_per_genre=2)


@pytest.fixture
def tone():
    """Make 3.5 s of a chord that fades, with some noise: all features are defined."""
    seconds = np.arange(int(3.5 * 22_050)) / 22_050
    chord = sum(np.sin(2 * np.pi * f * seconds) for f in (220, 277.2, 329.6))
    decay = np.exp(-(seconds % 0.5) * 4)
    noise = np.random.default_rng(0).standard_normal(len(seconds))
    y = 0.2 * chord * decay + 0.01 * noise
    return y.astype(np.float32)


@pytest.fixture
def small_corpus(tmp_path, tone):
    """Make a corpus of two genres with two short tracks each."""
    corpus = tmp_path / "corpus"
    for genre, gain in (("loud", 1.0), ("quiet", 0.1)):
        (corpus / genre).mkdir(parents=True)
        for k in range(2):
            y = np.tile(tone, 2) * gain / (k + 1)
            soundfile.write(corpus / genre / f"{genre}.{k:05d}.wav", y, 22_050)
    return corpus
