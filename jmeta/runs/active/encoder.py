"""The encoder of a run of few-shot learning, which reads pictures once and for all."""

import jax
import jax.numpy as jnp
import numpy as np

from jmeta.active.experiment import ENCODED_AT_ONCE
from jmeta.runs.few_shot.given import inputs_of
from jmeta.runs.few_shot.trained import encoder_of, load_trained, no_encoder


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
        raise no_encoder(run_dir, trained)
    encoder, params = found
    inputs, order = inputs_of(trained, [*pictures]), np.random.default_rng(0).permutation(len(pictures))
    program, features = jax.jit(encoder.apply), []
    for i in range(0, len(order), ENCODED_AT_ONCE):
        rows = order[np.arange(i, i + ENCODED_AT_ONCE) % len(order)]
        features.append(np.asarray(program(params, jnp.asarray(inputs[rows]))))
    joined = np.concatenate(features)[: len(order)]
    return joined[np.argsort(order)].reshape(len(order), -1)
