"""Rows by name: the library's, registered ones, those of files and modules, and those of installed packages."""

import importlib.metadata

import pytest

from jmeta import registry
from jmeta.errors import RunError
from jmeta.registry import Family, Registry, is_place, short, spelled


def number(name, found):
    if not isinstance(found, int):
        raise RunError(f"{name} must be a number, got a {type(found).__name__}: correct it.")
    return found


@pytest.fixture
def numbers():
    return Registry("number", {"one": 1, "two": 2}, "test.numbers", number)


@pytest.fixture
def installed(monkeypatch):
    """`installed(name, value)` gives a package an entry point of the group test.numbers."""
    points = []

    def entry_points(group):
        return [point for point in points if point.group == group]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._entries.cache_clear()
    yield lambda name, value: points.append(importlib.metadata.EntryPoint(name, value, "test.numbers"))
    registry._entries.cache_clear()


def test_rows_are_found_in_any_spelling_and_keep_their_order(numbers):
    """Catches a registry that sorts, forgets what is registered, or overwrites a row silently."""
    numbers.register("Twenty_One", 21)
    assert list(numbers) == ["one", "two", "twenty-one"] and len(numbers) == 3
    assert numbers.get("twenty_one") == numbers.get("TWENTY-ONE") == 21
    for name in ("One", "mine.py:one", ""):
        with pytest.raises(RunError, match="choose another"):
            numbers.register(name, 1)


def test_a_wrong_name_is_answered_by_the_nearest(numbers):
    with pytest.raises(RunError, match="there is no number 'tow': did you mean 'two'"):
        numbers.get("tow")
    assert numbers.find("tow") is None


def test_a_file_and_a_module_hold_rows(numbers, tmp_path, monkeypatch):
    """Catches a file that is run anew each time, whose own imports are not found, or whose folder stays on the path."""
    (tmp_path / "beside.py").write_text("SEVEN = 7\n")
    (tmp_path / "Mine.py").write_text(
        "from beside import SEVEN\nRUNS = []\n\nclass Big_Thing(int): pass\n\nNINE = Big_Thing(9)"
    )
    monkeypatch.chdir(tmp_path)
    import sys

    before = list(sys.path)
    nine = numbers.get("Mine.py:NINE")
    assert nine == 9 and numbers.get(f"{tmp_path}/Mine.py:NINE") is nine and numbers.get("Mine.py:SEVEN") == 7
    assert numbers.get("beside:SEVEN") == 7 and sys.path == before
    (tmp_path / "Mine.py").write_text("NINE = 99\n")
    assert numbers.get("./Mine.py:NINE") == 99, "a file that has changed is read again"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.py:one", "nowhere.py, and there is no such file here: go to its folder, or give its path"),
        ("mine.py:seve", r"mine.py has no number 'seve': did you mean mine.py:seven\?"),
        ("mine.py:qqqq", "mine.py has no number 'qqqq': correct the name after the colon"),
        ("mine.py:word", "mine.py:word must be a number, got a str"),
        ("broken.py:one", r"broken.py can't be loaded \(ZeroDivisionError: division by zero\): mend it"),
        ("no.such.module:one", "in the module no.such.module, and there is no such module"),
        ("broken:one", "in the module broken, and it can't be loaded, ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(numbers, tmp_path, monkeypatch, name, message):
    (tmp_path / "mine.py").write_text("seven = 7\nword = 'seven'\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=message) as caught:
        numbers.get(name)
    assert "\n" not in str(caught.value)


def test_installed_packages_are_asked_last(numbers, installed):
    """Catches a package that takes the place of a row, and one that is loaded although nobody asks for it."""
    installed("Five_Hundred", "http.client:HTTP_PORT")
    installed("two", "no.such.package:two")
    installed("broken", "no.such.package:x")
    assert numbers.get("two") == 2 and numbers.get("five-hundred") == 80 and "five-hundred" not in numbers
    with pytest.raises(RunError, match=r"broken is no.such.package:x, which can't be loaded"):
        numbers.get("broken")
    with pytest.raises(RunError, match="did you mean 'five-hundred'"):
        numbers.get("five-hundre")


def test_a_family_has_a_row_for_each_name_of_another_library():
    """Catches a name that is spelled anew or taken for that of a module, and one that hides a row of its own."""

    def of_roman(name):
        if name not in ("IV-0", "M"):
            raise RunError(f"there is no Roman {name!r}: choose another.")
        return {"IV-0": 4, "M": 1000}[name]

    numbers = Registry("number", {"one": 1}, "test.numbers", number, {"roman": Family("Roman ones", of_roman)})
    assert numbers.get("roman:M") == 1000 and list(numbers) == ["one"]
    for name, message in {
        "roman:Q": "there is no Roman 'Q'",
        "roman": "did you mean 'roman:NAME'",
        "IV-0": "there is no number 'IV-0': did you mean 'roman:IV-0'",
        "rom:IV-0": "did you mean 'roman:IV-0'",
    }.items():
        with pytest.raises(RunError, match=message):
            numbers.get(name)


@pytest.mark.parametrize(
    ("name", "place", "shortened", "spelling"),
    [
        ("a/b/mine.py:my_net", True, "my_net", "a/b/mine.py:my_net"),
        ("my.module:Net", True, "Net", "my.module:Net"),
        ("glyphs:40", False, "glyphs-40", "glyphs:40"),
        ("gymnasium:CartPole-v1", False, "gymnasium-CartPole-v1", "gymnasium:CartPole-v1"),
        ("data/Letters.npz", False, "Letters", "data/letters.npz"),
        ("Meta_SGD", False, "Meta_SGD", "meta-sgd"),
        ("mine.py", False, "mine.py", "mine.py"),
    ],
)
def test_names_and_places_are_told_apart(name, place, shortened, spelling):
    assert (is_place(name), short(name), spelled(name)) == (place, shortened, spelling)
