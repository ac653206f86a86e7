"""A sequence of tasks as the engine trains it."""

import json

import jax
import numpy as np
import pytest

from jmeta import cli, loop
from jmeta.continual.online import settings as own
from jmeta.continual.online.experiment import Alone, builder, load_data, whole
from jmeta.continual.settings import Choice
from jmeta.errors import RunError
from jmeta.runs.use import load
from jmeta.settings import replaced

pytestmark = pytest.mark.standard_promotion
SMALL = {"dataset": "glyphs:4", "features": (8,), "task_steps": 3, "batch_size": 4, "finish_size": 2}


def made(algorithm, **values):
    settings = replaced(own.defaults(Choice(algorithm)), SMALL | values)
    own.check(settings)
    return builder()(settings)


def test_the_engine_goes_through_the_tasks_and_tells_their_ends():
    """Catches an end that is told at every step, or never, and a task that is not the next."""
    experiment = made("ewc")
    run, state = loop.repeat(experiment.update), experiment.init(jax.random.key(0))
    assert experiment.steps == 6 and not np.any(whole(state).fisher)
    before, _ = run(state, 2)
    after, metrics = run(before, 1)
    later, _ = run(after, 2)
    assert not np.any(whole(before).fisher) and np.any(whole(after).fisher) and np.isfinite(metrics.loss).all()
    np.testing.assert_array_equal(whole(later).fisher, whole(after).fisher)
    found = jax.jit(experiment.validate)(later.params)["accuracy"]
    assert found.shape == (2,) and np.isfinite(found).all()


@pytest.mark.parametrize(
    ("algorithm", "values", "said"),
    [
        ("replay", {"memory_size": 0}, "[Mm]emory_size must be .*got 0"),
        ("sgd", {"norm": "batch"}, "--norm batch"),
        ("sgd", {"way": 5}, "classes"),
    ],
)
def test_what_can_not_be_trained_is_refused(algorithm, values, said):
    with pytest.raises(RunError, match=said):
        made(algorithm, **values)


def test_the_command_line_goes_through_a_sequence(tmp_path, capsys):
    """Catches an evaluation on the tasks that were validated on, or of another state than the one that was kept."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, "features": 8}.items()]
    run_dir = str(tmp_path / "run")
    train = ["continual", "train", "--algorithm", "replay", *words, "--save-every", "6", "--log-every", "6"]
    assert cli.main([*train, "--memory-size", "4", "--replay-size", "2", "--run-dir", run_dir]) == 0
    assert cli.main(["continual", "evaluate", "--run-dir", run_dir, "--checkpoint", "newest"]) == 0
    assert "| retained" in capsys.readouterr().out
    found, run = json.loads((tmp_path / "run" / "evaluation.json").read_text()), load(run_dir, "newest")
    data = load_data(run.settings.sequence)
    for number, value in enumerate(found["tasks"]):
        task = jax.tree.map(lambda a, k=number: a[k], data.test)
        hits = run.learner.predict(Alone(run.params), task.x).argmax(-1) == task.y.argmax(-1)
        assert value == pytest.approx(float(hits.mean()), abs=1e-6)
    assert found["retained"] == pytest.approx(np.mean(found["tasks"])) and found["steps"] == 6
    assert cli.main(["continual", "plot", "--run-dir", run_dir]) == 0
    assert cli.main(["continual", "evaluate", "--run-dir", run_dir, "--head", "ridge"]) == 2
    assert "no stream: leave --head out" in capsys.readouterr().err
