"""Label or ask, after Woodward and Finn 2017: how often a learned agent asks for a label, and how often it is right, at
the first, second, fifth and tenth example of a class, beside the best agent that tells classes apart at sight.

With --encoder, the run of `jmeta train --split lake` whose encoder reads Omniglot, classes are characters: the agent is
trained on background alphabets, and tested on those of evaluation.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta import datasets
from jmeta.active.experiment import Encode
from jmeta.ragged import Ragged
from jmeta.report.figures import COLORS, figure_maker, save
from jmeta.rl import Agent, make_run, rl2, see_all
from jmeta.rl.envs import by_instance, label_or_ask
from jmeta.rl.exact import asking_value
from jmeta.rl.policies import gru_policy, slots_policy
from jmeta.rl.rollout import inputs_size
from jmeta.rl.types import Env
from jmeta.runs.active.encoder import encoded
from jmeta.runs.few_shot.trained import load_trained
from jmeta.settings import setting
from scripts.study import Rows, Shown, Study, finite, interval, markdown, plus_minus, program

SHOWN, MOST = (1, 2, 5, 10), 10
AT_SIGHT, OMNIGLOT = "told apart at sight", "Omniglot, new alphabets"
SIZE = 64
"""Numbers of an example, the first principal components of what the encoder makes of it."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        encoder: the run whose encoder reads Omniglot; none leaves it out.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        updates: of PPO, of each agent.
        seeds: of agents.
        streams: of the test, for each seed.
        draw: also draw requests and errors against the number of an example in its class.
    """

    run_dir: str = "runs/asking"
    encoder: str = setting("none", place=True)
    data_dir: str | None = setting(None, place=True)
    updates: int = setting(300, least=1)
    seeds: int = setting(3, least=2)
    streams: int = setting(5000, least=2)
    draw: bool = setting(True, place=True)


def at_sight(env: Env, updates: int) -> Agent:
    """As `jmeta rl train --env label-or-ask` has it."""
    return _agent(env, gru_policy(inputs_size(env, see_all), env.action, units=64), updates)


def of_features(env: Env, updates: int) -> Agent:
    """An agent that writes at what an example looks like, and reads there."""
    return _agent(env, slots_policy(inputs_size(env, see_all), env.action, observation=SIZE, units=64), updates)


def _agent(env: Env, policy: Any, updates: int) -> Agent:
    rate = optax.linear_schedule(3e-3, 0.0, updates * 16)
    return rl2(
        env, policy, optimizer=optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate, eps=1e-5)), trials=256,
        discount=0.95, gae_lambda=0.95, entropy_coef=optax.linear_schedule(0.3, 0.03, updates),
    )  # fmt: skip


def components(train: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both `[N, D]` in the first principal components of the former, `[N, SIZE]`, of mean length 1."""
    middle = train.mean(axis=0)
    _, _, axes = np.linalg.svd(train - middle, full_matrices=False)
    first, second = ((a - middle) @ axes[:SIZE].T for a in (train, others))
    length = np.linalg.norm(first, axis=1).mean()
    return first / length, second / length


def omniglot(run_dir: str, data_dir: str | None, encode: Encode = encoded) -> tuple[np.ndarray, np.ndarray]:
    """Features `[classes, 20, SIZE]` of background characters that have trained the encoder, and of new ones."""
    data = datasets.load("omniglot", data_dir)
    part = data.split("lake")
    parts: list[Ragged] = [data.examples[part.train], data.examples[part.test]]
    train, test = components(*(encode(run_dir, np.asarray(examples.rows)) for examples in parts))
    return train.reshape(len(parts[0]), -1, SIZE), test.reshape(len(parts[1]), -1, SIZE)


def measured(make: Any, train: Env, test: Env, config: Config, rows: Rows) -> dict[str, Any]:
    """Train an agent a seed, all in one program, then let each act on the same new streams."""
    agent, judge = make(train, config.updates), make(test, config.updates)
    keys = jax.vmap(jax.random.key)(np.arange(config.seeds))
    state, metrics = jax.vmap(lambda state: make_run(agent)(state, config.updates))(jax.vmap(agent.init)(keys))
    finite(np.asarray(metrics.loss), "the losses")

    def one(params: Any, key: Array) -> tuple[Array, Array, Array]:
        task_key, act_key = jax.random.split(key)
        task = test.sample_task(task_key)
        trial = judge.show(params, act_key, task)
        return trial.action[0], task.label, jnp.sum(trial.reward[0])

    def all_streams(params: Any) -> dict[str, Array]:
        act, label, total = jax.lax.map(partial(one, params), jax.random.split(jax.random.key(0x7E57), config.streams))
        ask = act == 3
        found = by_instance(act, label, classes=3)
        named = jnp.sum(act == label) / jnp.sum(~ask)
        return {"return": total.mean(), "requests": ask.mean(), "right": named,
                "asked_at": found.requests, "right_at": found.right}  # fmt: skip

    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(all_streams))(state.params))
    shares = {name: found[name].mean(axis=0)[:MOST].tolist() for name in ("asked_at", "right_at")}
    return {
        **{name: interval(found[name]) for name in ("return", "requests", "right")},
        **{name: [None if np.isnan(value) else value for value in values] for name, values in shares.items()},
    }


def study(config: Config) -> Study:
    """A row of each kind of classes; RunError for an encoder that can't be read, before anything is trained."""
    if config.encoder != "none":
        load_trained(config.encoder, "newest")
    env = label_or_ask()
    made: dict[str, Any] = {AT_SIGHT: partial(measured, at_sight, env, env, config)}
    if config.encoder != "none":
        made[OMNIGLOT] = partial(_omniglot, config)
    return Study(made, show)


def _omniglot(config: Config, rows: Rows) -> dict[str, Any]:
    train, test = (label_or_ask(jnp.asarray(z)) for z in omniglot(config.encoder, config.data_dir))
    return measured(of_features, train, test, config, rows)


def best() -> dict[str, Any]:
    """The exact row: what the best agent does that tells classes apart at sight."""
    value = asking_value()
    return {
        "return": value.total, "requests": value.requests / 30, "right": value.right / (30 - value.requests),
        "asked_at": [value.first_asked, *[0.0] * (MOST - 1)], "right_at": [1.0] * MOST,
    }  # fmt: skip


def show(rows: Rows) -> Shown:
    """Requests and accuracy, over all and by the number of an example in its class."""
    exact = best()
    head = ["", "return", "requests, %", "right of those named, %"]
    head += [f"{part} at {n}, %" for n in SHOWN for part in ("asked", "right")]

    def line(name: str, row: Any) -> list[str]:
        whole = [("return", 1, 3), ("requests", 100, 2), ("right", 100, 1)]
        cells = [
            plus_minus(scale * row[key]["mean"], scale * row[key]["ci95"], digits=digits)
            if isinstance(row[key], dict)
            else f"{scale * row[key]:.{digits}f}"
            for key, scale, digits in whole
        ]
        shares = (row[part][n - 1] for n in SHOWN for part in ("asked_at", "right_at"))
        return [name, *cells, *("-" if share is None else f"{100 * share:.1f}" for share in shares)]

    lines = [*(line(name, row) for name, row in rows.items()), line("best, exact", exact)]
    return Shown(markdown(head, lines), {"asking.png": partial(draw, {**rows, "best, exact": exact})})


def draw(rows: Rows, path: Path) -> Path:
    """Requests, and errors of those that are named, against the number of an example in its class."""
    figure = figure_maker()(8.0, 3.2)
    for axes, part, title in zip(figure.subplots(1, 2), ("asked_at", "right_at"), ("requests", "errors"), strict=True):
        for (name, row), color in zip(rows.items(), COLORS, strict=False):
            values = 100 * np.asarray(row[part], np.float64)
            axes.plot(range(1, MOST + 1), values if part == "asked_at" else 100 - values, "o-", color=color, label=name)
        axes.set(xlabel="example of its class", ylabel=f"{title}, %", ylim=(0, None))
    figure.axes[0].legend()
    return save(figure, path)


if __name__ == "__main__":
    program("rl.asking", Config, study)
