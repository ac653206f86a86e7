"""A training in pieces: the same bits as in one, however often it is stopped, and no other one is gone on with."""

import jax
import jax.numpy as jnp
import optax
import pytest
from algorithms_table import assert_close

import jmeta
from jmeta.errors import RunError
from scripts import pieces


def training(seed=0):
    sample = jmeta.linear_sampler(features=3, shot=2, query_shot=2)
    learner, optimizer = jmeta.prototypical(jmeta.nets.MLPEncoder((4,))), optax.adam(1e-2)
    state = jmeta.init_state(learner, optimizer, jax.random.key(seed), sample(jax.random.key(0)).support.x)
    return jmeta.make_run(learner, optimizer, sample, meta_batch_size=2), state


def test_a_training_that_was_stopped_ends_in_the_same_bits(tmp_path):
    """Catches a key or a moment that is not kept, and a piece that is done twice."""
    run, state = training()
    own = dict(place=tmp_path / "one.npz", of="a rate", every=3)
    done = []

    def stopping(state, steps):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(steps)
        return run(state, steps)

    with pytest.raises(KeyboardInterrupt):
        pieces.trained(stopping, state, 10, **own)
    assert done == [3, 3]
    found = pieces.trained(run, training()[1], 10, **own)
    whole, _ = run(training()[1], 10)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), found.state, whole))
    assert_close(pieces.trained(run, training()[1], 10, **own).state.params, whole.params)
    assert found.seconds > 0


def test_another_training_is_not_gone_on_with(tmp_path):
    run, state = training()
    pieces.trained(run, state, 2, tmp_path / "one.npz", of="a rate")
    for other, steps, of in ((training(seed=1)[1], 2, "a rate"), (state, 4, "a rate"), (state, 2, "another rate")):
        with pytest.raises(RunError, match="is of a training that began otherwise: remove it"):
            pieces.trained(run, other, steps, tmp_path / "one.npz", of=of)
