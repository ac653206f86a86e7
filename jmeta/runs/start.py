"""The settings that flags are added to, found by a first look at the words of the command line."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jmeta.errors import RunError, unknown
from jmeta.runs import folder, record
from jmeta.runs.config import ALGORITHMS, TrainConfig, check, normalise
from jmeta.runs.presets import defaults, from_preset


def starting_point(words: Sequence[str]) -> TrainConfig:
    """A preset's settings, those of a run to go on with, or the defaults of an algorithm on a kind of data.

    Args:
        words: the words after `jmeta train`.

    Raises:
        RunError: for a preset or an algorithm that isn't there.
    """
    preset, run_dir = value_of(words, "preset"), value_of(words, "run-dir")
    if preset is not None:
        return from_preset(preset)
    if "--resume" in words and run_dir is not None:
        path = Path(run_dir)
        if (path / folder.GROUP).exists():
            return dataclasses.replace(record.load_group(path), run_dir=run_dir, resume=True, devices=None)
        if (path / folder.CONFIG).exists():
            return dataclasses.replace(record.load(path)[0], run_dir=run_dir, resume=True, devices=None)
    algorithm = (value_of(words, "algorithm") or "maml").lower().replace("_", "-")
    if algorithm not in ALGORITHMS:
        raise unknown("algorithm", algorithm, ALGORITHMS)
    return defaults(algorithm, value_of(words, "dataset") or "glyphs")


def check_preset(config: TrainConfig) -> None:
    """Refuse an algorithm that can't be trained with the settings of another's preset, where no flag has changed them.

    Raises:
        RunError: naming both.
    """
    why = _refusal(config)
    if why is None or config.preset is None:
        return
    preset = from_preset(config.preset)
    if why == _refusal(dataclasses.replace(preset, algorithm=config.algorithm)):
        reason = why.partition(":")[0]
        raise RunError(
            f"{reason}, and --preset {config.preset} is of {preset.algorithm}: leave --preset or --algorithm out."
        )


def _refusal(config: TrainConfig) -> str | None:
    try:
        check(normalise(config))
    except RunError as error:
        return str(error)
    return None


def dataset_of(words: Sequence[str]) -> str | None:
    """What is learned, as far as the words tell, before JAX starts; None for words that `starting_point` refuses."""
    try:
        return value_of(words, "dataset") or starting_point(words).dataset
    except (RunError, OSError):
        return None


def value_of(words: Sequence[str], name: str) -> str | None:
    """The last value given to a flag, as `--name value` or `--name=value`."""
    spellings = {f"--{name}", f"--{name.replace('-', '_')}"}
    found = None
    for i, word in enumerate(words):
        head, equals, value = word.partition("=")
        if head in spellings:
            found = value if equals else (words[i + 1] if i + 1 < len(words) else None)
    return found
