"""Meta-reinforcement learning as an experiment: from settings to an agent, its updates and its validation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmeta.errors import RunError, sentence
from jmeta.experiment import Experiment, Score, TrainState
from jmeta.rl.advantages import centered, normalized
from jmeta.rl.agent import Agent, RLMetrics
from jmeta.rl.baselines import linear_baseline, value_head
from jmeta.rl.envs import unit_actions
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.maml_rl import maml_rl
from jmeta.rl.outer import promp, trpo
from jmeta.rl.policies import Policy, attention_policy, gru_policy, mlp_policy, slots_policy
from jmeta.rl.rl2 import rl2
from jmeta.rl.rollout import inputs_size, see_all, see_observation
from jmeta.rl.settings import MAML, RL2, Layers, Memory, Returns, Settings, Updates
from jmeta.rl.surrogates import actor_critic, dice, lvc, ppo_clip, reinforce
from jmeta.rl.types import Env
from jmeta.types import Params

SCORE = "returns"  # what the best checkpoint is chosen by


def build(settings: Settings) -> Experiment:
    """The experiment that the settings describe.

    Its validation is the agent's test, on tasks that are the same for all checkpoints and are met nowhere else: of RL^2
    the total reward of a trial, of MAML that of an episode after the last inner step. What `setting` marks as swept may
    be traced.

    Raises:
        RunError: for settings that do not go together.
    """
    env = env_of(settings.env, settings.world)
    agent = agent_of(settings, env)
    samples = 1 if isinstance(settings.learner, RL2) else settings.learner.inner_steps + 1
    acts = settings.training.meta_batch_size * settings.learner.episodes * env.horizon * samples

    def update(state: TrainState, mesh: Mesh | None = None) -> tuple[TrainState, RLMetrics]:
        return (agent if mesh is None else agent_of(settings, env, mesh)).update(state)

    def validate(params: Params) -> dict[str, Array]:
        keys = validation_keys(settings.training.val_tasks)
        return {SCORE: counted(settings.learner, jax.vmap(lambda key: rewards_of(agent, env, params, key))(keys))}

    return Experiment(
        init=agent.init,
        update=update,
        validate=validate,
        score=Score(SCORE),
        steps=settings.training.updates,
        tasks=settings.training.meta_batch_size,
        light=True,
        counts={"tasks": settings.training.meta_batch_size, "env_steps": acts},
        smaller="give a smaller --meta-batch-size, --episodes or --val-tasks",
        facts={"horizon": env.horizon, "observation_size": env.observation_size, "action": env.action._asdict()},
        tasks_setting="meta_batch_size",
    )


def counted(learner: RL2 | MAML, rewards: Any) -> Any:
    """What counts of rewards `[..., rounds]`: their sum, or the last one where learning comes first."""
    return rewards.sum(axis=-1) if isinstance(learner, RL2) else rewards[..., -1]


def rewards_of(agent: Agent, env: Env, params: Params, key: Array) -> Array:
    """Rewards of each round of a new task, `[rounds]`."""
    task_key, act_key = jax.random.split(key)
    return agent.test(params, act_key, env.sample_task(task_key))


def validation_keys(tasks: int) -> Array:
    """Keys of held-out tasks, the same for all agents; the test has its own."""
    return jax.random.split(jax.random.key(0xA11DA7E), tasks)


def evaluation_keys(tasks: int) -> Array:
    """Keys of test tasks, the same for all agents."""
    return jax.random.split(jax.random.key(0x7E57), tasks)


def env_of(name: str, world: Any) -> Env:
    """The environment, checked, with real actions from -1 to 1; a `RunError` for a setting that it can't have."""
    try:
        return unit_actions(ENVIRONMENTS.get(name).make(world))
    except ValueError as error:
        raise RunError(sentence(error)) from error


def policy_of(network: Memory | Layers, env: Env, steps: int) -> Policy:
    """The policy that the settings describe, for trials of so many steps."""
    if isinstance(network, Layers):
        size = inputs_size(env, see_observation)
        return mlp_policy(size, env.action, units=(network.units,) * 2, log_std=network.log_std)
    of_memory = {
        "gru": gru_policy,
        "attention": partial(attention_policy, steps=steps),
        "slots": partial(slots_policy, observation=env.observation_size),
    }
    return of_memory[network.policy](inputs_size(env, see_all), env.action, units=network.units)


def agent_of(settings: Settings, env: Env, mesh: Mesh | None = None) -> Agent:
    """The algorithm that the settings describe; the devices of a mesh share the tasks of an update.

    Raises:
        RunError: for sizes that do not go together.
    """
    learner = settings.learner
    try:
        policy = policy_of(settings.network, env, learner.episodes * env.horizon)
        make: Callable[..., Agent] = _rl2 if isinstance(learner, RL2) else _maml
        return make(env, policy, learner, settings.returns, settings.training, over(mesh))
    except ValueError as error:
        raise RunError(sentence(error)) from error


def over(mesh: Mesh | None) -> Callable[[Any], Any]:
    """What lays arrays with a leading axis of tasks over the devices of a mesh, inside `jit`.

    Tasks that the devices do not divide, such as a minibatch, stay where the compiler wants them.
    """
    if mesh is None:
        return lambda tree: tree
    tasks = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))

    def place(array: Array) -> Array:
        return array if array.shape[0] % mesh.size else lax.with_sharding_constraint(array, tasks)

    return partial(jax.tree.map, place)


def _optimizer(training: Updates, steps: int) -> optax.GradientTransformation:
    linear = optax.linear_schedule(training.outer_lr, 0.0, training.updates * steps)
    rate = linear if training.outer_schedule == "linear" else training.outer_lr
    return optax.chain(optax.clip_by_global_norm(training.max_grad_norm), optax.adam(rate, eps=1e-5))


def _rl2(
    env: Env, policy: Policy, learner: RL2, returns: Returns, training: Updates, spread: Callable[[Any], Any]
) -> Agent:
    a2c = learner.objective == "a2c"
    epochs, minibatches = (1, 1) if a2c else (learner.epochs, learner.minibatches)
    return rl2(
        env,
        policy,
        optimizer=_optimizer(training, epochs * minibatches),
        episodes=learner.episodes,
        trials=training.meta_batch_size,
        objective=actor_critic() if a2c else ppo_clip(learner.clip),
        epochs=epochs,
        minibatches=minibatches,
        discount=returns.discount,
        gae_lambda=returns.gae_lambda,
        entropy_coef=optax.linear_schedule(learner.entropy_coef, learner.entropy_coef / 10, training.updates),
        value_coef=returns.value_coef,
        spread=spread,
    )


def rate_of(rates: Sequence[float], step: Any) -> Array:
    """The rate of an inner step, of those given; the last for all that are further."""
    return jnp.asarray(rates, jnp.float32)[jnp.minimum(step, len(rates) - 1)]


def _maml(
    env: Env, policy: Policy, learner: MAML, returns: Returns, training: Updates, spread: Callable[[Any], Any]
) -> Agent:
    surrogates = {"lvc": lvc, "dice": partial(dice, discount=returns.discount), "reinforce": reinforce}
    learned, test_lr = learner.baseline == "learned", learner.test_lr
    if learner.outer == "trpo":
        outer = trpo(max_kl=learner.max_kl)
    else:
        outer = promp(
            _optimizer(training, learner.epochs),
            objective=ppo_clip(learner.clip),
            epochs=learner.epochs,
            value_coef=returns.value_coef if learned else 0.0,
        )
    return maml_rl(
        env,
        policy,
        outer=outer,
        inner_lr=partial(rate_of, learner.inner_lr),
        inner_steps=learner.inner_steps,
        surrogate=surrogates[learner.surrogate](),
        baseline=value_head() if learned else linear_baseline(),
        inner_scale=centered if learner.inner_scale == "centered" else normalized,
        episodes=learner.episodes,
        tasks=training.meta_batch_size,
        discount=returns.discount,
        gae_lambda=returns.gae_lambda,
        credit=learner.credit,
        test_steps=learner.test_steps,
        test_episodes=learner.test_episodes,
        test_lr=None if test_lr is None else partial(rate_of, test_lr),
        spread=spread,
    )
