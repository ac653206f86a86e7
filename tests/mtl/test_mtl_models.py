"""Models of several tasks: one task at a time equals all at once, and each reduces to a simpler one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import Batch, losses, nets
from jmeta.mtl import models, tasks

TASKS, N, D, K = 3, 6, 4, 2


def linear_head():
    return nets.MLP(features=(), out=K)


def trunk():
    return nets.MLPEncoder((5,))


MODELS = {
    "hard-sharing": lambda: models.hard_sharing(trunk(), linear_head(), tasks=TASKS),
    "cross-stitch": lambda: models.cross_stitch([trunk(), trunk()], linear_head(), tasks=TASKS),
    "experts": lambda: models.mixture_of_experts(
        trunk(), nets.MLP(features=(), out=2), linear_head(), experts=2, tasks=TASKS
    ),
}


def batch(seed=0, common=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D) if common else (TASKS, N, D)).astype(np.float32)
    y = np.eye(K, dtype=np.float32)[rng.integers(0, K, (TASKS, N))]
    return Batch(jnp.asarray(x), jnp.asarray(y))


def setup(name, **options):
    model, data = MODELS[name](), batch(**options)
    return model, model.init(jax.random.key(0), data.x if data.x.ndim == 2 else data.x[0]), data


@pytest.mark.parametrize("name", MODELS)
def test_all_tasks_at_once_are_each_task_alone(name):
    model, params, data = setup(name)
    together = jax.jit(lambda p, b: tasks.predictions(model, p, b))(params, data)
    alone = [model.apply(params, data.x[i], jnp.int32(i)) for i in range(TASKS)]
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-5, atol=1e-6)
    same_inputs = np.stack([model.apply(params, data.x[0], jnp.int32(i)) for i in range(TASKS)])
    assert np.abs(np.diff(same_inputs, axis=0)).min() > 0


@pytest.mark.parametrize("name", MODELS)
def test_common_inputs_are_inputs_repeated(name):
    model, params, data = setup(name, common=True)
    repeated = data._replace(x=jnp.broadcast_to(data.x[None], (TASKS, N, D)))
    common, each = (jax.jit(lambda p, b: tasks.predictions(model, p, b))(params, b) for b in (data, repeated))
    np.testing.assert_allclose(common, each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_padding_has_no_part(name):
    """Fewer examples and fewer classes in some tasks: the same losses and gradients as without the padding."""
    model, params, data = setup(name)
    weight = jnp.ones((TASKS, N)).at[0, 4:].set(0)
    spoilt = data.x.at[0, 4:].set(9.0)
    of = tasks.task_losses(model)
    padded = Batch(spoilt, data.y, weight)
    grad = jax.jit(jax.grad(lambda p, b: of(p, b)[0]))
    short = Batch(data.x[:, :4], data.y[:, :4])
    a, b = grad(params, padded), grad(params, short)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), a, b)


def test_common_trunk_is_computed_once():
    """With common inputs the trunk's product appears once in the program, and not once a task."""
    model, params, data = setup("hard-sharing", common=True)
    program = str(jax.make_jaxpr(lambda p, b: tasks.predictions(model, p, b))(params, data))
    assert f"f32[{N},5]" in program and f"f32[{TASKS},{N},5]" not in program


def test_hard_sharing_is_its_formula():
    model, params, data = setup("hard-sharing")
    encoder, head = trunk(), linear_head()
    for i in range(TASKS):
        own = jax.tree.map(lambda p, i=i: p[i], params.heads)
        wanted = head.apply(own, encoder.apply(params.trunk, data.x[i]))
        np.testing.assert_allclose(model.apply(params, data.x[i], jnp.int32(i)), wanted, rtol=1e-6)
    assert model.shared(params) is params.trunk


def test_cross_stitch_of_itself_alone_is_separate_networks():
    layers, head = [trunk(), trunk()], linear_head()
    model = models.cross_stitch(layers, head, tasks=TASKS, own=1.0)
    data = batch()
    params = model.init(jax.random.key(1), data.x[0])
    for i in range(TASKS):
        h = data.x[i]
        for layer, p in zip(layers, params.layers, strict=True):
            h = layer.apply(jax.tree.map(lambda p, i=i: p[i], p), h)
        wanted = head.apply(jax.tree.map(lambda p, i=i: p[i], params.heads), h)
        np.testing.assert_allclose(model.apply(params, data.x[i], jnp.int32(i)), wanted, rtol=1e-5, atol=1e-6)


def test_a_stitch_mixes_what_tasks_compute():
    layer, head = nets.MLP(features=(), out=3), linear_head()
    model = models.cross_stitch([layer], head, tasks=2, own=0.75)
    x = batch().x[0]
    params = model.init(jax.random.key(1), x)
    a = [layer.apply(jax.tree.map(lambda p, i=i: p[i], params.layers[0]), x) for i in range(2)]
    wanted = head.apply(jax.tree.map(lambda p: p[1], params.heads), 0.25 * a[0] + 0.75 * a[1])
    np.testing.assert_allclose(model.apply(params, x, jnp.int32(1)), wanted, rtol=1e-5, atol=1e-6)


def test_one_expert_is_hard_sharing():
    gate = nets.MLP(features=(), out=1)
    mixture = models.mixture_of_experts(trunk(), gate, linear_head(), experts=1, tasks=TASKS)
    hard = models.hard_sharing(trunk(), linear_head(), tasks=TASKS)
    x = batch().x[0]
    params = mixture.init(jax.random.key(0), x)
    same = models.SharedParams(jax.tree.map(lambda p: p[0], params.experts), params.heads)
    for i in range(TASKS):
        np.testing.assert_allclose(
            mixture.apply(params, x, jnp.int32(i)), hard.apply(same, x, jnp.int32(i)), rtol=1e-5, atol=1e-6
        )


def test_tasks_may_differ_in_their_losses_and_targets():
    """A task of two classes, one of yes and no, one of a number: each has its own loss, in one program."""
    model, params, data = setup("hard-sharing")
    y = data.y.at[1:, :, 1].set(0.0)
    classes = jnp.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    fns = [losses.cross_entropy, tasks.binary_cross_entropy, losses.squared_error]
    found = jax.jit(tasks.task_losses(model, fns))(params, Batch(data.x, y, None, classes))
    out = np.asarray(tasks.predictions(model, params, data), np.float64)
    logits, y = out[0], np.asarray(y)
    wanted = [
        np.mean(np.log(np.exp(logits).sum(1)) - (logits * y[0]).sum(1)),
        np.mean(np.log1p(np.exp(out[1, :, 0])) - y[1, :, 0] * out[1, :, 0]),
        np.mean((out[2, :, 0] - y[2, :, 0]) ** 2),
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: models.hard_sharing(trunk(), linear_head(), tasks=0), "tasks must be 1 or more, got 0"),
        (lambda: models.cross_stitch([], linear_head(), tasks=2), "a layer or more"),
        (lambda: models.cross_stitch([trunk()], linear_head(), tasks=2, own=1.5), "own must be in 0 to 1"),
        (
            lambda: models.mixture_of_experts(trunk(), trunk(), linear_head(), experts=0, tasks=2),
            "experts must be 1 or more",
        ),
        (lambda: tasks.task_losses(MODELS["experts"](), [losses.cross_entropy]), "each of the 3 tasks, got 1"),
    ],
)
def test_bad_settings_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_data_that_do_not_fit_are_refused():
    model, params, data = setup("hard-sharing")
    with pytest.raises(ValueError, match="inputs must be"):
        tasks.predictions(model, params, data._replace(x=data.x[:2]))
    with pytest.raises(ValueError, match="as many tasks and outputs"):
        tasks.task_losses(model)(params, data._replace(y=data.y[..., :1]))
