"""`jmeta optimizers`: a small run from training to pictures, and its rule in the hands of an Optax user."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmeta
from jmeta import cli
from jmeta.errors import RunError

pytestmark = pytest.mark.standard_promotion
ROOT = Path(jmeta.__file__).parents[1]
SMALL = ["--outer-steps", "4", "--meta-batch-size", "2", "--val-problems", "2", "--log-every", "2", "--save-every", "2"]


@pytest.fixture(scope="module")
def schedule(tmp_path_factory):
    """A schedule of two rates, hardly trained."""
    place = tmp_path_factory.mktemp("schedule") / "run"
    words = ["--rule", "schedule", "--problem", "quadratic", "--estimator", "full", "--rates", "2", "--rate", "0.5"]
    words += ["--inner-steps", "2", "--dimension", "3", *SMALL, "--run-dir", str(place)]
    assert cli.main(["optimizers", "train", *words]) == 0
    return place


def test_a_run_is_evaluated_beside_tuned_rules_and_the_optimum_and_drawn(schedule, capsys):
    """Catches an exact row of another number of steps, and a difference that is not to the learned rule."""
    assert cli.main(["optimizers", "plot", "--run-dir", str(schedule)]) == 2
    assert "has not been evaluated" in capsys.readouterr().err
    words = ["--run-dir", str(schedule), "--problems", "40", "--tuning-problems", "10"]
    assert cli.main(["optimizers", "evaluate", *words]) == 0
    said = capsys.readouterr().out
    assert "best fixed linear method, exact" in said and "0.0069" in said
    found = json.loads((schedule / "evaluation.json").read_text())
    rows = found["rows"]
    assert set(rows) == {"learned", "sgd", "momentum", "adam"} and rows["learned"]["above_learned"] == 0
    assert rows["sgd"]["above_learned"] == pytest.approx(rows["sgd"]["final"] - rows["learned"]["final"])
    assert len({row["curve"][0] for row in rows.values()}) == 1 and len(rows["sgd"]["curve"]) == 3
    assert found["exact"]["best fixed linear method"][-1] == pytest.approx(1 / 144)
    assert cli.main(["optimizers", "plot", "--run-dir", str(schedule)]) == 0
    assert (schedule / "losses.png").stat().st_size > 10_000 and (schedule / "training.png").exists()


def test_a_trained_rule_is_an_optax_optimizer_in_one_line(schedule):
    """For a tree that it has never seen; its rates are those of the checkpoint. Catches another order of leaves."""
    optimizer = jmeta.optimizers.load(schedule)
    assert isinstance(optimizer, optax.GradientTransformation)
    tree = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
    updates, _ = optimizer.update(tree, optimizer.init(tree), tree)
    run = jmeta.load(schedule)
    np.testing.assert_allclose(updates["w"], -np.exp(run.params[0]) * np.ones((2, 3)), rtol=1e-6)
    assert run.learner.make(run.params).init(tree).count == 0


def test_what_is_no_trained_rule_is_refused_in_one_sentence(schedule, tmp_path, capsys):
    with pytest.raises(RunError, match=r"(?s)^[^\n]*nothing[^\n]*$"):
        jmeta.optimizers.load(tmp_path / "nothing")
    other = tmp_path / "other"
    shutil.copytree(schedule, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"experiment": "few-shot"}))
    with pytest.raises(RunError, match="is a run of few-shot, not optimizers: give it to the commands of its own"):
        jmeta.optimizers.load(other)
    capsys.readouterr()
    assert cli.main(["optimizers", "evaluate", "--run-dir", str(schedule), "--dataset", "digits"]) == 2
    assert "--dataset is nothing that quadratic can be told: leave it out." in capsys.readouterr().err
    words = ["--problem", "quadratic", "--estimator", "pes", "--truncation", "3", "--inner-steps", "10"]
    assert cli.main(["optimizers", "train", *words]) == 2
    assert "--truncation 3 must divide --inner-steps 10" in capsys.readouterr().err
    assert cli.main(["optimizers", "train", "--rule", "lstn"]) == 2
    assert "did you mean 'lstm'?" in capsys.readouterr().err
    assert cli.main(["optimizers", "exact"]) == 2
    assert "python -m scripts.optimizers.exact" in capsys.readouterr().err


def test_help_tells_what_a_rule_and_a_problem_can_be_told(capsys):
    """Catches settings of one choice that are offered for another."""
    assert (
        cli.main(
            [
                "optimizers",
                "train",
                "--rule",
                "lstm",
                "--problem",
                "quadratic-log",
                "--estimator",
                "truncated",
                "--help",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "--preprocess" in said and "--kappa" in said and "--truncation" in said
    assert "--sigma" not in said and "--activation" not in said


LINE = """
import jax, jax.numpy as jnp
from jmeta.optimizers import rules

class line:
    \"\"\"A line through three points.\"\"\"
    def init(key):
        return {"slope": jnp.zeros(()), "height": jnp.zeros(())}
    def loss(params, key):
        x = jax.random.normal(key, (3,))
        return jnp.mean((params["slope"] * x + params["height"] - 2 * x - 1) ** 2)
"""


def test_per_tensor_rates_are_learned_on_a_problem_of_ones_own_and_are_for_its_tensors_alone(tmp_path, capsys):
    """And code that a folder names is not run unless it is trusted."""
    file, place = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(LINE)
    words = ["--rule", "per-tensor", "--problem", f"{file}:line", "--inner-steps", "4", *SMALL]
    assert cli.main(["optimizers", "train", *words, "--run-dir", str(place)]) == 0
    with pytest.raises(RunError, match="--trust-code"):
        jmeta.optimizers.load(place)
    optimizer = jmeta.optimizers.load(place, trust_code=True)
    optimizer.init({"slope": jnp.zeros(5), "height": jnp.zeros(())})
    with pytest.raises(ValueError, match="has rates for the tensors height, slope, got a tree of w: optimize one"):
        optimizer.init({"w": jnp.zeros(3)})


FRESH = """
import sys, flax.linen as nn, jax, jax.numpy as jnp, optax, jmeta
optimizer = jmeta.optimizers.load(sys.argv[1])
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.relu(nn.Dense(16)(x)))
x = jax.random.normal(jax.random.key(0), (64, 4))
y = jnp.sin(x[:, :1])
params = Net().init(jax.random.key(1), x)
loss = lambda params: jnp.mean((Net().apply(params, x) - y) ** 2)
@jax.jit
def step(params, state):
    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state
state, before = optimizer.init(params), float(loss(params))
for _ in range(20):
    params, state = step(params, state)
print(before, float(loss(params)))
"""


@pytest.mark.long
def test_a_fresh_process_trains_a_network_by_it_that_it_has_never_seen(tmp_path):
    place = tmp_path / "run"
    words = ["--rule", "mlp", "--problem", "least-squares-01", "--inner-steps", "20", *SMALL]
    assert cli.main(["optimizers", "train", *words, "--run-dir", str(place)]) == 0
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(place)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    before, after = map(float, done.stdout.split())
    assert after < before, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("rule", ["lstm", "adafactor-mlp"])
@pytest.mark.parametrize("estimator", ["es", "noise-reuse"])
def test_other_rules_and_estimators_train_on_networks(rule, estimator, tmp_path):
    words = ["--rule", rule, "--estimator", estimator, "--dataset", "glyphs:60", "--way", "2", "--features", "3"]
    words += ["--inner-steps", "20", *SMALL, "--run-dir", str(tmp_path / "run")]
    assert cli.main(["optimizers", "train", *words]) == 0
    assert jax.tree.leaves(jmeta.load(tmp_path / "run").params)
