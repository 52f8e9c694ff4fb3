"""Put the numbers of results.json into the README; run from the project's folder."""

import json
import re
from pathlib import Path


def fill_in(text: str, results: dict) -> str:
    """Replace what stands between marks such as ``<!--ann_features.segments-->4,205<!--/-->``.

    Shares come out in percent with one decimal, intervals as "94.9 to 97.1 %", counts with
    commas, and what ends in ``ratio`` or ``seconds`` as a number with one decimal. A mark that
    names no result is a KeyError.
    """

    def number(match: re.Match) -> str:
        value = results[match[1]]["results"][match[2]]
        if isinstance(value, list):
            shown = f"{value[0]:.1%} to {value[1]:.1%}".replace("% to", " to")
        elif match[2].endswith(("ratio", "seconds")):
            shown = f"{value:.1f}"
        else:
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.1%}"
        return f"<!--{match[1]}.{match[2]}-->{shown.replace('%', ' %')}<!--/-->"

    return re.sub(r"<!--(\w+)\.(\w+)-->[^<]*<!--/-->", number, text)


if __name__ == "__main__":
    results = json.loads(Path("snapshots/results.json").read_text())
    readme = Path("README.md")
    readme.write_text(fill_in(readme.read_text(), results))
