"""Meta-reinforcement learning: environments, agents that learn to learn in them, and exact answers to compare with.

An environment is an `Env`: a few facts and three pure functions, whose `task` is what an agent does not see and has to
find out. A user's own is as good as those of `envs`; Gymnasium's and gymnax's come in by `from_gymnasium` and
`from_gymnax`.

    sample_task(key) -> task                             any pytree of arrays, such as which door has the prize
    reset(key, task) -> (state, observation)             the start of an episode; observation is float32 [D]
    step(key, state, action, task) -> (state, Step)      Step(observation, reward, done)

An agent is made of an environment and a policy by `rl2`, which learns in its memory, or by `maml_rl`, which learns by
policy gradients. It is an `Agent` of pure functions too: `init(key)`, `update(state)`, `test(params, key, task)`.
`make_run` trains one, or many by `vmap`, as one program, and `exact` says what the best possible agent gets.

Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import optax
    >>> from jmeta import rl
    >>> nothing = jnp.zeros(0)  # is seen of two doors, of which one pays
    >>> pay = lambda door, task: jnp.float32(door == task)
    >>> env = rl.Env(
    ...     sample_task=lambda key: jax.random.randint(key, (), 0, 2),
    ...     reset=lambda key, task: (jnp.int32(0), nothing),
    ...     step=lambda key, tries, door, task: (tries + 1, rl.Step(nothing, pay(door, task), tries + 1 >= 3)),
    ...     action=rl.Discrete(2), observation_size=0, horizon=3, reward_range=(0.0, 1.0),
    ... )
    >>> policy = rl.policies.gru_policy(rl.inputs_size(env, rl.see_all), env.action, units=4)
    >>> agent = rl.rl2(rl.checked(env), policy, optimizer=optax.adam(0.01), trials=8)
    >>> state, metrics = rl.make_run(agent)(agent.init(jax.random.key(0)), 2)  # 2 updates of 8 trials
    >>> metrics.returns.shape, agent.test(state.params, jax.random.key(1), jnp.int32(0)).shape
    ((2,), (1,))

On the command line it is `jmeta rl train --env mine.py:env`. `docs/agents.md` goes on from here.
"""

from jmeta.rl import envs, exact, policies
from jmeta.rl.agent import Agent, RLMetrics, make_run
from jmeta.rl.baselines import linear_baseline, no_baseline, value_head
from jmeta.rl.envs import checked, from_gymnasium, from_gymnax
from jmeta.rl.maml_rl import maml_rl
from jmeta.rl.outer import promp, trpo
from jmeta.rl.policies import Decision, Policy
from jmeta.rl.rl2 import rl2
from jmeta.rl.rollout import Trajectory, inputs_size, rollout, see_all, see_observation, total_reward
from jmeta.rl.surrogates import actor_critic, dice, lvc, ppo_clip, reinforce
from jmeta.rl.types import Box, Discrete, Env, Step

__all__ = [
    "Agent", "Box", "Decision", "Discrete", "Env", "Policy", "RLMetrics", "Step", "Trajectory", "actor_critic",
    "checked", "dice", "envs", "exact", "from_gymnasium", "from_gymnax", "inputs_size", "linear_baseline", "lvc",
    "make_run", "maml_rl", "no_baseline", "policies", "ppo_clip", "promp", "reinforce", "rl2", "rollout", "see_all",
    "see_observation", "total_reward", "trpo", "value_head",
]  # fmt: skip
