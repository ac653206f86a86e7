"""Where does every rule end on the two-task problem, and on which way?

python -m scripts.mtl.toy                                    # three minutes
python -m scripts.mtl.toy --double --rules mgda nash_mtl famo
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jmeta.errors import RunError, unknown
from jmeta.mtl import aggregators, weightings
from jmeta.mtl.training import MTLState, init_state, make_step
from jmeta.mtl.types import Aggregator, Weighting
from jmeta.report.figures import figure_maker, save
from jmeta.settings import setting
from scripts.mtl.toy_losses import FIVE_STARTS, THREE_STARTS, pareto_front, toy_losses
from scripts.study import Rows, Shown, Study, markdown, program

EVERY = 100
"""Steps from one point of a trajectory that is kept to the next."""
ABOVE = 21.0
"""Added to the losses, before they are scaled, for rules that take logarithms or ratios of losses."""
ColorS = ("#1f4e79", "#c0392b", "#2a7f4f", "#8e5ea2", "#d98e04")


@dataclasses.dataclass(frozen=True)
class Config:
    """Two losses of two numbers: the end points of every rule from several starts, as a table, and their trajectories.

    Attributes:
        run_dir: where table.md, results.json and trajectories.png are kept.
        rules: which; all if left out.
        scale: of the first loss; 1 for CAGrad's figures, 0.1 for those of Nash-MTL and FAMO.
        five_starts: start from the five points of Nash-MTL and FAMO; otherwise from the three of CAGrad.
        steps: of Adam, a multiple of 100.
        lr: of Adam.
        c: of CAGrad.
        seed: of rules that draw numbers.
        double: compute in double precision. On the front the gradients cancel, and Adam makes steps of what is left, so
            that in single precision rounding errors move rules along it which would stay, as Nash-MTL. PCGrad has no
            such point in either: a start moved by 0.001 moves its end by up to 2.
        draw: draw the trajectories, which needs matplotlib.
    """

    run_dir: str = setting("runs/mtl-toy", place=True)
    rules: tuple[str, ...] = setting((), place=True)
    scale: float = setting(1.0, above=0)
    five_starts: bool = False
    steps: int = setting(70_000, least=EVERY)
    lr: float = setting(1e-3, above=0)
    c: float = setting(0.5, least=0)
    seed: int = setting(0, least=0)
    double: bool = False
    draw: bool = setting(True, place=True)


class Rule(NamedTuple):
    """What is done with the gradients of two losses: weights for the losses, or an aggregator."""

    title: str
    weighting: Weighting | None = None
    aggregate: Aggregator | None = None


def rules(config: Config) -> dict[str, Rule]:
    """Every rule by its name."""
    return {
        "uniform": Rule("equal weights"),
        "pcgrad": Rule("PCGrad", None, aggregators.pcgrad()),
        "mgda": Rule("MGDA", None, aggregators.mgda()),
        "cagrad": Rule(f"CAGrad, c = {config.c:g}", None, aggregators.cagrad(c=config.c)),
        "nash_mtl": Rule("Nash-MTL", None, aggregators.nash_mtl()),
        "imtl_g": Rule("IMTL-G", None, aggregators.imtl_g()),
        "aligned_mtl": Rule("Aligned-MTL", None, aggregators.aligned_mtl()),
        "upgrad": Rule("UPGrad", None, aggregators.upgrad()),
        "dual_projection": Rule("DualProj", None, aggregators.dual_projection()),
        "grad_drop": Rule("GradDrop", None, aggregators.grad_drop()),
        "famo": Rule("FAMO", weightings.famo(decay=0.0)),
        "scale_invariant": Rule("scale-invariant", weightings.scale_invariant()),
        "gradnorm": Rule("GradNorm", weightings.gradnorm()),
        "uncertainty": Rule("uncertainty", weightings.uncertainty()),
        "dynamic_weight_average": Rule("dynamic average", weightings.dynamic_weight_average()),
        "random_weights": Rule("random weights", weightings.random_weights()),
        "lookahead": Rule("lookahead", weightings.lookahead(inner_lr=config.lr)),
    }


def trajectories(rule: Rule, config: Config, starts: Array) -> Array:
    """Every 100th point `[starts, steps / 100 + 1, 2]` of the way of a rule, as one program for all starts."""
    given = toy_losses(config.scale)
    optimizer = optax.adam(config.lr)

    def losses(params: Array, batch: None = None) -> Array:
        found = given(params, batch)
        return found + ABOVE * jnp.asarray([config.scale, 1.0], found.dtype)

    step = make_step(losses, optimizer, weighting=rule.weighting, aggregate=rule.aggregate)

    def one(state: MTLState, _: None) -> tuple[MTLState, None]:
        # The losses look at no batch, so that any stands for the one that weights learn from.
        return step(state, None, 0)[0], None

    def some(state: MTLState, _: None) -> tuple[MTLState, Array]:
        state, _ = lax.scan(one, state, None, length=EVERY)
        return state, state.params

    def run(start: Array, key: Array) -> Array:
        state = init_state(start, optimizer, key, tasks=2, weighting=rule.weighting)
        _, kept = lax.scan(some, state, None, length=config.steps // EVERY)
        return jnp.concatenate([start[None], kept])

    keys = jax.random.split(jax.random.key(config.seed), len(starts))
    return jax.jit(jax.vmap(run))(starts, keys)


def study(config: Config) -> Study:
    """A row for each rule: its end points, the losses there, the ways to them and seconds with compilation.

    Raises:
        RunError: if a rule is not known, or the steps are no multiple of 100.
    """
    known = rules(config)
    for name in config.rules:
        if name not in known:
            raise unknown("rule", name, known)
    if config.steps % EVERY:
        raise RunError(f"--steps must be a multiple of {EVERY}, got {config.steps}: the points kept are so far apart.")
    chosen = {name: known[name] for name in config.rules or known}
    return Study({name: partial(followed, config, rule) for name, rule in chosen.items()}, partial(show, config))


def followed(config: Config, rule: Rule, rows: Rows) -> dict[str, Any]:
    """The row of a rule."""
    began = time.perf_counter()
    with jax.enable_x64(config.double):
        way = np.asarray(trajectories(rule, config, jnp.asarray(starts_of(config), float)))
    seconds = time.perf_counter() - began
    losses = jax.jit(jax.vmap(toy_losses(config.scale)))(way[:, -1])
    return {
        "ends": way[:, -1].tolist(), "losses": np.asarray(losses).tolist(), "seconds": seconds,
        "way": np.round(way.astype(np.float64), 3).tolist(),
    }  # fmt: skip


def starts_of(config: Config) -> tuple[tuple[float, float], ...]:
    """Points that every rule starts from."""
    return FIVE_STARTS if config.five_starts else THREE_STARTS


def show(config: Config, rows: Rows) -> Shown:
    """From each start, where a rule ended and the losses there; and the picture."""
    titles = {name: rule.title for name, rule in rules(config).items()}
    lines = []
    for name, row in rows.items():
        cells = (
            f"({x1:.3f}, {x2:.3f}), ({l1:.3f}, {l2:.3f})"
            for (x1, x2), (l1, l2) in zip(row["ends"], row["losses"], strict=True)
        )
        lines.append([titles[name], *cells, f"{row['seconds']:.1f}"])
    head = ["rule", *(f"from ({a:g}, {b:g}): x, (L1, L2)" for a, b in starts_of(config)), "seconds"]
    seconds = sum(row["seconds"] for row in rows.values())
    note = f"\n{config.steps} steps of Adam, scale {config.scale:g}, {seconds:.0f} seconds with compilation.\n"
    ways = {titles[name]: np.asarray(row["way"]) for name, row in rows.items()}
    figure = lambda path: save(drawn(figure_maker(), ways, config.scale), path)
    return Shown(markdown(head, lines) + note, {"trajectories.png": figure})


def drawn(make_figure: Callable[..., Any], ways: Mapping[str, np.ndarray], scale: float) -> Any:
    """A panel for each rule: its trajectories from dot to ring over the mean of the losses, and the Pareto front."""
    columns = min(len(ways), 6)
    rows = -(-len(ways) // columns)
    figure = make_figure(2.3 * columns, 2.45 * rows + 0.8)
    side = np.linspace(-11, 11, 221)
    grid = np.stack(np.meshgrid(side, side), axis=-1).astype(np.float32)
    mean = np.asarray(jnp.mean(jax.jit(jax.vmap(toy_losses(scale)))(grid.reshape(-1, 2)), axis=-1))
    darkest = mean.min() - 1.5 * np.ptp(mean)  # so that the grays stay light
    front = pareto_front()
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for panel, (title, way) in zip(panels, ways.items(), strict=False):
        panel.contourf(side, side, mean.reshape(221, 221), levels=18, cmap="Grays_r", vmin=darkest, vmax=mean.max())
        panel.contour(side, side, mean.reshape(221, 221), levels=18, colors="#9a9a9a", linewidths=0.4, linestyles="-")
        panel.plot(*front.T, color="#f2c14e", linewidth=5, solid_capstyle="round", label="Pareto front")
        for marks, label in (({"markersize": 4}, "start"), ({"markersize": 7, "markerfacecolor": "white"}, "end")):
            panel.plot([], [], "o", color="#555555", label=label, **marks)
        for path, color in zip(way, ColorS, strict=False):
            panel.plot(*path.T, color=color, linewidth=1.5)
            panel.plot(*path[0], "o", color=color, markersize=4)
            panel.plot(*path[-1], "o", color=color, markersize=7, markerfacecolor="white", markeredgewidth=1.6)
        panel.set(title=title, xlim=(-11, 11), ylim=(-11, 11), xticks=(-7, 0, 7), yticks=(-8, 0, 8), aspect=1)
        panel.title.set_fontsize(10)
        panel.tick_params(labelsize=7)
    for above, panel in zip(panels[len(ways) - columns :], panels[len(ways) :], strict=False):
        panel.set_axis_off()
        above.tick_params(labelbottom=True)
    for panel in panels[max(len(ways) - columns, 0) : len(ways)]:
        panel.set_xlabel("x1", fontsize=8)
    for panel in panels[: len(ways) : columns]:
        panel.set_ylabel("x2", fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    program("mtl.toy", Config, study)
