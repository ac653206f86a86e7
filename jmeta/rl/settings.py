"""Settings of meta-reinforcement learning: small types, of which each algorithm and environment has its own."""

import dataclasses
from typing import Any

from jmeta.errors import RunError, unknown
from jmeta.registry import spelled
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.envs.settings import Arms
from jmeta.settings import check as check_each
from jmeta.settings import flag, names, replaced, setting

POLICIES = ("gru", "attention", "slots", "mlp")


@dataclasses.dataclass(frozen=True)
class Memory:
    """A policy that remembers.

    Attributes:
        policy: gru, attention, or slots (a memory written and read at what is seen, for an MDP).
        units: size of the memory.
    """

    policy: str = setting("gru", choices=POLICIES)
    units: int = setting(64, least=1)


@dataclasses.dataclass(frozen=True)
class Layers:
    """A policy without memory.

    Attributes:
        policy: mlp, which is for an algorithm that adapts by gradients.
        units: size of each of its two layers.
        log_std: where the logarithm of the spread of real actions starts, in units in which they go from -1 to 1.
    """

    policy: str = setting("mlp", choices=POLICIES)
    units: int = setting(64, least=1)
    log_std: float = 0.0


@dataclasses.dataclass(frozen=True)
class RL2:
    """A policy that learns in its memory.

    Attributes:
        episodes: of a trial.
        objective: ppo, or a2c, which takes one step an update.
        clip: of PPO's ratio.
        epochs: of PPO, passes over what an update met.
        minibatches: of a pass.
        entropy_coef: weight of the entropy at the start; it falls to a tenth in the course of the run.
    """

    episodes: int = setting(1, least=1)
    objective: str = setting("ppo", choices=("ppo", "a2c"))
    clip: float = setting(0.2, above=0)
    epochs: int = setting(4, least=1)
    minibatches: int = setting(4, least=1)
    entropy_coef: float = setting(0.01, least=0, swept=True)


@dataclasses.dataclass(frozen=True)
class MAML:
    """A policy that learns by policy gradients.

    Attributes:
        episodes: trajectories of each gradient.
        inner_lr: of the inner steps, a rate for each; further steps take the last.
        inner_scale: of the advantages in the inner steps: normalized, or centered, which keeps their size.
        inner_steps: in training.
        surrogate: of the inner gradient: lvc, dice, or reinforce, whose second derivative is wrong.
        baseline: of the advantages: linear in features of time and observation, or learned.
        credit: add the term that credits the sampling before adaptation (E-MAML).
        test_steps: inner steps of the test.
        test_episodes: trajectories of each gradient in the test; otherwise episodes.
        test_lr: of the inner steps in the test, as inner_lr; otherwise inner_lr.
        outer: promp (PPO with a penalty) or trpo.
        clip: of ProMP's ratio.
        epochs: of ProMP, steps of an update.
        max_kl: of a step of TRPO, in nats.
    """

    episodes: int = setting(20, least=1)
    inner_lr: tuple[float, ...] = setting((0.1,), above=0)
    inner_scale: str = setting("normalized", choices=("normalized", "centered"))
    inner_steps: int = setting(1, least=0)
    surrogate: str = setting("lvc", choices=("lvc", "dice", "reinforce"))
    baseline: str = setting("linear", choices=("linear", "learned"))
    credit: bool = False
    test_steps: int = setting(3, least=0)
    test_episodes: int | None = setting(None, least=1)
    test_lr: tuple[float, ...] | None = setting(None, above=0)
    outer: str = setting("promp", choices=("promp", "trpo"))
    clip: float = setting(0.2, above=0)
    epochs: int = setting(5, least=1)
    max_kl: float = setting(0.01, above=0)


@dataclasses.dataclass(frozen=True)
class Returns:
    """What an action is credited with.

    Attributes:
        discount: of rewards.
        gae_lambda: lambda of the advantages.
        value_coef: weight of the error of the value.
    """

    discount: float = setting(1.0, least=0, most=1, swept=True)
    gae_lambda: float = setting(1.0, least=0, most=1, swept=True)
    value_coef: float = setting(0.5, least=0, swept=True)


@dataclasses.dataclass(frozen=True)
class Updates:
    """The outer loop.

    Attributes:
        meta_batch_size: tasks of each update, all of them new.
        val_tasks: on which a checkpoint is measured, the same ones for each; the best is kept.
        updates: of the run.
        outer_lr: of Adam.
        outer_schedule: constant, or linear, down to nothing.
        max_grad_norm: that a gradient is cut to.
    """

    meta_batch_size: int = setting(512, least=1)
    val_tasks: int = setting(256, least=1)
    updates: int = setting(500, least=1, grows=True)
    outer_lr: float = setting(3e-3, above=0, swept=True)
    outer_schedule: str = setting("linear", choices=("constant", "linear"))
    max_grad_norm: float = setting(1.0, above=0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """A run of meta-reinforcement learning.

    Attributes:
        algorithm: rl2 (a policy that learns in its memory) or maml (a policy that learns by policy gradients).
        env: bandit, gaussian-bandit, dependent-bandit, label-or-ask, mdp, navigation, semi-circle, cart-pole,
            gymnasium:NAME and gymnax:NAME of other libraries (jmeta[rl]), or FILE.py:NAME or MODULE:NAME, your own;
            `jmeta list environments`.
        world: what the environment has to set.
        network: the policy, `Memory` or `Layers`.
        learner: what the algorithm has to set, `RL2` or `MAML`.
        returns: what both have.
        training: the outer loop.
    """

    algorithm: str = "rl2"
    env: str = "bandit"
    world: Any = dataclasses.field(default_factory=Arms)
    network: Any = Memory()
    learner: Any = RL2()
    returns: Returns = Returns()
    training: Updates = Updates()


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are, and their defaults; the names are those of `Settings` and `Arms`."""

    algorithm: str = "rl2"
    env: str = "bandit"
    pulls: int | None = None


START = {"rl2": (Memory(), RL2()), "maml": (Layers(), MAML())}
_MANY_PULLS = 30
# For bandits on which what a pull teaches pays for long: all rewards to come would be mostly noise.
_OF_MANY_PULLS: dict[str, Any] = {"meta_batch_size": 1024, "discount": 0.99, "gae_lambda": 0.95, "entropy_coef": 0.03}
_OF_MAML: dict[str, Any] = {
    "meta_batch_size": 40, "val_tasks": 20, "discount": 0.99, "outer_lr": 1e-3, "outer_schedule": "constant",
    "updates": 300,
}  # fmt: skip


def defaults(choice: Choice = Choice()) -> Settings:
    """Settings to start from, for an algorithm on an environment, and of a bandit for its length."""
    if choice.algorithm not in START:
        raise unknown("algorithm", choice.algorithm, START)
    row, env = ENVIRONMENTS.get(choice.env), spelled(choice.env)
    network, learner = START[choice.algorithm]
    start = Settings(choice.algorithm, env, row.settings(), network, learner)
    own = {name: v for name, v in row.start.get(choice.algorithm, {}).items() if name in names(start)}
    if choice.algorithm == "maml":
        own = _OF_MAML | own
    if (choice.algorithm, env) == ("rl2", "bandit") and choice.pulls is not None:
        own = own | {"pulls": choice.pulls} | (_OF_MANY_PULLS if choice.pulls > _MANY_PULLS else {})
    return replaced(start, own)


def check(settings: Settings) -> None:
    """Refuse values that make no sense, alone or together, with a `RunError` that names one."""
    check_each(settings)
    policy, learner = settings.network.policy, settings.learner
    for name in ("inner_lr", "test_lr"):
        if getattr(learner, name, None) == ():
            raise RunError(f"{flag(name)} must be one rate or more, got none: give the rate of the first inner step.")
    if isinstance(learner, MAML) and policy != "mlp":
        raise RunError(f"maml adapts by gradients and not in a memory: --policy must be mlp, got {policy}.")
    if isinstance(learner, RL2) and policy == "mlp":
        raise RunError("rl2 learns in a memory, which an mlp does not have: choose --policy gru, attention or slots.")
    if policy == "slots" and ENVIRONMENTS.get(settings.env).blind:
        raise RunError(f"{settings.env} shows nothing to remember things by: choose --policy gru or attention.")
