"""What the Markdown pages say is so."""

import json
import re
import runpy

import pandas as pd
import pytest
import soundfile

from conftest import PROJECT
from gtzan_mfcc import augmentation, toy

FILL_README = runpy.run_path(str(PROJECT / "snapshots" / "fill_readme.py"))
FILLED = FILL_README["PAGES"]
PAGES = [*FILLED, "RECIPES.md", "CONTRIBUTING.md", "data/README.md"]
TEXTS = {page: (PROJECT / page).read_text(encoding="utf-8") for page in PAGES}
TABLE = re.compile(
    r"^<!-- table: \w+ -->\n\n(.*?)\n\n<!-- end -->$", re.DOTALL | re.MULTILINE
)
# Accuracies that others published, in the text.
PUBLISHED = {"53.4 %", "77.2 %", "77.6 %", "82.1 %", "83.2 %"}


@pytest.fixture(scope="module")
def results():
    return json.loads((PROJECT / "snapshots" / "results.json").read_text())


@pytest.mark.parametrize("page", FILLED)
def test_tables_are_those_of_the_results(page, results):
    text = TEXTS[page]
    assert FILL_README["fill_tables"](text, results) == text
    tables = TABLE.findall(text)
    assert 1 < len(tables) == text.count("<!-- table") == text.count("<!--") / 2
    for table in tables:
        assert len({line.count("|") for line in table.split("\n")}) == 1


@pytest.mark.parametrize("page", FILLED)
def test_no_percentages_beside_the_tables(page):
    text = " ".join(TABLE.sub("", TEXTS[page]).split())
    percentages = set(re.findall(r"[\d.]+ ?%", text.replace("95 % interval", "")))
    assert percentages <= PUBLISHED


def test_results_are_of_gtzan(results):
    for entry in results.values():
        assert entry["corpus"].startswith("GTZAN")
        assert entry["versions"]


def test_results_of_the_peers_are_those_of_their_predictions(results):
    answers = pd.read_csv(PROJECT / "snapshots" / "peers.csv").set_index("split")
    rows = answers.groupby(["split", "seed"])["track"].nunique()
    assert rows.tolist() == [482] * 3 + [100] * 3  # All reggae is by one artist.
    assert len(answers) == rows.sum()
    assert answers.notna().all(axis=None)
    genre = answers.pop("track").str.partition(".")[0]
    accuracy = answers.drop(columns="seed").eq(genre, axis=0).groupby("split").mean()
    for name, (artist, faults) in accuracy.items():
        entry = results["peers_" + re.sub("[^a-z0-9]+", "_", name.lower())]["results"]
        assert artist == pytest.approx(entry["track_accuracy"], abs=1e-6)
        assert faults == pytest.approx(entry["fault_filtered_accuracy"], abs=1e-6)


def test_how_numbers_are_written():
    results = {
        "track_accuracy": 0.9612,
        "track_interval": [0.9, 0.98765],
        "parameters": 16832,
        "speed_ratio": 5.2468,
    }
    corpus = "GTZAN, 493 of its 1,000 tracks"
    shown = FILL_README["shown"]({"corpus": corpus, "results": results})
    assert shown["track"] == "96.1 % (90.0 to 98.8 %)"
    assert shown["parameters"] == "16,832"
    assert shown["speed_ratio"] == "5.2"
    assert shown["corpus"] == "493 tracks"


def test_no_kind_of_degraded_sound_is_missing_in_the_model_card():
    table = FILL_README["TABLES"]["degradations"]
    sounds = [row.split(" | ")[0] for row in table]
    assert sounds == ["sound", "clean", *augmentation.DEGRADATIONS]


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 200
    assert len(TEXTS["README.md"].encode()) <= 12_000


@pytest.mark.parametrize("page", TEXTS)
def test_linked_files_are_there(page):
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", TEXTS[page]):
        assert (PROJECT / page).parent.joinpath(link).is_file(), link


def test_pictures_have_alt_text_and_all_are_in_the_gallery():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", "".join(TEXTS.values()))
    assert all(len(alt) > 20 for alt, _ in pictures)
    figures = {path.name for path in PROJECT.glob("snapshots/*.png")}
    assert figures <= {name for _, name in pictures}


@pytest.fixture
def run_snippets(tmp_path, monkeypatch):
    """Run those of a page, one after the other, where there is a song.mp3."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.mp3", toy.make_track("waltz", 0, seconds=7), 22_050)

    def run(page):
        scope = {}
        for snippet in re.findall(r"```python\n(.*?)```", TEXTS[page], flags=re.DOTALL):
            exec(compile(snippet, page, "exec"), scope)
        return scope

    return run


def test_snippets_of_the_readme_run(run_snippets, toy_corpus, monkeypatch):
    monkeypatch.setenv("GTZAN_DIR", str(toy_corpus))
    scope = run_snippets("README.md")
    assert scope["card"].loc["artist", "tracks"] == 20
    assert scope["segments"].x.shape == (200, 130, 13)


def test_recipes_run(run_snippets, tmp_path):
    # The recipes need a class called rock.
    for name, genre in {"drone": "drone", "rock": "fuzz", "waltz": "waltz"}.items():
        album = tmp_path / "music" / name / "some album"
        album.mkdir(parents=True)
        for number in range(3):
            y = toy.make_track(genre, number, seconds=7)
            soundfile.write(album / f"{number}.wav", y, 22_050)
    scope = run_snippets("RECIPES.md")
    assert len(scope["genres"]) == 9
    assert (tmp_path / "rock.m3u").is_file()
    assert scope["card"]["tracks"].item() == 9
