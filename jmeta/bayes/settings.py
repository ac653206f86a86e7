"""What each Bayesian learner can be told: exactly what it has."""

import dataclasses

from jmeta.algorithms.settings import InnerRule
from jmeta.settings import setting

OBJECTIVES = ("marginal", "predictive")
MEANS = ("constant", "network")
_INNER = InnerRule()


@dataclasses.dataclass(frozen=True)
class DeepKernel:
    """Deep kernel transfer.

    Attributes:
        kernel: how alike two values of a function are by their features: linear, rbf, matern, spectral-mixture (waves),
            or your own, FILE.py:NAME or MODULE:NAME, a function that returns a `jmeta.bayes.Kernel`. `jmeta list
            kernels` has all. `--network mlp --features` says how many layers are before it; `--network linear` has
            none, by which this is a Gaussian process on inputs.
        objective: what is made small: marginal (the likelihood of a task's support and queries together, the paper's),
            or predictive (that of queries given the support set).
        mean: of all functions, where targets are numbers: constant, or network (one like that of the features).
        noise: the standard deviation of a target's noise starts here and is learned; classes are targets of -1 and 1.
    """

    kernel: str = "rbf"
    objective: str = setting("marginal", choices=OBJECTIVES)
    mean: str = setting("constant", choices=MEANS)
    noise: float = setting(0.1, above=0)


@dataclasses.dataclass(frozen=True)
class Alpaca:
    """ALPaCA.

    Attributes:
        spread: the standard deviation of the last layer's weights starts here and is learned.
        noise: that of a target's noise starts here and is learned.
    """

    spread: float = setting(1.0, above=0)
    noise: float = setting(0.1, above=0)


@dataclasses.dataclass(frozen=True)
class BayesianMaml:
    """Bayesian MAML.

    Attributes:
        particles: starts that adapt together.
        temperature: of the posterior, which says how far apart they stay: 1 over the examples of a task for the
            likelihood of all of them.
        noise: standard deviation of a target about what a particle predicts, where targets are numbers; otherwise 0.1.
    """

    inner: InnerRule = _INNER
    particles: int = setting(5, least=1)
    temperature: float = setting(1.0, above=0)
    noise: float | None = setting(None, above=0)


@dataclasses.dataclass(frozen=True)
class Platipus:
    """PLATIPUS.

    Attributes:
        samples: starts that are drawn for a task.
        spread: their standard deviation starts here and is learned.
        rate: of the step that the prior and the posterior are moved by, which starts here and is learned.
        kl_weight: of the divergence of the posterior from the prior, over all weights.
        noise: standard deviation of a target about what a sample predicts, where targets are numbers; otherwise 0.1.
    """

    inner: InnerRule = _INNER
    samples: int = setting(5, least=1)
    spread: float = setting(0.05, above=0)
    rate: float = setting(0.01, above=0)
    kl_weight: float = setting(1e-3, least=0)
    noise: float | None = setting(None, above=0)


@dataclasses.dataclass(frozen=True)
class Abml:
    """Amortized Bayesian meta-learning.

    Attributes:
        samples: of weights, in the inner loop and of predictions.
        spread: the standard deviation of weights starts here and is learned.
        examples: how many the bound is a mean of; otherwise those of the support set. The loss of numbers is the
            squared error, so that for noise of s it is these over 2 s^2.
        noise: standard deviation of a target about what a sample predicts, where targets are numbers; otherwise 0.1.
    """

    inner: InnerRule = _INNER
    samples: int = setting(5, least=1)
    spread: float = setting(0.05, above=0)
    examples: float | None = setting(None, above=0)
    noise: float | None = setting(None, above=0)


@dataclasses.dataclass(frozen=True)
class Versa:
    """VERSA.

    Attributes:
        samples: of the last layer.
    """

    samples: int = setting(10, least=1)


@dataclasses.dataclass(frozen=True)
class MetaQda:
    """MetaQDA.

    Attributes:
        scatter: what the scatter of a class is taken for before any example starts here, times the identity.
        strength: how many examples the prior's mean is worth starts here.
        degrees: of freedom of the prior beyond the number of features start here.
    """

    scatter: float = setting(1.0, above=0)
    strength: float = setting(1.0, above=0)
    degrees: float = setting(1.0, above=0)
