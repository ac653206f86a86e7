"""Steps of environments a second, alone and within RL^2, beside other libraries where they have the same environment.

    python -m benchmarks.rl_steps

Many episodes side by side take steps with random actions in one compiled program, and start anew where they are done,
as gymnax does by itself. All programs are compiled first, which is timed apart, and then take turns; a rate is the
median of the rounds. Gymnasium steps one environment in Python, and its CartPole-v1 also many in NumPy.

An update of RL^2 acts in new tasks with a GRU of 64 units and takes 16 steps of PPO on what it met; a step of the
environment counts once.
"""

import argparse
import importlib.metadata
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jmeta.rl import envs
from jmeta.rl.policies import gru_policy
from jmeta.rl.rl2 import rl2
from jmeta.rl.rollout import inputs_size, see_all
from jmeta.rl.types import Env

ENVS: dict[str, Callable[[], Env]] = {
    "Bernoulli bandit, 2 dependent arms": lambda: envs.dependent_bandit(p=0.1),
    "Bernoulli bandit, 10 arms": lambda: envs.bernoulli_bandit(arms=10, pulls=100),
    "Gaussian bandit, 2 arms": lambda: envs.gaussian_bandit(arms=2, pulls=100),
    "Tabular MDP, 10 states": lambda: envs.tabular_mdp(),
    "2D navigation": lambda: envs.point_navigation(),
    "Cart-pole": lambda: envs.cart_pole(horizon=500, mass=(0.1, 0.1), length=(0.5, 0.5)),
}

OF_GYMNAX = {
    "Bernoulli bandit, 2 dependent arms": "BernoulliBandit-misc",
    "Gaussian bandit, 2 arms": "GaussianBandit-misc",
    "Cart-pole": "CartPole-v1",
}


OF_RL2 = ("Bernoulli bandit, 2 dependent arms", "Tabular MDP, 10 states", "Cart-pole")


class Row(NamedTuple):
    """One program.

    Attributes:
        environment: its name.
        library: whose it is.
        run: takes `steps` steps.
        steps: how many these are.
        compile_s: seconds to compile it, None where nothing is.
    """

    environment: str
    library: str
    run: Callable[[], Any]
    steps: int
    compile_s: float | None


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Steps of environments a second.")
    parser.add_argument("--parallel", type=int, default=2048, help="episodes side by side")
    parser.add_argument("--steps", type=int, default=200, help="steps of each")
    parser.add_argument("--rounds", type=int, default=7, help="the median of which is taken")
    args = parser.parse_args()
    rows, missing = programs(args.parallel, args.steps)
    rates = measure(rows, args.rounds)

    print(f"{platform.machine()}, {len(jax.devices())} x {jax.devices()[0].device_kind}, jax {jax.__version__};")
    print(f"{args.parallel} episodes x {args.steps} steps, median of {args.rounds} rounds.\n")
    print("| environment | library | million steps a second | fastest, slowest round | compile, s |")
    print("|---|---|---:|---:|---:|")
    for row, rate in zip(rows, rates, strict=True):
        middle, least, most = statistics.median(rate), min(rate), max(rate)
        seconds = "" if row.compile_s is None else f"{row.compile_s:.2f}"
        print(f"| {row.environment} | {row.library} | {middle:.3g} | {most:.3g}, {least:.3g} | {seconds} |")
    for line in missing:
        print(f"\nLeft out: {line}.")


def programs(parallel: int, steps: int) -> tuple[list[Row], list[str]]:
    """All programs, compiled, and what is left out."""
    rows, missing = [], []
    for name, make in ENVS.items():
        rows.append(compiled(name, "jmeta", ours(make(), steps), parallel, steps))
        if name in OF_GYMNAX:
            if importlib.util.find_spec("gymnax") is None:
                missing.append(f"{name}: no gymnax, which is not installed")
            else:
                theirs = gymnax_run(OF_GYMNAX[name], steps)
                rows.append(compiled(name, f"gymnax {version('gymnax')}", theirs, parallel, steps))
    for name in OF_RL2:
        rows.append(rl2_update(name, "jmeta", ENVS[name](), parallel // 4))
        if name in OF_GYMNAX and importlib.util.find_spec("gymnax") is not None:
            import gymnax  # pyright: ignore[reportMissingImports]

            theirs = envs.from_gymnax(*gymnax.make(OF_GYMNAX[name]))
            rows.append(rl2_update(name, f"gymnax {version('gymnax')}", theirs, parallel // 4))
    if importlib.util.find_spec("gymnasium") is None:
        missing.append("Cart-pole: no Gymnasium, which is not installed")
    else:
        rows.extend(gymnasium_rows(parallel, steps))
    return rows, missing


def version(package: str) -> str:
    """The version that is installed."""
    return importlib.metadata.version(package)


def compiled(environment: str, library: str, run: Callable[[Array], Array], parallel: int, steps: int) -> Row:
    """Compile a run of one episode after another, for many side by side."""
    keys = jax.random.split(jax.random.key(0), parallel)
    start = time.perf_counter()
    program = jax.jit(jax.vmap(run)).lower(keys).compile()
    seconds = time.perf_counter() - start
    return Row(environment, library, lambda: jax.block_until_ready(program(keys)), parallel * steps, seconds)


def ours(env: Env, steps: int) -> Callable[[Array], Array]:
    """`key -> sum of what was seen`, of one task."""

    def run(key: Array) -> Array:
        of_task, of_start, of_steps = jax.random.split(key, 3)
        task = env.sample_task(of_task)

        def body(state: Any, key: Array) -> tuple[Any, Array]:
            of_action, of_step, of_reset = jax.random.split(key, 3)
            after, step = env.step(of_step, state, envs.random_action(of_action, env), task)
            fresh, first = env.reset(of_reset, task)
            state = jax.tree.map(lambda new, old: jnp.where(step.done, new, old), fresh, after)
            seen = jnp.where(step.done, first, step.observation)
            return state, jnp.sum(seen) + step.reward

        return jnp.sum(lax.scan(body, env.reset(of_start, task)[0], jax.random.split(of_steps, steps))[1])

    return run


def gymnax_run(name: str, steps: int) -> Callable[[Array], Array]:
    """The same of gymnax, whose `step` starts anew by itself."""
    import gymnax  # pyright: ignore[reportMissingImports]

    env, params = gymnax.make(name)
    space = env.action_space(params)

    def run(key: Array) -> Array:
        of_start, of_steps = jax.random.split(key)
        state = jax.tree.map(jnp.asarray, env.reset(of_start, params)[1])

        def body(state: Any, key: Array) -> tuple[Any, Array]:
            of_action, of_step = jax.random.split(key)
            seen, after, reward, _, _, _ = env.step(of_step, state, space.sample(of_action), params)
            after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)
            return after, jnp.sum(seen) + reward

        return jnp.sum(lax.scan(body, state, jax.random.split(of_steps, steps))[1])

    return run


def rl2_update(name: str, library: str, env: Env, trials: int) -> Row:
    """An update of RL^2 on new tasks."""
    policy = gru_policy(inputs_size(env, see_all), env.action, units=64)
    agent = rl2(env, policy, optimizer=optax.adam(1e-3), trials=trials, epochs=4, minibatches=4)
    state = agent.init(jax.random.key(0))
    start = time.perf_counter()
    program = jax.jit(agent.update).lower(state).compile()
    seconds = time.perf_counter() - start
    run = lambda: jax.block_until_ready(program(state))
    return Row(f"RL^2 update: {name}", library, run, trials * env.horizon, seconds)


def gymnasium_rows(parallel: int, steps: int) -> list[Row]:
    """Gymnasium's cart-pole, one in Python, and many in NumPy."""
    import gymnasium  # pyright: ignore[reportMissingImports]

    rng = np.random.default_rng(0)
    one = gymnasium.make("CartPole-v1")
    many = gymnasium.make_vec("CartPole-v1", num_envs=parallel, vectorization_mode="vector_entry_point")
    count = 20_000
    actions = rng.integers(0, 2, count)
    blocks = rng.integers(0, 2, (steps, parallel))

    def loop() -> None:
        one.reset(seed=0)
        for action in actions:
            if any(one.step(action)[2:4]):
                one.reset()

    def vector() -> None:
        many.reset(seed=0)
        for block in blocks:
            many.step(block)

    library = f"Gymnasium {version('gymnasium')}"
    return [
        Row("Cart-pole", f"{library}, one in Python", loop, count, None),
        Row("Cart-pole", f"{library}, many in NumPy", vector, parallel * steps, None),
    ]


def measure(rows: list[Row], rounds: int) -> list[list[float]]:
    """Million steps a second of each round, of each row; once before that does not count, and all rows take turns."""
    rates: list[list[float]] = [[] for _ in rows]
    for number in range(rounds + 1):
        for row, rate in zip(rows, rates, strict=True):
            start = time.perf_counter()
            row.run()
            if number:
                rate.append(row.steps / (time.perf_counter() - start) / 1e6)
    return rates


if __name__ == "__main__":
    main()
