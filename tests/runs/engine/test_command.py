"""What the words of a command line of training become, in every area."""

import dataclasses
import json
import os
import re
import warnings
from pathlib import Path

import pytest
from small_runs import TINY

from jmeta import cli
from jmeta.errors import RunError
from jmeta.runs import few_shot, mtl, rl
from jmeta.runs.engine import command
from jmeta.runs.engine.area import in_folder
from jmeta.runs.engine.flags import described
from jmeta.runs.engine.train import Result
from jmeta.settings import flag, names, to_dict

pytestmark = pytest.mark.standard_promotion


@pytest.fixture
def asked(monkeypatch):
    """`asked(area, words)` is what would be trained, by name."""

    def run(area, words):
        found = {}

        def remember(area, settings, options, **_):
            found.update(to_dict(settings) | to_dict(in_folder(area, settings, options)))
            return Result(Path("nowhere"), 0, None, {}, [], {})

        monkeypatch.setattr(command.areas, "train", remember)
        assert command.train_command(area, words.split()) == 0
        return found

    return run


@pytest.mark.parametrize(
    ("area", "words", "alone"),
    [
        (rl.AREA, "--env bandit --env mdp", "--env mdp"),
        (rl.AREA, "--algorithm maml --env=navigation --algorithm rl2", "--algorithm rl2 --env navigation"),
        (rl.AREA, "--pulls 10 --meta-batch-size 4 --pulls 40 --meta-batch-size 8", "--pulls 40 --meta-batch-size 8"),
        (few_shot.AREA, "--algorithm maml --algorithm prototypical", "--algorithm prototypical"),
        (few_shot.AREA, "--dataset=glyphs --dataset sinusoid --outer_lr 0.1", "--dataset sinusoid --outer-lr 0.1"),
        (few_shot.AREA, "--preset maml-sinusoid --preset quickstart", "--preset quickstart"),
        (mtl.AREA, "--algorithm maml --algorithm ridge", "--algorithm ridge"),
    ],
)
def test_of_a_flag_that_is_there_twice_the_last_counts(asked, area, words, alone):
    """They are read in two steps: if the first took another word than the second, the defaults would be of another."""
    assert asked(area, words) == asked(area, alone)


@pytest.mark.parametrize(
    ("words", "rows", "saves"),
    [
        ("--save-every 300", 100, 300),
        ("--log_every=30", 30, 5010),
        ("--log-every 25 --save-every 50", 25, 50),
        ("", 1000, 5000),
    ],
)
def test_of_two_numbers_that_must_fit_the_one_that_is_not_said_gives_way(asked, words, rows, saves):
    """`--save-every 300` alone was refused, as no multiple of rows that nobody had asked for."""
    found = asked(few_shot.AREA, f"--dataset sinusoid {words}")
    assert (found["log_every"], found["save_every"]) == (rows, saves)


@pytest.mark.parametrize("area", [few_shot.AREA, rl.AREA, mtl.AREA], ids=lambda area: area.kind)
def test_underscores_are_hyphens(asked, area, tmp_path):
    """A run that goes on in `--run_dir` has the settings of that folder."""
    first = area.defaults(area.choice())
    values = {**to_dict(first[0]), **to_dict(first[1]), "seed": 7, "experiment": area.kind, "facts": {}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert asked(area, f"--run_dir {tmp_path} --resume")["seed"] == 7
    assert asked(area, f"--run_dir={tmp_path} --resume")["seed"] == 7
    assert asked(area, f"--run_dir={tmp_path} --resume --no-resume")["seed"] == 0


def test_a_run_goes_on_in_its_usual_folder_with_what_it_was_started_with(cli, asked, shapes, tmp_path, monkeypatch):
    """Its chunks and devices too, although the words name neither them nor the folder."""
    monkeypatch.chdir(tmp_path)
    words = " ".join(["--dataset", shapes, *TINY]).replace(
        "--devices 1", "--outer-steps 2 --log-every 1 --save-every 1"
    )
    started = f"train {words} --chunk-size 2 --devices 2".split()
    assert cli(*started).code == 0
    kept = json.loads((tmp_path / "runs" / "maml-shapes-2w1s" / "config.json").read_text())
    again = asked(few_shot.AREA, f"--dataset {shapes} --way 2 --resume")
    assert {**again, "resume": False, "devices": 2} == {name: kept[name] for name in again}
    assert again["chunk_size"] == 2 and again["run_dir"] == os.path.join("runs", "maml-shapes-2w1s")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "nothing is left to do" in cli("train", "--dataset", shapes, "--way", 2, "--resume").out
    after = json.loads((tmp_path / "runs" / "maml-shapes-2w1s" / "config.json").read_text())
    assert (after["devices"], after["chunk_size"]) == (2, 2)


@pytest.mark.parametrize("area", [few_shot.AREA, rl.AREA, mtl.AREA], ids=lambda area: area.kind)
def test_help_names_groups_by_what_they_are_and_describes_every_flag(area, capsys):
    """Their titles were paths such as `settings.learner.inner`."""
    with pytest.raises(SystemExit):
        command.train_command(area, ["--help", "--algorithm", "maml"])
    shown = capsys.readouterr().out
    titles = re.findall(r"^\W+([\w. ]+) options\W+$", shown, re.MULTILINE)
    assert "run" in titles and "network" in titles and not [title for title in titles if "." in title]
    assert area is rl.AREA or "inner loop" in titles
    for part in area.defaults(area.choice("maml")):
        for name in names(part):
            assert flag(name) in shown
    kinds = {type(own) for part in area.defaults(area.choice("maml")) for own in [part, *vars(part).values()]}
    for kind in filter(dataclasses.is_dataclass, kinds):
        own = [field.name for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(field.default)]
        assert [name for name in described(kind) if name in own] == own


class Base:
    """One.

    Attributes:
        size: of
            one.
        rate: first.
    """


class Made(Base):
    """Two.

    Attributes:
        rate: second.
    """


def test_what_a_class_says_of_a_setting_is_said_of_those_made_from_it():
    """Of a help that reads the docstring of a class alone, so that all that is told of its base has to stand twice."""
    assert described(Made) == {"size": "of one.", "rate": "second."}


@pytest.mark.parametrize(
    ("area", "words", "part"),
    [
        (
            few_shot.AREA,
            "--context-size 5",
            "--context-size is nothing that --algorithm maml can be told: leave it out",
        ),
        (few_shot.AREA, "--context_size=5", "or choose --algorithm cavia."),
        (few_shot.AREA, "--algorithm prototypical --inner-lr 1", "--algorithm meta-sgd and 10 more."),
        (rl.AREA, "--horizon 5", "choose --env mdp or --env navigation or --env semi-circle or --env cart-pole."),
        (rl.AREA, "--credit", "--algorithm rl2 --env bandit can be told: leave it out, or choose --algorithm maml."),
        (mtl.AREA, "--regularization 1", "or choose --algorithm imaml."),
    ],
)
def test_a_flag_of_another_learner_names_it(area, words, part):
    with pytest.raises(RunError, match="is nothing that") as refused:
        command.train_command(area, words.split())
    assert part in str(refused.value)


def test_a_warning_is_a_sentence(monkeypatch):
    """Not a place in the library's code, with the line that it stands in; those of other libraries stay as they are."""
    seen, before = [], warnings.formatwarning

    def dispatch(words):
        seen.extend(warnings.formatwarning("two\x1bwords", UserWarning, name, 1) for name in (cli.__file__, "/x.py"))
        return 0

    monkeypatch.setattr(cli, "_dispatch", dispatch)
    assert cli.main(["train"]) == 0
    assert seen == ["jmeta: two\\x1bwords\n", "/x.py:1: UserWarning: two\x1bwords\n"]
    assert warnings.formatwarning is before


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("train", "--learner", "maml"), "there is no --learner: did you mean --algorithm?"),
        (("train", "photos/"), "takes flags alone, got photos/: did you mean --dataset photos/?"),
        (("rl", "train", "--environment", "bandit"), "there is no --environment: did you mean --env?"),
    ],
)
def test_what_others_call_it_is_answered(refused, words, meant):
    assert meant in refused(*words)
