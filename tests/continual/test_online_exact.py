"""Online learners against closed forms: parabolas, a running mean, single steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.continual.online import ewc, fisher, ftml, la_maml, mer, replay, sgd
from jmeta.losses import mean_loss, of_numbers
from jmeta.types import Batch


class Linear:
    """Weights `[P, way]`."""

    way = 1

    def init(self, key, x):
        return jnp.zeros((x.shape[-1], self.way))

    def apply(self, params, x):
        return jnp.matmul(x, params, precision="highest")


class Constant(Linear):
    def apply(self, params, x):
        return jnp.broadcast_to(params.T, (len(x), len(params)))


class Classes(Linear):
    way = 3


@of_numbers
def half_squared(prediction, y):
    return jnp.sum(jnp.square(prediction - y), axis=-1) / 2


def parabola(a, c):
    """Examples whose mean loss is (t - c)' a (t - c) / 2."""
    x = np.sqrt(2) * np.linalg.cholesky(a).T
    return Batch(jnp.asarray(x, jnp.float32), jnp.asarray(x @ np.array(c)[:, None], jnp.float32))


A = [np.array([[1.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.9], [-0.9, 1.0]])]
C = [(1.0, 0.0), (0.0, 1.0)]
TASKS = [parabola(a, c) for a, c in zip(A, C, strict=True)]


def ends_at(learner, batches, steps=400):
    """Where a learner is after many steps on each of some batches."""

    def learned(state, batch):
        state = jax.lax.fori_loop(0, steps, lambda _, s: learner.step(s, batch)[0], state)
        return learner.finish(state, batch)

    learned, state = jax.jit(learned), learner.init(jax.random.key(0), *batches[0][:2])
    for batch in batches:
        state = learned(state, batch)
    return np.asarray(state.params)[:, 0]


def losses(t):
    return [float((t - c) @ a @ (t - c) / 2) for a, c in zip(A, np.array(C), strict=True)]


def test_two_parabolas_in_turn():
    """Catches a Fisher matrix of the labels at hand, which is 0 where a task is learned to the end; a diagonal where
    the whole is asked for; a penalty without its half; one around the start."""
    rule, named = optax.sgd(0.5), {"loss_fn": half_squared}
    whole, diagonal = (ends_at(ewc(Linear(), optimizer=rule, full=full, **named), TASKS) for full in (True, False))
    plain = ends_at(sgd(Linear(), optimizer=rule, **named), TASKS)
    joint = ends_at(sgd(Linear(), optimizer=rule, **named), [jax.tree.map(lambda *a: jnp.concatenate(a), *TASKS)])
    for found, at, loss in (
        (whole, (0.05, 0.95), (0.0902, 0.0048)),
        (joint, (0.05, 0.95), (0.0902, 0.0048)),
        (diagonal, (0.3448, 0.6552), (0.0429, 0.2259)),
        (plain, (0.0, 1.0), (0.1, 0.0)),
    ):
        np.testing.assert_allclose(found, at, atol=1e-4)
        np.testing.assert_allclose(losses(found), loss, atol=1e-4)
    assert sum(losses(diagonal)) > sum(losses(plain)) > sum(losses(joint))


def test_three_parabolas_in_turn_are_the_joint_minimum():
    """Catches a penalty by the last task alone, and one around each task's own end, which counts the first ones twice
    and ends at (.3983, .9350)."""
    third = parabola(np.eye(2), (1.0, 1.0))
    learner = ewc(Linear(), optimizer=optax.sgd(0.3), full=True, loss_fn=half_squared)
    best = np.linalg.solve(A[0] + A[1] + np.eye(2), A[0] @ C[0] + A[1] @ C[1] + np.ones(2))
    np.testing.assert_allclose(ends_at(learner, [*TASKS, third]), best, atol=1e-4)


def test_the_fisher_matrix_is_the_expectation_over_labels_of_the_model():
    key = jax.random.key(1)
    params, x = jax.random.normal(key, (2, 3)), jnp.array([[1.0, -0.5], [0.3, 2.0], [jnp.nan, 1.0]])
    batch = Batch(x, jax.nn.one_hot(jnp.array([0, 1, 1]), 3), jnp.array([1.0, 1.0, 0.0]))
    expected = np.zeros((6, 6))
    for row in np.asarray(x[:2]):
        chances = np.asarray(jax.nn.softmax(row @ np.asarray(params)))
        for label, chance in enumerate(chances):
            grad = np.outer(row, chances - np.eye(3)[label]).ravel()
            expected += np.outer(grad, grad) * chance / 2
    both = jax.jit(lambda *given: [fisher(Classes(), *given, full=full) for full in (True, False)])
    whole, diagonal = both(params, batch)
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    np.testing.assert_allclose(diagonal, np.diag(expected), atol=1e-6)


def regression(rows, seed=0):
    rng = np.random.default_rng(seed)
    return Batch(*(jnp.asarray(rng.normal(size=(rows, columns)), jnp.float32) for columns in (3, 1)))


@pytest.mark.parametrize("first_order", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_gradient_of_la_mamls_rates_in_one_step(first_order):
    """d meta / d rate is -g_meta g_inner, and d meta / d w is g_meta (I - rate H) in second order, g_meta in first.

    Catches a first-order inner gradient where the second is asked for, rates that are moved after the parameters, and
    an outer loss without what is replayed."""
    named = {"lr": 0.1, "rate_lr": 0.05, "memory_size": 1, "replay_size": 1, "first_order": first_order}
    learner = la_maml(Linear(), loss_fn=half_squared, **named)
    old, new = regression(1, 1), regression(1, 2)
    before = learner.step(learner.init(jax.random.key(0), *old[:2]), old)[0]
    after = learner.step(before, new)[0]
    both = jax.tree.map(lambda *a: jnp.concatenate(a), new, old)
    mean = lambda w, batch: mean_loss(batch.x @ w, batch, half_squared)
    g_inner = jax.grad(mean)(before.params, new)
    ahead = before.params - before.rates * g_inner
    g_meta = jax.grad(mean)(ahead, both)
    rates = before.rates + 0.05 * g_meta * g_inner
    np.testing.assert_allclose(after.rates, rates, rtol=1e-5, atol=1e-7)
    hessian = new.x.T @ new.x
    by_w = g_meta if first_order else g_meta - hessian @ (before.rates * g_meta)
    np.testing.assert_allclose(after.params, before.params - rates * by_w, rtol=1e-5, atol=1e-6)


def test_ftml_is_the_running_mean():
    """On |w - c_t|^2 / 2 the leader is the mean of c so far, and a round's loss (1 - inner_lr)^2 / 2 |w - c_t|^2.

    Catches an inner step that is missing, or loses its second derivative: the rate of the rule fits the whole alone."""
    a, centers = 0.3, np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    learner = ftml(Constant(), optimizer=optax.sgd(1 / (1 - a) ** 2), inner_lr=a, rounds=6, loss_fn=half_squared)
    state = learner.init(jax.random.key(0), jnp.zeros((2, 2)), jnp.zeros((2, 2)))
    for t, c in enumerate(centers):
        leader = np.asarray(state.params)[:, 0]
        state, metrics = learner.step(state, Batch(jnp.zeros((2, 2)), jnp.asarray(np.stack([c, c]))))
        np.testing.assert_allclose(metrics.loss, (1 - a) ** 2 / 2 * np.sum((leader - c) ** 2), rtol=1e-5)
        np.testing.assert_allclose(state.params[:, 0], centers[: t + 1].mean(0), atol=1e-6)


def test_mer_is_reptile_within_and_across():
    """Catches the two steps of Reptile in each other's place, and replayed examples before the one at hand."""
    lr, within, across, batches = 0.2, 0.5, 0.7, 2
    batch = regression(2)
    named = {"lr": lr, "within": within, "across": across, "batches": batches, "memory_size": 2, "replay_size": 3}
    learner = mer(Linear(), loss_fn=half_squared, **named)
    state = learner.step(learner.init(jax.random.key(0), *batch[:2]), batch)[0]
    w, x, y = np.zeros(3), np.asarray(batch.x, float), np.asarray(batch.y, float)[:, 0]
    for example, rows in ((0, (0,)), (1, (1, 0))):
        start = w
        for _ in range(batches):
            inside = w
            for row in rows:
                inside = inside - lr * (x[row] @ inside - y[row]) * x[row]
            w = w + within * (inside - w)
        w = start + across * (w - start)
        assert example in rows
    np.testing.assert_allclose(state.params[:, 0], w, rtol=1e-5)


def test_mer_without_reptile_is_gradient_descent_on_one_after_another():
    batch = regression(3)
    learner = mer(Linear(), lr=0.1, within=1.0, across=1.0, batches=1, memory_size=1, loss_fn=half_squared)
    first = jax.tree.map(lambda a: a[:1], batch)
    state = learner.step(learner.init(jax.random.key(0), *first[:2]), first)[0]
    plain = sgd(Linear(), optimizer=optax.sgd(0.1), loss_fn=half_squared)
    expected = plain.step(plain.init(jax.random.key(0), *first[:2]), first)[0]
    np.testing.assert_allclose(state.params, expected.params, rtol=1e-6)


def test_replay_with_nothing_to_replay_is_sgd():
    """The first step has an empty memory; the second is on both batches."""
    named = {"optimizer": optax.sgd(0.1), "loss_fn": half_squared}
    learner, plain = replay(Linear(), memory_size=4, replay_size=4, **named), sgd(Linear(), **named)
    first, second = regression(3, 1), regression(2, 2)
    state, same = (one.init(jax.random.key(0), *first[:2]) for one in (learner, plain))
    state, same = learner.step(state, first)[0], plain.step(same, first)[0]
    np.testing.assert_allclose(state.params, same.params, rtol=1e-6)
    both = jax.tree.map(lambda *a: jnp.concatenate(a), second, first)
    np.testing.assert_allclose(learner.step(state, second)[0].params, plain.step(same, both)[0].params, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replay(Linear(), optimizer=optax.sgd(0.1), memory_size=0), "memory_size must be .*got 0.*take sgd"),
        (lambda: la_maml(Linear(), replay_size=0), "replay_size must be .*got 0.*take sgd"),
        (lambda: mer(Linear(), across=0.0), "across must be a finite number above 0"),
        (lambda: la_maml(Linear(), lr=-1.0), "lr must be a finite number above 0"),
        (lambda: ewc(Linear(), optimizer=optax.sgd(0.1), strength=-1.0), "strength must be"),
        (lambda: ftml(Linear(), optimizer=optax.sgd(0.1), inner_lr=0.1, rounds=0), "rounds must be 1 or more"),
        (
            lambda: ftml(Linear(), optimizer=optax.sgd(0.1), inner_lr=0.1).init(jax.random.key(0), *regression(1)[:2]),
            "2 rows or more, got 1",
        ),
    ],
)
def test_what_can_not_be_learned_by_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
