"""Write what was measured into the README and the documentation, from scripts/results.

    python -m scripts.publish           # after a file there was changed
    python -m scripts.publish --check   # says which pages have other figures, and changes none

A table stands between `<!-- table NAME -->` and `<!-- end -->`, of `scripts/results/tables/NAME.json`; the headlines of
the README between `<!-- headlines -->` and `<!-- end -->`, each of a cell of such a table; and the learners between
`<!-- learners -->` and `<!-- end -->`, of the catalog.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jmeta.report.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results"
FIELDS = ("command", "date", "data", "seeds", "minutes", "machine", "versions", "columns", "rows")
_BLOCK = re.compile(r"^<!-- (table (?P<table>\S+)|headlines|learners) -->\n.*?^<!-- end -->", re.M | re.S)


def pages() -> list[Path]:
    """All pages that may have figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def record(name: str) -> dict[str, Any]:
    """A measured table, with all that it takes to measure it again; ValueError for one that lacks something."""
    found = json.loads((RESULTS / "tables" / f"{name}.json").read_text())
    if tuple(found) != FIELDS:
        raise ValueError(f"tables/{name}.json must have {', '.join(FIELDS)}, in this order: got {', '.join(found)}")
    if not all(len(row) == len(found["columns"]) for row in found["rows"]):
        raise ValueError(f"tables/{name}.json has rows of another length than its {len(found['columns'])} columns")
    return found


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A table as pages have it, each line as long as it is."""
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, rows)])


def table(name: str) -> str:
    """A table, and in a line below it how it was measured."""
    found = record(name)
    about = {"data": "", "seeds": "seeds: ", "minutes": "minutes: ", "machine": "", "versions": "", "date": ""}
    told = [f"{label}{found[key]}" for key, label in about.items() if found[key] != "-"]
    return f"{markdown(found['columns'], found['rows'])}\n\n`{found['command']}`; {'; '.join(told)}."


def cell(name: str, row: str, column: str) -> str:
    """One figure of a table, without stress or remark, by column and row, or what that row alone begins with."""
    found = record(name)
    names = [cells[0].replace("*", "") for cells in found["rows"]]
    places = [names.index(row)] if row in names else [i for i, own in enumerate(names) if own.startswith(row)]
    if len(places) != 1:
        raise ValueError(f"{name} has {len(places)} rows that begin with {row!r}: name one of {names}")
    line = found["rows"][places[0]]
    return re.sub(r"\*\*| \(.*\)$", "", line[found["columns"].index(column)])


def headlines() -> str:
    """The figures of the README, each beside the exact or the published one."""
    rows = []
    for each in json.loads((RESULTS / "headlines.json").read_text()):
        figures = [cell(*place) for place in (each["jmeta"], each["beside"])]
        rows.append([f"[{each['what']}]({each['page']})", f"**{figures[0]}**", f"{figures[1]}, {each['which']}"])
    return markdown(["", "jmeta", "beside it"], rows)


def _learners() -> str:
    from jmeta.runs.catalog import markdown as listed

    return listed("learners").rstrip()


def published(text: str) -> str:
    """A page with all its blocks as they should be."""
    made: dict[str, Callable[[], str]] = {"headlines": headlines, "learners": _learners}

    def block(match: re.Match[str]) -> str:
        inside = table(match["table"]) if match["table"] else made[match[1]]()
        return f"<!-- {match[1]} -->\n{inside}\n<!-- end -->"

    return _BLOCK.sub(block, text)


def main() -> int:
    """Write all pages, or tell which should be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 where a page differs")
    check = parser.parse_args().check
    differing = [path for path in pages() if published(path.read_text()) != path.read_text()]
    for path in differing:
        print(f"{path.relative_to(ROOT)}: {'has other figures' if check else 'written'}")
        if not check:
            write_text(path, published(path.read_text()))
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
