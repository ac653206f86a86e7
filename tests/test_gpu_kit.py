"""The GPU kit: what is next and what still fits, what is kept, what is installed, and the tables."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as kit
from benchmarks.gpu import launch, machine, part, protocol, records, runner, summary, table, wheels
from benchmarks.gpu.chosen import chunk_size, uses_tf32

ROOT = Path(__file__).parents[1]
DONE, UNFINISHED, FAILED, LEFT_OUT = protocol.DONE, protocol.UNFINISHED, protocol.FAILED, protocol.LEFT_OUT
MACHINE = {
    "platform": "cpu", "device": "a processor", "cores": 2, "versions": {"jax": "0.1"}, "date": "2026-01-01",
    "commit": "abc", "driver": "555.1", "notes": ["a note"],
}  # fmt: skip


class Clock:
    """Stands still but for what runs."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def run(parts, known, takes, minutes=None, spent=0.0):
    """What a runner does with parts that take so many seconds and end in a state: `(name, its limit)`, and records."""
    clock, launched, kept = Clock(), [], []

    def fake(part, records, seconds):
        launched.append((part.name, seconds))
        clock.seconds += min(takes[part.name][0], seconds)
        return {"state": takes[part.name][1], "value": {}}

    found = runner.run(
        parts, known, minutes=minutes, launch=fake, keep=lambda r: kept.append(dict(r)), say=lambda text: None,
        now=clock, began=clock.seconds - spent,
    )  # fmt: skip
    assert kept[-1:] == ([found] if launched else [])
    return launched, found


def parts_of(*rows):
    return [table.Part(name, "what", minutes, "m:f", resumes=resumes) for name, minutes, resumes in rows]


ABC = parts_of(("a", 1, False), ("b", 4, False), ("c", 2, True))


def test_parts_run_in_their_order_and_what_is_done_is_skipped():
    takes = {"a": (50, DONE), "b": (200, DONE), "c": (100, DONE)}
    launched, found = run(ABC, {}, takes)
    assert launched == [("a", 540.0), ("b", 540.0), ("c", 540.0)]
    assert {record["state"] for record in found.values()} == {DONE}
    assert run(ABC, found, takes) == ([], found)
    found["b"]["state"] = UNFINISHED
    assert run(ABC, found, takes)[0] == [("b", 540.0)]


def test_what_does_not_fit_is_passed_over_for_what_does():
    """Catches a part that is begun with too little time, whose minutes are then lost."""
    takes = {"a": (60, DONE), "b": (200, DONE), "c": (500, UNFINISHED)}
    launched, found = run(ABC, {}, takes, minutes=4)
    assert launched == [("a", 240.0), ("c", 180.0)]  # b wants 4 min, of which 3 are left; c takes 2 or more
    assert "b" not in found
    assert run(ABC, {}, takes, minutes=2, spent=20)[0] == [("a", 100.0)]  # 40 s are too few for c as well
    assert run(ABC[1:2], {}, takes, minutes=1)[0] == [("b", 60.0)]  # or the same call would never do anything


def test_a_part_that_failed_does_not_stop_the_rest_and_comes_last_the_next_time():
    takes = {"a": (5, FAILED), "b": (5, LEFT_OUT), "c": (5, UNFINISHED)}
    launched, found = run(ABC, {}, takes)
    assert [name for name, _ in launched] == ["a", "b", "c"]
    assert [name for name, _ in run(ABC, found, takes)[0]] == ["c", "a", "b"]


def test_no_part_is_longer_than_a_call_may_be():
    assert all(0 < part.minutes <= 8.5 for part in table.PARTS.values())
    assert launch.soft(table.LIMIT) < table.LIMIT <= 540


def test_every_part_has_a_function():
    import importlib

    for each in table.PARTS.values():
        module, _, function = each.run.partition(":")
        assert callable(getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)), each.name
    assert [part.name for part in table.chosen(["memory", "rates"])] == ["rates", "memory"]
    with pytest.raises(ValueError, match="no part 'rate': choose from rates"):
        table.chosen(["rate"])


def ask(**changes):
    values = {
        "platform": "gpu", "scale": 1.0, "deadline": 0.0, "work": Path(), "data_dir": None, "found": {}, "before": {},
    }  # fmt: skip
    return protocol.Ask(**values | changes)


def test_lengths_shrink_with_the_scale():
    assert [ask(scale=0.01).length(n) for n in (60_000, 10)] == [600, 1]
    assert ask(scale=0.01).length(32, least=4) == 4
    assert ask().length(3, least=4) == 3


def test_what_ended_the_part_twice_is_not_begun_again():
    """Catches a program that hangs, which each call would be spent on."""
    kept: dict = {}
    asked, value = ask(keep=kept.update), {}
    assert [asked.begins(value, "lax") for _ in range(3)] == [True, True, False]
    assert kept["begun"] == {"lax": 2}


def test_later_parts_take_what_was_found_best():
    found = {"convolution": {"chunk": 8, "tasks": 32, "tf32": False}}
    assert chunk_size(ask(found=found), 16, pictures=True) == 4
    assert chunk_size(ask(found=found), 1, pictures=True) == 1
    assert chunk_size(ask(found=found), 7, pictures=True) == 1  # a share of 2 does not divide them
    assert chunk_size(ask(found=found), 16, pictures=False) is None
    assert chunk_size(ask(found=found, platform="cpu"), 16, pictures=True) is None
    assert chunk_size(ask(found={"convolution": {"rows": []}}), 16, pictures=True) is None
    assert not uses_tf32(ask(found=found)) and uses_tf32(ask())


MODULE = """
    import os, subprocess, sys, time
    from benchmarks.gpu.protocol import LeftOut, Outcome

    def f(ask, how):
        if how == "more":
            n, left = ask.before.get("n", 0) + 1, "" if ask.before else "half of it"
            return Outcome({"n": n, "of": sorted(ask.found)}, left)
        if how == "raise":
            print("a line of the log")
            ask.keep({"n": 1})
            raise ValueError("no such thing\\nat all")
        if how == "absent":
            raise LeftOut("there are no pictures")
        if how == "hang":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            ask.keep({"n": 7, "child": child.pid})
            time.sleep(600)
        if how == "die":
            os._exit(9)
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """`start(how, seconds, records) -> record` of a part that is a real process."""
    (tmp_path / "sitecustomize.py").write_text(
        "import types, sys\n"
        "m = types.ModuleType('benchmarks.gpu.fake'); sys.modules['benchmarks.gpu.fake'] = m\n"
        f"exec({textwrap.dedent(MODULE)!r}, m.__dict__) if any('part' in w for w in sys.orig_argv) else None\n"
        "from benchmarks.gpu import table\n"
        "for how in ('more', 'raise', 'absent', 'hang', 'die'):\n"
        "    table.PARTS[how] = table.Part(how, how, 1, 'fake:f', {'how': how}, True)\n"
    )
    variables = launch.environment(tmp_path / "work", None)
    variables["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{variables['PYTHONPATH']}"
    start = launch.launcher(work=tmp_path / "work", scale=1.0, data_dir=None, machine=MACHINE, variables=variables)

    def of(how, seconds=60.0, known=None):
        return start(table.Part(how, how, 1, "fake:f", {"how": how}, resumes=True), known or {}, seconds)

    return of


def test_a_part_goes_on_from_what_it_had(fakes):
    first = fakes("more", known={"rates": {"state": DONE, "value": {"x": 1}}})
    assert (first["state"], first["value"], first["left"]) == (UNFINISHED, {"n": 1, "of": ["rates"]}, "half of it")
    assert (first["device"], first["platform"]) == ("a processor", "cpu")
    again = fakes("more", known={"more": first | {"seconds": 50.0}})
    assert (again["state"], again["value"]["n"]) == (DONE, 2)
    assert again["seconds"] > 50
    assert "left" not in again


def test_a_part_that_fails_says_why_and_keeps_what_it_had(fakes):
    failed = fakes("raise")
    assert (failed["state"], failed["error"], failed["value"]) == (FAILED, "ValueError: no such thing", {"n": 1})
    assert "a line of the log" in failed["log"]
    absent = fakes("absent")
    assert (absent["state"], absent["error"]) == (LEFT_OUT, "there are no pictures")
    assert fakes("die")["error"] == "it ended with code 9"


def test_a_part_that_hangs_is_ended_with_all_that_it_started(fakes):
    """Catches workers that live on and hold the device's memory."""
    start = time.monotonic()
    hung = fakes("hang", seconds=4.0)
    assert time.monotonic() - start < 20
    assert (hung["state"], hung["value"]["n"]) == (UNFINISHED, 7)
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(hung["value"]["child"], 0)
            time.sleep(0.1)


def test_records_are_merged_and_never_mixed(tmp_path):
    write = lambda name, parts, scale=1.0: records.write([tmp_path / name], MACHINE, scale, parts, "text")
    write("a", {"rates": {"state": DONE, "value": {"n": 1}, "date": "1"}, "memory": {"state": FAILED, "value": {}}})
    write("b", {"rates": {"state": FAILED, "value": {}, "date": "2"}, "memory": {"state": UNFINISHED, "value": {}}})
    files = [tmp_path / "a" / "gpu.json", tmp_path / "b" / "gpu.json", tmp_path / "none"]
    found = records.read(files, platform="cpu", scale=1.0)
    assert (found["rates"]["value"], found["memory"]["state"]) == ({"n": 1}, UNFINISHED)
    assert sorted(os.listdir(tmp_path / "a")) == ["gpu.json", "summary.md"]
    for other in ({"platform": "gpu", "scale": 1.0}, {"platform": "cpu", "scale": 0.1}):
        with pytest.raises(ValueError, match="choose another folder"):
            records.read(files, **other)
    (tmp_path / "a" / "gpu.json").write_text('{"parts": {}}')
    with pytest.raises(ValueError, match="can't be read"):
        records.read(files, platform="cpu", scale=1.0)


def package(name, needed=True):
    return wheels.Package(name, name, needed)


def fake_pip(tmp_path, code=0):
    """A Python whose pip writes down what it is asked; and what that was."""
    path, told = tmp_path / "python", tmp_path / "asked"
    path.write_text(
        f'#!/bin/sh\necho "$@" >> {told}\ncat "${{10}}" > {tmp_path / "held"}\n'
        f'echo "ERROR: not there" >&2; echo "more" >&2; exit {code}\n'
    )
    path.chmod(0o755)
    return str(path), lambda: told.read_text().splitlines() if told.exists() else []


def test_only_what_is_missing_is_installed_and_nothing_is_replaced(tmp_path):
    python, asked = fake_pip(tmp_path)
    (tmp_path / "wheels").mkdir()
    lacking, said = [[package("tyro"), package("torchopt", False)], []], []
    wheels.install(tmp_path / "wheels", said.append, python=python, look=lambda: lacking.pop(0))
    assert [line.split()[-1] for line in asked()] == ["tyro", "torchopt"]
    assert all("--no-index" in line and f"--find-links {tmp_path / 'wheels'}" in line for line in asked())
    held = (tmp_path / "held").read_text().splitlines()
    assert any(line.startswith("jax==") for line in held)
    assert said == ["tyro: installed", "torchopt: installed"]
    wheels.install(tmp_path / "wheels", said.append, python=python, look=list)
    assert len(asked()) == 2


def test_what_is_needed_and_missing_is_named(tmp_path):
    python, asked = fake_pip(tmp_path, code=1)
    lack, said = [package("tyro"), package("torchopt", False)], []
    with pytest.raises(ValueError, match=r"^tyro can't be imported, and there is no folder of wheels .*pip download"):
        wheels.install(tmp_path / "wheels", said.append, python=python, look=lambda: lack)
    assert asked() == []
    (tmp_path / "wheels").mkdir()
    with pytest.raises(ValueError, match="they are not in"):
        wheels.install(tmp_path / "wheels", said.append, python=python, look=lambda: lack)
    assert said == ["tyro: ERROR: not there", "torchopt: left out of the tables (ERROR: not there)"]
    wheels.install(tmp_path / "wheels", said.append, python=python, look=lambda: lack[1:])  # it is not needed


def test_what_is_missing_is_found_without_an_import():
    there, module_not, package_not = package("json"), package("json.nothing"), package("no_such.module")
    assert wheels.missing([there, module_not, package_not]) == [module_not, package_not]
    lines = wheels.constraints().splitlines()
    assert all(line.count("==") == 1 for line in lines) and len(lines) == len(set(lines))


def test_a_gpu_that_jax_does_not_use_is_no_reason_to_measure_a_cpu(tmp_path, monkeypatch, capsys):
    """Catches nine minutes of a GPU that are spent on its CPU."""
    monkeypatch.setattr(kit, "machine", lambda variables: {**MACHINE, "gpu": "chip"})
    monkeypatch.setattr(wheels, "install", lambda folder, say: None)
    monkeypatch.setattr(kit.runner, "run", lambda parts, before, **others: before)
    words = [str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert kit.main(words) == 2
    assert "there is a chip, and JAX computes on the CPU" in capsys.readouterr().err
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert kit.main(words) == 0
    out = capsys.readouterr().out
    assert f"go on by: bash scripts/gpu.sh {' '.join(words)}" in out and "left: rates, not begun" in out


def test_versions_below_what_is_asked_for_are_told(monkeypatch):
    monkeypatch.setattr(machine, "versions", lambda: {"jax": "0.4.30", "flax": "99.1", "torch": "1.0"})
    assert [note.split(" is older")[0] for note in machine.too_old()] == ["jax 0.4.30"]


def test_the_driver_starts_without_any_library():
    """Catches an import at the top, before wheels are installed."""
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import benchmarks.gpu.__main__ as m; m.main(['out', '--list'])"
    done = subprocess.run([sys.executable, "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "maml-5w1s" in done.stdout


def test_words_that_make_no_sense_are_refused(tmp_path, capsys):
    out = str(tmp_path)
    for words, told in (
        (["--scale", "0"], "--scale must be above 0"),
        (["--minutes", "-1"], "--minutes must be above 0"),
        (["--only", "conv"], "there is no part 'conv'"),
    ):
        assert kit.main([out, *words]) == 2
        assert told in capsys.readouterr().err
    (tmp_path / "gpu.json").write_text("no JSON")
    assert kit.main([out, "--list"]) == 2


SPEED = {
    "machine": {}, "start": None, "goal": None, "unavailable": {"torch-vmap": "not installed (torch: no)"},
    "tf32": True, "chunk": None,
    "comparisons": [{
        "workload": "conv4", "tasks": 32, "source": "glyphs", "rates": {}, "left_out": {"torchopt": "it is ill"},
        "operations": 1, "exact": {},
        "timings": {
            name: {
                "steps": 1, "seconds": [s, s, s], "compile_seconds": 1.0, "start_seconds": 1.0, "losses": [1.0],
                "about": {"device": "a chip", "platform": "gpu", "versions": {}}, "peak_bytes": 1, "before_bytes": 1,
                "device_bytes": 1,
            } for name, s in (("jmeta", 0.5), ("torch-loop", 25.0))
        },
    }],
}  # fmt: skip
VALUES = {
    "rates": {"size": 512, "jax": {"float32": 5e13, "tf32": 4e14}, "torch": "not installed"},
    "convolution": {
        "tasks": 32, "source": "glyphs", "operations": 10**10, "convolution": "slices", "chunk": 8, "tf32": True,
        "rows": [
            {"convolution": "slices", "chunk": 8, "precision": "tf32", "seconds": 0.064, "compile_seconds": 2.0,
             "temporary_bytes": 2**20, "gap": 1e-3},
            {"convolution": "lax", "chunk": 32, "precision": "tf32", "error": "it took too long"},
        ],
    },
    "speed-conv4": SPEED,
    "maml-5w1s": {
        "dataset": "omniglot", "steps": 60_000, "step": 60_000, "seeds": 3, "train_seconds": 100.0,
        "compile_seconds": 30.0, "tasks_per_second": 57_600.0, "published": {"": "98.7 +- 0.4"},
        "tests": [{"name": "5w1s", "mean": 0.99, "ci95": 0.001}],
    },
    "maml-20w1s": {
        "dataset": "omniglot", "steps": 60_000, "step": 31_000, "seeds": 1, "train_seconds": 100.0,
        "compile_seconds": 30.0, "tasks_per_second": 1.0, "published": {"": "95.8 +- 0.3"},
    },
    "memory": {
        "too_large": ["conv4, 1000 steps"],
        "rows": [{"network": "conv4", "steps": 10, "way": w, "temporary": 2**20, "seconds": 0.5} for w in ("reverse",)],
    },
    "rl2": {
        "preset": "rl2", "seeds": 3, "step": 10, "steps": 10, "train_seconds": 5.0,
        "test": {"mean": 6.5, "ci95": 0.1, "references": [{"name": "exact optimum", "total": 6.6, "ci95": None}]},
    },
    "environments": {
        "parallel": 2048, "steps": 200, "not_installed": ["gymnax"],
        "rows": [{"environment": "Cart-pole", "library": "jmeta", "million_steps_per_second": 1234.5}],
    },
}  # fmt: skip


def found_of(values):
    found = {n: {"state": DONE, "value": value, "seconds": 9, "device": "a chip"} for n, value in values.items()}
    found["maml-20w1s"] |= {"state": UNFINISHED, "left": "31,000 of 60,000 outer steps are taken"}
    return found | {"anil-5w1s": {"state": FAILED, "value": {}, "error": "ValueError: no | such thing"}}


def test_the_summary_has_a_table_of_each_kind():
    text = summary.markdown(MACHINE, 1.0, found_of(VALUES))
    for line in (
        "# Measured on a CPU: no figures of a GPU",
        "a processor (cpu), driver 555.1, 2 CPU cores; jax 0.1; 2026-01-01, commit abc.",
        "Peak rates of a matrix product, TFLOP/s: 50 in float32, 400 in tf32.",
        "- Note: a note.",
        "| PyTorch | not installed | not installed |",
        "| slices | 8 | tf32 | 500 | 1 % | 1 | 1e-03 | 2.0 |",  # 32 tasks in 0.064 s, 5e12 of 4e14 operations
        "| lax | 32 | tf32 | it took too long |",
        "Training takes 8 tasks at once, in TF32.",
        "- conv4, TorchOpt, loop over tasks: left out, it is ill.",
        "| maml-5w1s | omniglot | 60,000 | 3 | 100 | 30 | 57,600 | 5w1s | 99.0 +- 0.1 | 98.7 +- 0.4 |",
        "| maml-20w1s | omniglot | 31,000 of 60,000 | 1 | 100 | 30 | 1 |  | - | 95.8 +- 0.3 |",
        "| conv4 | 10 | 1, 500 |",
        "Too large for the memory, or the time: conv4, 1000 steps.",
        "| exact optimum | 6.600 |",
        "| Cart-pole | jmeta | 1.23e+03 |",
        "|  | gymnax | not installed |",
        "failed (ValueError: no / such thing)",
    ):
        assert line in text, line
    speed = next(line for line in text.splitlines() if line.startswith("| Conv4-64, 5-way 1-shot, 15 queries"))
    assert [cell.strip() for cell in speed.split("|")[2:8]] == [
        "32", "64", "-", "not installed", "1.28 (50.0 x)", "-",
    ]  # fmt: skip
    assert "can't be shown" not in text
    assert "of the whole ones" not in text
    gpu = summary.markdown({**MACHINE, "platform": "gpu"}, 0.01, {})
    assert gpu.startswith("# Measured on a GPU\n") and "All lengths are 0.01 of the whole ones" in gpu


def test_a_record_that_is_odd_does_not_hide_the_others():
    text = summary.markdown(MACHINE, 1.0, found_of({**VALUES, "memory": {"rows": [{}]}}))
    assert "The records can't be shown" in text and "| Cart-pole |" in text


def test_the_summary_is_drawn_again_from_json(tmp_path, capsys):
    records.write([tmp_path], MACHINE, 1.0, found_of(VALUES), "")
    assert summary.main([str(tmp_path / "gpu.json")]) == 0
    assert capsys.readouterr().out.strip() == summary.markdown(MACHINE, 1.0, found_of(VALUES)).strip()
    assert summary.main([str(tmp_path / "none")]) == 2


def test_the_list_shows_how_far_all_is():
    text = kit.listed(table.chosen([]), found_of(VALUES))
    assert "unfinished (31,000 of 60,000 outer steps are taken)" in text
    assert "about" in text.splitlines()[-1] and len(text.splitlines()) == len(table.PARTS) + 1


def test_an_answer_is_kept_before_its_end(tmp_path, monkeypatch):
    told = []
    monkeypatch.setitem(part.PARTS, "fake", table.Part("fake", "", 1, "rates:none"))
    request = {
        "part": "fake", "platform": "cpu", "scale": 1.0, "seconds": 1.0, "work": ".", "data_dir": None, "found": {},
        "before": {"n": 1},
    }  # fmt: skip
    part.answer(request, told.append)
    assert told == [{"state": FAILED, "value": {"n": 1}, "error": told[0]["error"]}]
    assert "AttributeError" in told[0]["error"]


def whole(folder, *words, **variables):
    """The script in a process without this one's settings of JAX."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "PYTEST"))}
    environment = kept | {"JAX_PLATFORMS": "cpu", "JMETA_PYTHON": sys.executable, **variables}
    command = ["bash", str(ROOT / "scripts" / "gpu.sh"), str(folder / "out"), "--work", str(folder / "work"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_script_runs_a_part_and_skips_it_then(tmp_path):
    first = whole(tmp_path, "--scale", "0.0001", "--only", "rates")
    assert first.returncode == 0, first.stderr
    assert "all parts are done" in first.stdout
    stored = records.load(tmp_path / "out" / "gpu.json")
    assert stored["machine"]["platform"] == "cpu"
    assert stored["parts"]["rates"]["value"]["jax"]["float32"] > 1e8
    assert "rates: done" in first.stderr
    again = whole(tmp_path, "--scale", "0.0001", "--only", "rates")
    assert again.returncode == 0 and "rates: done" not in again.stderr
    other = whole(tmp_path, "--scale", "0.001", "--only", "rates")
    assert other.returncode == 2 and "at scale 0.0001" in other.stderr


def test_a_call_that_is_stopped_keeps_what_it_has_and_ends_its_part(tmp_path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JMETA_PYTHON": sys.executable}
    command = ["bash", str(ROOT / "scripts" / "gpu.sh"), str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    request = tmp_path / "work" / "parts" / "maml-5w1s" / "request.json"
    with subprocess.Popen([*command, "--only", "maml-5w1s"], env=environment, stderr=subprocess.DEVNULL) as started:
        while not request.exists() and started.poll() is None:
            time.sleep(0.2)
        time.sleep(1)
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=30) == 130
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    assert str(request) not in found


@pytest.mark.long
def test_the_whole_kit_on_a_cpu(tmp_path):
    """Every part to its end, at lengths that show no more than that it works; ten minutes."""
    done = whole(tmp_path, "--scale", "0.0001")
    assert done.returncode == 0, done.stderr
    stored = json.loads((tmp_path / "out" / "gpu.json").read_text())
    states = {name: runner.state_of(record) for name, record in stored["parts"].items()}
    pictures = {name for name in states if name.startswith("cifar")}
    assert {name: state for name, state in states.items() if state != DONE and name not in pictures} == {}
    assert all(states[name].startswith((DONE, LEFT_OUT)) for name in pictures)
    assert {*states} == {*table.PARTS}
    text = (tmp_path / "out" / "summary.md").read_text()
    assert "can't be shown" not in text and "no figures of a GPU" in text
    assert sorted(os.listdir(tmp_path / "out")) == ["gpu.json", "summary.md"]
