"""One writer of a run folder, whole checkpoints for readers, and one typed reader for all that is kept."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest
from small_runs import TINY, rows_of

from jmeta.errors import RunError, printable
from jmeta.experiment import TrainState
from jmeta.runs import few_shot, mtl, rl
from jmeta.runs.catalog import EXPERIMENTS
from jmeta.runs.engine import area as areas
from jmeta.runs.engine import checkpoints, folder, keeping, leaves
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import silent
from jmeta.runs.few_shot import load_trained
from jmeta.runs.few_shot.evaluate import EvaluateConfig, Size
from jmeta.runs.few_shot.plot import PlotConfig, evaluation_of, inner_steps_of
from jmeta.settings import INT32, check, fields, replaced

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**30, -1, 0, 2**31]), st.floats(), st.text(max_size=5),
    st.lists(st.integers(-2, 2), max_size=2), st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=1),
)  # fmt: skip


TOY = Path(__file__).parents[2] / "contract" / "toy_experiment.py"


def state(step=5, size=3):
    return TrainState({"a": jnp.arange(float(size))}, (), jax.random.key(0), jnp.int32(step))


def kept_steps(place):
    return sorted(int(path.name) for path in place.iterdir())


def test_a_run_folder_has_one_writer_and_a_dead_process_is_none(tmp_path):
    """A lock that is a file would stay when its process is killed."""
    code = f"""if True:
        import pathlib, time
        from jmeta.runs.engine import folder
        with folder.written_here(pathlib.Path({str(tmp_path)!r})):
            print("here", flush=True)
            time.sleep(600)
    """
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "here\n"
    with pytest.raises(RunError, match="another process trains in"), folder.written_here(tmp_path):
        pass
    other.kill()
    other.communicate()
    with folder.written_here(tmp_path), pytest.raises(RunError, match="another"), folder.written_here(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_second_training_changes_nothing_of_the_first(refused, finished, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    with folder.written_here(run_dir):
        (run_dir / ".config.json-12345678.tmp").write_text("half")  # as the first one may just be writing
        assert "another process trains" in refused("train", "--run-dir", run_dir, "--resume")
        assert (run_dir / ".config.json-12345678.tmp").exists()
    assert rows_of(run_dir) == rows_of(finished)


@pytest.mark.parametrize("best", [None, 5, 20])
def test_the_two_newest_and_the_best_are_kept(tmp_path, best):
    """Where the newest is the best too, or none is validated, there was one alone."""
    with checkpoints.opened(tmp_path / "checkpoints") as kept:
        for step in (5, 10, 15, 20):
            checkpoints.save(kept, state(step), None if best is None else -abs(step - best))
            checkpoints.prune(kept)
    assert kept_steps(tmp_path / "checkpoints") == ([5, 15, 20] if best == 5 else [15, 20])


def test_a_run_that_was_stopped_in_between_ends_with_the_same_checkpoints(tmp_path):
    with checkpoints.opened(tmp_path / "checkpoints", every=10) as kept:
        for step, left in ((4, [4]), (10, [10]), (17, [10, 17]), (20, [10, 20])):
            checkpoints.save(kept, state(step), None)
            checkpoints.prune(kept)
            assert kept_steps(tmp_path / "checkpoints") == left


def test_what_is_being_read_is_not_removed(tmp_path):
    place = tmp_path / "checkpoints"
    with checkpoints.opened(place) as kept:
        checkpoints.save(kept, state(5), None)
        with folder.locked(place / "5", shared=True), folder.locked(place / "5", shared=True) as free:
            assert free, "readers are beside each other"
            for step in (10, 15):
                checkpoints.save(kept, state(step), None)
                checkpoints.prune(kept)
            assert kept_steps(place) == [5, 10, 15]
        checkpoints.prune(kept)
        assert kept_steps(place) == [10, 15]


def test_a_reader_takes_the_next_checkpoint_where_training_removes_one(tmp_path, monkeypatch):
    """Between the look at the folder and the read, training goes on."""
    place, restore, removed = tmp_path / "checkpoints", checkpoints.restore, []
    with checkpoints.opened(place) as kept:
        checkpoints.save(kept, state(5), None)

    def late(found, step, like):
        if not removed:
            with checkpoints.opened(place) as kept:
                checkpoints.save(kept, state(10), None)
            shutil.rmtree(place / "5")
            removed.append(step)
        return restore(found, step, like)

    monkeypatch.setattr(checkpoints, "restore", late)
    assert checkpoints.restored(tmp_path, lambda key: state(), "newest")[0] == 10 and removed == [5]


@pytest.mark.parametrize(("words", "part"), [(("--seed", 1), "--seed 1, not 0"), (("--features", 8), "--features 8")])
def test_a_checkpoint_of_another_run_is_refused(cli, refused, finished, shapes, tmp_path, words, part):
    """Another seed has the same shapes: nothing but its record tells."""
    short = ("--outer-steps", 1, "--log-every", 1, "--save-every", 1)
    assert cli("train", "--dataset", shapes, *TINY, *words, *short, "--run-dir", tmp_path / "other").code == 0
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", tmp_path / "run" / "checkpoints")
    for command in (("train", "--resume"), ("evaluate", "--episodes", 2)):
        message = refused(*command, "--run-dir", tmp_path / "run")
        assert "is of another run than" in message and part in message


NAMES = [
    "exp[1]", "a*b", "a?b", "back\\slash", "two words", "gs:", "s3:", "gs:x", "ünï", "日本", "{x}", "a%20b", "a#b",
    "a\nb", "~", "-x", "x\udcff", "a'b", '"', "\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_checkpoints_under_any_name_are_read_back_or_refused_at_once(tmp_path, name):
    """Orbax takes some for patterns or addresses, and then finds nothing of what it has written."""
    place = tmp_path / name / "checkpoints"
    try:
        checkpoints.check_path(tmp_path / name)
    except RunError as error:
        assert set(name) & set("[]*?\\\udcff") or name in ("gs:", "s3:"), error
        return
    with checkpoints.opened(place) as kept:
        checkpoints.save(kept, state(), 0.5)
    step, found = checkpoints.restored(tmp_path / name, lambda key: state())
    assert step == 5 and leaves.digest_of(found.params) == leaves.digest_of(state().params)


@hypothesis.given(st.text())
def test_no_name_steers_the_terminal_and_each_can_be_written(text):
    shown = printable(text)
    shown.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert printable("plain ünï 日本") == "plain ünï 日本"


def reads(read, path, values):
    """A reader takes values or refuses them in a sentence, whatever they are."""
    path.write_text(json.dumps(values))
    try:
        read()
    except RunError as error:
        assert str(error) and "\n" not in str(error)


@hypothesis.given(st.data())
def test_any_value_in_config_json_is_taken_or_refused_in_a_sentence(finished, tmp_path_factory, data):
    """Each of 61 settings and facts; many odd ones ended in a traceback."""
    run = tmp_path_factory.mktemp("odd") / "run"
    shutil.copytree(finished, run)
    values = json.loads((run / "config.json").read_text())
    facts = values["facts"]
    name = data.draw(st.sampled_from([*values, *(f"facts {name}" for name in facts)]))
    value = data.draw(ODD)
    changed = {**values, "facts": {**facts, name[6:]: value}} if name.startswith("facts ") else {**values, name: value}
    reads(lambda: load_trained(run).look, run / "config.json", changed)


@hypothesis.given(st.data())
def test_any_value_in_results_is_taken_or_refused_in_a_sentence(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("odd")
    steps = [{"inner_steps": i, "accuracy": 0.5, "ci95": 0.1} for i in range(2)]
    result = {
        "checkpoint_step": 1, "algorithm": "maml", "dataset": "x", "way": 2, "shot": 1, "episodes": 2, "accuracy": 0.5,
        "steps": steps,
    }  # fmt: skip
    odd, name = data.draw(ODD), data.draw(st.sampled_from([*result, "in a step"]))
    changed = {**result, "steps": [{**steps[0], "accuracy": odd}]} if name == "in a step" else {**result, name: odd}
    reads(lambda: evaluation_of(place / "e.json"), place / "e.json", changed)
    summary = {
        "step": 1, "measured": "loss", "members": {"seed0": {"seed": 0, "loss": 1.0}},
        "settings": [{"seeds": 1, "mean": 1.0, "ci95": None}],
    }  # fmt: skip
    name = data.draw(st.sampled_from([*summary, "member", "number"]))
    members = {"member": {"seed0": odd}, "number": {"seed0": {"loss": odd, "diverged_at": odd}}}
    changed = {**summary, "members": members[name]} if name in members else {**summary, name: odd}
    reads(lambda: keeping.known_to_diverge(place), place / "summary.json", changed)


@hypothesis.given(st.lists(st.one_of(st.binary(max_size=9), ODD.map(lambda v: json.dumps(v).encode())), max_size=4))
def test_damaged_rows_are_told_and_kept_aside_and_the_others_stay(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("rows") / "metrics.jsonl"
    good = [{"step": step, "loss": 1.0 / step} for step in (5, 10, 15)]
    bad = [line.replace(b"\n", b" ") for line in damage]
    lines = [json.dumps(good[0]).encode(), *bad, *(json.dumps(row).encode() for row in good[1:]), b'{"step": 20, "lo']
    path.write_bytes(b"\n".join(lines))
    told = []
    assert folder.read_rows(path, told.append) == good and len(told) == bool(bad)
    folder.cut_rows(path, 10, told.append)
    assert folder.read_rows(path, told.append) == good[:2] and len(told) == 2 * bool(bad)
    aside = [other.read_bytes() for other in path.parent.glob("metrics-damaged*")]
    assert aside == ([b"\n".join(lines)] if bad else [])


@pytest.mark.parametrize("file", ["config.json", "metrics.jsonl", "evaluation.json"])
@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "7", '{"way": ' + "9" * 5000 + "}", "\ufeff{}", None])
def test_a_file_that_is_no_json_of_ours_is_a_sentence(refused, finished, tmp_path, file, text):
    """None is for a pipe, which nobody writes to."""
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / file).unlink(missing_ok=True)
    if text is None:
        os.mkfifo(tmp_path / "run" / file)
    else:
        (tmp_path / "run" / file).write_text(text)
    if file == "config.json":
        assert file in refused("evaluate", "--run-dir", tmp_path / "run")
    elif file == "evaluation.json":
        with pytest.raises(RunError, match=file):
            inner_steps_of(PlotConfig(str(tmp_path / "run")), 20)
    elif text is None:
        with pytest.raises(RunError, match=file):
            folder.read_rows(tmp_path / "run" / file)
    else:
        assert folder.read_rows(tmp_path / "run" / file) == []


def test_checkpoints_that_somebody_removed_are_not_removed_again(tmp_path):
    """Training ended with the system's words about the folder of a step, when that was not to be kept any more."""
    place = tmp_path / "checkpoints"
    with checkpoints.opened(place) as kept:
        for step in (5, 10, 15, 20):
            checkpoints.save(kept, state(step), None)
            if step == 15:
                shutil.rmtree(place / "5")
                shutil.rmtree(place / "10")
        checkpoints.prune(kept)
        assert checkpoints.steps(kept) == kept_steps(place) == [15, 20]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("_CHECKPOINT_METADATA", b"[1, 2]"), ("metrics/metrics", b""), ("metrics/metrics", b"\x88"),
        ("metrics/metrics", b"[1, 2]"), ("metrics/metrics", b'{"score": "x"}'), ("record/metadata", None),
    ],
)  # fmt: skip
def test_a_damaged_file_of_a_checkpoint_is_a_sentence_whoever_meets_it(tmp_path, file, content, sealed):
    """Orbax reads scores and times when it opens the folder, and sorts the scores, each outside the restore."""
    place = tmp_path / "checkpoints"
    with checkpoints.opened(place) as kept:
        for step in (5, 10):
            checkpoints.save(kept, state(step), float(step))
    damaged = place / "10" / file
    damaged.unlink() if content is None else damaged.write_bytes(content)
    if not sealed:
        (place / "10" / "files.json").unlink()
    with pytest.raises(RunError) as caught:
        checkpoints.restored(tmp_path, lambda key: state(), "best")
    assert str(place) in str(caught.value) and "\n" not in str(caught.value)
    assert "no run folder" not in str(caught.value)


def test_a_checkpoint_under_another_step_is_refused(tmp_path):
    """Training took its step from the contents, and the rows in between were missing."""
    with checkpoints.opened(tmp_path / "checkpoints") as kept:
        checkpoints.save(kept, state(5), None)
    (tmp_path / "checkpoints" / "5").rename(tmp_path / "checkpoints" / "10")
    with pytest.raises(RunError, match=r"checkpoints/10 is damaged \(its contents are of step 5\): restore it"):
        checkpoints.restored(tmp_path, lambda key: state(), "newest")


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"w": jnp.zeros(3)}, "w is [2] in it and [3] here"),
        ({"v": jnp.zeros(2)}, "v is nothing in it and [2] here"),
        ({"w": jnp.zeros(2), "z": jnp.zeros(1)}, "z is nothing in it and [1] here"),
    ],
)
def test_a_checkpoint_of_another_network_is_not_called_damaged(tmp_path, params, says):
    """Its files are whole: a network whose code has changed since was said to need a backup."""
    with checkpoints.opened(tmp_path / "checkpoints") as kept:
        checkpoints.save(kept, state(5)._replace(params={"w": jnp.zeros(2)}), None)
        with pytest.raises(RunError, match=rf"another network than its settings make here \({re.escape(says)}"):
            checkpoints.restore(kept, 5, state(5)._replace(params=params))


def test_what_a_killed_save_left_is_gone_once_the_folder_is_open(tmp_path):
    """A thread of Orbax removed it while the run went on, and told in a traceback if it could not by the end."""
    for number in range(200):
        (tmp_path / f"20.orbax-checkpoint-tmp-{number}" / "state" / "d").mkdir(parents=True)
    with checkpoints.opened(tmp_path):
        assert not list(tmp_path.iterdir())


def test_what_other_threads_meet_in_a_failed_read_is_not_told(tmp_path, monkeypatch, capfd):
    """Those of Orbax go on, and complained in tracebacks beside the sentence."""

    def garbled(manager, step, **told):
        threading.Thread(target=lambda: 1 / 0).start()
        raise AssertionError

    with checkpoints.opened(tmp_path / "checkpoints") as kept:
        checkpoints.save(kept, state(5), None)
        monkeypatch.setattr(type(kept.manager), "restore", garbled)
        with pytest.raises(RunError, match="is damaged"):
            checkpoints.restore(kept, 5, state())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("removed", "error"),
    [
        pytest.param("checkpoints", ValueError("no file _METADATA"), marks=pytest.mark.long),
        pytest.param("checkpoints/*tmp*", ValueError("no file _METADATA"), marks=pytest.mark.long),
        ("checkpoints/*tmp*", FileNotFoundError(2, "x")),
    ],
)
def test_what_is_removed_while_a_checkpoint_is_written_is_said_in_our_words(tmp_path, monkeypatch, removed, error):
    """Orbax and the system named files of theirs, or a path to correct."""

    def meanwhile(manager, step, **told):
        (tmp_path / "checkpoints" / f"{step}.orbax-checkpoint-tmp").mkdir()
        for path in tmp_path.glob(removed):
            shutil.rmtree(path)
        raise error

    with checkpoints.opened(tmp_path / "checkpoints") as kept:
        monkeypatch.setattr(type(kept.manager), "save", meanwhile)
        with pytest.raises(RunError) as caught:
            checkpoints.save(kept, state(), None)
    whole, part = "checkpoints has gone while training went on: restore it", "(its files were removed or changed by"
    assert (whole if removed == "checkpoints" else part) in str(caught.value)
    assert "--resume" in str(caught.value) and "METADATA" not in str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "metrics.jsonl", "checkpoints"])
def test_what_goes_while_training_goes_on_is_noticed_at_the_next_row(tmp_path, file):
    """The rows before, or all that says what the checkpoints are of, would be lost without a word."""
    area = EXPERIMENTS.get(f"{TOY}:build")
    settings, options = area.defaults(area.choice())
    options = replaced(options, {"run_dir": str(tmp_path / "run"), "log_every": 5, "save_every": 10})
    report = silent._replace(row=lambda row: row["step"] == 10 and (tmp_path / "run" / file).rename(tmp_path / file))
    with pytest.raises(RunError, match=f"{file} has gone while training went on"):
        areas.train(area, settings, options, report=report)


INTEGERS = [
    (area.kind, part, field.name)
    for area in (few_shot.AREA, rl.AREA, mtl.AREA)
    for part in area.defaults(area.choice())
    for field, value in fields(part)
    if isinstance(value, int) and not isinstance(value, bool)
]
INTEGERS += [
    ("evaluate", config, field.name)
    for config in (EvaluateConfig("x"), PlotConfig("x"), Size(1, 1, 1, 1))
    for field, value in fields(config)
    if isinstance(value, int) and not isinstance(value, bool)
]


@pytest.mark.parametrize(("kind", "part", "name"), INTEGERS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_integer_has_its_range_at_the_door(kind, part, name):
    """Beyond 32 bits programs wrap round, or do not end."""
    least = 2**32 if isinstance(part, Options) and name == "seed" else INT32 + 1
    for value in (least, 2**64, -(2**31), -(2**64)):
        with pytest.raises(RunError, match=name.replace("_", "-")):
            check(replaced(part, {name: value}))


def test_one_class_is_nothing_to_tell_apart(refused, finished, shapes, tmp_path):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run", "--way", 1)
    assert "--way must be 2 or more" in refused(*words)
    assert "--way must be 2 or more" in refused("evaluate", "--run-dir", finished, "--way", 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--dataset glyphs:60 --features 12 --norm group", "groups (8) does not divide"),
        ("--dataset sinusoid --shot 2000000000", "GiB are free"),
        ("--dataset sinusoid --query-shot 2000000000", "GiB are free"),
        ("--dataset sinusoid --val-episodes 2147483647 --query-shot 20000000", "GiB are free"),
        ("--dataset sinusoid --meta-batch-size 2147483647", "GiB are free"),
        ("--dataset sinusoid --features 1000000 100000", "GiB are free"),
    ],
)
def test_what_does_not_fit_is_a_sentence_before_anything_is_trained(refused, tmp_path, words, part):
    assert part in refused("train", *words.split(), "--run-dir", tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_resume_of_a_folder_that_is_not_there_is_refused(cli, refused, shapes, tmp_path):
    """A misspelled folder began another training, of other settings."""
    words = ("train", "--dataset", shapes, *TINY, "--outer-steps", 1, "--log-every", 1, "--save-every", 1)
    assert "to go on with" in refused(*words, "--run-dir", tmp_path / "typo", "--resume")
    assert not (tmp_path / "typo").exists()
    (tmp_path / "run").mkdir()  # as a kill before the first file leaves it
    for said in ("trained for 1 step,", "nothing is left to do"):
        assert said in cli(*words, "--run-dir", tmp_path / "run", "--resume").out


def test_numbers_are_shown_where_their_file_cannot_be_written(cli, finished, tmp_path, monkeypatch):
    def full(path, values):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(sys.modules["jmeta.runs.few_shot.evaluate"], "write_json", full)
    result = cli("evaluate", "--run-dir", finished, "--episodes", 2)
    assert result.code == 2 and "accuracy" in result.out and "No space left" in result.err
