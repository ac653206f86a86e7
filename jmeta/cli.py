"""The command line: parse, call, print."""

import gc
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from jmeta import __version__

USAGE = """jmeta: learning to learn in JAX

  jmeta train       meta-train a learner; without flags, MAML on glyphs
  jmeta evaluate    measure a trained learner on new episodes
  jmeta predict     name pictures, or features, after a few examples of each new class
  jmeta plot        draw the training curve, some episodes, and accuracy against inner steps
  jmeta report      write one page of a run, or of several beside each other, that opens in any browser
  jmeta export      write the parameters of a run to an .npz or a .safetensors file
  jmeta presets     list the published settings that --preset knows
  jmeta list        list learners, networks, tasks, datasets, environments or experiments
  jmeta run         train an experiment by its name, such as your own, FILE.py:NAME
  jmeta data        list the data sets, or prepare one
  jmeta bayes       learners that know how sure they are, and how well they know it: train, evaluate, plot
  jmeta active      learn which labels to ask for: train, evaluate, plot, suggest (of your own pictures)
  jmeta generative  new drawings after a few of a class: train, evaluate, sample (after pictures of yours), plot
  jmeta mtl         multi-task learning, on a table of your own or joined with meta-learning: train, predict, evaluate
  jmeta optimizers  learn an optimizer, for any Optax user: train, evaluate, plot
  jmeta rl          meta-reinforcement learning: train, evaluate, plot
  jmeta continual   learn streams of classes without forgetting: train, evaluate, plot

Each has its own --help; jmeta --version tells which it is. Code of yours, FILE.py:NAME, that a run folder or --config
names is run only if you name it too, or add --trust-code. For example:

  jmeta train --run-dir runs/first
  jmeta evaluate --run-dir runs/first
  jmeta report --run-dir runs/first
  jmeta train --seeds 3 --sweep inner_lr=0.1,0.4 --run-dir runs/rates
  jmeta mtl train table.csv --task school --target score --run-dir runs/table
"""
COMMANDS = {
    "train": "jmeta.runs.few_shot.commands:train",
    "evaluate": "jmeta.runs.few_shot.commands:evaluate",
    "predict": "jmeta.runs.few_shot.commands:predict",
    "plot": "jmeta.runs.few_shot.commands:plot",
    "presets": "jmeta.runs.catalog:presets",
    "list": "jmeta.runs.catalog:show",
    "run": "jmeta.runs.catalog:run",
    "report": "jmeta.runs.report.commands:command",
    "export": "jmeta.runs.use:export_command",
    "data": "jmeta.runs.few_shot.commands:data",
}
"""Functions of the words behind a command, which are imported when it is called."""
MEANT = {
    "train": "--dataset",
    "rl train": "--env",
    "optimizers train": "--rule",
    **dict.fromkeys(("evaluate", "predict", "plot", "report", "export", "sample"), "--run-dir"),
}
"""What is meant by a word behind a command that takes flags alone."""
AREAS = ("active", "bayes", "continual", "generative", "mtl", "optimizers", "rl")
USER_ERROR = 2
RARE = 100_000, 50, 100
"""Thresholds of Python's collector: tracing makes millions of objects that live, and to look through them again and
again took a sixth of the time to a first step."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after `jmeta`; None takes the process's.

    Returns:
        The exit code: 0; 2 for what the user can put right; 130 or 143 after Ctrl-C or SIGTERM.
    """
    if argv is None:  # in a process of its own
        gc.set_threshold(*RARE)
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if words == ["--version"]:
        print(f"jmeta {__version__}")
        return 0
    from jmeta.errors import RunError, advice, called_back, kind_and_line, own_lines
    from jmeta.registry import TRUST, named_in

    try:
        with named_in(words), _as_sentences():
            code = _dispatch([word for word in words if word != TRUST])
        sys.stdout.flush()
        return code
    except RunError as error:
        return _complain(str(error), after=own_lines(error))
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # whoever read the output has gone, or there is no room for it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return USER_ERROR
        place = f" ({error.filename})" if error.filename else ""
        return _complain(
            f"{error.strerror or error}{place}: {advice(error)}, and run it again.", after=own_lines(error)
        )
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else USER_ERROR
    except Exception as error:
        called = called_back(error)
        raised, lines = called or (kind_and_line(error), own_lines(error))
        if not called and not lines:
            raise
        return _complain(f"your code raised {raised}: mend it.", after=lines)
    except KeyboardInterrupt:
        return _complain("stopped.", 130)


@contextmanager
def _as_sentences() -> Iterator[None]:
    """While inside, jmeta's warnings are sentences, and what JAX logs of an error that it raises too is not told."""
    from jmeta.errors import printable

    own, before = os.path.dirname(os.path.abspath(__file__)) + os.sep, warnings.formatwarning
    logger = logging.getLogger("jax._src.callback")
    level = logger.level

    def told(message: Any, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
        if category is UserWarning and filename.startswith(own):
            return f"jmeta: {printable(message)}\n"
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = told
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        warnings.formatwarning = before
        logger.setLevel(level)


def _dispatch(words: list[str]) -> int:
    from jmeta.errors import unknown

    command, rest = words[0], words[1:]
    if command in AREAS:
        return _area(command, rest)
    if command not in COMMANDS:
        raise unknown("command", command, [*COMMANDS, *AREAS])
    _check_flags(command, rest)
    module, _, function = COMMANDS[command].partition(":")
    return getattr(_imported(module), function)(rest)


def _check_flags(command: str, words: list[str]) -> None:
    from jmeta.errors import RunError

    flag = MEANT.get(command) or MEANT.get(command.rpartition(" ")[2])
    if flag is not None and words and not words[0].startswith("-"):
        raise RunError(f"jmeta {command} takes flags alone, got {words[0]}: did you mean {flag} {words[0]}?")


def _imported(module: str) -> Any:
    from jmeta.runs.engine.signals import interrupted_at_once

    with interrupted_at_once():
        return importlib.import_module(module)


def _complain(text: str, code: int = USER_ERROR, *, after: Sequence[str] = ()) -> int:
    """Print a sentence, after the lines of a traceback if there are any."""
    from jmeta.errors import printable

    traced = ["Traceback of your own code, the last call at the end:", *after] if after else []
    with suppress(OSError):
        print(*map(printable, [*traced, f"jmeta: {text}"]), sep="\n", file=sys.stderr, flush=True)
    return code


def _area(name: str, words: list[str]) -> int:
    """Train an experiment of an area, or run one of its other programs, each a module with a `Config` and a `main`."""
    area, program = _imported(f"jmeta.runs.{name}"), words[0] if words else "help"
    from jmeta.errors import RunError, unknown
    from jmeta.runs.engine.command import train_command
    from jmeta.runs.engine.compile_cache import use_compile_cache
    from jmeta.runs.engine.flags import parsed

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
    of_file = area.of_file(words) if hasattr(area, "of_file") else None
    if of_file is None:
        _check_flags(f"{name} {program}", words[1:])
    if program == "train" and of_file is None:
        return train_command(area.AREA, words[1:])
    module = _imported(f"jmeta.runs.{name}.{of_file or program}")
    description = (module.__doc__ or "").strip()
    config = parsed(module.Config, words[1:], prog=f"jmeta {name} {program}", description=description)
    use_compile_cache(True)
    module.main(config)
    return 0
