"""Expected returns of softmax policies in closed form, and of what they adapt to: functions that JAX differentiates."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.rl.checks import check_counts
from jmeta.rl.policies.policy import Decision, Policy
from jmeta.rl.types import Discrete, Env
from jmeta.types import Params

Return = Callable[[Params], Array]
"""`params -> []`, the expected return J."""


class Visits(NamedTuple):
    """What a softmax policy meets in an MDP, by dynamic programming.

    Attributes:
        share: `[horizon, states]`, the probability of a state at a time.
        policy: `[states, actions]`, the probability of an action.
        value: `[horizon, states]`, the return that is expected from there on.
        q: `[horizon, states, actions]`, after an action.
    """

    share: Array
    policy: Array
    value: Array
    q: Array


def softmax_policy(env: Env) -> Policy:
    """A logit for each state and action, with states shown one-hot; one state where there is nothing to see.

    Args:
        env: with discrete actions.

    Returns:
        A `Policy` whose parameters are the logits `[states, actions]`, all 0 at first; its value is always 0.

    Raises:
        ValueError: if actions are real numbers.
    """
    if not isinstance(env.action, Discrete):
        raise ValueError(f"a softmax policy takes an environment with Discrete actions, got {env.action}")
    size, actions = env.observation_size, env.action.n

    def init(key: Array) -> Array:
        return jnp.zeros((max(size, 1), actions), jnp.float32)

    def step(params: Array, memory: tuple[()], inputs: Array) -> tuple[tuple[()], Decision]:
        logits = jnp.sum(inputs[:, None] * params, axis=0) if size else params[0]
        return memory, Decision(logits, jnp.zeros((), logits.dtype))

    return Policy(init, (), step)


def visits(logits: Array, reward: Array, transition: Array, horizon: int, discount: float = 1.0) -> Visits:
    """What a softmax policy meets in an MDP that starts in state 0.

        V_t(s) = sum_a pi(a | s) Q_t(s, a),   Q_t(s, a) = r(s, a) + discount sum_s' P(s' | s, a) V_{t+1}(s')

    Args:
        logits: `[states, actions]`.
        reward: mean of r, `[states, actions]`.
        transition: `[states, actions, states]`.
        horizon: steps, 1 or more.
        discount: of rewards.

    Raises:
        ValueError: if `horizon` is below 1, or the shapes do not fit.
    """
    check_counts(horizon=horizon)
    states, actions = logits.shape
    if reward.shape != (states, actions) or transition.shape != (states, actions, states):
        raise ValueError(
            f"of logits {list(logits.shape)}, reward must be {[states, actions]} and transition "
            f"{[states, actions, states]}, got {list(reward.shape)} and {list(transition.shape)}"
        )
    policy = jax.nn.softmax(logits, axis=-1)

    def backward(after: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        q = reward + discount * jnp.sum(transition * after[None, None], axis=-1)
        value = jnp.sum(policy * q, axis=-1)
        return value, (value, q)

    def forward(share: Array, _: None) -> tuple[Array, Array]:
        return jnp.sum((share[:, None] * policy)[:, :, None] * transition, axis=(0, 1)), share

    _, (value, q) = lax.scan(backward, jnp.zeros_like(logits[:, 0]), None, length=horizon, reverse=True)
    start = jnp.zeros_like(logits[:, 0]).at[0].set(1)
    return Visits(lax.scan(forward, start, None, length=horizon)[1], policy, value, q)


def bandit_return(means: Array, pulls: int = 1) -> Return:
    """The expected total reward of pulls by `softmax(logits)`, `pulls sum_a pi(a) means(a)`.

    Args:
        means: of the arms, `[arms]`.
        pulls: 1 or more.

    Returns:
        A function of logits `[1, arms]`.

    Raises:
        ValueError: if `pulls` is below 1.

    Example:
        >>> bandit_return(jnp.array([0.0, 1.0]), pulls=10)(jnp.zeros((1, 2))).item()
        5.0
    """
    check_counts(pulls=pulls)
    return lambda logits: pulls * jnp.sum(jax.nn.softmax(logits[0]) * means)


def mdp_return(reward: Array, transition: Array, horizon: int, discount: float = 1.0) -> Return:
    """The expected return of a softmax policy in an MDP that starts in state 0, `V_0(0)`: see `visits`.

    Returns:
        A function of logits `[states, actions]`.
    """
    return lambda logits: visits(logits, reward, transition, horizon, discount).value[0, 0]


def lvc_limit(reward: Array, transition: Array, horizon: int, *, baseline: bool = True) -> Return:
    """What `surrogates.lvc` is an estimate of, whose second derivative is not all of the return's.

        sum_t sum_s stop(P(s_t = s)) sum_a pi(a | s) stop(Q_t(s, a) - V_t(s))

    Args:
        reward: `[states, actions]`.
        transition: `[states, actions, states]`.
        horizon: steps, 1 or more.
        baseline: subtract V, which changes no derivative.

    Returns:
        A function of logits `[states, actions]`.
    """
    return lambda logits: _frozen(jax.nn.softmax(logits, axis=-1), logits, reward, transition, horizon, baseline)


def reinforce_limit(reward: Array, transition: Array, horizon: int, *, baseline: bool = True) -> Return:
    """What `surrogates.reinforce` is an estimate of: `lvc_limit` with `stop(pi(a | s)) log pi(a | s)` for pi.

    A baseline changes its second derivative.
    """

    def value(logits: Array) -> Array:
        log_policy = jax.nn.log_softmax(logits, axis=-1)
        term = lax.stop_gradient(jnp.exp(log_policy)) * log_policy
        return _frozen(term, logits, reward, transition, horizon, baseline)

    return value


def _frozen(term: Array, logits: Array, reward: Array, transition: Array, horizon: int, baseline: bool) -> Array:
    met = lax.stop_gradient(visits(logits, reward, transition, horizon))
    better = met.q - met.value[:, :, None] if baseline else met.q
    return jnp.sum(met.share[:, :, None] * term[None] * better)


def adapted(objective: Return, params: Params, inner_lr: float, inner_steps: int = 1) -> Params:
    """Steps of gradient ascent, `params <- params + inner_lr dJ`; differentiable through all of them."""
    for _ in range(inner_steps):
        params = jax.tree.map(lambda p, g: p + inner_lr * g, params, jax.grad(objective)(params))
    return params


def maml_return(objective: Return, inner_lr: float, inner_steps: int = 1) -> Return:
    """What MAML climbs: the expected return after adaptation, `J(params + inner_lr dJ(params))` for one step.

    Its gradient in the parameters is `(I + inner_lr d2J(params)) dJ(adapted)`.

    Args:
        objective: J.
        inner_lr: inner rate.
        inner_steps: 0 or more.

    Raises:
        ValueError: if `inner_steps` is below 0.
    """
    check_counts(0, inner_steps=inner_steps)
    return lambda params: objective(adapted(objective, params, inner_lr, inner_steps))
