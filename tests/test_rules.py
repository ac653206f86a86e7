"""Every rule of Optax is differentiated right, zero gradients included, or refused in a sentence."""

import inspect
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from jmeta import inner, losses, nets, training
from jmeta.algorithms import maml
from jmeta.rules import smooth
from jmeta.tasks.functions import sinusoid_sampler


@pytest.fixture(autouse=True)
def promotion_of_optax():
    """Some of its rules multiply kinds of numbers that this suite forbids the library to mix."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it deprecates
        yield


def made_of(module):
    """The functions of Optax that make a rule, found by what they say they return."""
    for name in dir(module):
        function = getattr(module, name)
        if name.startswith("_") or not callable(function) or inspect.isclass(function):
            continue
        try:
            returned = str(inspect.signature(function).return_annotation)
        except (TypeError, ValueError):
            continue
        if "GradientTransformation" in returned:
            yield name, function


# They make rules of rules, or of functions: no rules by themselves.
WRAPPERS = """
    apply_every apply_if_finite freeze chain conditionally_mask conditionally_transform flatten inject_hyperparams
    inject_stateful_hyperparams lookahead masked measure_with_ema mechanize multi_transform named_chain partition sam
    schedule_free scale_by_muon selective_transform snapshot split_real_and_imaginary stateless stateless_with_tree_map
    with_extra_args_support
""".split()
RATE = 0.01
ARGUMENTS = {
    "adaptive_grad_clip": (0.1,), "add_decayed_weights": (0.1,), "add_noise": (0.01, 0.5, jax.random.key(0)),
    "clip": (0.5,), "clip_by_block_rms": (0.5,), "clip_by_global_norm": (0.5,), "ema": (0.9,), "scale": (-RATE,),
    "trace": (0.9,), "scale_by_learning_rate": (RATE,), "scale_by_schedule": (lambda step: -RATE,),
    "polyak_sgd": (RATE,),
    "scale_by_backtracking_linesearch": (10,), "scale_by_zoom_linesearch": (10,),
}  # fmt: skip
# By loops that end when they are good enough, or by singular vectors.
SEARCHES = {"galore", "scale_by_galore", "lbfgs", "scale_by_backtracking_linesearch", "scale_by_zoom_linesearch"}
# They want gradients of each example, or the curvature.
REFUSED = {"differentially_private_aggregate", "dpsgd"}

# Parts of them are held constant by Optax itself, or kept in float32.
NOT_WHOLE = {"scale_by_lbfgs", "scale_by_distance_over_gradients"}

RULES = {
    name: function for module in (optax, optax.contrib) for name, function in made_of(module) if name not in WRAPPERS
}


# Without a root; with one; by factors; by a norm; a search; by the value; refused.
USUAL = "sgd adam adafactor clip_by_global_norm lbfgs polyak_sgd dpsgd reduce_on_plateau".split()


def each(names):
    """The usual rules in each run of the tests, and all others in the long one."""
    return [pytest.param(name, marks=[] if name in USUAL else [pytest.mark.long]) for name in sorted(names)]


def built(name):
    function = RULES[name]
    if name in ARGUMENTS:
        return function(*ARGUMENTS[name])
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    needed += ["key"] if "key" in inspect.signature(function).parameters else []
    named = {"learning_rate": RATE, "noise_multiplier": 0.1, "l2_norm_clip": 1.0, "key": jax.random.key(0), "seed": 0}
    return function(**{p: named[p] for p in needed if p in named})


def predict(params, x):
    return jax.nn.relu(x @ params["first"] + params["bias"][None]) @ params["last"]


def problem():
    """A network whose second unit is off for all points: its gradients are 0, all around."""
    keys = jax.random.split(jax.random.key(0), 6)
    normal = lambda key, *shape: jax.random.normal(key, shape, jnp.float64)
    params = {"first": normal(keys[0], 2, 3), "bias": jnp.array([0.3, -50.0, 0.7]), "last": normal(keys[1], 3, 2)}
    support, query = ((normal(keys[i], 6, 2), normal(keys[i + 1], 6, 2)) for i in (2, 4))
    return params, lambda params, data: jnp.mean(jnp.square(predict(params, data[0]) - data[1])), support, query


@pytest.mark.parametrize("name", each(RULES))
def test_every_rule_of_optax_is_differentiated_right_or_refused(name):
    """Wrong code: a root of a second moment of 0 has an infinite slope, and 0 times that makes a meta-gradient NaN."""
    with jax.enable_x64(True):
        params, loss, support, query = problem()
        rule = built(name)

        def after(params):
            support_loss = lambda params: loss(params, support)
            moved = inner.descend(jax.grad(support_loss), params, rule, 2, value_fn=support_loss)
            return loss(moved, query)

        if name in REFUSED:
            with pytest.raises(ValueError, match=r"choose another|batch dimension"):
                after(params)
            return
        value = jax.jit(after)
        assert np.isfinite(value(params))
        if name in SEARCHES:
            with pytest.raises(ValueError, match="has no derivative"):
                jax.grad(after)(params)
            return
        grads = jax.jit(jax.grad(after))(params)
        chex.assert_tree_all_finite(grads)
        for seed in range(0 if name in NOT_WHOLE else 2):
            key = jax.random.key(seed)
            along = jax.tree.map(lambda a, key=key: jax.random.normal(key, a.shape, a.dtype), params)
            h = 1e-6
            ahead, behind = (value(jax.tree.map(lambda p, a, e=e: p + e * a, params, along)) for e in (h, -h))
            slope = sum(jnp.vdot(g, a) for g, a in zip(jax.tree.leaves(grads), jax.tree.leaves(along), strict=True))
            np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", each(set(RULES) - SEARCHES - REFUSED))
def test_a_gradient_of_zero_has_a_finite_derivative(name):
    """As at a minimum of the support loss. Wrong code: the norm that a gradient is clipped by has no slope at 0."""
    rule, start = built(name), {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([1.0, 0.0])}
    level = lambda params: jax.tree.reduce(jnp.add, jax.tree.map(lambda a: jnp.sum(a * a), params))

    def after(params):
        flat = lambda params: 0.0 * level(params)
        return level(inner.descend(jax.grad(flat), params, rule, 2, value_fn=flat))

    value, slope = jax.jit(jax.value_and_grad(after))(start)
    if np.isfinite(value):  # `normalize` divides by the norm
        chex.assert_tree_all_finite(slope)


def test_a_wrapped_search_takes_its_steps_for_constants_in_first_order():
    start = jnp.array([3.0, -1.0])
    loss = lambda params: jnp.sum(jnp.square(params - 2)) / 2
    after = lambda params: jnp.sum(inner.descend(jax.grad(loss), params, optax.lbfgs(), 1, truncation=0, value_fn=loss))
    np.testing.assert_array_equal(jax.jit(jax.grad(after))(start), [1.0, 1.0])


def test_nothing_but_the_derivative_at_zero_is_changed():
    x = jnp.array([4.0, 0.0, 1.0])
    function = lambda x: (jnp.sqrt(x), x / x, jnp.log(x), x**0.5, jax.lax.rsqrt(x))
    chex.assert_trees_all_equal(smooth(function)(x), jax.jit(function)(x))
    grads = lambda function: jax.vmap(jax.grad(lambda x: sum(function(x))))(x)
    np.testing.assert_allclose(grads(smooth(function))[::2], grads(function)[::2], rtol=1e-6)
    assert grads(smooth(function))[1] == 0
    plain = lambda x: jnp.sin(x) * x
    assert str(jax.make_jaxpr(smooth(plain))(x)) == str(jax.make_jaxpr(plain)(x))


@pytest.mark.parametrize(
    "name",
    [
        "lbfgs",
        "polyak_sgd",
        pytest.param("scale_by_backtracking_linesearch", marks=pytest.mark.long),
        "reduce_on_plateau",
    ],
)
def test_rules_outside_are_given_the_loss_that_they_ask_for(name):
    rule = built(name) if name != "reduce_on_plateau" else optax.chain(optax.sgd(0.01), RULES[name]())
    learner = maml(nets.MLP((), 1), inner_optimizer=optax.sgd(0.01), inner_steps=1, loss_fn=losses.squared_error)
    sample = sinusoid_sampler(shot=5, query_shot=5)
    state = training.init_state(learner, rule, jax.random.key(0), jnp.zeros((5, 1)))
    run = training.make_run(learner, rule, sample, meta_batch_size=4)
    state, metrics = run(state, 3)
    chex.assert_tree_all_finite(state.params)
    assert np.isfinite(metrics.loss).all()


def test_a_step_of_polyak_on_a_quadratic_ends_at_its_minimum():
    """Twice the loss over the squared gradient is 1 there; the same of a line search's first step, from 1 away."""
    loss = lambda params: jnp.square(params - 2) / 2
    step = lambda rule, start: jax.jit(lambda p: inner.descend(jax.grad(loss), p, rule, 1, value_fn=loss))(start)
    np.testing.assert_allclose(step(optax.polyak_sgd(max_learning_rate=10.0, scaling=0.5), 10.0), 2.0, rtol=1e-6)
    np.testing.assert_allclose(step(optax.lbfgs(), 3.0), 2.0, rtol=1e-6)
