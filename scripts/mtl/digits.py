"""Handwritten digits as several tasks of few examples: when does it pay to learn them together?

    python -m scripts.mtl.digits      # 20 repeats of 5, 10 and 20 examples

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
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jmeta.errors import RunError, sentence
from jmeta.mtl.names import aggregator_named, weighting_named
from jmeta.report.figures import figure_maker, save
from jmeta.settings import setting
from scripts.mtl.digits_report import ALONE, METRICS, PER_TASK, accuracy_figure, gathered, report, summary
from scripts.mtl.digits_tasks import Examples, Setting, drawn, load, settings
from scripts.study import Rows, Shown, Study, program

FIFTH = "multiple of three"
STRENGTHS, ALPHAS, L2 = (1.0, 0.1, 0.01, 10.0, 100.0), (1e-2, 1.0), (1e-3, 1e-2, 1e-1)
"""What cross-validation chooses from: C of logistic regression and SVC, the penalties of MLPClassifier and of ours."""
ADAPTED = "adapted on shared features"

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

    run_dir: str = setting("runs/mtl-digits", place=True)
    examples: tuple[int, ...] = setting((5, 10, 20), least=4, most=200)
    repeats: int = setting(20, least=2, place=True)
    test_share: float = setting(0.3, least=0.05, most=0.35)
    source_examples: int = setting(100, least=4, most=200)
    weightings: tuple[str, ...] = ("uniform", "uncertainty")
    aggregates: tuple[str, ...] = ("upgrad",)
    hidden: tuple[int, ...] = setting((64,), least=1)
    steps: int = setting(300, least=1)
    seed: int = setting(0, least=0)
    draw: bool = setting(True, place=True)


def study(config: Config) -> Study:
    """A row for each repeat: of each setting, number of examples and method, measures of each task.

    Raises:
        RunError: for rules that are not known, or if scikit-learn is not there.
    """
    if not config.examples:
        raise RunError("there must be a number of --examples or more: give at least one.")
    try:
        for named, names in ((weighting_named, config.weightings), (aggregator_named, config.aggregates)):
            for name in names:
                named(name)
    except ValueError as error:
        raise RunError(sentence(error)) from error
    pictures, digits = load()
    of = settings(pictures, digits)
    return Study(
        {f"repeat {repeat}": partial(_repeat, config, of, digits, repeat) for repeat in range(config.repeats)},
        partial(_show, config, of, digits),
    )


def _show(config: Config, of: Mapping[str, Setting], digits: np.ndarray, rows: Rows) -> Shown:
    tasks = {name: setting.tasks for name, setting in of.items()} | {FIFTH: (FIFTH,)}
    found = summary(tasks, gathered(list(rows.values())))
    titles = {name: setting.title for name, setting in of.items()}
    titles[FIFTH] = f"A fifth question, {FIFTH}, after {config.source_examples} examples of each of the four"
    figures = {
        "accuracy.png": lambda path: save(accuracy_figure(titles, found), path),
        "space.png": lambda path: save(_space_figure(config, of["questions"], digits), path),
    }
    return Shown(report(len(rows), config.test_share, titles, found), figures, found)


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
    """A classifier on pixels, standardized or not, with settings by cross-validation where each class has two rows."""
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


Measures = dict[str, list[float]]
"""Of one method: a number of each task, by metric."""


def _repeat(
    config: Config, of: Mapping[str, Setting], digits: np.ndarray, repeat: int, rows: Rows
) -> dict[str, dict[int, dict[str, Measures]]]:
    """By setting, number of examples and method, on one split of the pictures."""
    split = _split(config, digits, repeat)
    found = {
        name: {n: _compare(config, setting, n, repeat, split) for n in config.examples} for name, setting in of.items()
    }
    return found | {FIFTH: _learn_fifth(config, of["questions"], digits, repeat, split)}


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


def _compare(config: Config, setting: Setting, n: int, repeat: int, split: Split) -> dict[str, Measures]:
    """Measures of every method."""
    train, _ = drawn(setting, split.pool, n, _number(config, repeat, n))
    true, test = [y[split.test] for y in setting.y], [x[split.test] for x in setting.x]
    methods = _methods(config, setting, repeat)
    return {name: _measures(true, method(train, test)) for name, method in methods.items()}


def _learn_fifth(
    config: Config, setting: Setting, digits: np.ndarray, repeat: int, split: Split
) -> dict[int, dict[str, Measures]]:
    """Measures of every method on the fifth question, by number of examples."""
    train, left = drawn(setting, split.pool, config.source_examples, _number(config, repeat, 0))
    shared = _network(config, repeat, train)
    x, y = setting.x[0], (digits % 3 == 0).astype(np.int64)
    fifth = Setting(FIFTH, (FIFTH,), x[None], y[None], True)
    methods = _methods(dataclasses.replace(config, weightings=(), aggregates=()), fifth, repeat)
    true, test, found = [y[split.test]], x[split.test], {}
    for i, n in enumerate(config.examples):
        (own,), _ = drawn(fifth, left, n, _number(config, repeat, n))
        found[n] = {name: _measures(true, methods[name]([own], [test])) for name in (*PER_TASK, ALONE)}
        name = len(train) + i
        shared.adapt(_with_task(own[0], name), own[1])
        found[n][ADAPTED] = _measures(true, [shared.predict(_with_task(test, name))])
    return found


def _measures(true: list[np.ndarray], found: list[np.ndarray]) -> Measures:
    from jmeta.mtl.estimators.classifier import METRICS as MEASURES

    return {metric: [MEASURES[metric](a, b) for a, b in zip(true, found, strict=True)] for metric in METRICS}


# What is written.


def _space_figure(config: Config, setting: Setting, digits: np.ndarray) -> Any:
    """Test pictures of the first repeat in two dimensions, colored by digit: principal components, and what the
    four questions share."""
    from sklearn.decomposition import PCA

    from jmeta.mtl.estimators import SharedSpace

    split = _split(config, digits, 0)
    train, _ = drawn(setting, split.pool, config.source_examples, _number(config, 0, 0))
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
    program("mtl.digits", Config, study)
