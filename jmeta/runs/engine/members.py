"""The runs of a group: every seed with every combination of swept values."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jmeta.errors import RunError
from jmeta.runs.engine.options import Options
from jmeta.settings import names, replaced


class Member(NamedTuple):
    """One run: its own settings and options, as of a single run, and its values of what is swept."""

    settings: Any
    options: Options
    rates: Mapping[str, float]

    @property
    def varied(self) -> dict[str, Any]:
        """What it differs in from the others of its group."""
        return {"seed": self.options.seed, **self.rates}


def is_group(options: Options) -> bool:
    """Whether the options are of several runs."""
    return options.seeds is not None or bool(options.sweep)


def swept(settings: Any, options: Options) -> dict[str, tuple[float, ...]]:
    """The values of each setting in `sweep`: `("inner_lr=0.1,0.4",)` to `{"inner_lr": (0.1, 0.4)}`."""
    found: dict[str, tuple[float, ...]] = {}
    known = names(settings, "swept")
    for words in options.sweep:
        given, _, values = words.partition("=")
        name = given.lstrip("-").replace("-", "_")
        if name not in known:
            takes = f"takes {' and '.join(known)}" if known else "has nothing that can be swept here"
            example = f"{known[0] if known else 'inner_lr'}=0.1,0.4"
            raise RunError(f"--sweep {takes}, as in {example}, got {words!r}: name one.")
        try:
            rates = tuple(float(text) for text in values.split(","))
        except ValueError:
            rates = (math.nan,)
        if not all(0 < rate < math.inf for rate in rates):
            raise RunError(f"--sweep {name} must be numbers above 0 with commas between, got {values!r}: correct it.")
        if name in found or len(set(rates)) < len(rates):
            raise RunError(f"--sweep has {name if name in found else values!r} more than once: leave one out.")
        found[name] = rates
    return found


def members(settings: Any, options: Options) -> dict[str, Member]:
    """Each run by its name, such as `seed3-inner_lr0.4`; a single run has none."""
    rates = swept(settings, options)
    seeds = range(options.seed, options.seed + (options.seeds or 1))
    found = {}
    for values in itertools.product(*rates.values()):
        chosen = dict(zip(rates, values, strict=True))
        for seed in seeds:
            parts = [f"seed{seed}"] if options.seeds is not None else []
            name = "-".join(parts + [f"{key}{value!r}" for key, value in chosen.items()])
            own = replaced(options, {"seed": seed, "seeds": None, "sweep": ()})
            found[name] = Member(replaced(settings, chosen), own, chosen)
    return found


def suffix(settings: Any, options: Options) -> str:
    """What the name of a run folder has of the options: `-seed3`, `-5seeds-inner_lr`."""
    seed = f"-seed{options.seed}" if options.seed else ""
    many = f"-{options.seeds}seeds" if options.seeds is not None else ""
    return seed + many + "".join(f"-{name}" for name in swept(settings, options))


def check(settings: Any, options: Options) -> None:
    """Refuse options that make no sense, by a RunError that names the option."""
    last = options.seed + (options.seeds or 1)
    if last > 2**32:
        raise RunError(f"--seed must be below 2^32, got {last - 1}: choose another.")
    if is_group(options) and (options.meeting.coordinator is not None or (options.meeting.num_processes or 1) > 1):
        raise RunError("--seeds and --sweep are for a single process: leave --coordinator and --num-processes out.")
    swept(settings, options)
    if options.save_every % options.log_every:
        more = math.ceil(options.save_every / options.log_every) * options.log_every
        raise RunError(
            f"--save-every must be a multiple of --log-every, got {options.save_every} and {options.log_every}: "
            f"try --save-every {more}."
        )
