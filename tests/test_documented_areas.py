"""What docs/streams.md and docs/asking.md show prints what they say: the very text."""

import re
from pathlib import Path

import pytest

import jmeta

pytestmark = pytest.mark.standard_promotion
DOCS = Path(jmeta.__file__).parent.parent / "docs"
SHOWN = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```\n\nIt prints\n\n```text\n(.*?)^```", re.M | re.S)
FILES = {name: (text, out) for page in ("streams", "asking") for name, text, out in SHOWN.findall(
    (DOCS / f"{page}.md").read_text()
)}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["stream.py", *(pytest.param(each, marks=pytest.mark.long) for each in FILES if each != "stream.py")]
)
def test_the_example_prints_what_the_page_says(name, capsys, tmp_path, monkeypatch):
    """Catches a name that was changed and a figure that is no longer so; shares within 1.5 points."""
    monkeypatch.chdir(tmp_path)
    text, expected = FILES[name]
    exec(compile(text, name, "exec"), {"__name__": "__main__"})
    got = capsys.readouterr().out
    numbers = re.compile(r"\d+\.\d+")
    assert numbers.sub("#", got) == numbers.sub("#", expected)
    found, told = ([float(number) for number in numbers.findall(each)] for each in (got, expected))
    assert found == pytest.approx(told, abs=1.5)


def test_there_are_examples():
    assert sorted(FILES) == ["digits.py", "pool.py", "sequence.py", "stream.py"]
