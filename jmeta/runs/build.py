"""From settings to functions: the network, the learner at any way and number of steps, the outer optimizer."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import algorithms, gradients, losses, nets
from jmeta.runs.config import VECTOR_TASKS, TrainConfig
from jmeta.training import Over, one_by_one
from jmeta.types import Learner, Model, Params

MOMENTUM = 0.9
SAM_RADIUS = 0.05
FINITE = 1e-8
"""Under Adam's square root, for a second derivative at zero."""
PIECE_LIMIT = {"images": 5, "vectors": 1000}

_POLICIES = {
    "batch": nets.BatchNorm,
    "support": nets.SupportNorm,
    "group": nets.GroupNorm,
    "layer": nets.LayerNorm,
    "none": nets.NoNorm,
}

_INNER_GRADS = {"reverse": jax.grad, "remat": gradients.remat_grad, "mixed": gradients.mixed_grad}


def learner_of(config: TrainConfig, inner_steps: Any, *, way: int | None = None, training: bool = False) -> Learner:
    """The learner that the settings describe.

    Args:
        config: the settings.
        inner_steps: a number, or a traced one where only evaluation is done.
        way: outputs, if not the trained number.
        training: whether `inner_batch_size` counts, or `eval_inner_batch_size`.
    """
    outputs = config.way if way is None else way
    inner_grad = _INNER_GRADS[config.inner_grad]
    loss_fn = losses.squared_error if config.dataset == "sinusoid" else losses.cross_entropy
    if config.algorithm == "meta-sgd":
        return algorithms.meta_sgd(
            network(config, outputs),
            inner_lr=config.inner_lr,
            inner_steps=inner_steps,
            inner_grad=inner_grad,
            truncation=config.truncation,
            loss_fn=loss_fn,
        )
    optimizer = inner_optimizer(config)
    if config.algorithm == "reptile":
        size = config.inner_batch_size if training else config.eval_inner_batch_size or config.inner_batch_size
        return algorithms.reptile(
            network(config, outputs),
            inner_optimizer=optimizer,
            inner_steps=inner_steps,
            batch_size=size,
            loss_fn=loss_fn,
        )
    if config.algorithm == "anil":
        return algorithms.anil(
            encoder(config),
            _in_precision(config, nets.Head(outputs, kernel_init=_head_init(config))),
            inner_optimizer=optimizer,
            inner_steps=inner_steps,
            inner_grad=inner_grad,
            truncation=config.truncation,
            loss_fn=loss_fn,
        )
    return algorithms.maml(
        network(config, outputs),
        inner_optimizer=optimizer,
        inner_steps=inner_steps,
        first_order=config.algorithm == "fomaml",
        inner_grad=inner_grad,
        truncation=config.truncation,
        loss_fn=loss_fn,
    )


def network(config: TrainConfig, outputs: int) -> Model:
    """The network with its head."""
    if config.network == "linear":
        return _in_precision(config, nets.Linear(outputs))
    if config.network == "mlp":
        return _in_precision(config, nets.MLP(config.features, outputs, _norm(config)))
    return _in_precision(config, nets.ConvNet(outputs, **_conv_options(config), kernel_init=_head_init(config)))


def encoder(config: TrainConfig) -> Model:
    """The network without its head, for ANIL."""
    if config.network in ("mlp", "linear"):
        layers = config.features if config.network == "mlp" else ()
        return _in_precision(config, nets.MLPEncoder(layers, _norm(config)))
    return _in_precision(config, nets.ConvEncoder(**_conv_options(config)))


def _in_precision(config: TrainConfig, model: Model) -> Model:
    return model if config.precision == "float32" else nets.in_precision(model, jnp.dtype(config.precision))


def _conv_options(config: TrainConfig) -> dict[str, Any]:
    blocks = {"convnet2-512": 2, "convnet8": 8}.get(config.network, 4)
    features = config.features * blocks if len(config.features) == 1 else config.features
    return {
        "features": features,
        "pool": config.network in ("conv4-pool", "convnet2-512"),
        "norm": _POLICIES[config.norm],
        "flatten": config.network in ("conv4-flat", "convnet2-512"),
        "dense": 512 if config.network == "convnet2-512" else None,
    }


def _norm(config: TrainConfig) -> Any:
    return None if config.norm == "none" else _POLICIES[config.norm]


def _head_init(config: TrainConfig) -> Any:
    """MAML's N(0, 1) on the 64 means over positions; on more features, or for Reptile, logits of a usual size."""
    wide = config.network in ("conv4-flat", "convnet2-512", "mlp", "linear")
    glorot = wide or config.algorithm == "reptile"
    return jax.nn.initializers.glorot_uniform() if glorot else jax.nn.initializers.normal(1.0)


def inner_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The rule of the inner loop."""
    rate, name = config.inner_lr, config.inner_optimizer
    if name in ("adam", "adam-b0"):
        eps_root = FINITE if config.algorithm in ("maml", "anil") else 0.0
        return optax.adam(rate, b1=0.9 if name == "adam" else 0.0, eps_root=eps_root)
    if name == "sgd":
        return optax.sgd(rate)
    return optax.sgd(rate, momentum=MOMENTUM, nesterov=name == "nesterov")


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


def sample_input(config: TrainConfig, input_shape: tuple[int, ...], way: int | None = None) -> Array:
    """Zeros of the shape of a support set's inputs, to initialise with."""
    classes = config.way if way is None else way
    return jnp.zeros((classes * (config.train_shots or config.shot), *input_shape))


def eval_steps(config: TrainConfig) -> int:
    """Inner steps outside training."""
    return config.inner_steps if config.eval_inner_steps is None else config.eval_inner_steps


def parameter_count(params: Params) -> int:
    """How many numbers the learner learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
