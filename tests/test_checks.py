"""Numbers that hyper-parameters may be, of whichever type."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import mlp_net, random_episode
from hypothesis import given, settings
from hypothesis import strategies as st

import jmeta
from jmeta import checks, distances

NET = mlp_net(3, (4,))
INNER = {"inner_optimizer": optax.sgd(0.1), "inner_steps": 1}
KINDS = (float, np.float32, np.float64, jnp.float32, np.array, lambda v: np.array([1.0, v], np.float32))
ABOVE_ZERO = {
    "imaml": lambda v: jmeta.imaml(NET.model, regularization=v, **INNER),
    "ridge": lambda v: jmeta.ridge(NET.encoder, l2=v),
    "meta_sgd": lambda v: jmeta.meta_sgd(NET.model, inner_lr=v, inner_steps=1),
    "maml_plus_plus": lambda v: jmeta.maml_plus_plus(NET.model, inner_lr=v, inner_steps=1),
    "baseline_plus_plus": lambda v: jmeta.baseline_plus_plus(NET.encoder, NET.head, scale=v),
    "neumann": lambda v: jmeta.solvers.neumann(2, rate=v),
    "scaled_cosine": lambda v: distances.scaled_cosine(v),
    "tempered": lambda v: distances.tempered(v),
}


@pytest.mark.parametrize("make", ABOVE_ZERO.values(), ids=list(ABOVE_ZERO))
def test_numbers_of_no_use_are_refused_whatever_their_type(make):
    for value in (0.0, -1.0, np.inf, np.nan):
        for kind in KINDS[:-2]:
            with pytest.raises(ValueError, match="must be a finite number above 0"):
                make(kind(value))
    make(0.5)
    make(np.float32(0.5))


def test_arrays_are_refused_for_any_of_their_numbers_and_traced_numbers_for_none():
    for kind in KINDS:
        checks.check_above_zero("rate", kind(1.0))
        with pytest.raises(ValueError, match=r"rate must be a finite number above 0 to move, got "):
            checks.check_above_zero("rate", kind(0.0), "to move")
    support = random_episode(0).support

    def rate(v):
        learner = jmeta.meta_sgd(NET.model, inner_lr=v, inner_steps=1)
        return learner.init(jax.random.key(0), support.x).lr

    assert all(jnp.all(leaf == 0.25) for leaf in jax.tree.leaves(jax.jit(rate)(0.25)))


def test_a_size_of_ridge_is_not_zero():
    for scale in (0.0, np.float32(0), np.inf, np.nan):
        with pytest.raises(ValueError, match="the size of scale must be a finite number above 0"):
            jmeta.ridge(NET.encoder, scale=scale)
    jmeta.ridge(NET.encoder, scale=-1.0)


KINDS_OF_PICTURES = [f"{end}{kind}{size}" for end in "<>" for kind in "iu" for size in (1, 2, 4, 8)] + ["bool"]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS_OF_PICTURES), st.integers(-70_000, 70_000), st.integers(0, 70_000), st.integers(0, 99))
def test_pictures_of_integers_are_what_they_can_only_mean_or_refused(kind, low, span, seed):
    """Fails where a type is scaled by another's range, cut off, or 0 and 1 are taken for black."""
    dtype = np.dtype(kind)
    values = np.random.default_rng(seed).integers(low, low + span + 1, (2, 2, 3, 3, 1))
    known = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = np.clip(values, *known)
    low, high = int(values.min()), int(values.max())
    if dtype.kind == "b":
        right = 255 * values
    elif dtype.newbyteorder("=") == np.uint16:
        right = values // 256 if high > 255 or high == 0 else None
    else:
        right = values if low >= 0 and high <= 255 and not (low == 0 and high == 1) else None
    if right is None:
        with pytest.raises(ValueError, match=r"multiply them by 255|give uint8, 0 to 255"):
            checks.bytes_of(values.astype(dtype))
    else:
        found = checks.bytes_of(values.astype(dtype))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("bad", [(0, np.nan), (np.inf, 1), (-np.inf, np.inf), (2, 1), (1,), 3.0])
@pytest.mark.parametrize("name", ["amplitude", "phase", "interval"])
def test_intervals_that_are_none_are_refused(name, bad):
    with pytest.raises(ValueError, match=f"{name} must be two finite numbers, the smaller first, got"):
        jmeta.sinusoid_sampler(shot=2, query_shot=2, **{name: bad})
