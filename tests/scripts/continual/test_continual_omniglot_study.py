"""The study of Omniglot streams: what its own learners are told exists, and a start tells so before any row."""

import pytest

from jmeta.continual.settings import Choice, defaults
from jmeta.errors import RunError
from jmeta.settings import replaced
from scripts.continual import omniglot
from scripts.study import run


@pytest.mark.parametrize("name", omniglot.LEARNERS)
def test_learners_are_told_what_there_is(name):
    """Catches a setting that is gone or misspelled, which an hour of other rows would come before."""
    algorithm, values = omniglot.LEARNERS[name]
    settings = replaced(defaults(Choice(algorithm)), {**values, "outer_steps": 1})
    last = 576 if name == "oml-wide" else 256
    assert settings.network.features == (64, 64, 64, last) and settings.streams.rotations is False
    assert settings.learner.first_order == (name == "oml-first-order")


def test_a_learner_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(RunError, match="there is no learner 'olm': choose of oml, oml-first-order, oml-wide, anml"):
        run(omniglot.study, omniglot.Config(learners=("olm",), run_dir=str(tmp_path)))
