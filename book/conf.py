"""Sphinx's settings for the book: ``make book``.

The sources of the pages stay where they are in the project. They are copied into the
source folder of Sphinx in the same tree, so that the links between them lead to pages.
"""

import json
import re
import shutil
from pathlib import Path

import ziamath
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ziamath.config.svg2 = False

PROJECT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "RECIPES.md",
    "CONTRIBUTING.md",
    "data/README.md",
    "gtzan_mfcc/MODEL_CARD.md",
    *(str(path.relative_to(PROJECT)) for path in PROJECT.glob("notebooks/*.ipynb")),
    *(str(path.relative_to(PROJECT)) for path in PROJECT.glob("snapshots/*.*")),
    *(str(path.relative_to(PROJECT)) for path in PROJECT.glob("book/*.md")),
]
# The pages link to these, and a reader can download them.
FILES = ["LICENSE", "CITATION.cff"]

project = "gtzan-mfcc"
project_copyright = "the contributors; the code is under the MIT licence"
root_doc = "index"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]

nb_execution_mode = "off"
# Controls need Python, so a page shows the text beside them. By default, it would load
# scripts from the network, too.
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None)
]
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
napoleon_custom_sections = ["Notebook"]
napoleon_google_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 72

templates_path = [str(PROJECT / "book" / "templates")]
html_domain_indices = False
html_theme = "sphinx_book_theme"
html_title = "gtzan-mfcc"
html_static_path = [str(PROJECT / "book" / "book.css")]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "ziamath"
html_theme_options = {
    "footer_content_items": "copyright.html",
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}


def copy_pages(app: Sphinx, _: object) -> None:
    """Copy the sources into Sphinx's folder.

    The notebooks are those in the folder that the setting ``notebooks`` names. One that
    is not there is that of the repository.
    """
    run = Path(app.config.notebooks)
    for name in [*PAGES, *FILES]:
        source = PROJECT / name
        if source.suffix == ".ipynb" and (run / source.name).exists():
            source = run / source.name
        copy = Path(app.srcdir) / name.removeprefix("book/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
        if copy.suffix == ".ipynb":
            describe_figures(copy)


def describe_figures(path: Path) -> None:
    """Write the alternative text of figures where MyST-NB reads it, at their cells."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            about = output.get("metadata", {}).get("image/png", {})
            if "alt" in about:
                cell["metadata"]["mystnb"] = {"image": {"alt": about["alt"]}}
    path.write_text(json.dumps(notebook), encoding="utf-8")


def link_notebooks(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make links of the names of notebooks in a docstring.

    Under "See Also", Napoleon expects names of helpers only.
    """
    text = "\n".join(lines)
    text = re.sub(r"See Also\n-+\n(?=Notebook ``)", "Notebook\n--------\n", text)
    text = re.sub(r"``([A-Z\d]_\w+)``", r":doc:`\1 </notebooks/\1>`", text)
    text = text.replace("\nNotebook :doc:", "\n:doc:")
    lines[:] = text.split("\n")


def hide_value(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Leave out the value of a constant if it is long or a path on this machine."""
    if kind == "data":
        signature = content.parent[0]
        for value in list(signature.findall(addnodes.desc_annotation)):
            if len(value.astext()) > 80 or "Path(" in value.astext():
                signature.remove(value)


def visit_formula(page: object, node: nodes.Element) -> None:
    """Write a formula as a picture, so that no script is needed."""
    is_inline = isinstance(node, nodes.math)
    latex = node.astext()
    formula = ziamath.Latex(latex, size=18, color="currentColor", inline=is_inline)
    tag = "span" if is_inline else "div"
    attributes = {
        "class": "formula",
        "role": "img",
        "aria-label": latex,
        "style": f"vertical-align: {formula.getyofst():.2f}px",
    }
    page.body.append(page.starttag(node, tag, "", **attributes))
    page.body.append(f"{formula.svg()}</{tag}>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Tell Sphinx about the functions above."""
    app.add_config_value("notebooks", str(PROJECT / "notebooks"), "env", str)
    app.connect("config-inited", copy_pages)
    # Before Napoleon, which has 500.
    app.connect("autodoc-process-docstring", link_notebooks, priority=400)
    app.connect("object-description-transform", hide_value)
    visitors = (visit_formula, None)
    app.add_html_math_renderer("ziamath", visitors, visitors)
