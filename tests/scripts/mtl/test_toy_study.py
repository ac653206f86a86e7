"""The two-task problem: its losses beside a port, and where rules end on it."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.errors import RunError
from scripts.mtl import toy as program
from scripts.mtl import toy_losses as toy
from scripts.study import run

ROOT = Path(__file__).parents[3]


def port(x, scale):
    """The losses as CAGrad's authors write them, in NumPy."""
    x1, x2 = x
    f1 = np.log(np.maximum(np.abs(0.5 * (-x1 - 7) - np.tanh(-x2)), 0.000005)) + 6
    f2 = np.log(np.maximum(np.abs(0.5 * (-x1 + 3) + np.tanh(-x2) + 2), 0.000005)) + 6
    c1, c2 = np.maximum(np.tanh(x2 * 0.5), 0), np.maximum(np.tanh(-x2 * 0.5), 0)
    f1_sq = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    f2_sq = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    return scale * (f1 * c1 + f1_sq * c2), f2 * c1 + f2_sq * c2


def test_losses_are_those_of_the_port():
    # With points where a logarithm is cut, at |.| = 0: x2 = 20 makes the tangent 1.
    points = np.asarray([*toy.THREE_STARTS, *toy.FIVE_STARTS, (0, -8.355), (3, -0.1), (-5, 20), (5, 20), (-9, 0.3)])
    found = jax.jit(jax.vmap(toy.toy_losses(0.1)))(jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(found, [port(point, 0.1) for point in points], rtol=2e-5, atol=2e-5)
    assert found[-3, 0] == pytest.approx(0.1 * (np.log(5e-6) + 6), rel=1e-5)


def test_a_start_on_the_bend_moves():
    """The derivative of both sides is that of their rising part: log 3.5 + 6 up, and 15 down for both losses."""
    gradient = jax.jit(jax.jacobian(toy.toy_losses()))(jnp.zeros(2))
    down = (49 + 6.4) / 10 - 20
    np.testing.assert_allclose(gradient[:, 1], (np.log(3.5) + 6) / 2 - down / 2, rtol=1e-5)
    np.testing.assert_allclose(gradient[:, 0], 0, atol=1e-6)


def test_on_the_pareto_front_gradients_are_opposite():
    front = toy.pareto_front(11)
    np.testing.assert_allclose(front[[0, 5, 10]], [[-7, -8.434], [0, -8.355], [7, -8.434]], atol=1e-3)
    with jax.enable_x64(True):
        a, b = np.moveaxis(np.asarray(jax.jit(jax.vmap(jax.jacobian(toy.toy_losses())))(jnp.asarray(front))), 1, 0)
    np.testing.assert_allclose(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], 0, atol=1e-9)
    assert np.all(np.sum(a * b, axis=1) <= 1e-9)


def test_equal_weights_are_stuck_twice_and_cagrad_never(tmp_path, capsys):
    """The claim of the CAGrad paper's figure 1, and the program that shows it, with all that it writes."""
    config = program.Config(run_dir=str(tmp_path / "new"), rules=("uniform", "cagrad"))
    rows = run(program.study, config)["rows"]
    ends = {name: np.asarray(row["ends"]) for name, row in rows.items()}
    losses = {name: np.asarray(row["losses"]) for name, row in rows.items()}

    np.testing.assert_allclose(ends["cagrad"], [[0, -8.355]] * 3, atol=0.02)
    np.testing.assert_allclose(losses["cagrad"], np.full((3, 2), -15.092), atol=0.02)
    np.testing.assert_allclose(ends["uniform"][[0, 2]], [[-5.02, 2.38], [5.01, 2.58]], atol=0.1)
    np.testing.assert_allclose(ends["uniform"][1], [0, -8.355], atol=0.02)
    assert losses["uniform"][[0, 2]].max(axis=1).min() > 6

    table = (tmp_path / "new" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert len({line.count("|") for line in table.splitlines()[:4]}) == 1
    assert (tmp_path / "new" / "trajectories.png").read_bytes().startswith(b"\x89PNG")
    way = np.asarray(rows["cagrad"]["way"])
    assert way.shape == (3, 701, 2)
    np.testing.assert_allclose(way[:, [0, -1]], np.stack([toy.THREE_STARTS, ends["cagrad"]], axis=1), atol=1e-3)


@pytest.mark.long
def test_other_rules_end_at_other_points_of_the_front():
    """Ends of MGDA, Nash-MTL and FAMO, which rounding moves by less than 0.15; PCGrad's from two starts it does not."""
    config = program.Config(double=True)
    front, rules = toy.pareto_front(), program.rules(config)
    ends = {}
    with jax.enable_x64(True):
        starts = jnp.asarray(toy.THREE_STARTS, float)
        for name in ("mgda", "nash_mtl", "famo", "pcgrad"):
            ends[name] = np.asarray(program.trajectories(rules[name], config, starts))[:, -1]
            beside = np.interp(ends[name][:, 0], front[:, 0], front[:, 1])
            np.testing.assert_allclose(ends[name][:, 1], beside, atol=0.02)
    np.testing.assert_allclose(ends["mgda"][:, 0], [-3.32, -6.99, 3.33], atol=0.05)
    np.testing.assert_allclose(ends["nash_mtl"][:, 0], [-2.90, -6.39, 2.92], atol=0.15)
    np.testing.assert_allclose(ends["famo"][:, 0], [-0.20, -5.18, 0.15], atol=0.15)
    np.testing.assert_allclose(ends["pcgrad"][1, 0], -6.50, atol=0.05)
    assert -5 < ends["pcgrad"][0, 0] < -1.5
    assert 1.5 < ends["pcgrad"][2, 0] < 5


@pytest.mark.parametrize("name", ["grad_drop", "gradnorm", "lookahead"])
def test_rules_that_need_keys_products_and_other_examples_get_them(name):
    config = program.Config(steps=100)
    starts = jnp.asarray(toy.FIVE_STARTS, jnp.float32)
    way = np.asarray(program.trajectories(program.rules(config)[name], config, starts))
    assert way.shape == (5, 2, 2)
    # A hundred steps of Adam at 1e-3 go about 0.1.
    assert np.all(np.abs(way[:, 1] - way[:, 0]) < 0.15)
    assert np.all(np.linalg.norm(way[:, 1] - way[:, 0], axis=1) > 0.01)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (program.Config(rules=("cagrat",)), "there is no rule 'cagrat': did you mean 'cagrad'"),
        (program.Config(steps=250), "--steps must be a multiple of 100, got 250"),
        (program.Config(steps=0), "--steps must be 100 or more, got 0"),
        (program.Config(c=-1.0), "--c must be 0 or more, got -1.0: choose another"),
        (program.Config(lr=0.0), "--lr must be a number above 0, got 0.0: choose another"),
        (program.Config(scale=-1.0), "--scale must be a number above 0, got -1.0: choose another"),
    ],
)
def test_refusals(config, message):
    with pytest.raises(RunError, match=message):
        run(program.study, config)


def test_the_documentation_says_what_was_measured():
    """Catches a table that does not show the ends that are kept, which are those that the README tells of."""
    kept = json.loads((ROOT / "scripts" / "results" / "mtl" / "toy.json").read_text())
    rows = {name: {**row, "way": [[start] for start in toy.THREE_STARTS]} for name, row in kept["rows"].items()}
    table = program.show(program.Config(), rows).table
    assert (
        "CAGrad ends at (0.000, -8.355) with both losses at -15.092"
        in (ROOT / "docs" / "results" / "multi_task.md").read_text()
    )
    line = next(line for line in table.splitlines() if line.startswith("| CAGrad"))
    assert line.replace("-0.000", "0.000").count("(0.000, -8.355), (-15.092, -15.092)") == 3
