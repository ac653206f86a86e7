"""From settings to the outer optimizer and to sizes."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.runs.config import VECTOR_TASKS, TrainConfig
from jmeta.runs.learners import FINITE, MOMENTUM
from jmeta.training import Over, one_by_one
from jmeta.types import Params

SAM_RADIUS = 0.05
PIECE_LIMIT = {"images": 5, "vectors": 1000}


def outer_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The rule of the outer loop, with its schedule."""
    rate = {
        "constant": lambda: optax.constant_schedule(config.outer_lr),
        "cosine": lambda: optax.cosine_decay_schedule(config.outer_lr, config.outer_steps),
        "linear": lambda: optax.linear_schedule(config.outer_lr, 0.0, config.outer_steps),
    }[config.outer_schedule]()
    if config.outer_optimizer == "sgd":
        return optax.sgd(rate)
    if config.outer_optimizer == "nesterov":
        return optax.sgd(rate, momentum=MOMENTUM, nesterov=True)
    if config.outer_optimizer == "adam":
        return optax.adam(rate)
    return optax.contrib.sam(optax.adam(rate), _climb(SAM_RADIUS), opaque_mode=True)


def _climb(radius: float) -> optax.GradientTransformation:
    """The step that SAM takes uphill, of length `radius`; given as if it went downhill, since SAM turns it round."""

    def update(grads: Params, _: Params | None) -> Params:
        scale = -radius / (optax.tree.norm(grads) + FINITE)
        return jax.tree.map(lambda g: scale * g, grads)

    return optax.stateless(update)


def chunk_size(config: TrainConfig) -> int:
    """Episodes computed at once: one picture task at a time keeps its buffers in a CPU's cache."""
    if config.chunk_size is not None:
        return config.chunk_size
    return 1 if config.dataset not in VECTOR_TASKS and jax.default_backend() == "cpu" else config.meta_batch_size


def eval_chunk_size(config: TrainConfig) -> int:
    """The same for evaluation."""
    if config.dataset not in VECTOR_TASKS:
        return 1 if jax.default_backend() == "cpu" else 16
    return 100


def over_runs() -> Over:
    """How one program goes over many runs: on a CPU in turn, where each then gives the bits of its single run."""
    return one_by_one if jax.default_backend() == "cpu" else jax.vmap


def piece_length(config: TrainConfig) -> int:
    """Outer steps in one call of the compiled program: the largest divisor of `log_every` that stays responsive.

    It depends on the settings alone, so that a resumed run computes in the same pieces.
    """
    limit = PIECE_LIMIT["vectors" if config.dataset in VECTOR_TASKS else "images"]
    return max(d for d in range(1, min(limit, config.log_every) + 1) if config.log_every % d == 0)


def sample_input(config: TrainConfig, input_shape: tuple[int, ...]) -> Array:
    """Zeros of the shape of a support set's inputs, to initialise with."""
    return jnp.zeros(((config.train_way or config.way) * (config.train_shots or config.shot), *input_shape))


def eval_steps(config: TrainConfig) -> int:
    """Inner steps outside training."""
    return config.inner_steps if config.eval_inner_steps is None else config.eval_inner_steps


def parameter_count(params: Params) -> int:
    """How many numbers the learner learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
