"""The notebooks run on a small toy corpus; the committed ones are fit to be read."""

import itertools
import json
import os
import re

import keras
import nbformat
import numpy as np
import papermill
import pytest
import soundfile
from filelock import FileLock
from sklearn.preprocessing import StandardScaler

from conftest import PROJECT
from gtzan_mfcc import models, toy

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
QUICK = {
    "1_features_ann": {"epochs": 3},
    "4_cnn_training": {"epochs": 2},
    "6_leakage": {"epochs": 1, "mlp_epochs": 1},
    "7_robustness": {"epochs": 1, "mlp_epochs": 2, "tracks_per_genre": 5},
    "8_your_own_music": {"epochs": 1},
    "9_model_card": {"epochs": 1, "mlp_epochs": 2, "tracks_per_genre": 5},
    "A_models_compared": {"epochs": 1, "mlp_epochs": 1, "ann_epochs": 1},
    "B_real_recordings": {"tracks_per_genre": 5},
}
WITH_ARTISTS = {"6_leakage", "7_robustness", "9_model_card"}
WITH_ARTISTS |= {"A_models_compared", "B_real_recordings"}
NEEDS = {"5_evaluation": "4_cnn_training", "B_real_recordings": "7_robustness"}

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def side_by_side(path):
    """Let any worker of pytest-xdist run a notebook, after the one that it needs."""
    group = NEEDS.get(path.stem, path.stem)
    return pytest.param(path, marks=pytest.mark.xdist_group(group), id=path.stem)


def execute(name, work, corpus):
    """Run a notebook on a corpus; it reads and writes in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GTZAN_DIR", str(corpus))
        patch.setenv("BUILD_DIR", str(work / "build"))
        patch.setenv("TQDM_DISABLE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # Another notebook may run beside it.
        return papermill.execute_notebook(
            PROJECT / "notebooks" / f"{name}.ipynb",
            work / f"{name}.ipynb",
            parameters=QUICK.get(name, {}),
            progress_bar=False,
        )


def test_no_notebook_is_missing():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{k}_" for k in "123456789AB"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Give a function that runs a notebook once, after the one that it needs.

    All workers of pytest-xdist share one folder, as notebooks side by side do.
    """
    work = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        work = work.parent
    work = work / "notebooks"
    small = toy.make_corpus(work / "toy", tracks_per_genre=2)
    # With artists and parts enough to keep apart.
    with_artists = toy.make_corpus(work / "gtzan" / "genres", tracks_per_genre=5)
    with FileLock(work / "beside.lock"):
        if not (work / "gtzan" / "clips").exists():
            _make_folders_beside(work / "gtzan")

    def run_once(name):
        if name in NEEDS:
            run_once(NEEDS[name])
        done = work / f"{name}.done"
        with FileLock(work / f"{name}.lock"):
            if not done.exists():
                execute(name, work, with_artists if name in WITH_ARTISTS else small)
                done.touch()
        return nbformat.read(work / f"{name}.ipynb", as_version=4), work / "build"

    return run_once


def _make_folders_beside(parent):
    """Make clips, pieces that were recorded again, and songs outside the corpus."""
    rows = ["file,artist,title"]
    for genre, number in itertools.product(("bells", "waltz"), range(4)):
        for folder in ("rerecorded", "outside", "clips"):
            (parent / folder / genre).mkdir(parents=True, exist_ok=True)
        place = f"{genre}/{genre}.{number:05}"
        piece = toy.make_track(genre, number)[: 7 * 22_050] / 4
        soundfile.write(parent / "rerecorded" / f"{place}.0.wav", piece, 22_050)
        song = toy.make_track(genre, 70 + number, seconds=7)
        soundfile.write(parent / "outside" / genre / f"{number}.wav", song, 22_050)
        rows.append(f"{genre}/{number}.wav,Band {number % 2},")
        clip = toy.make_track(genre, 60 + number, seconds=2.5)
        soundfile.write(
            parent / "clips" / f"{genre}/{genre}.{60 + number:05}.wav", clip, 22_050
        )
    (parent / "outside" / "songs.csv").write_text("\n".join(rows))


@pytest.mark.parametrize("path", map(side_by_side, NOTEBOOKS))
def test_runs_from_top_to_bottom(path, run):
    notebook, _ = run(path.stem)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr"  # A reader should see no warnings.
            if "image/png" in output.get("data", {}):
                assert output.metadata["image/png"]["alt"] > "Figure: "
    assert "TOY CORPUS" in json.dumps(notebook)


@pytest.mark.xdist_group("after the notebooks")
def test_results_tell_how_they_were_made_and_no_figure_is_missing(run):
    for path in NOTEBOOKS:
        _, build = run(path.stem)
    results = json.loads((build / "snapshots" / "results.json").read_text())
    assert {"ann_features", "cnn_no_augmentation", "cnn_augmented"} <= set(results)
    for entry in results.values():
        assert "toy corpus" in entry["corpus"]
        assert {"split", "seed", "versions", "results"} <= set(entry)
    made = list(build.glob("snapshots/*.png"))
    assert all(path.stat().st_size > 5_000 for path in made)
    committed = PROJECT.glob("snapshots/*.png")
    assert {path.name for path in made} == {path.name for path in committed}


@pytest.mark.parametrize(("name", "needs"), NEEDS.items())
def test_a_notebook_names_the_one_that_must_have_run(name, needs, toy_corpus, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match=f"{needs} first"):
        execute(name, tmp_path, toy_corpus)


@by_name
def test_committed_notebook_ran_in_order_without_errors(path):
    code = [cell for cell in _cells(path) if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


@by_name
def test_committed_notebook_is_small_and_names_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    places = r"(?<![\w.])/(home|root|Users|tmp|work|mnt|opt|usr)/|[A-Z]:\\\\"
    assert not re.search(places, text)


@by_name
def test_committed_notebook_has_no_sound_but_stand_ins(path):
    # Only notebook.player makes sounds. It keeps those of GTZAN out of these notebooks.
    for cell in _cells(path):
        if cell.cell_type == "code":
            assert not re.search(r"\bAudio\(|display\.Audio", cell.source)
    sounds = re.findall(r"<audio", path.read_text(encoding="utf-8"))
    assert not sounds or "stand_in=" in path.read_text(encoding="utf-8")


@by_name
def test_committed_notebook_is_of_gtzan(path):
    text = path.read_text(encoding="utf-8")
    if path.stem == "8_your_own_music":  # That is of no corpus but the reader's own.
        assert "TOY CORPUS" in text
        return
    assert re.search(r"\*\*Corpus: GTZAN(, [\d,]+ of its 1,000 tracks)?\.\*\*", text)
    assert "TOY CORPUS" not in text


@by_name
def test_notebook_is_a_chapter(path):
    cells = _cells(path)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    assert cells[0].source.startswith("# ")
    for mark in ("question", "to expect", "it takes"):
        assert re.search(rf"\*\*(The|What) {mark}\.\*\*", cells[0].source), mark
    for name in ("Takeaways", "Exercises"):
        section = _prose(path).split(f"## {name}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\d(?=\. )", section, re.MULTILINE) == ["1", "2", "3"]
    for cell in cells:
        # Those of the parameters and of the imports may be longer.
        if cell.cell_type == "code" and "import " not in cell.source:
            is_long = cell.source.count("\n") >= 15
            assert not is_long or "parameters" in cell.metadata.get("tags", [])


@by_name
def test_links_of_a_notebook_lead_to_its_neighbours_and_to_files(path):
    cells = _cells(path)
    place = NOTEBOOKS.index(path)
    for neighbour in NOTEBOOKS[max(place - 1, 0) : place + 2]:
        if neighbour != path:
            assert f"]({neighbour.name})" in cells[0].source
            assert f"]({neighbour.name})" in cells[-1].source
    for link in re.findall(r"\]\((?!http)([^)#]+)", _prose(path)):
        assert (path.parent / link).exists(), link


def ann():
    """Give what the lines of a network need, and the same network from the package."""
    x = np.random.default_rng(0).normal(size=(9, 57))
    scaler = StandardScaler().fit(x)
    given = {"scaler": scaler, "names": range(57), "genres": range(10), "seed": 3}
    return given, models.ann(mean=scaler.mean_, variance=scaler.var_, seed=3)


def cnn():
    given = {"frames": 130, "n_mfcc": 13, "n_genres": 10, "seed": 3}
    return given, models.cnn(**given)


def mlp():
    return {"models": models}, models.mlp(269)


@pytest.mark.parametrize(
    ("stem", "network"),
    [("1_features_ann", ann), ("4_cnn_training", cnn), ("6_leakage", mlp)],
)
def test_the_network_on_the_page_is_that_of_the_package(stem, network):
    given, expected = network()
    cells = _cells(PROJECT / "notebooks" / f"{stem}.ipynb")
    [lines] = [cell.source for cell in cells if "layers.Dense(" in cell.source]
    exec(lines, given)
    [model] = [each for each in given.values() if isinstance(each, keras.Model)]
    for layer, other in zip(model.layers, expected.layers, strict=True):
        assert type(layer) is type(other)
        assert layer.get_config() | {"name": ""} == other.get_config() | {"name": ""}
    for weights, others in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(weights, others)


def _cells(path):
    return nbformat.read(path, as_version=4).cells


def _prose(path):
    return "\n".join(
        cell.source for cell in _cells(path) if cell.cell_type == "markdown"
    )
