"""The loop of many steps and the map over many items."""

import functools
import gc
import weakref

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jmeta import loop


def logistic(data, state):
    """A chaotic map, with metrics of several kinds."""
    x = data * state["x"] * (1 - state["x"])
    return {"x": x, "n": state["n"] + 1}, {"x": x, "both": (state["n"], [x > 0.5])}


def start():
    return {"x": jnp.array([0.1, 0.3, 0.7], jnp.float32), "n": jnp.int32(0)}


def update():
    return Partial(logistic, jnp.float32(3.9))


X = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)


def trained(x, params):
    """A gradient step of a small network, whose last bit differs where XLA compiles scans of several lengths."""

    def loss(params):
        return jnp.mean(jnp.square(jnp.tanh(x @ params[0]) @ params[1] - jnp.sin(3 * x[:, :1])))

    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.5 * g, params, grads), {"loss": value, "first": params[0][0]}


def network():
    rng = np.random.default_rng(1)
    return tuple(jnp.asarray(0.5 * rng.normal(size=shape), jnp.float32) for shape in ((8, 16), (16, 1)))


@pytest.mark.parametrize("pieces", [(60,), (59, 1), (1, 0, 59), (20, 7, 33)])
@pytest.mark.parametrize("longest", [16, 1024])
def test_a_run_cut_anywhere_gives_the_same_bits(pieces, longest, monkeypatch):
    whole, metrics = loop.repeat(Partial(trained, X))(network(), 60)
    monkeypatch.setattr(loop, "PIECE", longest)
    run, state, parts = loop.repeat(Partial(trained, X)), network(), []
    for n in pieces:
        state, part = run(state, n)
        parts.append(part)
    chex.assert_trees_all_equal(state, whole)
    chex.assert_trees_all_equal(jax.tree.map(lambda *a: np.concatenate(a), *parts), metrics)
    assert len(set(np.asarray(metrics["loss"]).tolist())) > 50 and metrics["loss"][-1] < metrics["loss"][0]


def test_metrics_are_those_of_single_steps_and_of_any_structure():
    _, metrics = loop.repeat(update())(start(), 3)
    assert metrics["both"][0].tolist() == [0, 1, 2]
    assert metrics["both"][1][0].shape == (3, 3) and metrics["both"][1][0].dtype == bool
    one = jax.jit(update())
    state = start()
    for n in range(3):
        state, expected = one(state)
        np.testing.assert_allclose(metrics["x"][n], expected["x"], rtol=1e-5)
    assert loop.repeat(lambda n: (n + 1, None))(jnp.int32(0), 5) == (5, None)


def test_no_step_changes_nothing():
    state, metrics = loop.repeat(update())(start(), 0)
    chex.assert_trees_all_equal(state, start())
    assert metrics["x"].shape == (0, 3) and metrics["both"][0].shape == (0,)


def test_more_steps_than_a_piece():
    state, metrics = loop.repeat(update())(start(), loop.PIECE + 5)
    assert state["n"] == loop.PIECE + 5
    np.testing.assert_array_equal(metrics["both"][0], np.arange(loop.PIECE + 5))


def test_one_program_runs_any_number_of_steps():
    counted = chex.assert_max_traces(logistic, n=2)  # for the shapes of its metrics, and for the program
    run = loop.repeat(Partial(counted, jnp.float32(3.9)))
    state, _ = run(start(), 3)
    for steps in (0, 1, np.int64(7), loop.PIECE + 1):
        state, _ = run(state, steps)
    assert state["n"] == loop.PIECE + 12


@pytest.mark.parametrize("steps", [-1, np.int32(-3)])
def test_less_than_no_step_is_refused(steps):
    with pytest.raises(ValueError, match=rf"^steps must be 0 or more, got {steps}: [^.]+$"):
        loop.repeat(update())(start(), steps)


def test_part_of_a_step_is_refused():
    with pytest.raises(TypeError, match="integer"):
        loop.repeat(update())(start(), 1.5)


def test_states_are_a_vmap():
    run = loop.repeat(update())
    states = jax.tree.map(lambda a: jnp.stack([a, a]), start())
    states["x"] = states["x"].at[1].set(0.2)
    _, metrics = jax.vmap(lambda state: run(state, 4))(states)
    assert metrics["x"].shape == (2, 4, 3)
    for i in range(2):
        np.testing.assert_allclose(
            metrics["x"][i], run(jax.tree.map(lambda a, i=i: a[i], states), 4)[1]["x"], rtol=1e-5
        )


def test_steps_of_many_runs_are_cut_along_their_axis(monkeypatch):
    monkeypatch.setattr(loop, "PIECE", 4)
    many = jax.jit(lambda states, n: jax.vmap(lambda state: loop.steps(update(), state, n))(states))
    states = jax.tree.map(lambda a: jnp.stack([a, a]), start())
    state, metrics = loop.in_pieces(many, states, 10, axis=1)
    assert metrics["x"].shape == (2, 10, 3) and state["n"].tolist() == [10, 10]
    np.testing.assert_array_equal(metrics["both"][0], [np.arange(10)] * 2)


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 10])
def test_a_map_is_its_function_item_by_item(chunk_size):
    xs = jnp.arange(7, dtype=jnp.float32)
    fun = lambda data, x: {"y": data * jnp.sin(x), "x": x}
    expected = {"y": 2 * np.sin(np.arange(7)), "x": np.arange(7)}
    got = loop.mapped(Partial(fun, jnp.float32(2)), xs, chunk_size=chunk_size)
    chex.assert_trees_all_close(got, expected, rtol=1e-6)


def test_a_map_of_the_same_functions_is_compiled_once():
    traces = []

    def counted(inner, data, x):
        traces.append(1)
        return inner(x) + data

    def mapped(inner, data, xs):
        return loop.mapped(Partial(counted, inner, data), xs).tolist()

    double, xs = Partial(jnp.multiply, jnp.int32(2)), jnp.arange(3)
    assert mapped(double, jnp.int32(1), xs) == [1, 3, 5]
    assert mapped(Partial(jnp.multiply, jnp.int32(3)), jnp.int32(2), xs + 1) == [5, 8, 11]
    assert len(traces) == 1
    assert mapped(Partial(jnp.add, jnp.int32(2)), jnp.int32(1), xs) == [3, 4, 5]
    assert len(traces) == 2


def test_programs_of_maps_are_let_go():
    kept = loop._kept
    kept.cache_clear()
    for n in range(loop.KEPT + 3):
        loop.mapped(functools.partial(jnp.add, jnp.int32(n)), jnp.arange(2))
    assert kept.cache_info().currsize == loop.KEPT


def test_one_by_one_is_a_vmap():
    fun = lambda a, b: {"sum": a + b}
    args = jnp.arange(4), jnp.arange(4) * 10
    chex.assert_trees_all_equal(loop.one_by_one(fun)(*args), jax.vmap(fun)(*args))


def test_as_partial_carries_data_as_arguments():
    fun = update()
    assert loop.as_partial(fun) is fun
    assert jax.tree.leaves(loop.as_partial(logistic)) == []
    program = jax.make_jaxpr(lambda fun, state: fun(state))(fun, start())
    assert len(program.in_avals) == 3 and not program.consts


def test_what_was_compiled_goes_with_its_run():
    """Where the function is part of an argument, JAX keeps it, and what was compiled for it, for ever: half a megabyte
    of each `make_run`."""

    def used():
        update = lambda n: (n + 1, n)
        loop.repeat(Partial(update))(jnp.int32(0), 2)
        return weakref.ref(update)

    found = used()
    gc.collect()
    assert found() is None
