"""`jmeta mtl digits`: handwritten digits as several tasks of few examples; when does it pay to learn them together?

scikit-learn's digits, 8 x 8 pixels, in two settings of four tasks:

- questions: is the digit odd, prime (2, 3, 5, 7), below five, does it have a loop (0, 6, 8, 9)? Other answers to
  pictures of one kind. Each task has training examples of its own: no picture is in two.
- turns: does the digit have a loop, in pictures turned by 0, 90, 180 and 270 degrees? One answer to pictures of four
  kinds, so that one classifier on all pictures makes sense too.

In each repeat a part of the pictures, stratified by digit, is for testing, by all methods and tasks; training examples
are drawn from the others, in the tasks' own proportions. All methods choose between a few settings by cross-validation
within the training examples, where these allow it. Then a fifth question, whether the digit is a multiple of three
(0, 3, 6, 9), is learned on the representation that the four questions share, and from scratch.
"""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jmeta.errors import RunError, sentence
from jmeta.mtl.names import aggregator_named, weighting_named
from jmeta.report.figures import figure_maker, save
from jmeta.runs.engine import folder
from jmeta.runs.mtl.digits_report import (
    ALONE,
    METRICS,
    PER_TASK,
    Results,
    accuracy_figure,
    report,
    summary,
    tables,
)

QUESTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "odd": lambda digit: digit % 2 == 1,
    "prime": lambda digit: np.isin(digit, (2, 3, 5, 7)),
    "below five": lambda digit: digit < 5,
    "loop": lambda digit: np.isin(digit, (0, 6, 8, 9)),
}
FIFTH = "multiple of three"
TURNS = ("as it is", "turned by 90", "turned by 180", "turned by 270")
STRENGTHS, ALPHAS, L2 = (1.0, 0.1, 0.01, 10.0, 100.0), (1e-2, 1.0), (1e-3, 1e-2, 1e-1)
"""What cross-validation chooses from: C of logistic regression and SVC, the penalties of MLPClassifier and of ours."""
ADAPTED = "adapted on shared features"

Examples = tuple[np.ndarray, np.ndarray]
"""Pixels `[N, 64]` in 0 to 1, and answers `[N]`, 0 or 1."""

Method = Callable[[list[Examples], list[np.ndarray]], list[np.ndarray]]
"""`(training examples of each task, test pixels of each task) -> predicted answers of each task`."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare learning tasks on digits together with learning them alone, and write tables and pictures.

    Attributes:
        run_dir: where table.md, results.json, accuracy.png and space.png are kept.
        examples: training examples of each task, 4 or more each.
        repeats: splits of the pictures, 2 or more, the same for all methods.
        test_share: of the pictures that are for testing.
        source_examples: of each of the four questions, for the representation that the fifth is learned on.
        weightings: of the tasks' losses, by names of jmeta.mtl.names, each a method of its own.
        aggregates: of the tasks' gradients, by names of jmeta.mtl.names, each a method of its own.
        hidden: units of the layers of the network that tasks share.
        steps: of its training.
        seed: decides splits, examples and where networks start.
        draw: draw the pictures, which needs matplotlib.
    """

    run_dir: str = "runs/mtl-digits"
    examples: tuple[int, ...] = (5, 10, 20)
    repeats: int = 20
    test_share: float = 0.3
    source_examples: int = 100
    weightings: tuple[str, ...] = ("uniform", "uncertainty")
    aggregates: tuple[str, ...] = ("upgrad",)
    hidden: tuple[int, ...] = (64,)
    steps: int = 300
    seed: int = 0
    draw: bool = True


class Setting(NamedTuple):
    """Four tasks.

    Attributes:
        title: for tables.
        tasks: their names.
        x: `[T, N, 64]`, the pictures as each task sees them.
        y: `[T, N]`, the answers.
        same_answers: whether all tasks answer alike, so that a pooled classifier need not be told the task.
    """

    title: str
    tasks: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    same_answers: bool


def main(config: Config) -> dict[str, Any]:
    """Run the comparison.

    Args:
        config: the settings.

    Returns:
        What is in results.json.

    Raises:
        RunError: for settings that make no sense, or if scikit-learn or matplotlib is not there.
        OSError: if a file can't be written.
    """
    _check(config)
    pictures, digits = _load()
    settings = _settings(pictures, digits)
    place = Path(config.run_dir)
    place.mkdir(parents=True, exist_ok=True)
    tasks = {name: setting.tasks for name, setting in settings.items()} | {FIFTH: (FIFTH,)}
    found = summary(tasks, _results(config, settings, digits))
    titles = {name: setting.title for name, setting in settings.items()}
    titles[FIFTH] = f"A fifth question, {FIFTH}, after {config.source_examples} examples of each of the four"
    result = {"config": dataclasses.asdict(config), "settings": found}
    folder.write_json(place / "results.json", result)
    shown = {name: tables(titles[name], of_setting) for name, of_setting in found.items()}
    folder.write_text(place / "table.md", report(config.repeats, config.test_share, shown, found))
    if config.draw:
        save(accuracy_figure(titles, found), place / "accuracy.png")
        save(_space_figure(config, settings["questions"], digits), place / "space.png")
    print("\n\n".join(shown.values()))
    print(f"\nkept in {place}")
    return result


def _check(config: Config) -> None:
    if config.repeats < 2:
        raise RunError(f"--repeats must be 2 or more for an interval, got {config.repeats}.")
    if not config.examples or min(config.examples) < 4 or max(config.examples) > 200:
        raise RunError(f"--examples must be numbers in 4 to 200, got {config.examples}.")
    if not 4 <= config.source_examples <= 200:
        raise RunError(f"--source-examples must be in 4 to 200, got {config.source_examples}.")
    if not 0.05 <= config.test_share <= 0.35:
        raise RunError(f"--test-share must be in 0.05 to 0.35, got {config.test_share}.")
    if config.seed < 0:
        raise RunError(f"--seed must be 0 or more, got {config.seed}.")
    if config.draw:
        figure_maker()
    try:
        for name in config.weightings:
            weighting_named(name)
        for name in config.aggregates:
            aggregator_named(name)
    except ValueError as error:
        raise RunError(sentence(error)) from error


def _load() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise RunError("the digits need scikit-learn, which is not installed: pip install 'jmeta[digits]'.") from error
    found: Any = load_digits()
    return found.images / 16, found.target


def _settings(pictures: np.ndarray, digits: np.ndarray) -> dict[str, Setting]:
    flat = pictures.reshape(len(pictures), -1)
    answers = np.stack([question(digits) for question in QUESTIONS.values()]).astype(np.int64)
    turned = np.stack([np.rot90(pictures, k, axes=(1, 2)).reshape(len(pictures), -1) for k in range(4)])
    loops = np.broadcast_to(answers[list(QUESTIONS).index("loop")], answers.shape)
    return {
        "questions": Setting(
            "Four questions about digits", tuple(QUESTIONS), np.broadcast_to(flat, (4, *flat.shape)), answers, False
        ),
        "turns": Setting("One question, loop, about digits turned four ways", TURNS, turned, loops, True),
    }


# What is compared.


def _methods(config: Config, setting: Setting, seed: int) -> dict[str, Method]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    perceptron = MLPClassifier(hidden_layer_sizes=config.hidden, solver="lbfgs", max_iter=200, random_state=seed)
    kinds: dict[str, tuple[Any, Mapping[str, Any]]] = {
        "logistic regression": (LogisticRegression(max_iter=2000), {"C": STRENGTHS}),
        "SVC": (SVC(), {"C": STRENGTHS, "gamma": ("scale", "auto")}),
        "MLPClassifier": (perceptron, {"alpha": ALPHAS}),
        "k nearest": (KNeighborsClassifier(), {"n_neighbors": (1, 3, 5)}),
    }
    methods = {name: _each(*kind) for name, kind in kinds.items()}
    pooled = {name: _pooled(*kinds[name], setting.same_answers) for name in ("SVC", "MLPClassifier")}
    methods |= {f"{name}, pooled": method for name, method in pooled.items()}
    methods[ALONE] = lambda train, test: [
        _network(config, seed, [own]).predict(_with_task(x, 0)) for own, x in zip(train, test, strict=True)
    ]
    methods |= {f"shared, {name}": _shared(config, seed, weighting=name) for name in config.weightings}
    return methods | {f"shared, {name}": _shared(config, seed, aggregate=name) for name in config.aggregates}


def _each(kind: Any, grid: Mapping[str, Any]) -> Method:
    def method(train: list[Examples], test: list[np.ndarray]) -> list[np.ndarray]:
        return [_tuned(kind, grid, *own).predict(x) for own, x in zip(train, test, strict=True)]

    return method


def _pooled(kind: Any, grid: Mapping[str, Any], same_answers: bool) -> Method:
    """One classifier for all tasks, told the task by a column for each unless all answer alike."""

    def method(train: list[Examples], test: list[np.ndarray]) -> list[np.ndarray]:
        def told(x: np.ndarray, task: int) -> np.ndarray:
            return x if same_answers else np.hstack([x, np.tile(np.eye(len(train))[task], (len(x), 1))])

        x = np.concatenate([told(own[0], task) for task, own in enumerate(train)])
        found = _tuned(kind, grid, x, np.concatenate([own[1] for own in train]))
        return [found.predict(told(x, task)) for task, x in enumerate(test)]

    return method


def _tuned(kind: Any, grid: Mapping[str, Any], x: np.ndarray, y: np.ndarray) -> Any:
    """A classifier on pixels, standardised or not, with settings by cross-validation where each class has two rows."""
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(3, int(np.bincount(y).min()))
    rows = len(y) - -(-len(y) // max(folds, 1))
    grid = {f"kind__{name}": values for name, values in grid.items()}
    if "kind__n_neighbors" in grid:
        grid["kind__n_neighbors"] = [k for k in grid["kind__n_neighbors"] if k <= max(rows, 1)]
    pipeline = Pipeline([("scale", StandardScaler()), ("kind", clone(kind))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if folds < 2:
            return pipeline.set_params(**{name: values[0] for name, values in grid.items()}).fit(x, y)
        grid["scale"] = [StandardScaler(), "passthrough"]
        return GridSearchCV(pipeline, grid, cv=StratifiedKFold(folds, shuffle=True, random_state=0)).fit(x, y)


def _shared(config: Config, seed: int, **rule: Any) -> Method:
    def method(train: list[Examples], test: list[np.ndarray]) -> list[np.ndarray]:
        found = _network(config, seed, train, **rule)
        return [found.predict(_with_task(x, task)) for task, x in enumerate(test)]

    return method


def _network(config: Config, seed: int, train: list[Examples], **rule: Any) -> Any:
    """A network of one or several tasks, with its penalty by cross-validation where each class has two rows."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    from jmeta.mtl.estimators import MultiTaskClassifier

    x = np.concatenate([_with_task(own[0], task) for task, own in enumerate(train)])
    y = np.concatenate([own[1] for own in train])
    model = MultiTaskClassifier(hidden=config.hidden, steps=config.steps, task_column=-1, random_state=seed, **rule)
    strata = 2 * x[:, -1].astype(np.int64) + y
    folds = min(3, int(np.bincount(strata).min()))
    if folds < 2:
        return model.fit(x, y)
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(x, strata))
    return GridSearchCV(model, {"l2": L2}, cv=splits).fit(x, y).best_estimator_


def _with_task(x: np.ndarray, task: int) -> np.ndarray:
    return np.hstack([x, np.full((len(x), 1), task)])


# The repeats.


def _results(config: Config, settings: Mapping[str, Setting], digits: np.ndarray) -> Results:
    from rich.console import Console
    from rich.progress import Progress

    results: Results = {name: {n: {} for n in config.examples} for name in (*settings, FIFTH)}
    with Progress(console=Console(stderr=True)) as progress:
        pieces = config.repeats * (1 + len(settings) * len(config.examples))
        bar = progress.add_task("splits", total=pieces)
        for repeat in range(config.repeats):
            split = _split(config, digits, repeat)
            for name, setting in settings.items():
                for n in config.examples:
                    _compare(config, setting, n, repeat, split, results[name][n])
                    progress.advance(bar)
            _learn_fifth(config, settings["questions"], digits, repeat, split, results[FIFTH])
            progress.advance(bar)
    return results


class Split(NamedTuple):
    """Numbers of the pictures to draw from and of those to test on."""

    pool: np.ndarray
    test: np.ndarray


def _split(config: Config, digits: np.ndarray, repeat: int) -> Split:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(digits))
    state = _number(config, repeat)
    found: Any = train_test_split(rows, test_size=config.test_share, stratify=digits, random_state=state)
    return Split(*found)


def _number(config: Config, *which: int) -> int:
    return int(np.random.default_rng([config.seed, *which]).integers(2**31))


def _drawn(setting: Setting, pool: np.ndarray, n: int, seed: int) -> tuple[list[Examples], np.ndarray]:
    """Examples of each task, no picture in two, and what is left of the pool."""
    from sklearn.model_selection import train_test_split

    found = []
    for x, y in zip(setting.x, setting.y, strict=True):
        split: Any = train_test_split(pool, train_size=n, stratify=y[pool], random_state=seed)
        rows, pool = split
        found.append((x[rows], y[rows]))
    return found, pool


def _compare(
    config: Config, setting: Setting, n: int, repeat: int, split: Split, results: dict[str, dict[str, Any]]
) -> None:
    """Add a row of every method to the results."""
    train, _ = _drawn(setting, split.pool, n, _number(config, repeat, n))
    test = [x[split.test] for x in setting.x]
    for name, method in _methods(config, setting, repeat).items():
        _add(results, name, [y[split.test] for y in setting.y], method(train, test))


def _learn_fifth(
    config: Config,
    setting: Setting,
    digits: np.ndarray,
    repeat: int,
    split: Split,
    results: dict[int, dict[str, dict[str, Any]]],
) -> None:
    """Add a row of every method on the fifth question to the results."""
    train, left = _drawn(setting, split.pool, config.source_examples, _number(config, repeat, 0))
    shared = _network(config, repeat, train)
    x, y = setting.x[0], (digits % 3 == 0).astype(np.int64)
    fifth = Setting(FIFTH, (FIFTH,), x[None], y[None], True)
    methods = _methods(dataclasses.replace(config, weightings=(), aggregates=()), fifth, repeat)
    for i, n in enumerate(config.examples):
        (own,), _ = _drawn(fifth, left, n, _number(config, repeat, n))
        for name in (*PER_TASK, ALONE):
            _add(results[n], name, [y[split.test]], methods[name]([own], [x[split.test]]))
        name = len(train) + i
        shared.adapt(_with_task(own[0], name), own[1])
        _add(results[n], ADAPTED, [y[split.test]], [shared.predict(_with_task(x[split.test], name))])


def _add(results: dict[str, dict[str, Any]], name: str, true: list[np.ndarray], found: list[np.ndarray]) -> None:
    from jmeta.mtl.estimators.classifier import METRICS as MEASURES

    own = results.setdefault(name, {metric: [] for metric in METRICS})
    for metric in METRICS:
        own[metric].append([MEASURES[metric](a, b) for a, b in zip(true, found, strict=True)])


# What is written.


def _space_figure(config: Config, setting: Setting, digits: np.ndarray) -> Any:
    """Test pictures of the first repeat in two dimensions, coloured by digit: principal components, and what the
    four questions share."""
    from sklearn.decomposition import PCA

    from jmeta.mtl.estimators import SharedSpace

    split = _split(config, digits, 0)
    train, _ = _drawn(setting, split.pool, config.source_examples, _number(config, 0, 0))
    x = np.concatenate([_with_task(own[0], task) for task, own in enumerate(train)])
    y = np.concatenate([own[1] for own in train])
    space = SharedSpace(2, hidden=config.hidden, steps=config.steps, task_column=-1, random_state=config.seed)
    test = setting.x[0][split.test]
    places = {
        "two principal components of the pixels": PCA(2).fit(x[:, :-1]).transform(test),
        "the space that four questions share": space.fit(x, y).transform(_with_task(test, 0)),
    }
    figure = figure_maker()(10, 5)
    for axes, (title, z) in zip(figure.subplots(1, 2), places.items(), strict=True):
        for digit in range(10):
            own = z[digits[split.test] == digit]
            axes.scatter(own[:, 0], own[:, 1], s=9, color=f"C{digit}", label=str(digit), linewidths=0)
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)  # type: ignore
    return figure


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
