"""What the README and the documentation say was measured is what is kept in scripts/results."""

import json
import re
from pathlib import Path

import pytest

from scripts import publish

TABLES = publish.RESULTS / "tables"
NAMES = sorted(path.relative_to(TABLES).with_suffix("").as_posix() for path in TABLES.rglob("*.json"))
README = (publish.ROOT / "README.md").read_text()
DOCS = publish.ROOT / "docs"
SAID = {path.stem: path for path in sorted((DOCS / "results").glob("*.md"))}
SAID |= {f"guides/{path.stem}": path for path in sorted(DOCS.glob("*.md"))}
FIGURE = re.compile(r"(?<![\w.`#])[-+]?\d*\.\d+(?: \+- \d*\.\d+)?(?: [%x])?(?![\w`])")


def prose(text: str) -> list[str]:
    """The sentences of a page outside tables, code and links."""
    text = re.sub(r"^<!-- (?:table|headlines|learners).*?^<!-- end -->|^```.*?^```", "\n\n", text, flags=re.M | re.S)
    text = re.sub(r"\]\([^)]*\)|`[^`]*`", "]", text)
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n|^(?=[-#|] ?)", text, flags=re.M)]
    return [sentence for block in blocks for sentence in re.split(r"(?<=[.:;?!]) +(?=[A-Z*(\[])", block) if sentence]


@pytest.mark.parametrize("path", publish.pages(), ids=lambda path: path.name)
def test_pages_have_the_tables_that_are_kept(path: Path):
    """Catches a figure that was typed into a table, and a record that was changed without `scripts.publish`."""
    assert publish.published(path.read_text()) == path.read_text()


def test_every_table_is_shown_and_says_how_it_was_measured():
    shown = "\n".join(path.read_text() for path in publish.pages())
    assert NAMES
    for name in NAMES:
        found = publish.record(name)
        assert f"<!-- table {name} -->" in shown, f"{name} is shown nowhere"
        assert re.fullmatch(r"2\d{3}-\d\d-\d\d", found["date"]) and found["command"] and found["seeds"]


@pytest.mark.parametrize("page", SAID)
def test_figures_in_sentences_are_those_that_are_kept(page):
    """Double entry: a figure of a sentence stands in notes.json too, so that neither is changed without the other."""
    kept = json.loads((publish.RESULTS / "notes.json").read_text())
    found = [[number for number in FIGURE.findall(sentence)] for sentence in prose(SAID[page].read_text())]
    assert [numbers for numbers in found if numbers] == [entry["figures"] for entry in kept.get(page, [])]


def test_headlines_are_cells_of_tables():
    lines = publish.headlines().splitlines()[2:]
    assert len(lines) == 7 and all(line in README for line in lines)
    # MAML's own row, where MAML++'s stands above it.
    rows = {cells[0]: cells[1] for cells in publish.record("few_shot/omniglot")["rows"]}
    assert publish.cell("few_shot/omniglot", "maml", "5-way 1-shot") == re.sub(r" \(.\)|\*", "", rows["maml"])
    for row in ("mamml", "mam", ""):
        with pytest.raises(ValueError, match="rows that begin with"):
            publish.cell("few_shot/omniglot", row, "5-way 1-shot")


def test_the_readme_can_be_read_in_two_minutes():
    """At most 150 lines, no sentence of over 30 words, and no figure beside the blocks but those of its own example."""
    assert len(README.splitlines()) <= 150
    for sentence in prose(README):
        assert len(sentence.split()) <= 30, sentence
        assert "+-" not in sentence, sentence


def test_links_lead_to_files():
    """Within the documentation Sphinx looks; the README is read elsewhere."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("http") or (publish.ROOT / target).exists(), target


def test_a_changed_figure_is_told(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("<!-- table rl/rl2 -->\nx\n<!-- end -->\n")
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["publish", "--check"])
    assert publish.main() == 1 and "README.md: has other figures" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["publish"])
    assert publish.main() == 0 and "6.657 +- 0.039" in page.read_text()
    monkeypatch.setattr("sys.argv", ["publish", "--check"])
    assert publish.main() == 0
