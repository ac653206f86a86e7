"""`jmeta mtl join`, end to end on a few glyphs."""

import dataclasses
import json

import pytest

from jmeta import cli
from jmeta.runs.mtl import PROGRAMS, join
from jmeta.errors import RunError

pytestmark = pytest.mark.standard_promotion

TINY = join.Config(
    dataset="glyphs:60", split="default", tasks=2, query_shot=2, network="mlp", features=(4,), norm="none",
    outer_steps=2, meta_batch_size=1, scratch_problems=3, scratch_steps=(2, 5), problems=5,
)  # fmt: skip


def test_every_row_is_there_and_a_second_start_keeps_them(tmp_path, capsys):
    config = dataclasses.replace(TINY, run_dir=str(tmp_path))
    first = join.main(config)
    table = (tmp_path / join.TABLE).read_text()
    assert table.strip() in capsys.readouterr().out
    rows = first["seeds"]["0"]
    assert set(rows) == {
        "a task at a time", "a task at a time, then joint steps", "the join", "the join, without joint steps",
        "the join, each task trained on alone",
    }  # fmt: skip
    assert all(len(values) == 5 and all(0 <= v <= 1 for v in values) for values in rows.values())
    assert first["scratch"]["steps"] in (2, 5)
    assert table.count("|\n") == 2 + 6

    stored = json.loads((tmp_path / join.RESULT).read_text())
    del stored["seeds"]["0"]["the join"]  # as if it had been stopped there
    (tmp_path / join.RESULT).write_text(json.dumps(stored))
    assert join.main(config)["seeds"] == first["seeds"]
    with pytest.raises(RunError, match="results of other settings"):
        join.main(dataclasses.replace(config, shot=4))


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
        join.main(dataclasses.replace(TINY, run_dir=str(tmp_path / "run"), **changed))


def test_the_command_lists_its_programs(capsys):
    assert cli.main(["mtl"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PROGRAMS)
    assert cli.main(["mtl", "jion"]) == 2
    assert "did you mean 'join'" in capsys.readouterr().err
    assert cli.main(["mtl", "join", "--shot", "3"]) == 2
    assert "even number" in capsys.readouterr().err
