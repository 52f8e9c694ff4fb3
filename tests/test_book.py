"""The contents of the book; tests/browser looks at its pages."""

import re

import gtzan_mfcc
from conftest import PROJECT


def listed(page, directive):
    """List the entries of all directives of this name, without titles and options."""
    text = (PROJECT / "book" / page).read_text(encoding="utf-8")
    found = re.findall(directive + r"\n((?: *:.*\n)*)\n((?: *[\w/.<> ]+\n)+)", text)
    lines = "".join(entries for _, entries in found).split("\n")
    return [re.sub(r".*<|>|\s", "", line) for line in lines if line.strip()]


def test_contents_has_each_page():
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("notebooks/*.ipynb")]
    pages += PROJECT.glob("[ac-z]*/*.md")  # not those of book/ and build/
    names = [page.relative_to(PROJECT).with_suffix("").as_posix() for page in pages]
    assert sorted(listed("index.md", "{toctree}")) == sorted([*names, "reference"])


def test_reference_has_each_module():
    assert sorted(listed("reference.md", "autosummary::")) == gtzan_mfcc.__all__


def test_contents_has_the_notebooks_in_their_order():
    pages = listed("index.md", "{toctree}")
    notebooks = [page for page in pages if page.startswith("notebooks/")]
    assert notebooks == sorted(notebooks)
