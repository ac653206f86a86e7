"""Bayesian learners and kernels by name: of what each is made, what it learns, and what it can be told."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jmeta import nets
from jmeta.algorithms.row import Row, Wanted
from jmeta.bayes import kernels
from jmeta.bayes.algorithms import (
    abml,
    alpaca,
    bayesian_maml,
    deep_kernel,
    deep_kernel_classifier,
    marginal,
    meta_qda,
    mixture,
    moments,
    platipus,
    predictive,
    versa,
)
from jmeta.bayes.algorithms.alpaca import evidence as alpaca_evidence
from jmeta.bayes.algorithms.deep_kernel import evidence as deep_kernel_evidence
from jmeta.bayes.joint import Evidence
from jmeta.bayes.kernels import Kernel
from jmeta.bayes.settings import Abml, Alpaca, BayesianMaml, DeepKernel, MetaQda, Platipus, Versa
from jmeta.distributions import nats
from jmeta.errors import RunError, kind_and_line
from jmeta.nets import catalog as networks
from jmeta.registry import Registry, said
from jmeta.types import Learner, Model

NOISE = 0.1
"""Of numbers about what a sample predicts, where nothing else is told."""
_POINTS = 12


class KernelRow(NamedTuple):
    """A kernel: what functions it is of, in a few words, what makes it, and the paper, as of a learner."""

    what: str
    make: Callable[[], Kernel]
    paper: str = ""


def own_kernel(name: str, found: Any) -> KernelRow:
    """The row of a user's kernel, a function without arguments that returns a `Kernel`; RunError for another thing, and
    for a kernel whose matrix can't be a covariance."""
    if isinstance(found, KernelRow):
        return found
    if not callable(found) or isinstance(found, type):
        raise RunError(f"{name} must be a function that returns a Kernel, got a {type(found).__name__}: correct it.")

    def make() -> Kernel:
        try:
            kernel = found()
        except Exception as error:
            raise RunError(f"{name} can't be made ({kind_and_line(error)}): give its parameters defaults.") from error
        if not isinstance(kernel, Kernel):
            raise RunError(f"{name} must return a Kernel, got a {type(kernel).__name__}: correct it.")
        check_kernel(name, kernel)
        return kernel

    return KernelRow(said(found), make)


def check_kernel(name: str, kernel: Kernel) -> None:
    """RunError for a kernel whose matrix, at some points of two features and where its parameters start, is not
    symmetric or has a negative eigenvalue, or whose variance is not the diagonal of it."""
    z = jnp.asarray(np.random.default_rng(0).normal(size=(_POINTS, 2)), jnp.float32)
    try:
        params = kernel.init(z)
        k, variance = (np.asarray(a, np.float64) for a in (kernel.matrix(params, z, z), kernel.variance(params, z)))
    except Exception as error:
        raise RunError(f"{name} fails on {_POINTS} points of 2 features ({kind_and_line(error)}): mend it.") from error
    if k.shape != (_POINTS, _POINTS) or variance.shape != (_POINTS,) or not np.isfinite(k).all():
        raise RunError(f"{name} must give [{_POINTS}, {_POINTS}] finite numbers, got {list(k.shape)}: correct it.")
    slack = 1e-4 * np.abs(k).max()
    if np.abs(k - k.T).max() > slack or np.abs(np.diagonal(k) - variance).max() > slack:
        raise RunError(f"{name} is no kernel: its matrix must be symmetric, with variance as its diagonal: correct it.")
    least = np.linalg.eigvalsh(k).min()
    if least < -slack:
        raise RunError(
            f"{name} is no kernel: its matrix is not positive definite, with an eigenvalue of {least:.3g} at "
            f"{_POINTS} points: correct it."
        )


KERNELS = Registry[KernelRow](
    "kernel",
    {
        "linear": KernelRow("linear functions", kernels.linear),
        "rbf": KernelRow("smooth functions, with all derivatives", kernels.rbf),
        "matern": KernelRow("functions with two derivatives", kernels.matern),
        "spectral-mixture": KernelRow(
            "waves of any lengths, more or less regular", kernels.spectral_mixture,
            "Wilson and Adams 2013, Gaussian Process Kernels for Pattern Discovery, https://arxiv.org/abs/1302.4245",
        ),
    },
    "jmeta.kernels",
    own_kernel,
)  # fmt: skip


def _deep_kernel(
    encoder: Model, kernel: Kernel, *, mean: Model | None, noise: float, objective: str, numbers: bool
) -> Learner:
    if numbers:
        of = {"marginal": marginal, "predictive": predictive}[objective]
        return deep_kernel(encoder, kernel, mean=mean, noise=noise, objective=of)
    return deep_kernel_classifier(encoder, kernel, noise=noise, objective=marginal if objective == "marginal" else None)


def _mean(own: DeepKernel, wanted: Wanted) -> Model | None:
    if own.mean == "constant":
        return None
    if not wanted.numbers:
        raise RunError("--mean network is of numbers, and these tasks have classes: leave it out.")
    return networks.network(wanted.network, 1)


def _combine(own: Any, wanted: Wanted) -> Any:
    if wanted.numbers:
        return moments(NOISE if own.noise is None else own.noise)
    if own.noise is not None:
        raise RunError("--noise is of numbers, and these tasks have classes: leave it out.")
    return mixture


_OF_SAMPLES: Mapping[str, Callable[[Any, Wanted], Any]] = {
    "combine": _combine,
    "judged": lambda own, wanted: nats if wanted.numbers else None,
}

BAYESIAN: dict[str, Row] = {
    "deep-kernel": Row(
        _deep_kernel, "features and a kernel of a Gaussian process on them, exact in each task",
        "Patacchiola et al. 2020, Bayesian Meta-Learning via Deep Kernels, https://arxiv.org/abs/1910.05199",
        DeepKernel, {"kernel": lambda own, wanted: KERNELS.get(own.kernel).make(), "mean": _mean},
    ),
    "alpaca": Row(
        alpaca, "features and a prior of the last layer, with its exact posterior",
        "Harrison et al. 2018, Meta-Learning Priors for Online Regression, https://arxiv.org/abs/1807.08912",
        Alpaca, classes=False,
    ),
    "bayesian-maml": Row(
        bayesian_maml, "starts that adapt together to samples of a posterior",
        "Yoon et al. 2018, Bayesian Model-Agnostic Meta-Learning, https://arxiv.org/abs/1806.03836",
        BayesianMaml, _OF_SAMPLES, fixed_way=True,
    ),
    "platipus": Row(
        platipus, "a distribution of starts, each of which adapts by MAML",
        "Finn et al. 2018, Probabilistic Model-Agnostic Meta-Learning, https://arxiv.org/abs/1806.02817",
        Platipus, _OF_SAMPLES, fixed_way=True,
    ),
    "abml": Row(
        abml, "a normal prior of each weight, which moves to a posterior by gradients",
        "Ravi and Beatson 2019, Amortized Bayesian Meta-Learning, https://openreview.net/forum?id=rkgpy3C5tX",
        Abml, _OF_SAMPLES, fixed_way=True,
    ),
    "versa": Row(
        versa, "a network that writes the last layer, and how sure it is of it",
        "Gordon et al. 2019, Meta-Learning Probabilistic Inference for Prediction, https://arxiv.org/abs/1805.09921",
        Versa,
        {"writer": lambda own, wanted: networks.in_precision(wanted.network, nets.LayerWriter())},
        numbers=False,
    ),
    "meta-qda": Row(
        meta_qda, "features and a prior of the mean and covariance of a class, exact in each task",
        "Zhang et al. 2021, Shallow Bayesian Meta Learning, https://arxiv.org/abs/2101.02833",
        MetaQda, numbers=False,
    ),
}  # fmt: skip
"""Learners whose predictions say how sure they are."""

EVIDENCE: Mapping[str, Evidence] = {"deep-kernel": deep_kernel_evidence, "alpaca": alpaca_evidence}
"""Of those that know the density of all queries jointly, where targets are numbers."""
