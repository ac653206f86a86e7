"""The runner of all studies, and what their tables and pictures have in common.

A study is a module with a `Config`, a frozen dataclass with `run_dir`, and a function from it to a `Study`: rows that
are measured one after another and kept, and what is shown of them. It ends with `program("AREA.NAME", Config, study)`.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from jmeta import settings as flat
from jmeta.errors import DivergedError, RunError, advice, first_line, printable
from jmeta.report import statistics, tables
from jmeta.report.figures import figure_maker
from jmeta.report.files import write_json, write_text
from jmeta.report.tables import plus_minus
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.devices import enough_memory
from jmeta.runs.engine.folder import read_json, written_here
from jmeta.runs.engine.progress import Report, complain, shown
from jmeta.runs.engine.signals import asked_to_stop
from jmeta.runs.engine.train import Result
from jmeta.runs.engine.words import read_words

RESULTS, TABLE = "results.json", "table.md"
Rows = Mapping[str, Any]
"""What was measured, by the name of the row, as JSON has it."""


class Shown(NamedTuple):
    """What rows show.

    Attributes:
        table: in Markdown.
        figures: by the name of the file, what draws it there.
        summary: what results.json has of all rows together.
    """

    table: str
    figures: Mapping[str, Callable[[Path], Any]] = {}
    summary: Any = None


class Study(NamedTuple):
    """What is measured and shown.

    Attributes:
        rows: by name, `(rows that are there) -> what JSON can have`. Beside settings and facts, a row's name says all
            that decides it: a row of this name is not measured again.
        show: `(the rows above, in their order) -> Shown`.
        facts: what decides all rows beside the settings, such as the checksum of the data.
    """

    rows: Mapping[str, Callable[[Rows], Any]]
    show: Callable[[Rows], Shown]
    facts: Mapping[str, Any] = {}


def run(study: Callable[[Any], Study], config: Any) -> dict[str, Any]:
    """Measure the rows that are missing, each kept as soon as it is there, then print and write what they show.

    Args:
        study: of the settings.
        config: settings with a `run_dir`, and `draw` where there are figures. Those that are marked as a place don't
            decide what a row of some name is.

    Returns:
        What results.json has: settings, facts, rows, summary, and the device that was last used.

    Raises:
        RunError: for settings that can't be, a folder with results of others or in which another process goes on, or
            figures without matplotlib.
        DataError: for data that are missing or damaged.
        OSError: if a file can't be written.
    """
    flat.check(config)
    draw = getattr(config, "draw", False)
    if draw:
        figure_maker()
    made, place = study(config), Path(config.run_dir)
    with written_here(place):
        results = _kept(place, config, made.facts)
        missing, began = [name for name in made.rows if name not in results["rows"]], time.perf_counter()
        for done, name in enumerate(missing):
            left = (time.perf_counter() - began) / done * (len(missing) - done) if done else None
            print(f"{done + 1}/{len(missing)} {name}{_about(left)}", file=sys.stderr, flush=True)
            results["rows"][name] = _plain(made.rows[name](results["rows"]))
            write_json(place / RESULTS, results)
        found = made.show({name: results["rows"][name] for name in made.rows})
        results |= {"summary": _plain(found.summary), "device": jax.devices()[0].device_kind}
        write_json(place / RESULTS, results)
        write_text(place / TABLE, found.table)
        for name, drawn in found.figures.items() if draw else ():
            drawn(place / name)
        print(found.table, end="")
        print(f"kept in {place}")
    odd = [name for name in made.rows if not _is_finite(results["rows"][name])]
    if odd or not _is_finite(results["summary"]):
        complain(f"not all numbers of {', '.join(odd) or 'the summary'} are finite, as after too large a rate.")
    return results


def _kept(place: Path, config: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Results that are there, or none.

    Raises:
        RunError: if they are of other settings or facts.
    """
    places = flat.names(config, "place")
    own = {name: value for name, value in _plain(flat.to_dict(config)).items() if name not in places}
    if not (place / RESULTS).exists():
        return {"settings": own, "facts": _plain(facts), "rows": {}}
    results = read_json(place / RESULTS)
    if not all(isinstance(results.get(part), dict) for part in ("settings", "facts", "rows")):
        raise RunError(f"{place} has results of another program: choose another --run-dir.")
    other = flat.differences(own, results["settings"], places)
    other += [name for name, value in _plain(facts).items() if results["facts"].get(name) != value]
    if other:
        raise RunError(f"{place} has results of other settings ({', '.join(other)}): choose another --run-dir.")
    return results


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def _is_finite(values: Any) -> bool:
    """Whether what JSON can have is without NaN and infinities."""
    try:
        json.dumps(values, allow_nan=False)
    except ValueError:
        return False
    return True


def finite(values: Any, what: str) -> np.ndarray:
    """The numbers, with which a row can go on; DivergedError that says what they are if some are not finite."""
    if not np.isfinite(values).all():
        raise DivergedError(f"not all of {what} are finite: choose smaller rates, or less noise.")
    return np.asarray(values)


def _about(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"


def program(
    name: str,
    config: type,
    study: Callable[[Any], Study],
    words: Sequence[str] | None = None,
    start: Callable[[list[str]], Any] | None = None,
) -> None:
    """Run a study as a program, which ends with 2 for what the user can put right, and 130 or 143 where it is stopped.

    Args:
        name: of its module, below `scripts`.
        config: its settings.
        study: of the settings.
        words: of the command line; None takes the process's.
        start: from the words to the settings that their flags change; None for the defaults.
    """
    words = list(sys.argv[1:] if words is None else words)
    before = signal(SIGTERM, _stop)
    try:
        chosen = {} if start is None else {"default": start(words)}
        about, one = sys.modules[config.__module__].__doc__ or "", (tyro.conf.OmitArgPrefixes,)
        given = read_words(config, words, prog=f"python -m scripts.{name}", description=about, config=one, **chosen)
        use_compile_cache()
        with enough_memory("it doesn't fit into the device's memory: choose less of what is large."):
            run(study, given)
        return
    except RunError as error:
        said, code = str(error), 2
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        said, code = f"{first_line(error)}{where}: {advice(error)}, and run it again.", 2
    except KeyboardInterrupt:
        said, code = "stopped; the same command goes on.", 128 + SIGINT
    except SystemExit as error:
        if error.code not in (128 + SIGINT, 128 + SIGTERM):
            raise
        said, code = "stopped; the same command goes on.", error.code
    finally:
        signal(SIGTERM, before)
    print(f"{name}: {printable(said)}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def trained(train: Callable[..., Result], told: AbstractContextManager[Report]) -> Result:
    """Train a run of the engine by `train(report=, stop=)`; Ctrl-C and SIGTERM save it and end the program.

    Args:
        train: the training.
        told: how it is reported, such as `shown(title)`.
    """
    with asked_to_stop() as stop, told as report:
        result = train(report=report, stop=stop)
    if result.stopped_by is not None:
        raise SystemExit(128 + result.stopped_by)
    return result


def gone_on(train: Callable[..., Result], run: Whole) -> Path:
    """The folder of a run that is trained to its end, by `train` of its area; one that is there is gone on with."""
    folder = Path(str(run.options.run_dir))
    options = dataclasses.replace(run.options, resume=folder.is_dir())
    title = run.settings.algorithm
    return trained(partial(train, run.settings, options), shown(title)).run_dir


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def percent(found: Mapping[str, Any] | Any, digits: int = 1, sign: str = "") -> str:
    """Mean and interval of shares, `98.1 +- 0.3`, of an `Evaluation` or a dictionary with `mean` and `ci95`."""
    mean, ci95 = (found["mean"], found["ci95"]) if isinstance(found, Mapping) else (found.mean, found.ci95)
    return tables.percent(mean, ci95, digits=digits, sign=sign)


def interval(values: Any) -> dict[str, Any]:
    """`mean` and `ci95` by Student's t."""
    mean, ci95 = statistics.interval(values)
    return {"mean": mean, "ci95": ci95}


def compared(values: Any, base: Any) -> dict[str, Any]:
    """`interval` of the values, and as `difference` and `difference_ci95` that of what they are above the base's."""
    less = interval(np.asarray(values, np.float64) - np.asarray(base, np.float64))
    return {**interval(values), "difference": less["mean"], "difference_ci95": less["ci95"]}


def shown_difference(row: Mapping[str, Any], digits: int = 2) -> str:
    """The difference of `compared` as tables have it."""
    return plus_minus(row["difference"], row["difference_ci95"], digits=digits, sign="+")


def plain_axes(axes: Any, grid: str | None = "both") -> Any:
    """Without a frame above and at the right, over a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid is not None:
        axes.grid(axis=grid, alpha=0.25, linewidth=0.6)
    return axes
