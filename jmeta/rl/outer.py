"""What MAML for reinforcement learning does with the data of an update: functions that it is given."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta.checks import check_above_zero, known
from jmeta.rl.checks import check_counts
from jmeta.rl.surrogates import Objective, ppo_clip
from jmeta.solvers import conjugate_gradient
from jmeta.types import Params


class Readapted(NamedTuple):
    """How parameters do on the trajectories of an update, adapted once more on those from before adaptation."""

    gain: Array  # `[]`, mean of the objective over the steps after adaptation
    kl: Array  # `[inner_steps + 1]`, in nats, from who acted: of the policy before each inner step, and the adapted one
    error: Array  # `[]`, mean squared error of the policy's value after adaptation


Readapt = Callable[[Params, Objective], Readapted]
"""`(params, objective) -> Readapted`, differentiable in the parameters, through adaptation."""


class Outer(NamedTuple):
    """A rule of the outer loop.

    Attributes:
        init: `params -> state` of the rule.
        update: `(readapt, params, state) -> (params, state, loss [], kl [])`; the KL is of the last policy looked at
            from the one that acted, both adapted.
    """

    init: Callable[[Params], Any]
    update: Callable[[Readapt, Params, Any], tuple[Params, Any, Array, Array]]


def promp(
    optimizer: optax.GradientTransformation,
    *,
    objective: Objective | None = None,
    epochs: int = 5,
    kl_weight: float = 5e-4,
    value_coef: float = 0.0,
) -> Outer:
    """Proximal meta-policy search: some steps of any Optax rule on all data of an update, kept near the old policies.

        loss = -mean objective(log pi' now, log pi' then, A') + kl_weight sum_k KL(pi_k then, pi_k now)

    pi_k acts before inner step k and pi' after the last; all follow from the parameters anew in each epoch, on the
    trajectories that are there. With 1 epoch it is the meta-policy gradient.

    Args:
        optimizer: any Optax rule.
        objective: `ppo_clip(0.3)` by default.
        epochs: steps of an update, 1 or more.
        kl_weight: of the divergence before adaptation, 0 or more.
        value_coef: of the squared error of the policy's value after adaptation, for `value_head`; 0 or more.

    Raises:
        ValueError: if a number is too small.

    Differs from the paper: the weight of the divergence stays as it is.

    Source: Rothfuss et al. 2019, ProMP: Proximal Meta-Policy Search, eq. 14 and algorithm 1.
    https://arxiv.org/abs/1810.06784
    """
    check_counts(epochs=epochs)
    for name, number in (("kl_weight", kl_weight), ("value_coef", value_coef)):
        if known(number) and not number >= 0:
            raise ValueError(f"{name} must be 0 or more, got {number}")
    chosen = ppo_clip(0.3) if objective is None else objective

    def update(readapt: Readapt, params: Params, state: Any) -> tuple[Params, Any, Array, Array]:
        def loss(params: Params) -> tuple[Array, Array]:
            seen = readapt(params, chosen)
            return -seen.gain + kl_weight * jnp.sum(seen.kl[:-1]) + value_coef * seen.error, seen.kl[-1]

        def epoch(carry: tuple[Params, Any], _: None) -> tuple[tuple[Params, Any], tuple[Array, Array]]:
            params, state = carry
            seen, grads = jax.value_and_grad(loss, has_aux=True)(params)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), seen

        (params, state), (values, kls) = lax.scan(epoch, (params, state), None, length=epochs)
        return params, state, values[-1], kls[-1]

    return Outer(optimizer.init, update)


def trpo(
    *, max_kl: float = 0.01, solver_steps: int = 10, damping: float = 1e-2, shrink: float = 0.5, tries: int = 15
) -> Outer:
    """Trust region policy optimization of the adapted policies: one natural step, as long as the bound lets it be.

        g = d gain,   gain = mean (pi' now / pi' then) A',   x = (d2 KL + damping I)^-1 g
        params + shrink^j sqrt(2 max_kl / x.(d2 KL + damping I) x) x

    for the first j < `tries` at which the gain is more than it was and KL(pi' then, pi' now) at most `max_kl`; where
    there is none, nothing changes. d2 KL is known by its products alone, which go through adaptation as the gain does.

    Args:
        max_kl: bound on the mean divergence of the adapted policies, in nats, above 0.
        solver_steps: of conjugate gradients, 1 or more, as `tries`.
        damping: above 0.
        shrink: above 0 and below 1.

    Raises:
        ValueError: if a number is out of its range.

    Source: Schulman et al. 2015, Trust Region Policy Optimization, appendix C, https://arxiv.org/abs/1502.05477; for
    MAML, Finn et al. 2017, section 5.3. https://arxiv.org/abs/1703.03400
    """
    check_above_zero("max_kl", max_kl)
    check_above_zero("damping", damping)
    check_counts(tries=tries)
    if not 0 < shrink < 1:
        raise ValueError(f"shrink must be above 0 and below 1, got {shrink}")
    solve = conjugate_gradient(solver_steps)

    objective = lambda log_prob, before, advantage: jnp.exp(log_prob - before) * advantage

    def update(readapt: Readapt, params: Params, state: tuple[()]) -> tuple[Params, tuple[()], Array, Array]:
        gain, grads = jax.value_and_grad(lambda params: readapt(params, objective).gain)(params)
        curvature = jax.linearize(jax.grad(lambda params: readapt(params, objective).kl[-1]), params)[1]

        product = lambda v: jax.tree.map(lambda h, v: h + damping * v, curvature(v), v)
        along = solve(product, grads)
        size = jax.tree.reduce(jnp.add, jax.tree.map(lambda a, b: jnp.sum(a * b), along, product(along)))
        longest = jnp.sqrt(2 * max_kl / jnp.where(size > 0, size, 1)) * (size > 0).astype(size.dtype)

        def moved(tried: Array) -> Params:
            length = longest * shrink ** tried.astype(longest.dtype)
            return jax.tree.map(lambda p, x: p + length * x, params, along)

        def again(carry: Any) -> Any:
            tried = carry[0] + jnp.int32(1)
            seen = readapt(moved(tried), objective)
            return tried, (seen.gain > gain) & (seen.kl[-1] <= max_kl), seen.gain, seen.kl[-1]

        none = jnp.int32(-1), jnp.bool_(False), gain, jnp.zeros_like(gain)
        tried, good, new_gain, kl = lax.while_loop(lambda c: ~c[1] & (c[0] + 1 < tries), again, none)
        params = jax.tree.map(lambda new, old: jnp.where(good, new, old), moved(tried), params)
        return params, state, -jnp.where(good, new_gain, gain), jnp.where(good, kl, jnp.zeros_like(kl))

    return Outer(lambda params: (), update)
