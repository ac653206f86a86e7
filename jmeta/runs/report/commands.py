"""`jmeta report`: from the words to the file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jmeta import __version__
from jmeta.errors import RunError
from jmeta.registry import by_files
from jmeta.report.files import write_text
from jmeta.runs.engine import folder, keeping, record
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.progress import complain, say
from jmeta.runs.engine.words import read_words
from jmeta.runs.few_shot.plot import PlotConfig
from jmeta.runs.report import comparison, few_shot
from jmeta.runs.report.common import evaluations, headline, lead, made, part, training, what_it_is
from jmeta.runs.report.headline import floor
from jmeta.runs.report.page import Html, document
from jmeta.runs.report.pictures import Draw, drawing, kept, left_out
from jmeta.runs.report.run import FEW_SHOT, Seen, look
from jmeta.runs.report.settings import settings_of
from jmeta.settings import check, setting

FILE = "report.html"


@dataclasses.dataclass(frozen=True)
class Config:
    """Write one page, report.html, of what came of a run: numbers with intervals, training, episodes with what was
    named wrong, accuracy against inner steps, calibration, settings beside their defaults, and the command that makes
    it again. Of several runs, or of a group: one table with differences, their curves, and what they differ in.

    The page is one file that needs no network: send it, print it, open it in any browser. Runs of every area have one.
    What was not measured yet is measured for it, so evaluate first for a report of test accuracy:

    jmeta evaluate --run-dir runs/a; jmeta report --run-dir runs/a; jmeta report --run-dir runs/a runs/b

    Attributes:
        run_dir: the folder of a run, or of a group of runs; or several, of which the first is what others are compared
            with.
        output: the file; otherwise report.html, in the folder of a single run, in this folder for several.
        checkpoint: best (by validation) or newest.
        episodes: to measure inner steps and calibration with, where no evaluation has left them.
        seed: decides the episodes that are drawn.
        data_dir: the folder of data sets; otherwise the run's.
        compile_cache: keep compiled programs for the next start.
    """

    run_dir: tuple[str, ...]
    output: str | None = None
    checkpoint: str = setting("best", choices=("best", "newest"))
    episodes: int = setting(200, least=2)
    seed: int = setting(0, least=0)
    data_dir: str | None = None
    compile_cache: bool = True


def report(config: Config, *, trust_code: bool = False) -> Path:
    """Write the page.

    Args:
        config: of which runs, and where.
        trust_code: whether to run the code that the folders name, which is that of whoever wrote them.

    Returns:
        The file.

    Raises:
        RunError: for a folder that is no run, runs of different kinds, or settings that make no sense.
        OSError: if the file can't be written.
    """
    check(config)
    if not config.run_dir:
        raise RunError("a report is of a run: give --run-dir FOLDER, or several folders to compare.")
    given = [Path(place) for place in config.run_dir]
    path = Path(config.output or (given[0] / FILE if len(given) == 1 else FILE))
    with by_files(trust_code):
        runs = _runs(given)
        _check_kinds(runs)
        folder.check_output("--output", path, begins=b"<")
        every = [look(place, complain) for place in runs]
        draw, notes = drawing()
        title = given[0].resolve().name if len(given) == 1 else f"{len(every)} runs compared"
        if len(every) == 1:
            body = _of_one(every[0], config, draw)
        else:
            body = comparison.parts(every, title, _summary(given[0]) if len(given) == 1 else {}, draw)
    write_text(path, document(title, body[0], *notes, *body[1:], made_by=f"Written by jmeta {__version__}."))
    return path


def _runs(given: Sequence[Path]) -> list[Path]:
    """Folders of runs, those of groups with their members; each once."""
    found: dict[Path, Path] = {}
    for place in given:
        group = (place / folder.GROUP).exists()
        each = [place / name for name in record.members_of(place)] if group else [place]
        found |= {run.resolve(): run for run in each if run.resolve() not in found}
    return list(found.values())


def _summary(group: Path) -> dict[str, Any]:
    """Means over the seeds of a group: of its evaluation, or of the last validation without one."""
    path = group / folder.EVALUATION
    found = folder.read_json(path) if path.exists() else {}
    return found if isinstance(found.get("settings"), list) else keeping.summary(group)


def _check_kinds(runs: Sequence[Path]) -> None:
    (first, kind), *others = [(place, record.load(place).kind) for place in runs]
    for place, other in others:
        if other != kind:
            raise RunError(f"{first} is a run of {kind} and {place} of {other}: compare runs of one kind.")


def _of_one(seen: Seen, config: Config, draw: Draw) -> list[Html]:
    if seen.kind == FEW_SHOT:
        asked = PlotConfig(str(seen.path), config.checkpoint, config.episodes, config.seed, config.data_dir)
        start = [*lead(seen, few_shot.what_it_is(seen)), headline(seen, floor(seen.evaluation))]
        start += few_shot.parts(seen, asked, draw)
        anew = few_shot.DRAWN if draw is not left_out else ()
    else:
        start = [*lead(seen, what_it_is(seen)), headline(seen), part("Training", lambda: training(seen, draw))]
        anew = ()
    pictures = part("Pictures", lambda: kept(seen.path, anew))
    return [*start, part("Evaluation", lambda: evaluations(seen)), pictures, settings_of(seen), made(seen)]


def command(words: Sequence[str]) -> int:
    """`jmeta report`: the file that is written."""
    config = read_words(Config, words, prog="jmeta report")
    use_compile_cache(config.compile_cache)
    say(str(report(config)))
    return 0
