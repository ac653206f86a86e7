"""How commands end: signals, readers and terminals that go away, and outputs that are no files."""

import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console
from small_runs import TINY, rows_of

from jmeta.report.files import write_json
from jmeta.runs.engine import progress

WORDS = [*TINY, "--outer-steps", "100000", "--save-every", "100000"]


def start(shapes, run_dir, **options):
    words = [sys.executable, "-m", "jmeta", "train", "--dataset", shapes, *WORDS, "--run-dir", str(run_dir)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **options)
    while process.poll() is None and len(rows_of(run_dir)) < 2:
        time.sleep(0.002)
    return process


def saved(run_dir):
    return max(int(path.name) for path in (run_dir / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("inherited", "ends"), [(signal.SIG_DFL, signal.SIGHUP), (signal.SIG_IGN, signal.SIGTERM)], ids=["plain", "nohup"]
)
def test_a_hang_up_saves_as_sigterm_does_unless_it_is_to_be_ignored(shapes, tmp_path, inherited, ends):
    """The closed terminal of a connection that broke off; `nohup` is there for what goes on."""
    before = signal.signal(signal.SIGHUP, inherited)
    process = start(shapes, tmp_path / "run", stdout=subprocess.DEVNULL)
    signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    if ends != signal.SIGHUP:
        time.sleep(0.2)
        process.send_signal(ends)
    err = process.communicate()[1]
    assert process.returncode == 128 + ends and "stopped and saved" in err
    assert rows_of(tmp_path / "run")[-1]["step"] == saved(tmp_path / "run")


def test_a_reader_that_goes_away_stops_nothing_and_a_second_signal_ends_at_once(shapes, tmp_path):
    """`jmeta train | head` lost what was trained since the last checkpoint."""
    reading, writing = os.pipe()
    process = start(shapes, tmp_path / "run", stdout=writing)
    os.close(writing)
    os.close(reading)
    before = len(rows_of(tmp_path / "run"))
    while process.poll() is None and len(rows_of(tmp_path / "run")) < before + 3:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    err = process.communicate()[1]
    assert process.returncode in (130, 143) and "Traceback" not in err
    assert "standard output can't be written to any more (Broken pipe): going on without it." in err


def test_the_bar_of_a_terminal_is_drawn_before_there_are_steps():
    """Its number of steps is not known while the first program is compiled."""
    console = Console(force_terminal=True, file=io.StringIO(), width=200)
    with progress._bar("maml", console) as report:
        report.begin(0, 20)
        report.piece(5, {"loss": 0.5})
        report.note("two\x1b[31m [red]words")
    text = console.file.getvalue()
    assert "compiling" in text and "5/20" in text and "two\\x1b[31m [red]words" in text


def test_the_time_left_is_of_steps_alone(monkeypatch, capfd):
    """Catches an estimate that takes the start and the compiling for steps, also where a run goes on; and silence
    between rows that are far apart."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    report = progress._lines()
    report.begin(10, 30)  # after compiling
    now[0] = 110
    report.piece(12, {"loss": 1.0})  # the next row is soon there
    report.row({"step": 15, "loss": 1.0})
    assert capfd.readouterr().out == "step 15/30  loss 1.0000  0:30 left\n"
    now[0] = 150
    report.piece(20, {"loss": 0.5})  # a long time without one
    assert capfd.readouterr().out == "step 20/30  loss 0.5000  0:50 left\n"


@pytest.mark.parametrize("kind", ["pipe", "stream", "link"])
def test_an_output_that_is_no_file_stays_what_it_is(tmp_path, kind):
    """A move onto /dev/null as root would have made a file of it, for all programs."""
    path, read = tmp_path / "output", []
    if kind == "pipe":
        os.mkfifo(path)
        with pytest.raises(OSError, match="No such device"):  # and not a wait for ever
            write_json(path, {"x": 1})
        reader = threading.Thread(target=lambda: read.append(path.read_text()))
        reader.start()
        for _ in range(500):
            try:
                write_json(path, {"x": 1})
                break
            except OSError:
                time.sleep(0.01)
        reader.join()
    elif kind == "stream":
        with open(path, "w") as file:
            file.write("before\n")
            file.flush()
            os.lseek(file.fileno(), 0, os.SEEK_END)
            write_json(f"/dev/fd/{file.fileno()}", {"x": 1})
        read.append(path.read_text())
    else:
        path.symlink_to("/dev/null")
        write_json(path, {"x": 1})
        assert path.is_symlink() and not os.path.isfile("/dev/null")
        return
    assert '"x": 1' in read[0] and sorted(tmp_path.iterdir()) == [path]


def test_a_notebook_that_asks_for_colors_has_lines(monkeypatch, capsys):
    """Jupyter sets FORCE_COLOR, by which Rich takes a pipe for a terminal: a bar there is a thousand lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.shown("maml") as report:
        report.begin(0, 10)
        report.row({"step": 10, "loss": 0.5})
    out = capsys.readouterr().out
    assert "step 10/10" in out and "\x1b" not in out
