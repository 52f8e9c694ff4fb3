"""Make HTML pages of executed notebooks: python notebooks/pages.py FOLDER NOTEBOOK ...

FOLDER is two levels below that of the project, such as build/notebooks.
"""

import re
import sys
from pathlib import Path

from nbconvert import HTMLExporter

# Long lines of code get a scroll bar or are wrapped, so that nothing is cut off. On a
# narrow screen, the number of a cell stands above it.
STYLE = """
<style>
main { max-width: 1000px; margin: auto }
.jp-InputArea-editor { overflow-x: auto }
p code, li code { white-space: break-spaces !important; overflow-wrap: anywhere }
@media (max-width: 760px) {
  .jp-InputArea .jp-InputArea-editor, .jp-OutputArea-child .jp-OutputArea-output {
    display: block;
    width: auto
  }
}
</style>
"""


def make_page(notebook: Path, folder: Path) -> None:
    """Write the page of a notebook into a folder."""
    html, _ = HTMLExporter().from_filename(notebook)
    html = html.replace("</head>", f"{STYLE}</head>", 1)
    # Links to other notebooks lead to their pages.
    html = re.sub(r'href="([\w-]+)\.ipynb', r'href="\1.html', html)
    # Notebooks are one level below the project, and pages are two.
    html = re.sub(r'(href|src)="\.\./', r'\1="../../', html)
    # Renamed when it is complete, so that make never takes a part for the page.
    unfinished = folder / f"{notebook.stem}.unfinished"
    unfinished.write_text(html, encoding="utf-8")
    unfinished.replace(folder / f"{notebook.stem}.html")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        make_page(Path(name), folder)
