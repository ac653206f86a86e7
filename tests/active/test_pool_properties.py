"""Pools of any kind: what holds for every size, padding and start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta import nets
from jmeta.active import ask, rules
from jmeta.algorithms import prototypical
from jmeta.types import Batch, Episode

pytestmark = pytest.mark.standard_promotion
ROWS, LABELS, WAY = 8, 4, 3
RULES = ("random", "entropy", "margin", "k-centre", "k-means", "coverage", "stratified")
FLAGS = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)


@jax.jit
def asked(episode, key, known):
    """By all rules, in one program."""
    learner = prototypical(nets.MLPEncoder(()))
    return {name: ask(learner, rules.RULES[name], labels=LABELS)({}, episode, key, known) for name in RULES}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), FLAGS, FLAGS, st.booleans())
def test_any_pool_is_asked_to_its_end_and_no_further(seed, there, known, alike):
    """Catches an example that is asked for twice, or was known, or is padding; a pick where nothing is left; and a rule
    that NaN in padding, or examples that are all the same, make blind."""
    rng = np.random.default_rng(seed)
    there, known = np.array(there), np.array(known) & there
    x = np.zeros((ROWS, 2)) if alike else rng.normal(size=(ROWS, 2))
    x[~there] = np.nan
    y = np.eye(WAY)[rng.integers(0, WAY, ROWS)]
    pool = Batch(*(jnp.asarray(a, jnp.float32) for a in (x, y, there)))
    query = Batch(jnp.asarray(rng.normal(size=(3, 2)), jnp.float32), jnp.eye(WAY))
    free = set(np.flatnonzero(there & ~known).tolist())
    for name, found in asked(Episode(pool, query), jax.random.key(seed), jnp.asarray(known, float)).items():
        picks = found.picks.tolist()
        real = [pick for pick in picks if pick >= 0]
        assert len(real) == len(set(real)) == min(LABELS, len(free)) and set(real) <= free, name
        assert picks == real + [-1] * (LABELS - len(real)), name
        assert set(np.flatnonzero(found.known).tolist()) == set(real) | set(np.flatnonzero(known).tolist()), name
        assert ((found.curve >= 0) & (found.curve <= 1)).all(), name
