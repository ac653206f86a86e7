"""The runner of studies: what is kept, what is refused, how a program ends, and that every study has one."""

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jmeta.errors import RunError
from jmeta.runs.engine.folder import written_here
from jmeta.settings import setting
from scripts.study import Shown, Study, compared, interval, markdown, percent, program, run, shown_difference

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT / "scripts").with_suffix("").parts)
    for path in (ROOT / "scripts").glob("*/*.py")
    if "\n    program(" in path.read_text()
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Powers of a base."""

    run_dir: str = setting("runs/powers", place=True)
    rows: tuple[int, ...] = setting((1, 2, 3), least=0, place=True)
    base: int = setting(2, least=2)
    draw: bool = setting(True, place=True)


class Powers:
    """A study that counts its rows, in which something may happen."""

    def __init__(self, at=None, happens=None, facts=None):
        self.measured, self.at, self.happens, self.facts = [], at, happens, facts or {}

    def __call__(self, config):
        def row(n, rows):
            if n == self.at:
                self.happens()
            self.measured.append(n)
            return {"power": config.base**n, "before": len(rows), n: (n,)}

        rows = {f"power {n}": lambda rows, n=n: row(n, rows) for n in config.rows}
        return Study(rows, self.show, self.facts)

    def show(self, rows):
        draw = {"powers.png": lambda path: path.write_text("drawn")}
        return Shown(markdown(["row", "power"], [[n, row["power"]] for n, row in rows.items()]), draw, {"n": len(rows)})


def interrupted():
    raise KeyboardInterrupt


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


def refused():
    raise RunError("there is no power 2: choose another.")


def refused_by_an_odd_name():
    raise RunError("there is no power 'a\nb\x1b[31m': choose another.")


def full_device():
    raise jax.errors.JaxRuntimeError("INTERNAL: Error dispatching computation: Out of memory allocating 9 bytes.")


def no_room():
    raise OSError(28, os.strerror(28), "runs/powers/results.json")


def test_rows_are_kept_as_soon_as_they_are_there(tmp_path, capsys):
    """Catches a runner that writes at the end alone, measures again, or shows rows that nobody asked for."""
    config = Config(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run(Powers(at=3, happens=interrupted), config)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert list(kept["rows"]) == ["power 1", "power 2"] and not (tmp_path / "table.md").exists()
    again = Powers()
    results = run(again, config)
    assert again.measured == [3]
    assert results == json.loads((tmp_path / "results.json").read_text())
    assert results["rows"]["power 3"] == {"power": 8, "before": 2, "3": [3]}  # the same before and after a resume
    assert results["settings"] == {"base": 2} and results["summary"] == {"n": 3}
    table = (tmp_path / "table.md").read_text()
    assert table in capsys.readouterr().out and table.count("\n") == 5
    fewer = run(again, dataclasses.replace(config, rows=(2,)))
    assert again.measured == [3] and fewer["rows"] == results["rows"]
    assert (tmp_path / "table.md").read_text() == "| row | power |\n| --- | --- |\n| power 2 | 4 |\n"


@pytest.mark.parametrize(
    ("changes", "facts", "says"),
    [
        ({"base": 3}, {}, r"results of other settings \(--base 2, not 3\): choose another --run-dir\.$"),
        ({}, {"checksum": "b"}, r"results of other settings \(checksum\)"),
        ({"base": 1}, {}, "--base must be 2 or more, got 1"),
        ({"rows": (-1,)}, {}, "--rows must be 0 or more, got -1"),
    ],
)
def test_results_of_other_settings_are_refused(changes, facts, says, tmp_path):
    run(Powers(facts={"checksum": "a"}), Config(str(tmp_path)))
    before = (tmp_path / "results.json").read_text()
    study = Powers(facts={"checksum": "a"} | facts)
    with pytest.raises(RunError, match=says):
        run(study, dataclasses.replace(Config(str(tmp_path), rows=(4,)), **changes))
    assert (tmp_path / "results.json").read_text() == before and not study.measured


def test_a_folder_has_one_study_at_a_time(tmp_path):
    """Two that measured other rows of one folder each wrote theirs alone, so that the rows of one were lost."""
    study = Powers()
    with written_here(tmp_path), pytest.raises(RunError, match="another process"):
        run(study, Config(str(tmp_path)))
    assert not study.measured and not list(tmp_path.iterdir())


def test_another_programs_folder_is_left_alone(tmp_path):
    (tmp_path / "results.json").write_text('{"config": {}}')
    with pytest.raises(RunError, match="results of another program"):
        run(Powers(), Config(str(tmp_path)))


def test_numbers_that_are_not_finite_are_told_of(tmp_path, capsys):
    """Catches NaN that goes into a table without a word; other rows are kept, and nothing is said of them."""

    def study(config):
        rows = {f"power {n}": lambda rows, n=n: {"power": [n, [1.0, float("nan")][n > 1]]} for n in config.rows}
        return Study(rows, lambda rows: Shown("powers\n"))

    run(study, Config(str(tmp_path), draw=False))
    said = [line for line in capsys.readouterr().err.splitlines() if "finite" in line]
    assert said == ["jmeta: not all numbers of power 2, power 3 are finite, as after too large a rate."]
    run(study, Config(str(tmp_path), rows=(1,), draw=False))
    assert capsys.readouterr().err == ""
    summary = lambda config: study(config)._replace(show=lambda rows: Shown("powers\n", summary={"mean": float("inf")}))
    run(summary, Config(str(tmp_path), rows=(1,), draw=False))
    assert "of the summary are finite" in capsys.readouterr().err


def test_figures_need_matplotlib_only_where_they_are_drawn(tmp_path, monkeypatch):
    run(Powers(), Config(str(tmp_path / "drawn")))
    assert (tmp_path / "drawn" / "powers.png").read_text() == "drawn"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    study = Powers()
    with pytest.raises(RunError, match=r"pip install 'jmeta\[plots\]'"):
        run(study, Config(str(tmp_path / "new")))
    assert not study.measured and not (tmp_path / "new").exists()
    run(study, Config(str(tmp_path / "new"), draw=False))
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"results.json", "table.md"}


@pytest.mark.parametrize(
    ("happens", "code", "says"),
    [
        (interrupted, 130, "powers: stopped; the same command goes on.\n"),
        (terminated, 143, "powers: stopped; the same command goes on.\n"),
        (refused, 2, "powers: there is no power 2: choose another.\n"),
        (refused_by_an_odd_name, 2, "powers: there is no power 'a\\nb\\x1b[31m': choose another.\n"),
        (full_device, 2, "powers: it doesn't fit into the device's memory: choose less"),
        (no_room, 2, "powers: No space left on device (runs/powers/results.json): make room"),
    ],
)
def test_a_program_ends_with_a_sentence(happens, code, says, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JMETA_COMPILE_CACHE", "0")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        program("powers", Config, Powers(at=2, happens=happens), ["--run-dir", str(tmp_path), "--no-draw"])
    last = capsys.readouterr().err.splitlines(keepends=True)[-1]
    assert caught.value.code == code and last.startswith(says)
    assert list(json.loads((tmp_path / "results.json").read_text())["rows"]) == ["power 1"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_flags_win_over_what_a_start_makes_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("JMETA_COMPILE_CACHE", "0")
    made = Config(str(tmp_path), base=5, draw=False)
    program("powers", Config, Powers(), ["--rows", "2"], start=lambda words: made)
    assert json.loads((tmp_path / "results.json").read_text())["rows"]["power 2"]["power"] == 25


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_study_explains_itself(name, capsys):
    module = importlib.import_module(f"scripts.{name}")
    start = getattr(module, "start", None)
    with pytest.raises(SystemExit) as caught:
        program(name, module.Config, module.study, ["--help"], start)
    shown = capsys.readouterr().out
    assert caught.value.code == 0 and f"python -m scripts.{name}" in shown and "--run-dir" in shown
    assert f'    program("{name}", ' in Path(module.__file__).read_text()


def test_there_are_all_studies():
    assert len(PROGRAMS) == 29


def test_numbers_in_tables():
    # Student's t of one degree of freedom is 12.706.
    assert interval([1.0]) == {"mean": 1.0, "ci95": None}
    assert interval([1.0, 3.0])["ci95"] == pytest.approx(12.706, abs=1e-3)
    row = compared([1.0, 3.0], np.array([0.0, 1.0]))
    assert (row["mean"], row["difference"]) == (2.0, 1.5)
    assert row["difference_ci95"] == pytest.approx(12.706 / 2, abs=1e-3)
    assert shown_difference(row) == "+1.50 +- 6.35"
    assert percent({"mean": 0.5, "ci95": 0.021}, sign="+") == "+50.0 +- 2.1"
    assert percent({"mean": 0.5, "ci95": None}, 2) == "50.00"


@pytest.mark.parametrize("script", ["environment.sh", "quickstart.sh", "test.sh"])
def test_shell_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", ROOT / "scripts" / script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
