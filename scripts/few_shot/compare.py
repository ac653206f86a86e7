"""All learners in one table: same network, same budget of training, same frozen test episodes.

    python -m scripts.few_shot.compare --quick                          # less than ten minutes on two CPU cores
    python -m scripts.few_shot.compare                                  # 5-way 1-shot, 20,000 tasks of training each
    python -m scripts.few_shot.compare --budget seconds --seconds 300   # as much as each can do in the same time
    python -m scripts.few_shot.compare --ways 5 20 --shots 1 5 --algorithms maml prototypical
    python -m scripts.few_shot.compare --algorithms meta-qda versa deep-kernel   # how well they know what they know

Every run is a folder like those of `jmeta train`.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax

from jmeta.errors import DivergedError, RunError
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.devices import check_number, use_cores
from jmeta.runs.engine.train import Result
from jmeta.runs.few_shot import Settings, load_trained
from jmeta.runs.few_shot.experiment import drawn, training_learner
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.runs.few_shot.problems import Problem, load_problem
from jmeta.runs.few_shot.settings import check as check_run
from jmeta.training import at_step
from scripts.few_shot.compare_report import footer, picture, reliability, tables
from scripts.few_shot.compare_settings import QUICK, Config, check, settings
from scripts.few_shot.compare_training import annealed, trained, trained_seconds
from scripts.few_shot.judge import judge, memory_of_training
from scripts.study import Rows, Shown, Study, program


def study(config: Config) -> Study:
    """A row for each run and number of test episodes.

    Raises:
        RunError: for settings or episodes that make no sense.
        DataError: for data that are missing or damaged.
    """
    check(config)
    algorithms = dict.fromkeys((*config.algorithms, config.reference))
    runs = [settings(config, name, way, shot) for way in config.ways for shot in config.shots for name in algorithms]
    problem = ready(config, runs)
    check_number(config.episodes, "--episodes")
    names = [f"{Path(str(run.options.run_dir)).name}, {config.episodes} episodes" for run in runs]

    def show(rows: Rows) -> Shown:
        found = list(rows.values())
        right = [row for row in found if "failed" not in row]
        table = tables(found, config.reference) + "\n" + footer(config, [run.settings for run in runs], problem)
        drawn = {"accuracy.png": partial(picture, right), "reliability.png": partial(reliability, right)}
        return Shown(table, drawn if right else {})

    rows = {name: partial(measure, config, run, problem) for name, run in zip(names, runs, strict=True)}
    return Study(rows, show, {"split_hash": problem.split_hash, "checksum": problem.checksum})


def ready(config: Config, runs: list[Whole]) -> Problem:
    """The data, once all is refused that can be before any training."""
    for run in runs:
        check_run(run.settings, run.options)
    problem = load_problem(runs[0].settings.tasks)
    for own in (run.settings for run in runs):
        tasks = own.tasks
        try:
            drawn(tasks, problem, LEARNERS.get(own.algorithm).ordinary)
            problem.sampler("test", tasks.way, tasks.shot, config.learned.query_shot)
        except RunError as error:
            raise RunError(f"{own.algorithm}, {tasks.way}-way {tasks.shot}-shot: {error}") from error
    return problem


def measure(config: Config, run: Whole, problem: Problem, rows: Rows) -> dict[str, Any]:
    """Train and judge, or say why training failed."""
    own = run.settings
    about = {"algorithm": own.algorithm, "way": own.tasks.way, "shot": own.tasks.shot}
    try:
        run = annealed(config, run)
        return about | judged(config, problem, run.settings, trained(config, run))
    except DivergedError as error:
        return {**about, "failed": str(error).partition(";")[0]}


def judged(config: Config, problem: Problem, own: Settings, result: Result) -> dict[str, Any]:
    """Of a learner that has been trained: accuracy of each test episode, how well it knows what it knows, tasks and
    seconds of training without compiling, and what a task takes."""
    tasks, learner = own.tasks, training_learner(own, problem.train_classes)
    newest = load_trained(result.run_dir, "newest")
    sample = drawn(tasks, problem, LEARNERS.get(own.algorithm).ordinary).training
    episode = jax.eval_shape(sample, jax.random.key(0))
    memory = memory_of_training(at_step(learner, jax.numpy.int32(0)), newest.params, episode)
    test = lambda way: problem.sampler("test", way, tasks.shot, config.learned.query_shot)
    try:
        foreign = test(2 * tasks.way)
    except RunError:  # of too few classes
        foreign = None
    found = judge(
        newest, test(tasks.way), tasks.way, foreign=foreign, seed=config.seed, episodes=config.episodes,
        train_mebibytes=memory,
    )  # fmt: skip
    arrays = {"accuracy": found.accuracy.tolist(), "calibration": found.calibration.tolist()}
    times = {"tasks": result.step * own.outer.meta_batch_size, "train_seconds": trained_seconds(result.rows)}
    return {**found._asdict(), **arrays, **times}


def start(words: list[str]) -> Config:
    """What flags change: the defaults, or those of `--quick`, which is taken out of the words."""
    if "--quick" not in words:
        return Config()
    words[:] = [word for word in words if word != "--quick"]
    return QUICK


if __name__ == "__main__":
    use_cores()
    program("few_shot.compare", Config, study, start=start)
