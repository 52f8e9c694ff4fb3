"""Helpers of the notebooks."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import soundfile
from IPython.display import Markdown

from gtzan_mfcc import dataset, notebook, toy


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Use an empty folder as the project, and ``snapshots`` in it for results."""
    monkeypatch.setattr(dataset, "project_dir", lambda: tmp_path)
    monkeypatch.setenv("SNAPSHOTS_DIR", str(tmp_path / "snapshots"))
    return tmp_path


def test_only_an_error_of_the_package_is_shown_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    code = """
from gtzan_mfcc import dataset, notebook
notebook.start()
get_ipython().run_cell("dataset.sound_files('nowhere')")
get_ipython().run_cell("int('x')")
"""
    command = [sys.executable, "-m", "IPython", "--colors=NoColor", "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    first, second = shown.split("\n", 1)
    assert first == "DatasetError: nowhere: no such folder; check its name."
    assert "Traceback" in second


def test_folders_are_in_the_project_unless_they_are_named(project, monkeypatch):
    monkeypatch.delenv("BUILD_DIR")
    monkeypatch.delenv("SNAPSHOTS_DIR")
    assert notebook.build_dir() == project / "build"
    assert notebook.cache_dir() == project / "build" / "cache"
    notebook.record("cnn", corpus="GTZAN", split="track", seed=0)
    assert (project / "build" / "snapshots" / "results.json").is_file()
    folder = notebook.run_dir("GTZAN, 421 of its 1,000 tracks", 3)
    assert folder == project / "build/models/gtzan-421-of-its-1-000-tracks-seed-3"
    assert folder.is_dir()


def test_the_corpus_is_gtzan_or_else_the_toy_corpus(project, monkeypatch):
    monkeypatch.setattr(toy, "make_corpus", lambda folder: folder)
    assert notebook.corpus_folder() == project / "data" / "toy-2"
    (project / "data" / "genres").mkdir(parents=True)
    assert notebook.corpus_folder() == project / "data" / "genres"


def test_the_banner_is_loud_for_the_toy_corpus_only():
    toy_label = "toy corpus (synthetic, not music), 60 tracks"
    assert "TOY CORPUS, NOT MUSIC" in notebook.banner(toy_label).data
    assert notebook.banner("GTZAN").data == "**Corpus: GTZAN.**"


def test_a_difference_is_significant_if_its_interval_excludes_zero():
    assert notebook.in_points((-0.0001, -0.02, 0.0)) == "+0.0 (-2.0 to +0.0)"
    for low, high, verdict in (-0.3, -0.1, ""), (-0.3, 0, "not "), (0, 0.3, "not "):
        text = notebook.in_points((-0.2, low, high), verdict=True)
        assert text.endswith(f" points, {verdict}significant")


def test_results_are_recorded_with_what_they_were_made_with(project):
    about = {"corpus": "GTZAN", "split": "track", "seed": 3}
    notebook.record("cnn", **about, accuracy=0.1)
    entry = notebook.record(
        "cnn", **about, accuracy=np.float32(0.1234567), interval=(0.1, np.nan)
    )
    assert entry["results"] == {"accuracy": 0.123457, "interval": [0.1, None]}
    assert about.items() <= entry.items()
    assert entry["versions"]["numpy"] == np.__version__
    text = (project / "snapshots" / "results.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"cnn": entry}


def test_two_processes_lose_no_result_of_each_other(project):
    code = """
import sys
from gtzan_mfcc import notebook
print("ready", flush=True)
input()
for k in range(20):
    notebook.record(f"{sys.argv[1]} {k}", corpus="GTZAN", split="track", seed=0, n=k)
"""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("first", "second")
    ]
    # Both begin when both are ready.
    assert [run.stdout.readline() for run in runs] == [b"ready\n"] * 2
    for run in runs:
        run.stdin.write(b"\n")
        run.stdin.close()
    assert [run.wait() for run in runs] == [0, 0]
    text = (project / "snapshots" / "results.json").read_text()
    assert len(json.loads(text)) == 40


def heard(player):
    assert "audio/mpeg" in player._repr_html_()
    return soundfile.read(io.BytesIO(player.data))


@pytest.mark.parametrize("amplitude", [1e-6, 1, 50])
def test_a_player_plays_all_sounds_at_one_level(amplitude):
    y = amplitude * np.sin(0.3 * np.arange(16_000))
    sound, sample_rate = heard(notebook.player(y, sample_rate=8000))
    assert sample_rate == 8000
    assert np.abs(sound[4000:-4000]).max() == pytest.approx(0.9, abs=0.05)


def test_a_notebook_to_be_committed_has_no_sound_but_the_one_that_may_be(monkeypatch):
    monkeypatch.setenv("SNAPSHOTS_DIR", "snapshots")
    y = np.sin(np.arange(8000))
    assert isinstance(notebook.player(y), Markdown)
    sound, _ = heard(notebook.player(y, stand_in=np.zeros(8000)))
    assert not sound.any()


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (None, "No result yet"),
        ([1, 2.001], "Your result agrees"),
        ([1, 2.1], "difference from the expected result is 0.1"),
        ([1, np.nan], "Not yet"),
        ([1, 2, 3], r"shape (3,), expected (2,)"),
        (1, r"shape (), expected (2,)"),
    ],
)
def test_the_result_of_an_exercise_is_checked(result, verdict):
    assert verdict in notebook.check(result, [1, 2]).data


@pytest.mark.parametrize(
    "shell",
    [
        None,
        SimpleNamespace(),
        SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": False}}),
    ],
    ids=["script", "terminal", "nbconvert"],
)
def test_without_a_reader_a_function_with_controls_is_called_once(monkeypatch, shell):
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    called = []
    notebook.interact(lambda **values: called.append(values), n=ipywidgets.IntText(3))
    assert called == [{"n": 3}]
