"""A learned acquisition: a small network that reads statistics of a pool, trained through the whole scan."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls
from jmeta.active import rules
from jmeta.active.choices import Estimator
from jmeta.active.pool import Measure, ask
from jmeta.active.types import Acquire, Rule, View
from jmeta.losses import judged, weighted_mean
from jmeta.nets import MLP
from jmeta.types import Batch, Episode, Learner, Params

Statistics = Callable[[View], Array]
"""`view -> [N, S]`, what a learned rule knows of each example."""

STATISTICS = 12
"""How many `statistics` there are."""


class Acquisition(NamedTuple):
    """A rule with parameters.

    Attributes:
        init: `key -> params`.
        rule: `params -> rule`.
    """

    init: Callable[[Array], Params]
    rule: Acquire


def statistics(view: View) -> Array:
    """Of each example `[N, STATISTICS]`, whatever the classes and the features are, each in units of the pool.

    The entropy, the margin, the largest and the second probability; the distance to the nearest known example, and to
    the nearest of the others; the mean distance to the pool; how much nearer it would bring the pool (`coverage`); how
    many known examples its predicted class has; then, the same for all, the share of labels that is used, the share of
    the pool that is known, and the share of classes that have a label.
    """
    there, free = view.there, view.free.astype(view.known.dtype)
    number = jnp.maximum(jnp.sum(there), 1)
    probability = jax.nn.softmax(view.logits)
    first, second = jax.lax.top_k(probability, 2)[0].T
    distance = jnp.sqrt(view.distances + 1e-12)
    pairs = there[:, None] * there[None]
    scale = jnp.sum(distance * pairs) / jnp.maximum(jnp.sum(pairs), 1) + 1e-9
    others = jnp.where((free[None] > 0) & ~jnp.eye(len(there), dtype=bool), distance, jnp.inf)
    alone = jnp.min(others, axis=1)
    counts = view.pool.y.T @ view.known
    own = jax.nn.one_hot(jnp.argmax(view.logits, axis=1), view.logits.shape[1]) @ counts
    gain = rules.coverage(view) / scale
    same = jnp.stack([view.step / view.labels, jnp.sum(view.known) / number, jnp.mean(counts > 0)])
    each = [
        rules.entropy(view) / jnp.log(view.logits.shape[1]), first - second, first, second,
        jnp.sqrt(rules.nearest_known(view) + 1e-12) / scale, jnp.where(jnp.isfinite(alone), alone, scale) / scale,
        distance @ there / number / scale, 20 * gain, own / (1 + jnp.sum(counts) / view.logits.shape[1]),
        *jnp.broadcast_to(same[:, None], (3, len(there))),
    ]  # fmt: skip
    return jax.lax.stop_gradient(jnp.stack(each, axis=1))


def acquisition(
    read: Statistics = statistics, size: int = STATISTICS, *, units: int = 32, base: Rule | None = None
) -> Acquisition:
    """A network of two parts, which sees each example by its statistics and the pool by their mean.

        h_n     = relu(A s_n),   c = mean of h_n over what is free
        score_n = v . relu(B [h_n, c]) + base_n

    Its order of the pool does not matter, and any number of examples will do. The last layer begins with zeros: at
    first all are alike, or `base` decides.

    Args:
        read: of the view, `[N, size]`.
        size: how many numbers that are.
        units: of each layer.
        base: a rule to begin from, whose scores are brought to a spread of 1.
    """
    body, head = MLP((units,), out=units), MLP((units,), out=1)

    def init(key: Array) -> Params:
        one, two = jax.random.split(key)
        last = head.init(two, jnp.zeros((1, 2 * units)))
        return {"body": body.init(one, jnp.zeros((1, size))), "head": _zero_last(last)}

    def rule(params: Params) -> Rule:
        def score(view: View) -> Array:
            h = jax.nn.relu(calls.apply(body, params["body"], read(view)))
            free = view.free.astype(h.dtype)
            mean = free @ h / jnp.maximum(jnp.sum(free), 1)
            seen = jnp.concatenate([h, jnp.broadcast_to(mean[None], h.shape)], axis=1)
            scores = calls.apply(head, params["head"], seen)[:, 0]
            return scores if base is None else scores + _standard(base(view), free)

        return score

    return Acquisition(init, rule)


def _zero_last(params: Any) -> Any:
    """The parameters of a network whose output layer is zeros."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    last = max(jax.tree_util.keystr(path[:-1]) for path, _ in leaves)
    return jax.tree_util.tree_map_with_path(
        lambda path, a: jnp.zeros_like(a) if jax.tree_util.keystr(path[:-1]) == last else a, params
    )


def _standard(scores: Array, free: Array) -> Array:
    """Scores with mean 0 and spread 1 over what is free."""
    number = jnp.maximum(jnp.sum(free), 1)
    mean = jnp.sum(scores * free) / number
    spread = jnp.sqrt(jnp.sum((scores - mean) ** 2 * free) / number)
    return jax.lax.stop_gradient((scores - mean) / (spread + 1e-9))


def misses(prediction: Array, query: Batch) -> Array:
    """Mean probability that is not at the label; 1 for a class without a label, which can't be predicted."""
    logits, query = judged(prediction, query)
    return weighted_mean(1 - jnp.sum(jax.nn.softmax(logits) * query.y, axis=-1), query.weight)


def acquisition_loss(
    learner: Learner,
    acquire: Acquire,
    estimator: Estimator,
    *,
    labels: int,
    features: Callable[[Params, Any], Array] | None = None,
    measure: Measure = misses,
    weights: Array | None = None,
) -> Callable[..., tuple[Array, Array]]:
    """The loss of a learned rule, whose gradient is by an estimator.

        L = E[sum_t weights_t measure after t labels] / labels

    Args:
        learner: as in `ask`, like `labels`, `features` and `measure`, of which less is better.
        acquire: parameters to a rule, such as `acquisition(...).rule`.
        estimator: `choices.policy_gradient()` for any learner, or `choices.pathwise()`.
        weights: `[labels]` of the moments; None for 1 each; zeros and a last `labels` for the end alone.

    Returns:
        `(params of the learner, params of the rule, episode, key, known=None) -> (loss [], measures [labels])`. Both
        parameters can be trained by it.
    """

    def loss(params: Params, own: Params, episode: Episode, key: Array, known: Array | None = None) -> Any:
        def play(choose: Any, key: Array) -> tuple[Array, Array]:
            run = ask(learner, acquire(own), labels=labels, features=features, measure=measure, choose=choose)
            asked = run(params, episode, key, known)
            return asked.curve[1:] * (1.0 if weights is None else weights), asked.log_probs

        return estimator(play, key)

    return loss


def fit_acquisition(
    loss: Callable[..., tuple[Array, Array]],
    own: Params,
    sample: Callable[[Array], Episode],
    optimizer: optax.GradientTransformation,
    key: Array,
    *,
    steps: int,
    episodes: int = 8,
    params: Params = None,
) -> tuple[Params, Array]:
    """Train the parameters of a rule for a learner that stays as it is, in one `lax.scan`.

    Args:
        loss: of `acquisition_loss`.
        own: parameters to begin from.
        sample: `key -> Episode`.
        optimizer: any of Optax.
        key: PRNG key of the run.
        steps: of the optimizer.
        episodes: of each step.
        params: of the learner.

    Returns:
        Parameters, and the mean measures of each step `[steps, labels]`.
    """

    def mean(own: Params, key: Array) -> tuple[Array, Array]:
        one, two = jax.random.split(key)
        keys = jax.random.split(one, episodes), jax.random.split(two, episodes)
        values, measures = jax.vmap(lambda a, b: loss(params, own, sample(a), b))(*keys)
        return jnp.mean(values), jnp.mean(measures, axis=0)

    def step(state: tuple[Params, Any], number: Array) -> tuple[tuple[Params, Any], Array]:
        own, inner = state
        (_, measures), grads = jax.value_and_grad(mean, has_aux=True)(own, jax.random.fold_in(key, number))
        updates, inner = optimizer.update(grads, inner, own)
        return (optax.apply_updates(own, updates), inner), measures

    run = jax.jit(lambda own: jax.lax.scan(step, (own, optimizer.init(own)), jnp.arange(steps)))
    (own, _), measures = run(own)
    return own, measures
