"""Whose statistics a network normalizes with when it is tested."""

import jax

from jmeta import calls
from jmeta.errors import RunError
from jmeta.runs.few_shot.trained import Trained, encoder_of, no_encoder
from jmeta.runs.few_shot.transfer import trained_on

SUPPORT, TRAIN = "support", "train"
SOURCES = (SUPPORT, TRAIN)
_PICTURES = 1024


def of_training(run_dir: str, trained: Trained, data_dir: str | None = None) -> Trained:
    """The same learner, whose encoder keeps the statistics of 1,024 training pictures, whatever support set comes.

    So do networks whose batch normalization has running averages. A support set of five pictures says little of a
    channel's mean; the training set says more, though of other classes.

    Raises:
        RunError: for a learner without an encoder of its own, or one that keeps no statistics; for training data that
            are missing, or no longer what they were.
    """
    found = encoder_of(trained)
    if found is None:
        raise no_encoder(run_dir, trained)
    encoder, params = found
    if trained.settings.network.norm != "support":
        raise RunError(
            f"--statistics {TRAIN} takes a run with --norm support, and {run_dir} has --norm "
            f"{trained.settings.network.norm}: leave it out."
        )
    problem = trained_on(run_dir, trained, data_dir)
    assert problem.batches is not None, "examples that are there are drawn in batches"
    pictures = problem.batches(_PICTURES)(jax.random.key(0)).query.x
    kept = jax.jit(lambda params, x: calls.condition(encoder, params, x))(params, pictures)
    whole = kept if params is trained.params else trained.params._replace(encoder=kept)
    return trained._replace(params=whole)
