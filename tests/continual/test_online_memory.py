"""The reservoir: every item is kept with probability M / N, and what is drawn is different and there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jmeta.continual.online import memory

ITEMS, PLACES, SEEDS = 12, 4, 20_000


def inclusion(replaced):
    """The probability that each of the items is there at the end, if the n-th replaces with probability replaced(n)."""
    kept = np.zeros(ITEMS)
    for n in range(1, ITEMS + 1):
        enters = 1.0 if n <= PLACES else replaced(n)
        kept *= 1 - (enters / PLACES if n > PLACES else 0)
        kept[n - 1] = enters
    return kept


def distance(counts, seeds):
    """Chi-square, with ITEMS - 1 degrees of freedom, of how often items were there, PLACES of them in each seed."""
    p = PLACES / ITEMS
    return np.sum((counts - seeds * p) ** 2) / (seeds * p * (1 - p)) * (ITEMS - 1) / ITEMS


LIMIT = stats.chi2.ppf(1 - 1e-4, ITEMS - 1)


@pytest.fixture(scope="module")
def kept():
    """Items in the memory for each of many seeds, offered in three batches with rows that are not there."""

    def one(key):
        held = memory.empty(jnp.int32(0), PLACES)
        for number, part in enumerate((range(3), range(3, 8), range(8, ITEMS))):
            rows = jnp.array([99, *part, 99], jnp.int32)
            there = jnp.array([0.0, *(1.0 for _ in part), 0.0])
            held = memory.add(held, jax.random.fold_in(key, number), rows, there)
        return held

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(3), SEEDS))


def test_each_item_is_kept_with_the_same_probability(kept):
    """Catches a reservoir whose draw is off by one, whose last item is kept with M / (N + 1): .0999 for .1000 of 100 in
    1,000. The test must be able to tell the two apart, which the wrong one's expectation says."""
    counts = np.bincount(np.asarray(kept.items).ravel(), minlength=ITEMS)
    assert counts.sum() == SEEDS * PLACES and (kept.seen == ITEMS).all()
    assert distance(counts, SEEDS) < LIMIT
    np.testing.assert_allclose(inclusion(lambda n: PLACES / n), PLACES / ITEMS)
    assert distance(SEEDS * inclusion(lambda n: PLACES / (n + 1)), SEEDS) > 2 * LIMIT


def test_pairs_of_one_batch_are_kept_as_often_as_all(kept):
    """Catches rows of one batch that are written over each other, or one draw for all of them."""
    there = np.asarray(kept.items)
    assert all(len(set(row)) == PLACES for row in there[:2000].tolist())
    pair = np.mean((there == 9).any(1) & (there == 10).any(1))
    expected = PLACES * (PLACES - 1) / (ITEMS * (ITEMS - 1))
    assert abs(pair - expected) < 4 * np.sqrt(expected * (1 - expected) / SEEDS)


def test_what_is_drawn_is_different_and_there():
    held = memory.add(memory.empty(jnp.float32(0), 5), jax.random.key(0), jnp.arange(1.0, 4.0))
    drawn, weight = memory.draw(held, jax.random.key(1), 7)
    assert sorted(drawn[weight > 0].tolist()) == [1.0, 2.0, 3.0] and weight.sum() == 3
    firsts = jax.jit(jax.vmap(lambda key: memory.draw(held, key, 1)[0][0]))(jax.random.split(jax.random.key(2), 3000))
    assert stats.chisquare(np.bincount(np.asarray(firsts, int))[1:]).pvalue > 1e-4


def test_a_memory_without_places_is_refused():
    with pytest.raises(ValueError, match="size must be 1 or more, got 0"):
        memory.empty(jnp.float32(0), 0)
