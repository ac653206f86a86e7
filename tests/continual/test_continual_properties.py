"""Streams, memories and metrics of any kind: what holds for every order, weight and size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta import Batch, nets
from jmeta.continual import algorithms, task_metrics
from jmeta.continual.online import memory

pytestmark = pytest.mark.standard_promotion
N, WAY, SIZE, PLACES = 9, 3, 4, 3
FEW = settings(max_examples=25, deadline=None)
LEARNERS = {
    "class means": algorithms.class_means(nets.MLPEncoder(())),
    "GeMCL": algorithms.gemcl(nets.MLPEncoder(())),
    "ridge": algorithms.running_ridge(nets.MLPEncoder(())),
}


@jax.jit
def logits(stream, x):
    """Of all learners, in one program."""
    found = []
    for learner in LEARNERS.values():
        params = learner.init(jax.random.key(0), stream.x)
        found.append(learner.predict(learner.adapt(params, stream), x))
    return jnp.stack(found)


@FEW
@given(st.integers(0, 2**31 - 1), st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=N, max_size=N))
def test_any_stream_in_any_order_with_any_weights(seed, weight):
    """Catches a head by which order matters, one that rows of weight 0 reach, and a weight of 2 that is not twice."""
    rng = np.random.default_rng(seed)
    x, label, query = rng.normal(size=(N, SIZE)), rng.integers(0, WAY, N), rng.normal(size=(2, SIZE))
    weight = np.array(weight)
    if not weight.any():
        return
    of = lambda x, label, weight: logits(
        Batch(*(jnp.asarray(a, jnp.float32) for a in (x, np.eye(WAY)[label], weight))), jnp.asarray(query, jnp.float32)
    )
    whole = of(x, label, weight)
    order = rng.permutation(N)
    spoiled = np.where(weight[:, None] == 0, np.nan, x)
    np.testing.assert_allclose(of(spoiled[order], label[order], weight[order]), whole, rtol=2e-3, atol=2e-3)
    if weight.sum() <= N:
        rows = np.repeat(np.arange(N), weight.astype(int))
        there = np.arange(N) < len(rows)
        rows = np.resize(rows, N)
        np.testing.assert_allclose(of(x[rows], label[rows], there), whole, rtol=2e-3, atol=2e-3)


@jax.jit
def offered(key, held, rows, weight):
    return memory.add(held, key, rows, weight)


@FEW
@given(st.integers(0, 2**31 - 1), st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4))
def test_a_memory_holds_different_items_that_were_offered(seed, batches):
    """Catches a place that is written twice or left empty, and a row that was not there."""
    held, real = memory.empty(jnp.int32(0), PLACES), []
    for number, there in enumerate(batches):
        rows = 1 + 5 * number + np.arange(5)
        real += rows[np.array(there)].tolist()
        key = jax.random.fold_in(jax.random.key(seed), number)
        held = offered(key, held, jnp.asarray(rows, jnp.int32), jnp.asarray(there, float))
    kept = [item for item in held.items.tolist() if item]
    assert held.seen == len(real) and len(kept) == len(set(kept)) == min(PLACES, len(real)) and set(kept) <= set(real)


@FEW
@given(st.integers(0, 2**31 - 1), st.integers(2, 6))
def test_what_metrics_have_to_do_with_each_other(seed, tasks):
    """Catches means over T where T - 1 tasks count, and a best that looks at the end too."""
    rng = np.random.default_rng(seed)
    found = task_metrics(rng.random((tasks, tasks)), rng.random(tasks))
    share = (tasks - 1) / tasks
    assert found.retained == pytest.approx(found.learning + share * found.backward)
    assert found.forgetting >= -found.backward - 1e-12 and -1 <= found.forward <= 1
