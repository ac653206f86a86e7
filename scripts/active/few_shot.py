"""Active few-shot learning on Omniglot 20-way and CIFAR-FS 5-way: accuracy against labels by five rules, the greedy
rule of k-medoids, a learned one and an oracle, on the same pools."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta import loop
from jmeta.active import experiment
from jmeta.active.settings import Choice, Settings, check, defaults
from jmeta.runs.active.encoder import encoded
from jmeta.runs.active.evaluate import compared, summary, table, verdict
from jmeta.runs.active.plot import draw_curves
from jmeta.runs.active.trained import Trained
from jmeta.settings import replaced, setting
from scripts.study import Shown, Study, finite, program


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        omniglot: the run of `jmeta train --split lake` whose encoder reads Omniglot; none leaves it out.
        cifar: the data set of CIFAR, such as `cifar100`; none leaves it out.
        cifar_split: which of its classes are for training.
        cifar_encoder: the run whose encoder reads it; None for pixels.
        steps: of training of the learned rule.
        pools: of the test.
        draw: also draw the curves.
    """

    run_dir: str = "runs/active-few-shot"
    data_dir: str | None = setting(None, place=True)
    omniglot: str = "none"
    cifar: str = "none"
    cifar_split: str = "default"
    cifar_encoder: str | None = None
    steps: int = setting(1000, least=1)
    pools: int = setting(300, least=2)
    draw: bool = setting(True, place=True)


def measured(settings: Settings, pools: int, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Train the learned rule, then compare."""
    check(settings)
    made = experiment.builder(encoded)(settings)
    state = jax.jit(made.init)(jax.random.key(0))
    state, metrics = loop.repeat(made.update)(state, made.steps)
    losses = finite(np.asarray(metrics.loss), "the losses")
    data = experiment.load_data(settings.pools, encoded)
    found = summary(compared(Trained(settings, data, made.steps, state.params), pools))
    return {"rows": found, "losses": [float(part.mean()) for part in np.array_split(losses, 10)]}


def study(config: Config) -> Study:
    """A row of each data set."""
    start, sizes = defaults(Choice()), {"outer_steps": config.steps, "data_dir": config.data_dir}
    made: dict[str, Any] = {}
    if config.omniglot != "none":
        own = {"dataset": "omniglot", "split": "lake", "encoder": config.omniglot, "way": 20, "labels": 30}
        made["Omniglot, 20-way"] = partial(measured, replaced(start, sizes | own), config.pools)
    if config.cifar != "none":
        own = {"dataset": config.cifar, "split": config.cifar_split, "encoder": config.cifar_encoder, "way": 5}
        own |= {"pool_shot": 20, "query_shot": 15, "labels": 20}
        made["CIFAR, 5-way"] = partial(measured, replaced(start, sizes | own), config.pools)

    def show(rows: Mapping[str, Any]) -> Shown:
        tables = [f"{table(row['rows'], name)}\n{verdict(row['rows'])}\n" for name, row in rows.items()]
        figures = {
            f"{name.partition(',')[0].lower()}.png": lambda path, row=row, name=name: draw_curves(
                row["rows"], Path(path), name
            )
            for name, row in rows.items()
        }
        return Shown("\n".join(tables), figures)

    return Study(made, show)


if __name__ == "__main__":
    program("active.few_shot", Config, study)
