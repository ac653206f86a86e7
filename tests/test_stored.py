"""Examples that stay off the device: indexed as an array, and drawn to the same bits as on it."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import mlp_net
from hypothesis import given
from hypothesis import strategies as st

import jmeta
from jmeta import drawing, sharding
from jmeta.ragged import Ragged
from jmeta.stored import Stored, stored

WHOLE = np.random.default_rng(0).integers(0, 255, (6, 5, 4, 4, 1), dtype=np.uint8)
KEYS = jax.random.split(jax.random.key(0), 4)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "rows.npy"
    np.save(path, WHOLE)
    return np.load(path, mmap_mode="r")


ROWS = WHOLE.reshape(30, 4, 4, 1)
PLACES = st.one_of(
    st.integers(-30, 29),
    st.slices(30),
    st.lists(st.integers(-30, 29), max_size=7).map(lambda places: np.array(places, np.int64)),
    st.lists(st.booleans(), min_size=30, max_size=30).map(np.array),
)


@given(PLACES, PLACES.filter(lambda place: isinstance(place, slice)))
def test_rows_are_those_of_an_array(place, part):
    """Catches an order, a sign or a range that is another, alone and of rows that were chosen before."""
    rows = stored(ROWS)
    np.testing.assert_array_equal(np.asarray(rows[place]), ROWS[place])
    chosen, known = rows[::-2][part], ROWS[::-2][part]
    np.testing.assert_array_equal(np.asarray(chosen), known)
    assert chosen.shape == known.shape and chosen.nbytes == known.nbytes and len(chosen) == len(known)
    for one, other in zip(chosen, known, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_stay_in_the_file_until_they_are_asked_for():
    rows = stored(ROWS)
    assert isinstance(rows[3:9], Stored) and isinstance(rows[np.arange(4)], Stored)
    assert type(rows[3]) is np.ndarray
    np.testing.assert_array_equal(rows[2, 1], ROWS[2, 1])
    np.testing.assert_array_equal(rows[2:5, 1], ROWS[2:5, 1])
    for place in (np.array([[0, 1], [2, 3]]), None):
        np.testing.assert_array_equal(rows[place], ROWS[place])
    known, given = (Ragged(rows, np.array([10, 20], np.int32)) for rows in (ROWS, stored(ROWS)))
    assert isinstance(given[[1]].rows, Stored) and given.shape == known.shape
    np.testing.assert_array_equal(np.asarray(given[:, 2:4].rows), known[:, 2:4].rows)
    np.testing.assert_array_equal(given.padded(), known.padded())


def test_changes_are_made_in_their_order_to_each_row():
    changed = (
        stored(ROWS).changed(lambda row: row[:2], (2, 4, 1)).changed(lambda row: row.T + row.dtype.type(1), (1, 4, 2))
    )
    assert changed.shape == (30, 1, 4, 2) and changed[4:].shape == (26, 1, 4, 2)
    expected = np.stack([row[:2].T + np.uint8(1) for row in ROWS])
    np.testing.assert_array_equal(np.asarray(changed), expected)
    np.testing.assert_array_equal(changed[7], expected[7])


SAMPLERS = {
    "few-shot": lambda x: jmeta.few_shot_sampler(x, way=3, shot=1, query_shot=2, rotations=True),
    "varied": lambda x: jmeta.varied_sampler(x, min_way=3, max_way=5, max_support=9, max_query_shot=2),
    "batches": lambda x: jmeta.classification_sampler(x, batch_size=7),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_episodes_of_a_file_are_those_of_the_array(name, mapped):
    """Catches another picture, another order under `vmap`, and bytes that stay bytes."""
    drawn = [jax.jit(jax.vmap(SAMPLERS[name](x)))(KEYS) for x in (WHOLE, mapped)]
    jax.tree.map(np.testing.assert_array_equal, *drawn)


def test_classes_of_unlike_sizes_stay_in_a_file(mapped):
    """Where leaving out what is padding would read all of it."""
    counts = np.array([5, 3, 5, 4, 5, 5])
    make = lambda x: jmeta.few_shot_sampler(x, way=6, shot=1, query_shot=2, counts=counts)
    sample = make(mapped)
    assert not [leaf for leaf in jax.tree.leaves(sample) if leaf.dtype == np.uint8]
    jax.tree.map(np.testing.assert_array_equal, sample(KEYS[0]), make(WHOLE)(KEYS[0]))


@pytest.mark.parametrize("devices", [1, 4])
def test_training_from_a_file_is_that_from_an_array(devices, mapped):
    """In the compiled loop, on one device and on several, to the same bits."""
    mesh = None if devices == 1 else sharding.task_mesh(jax.devices()[:devices])
    learner, rule, ends = jmeta.prototypical(mlp_net(3, (8,)).encoder), optax.sgd(0.1), []
    for x in (WHOLE, mapped):
        sample = SAMPLERS["few-shot"](x)
        state = jmeta.init_state(learner, rule, jax.random.key(1), sample(KEYS[0]).support.x)
        run = jmeta.make_run(learner, rule, sample, meta_batch_size=4, mesh=mesh)
        state, metrics = run(state if mesh is None else sharding.replicate(state, mesh), 5)
        ends.append((state.params, metrics.loss))
    jax.tree.map(np.testing.assert_array_equal, *ends)


def test_what_a_device_has_no_room_for_stays_off_it(monkeypatch):
    """Half of the memory of a device is the most that examples take."""
    kept = lambda: drawing.on_device(WHOLE)
    assert isinstance(kept(), jax.Array)
    for room, there in ((2 * WHOLE.nbytes, True), (2 * WHOLE.nbytes - 1, False)):
        one = SimpleNamespace(memory_stats=lambda room=room: {"bytes_limit": room})
        with monkeypatch.context() as patch:
            patch.setattr(drawing.jax, "local_devices", lambda one=one: [one])
            found = kept()
            sample = SAMPLERS["few-shot"](WHOLE)
        assert isinstance(found, jax.Array) == there
        jax.tree.map(np.testing.assert_array_equal, sample(KEYS[0]), SAMPLERS["few-shot"](WHOLE)(KEYS[0]))
        places = jnp.array([[0, 2], [1, 1]])
        np.testing.assert_array_equal(found[places], WHOLE[np.asarray(places)])
