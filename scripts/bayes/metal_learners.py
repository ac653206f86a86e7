"""The learners of `scripts.bayes.metal`, and what each is trained by."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta import nets
from jmeta.bayes import added, alpaca, deep_kernel, linear, rbf, spectral_mixture
from jmeta.bayes.algorithms.alpaca import evidence as alpaca_evidence
from jmeta.bayes.algorithms.deep_kernel import evidence
from jmeta.bayes.joint import Evidence
from jmeta.generative import tnp
from jmeta.loop import Over, one_by_one
from jmeta.tasks.waves import fixed_sampler
from jmeta.types import Batch, Learner, Params


class Told(NamedTuple):
    """A learner.

    Attributes:
        learner: as it is tested.
        loss: `(params, task [N, ...], key) -> []` of a task that it is trained by.
        evidence: of all it has seen; None where queries are told each by itself.
        over: how folds and seeds are gone over: together, or in turn where all together take minutes to compile.
    """

    learner: Learner
    loss: Callable[[Params, Batch, Array], Array]
    evidence: Evidence | None = None
    over: Over = jax.vmap


def smooth(*units: int) -> nn.Sequential:
    """Layers with tanh between them."""
    layers: list[Any] = [part for size in units[:-1] for part in (nn.Dense(size), jnp.tanh)]
    return nn.Sequential([*layers, nn.Dense(units[-1])])


def parted(learner: Learner) -> Callable[[Params, Batch, Array], Array]:
    """The loss of a task of which some points, at random, are the support set and the others the queries."""
    return lambda params, task, key: learner.loss(params, fixed_sampler(jax.tree.map(lambda a: a[None], task))(key))[0]


def process(encoder: Any, kernel: Any, mean: Any = None) -> Told:
    """A deep kernel, trained by the marginal likelihood of a task, whose parts make no difference."""
    learner = deep_kernel(encoder, kernel, mean=mean, noise=0.3)
    return Told(learner, lambda params, task, key: -jnp.mean(evidence(learner.adapt(params, task))), evidence)


def by_queries(learner: Learner, own: Evidence | None = None) -> Told:
    """A learner that is trained by the likelihood of queries."""
    return Told(learner, parted(learner), own)


PLAIN = nets.MLPEncoder(())


def trend(kernel: Any) -> Any:
    """A line, and what goes about it."""
    return added(linear(slope=0.1, constant=0.1), kernel)


LEARNERS: dict[str, Callable[[], Told]] = {
    "gp-rbf": lambda: process(PLAIN, rbf()),
    "gp-spectral": lambda: process(PLAIN, spectral_mixture(highest=1.0, spread=0.2)),
    "deep-rbf": lambda: process(smooth(32, 32, 2), rbf()),
    "deep-spectral": lambda: process(smooth(32, 32, 2), spectral_mixture()),
    "mean-rbf": lambda: process(PLAIN, trend(rbf(variance=0.1)), smooth(32, 32, 1)),
    "mean-spectral": lambda: process(
        PLAIN, trend(spectral_mixture(highest=1.0, spread=0.2, variance=0.1)), smooth(32, 32, 1)
    ),
    "alpaca": lambda: by_queries(alpaca(smooth(32, 32, 32), spread=0.3, noise=0.3), alpaca_evidence),
    "tnp": lambda: by_queries(tnp(nets.MLPEncoder((32,)), nets.ProcessTransformer(32, 2, 4)))._replace(over=one_by_one),
}
