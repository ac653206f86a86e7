"""Learned optimization where the answer is known: schedules beside the best polynomial, estimators of the meta-gradient
on influence balancing, and rules on random least squares beside the best fixed linear method."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta.optimizers import exact, fit, rules
from jmeta.optimizers.estimators import es, full_backprop, noise_reuse, pes, truncated_backprop
from jmeta.optimizers.evaluation import BASELINES, curves, tuned
from jmeta.optimizers.problems import least_squares, quadratic, released_least_squares
from jmeta.optimizers.types import Estimator, Problem, Rule
from jmeta.optimizers.unroll import last, unroll
from jmeta.report.figures import BAD, COLORS, FAINT, GOOD, INK, figure_maker, save
from jmeta.settings import setting
from scripts.study import Shown, Study, finite, interval, markdown, program

STEPS, HORIZON, WINDOW, SIGMA, PAIRS = 100, 100, 20, 0.1, 64
MOST = 1e12
LENGTHS = (1, 2, 3, 5, 10)
START = 0.5
SYSTEM = exact.influence_balancing(horizon=HORIZON)
ESTIMATORS: dict[str, Estimator] = {
    "full backpropagation": full_backprop(SYSTEM),
    f"truncated, {WINDOW} steps": truncated_backprop(SYSTEM, steps=WINDOW),
    "ES": es(SYSTEM, sigma=SIGMA),
    f"PES, {WINDOW} steps": pes(SYSTEM, sigma=SIGMA, steps=WINDOW),
    f"noise reuse, {WINDOW} steps": noise_reuse(SYSTEM, sigma=SIGMA, steps=WINDOW),
}
SQUARES: dict[str, tuple[Callable[[], Problem], float]] = {
    "U(0, 1)": (released_least_squares, 0.025),
    "N(0, 1)": (least_squares, 0.016),
}
"""The problem, and the rate of gradient descent that rules begin from."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        steps: of meta-training, of each schedule and rule.
        seeds: of each.
        problems: new ones that rules are measured on.
        draw: draw the pictures, which needs matplotlib.
    """

    run_dir: str = "runs/optimizers-exact"
    steps: int = setting(1000, least=1)
    seeds: int = setting(3, least=1)
    problems: int = setting(2000, least=2)
    draw: bool = setting(True, place=True)


def schedule(config: Config, length: int, rows: Mapping[str, Any]) -> dict[str, Any]:
    """What a learned schedule comes to, computed exactly from its rates."""
    spectrum, losses, rates = exact.uniform_spectrum(), [], []
    rule = rules.schedule(np.geomspace(1.0, 2.0, length))
    system = unroll(quadratic(dimension=256), rule, horizon=length, weight=last)
    adam = optax.adam(optax.cosine_decay_schedule(0.02, config.steps))
    for seed in range(config.seeds):
        one, other = jax.random.split(jax.random.key(seed))
        theta, _ = fit(
            full_backprop(system), rule.init(one, None), adam, other, steps=config.steps, tasks=32, horizon=length
        )
        rates.append(np.sort(np.exp(finite(theta, "rates"))).tolist())
        losses.append(exact.loss_of(spectrum, rates[-1]))
    return {
        "learned": losses, "rates": rates, "optimum": exact.uniform_optimum(length),
        "constant": exact.best_constant(spectrum, length)[1],
        "heavy ball": exact.best_heavy_ball(spectrum, length)[2],
    }  # fmt: skip


def balanced(config: Config, name: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Theta along the steps of Adam by the mean of many estimates, as often as there are steps."""
    estimator, adam = ESTIMATORS[name], optax.adam(0.01)

    def walk(key: Array) -> Array:
        one, other = jax.random.split(key)
        states = jax.vmap(estimator.init, (None, 0))(jnp.float32(START), jax.random.split(one, PAIRS))

        def body(carry: Any, key: Array) -> Any:
            theta, opt_state, states = carry
            grads, states, _ = jax.vmap(estimator.estimate, (0, None, 0))(states, theta, jax.random.split(key, PAIRS))
            updates, opt_state = adam.update(jnp.mean(grads), opt_state, theta)
            return (optax.apply_updates(theta, updates), opt_state, states), theta

        begun = (jnp.float32(START), adam.init(jnp.float32(START)), states)
        return jax.lax.scan(body, begun, jax.random.split(other, config.steps))[1]

    thetas = jax.jit(lambda keys: jax.lax.map(walk, keys))(jax.random.split(jax.random.key(0), config.seeds))
    thetas = finite(thetas, "thetas")
    tail = thetas[:, -max(config.steps // 4, 1) :].mean(axis=1)
    return {"theta": thetas[:, :: max(config.steps // 200, 1)].tolist(), "end": tail.tolist()}


def learned(config: Config, which: str, kind: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """The mean loss after each step of a rule that was trained in windows, on new problems."""
    make, rate = SQUARES[which]
    problem, added = make(), partial(rules.added, rules.schedule([rate]))
    rule: Rule = {"LSTM": added(rules.lstm(step_scale=0.1)), "MLP": added(rules.mlp(step_scale=0.1))}[kind]
    estimator = truncated_backprop(unroll(problem, rule, horizon=STEPS), steps=WINDOW)
    adam = optax.adam(optax.cosine_decay_schedule(3e-3, config.steps))
    outer = optax.chain(
        optax.zero_nans(), optax.clip_by_global_norm(1.0), adam
    )  # an unroll that overflows says nothing
    found = []
    for seed in range(config.seeds):
        one, other = jax.random.split(jax.random.key(seed))
        theta = rule.init(one, jnp.zeros(10))
        theta, _ = fit(estimator, theta, outer, other, steps=config.steps, tasks=32, horizon=STEPS)
        found.append(_mean_curve(config, problem, rule.make, theta))
    return {"curves": found}


def fixed(config: Config, which: str, name: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a rule of Optax, at the best of ten rates on other problems."""
    (problem_of, rate), (make, rates) = SQUARES[which], BASELINES[name]
    problem, rates = problem_of(), rates if name == "adam" else np.geomspace(rate / 4, 1.5 * rate, 10)
    best = tuned(make, rates, problem, jax.random.split(jax.random.key(50_000), 1000), steps=STEPS, chunk_size=200)
    return {"curves": [_mean_curve(config, problem, make, jnp.float32(best.rate))], "rate": best.rate}


def _mean_curve(config: Config, problem: Problem, make: Callable[[Any], Any], theta: Any) -> list[float]:
    """The mean loss after each step, of losses of at most `MOST`, so that JSON has what diverges too."""
    keys = jax.random.split(jax.random.key(40_000), config.problems)
    losses = curves(make, theta, problem, keys, steps=STEPS, chunk_size=200).losses
    return np.minimum(np.nan_to_num(losses, nan=MOST, posinf=MOST), MOST).mean(axis=0).tolist()


def known(which: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly, of 20,000 draws: the best constant rate for 100 steps, and for each step the best linear method."""
    spectrum = exact.drawn_spectrum(SQUARES[which][0]())
    rate, _ = exact.best_constant(spectrum, STEPS)
    constant = [float(spectrum.weights @ (1 - rate * spectrum.points) ** (2 * t)) for t in range(STEPS + 1)]
    return {"constant": constant, "linear": exact.best_losses(spectrum, STEPS).tolist(), "rate": rate}


def study(config: Config) -> Study:
    """Rows of schedules, of estimators, and of least squares."""
    made: dict[str, Any] = {f"schedule of {n}": partial(schedule, config, n) for n in LENGTHS}
    made |= {f"theta by {name}": partial(balanced, config, name) for name in ESTIMATORS}
    for which in SQUARES:
        made[f"{which}, exact"] = partial(known, which)
        made |= {f"{which}, {name}": partial(fixed, config, which, name) for name in ("sgd", "adam")}
        made |= {f"{which}, {kind}": partial(learned, config, which, kind) for kind in ("LSTM", "MLP")}
    figures = {"schedules.png": draw_schedules, "theta.png": draw_theta, "least_squares.png": draw_squares}
    return Study(made, lambda rows: Shown(table(rows), {n: partial(draw, rows) for n, draw in figures.items()}))


def table(rows: Mapping[str, Any]) -> str:
    """All three, one below another."""
    lines = []
    for name, row in rows.items():
        if "heavy ball" in row:
            worst = max(row["learned"]) / row["optimum"] - 1
            numbers = [np.mean(row["learned"]), row["optimum"], row["heavy ball"], row["constant"]]
            lines.append([name, *(f"{n:.4e}" for n in numbers), f"{100 * worst:.3f} %"])
    said = markdown(["", "learned", "optimum", "best heavy ball", "best constant rate", "worst seed above"], lines)
    lines = [[name, *_plus_minus(row["end"])] for name, row in rows.items() if "theta" in row]
    said += "\n" + markdown(["", f"theta (right: {exact.BALANCE:.4f})"], lines)
    lines = []
    for name, row in rows.items():
        if "curves" in row:
            ends = [curve[-1] for curve in row["curves"]]
            lost = sum(end > row["curves"][0][0] for end in ends)
            cell = [f"diverges with {lost} of {len(ends)} seeds"] if lost else _plus_minus(np.log10(ends).tolist())
            lines.append([name, *cell])
        elif "linear" in row:
            for key, title in (("constant", "best constant rate"), ("linear", "best fixed linear method")):
                lines.append([f"{name}: {title}", f"{np.log10(row[key][-1]):.3f}"])
    return said + "\n" + markdown(["least squares", f"log10 of the mean loss after {STEPS} steps"], lines)


def _plus_minus(values: list[float]) -> list[str]:
    found = interval(values)
    return [f"{found['mean']:.4f}" + ("" if found["ci95"] is None else f" +- {found['ci95']:.4f}")]


def draw_schedules(rows: Mapping[str, Any], path: Path) -> Any:
    """The loss after T steps, learned and known."""
    axes = figure_maker()(6.5, 4.2).add_subplot()
    chosen = [row for row in rows.values() if "heavy ball" in row]
    for key, color, style in (("constant", BAD, "-"), ("heavy ball", COLORS[3], "-"), ("optimum", GOOD, "--")):
        label = {
            "constant": "best constant rate",
            "heavy ball": "best heavy ball",
            "optimum": "optimum, 1/((T+1)²(T+2)²)",
        }[key]
        axes.plot(LENGTHS[: len(chosen)], [row[key] for row in chosen], color=color, linestyle=style, label=label)
    for i, seeds in enumerate(zip(*(row["learned"] for row in chosen), strict=True)):
        axes.plot(LENGTHS[: len(seeds)], seeds, "o", color=INK, label=None if i else "learned, each seed")
    axes.set(yscale="log", xlabel="steps T", ylabel="expected loss after T steps")
    axes.legend(fontsize=8)
    return save(axes.figure, path)


def draw_theta(rows: Mapping[str, Any], path: Path) -> Any:
    """Theta along meta-training, by each estimator."""
    axes = figure_maker()(7.0, 4.2).add_subplot()
    chosen = {name.removeprefix("theta by "): row["theta"] for name, row in rows.items() if "theta" in row}
    for (name, seeds), color in zip(chosen.items(), (INK, BAD, GOOD, COLORS[3], COLORS[4]), strict=False):
        for i, theta in enumerate(seeds):
            steps = np.linspace(0, 1, len(theta), endpoint=False)
            axes.plot(steps, theta, color=color, linewidth=1.2, alpha=0.8, label=None if i else name)
    axes.axhline(exact.BALANCE, color="black", linestyle="--", linewidth=1, label="right: -1/6")
    axes.set(xlabel="share of meta-training", ylabel="theta", ylim=(-0.6, 1.5))
    axes.legend(fontsize=8)
    return save(axes.figure, path)


def draw_squares(rows: Mapping[str, Any], path: Path) -> Any:
    """The mean loss after each step on both kinds of least squares."""
    figure = figure_maker()(11.0, 4.2)
    for i, which in enumerate(SQUARES):
        axes = figure.add_subplot(1, 2, i + 1)
        for name, color in (("sgd", FAINT), ("adam", BAD), ("LSTM", INK), ("MLP", COLORS[3])):
            curves_of = rows.get(f"{which}, {name}", {}).get("curves", [])
            for k, curve in enumerate(curves_of):
                label = None if k else name + (", tuned" if name in BASELINES else ", learned")
                axes.plot(curve, color=color, linewidth=1.5, label=label)
        found = rows.get(f"{which}, exact")
        if found:
            axes.plot(found["constant"], color="black", linestyle=":", label="best constant rate, exact")
            axes.plot(found["linear"], color=GOOD, linestyle="--", label="best fixed linear method, exact")
        low, high = {"U(0, 1)": (0.02, 5.0), "N(0, 1)": (0.1, 200.0)}[which]
        axes.set(yscale="log", xlabel="step", ylabel="mean loss", title=f"W, y ~ {which}", ylim=(low, high))
        axes.legend(fontsize=8)
    return save(figure, path)


if __name__ == "__main__":
    program("optimizers.exact", Config, study)
