"""ANML: OML on features that a second network lets through or holds back (Beaulieu et al. 2020)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jax import Array

from jmeta import calls
from jmeta.continual.algorithms.oml import oml
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Learner, Model, Params


class Gated(NamedTuple):
    """A `jmeta.types.Model` of two, see `gated`."""

    init: Callable[..., Params]
    apply: Callable[..., Array]
    apply_weighted: Callable[..., Array]
    condition: Callable[..., Params]


def gated(encoder: Model, gate: Model) -> Gated:
    """Two models of which one opens and closes the features of the other; parameters are those of both, by name.

    z = encoder(x) * sigmoid(gate(x))
    """
    parts = {"encoder": encoder, "gate": gate}

    def init(key: Array, x: Any) -> Params:
        keys = jax.random.split(key)
        made = {name: part.init(own, x) for own, (name, part) in zip(keys, parts.items(), strict=True)}
        shapes = [list(jax.eval_shape(part.apply, made[name], x).shape) for name, part in parts.items()]
        if shapes[0] != shapes[1]:
            raise ValueError(f"a gate must have the shape of the features, {shapes[0]}, got {shapes[1]}: give such one")
        return made

    def apply(params: Params, x: Any, weight: Array | None = None) -> Array:
        z, gate = (calls.apply(part, params[name], x, weight) for name, part in parts.items())
        return z * jax.nn.sigmoid(gate)

    def condition(params: Params, x: Any, weight: Array | None = None) -> Params:
        return {name: calls.condition(part, params[name], x, weight) for name, part in parts.items()}

    return Gated(init, apply, apply, condition)


def anml(
    encoder: Model,
    gate: Model,
    head: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """ANML: the encoder's features are gated, and a head learns the stream on what comes through.

        z        = encoder(x) * sigmoid(gate(x))
        the rest = `oml` on z

    Args:
        encoder, head, inner_optimizer, first_order, inner_grad, loss_fn: as in `oml`; so are the parameters, of which
            the encoder's are those of `encoder` and `gate`.
        gate: model mapping `x [N, ...]` to as many numbers as there are features.

    Raises:
        ValueError: from `init`, as `oml`, and for a gate of another shape than the features.

    Differs from the paper: the head alone moves in the inner loop, as its meta-test has it, where its training moves
    the encoder too; new heads as in `oml`; the query has drawings that the stream has not, where its code asks for
    those of the inner loop again.
    Source: Beaulieu et al. 2020, Learning to Continually Learn. https://arxiv.org/abs/2002.09571
    """
    own = {"first_order": first_order, "inner_grad": inner_grad, "loss_fn": loss_fn}
    return oml(gated(encoder, gate), head, inner_optimizer=inner_optimizer, **own)
