"""All learners of episodes by name: those of the core, and the Bayesian ones."""

from jmeta.algorithms.catalog import LEARNERS as CORE
from jmeta.algorithms.row import Row, own_row
from jmeta.bayes.catalog import BAYESIAN
from jmeta.registry import Registry

LEARNERS = Registry[Row]("algorithm", {**dict(CORE.items()), **BAYESIAN}, "jmeta.learners", own_row)
"""What `jmeta train --algorithm` and `jmeta bayes train --algorithm` know."""
