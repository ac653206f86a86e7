"""The study of the join, on a few glyphs."""

import json

import pytest

from jmeta.errors import RunError
from jmeta.mtl.settings import Choice, defaults
from jmeta.settings import replaced
from scripts.mtl import join
from scripts.study import run

VALUES = {
    "dataset": "glyphs:60", "split": "default", "tasks": 2, "query_shot": 2, "network": "mlp", "features": (4,),
    "norm": "none", "outer_steps": 2, "meta_batch_size": 1, "val_problems": 3,
}  # fmt: skip


def tiny(run_dir, **changes):
    """A study of seconds; settings of `jmeta mtl train` and of the study by their flat names."""
    own = {"scratch_problems": 3, "scratch_steps": (2, 5), "problems": 5, "run_dir": str(run_dir)}
    study = {name: value for name, value in changes.items() if name in own or name == "seeds"}
    rest = {name: value for name, value in changes.items() if name not in study}
    settings = defaults(Choice(rest.get("algorithm", "prototypical")))
    return join.Config(replaced(settings, {**VALUES, **rest}), **{**own, **study})


@pytest.mark.long
def test_every_row_is_there_and_a_second_start_keeps_them(tmp_path, capsys):
    config = tiny(tmp_path)
    first = run(join.study, config)
    table = (tmp_path / "table.md").read_text()
    assert table.strip() in capsys.readouterr().out
    rows = first["rows"]["a task at a time, seed 0"] | first["rows"]["the join, seed 0"]
    assert set(rows) == {
        "a task at a time", "a task at a time, then joint steps", "the join", "the join, without joint steps",
        "the join, each task trained on alone",
    }  # fmt: skip
    assert all(len(values) == 5 and all(0 <= v <= 1 for v in values) for values in rows.values())
    assert first["rows"][join.SCRATCH]["steps"] in (2, 5)
    assert table.count("|\n") == 2 + 6

    stored = json.loads((tmp_path / "results.json").read_text())
    del stored["rows"]["the join, seed 0"]  # as if it had been stopped there
    (tmp_path / "results.json").write_text(json.dumps(stored))
    assert run(join.study, config)["rows"] == first["rows"]
    with pytest.raises(RunError, match=r"results of other settings .*--shot 2, not 4"):
        run(join.study, tiny(tmp_path, shot=4))


def test_seeds_are_put_together_and_compared_in_pairs():
    """Catches a seed that is left out, differences that are not of the same problems, and seeds that are pooled: what
    has no seeds is 60 % as the mean of two that are 20 points apart, of which nobody knows what a third would do."""
    rows = {join.SCRATCH: {"accuracy": [0.5, 0.7], "steps": 5, "validation": {}}}
    for seed, shift in ((0, 0.0), (7, 0.2)):
        rows[f"{join.ALONE}, seed {seed}"] = {join.ALONE: [0.4 + shift, 0.6 + shift]}
        rows[f"{join.JOIN}, seed {seed}"] = {join.JOIN: [0.5 + shift, 0.7 + shift]}
    table = join.show(join.Config(None, seeds=(0, 7)), rows).table.splitlines()
    assert [line.split(" +- ")[0] for line in table[2:]] == [
        f"| {join.SCRATCH} | 60.00", f"| {join.ALONE} | 60.00", f"| {join.JOIN} | 70.00"
    ]  # fmt: skip
    assert table[2].endswith("0.00 +- 127.06 |") and table[3].endswith("| - |")
    assert table[4].endswith("| +10.00 +- 0.00 |")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"algorithm": "mamml"}, "did you mean 'maml'"),
        ({"network": "conv5"}, "did you mean 'conv4'"),
        ({"norm": "bach"}, "did you mean 'batch'"),
        ({"algorithm": "baseline"}, "trained without episodes"),
        ({"shot": 3}, "--shot must be 2 or another even number"),
        ({"tasks": 0}, "--tasks must be 1 or more, got 0"),
        ({"tasks": 9}, "18-way episodes .* choose fewer --tasks"),
        ({"seeds": ()}, "at least one of each"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path, changed, says):
    with pytest.raises(RunError, match=says):
        run(join.study, tiny(tmp_path / "run", **changed))
    assert not (tmp_path / "run").exists()
