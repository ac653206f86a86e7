"""The join: closed forms, reductions, its problems, and a family of problems where training jointly pays."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmeta
from jmeta import Batch, Episode, Learner, Metrics, losses, nets
from jmeta.mtl import join

TASKS, RATE = 3, 0.3


def constant() -> Learner:
    """Predicts its parameter, and does not adapt: what is left is the joint training."""

    def loss(params, episode):
        value = jnp.mean(jnp.square(params - episode.query.y)) / 2
        return value, Metrics(value)

    return Learner(
        lambda key, x: jnp.zeros((1, 1)),
        lambda params, support: params,
        lambda adapted, x: jnp.broadcast_to(adapted, (x.shape[0], 1)),
        loss,
    )


def targets(values):
    """A batch of a target for each task."""
    y = jnp.asarray(values, jnp.float32).reshape(TASKS, 1, 1)
    return Batch(jnp.zeros((TASKS, 1, 1)), y)


@pytest.mark.parametrize(("first_order", "slope"), [(False, (1 - RATE) ** 2), (True, 1.0)])
def test_meta_gradient_in_closed_form(first_order, slope):
    """Two joint steps on (theta - a_t)^2 / 2 lead to a + (1 - rate)^2 (theta - a) with a the tasks' mean."""
    a, b, theta = np.array([1.0, 2.0, 6.0]), np.array([0.0, 4.0, 5.0]), 0.5
    whole = join.joined(
        constant(), optimizer=optax.sgd(RATE), steps=2, split=join.all_as_queries, first_order=first_order
    )
    problem = Episode(targets(a), targets(b))
    shared = a.mean() + (1 - RATE) ** 2 * (theta - a.mean())
    (value, metrics), grad = jax.jit(jax.value_and_grad(whole.loss, has_aux=True))(jnp.full((1, 1), theta), problem)
    assert value == pytest.approx(np.mean((shared - b) ** 2) / 2, rel=1e-5)
    assert metrics.loss == value
    assert grad.item() == pytest.approx(slope * (shared - b.mean()), rel=1e-5)
    np.testing.assert_allclose(
        whole.adapt(jnp.full((1, 1), theta), problem.support), np.full((TASKS, 1, 1), shared), 1e-5
    )


def images(classes=24, examples=10):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (classes, examples, 4, 4, 1)).astype(np.uint8)


GROUPS = ["a"] * 7 + ["b"] * 10 + ["c"] * 7


def problem_of(seed=0, shot=2):
    return join.pairs_sampler(images(), GROUPS, tasks=TASKS, shot=shot, query_shot=3)(jax.random.key(seed))


def test_no_joint_steps_is_the_learner_task_by_task():
    learner = jmeta.prototypical(nets.MLPEncoder((6,)))
    whole = join.joined(learner, optimizer=optax.sgd(RATE), steps=0)
    problem = problem_of()
    params = jax.jit(whole.init)(jax.random.key(0), problem.support.x)
    value, grad = jax.jit(jax.value_and_grad(lambda p: whole.loss(p, problem)[0]))(params)
    each = jax.jit(
        jax.value_and_grad(
            lambda p: sum(learner.loss(p, jax.tree.map(lambda a, i=i: a[i], problem))[0] for i in range(TASKS)) / TASKS
        )
    )
    wanted, wanted_grad = each(params)
    assert value == pytest.approx(wanted.item(), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), grad, wanted_grad)
    logits = jax.jit(lambda p: whole.predict(whole.adapt(p, problem.support), problem.query.x))(params)
    one = learner.predict(learner.adapt(params, jax.tree.map(lambda a: a[1], problem.support)), problem.query.x[1])
    np.testing.assert_allclose(logits[1], one, rtol=1e-5, atol=1e-5)


def test_halves_are_each_others_queries():
    support = jax.tree.map(lambda a: a[0], problem_of(shot=4).support)
    support = support._replace(weight=jnp.arange(8.0), classes=jnp.ones(2))
    found = join.halves(support)
    np.testing.assert_array_equal(found.support.x, support.x.reshape(2, 4, 4, 4, 1))
    np.testing.assert_array_equal(found.query.x, found.support.x[::-1])
    np.testing.assert_array_equal(found.query.y[0], support.y[4:])
    np.testing.assert_array_equal(found.query.weight[1], support.weight[:4])
    np.testing.assert_array_equal(found.support.classes, np.ones((2, 2)))
    with pytest.raises(ValueError, match="even number of examples, got 3"):
        join.halves(jax.tree.map(lambda a: a[:3], support))


def test_problems_are_pairs_of_one_group():
    pixels = images().reshape(24, 10, -1)
    for seed in range(5):
        problem = problem_of(seed)
        found = []
        for batch in problem:
            for t in range(TASKS):
                for x, y in zip(np.asarray(batch.x[t]), np.asarray(batch.y[t]), strict=True):
                    where = np.argwhere((pixels == np.round(x.reshape(-1) * 255)).all(-1))
                    assert len(where) == 1
                    found.append((t, int(y.argmax()), *where[0]))
        classes = {(t, k): {c for t2, k2, c, _ in found if (t2, k2) == (t, k)} for t in range(TASKS) for k in (0, 1)}
        assert all(len(c) == 1 for c in classes.values())  # a label is a class
        assert len(set.union(*classes.values())) == 2 * TASKS  # all different
        assert len({GROUPS[c] for cs in classes.values() for c in cs}) == 1  # of one group
        assert len({tuple(f[2:]) for f in found}) == len(found)  # support and query share no picture


def test_a_task_without_rows_has_no_part():
    """Of a mean over all tasks, in which it counts as one of loss 0 that wants nothing."""
    learner = jmeta.maml(nets.MLP((6,), 2), inner_optimizer=optax.sgd(0.1), inner_steps=1, loss_fn=losses.cross_entropy)
    whole = join.joined(learner, optimizer=optax.sgd(RATE), steps=2)
    there = problem_of(shot=4)
    params = jax.jit(whole.init)(jax.random.key(0), there.support.x)

    def padded(batch):
        """With a fourth task that has no rows, and holds NaN."""
        weight = jnp.ones(batch.y.shape[:2])
        more = lambda a, value: jnp.concatenate([a, jnp.full_like(a[:1], value)])
        return Batch(more(batch.x, jnp.nan), more(batch.y, jnp.nan), more(weight, 0))

    found, wanted = (
        jax.jit(jax.value_and_grad(whole.loss, has_aux=True))(params, problem)
        for problem in (Episode(*map(padded, there)), there)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, wanted)
    judge = jax.jit(lambda problem: join.accuracy_on(whole, params, problem))
    accuracy = [judge(problem) for problem in (Episode(*map(padded, there)), there)]
    assert accuracy[0] == pytest.approx(accuracy[1].item())


HIDDEN, SHOT = 12, 4


def hidden_direction(key):
    """Tasks of a problem look at the same hidden direction of 12: two examples of each class leave it unknown to a task
    alone, and five tasks together tell much of it."""
    direction_key, x_key = jax.random.split(key)
    direction = jax.random.normal(direction_key, (HIDDEN,))
    direction = direction / jnp.linalg.norm(direction)
    x = jax.random.normal(x_key, (8, 2, SHOT + 10, HIDDEN))
    side = jnp.array([-1.0, 1.0]).reshape(1, 2, 1)
    along = jnp.einsum("tcnd,d->tcn", x, direction)
    x = x + (side * jnp.abs(along) - along)[..., None] * direction.reshape(1, 1, 1, -1)

    def batch(part):
        rows = jnp.swapaxes(x[:, :, part], 1, 2).reshape(8, -1, HIDDEN)
        y = jnp.tile(jnp.eye(2), (rows.shape[1] // 2, 1))
        return Batch(rows, jnp.broadcast_to(y[None], (8, *y.shape)))

    return Episode(batch(slice(0, SHOT)), batch(slice(SHOT, None)))


@pytest.mark.long
@pytest.mark.standard_promotion
def test_training_jointly_pays_where_tasks_share_what_they_look_at():
    learner = jmeta.prototypical(nets.MLPEncoder((HIDDEN,)))
    found = {}
    for steps in (0, 3):
        whole = join.joined(learner, optimizer=optax.sgd(0.5), steps=steps)
        state = jmeta.init_state(whole, optax.adam(1e-2), jax.random.key(0), jnp.zeros((8, 2 * SHOT, HIDDEN)))
        run = jmeta.make_run(whole, optax.adam(1e-2), hidden_direction, meta_batch_size=8)
        state, _ = run(state, 300)
        result = join.evaluate_problems(
            lambda p, whole=whole, state=state: whole.predict(whole.adapt(state.params, p.support), p.query.x),
            hidden_direction,
            jax.random.key(1),
            problems=200,
            chunk_size=50,
        )
        found[steps] = result.mean
    assert found[3] > found[0] + 0.03, found


def test_the_join_in_one_call():
    sample = join.pairs_sampler(images(), GROUPS, tasks=TASKS, shot=2, query_shot=3)
    learner = jmeta.maml(nets.MLP((6,), 2), inner_optimizer=optax.sgd(0.1), inner_steps=1, loss_fn=losses.cross_entropy)
    new = sample(jax.random.key(5))
    result = join.learn(
        learner, sample, new.support, jax.random.key(0), outer_optimizer=optax.sgd(1e-2), outer_steps=3,
        meta_batch_size=2, optimizer=optax.sgd(0.1), steps=1, train_on_steps=4,
    )  # fmt: skip
    assert result.metrics.loss.shape == (3,)
    logits = jax.vmap(learner.predict)(result.adapted, new.query.x)
    whole = join.joined(learner, optimizer=optax.sgd(0.1), steps=4)
    np.testing.assert_allclose(
        logits, whole.predict(whole.adapt(result.params, new.support), new.query.x), rtol=1e-4, atol=1e-5
    )


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="inner steps must be 0 or more"):
        join.joined(constant(), optimizer=optax.sgd(0.1), steps=-1)
    with pytest.raises(ValueError, match="1 task or more, got 0"):
        join.pairs_sampler(images(), GROUPS, tasks=0, shot=1, query_shot=1)
    with pytest.raises(ValueError, match="12-way episodes within a group"):
        join.pairs_sampler(images(), GROUPS, tasks=6, shot=1, query_shot=1)
