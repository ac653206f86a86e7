"""Settings of a run of meta-reinforcement learning, and from them to an agent."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

from jmeta.errors import RunError, sentence, unknown
from jmeta.rl.advantages import normalised
from jmeta.rl.agent import Agent
from jmeta.rl.baselines import linear_baseline, value_head
from jmeta.rl.envs import checked, env_named, unit_actions
from jmeta.rl.inner import centred
from jmeta.rl.maml_rl import maml_rl
from jmeta.rl.objectives import Objective, actor_critic, ppo_clip
from jmeta.rl.outer import promp, trpo
from jmeta.rl.policies import Policy, attention_policy, gru_policy, mlp_policy, slots_policy
from jmeta.rl.rl2 import rl2
from jmeta.rl.rollout import inputs_size, see_all, see_observation
from jmeta.rl.surrogates import dice, lvc, reinforce
from jmeta.rl.types import Env
from jmeta.runs import folder

ENV_SETTINGS = ("arms", "pulls", "p", "states", "actions", "horizon")
CHOICES: dict[str, tuple[str, ...]] = {
    "algorithm": ("rl2", "maml"),
    "policy": ("gru", "attention", "slots", "mlp"),
    "objective": ("ppo", "a2c"),
    "lr_schedule": ("constant", "linear"),
    "inner_scale": ("normalised", "centred"),
    "surrogate": ("lvc", "dice", "reinforce"),
    "baseline": ("linear", "learned"),
    "outer": ("promp", "trpo"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. What is not given is the default of the algorithm and the environment.

    Attributes:
        algorithm: rl2 (a policy that learns in its memory) or maml (a policy that learns by policy gradients).
        env: bandit, gaussian-bandit, dependent-bandit, mdp, navigation or cart-pole.
        arms: of a bandit.
        pulls: of a bandit's episode; for RL^2 and more than 30 of them other defaults are right, as --help then shows.
        p: of a dependent bandit, the probability of one arm, 1 - p that of the other; otherwise drawn from 0 to 1.
        states: of an MDP.
        actions: of an MDP.
        horizon: the most steps of an episode, of all but bandits.
        episodes: of a trial of RL^2; trajectories of each gradient of MAML.
        policy: gru, attention, slots (a memory written and read at what is seen, for an MDP), or mlp, which has no
            memory and is MAML's.
        units: size of the memory, or of each of the MLP's two layers.
        log_std: where the logarithm of the spread of real actions starts, in units in which they go from -1 to 1.
        tasks: of each update.
        objective: of RL^2: ppo, or a2c, which takes one step an update.
        clip: of PPO's ratio, here and in ProMP.
        epochs: of PPO, passes over what an update met.
        minibatches: of a pass.
        discount: of rewards.
        trace: lambda of the advantages.
        entropy: weight of the entropy at the start; it falls to a tenth in the course of the run.
        value_weight: weight of the error of the value.
        lr: of Adam.
        lr_schedule: constant, or linear, down to nothing.
        max_norm: that a gradient is cut to.
        inner_lr: of MAML's inner steps, a rate for each; further steps take the last.
        inner_scale: of the advantages in MAML's inner steps: normalised, or centred, which keeps their size.
        inner_steps: of MAML in training.
        test_steps: of MAML in the test.
        surrogate: of MAML's inner gradient: lvc, dice, or reinforce, whose second derivative is wrong.
        baseline: of MAML's advantages: linear in features of time and observation, or learned.
        outer: of MAML: promp (PPO with a penalty) or trpo.
        max_kl: of a step of TRPO, in nats.
        test_episodes: trajectories of each gradient of MAML in the test; otherwise episodes.
        test_lr: of MAML's inner steps in the test, as inner_lr; otherwise inner_lr.
        credit: add the term that credits MAML's sampling before adaptation (E-MAML).
        updates: of the run.
        log_every: updates of a row of metrics.jsonl.
        save_every: updates of a checkpoint.
        seeds: runs in one program.
        seed: of the first.
        run_dir: the folder of the run.
        resume: go on from the newest checkpoint.
    """

    algorithm: str = "rl2"
    env: str = "bandit"
    arms: int | None = None
    pulls: int | None = None
    p: float | None = None
    states: int | None = None
    actions: int | None = None
    horizon: int | None = None
    episodes: int = 1
    policy: str = "gru"
    units: int = 64
    log_std: float = 0.0
    tasks: int = 512
    objective: str = "ppo"
    clip: float = 0.2
    epochs: int = 4
    minibatches: int = 4
    discount: float = 1.0
    trace: float = 1.0
    entropy: float = 0.01
    value_weight: float = 0.5
    lr: float = 3e-3
    lr_schedule: str = "linear"
    max_norm: float = 1.0
    inner_lr: tuple[float, ...] = (0.1,)
    inner_scale: str = "normalised"
    inner_steps: int = 1
    test_steps: int = 3
    surrogate: str = "lvc"
    baseline: str = "linear"
    outer: str = "promp"
    max_kl: float = 0.01
    test_episodes: int | None = None
    test_lr: tuple[float, ...] | None = None
    credit: bool = False
    updates: int = 500
    log_every: int = 10
    save_every: int = 100
    seeds: int = 1
    seed: int = 0
    run_dir: str | None = None
    resume: bool = False


_BY_ENV: dict[tuple[str, str], dict[str, Any]] = {
    ("rl2", "bandit"): {"arms": 5, "pulls": 10, "updates": 1000},
    ("rl2", "gaussian-bandit"): {"arms": 5, "pulls": 10},
    ("rl2", "dependent-bandit"): {
        "pulls": 100, "units": 32, "tasks": 256, "discount": 0.8, "lr": 1e-2, "entropy": 0.05, "updates": 300,
    },
    ("rl2", "mdp"): {
        "states": 10, "actions": 5, "horizon": 10, "episodes": 10, "policy": "slots", "tasks": 1024, "discount": 0.95,
        "trace": 0.7, "lr": 2e-3, "entropy": 0.03, "updates": 150, "log_every": 5, "save_every": 10,
    },
    ("rl2", "navigation"): {"episodes": 2, "horizon": 20, "discount": 0.99, "trace": 0.95, "lr": 1e-3},
    ("maml", "navigation"): {
        "horizon": 100, "inner_lr": (0.45,), "test_lr": (0.4, 0.12, 0.05), "outer": "trpo", "tasks": 20,
        "test_episodes": 40, "updates": 200, "log_every": 5, "save_every": 20,
    },
    ("maml", "cart-pole"): {
        "inner_lr": (0.5,), "trace": 0.97, "tasks": 20, "lr_schedule": "linear", "updates": 12, "log_every": 2,
        "save_every": 6,
    },
    ("rl2", "cart-pole"): {"episodes": 2, "horizon": 100, "discount": 0.99, "trace": 0.95, "lr": 1e-3, "tasks": 128},
}  # fmt: skip
_MANY_PULLS = 30
_OF_MANY_PULLS: dict[str, Any] = {"tasks": 1024, "discount": 0.99, "trace": 0.95, "entropy": 0.03}
"""For bandits on which what a pull teaches pays for long: all rewards to come would be mostly noise."""
_OF_MAML: dict[str, Any] = {
    "policy": "mlp", "episodes": 20, "tasks": 40, "discount": 0.99, "trace": 1.0, "lr": 1e-3, "epochs": 5,
    "lr_schedule": "constant", "updates": 300,
}  # fmt: skip


def defaults(algorithm: str = "rl2", env: str = "bandit", pulls: int | None = None) -> Config:
    """Settings to start from, for an algorithm on an environment, and of a bandit for its length."""
    start = dataclasses.replace(Config(), algorithm=algorithm, env=env)
    if algorithm == "maml":
        start = dataclasses.replace(start, **_OF_MAML)
    own = _BY_ENV.get((algorithm, env), {})
    if (algorithm, env) == ("rl2", "bandit") and pulls is not None:
        own = own | {"pulls": pulls} | (_OF_MANY_PULLS if pulls > _MANY_PULLS else {})
    return dataclasses.replace(start, **own)


def restored(stored: dict[str, Any]) -> Config:
    """The settings that a run folder's config.json holds; what is not a setting is passed over."""
    names = {field.name for field in dataclasses.fields(Config)}
    own: dict[str, Any] = {}
    for name in names & stored.keys():
        value = stored[name]
        own[name] = tuple(value) if isinstance(value, list) else value
    return Config(**own)


def start(words: Sequence[str]) -> Config:
    """What a command line stands on: the settings of the run that it resumes, or else the defaults of the algorithm and
    the environment that it names.

    Raises:
        RunError: if the settings of the run can't be read.
    """
    pulls = _said(words, "--pulls", "")
    own = defaults(
        _said(words, "--algorithm", "rl2"), _said(words, "--env", "bandit"), int(pulls) if pulls.isdecimal() else None
    )
    stored = folder_of(dataclasses.replace(own, run_dir=_said(words, "--run-dir", "") or None)) / folder.CONFIG
    return restored(folder.read_json(stored)) if "--resume" in words and stored.exists() else own


def folder_of(config: Config) -> Path:
    """The folder of the run."""
    return Path(config.run_dir or f"runs/{config.algorithm}-{config.env}")


def _said(words: Sequence[str], flag: str, otherwise: str) -> str:
    for i, word in enumerate(words):
        if word == flag and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return otherwise


def check(config: Config) -> None:
    """Refuse settings that make no sense.

    Raises:
        RunError: naming one.
    """
    for name, known in CHOICES.items():
        if getattr(config, name) not in known:
            raise unknown(name.replace("_", " "), getattr(config, name), known)
    for name in ("episodes", "tasks", "epochs", "minibatches", "units", "updates", "log_every", "save_every", "seeds"):
        if getattr(config, name) < 1:
            raise RunError(f"--{name.replace('_', '-')} must be 1 or more, got {getattr(config, name)}.")
    for name, rates in (("inner-lr", config.inner_lr), ("test-lr", config.test_lr)):
        if rates is not None and not (rates and all(0 < rate < float("inf") for rate in rates)):
            raise RunError(f"--{name} must be one rate or more, each above 0 and finite, got {rates}.")
    if config.test_episodes is not None and config.test_episodes < 1:
        raise RunError(f"--test-episodes must be 1 or more, got {config.test_episodes}.")
    for name in ("lr", "max_norm", "clip"):
        if not 0 < getattr(config, name) < float("inf"):
            raise RunError(f"--{name.replace('_', '-')} must be above 0 and finite, got {getattr(config, name)}.")
    for name in ("entropy", "value_weight"):
        if not 0 <= getattr(config, name) < float("inf"):
            raise RunError(f"--{name.replace('_', '-')} must be 0 or more and finite, got {getattr(config, name)}.")
    for name in ("discount", "trace"):
        if not 0 <= getattr(config, name) <= 1:
            raise RunError(f"--{name} must be in 0 to 1, got {getattr(config, name)}.")
    if config.save_every % config.log_every:
        raise RunError(f"--save-every must be a multiple of --log-every, {config.log_every}, got {config.save_every}.")
    if config.algorithm == "maml" and config.policy != "mlp":
        raise RunError(f"maml adapts by gradients and not in a memory: --policy must be mlp, got {config.policy}.")
    if config.algorithm == "rl2" and config.policy == "mlp":
        raise RunError("rl2 learns in a memory, which an mlp does not have: choose --policy gru, attention or slots.")


def env_of(config: Config) -> Env:
    """The environment, checked, with real actions from -1 to 1.

    Raises:
        RunError: for a name or a setting that it does not have.
    """
    given = {name: getattr(config, name) for name in ENV_SETTINGS if getattr(config, name) is not None}
    try:
        return unit_actions(checked(env_named(config.env, **given)))
    except ValueError as error:
        raise RunError(sentence(error)) from error


def policy_of(config: Config, env: Env) -> Policy:
    """The policy that the settings describe."""
    size = inputs_size(env, see_observation if config.algorithm == "maml" else see_all)
    if config.policy == "mlp":
        return mlp_policy(size, env.action, units=(config.units,) * 2, log_std=config.log_std)
    if config.policy == "attention":
        return attention_policy(size, env.action, steps=config.episodes * env.horizon, units=config.units)
    if config.policy == "slots":
        if not env.observation_size:
            raise RunError(f"{config.env} shows nothing to remember things by: choose --policy gru or attention.")
        return slots_policy(size, env.action, observation=env.observation_size, units=config.units)
    return gru_policy(size, env.action, units=config.units)


def steps_an_update(config: Config) -> int:
    """Gradient steps of an update of RL^2."""
    return 1 if config.objective == "a2c" else config.epochs * config.minibatches


def agent_of(config: Config, env: Env) -> Agent:
    """The algorithm that the settings describe.

    Raises:
        RunError: for sizes that do not go together.
    """
    try:
        return _rl2(config, env) if config.algorithm == "rl2" else _maml(config, env)
    except ValueError as error:
        raise RunError(sentence(error)) from error


def _optimizer(config: Config, steps: int) -> optax.GradientTransformation:
    linear = optax.linear_schedule(config.lr, 0.0, config.updates * steps)
    rate = linear if config.lr_schedule == "linear" else config.lr
    return optax.chain(optax.clip_by_global_norm(config.max_norm), optax.adam(rate, eps=1e-5))


def _rl2(config: Config, env: Env) -> Agent:
    objectives: dict[str, Objective] = {"ppo": ppo_clip(config.clip), "a2c": actor_critic()}
    passes = {"epochs": 1, "minibatches": 1} if config.objective == "a2c" else {
        "epochs": config.epochs, "minibatches": config.minibatches
    }  # fmt: skip
    return rl2(
        env,
        policy_of(config, env),
        optimizer=_optimizer(config, steps_an_update(config)),
        episodes=config.episodes,
        trials=config.tasks,
        objective=objectives[config.objective],
        discount=config.discount,
        trace=config.trace,
        entropy=optax.linear_schedule(config.entropy, config.entropy / 10, config.updates),
        value_weight=config.value_weight,
        **passes,
    )


def rate_of(rates: Sequence[float], step: Any) -> Array:
    """The rate of an inner step, of those given; the last for all that are further."""
    return jnp.asarray(rates, jnp.float32)[jnp.minimum(step, len(rates) - 1)]


def _maml(config: Config, env: Env) -> Agent:
    surrogates = {"lvc": lvc(), "dice": dice(discount=config.discount), "reinforce": reinforce()}
    learned = config.baseline == "learned"
    test_lr = config.test_lr
    rule = trpo(max_kl=config.max_kl) if config.outer == "trpo" else promp(
        _optimizer(config, config.epochs), objective=ppo_clip(config.clip), epochs=config.epochs,
        value_weight=config.value_weight if learned else 0.0,
    )  # fmt: skip
    return maml_rl(
        env,
        policy_of(config, env),
        outer=rule,
        inner_lr=lambda step: rate_of(config.inner_lr, step),
        inner_steps=config.inner_steps,
        surrogate=surrogates[config.surrogate],
        baseline=value_head() if learned else linear_baseline(),
        inner_scale=centred if config.inner_scale == "centred" else normalised,
        episodes=config.episodes,
        tasks=config.tasks,
        discount=config.discount,
        trace=config.trace,
        credit=config.credit,
        test_steps=config.test_steps,
        test_episodes=config.test_episodes,
        test_lr=None if test_lr is None else lambda step: rate_of(test_lr, step),
    )
