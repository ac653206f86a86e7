"""The command line: parse, call, print."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from jmeta import __version__

USAGE = """jmeta: learning to learn in JAX

  jmeta train       meta-train a learner; without flags, MAML on glyphs
  jmeta evaluate    measure a trained learner on new episodes
  jmeta predict     name pictures after a few examples of each new class
  jmeta plot        draw the training curve, some episodes, and accuracy against inner steps
  jmeta presets     list the published settings that --preset knows
  jmeta list        list learners, networks, tasks, datasets, environments or experiments
  jmeta run         train an experiment by its name, such as your own, FILE.py:NAME
  jmeta data        list the data sets, or prepare one
  jmeta mtl         multi-task learning joined with meta-learning: train, evaluate
  jmeta rl          meta-reinforcement learning: train, evaluate, plot

Each has its own --help; jmeta --version tells which it is. For example:

  jmeta train --run-dir runs/first
  jmeta evaluate --run-dir runs/first
  jmeta train --seeds 3 --sweep inner_lr=0.1,0.4 --run-dir runs/rates
"""
USER_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after `jmeta`; None takes the process's.

    Returns:
        The exit code: 0; 2 for what the user can put right; 130 or 143 after Ctrl-C or SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if words == ["--version"]:
        print(f"jmeta {__version__}")
        return 0
    from jmeta.errors import RunError, advice

    try:
        return _dispatch(words)
    except RunError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return _complain(f"{error.strerror or error}{place}: {advice(error)}, and run it again.")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else USER_ERROR
    except KeyboardInterrupt:
        return _complain("stopped.", 130)


def _dispatch(words: list[str]) -> int:
    from jmeta.errors import unknown

    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train,
        "evaluate": partial(_few_shot, "evaluate"),
        "predict": partial(_few_shot, "predict"),
        "plot": partial(_few_shot, "plot"),
        "presets": _presets,
        "list": _list,
        "run": _run,
        "data": _data,
        "mtl": partial(_area, "mtl"),
        "rl": partial(_area, "rl"),
    }
    if words[0] not in commands:
        raise unknown("command", words[0], commands)
    return commands[words[0]](words[1:])


def _complain(text: str, code: int = USER_ERROR) -> int:
    print(f"jmeta: {text}", file=sys.stderr, flush=True)
    return code


def _train(words: list[str]) -> int:
    from jmeta.runs.engine.command import train_command
    from jmeta.runs.few_shot import AREA

    return train_command(AREA, words)


def _few_shot(command: str, words: list[str]) -> int:
    from pathlib import Path

    import tyro

    from jmeta.report.tables import print_group
    from jmeta.runs import few_shot
    from jmeta.runs.engine import folder
    from jmeta.runs.engine.compile_cache import use_compile_cache
    from jmeta.runs.few_shot import tables

    kinds = {"evaluate": few_shot.EvaluateConfig, "predict": few_shot.PredictConfig, "plot": few_shot.PlotConfig}
    config = tyro.cli(kinds[command], args=words, prog=f"jmeta {command}")
    use_compile_cache(config.compile_cache)
    if isinstance(config, few_shot.PlotConfig):
        for path in few_shot.plot(config):
            print(path)
    elif isinstance(config, few_shot.PredictConfig):
        tables.print_predictions(few_shot.predict(config), config.csv)
    elif (Path(config.run_dir) / folder.GROUP).exists():
        summary = few_shot.evaluate_group(config)
        size = f"{summary['episodes']} episodes of {summary['dataset']} ({summary['part']})"
        print_group(summary, f"{config.run_dir}: {size}")
    else:
        tables.print_evaluation(few_shot.evaluate(config))
    return 0


def _presets(words: list[str]) -> int:
    from jmeta.errors import RunError
    from jmeta.runs import few_shot, rl
    from jmeta.runs.engine.area import presets

    if words:
        raise RunError(f"jmeta presets takes no arguments, got {' '.join(words)}: leave them out.")
    for area in (few_shot.AREA, rl.AREA):
        print(f"{area.prog} --preset")
        for name, preset in presets(area).items():
            print(f"  {name:28} {preset['source']}")
    return 0


def _list(words: list[str]) -> int:
    from jmeta.runs import catalog

    return catalog.show(words)


def _run(words: list[str]) -> int:
    from jmeta.errors import RunError
    from jmeta.runs.catalog import EXPERIMENTS
    from jmeta.runs.engine.command import train_command

    if not words or words[0].startswith("-"):
        raise RunError("jmeta run takes the name of an experiment first: give one of `jmeta list experiments`.")
    return train_command(EXPERIMENTS.get(words[0]), words[1:])


def _data(words: list[str]) -> int:
    from jmeta.runs.few_shot import tables

    return tables.data(words)


def _area(name: str, words: list[str]) -> int:
    """Train an experiment of an area, or run one of its other programs, each a module with a `Config` and a `main`."""
    import importlib

    from jmeta.errors import RunError, unknown
    from jmeta.runs.engine.command import train_command
    from jmeta.runs.engine.compile_cache import use_compile_cache
    from jmeta.runs.engine.flags import parsed

    area, program = importlib.import_module(f"jmeta.runs.{name}"), words[0] if words else "help"
    if program in ("-h", "--help", "help"):
        width = max(map(len, area.PROGRAMS)) + 2
        print(f"jmeta {name} PROGRAM; each has its own --help\n")
        print("\n".join(f"  jmeta {name} {each:{width}}{shows}" for each, shows in area.PROGRAMS.items()))
        return 0
    if program in area.STUDIES:
        study = f"python -m scripts.{name}.{program}"
        raise RunError(f"jmeta {name} {program} is a study of the repository: in a checkout, run {study}.")
    if program not in area.PROGRAMS:
        raise unknown("program", program, area.PROGRAMS)
    if program == "train":
        return train_command(area.AREA, words[1:])
    module = importlib.import_module(f"jmeta.runs.{name}.{program}")
    description = (module.__doc__ or "").strip()
    config = parsed(module.Config, words[1:], prog=f"jmeta {name} {program}", description=description)
    use_compile_cache(True)
    module.main(config)
    return 0
