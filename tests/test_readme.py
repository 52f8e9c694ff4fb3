"""What the README says is so."""

import json
import re
import runpy

import pytest
import soundfile

from conftest import PROJECT
from gtzan_mfcc import toy, training

fill_in = runpy.run_path(str(PROJECT / "snapshots" / "fill_readme.py"))["fill_in"]

README = (PROJECT / "README.md").read_text(encoding="utf-8")
MARKED = re.compile(r"<!--\w+\.\w+-->[^<]*<!--/-->")
# Published elsewhere: the study's own results.
PUBLISHED = ("90 to 92 %", "69 %", "94.19 %", "97.02 %", "83.2 %", "53.4 %", "77.2 %", "77.6 %")


@pytest.fixture(scope="module")
def results():
    return json.loads((PROJECT / "snapshots" / "results.json").read_text())


def test_numbers_are_those_of_the_results(results):
    assert len(MARKED.findall(README)) >= 12
    assert fill_in(README, results) == README


def test_no_other_percentages():
    rest = MARKED.sub("", README)
    for published in PUBLISHED:
        rest = rest.replace(published, "")
    found = re.findall(r"[\d.]+ ?%.*", rest)
    assert all(line.startswith("95 % interval") for line in found), found


def test_results_are_of_gtzan_and_say_so(results):
    for entry in results.values():
        assert entry["corpus"].startswith("GTZAN")
        assert entry["versions"]
    tracks = results["mfcc_extraction"]["results"]["tracks"]
    assert f"{tracks:,}-track subset" in README


def test_fill_in_formats_shares_intervals_counts_and_ratios():
    numbers = {"share": 0.9612, "interval": [0.9, 0.98765], "count": 16832, "a_ratio": 5.2468}
    results = {"a": {"results": numbers}}
    text = ", ".join(f"<!--a.{name}-->?<!--/-->" for name in numbers)
    filled = MARKED.sub(lambda m: m[0].split("-->")[1].split("<")[0], fill_in(text, results))
    assert filled == "96.1 %, 90.0 to 98.8 %, 16,832, 5.2"


def test_unknown_number_is_an_error():
    with pytest.raises(KeyError):
        fill_in("<!--a.b-->1<!--/-->", {})


def test_linked_files_are_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert len(links) >= 18
    for link in links:
        assert (PROJECT / link).is_file(), link


def test_no_line_begins_with_a_mark():
    # Markdown takes such a line for a block of HTML, and tears the paragraph apart.
    assert not re.search(r"^\s*<!--", README, flags=re.MULTILINE)


def test_pictures_have_alt_text():
    alts = re.findall(r"!\[([^\]]*)\]", README)
    assert len(alts) == 16
    assert all(len(alt) > 20 for alt in alts)


def test_snippets_run_one_after_the_other(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("GTZAN_DIR", str(toy_corpus))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.mp3", toy.make_track("waltz", 0, seconds=7), 22_050)
    for quick in ("epochs", "members"):
        monkeypatch.setitem(training.fit_statistics_mlp.__kwdefaults__, quick, 1)
    scope = {}
    for snippet in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(snippet, "README.md", "exec"), scope)
    assert scope["predictions"]["track"].nunique() == 20
    assert scope["segments"].mfcc.shape[1:] == (130, 13)
    assert scope["history"].notna().all(axis=None)
    assert scope["segments"].left_out.empty
    assert len(scope["prediction"].over_time) == 5
