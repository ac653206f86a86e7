"""The encoder of a run of few-shot learning, which reads pictures once and for all."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.active.experiment import ENCODED_AT_ONCE
from jmeta.errors import RunError
from jmeta.nets import catalog as networks
from jmeta.runs.few_shot.given import inputs_of
from jmeta.runs.few_shot.trained import Trained, load_trained
from jmeta.types import Params


def encoder_of(trained: Trained) -> tuple[Callable[[Params, Array], Array], Params] | None:
    """`(apply, params)` of the encoder that a learner reads examples by; None where its parameters have none."""
    encoder = networks.encoder(trained.settings.network)
    x = jnp.zeros((1, *trained.facts["input_shape"]), trained.facts.get("input_dtype", "float32"))
    needed = jax.tree.structure(jax.eval_shape(encoder.init, jax.random.key(0), x))
    for params in (trained.params, getattr(trained.params, "encoder", None)):
        if params is not None and jax.tree.structure(params) == needed:
            return encoder.apply, params
    return None


def encoded(run_dir: str, pictures: np.ndarray) -> np.ndarray:
    """Features `[N, D]` of pictures, by the encoder of a run.

    They are read in an order of chance, a few hundred at a time, so that the statistics of a batch norm are those of
    many classes.

    Raises:
        RunError: for a folder that can't be used, or a learner without an encoder of its own.
    """
    trained = load_trained(run_dir, "newest")
    found = encoder_of(trained)
    if found is None:
        raise RunError(
            f"{run_dir} is a run of {trained.settings.algorithm}, which has no encoder of its own: name one of "
            "prototypical, ridge, or another that learns features."
        )
    apply, params = found
    inputs, order = inputs_of(trained, [*pictures]), np.random.default_rng(0).permutation(len(pictures))
    program, features = jax.jit(apply), []
    for i in range(0, len(order), ENCODED_AT_ONCE):
        rows = order[np.arange(i, i + ENCODED_AT_ONCE) % len(order)]
        features.append(np.asarray(program(params, jnp.asarray(inputs[rows]))))
    joined = np.concatenate(features)[: len(order)]
    return joined[np.argsort(order)].reshape(len(order), -1)
