"""Cheaper ways to differentiate an inner loop: the same gradients, in less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, largest, mlp_net, random_episode, random_like, relaxed, stack
from jax import lax

import jmeta
from jmeta import inner, losses

WAYS = {"remat": jmeta.gradients.remat_grad, "mixed": jmeta.gradients.mixed_grad}
each_way = pytest.mark.parametrize("grad", WAYS.values(), ids=list(WAYS))

W = jax.random.normal(jax.random.key(0), (3, 2))
X = jax.random.normal(jax.random.key(1), (4, 3))
ROWS = jnp.array([0, 2, 2])


def several(params, x, rows):
    """Two arguments to differentiate in, integers, and something beside the loss."""
    hidden = jnp.tanh(x @ params["w"]) * params["scale"]
    return jnp.sum(hidden[rows] ** 2), {"hidden": hidden, "count": jnp.sum(rows)}


PARAMS = {"w": W, "scale": jnp.float32(1.5)}


@each_way
@pytest.mark.parametrize("argnums", [0, 1, (0, 1), -2], ids=str)
def test_first_gradients_are_those_of_jax(grad, argnums):
    arguments = PARAMS, X, ROWS
    expected = jax.grad(several, argnums, has_aux=True)(*arguments)
    got = grad(several, argnums, has_aux=True)(*arguments)
    assert_close(got, expected)
    without = grad(lambda *args: several(*args)[0], argnums)(*arguments)
    assert_close(without, expected[0])


def outer(grad, params, x, rows):
    """A function of the gradients in two arguments, and of what is beside the loss."""
    (grads, along_x), aux = grad(several, (0, 1), has_aux=True)(params, x, rows)
    return jnp.sum(grads["w"] ** 3) + jnp.sum(jnp.sin(along_x)) * grads["scale"] + jnp.sum(aux["hidden"] ** 3)


@each_way
@pytest.mark.parametrize("wrap", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_second_gradients_are_those_of_jax(grad, wrap):
    take = lambda grad: wrap(jax.grad(functools.partial(outer, grad), argnums=(0, 1)))(PARAMS, X, ROWS)
    assert_close(take(grad), take(jax.grad), rtol=1e-5)


@each_way
def test_third_gradients_are_those_of_jax(grad):
    def product(grad, x):
        second = jax.grad(lambda p: outer(grad, p, x, ROWS))(PARAMS)
        return jnp.sum(second["w"] ** 2)

    got, expected = (jax.jit(jax.grad(functools.partial(product, way)))(X) for way in (grad, jax.grad))
    assert_close(got, expected, 1e-4)


@each_way
def test_they_vmap_on_either_side_of_the_outer_gradient(grad):
    xs = jax.random.normal(jax.random.key(2), (5, 4, 3))
    rows = jnp.arange(15).reshape(5, 3) % 4
    one = jax.jit(jax.grad(functools.partial(outer, jax.grad)))
    expected = stack([one(PARAMS, x, r) for x, r in zip(xs, rows, strict=True)])
    each = jax.jit(jax.vmap(jax.grad(functools.partial(outer, grad)), (None, 0, 0)))(PARAMS, xs, rows)
    assert_close(each, expected, rtol=1e-4, atol=1e-5)
    total = lambda params: jnp.sum(jax.vmap(functools.partial(outer, grad), (None, 0, 0))(params, xs, rows))
    together = jax.jit(jax.grad(total))(PARAMS)
    assert_close(together, jax.tree.map(lambda a: a.sum(0), expected), rtol=1e-4, atol=1e-4)


@each_way
def test_they_close_over_traced_values_of_any_kind(grad):
    """Floats that are differentiated, integers and keys, of the outer function and of the loop around."""

    def through(grad, x, row, key):
        noise = jax.random.normal(key, (3,))

        def step(k, w):
            fun = lambda w: jnp.sum(jnp.tanh(x @ w)[(row + k) % 4] ** 2) + jnp.sum(noise * w[:, 0]) + k.astype(x.dtype)
            return w - 0.1 * grad(fun)(w)

        return jnp.sum(lax.fori_loop(0, 3, step, W) ** 2)

    arguments = X, jnp.int32(1), jax.random.key(5)
    got, expected = (jax.jit(jax.grad(functools.partial(through, g)))(*arguments) for g in (grad, jax.grad))
    assert_close(got, expected, rtol=1e-5)
    assert largest(expected) > 1e-2


RULES = {
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "adam": lambda: relaxed(optax.adam(0.01, eps_root=1e-8)),
}


def learner(name, rule, **options):
    net = mlp_net(3, (8,))
    if name == "meta_sgd":
        return jmeta.meta_sgd(net.model, inner_lr=0.1, inner_steps=3, **options)
    if name in ("anil", "boil"):
        factory = {"anil": jmeta.anil, "boil": jmeta.boil}[name]
        return factory(net.encoder, net.head, inner_optimizer=RULES[rule](), inner_steps=3, **options)
    if name == "proto_maml":
        return jmeta.proto_maml(net.encoder, inner_optimizer=RULES[rule](), inner_steps=3, **options)
    return jmeta.maml(net.model, inner_optimizer=RULES[rule](), inner_steps=3, **options)


def meta_gradient(made, dtype=jnp.float32):
    episodes = stack([random_episode(seed) for seed in range(2)])
    params = jax.jit(made.init)(jax.random.key(0), episodes.support.x[0])
    episodes, params = jax.tree.map(lambda a: a.astype(dtype), (episodes, params))
    return jax.jit(lambda params: jmeta.training.meta_gradient(made, params, episodes)[0])(params)


AGREE = (
    *((name, "sgd") for name in ("meta_sgd", "boil", "proto_maml")),
    *((name, rule) for name in ("maml", "anil") for rule in RULES),
)
AT_ONCE = (("maml", "sgd"), ("meta_sgd", "sgd"))  # the others take the steps of these on other parts, by other rules


@pytest.mark.parametrize(
    ("name", "rule", "double"),
    [
        *(
            pytest.param(*row, True, id=f"{row[0]}-{row[1]}-float64", marks=[pytest.mark.long] * (row not in AT_ONCE))
            for row in AGREE
        ),
        # Ten thousand times less is asked of float32: one row tells whether its dtype is kept.
        pytest.param("maml", "sgd", False, id="maml-sgd-float32"),
        *(
            pytest.param(*row, False, id=f"{row[0]}-{row[1]}-float32", marks=pytest.mark.long)
            for row in AGREE
            if row != ("maml", "sgd")
        ),
    ],
)
def test_meta_gradients_agree(name, rule, double):
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        plain = meta_gradient(learner(name, rule), dtype)
        for grad in WAYS.values():
            got = meta_gradient(learner(name, rule, inner_grad=grad), dtype)
            gap = optax.tree.norm(jax.tree.map(jnp.subtract, got, plain)) / optax.tree.norm(plain)
            assert float(gap) < (1e-10 if double else 1e-5)


@pytest.mark.parametrize("truncation", [0, 1, 3, 7])
def test_truncation_is_exact_on_a_parabola(truncation):
    """Of five steps on (p - a)^2 / 2, only the last j shrink the derivative: (1 - alpha)^min(j, 5)."""
    grad_fn = lambda p: p - 2.0
    descend = lambda start: jmeta.descend(grad_fn, start, optax.sgd(0.25), 5, truncation=truncation)
    value, slope = jax.value_and_grad(descend)(jnp.float32(10.0))
    np.testing.assert_allclose([value, slope], [2 + 8 * 0.75**5, 0.75 ** min(truncation, 5)], rtol=1e-6)


def test_truncation_keeps_the_state_of_the_rule():
    """Momentum goes on where the first steps left it."""
    rule = optax.sgd(0.1, momentum=0.9)
    ends = [jmeta.descend(jnp.sin, jnp.float32(1.0), rule, 6, truncation=j) for j in (None, 0, 2)]
    np.testing.assert_allclose(ends, [ends[0]] * 3, rtol=1e-6)


def test_a_step_knows_its_number_whatever_the_truncation():
    along = lambda params, step: jnp.where(step == 4, 1.0, 0.0) * params
    for truncation in (None, 0, 2):
        end = inner.descend_along(along, jnp.float32(3.0), optax.sgd(1.0), 5, truncation=truncation)
        assert float(end) == 0.0


@pytest.mark.long
def test_first_order_is_truncation_at_no_step():
    for name in ("maml", "anil"):
        gradients = [
            meta_gradient(learner(name, "sgd", **options))
            for options in ({"first_order": True}, {"truncation": 0}, {"truncation": 2}, {"truncation": 3}, {})
        ]
        assert_close(gradients[0], gradients[1], rtol=0, atol=0)
        assert_close(gradients[3], gradients[4], rtol=0, atol=0)
        gaps = [float(optax.tree.norm(jax.tree.map(jnp.subtract, g, gradients[4]))) for g in gradients]
        assert gaps[0] > gaps[2] > 0, "more steps come nearer to the whole"


@pytest.mark.parametrize("name", ["maml", "anil", "meta_sgd"])
def test_negative_truncation_is_refused(name):
    with pytest.raises(ValueError, match="truncation must be 0 steps or more, or None for all, got -1"):
        learner(name, "sgd", truncation=-1)


@each_way
def test_they_take_less_memory(grad):
    """Of a loop of forty steps on a wide layer, whose activations outweigh its parameters."""

    def temporary(grad):
        x = jnp.ones((256, 8))

        def loss(w):
            fun = lambda w: jnp.mean(losses.squared_error(jnp.tanh(jnp.tanh(x @ w) @ w.T), x))
            return fun(jmeta.descend(grad(fun), w, optax.sgd(0.1), 40))

        return jax.jit(jax.grad(loss)).lower(random_like(jax.random.key(0), jnp.zeros((8, 32)))).compile()

    plain, cheap = (temporary(g).memory_analysis().temp_size_in_bytes for g in (jax.grad, grad))
    assert cheap < plain / 10
