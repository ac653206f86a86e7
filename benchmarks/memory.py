"""Memory and time of a meta-gradient against its inner steps, for each way to differentiate the inner loop.

python -m benchmarks.memory                       # Conv4 and a small transformer, 1 to 1,000 inner steps
python -m benchmarks.memory --networks transformer --steps 100
"""

import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import tyro
from flax import linen as nn
from jax import Array
from rich.console import Console

import jmeta
from benchmarks.results import write_text
from benchmarks.tables import number, table
from jmeta.report.figures import figure_maker, save

WAYS = {"reverse": jax.grad, "remat": jmeta.gradients.remat_grad, "mixed": jmeta.gradients.mixed_grad}
TITLES = {"reverse": "plain reverse mode", "remat": "rematerialised", "mixed": "mixed mode"}
RULES = {"sgd": lambda: optax.sgd(0.01), "adam": lambda: optax.adam(1e-3, eps_root=1e-8)}
WAY, QUERY_SHOT, SIZE = 5, 5, 28


@dataclasses.dataclass(frozen=True)
class Config:
    """Compile the meta-gradient of one 5-way 1-shot task for each way, read its temporary memory, and time it.

    Attributes:
        networks: conv4, transformer.
        rules: of the inner loop: sgd, adam.
        steps: inner steps.
        rounds: how often each is timed, all ways in turn.
        output: the folder of memory.json, memory.md and memory.png.
    """

    networks: tuple[str, ...] = ("conv4", "transformer")
    rules: tuple[str, ...] = ("sgd", "adam")
    steps: tuple[int, ...] = (1, 5, 20, 100, 1000)
    rounds: int = 5
    output: str = "runs/benchmarks"


class Row(NamedTuple):
    """One way, on one network with one rule and number of steps.

    Attributes:
        network: its name.
        rule: of the inner loop.
        steps: of the inner loop.
        way: to differentiate it.
        temporary: bytes of the compiled program beside arguments and results.
        seconds: of a meta-gradient, the median.
        compile_seconds: of compiling.
        gap: the meta-gradient's distance from plain reverse mode's, relative to its length.
    """

    network: str
    rule: str
    steps: int
    way: str
    temporary: int
    seconds: float
    compile_seconds: float
    gap: float


class Transformer(nn.Module):
    """The rows of an image as tokens: two pre-norm blocks of four heads, and a head on the mean.

    Attributes:
        way: outputs.
        width: of a token.
        blocks: how many.
    """

    way: int
    width: int = 64
    blocks: int = 2

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, 1]` to `[N, way]`."""
        x = nn.Dense(self.width)(x[..., 0])
        x = x + self.param("position", nn.initializers.normal(0.02), x.shape[1:])
        for _ in range(self.blocks):
            x = x + nn.MultiHeadDotProductAttention(num_heads=4)(nn.LayerNorm()(x))
            x = x + nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))
        return nn.Dense(self.way)(jnp.mean(nn.LayerNorm()(x), axis=1))


NETWORKS = {"conv4": lambda: jmeta.nets.Conv4(WAY), "transformer": lambda: Transformer(WAY)}


def measure(network: str, rule: str, steps: int, *, rounds: int) -> list[Row]:
    """All ways on one network, rule and number of steps; timed in turn."""
    images = jmeta.datasets.load("glyphs:50").images
    episode = jmeta.few_shot_sampler(images, way=WAY, shot=1, query_shot=QUERY_SHOT)(jax.random.key(0))
    model = NETWORKS[network]()
    params = model.init(jax.random.key(1), episode.support.x)

    def gradient(grad: Any) -> Callable[..., Any]:
        learner = jmeta.maml(model, inner_optimizer=RULES[rule](), inner_steps=steps, inner_grad=grad)
        return jax.jit(jax.grad(lambda params, episode: learner.loss(params, episode)[0]))

    programs, compiling = {}, {}
    for name, grad in WAYS.items():
        lowered, start = gradient(grad).lower(params, episode), time.perf_counter()
        programs[name] = lowered.compile()
        compiling[name] = time.perf_counter() - start
    found = {name: jax.block_until_ready(program(params, episode)) for name, program in programs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(params, episode))
            seconds[name].append(time.perf_counter() - start)
    return [
        Row(
            network,
            rule,
            steps,
            name,
            temporary_bytes(program),
            statistics.median(seconds[name]),
            compiling[name],
            distance(found[name], found["reverse"]),
        )
        for name, program in programs.items()
    ]


def temporary_bytes(program: Any) -> int:
    """What a compiled program needs beside arguments and results; 0 where the backend can't tell."""
    sizes = program.memory_analysis()
    return 0 if sizes is None else sizes.temp_size_in_bytes


def distance(tree: Any, other: Any) -> float:
    """`|tree - other| / |other|`."""
    gap = optax.tree.norm(jax.tree.map(jnp.subtract, tree, other))
    return float(gap / optax.tree.norm(other))


def markdown(rows: Sequence[Row]) -> str:
    """A table for each network and rule."""
    parts = []
    for network, rule in dict.fromkeys((row.network, row.rule) for row in rows):
        chosen = [row for row in rows if (row.network, row.rule) == (network, rule)]
        lines = []
        for steps in dict.fromkeys(row.steps for row in chosen):
            ways = {row.way: row for row in chosen if row.steps == steps}
            lines.append([str(steps), *(cell(ways[way], ways["reverse"]) for way in WAYS)])
        header = ["inner steps", *(f"{TITLES[way]}: MiB, ms" for way in WAYS)]
        parts.append(f"### {network}, {rule} inside\n\n{table(header, lines)}\n")
    return "\n".join(parts)


def cell(row: Row, plain: Row) -> str:
    """`12.3, 45.6`, and how many times less memory and how much of the time that is."""
    text = f"{number(row.temporary / 2**20)}, {number(1000 * row.seconds)}"
    if row is plain:
        return text
    return (
        f"{text} ({plain.temporary / max(row.temporary, 1):.1f} x less, {row.seconds / plain.seconds:.2f} x the time)"
    )


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Memory and time against inner steps, a column for each network and rule."""
    pairs = list(dict.fromkeys((row.network, row.rule) for row in rows))
    figure = figure_maker()(3.2 * len(pairs), 5.6)
    axes = figure.subplots(2, len(pairs), squeeze=False, sharex=True)
    values = (lambda row: row.temporary / 2**20, lambda row: 1000 * row.seconds)
    for column, (network, rule) in enumerate(pairs):
        for axis, value, label in zip(axes[:, column], values, ("temporary memory, MiB", "time, ms"), strict=True):
            for way in WAYS:
                chosen = [row for row in rows if (row.network, row.rule, row.way) == (network, rule, way)]
                axis.loglog([row.steps for row in chosen], [value(row) for row in chosen], "o-", label=TITLES[way])
            axis.set_ylabel(label if column == 0 else "")
            axis.grid(alpha=0.3)
        axes[0, column].set_title(f"{network}, {rule} inside")
        axes[1, column].set_xlabel("inner steps")
    axes[0, 0].legend()
    return save(figure, path)


def main(config: Config) -> list[Row]:
    """Measure, print, and write memory.json, memory.md and memory.png."""
    console, rows = Console(), []
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    for network in config.networks:
        for rule in config.rules:
            for steps in config.steps:
                console.print(f"{network}, {rule}, {steps} steps")
                rows += measure(network, rule, steps, rounds=config.rounds)
    device = jax.devices()[0]
    machine = {"device": device.device_kind, "platform": device.platform, "python": platform.python_version()}
    stored = {"machine": {**machine, "jax": jax.__version__}, "rows": [row._asdict() for row in rows]}
    write_text(folder / "memory.json", json.dumps(stored, indent=1) + "\n")
    write_text(folder / "memory.md", markdown(rows))
    console.print(markdown(rows), markup=False)
    console.print(f"kept in {folder}: memory.json and memory.md")
    console.print(f"drawn: {draw(rows, folder / 'memory.png').name}")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.memory"))
