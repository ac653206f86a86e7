"""Small experiments of every kind that there is, by name."""

from collections.abc import Callable

from toy_experiment import Settings, build

from jmeta.experiment import Experiment

EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "toy": lambda: build(Settings()),
}
