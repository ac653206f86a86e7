"""What rules, problems and estimators can be told: exactly what each has."""

import dataclasses

from jmeta.optimizers.problems.classification import ACTIVATIONS
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Nothing:
    """What needs to be told nothing."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A rate for each step.

    Attributes:
        rates: how many, after which it begins again.
        rate: each of them, to begin with.
    """

    rates: int = setting(10, least=1)
    rate: float = setting(1.0, above=0)


@dataclasses.dataclass(frozen=True)
class PerTensor:
    """A rate and a momentum for each tensor.

    Attributes:
        rate: to begin with.
        momentum: to begin with.
    """

    rate: float = setting(0.1, above=0)
    momentum: float = setting(0.9, above=0, most=1 - 1e-6)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that says where each parameter goes.

    Attributes:
        units: of each of its layers, or cells.
        step_scale: of what it says.
        rate: of gradient descent beside it, which it starts from, and which is learned too; 0 for none, as published.
    """

    units: tuple[int, ...] = setting((32, 32), least=1)
    step_scale: float = setting(0.01, above=0)
    rate: float = setting(0.1, least=0)


@dataclasses.dataclass(frozen=True)
class Cells(Network):
    """An LSTM that says where each parameter goes.

    Attributes:
        preprocess: what it reads: the size and the sign of a gradient apart, by their logarithm, or the raw gradient.
    """

    units: tuple[int, ...] = setting((20, 20), least=1)
    preprocess: str = setting("log-and-sign", choices=("log-and-sign", "raw"))


@dataclasses.dataclass(frozen=True)
class TinyNetwork(Network):
    """As `Network`, of fewer units."""

    units: tuple[int, ...] = setting((4, 4), least=1)


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """Diagonal quadratics.

    Attributes:
        dimension: parameters.
    """

    dimension: int = setting(10, least=1)


@dataclasses.dataclass(frozen=True)
class LogQuadratic(Quadratic):
    """Diagonal quadratics whose curvatures have uniform logarithms.

    Attributes:
        kappa: the largest curvature over the least.
    """

    kappa: float = setting(100.0, above=1)


@dataclasses.dataclass(frozen=True)
class Classification:
    """Small networks that learn to tell classes apart.

    Attributes:
        dataset: any that has classes; the last quarter of each class is for the evaluation alone.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        way: classes of a problem, drawn anew each time where there are more.
        features: units of each hidden layer.
        activation: sigmoid, relu or tanh.
        batch_size: examples of a step.
        judged_by: the share of each class that the rule is judged by in its training, and does not learn from; 0 to be
            judged by what it learns from.
    """

    dataset: str = "digits"
    data_dir: str | None = setting(None, place=True)
    way: int = setting(10, least=2)
    features: tuple[int, ...] = setting((20,), least=1)
    activation: str = setting("sigmoid", choices=tuple(ACTIVATIONS))
    batch_size: int = setting(64, least=1)
    judged_by: float = setting(0.25, least=0, most=0.7)


@dataclasses.dataclass(frozen=True)
class Backprop:
    """Backpropagation through whole unrolls.

    Attributes:
        second_order: differentiate the inner gradients too; without, they are constants, as in Andrychowicz et al.
    """

    second_order: bool = True


@dataclasses.dataclass(frozen=True)
class Truncated(Backprop):
    """Backpropagation through windows.

    Attributes:
        truncation: steps of a window.
    """

    truncation: int = setting(20, least=1)


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """Evolution strategies.

    Attributes:
        sigma: the standard deviation of what theta is moved by.
    """

    sigma: float = setting(0.01, above=0)


@dataclasses.dataclass(frozen=True)
class PerturbedWindows(Perturbed):
    """Evolution strategies in windows.

    Attributes:
        truncation: steps of a window.
    """

    truncation: int = setting(20, least=1)
