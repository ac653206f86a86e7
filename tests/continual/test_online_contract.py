"""What holds of every online learner: fixed shapes, rows of weight 0, seeds in one program; and a sequence of tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.continual.online import ONLINE, learn_sequence
from jmeta.errors import RunError
from jmeta.nets import MLP
from jmeta.tasks.sequences import masked, split_tasks
from jmeta.types import Batch

SMALL = {
    "sgd": {},
    "replay": {"memory_size": 8, "replay_size": 2},
    "ewc": {},
    "la-maml": {"memory_size": 8, "replay_size": 2, "glances": 1},
    "mer": {"memory_size": 8, "replay_size": 2, "batches": 2},
    "ftml": {"inner_lr": 0.1, "rounds": 3},
}
MODEL = MLP((), 3)


def learner_of(name, model=MODEL):
    row = ONLINE.get(name)
    return row.make(model, **SMALL[name], **({"optimizer": optax.sgd(0.1, 0.9)} if row.optimizer else {}))


def batch_of(seed, rows=4):
    rng = np.random.default_rng(seed)
    return Batch(jnp.asarray(rng.normal(size=(rows, 2)), jnp.float32), jnp.eye(3)[rng.integers(0, 3, rows)])


@pytest.mark.parametrize("name", SMALL)
def test_rows_of_weight_0_take_no_part(name):
    """Catches a row that is learned, remembered, or counted, and NaN in one; a step by momentum alone."""
    learner, whole = learner_of(name), batch_of(0, 2)
    padded = Batch(
        jnp.full((4, 2), jnp.nan).at[::2].set(whole.x),
        jnp.full((4, 3), jnp.nan).at[::2].set(whole.y),
        jnp.array([1.0, 0.0, 1.0, 0.0]),
    )
    ends = []
    for batch in (whole, padded):
        state, metrics = learner.step(learner.init(jax.random.key(0), batch_of(1, len(batch.y)).x, batch.y), batch)
        seen = state.memory.seen if ONLINE.get(name).memory else 0
        ends.append((learner.finish(state, batch).params, metrics, seen))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *ends)
    none = padded._replace(weight=jnp.zeros(4))
    same = learner.finish(learner.step(state, none)[0], none)
    plain = lambda a: jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(plain(a), plain(b)), same, state)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n not in ("sgd", "replay"))) for n in SMALL]
)
def test_seeds_are_one_program_and_shapes_are_fixed(name):
    """Catches a learner that takes another key's draws, or whose state grows."""
    learner = learner_of(name)

    def ran(key):
        state = learner.init(key, *batch_of(0)[:2])
        state = jax.lax.scan(learner.step, state, jax.tree.map(lambda *a: jnp.stack(a), *map(batch_of, range(6))))[0]
        return learner.predict(learner.finish(state, batch_of(0)), batch_of(9).x)

    keys = jax.random.split(jax.random.key(0), 2)
    run = jax.jit(jax.vmap(ran))
    together = run(keys)
    np.testing.assert_allclose(together, run(keys[::-1])[::-1], rtol=1e-5)
    assert np.isfinite(together).all() and not np.allclose(together[0], together[1])


def test_the_catalog_tells_what_there_is():
    assert set(SMALL) == set(ONLINE)
    with pytest.raises(RunError, match="there is no online learner 'la-mml': did you mean 'la-maml'"):
        ONLINE.get("la-mml")


def test_classes_of_a_batch_are_refused():
    learner = learner_of("replay")
    batch = batch_of(0)
    with pytest.raises(ValueError, match="keeps no classes"):
        learner.step(learner.init(jax.random.key(0), *batch[:2]), batch._replace(classes=jnp.ones(3)))


def corners():
    """Four classes in the corners of a square, as "pictures" of 1 x 2: two tasks, each told apart by its own axis."""
    rng = np.random.default_rng(0)
    middle = np.array([[2, 2], [-2, 2], [2, -2], [-2, -2]])[:, None, None]
    return (middle + rng.normal(size=(4, 30, 1, 2)) * 0.3).astype(np.float32)


@pytest.mark.parametrize(
    ("scenario", "name", "mixed", "low", "high"),
    [
        pytest.param("class", "sgd", False, 0.4, 0.6, marks=pytest.mark.long),
        pytest.param("class", "sgd", True, 0.99, 1.0, marks=pytest.mark.long),
        ("class", "replay", False, 0.9, 1.0),
        ("task", "sgd", False, 0.99, 1.0),
    ],
)
def test_a_sequence_is_learned_and_forgotten(scenario, name, mixed, low, high):
    """In class order, plain steps keep the last task alone; replay, all at once, and a told task keep both.

    Catches R with its axes exchanged, tasks that are drawn from each other, and a mask that is not there."""
    tasks = split_tasks(corners(), [(0, 1), (2, 3)], scenario=scenario)
    model = MLP((8,), 4)
    learner = learner_of(name, masked(model) if scenario == "task" else model)
    run = lambda key: learn_sequence(learner, key, tasks, tasks, steps=60, batch_size=8, mixed=mixed)
    found = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3))
    assert found.accuracy.shape == (3, 2, 2) and found.before.shape == (3, 2) and found.metrics.loss.shape == (3, 2, 60)
    end = np.mean(found.accuracy[:, 1])
    assert low <= end <= high
    assert (np.asarray(found.accuracy)[:, [0, 1], [0, 1]] > 0.95).all()
    if scenario == "class" and not mixed:
        assert (found.accuracy[:, 0, 1] < 0.1).all()
