"""Few-shot runs for the command line, and the same for Python."""

from jmeta.errors import unknown
from jmeta.runs.engine import command
from jmeta.runs.engine.command import SOURCE, Area, Whole
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import Report, silent
from jmeta.runs.engine.signals import Stop
from jmeta.runs.engine.train import Result
from jmeta.runs.engine.train import train as train_by_engine
from jmeta.runs.few_shot.experiment import builder
from jmeta.runs.few_shot.settings import KIND, Choice, Settings, check, defaults, run_dir
from jmeta.runs.few_shot.sources import VECTORS
from jmeta.settings import read, replaced


def _is_light(settings: Settings) -> bool:
    return settings.tasks.dataset in VECTORS


AREA = Area(
    kind=KIND,
    prog="jmeta train",
    description=(
        "Meta-train a learner and keep it in a run folder. Without flags: MAML on glyphs, 5-way 1-shot. --preset NAME "
        "starts from a published setting, --config FILE from a file, and a flag beside it wins. Ctrl-C or SIGTERM "
        "saves and stops; the same command with --resume goes on as if nothing had happened. What is shown is what "
        "the algorithm has: ask with --algorithm NAME for that of another."
    ),
    choice=Choice,
    defaults=defaults,
    build=builder,
    run_dir=run_dir,
    check=check,
    presets="few_shot",
    evaluate="jmeta evaluate",
    light=_is_light,
)


def from_preset(name: str) -> tuple[Settings, Options]:
    """The settings of a preset.

    Raises:
        RunError: if there is no such preset.
    """
    known, key = command.presets(AREA), name.lower().replace("_", "-")
    if key not in known:
        raise unknown("preset", name, known)
    values = {k: v for k, v in known[key].items() if k != SOURCE}
    start = Whole(*defaults(Choice(values["algorithm"], values["dataset"])))
    whole = read(start, {**values, "preset": key}, f"preset {key}")
    return whole.settings, whole.options


def train(
    settings: Settings,
    options: Options,
    *,
    report: Report = silent,
    stop: Stop = lambda: None,
    save_seconds: float | None = None,
) -> Result:
    """Meta-train, or go on, in a run folder; as `jmeta.runs.engine.train.train`.

    Args:
        settings: of the run; `settings_of`, `defaults` and `from_preset` make them.
        options: how it is done and kept; without a run folder, it is kept where `jmeta train` would.
        report: told of every piece and every row.
        stop: asked before each piece; a signal's number makes it save and return.
        save_seconds: save after so many seconds too, without a validation.

    Returns:
        The states at the end, and how it ended.

    Raises:
        RunError: for settings that make no sense, data that are missing, or a run folder that can't be used.
        OSError: if the run folder can't be written to.
    """
    check(settings, options)
    options = replaced(options, {"run_dir": options.run_dir or run_dir(settings, options)})
    return train_by_engine(builder(), settings, options, kind=KIND, report=report, stop=stop, save_seconds=save_seconds)
