"""A sequence of tasks as the engine trains it."""

import jax
import numpy as np
import pytest

from jmeta import loop
from jmeta.continual.online import settings as own
from jmeta.continual.online.experiment import builder
from jmeta.errors import RunError
from jmeta.settings import replaced

pytestmark = pytest.mark.standard_promotion
SMALL = {"dataset": "glyphs:4", "features": (8,), "task_steps": 3, "batch_size": 4, "finish_size": 2}


def made(algorithm, **values):
    settings = replaced(own.defaults(own.Choice(algorithm)), SMALL | values)
    own.check(settings)
    return builder()(settings)


def test_the_engine_goes_through_the_tasks_and_tells_their_ends():
    """Catches an end that is told at every step, or never, and a task that is not the next."""
    experiment = made("ewc")
    run, state = loop.repeat(experiment.update), experiment.init(jax.random.key(0))
    assert experiment.steps == 6 and not np.any(state.params.fisher)
    before, _ = run(state, 2)
    after, metrics = run(before, 1)
    later, _ = run(after, 2)
    assert not np.any(before.params.fisher) and np.any(after.params.fisher) and np.isfinite(metrics.loss).all()
    np.testing.assert_array_equal(later.params.fisher, after.params.fisher)
    found = jax.jit(experiment.validate)(later.params)["accuracy"]
    assert found.shape == (2,) and np.isfinite(found).all()


@pytest.mark.parametrize(
    ("algorithm", "values", "said"),
    [
        ("replay", {"memory_size": 0}, "[Mm]emory_size must be .*got 0"),
        ("sgd", {"norm": "batch"}, "--norm batch"),
        ("sgd", {"way": 5}, "classes"),
    ],
)
def test_what_can_not_be_trained_is_refused(algorithm, values, said):
    with pytest.raises(RunError, match=said):
        made(algorithm, **values)
