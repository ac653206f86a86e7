"""The digits study: its tasks, its draws, and a small comparison from end to end."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jmeta.errors import RunError
from scripts.mtl import digits as program
from scripts.mtl import digits_report, digits_tasks
from scripts.study import run


@pytest.fixture(scope="module")
def settings():
    pictures, digits = digits_tasks.load()
    return digits_tasks.settings(pictures, digits), digits


def test_what_is_asked(settings):
    found, digits = settings
    questions = found["questions"]
    answers = {task: set(np.unique(digits[y == 1])) for task, y in zip(questions.tasks, questions.y, strict=True)}
    assert answers == {
        "odd": {1, 3, 5, 7, 9}, "prime": {2, 3, 5, 7}, "below five": {0, 1, 2, 3, 4}, "loop": {0, 6, 8, 9}
    }  # fmt: skip
    assert questions.x.shape == (4, 1797, 64) and questions.x.max() == 1
    turns = found["turns"]
    picture = load_digits().images[5] / 16
    for k in range(4):
        np.testing.assert_array_equal(turns.x[k, 5].reshape(8, 8), np.rot90(picture, k))
        np.testing.assert_array_equal(turns.y[k], questions.y[3])


def test_draws_are_disjoint_and_in_proportion(settings):
    found, digits = settings
    config = program.Config()
    split = program._split(config, digits, 3)
    assert len(split.test) == 540 and not set(split.pool) & set(split.test)
    assert np.abs(np.bincount(digits[split.test]) - 0.3 * np.bincount(digits)).max() < 1
    again, other = program._split(config, digits, 3), program._split(config, digits, 4)
    np.testing.assert_array_equal(split.test, again.test)
    assert set(split.test) != set(other.test)
    numbered = found["questions"]._replace(x=np.broadcast_to(np.arange(1797)[:, None], (4, 1797, 1)))
    train, left = digits_tasks.drawn(numbered, split.pool, 20, 0)
    rows = np.concatenate([x[:, 0] for x, _ in train])
    assert len(set(rows)) == 80 and not set(rows) & set(left) and set(rows) | set(left) == set(split.pool)
    assert [int(y.sum()) for _, y in train] == [10, 8, 10, 8]


def test_a_pooled_classifier_is_told_the_task_unless_all_answer_alike():
    """Two tasks of opposite answers to the same inputs."""
    from sklearn.neighbors import KNeighborsClassifier

    x = np.array([[0.0], [0.1], [1.0], [1.1]])
    y = np.array([0, 0, 1, 1])
    train = [(x, y), (x, 1 - y)]
    kind, grid = KNeighborsClassifier(), {"n_neighbors": (1,)}
    told = program._pooled(kind, grid, False)(train, [x, x])
    np.testing.assert_array_equal(told, [y, 1 - y])
    same = program._pooled(kind, grid, True)([(x, y), (x, y)], [x, x])
    np.testing.assert_array_equal(same, [y, y])


def test_verdicts():
    def row(accuracy, gap, from_alone):
        gaps = {"difference": {"mean": gap, "ci95": 0.02}, "difference_from_alone": {"mean": from_alone, "ci95": 0.02}}
        return {"accuracy": {"mean": accuracy}, **gaps}

    of_setting = {"5": {
        "best per-task classifier": "SVC",
        "methods": {
            "SVC": row(0.7, 0.0, 0.1), "network alone": row(0.6, -0.1, 0.0), "shared, a": row(0.75, 0.05, 0.15),
            "shared, b": row(0.6, -0.05, 0.01), "SVC, pooled": row(0.8, 0.01, 0.2),
        },
    }}  # fmt: skip
    assert digits_report.verdicts(of_setting).splitlines() == [
        "- 5 examples: shared, a (+5.0 +- 2.0 points) wins over SVC; "
        "it (+15.0 +- 2.0 points) wins over the same network alone.",
        "- 5 examples: shared, b (-5.0 +- 2.0 points) loses to SVC; "
        "it (+1.0 +- 2.0 points) is not told from the same network alone.",
        "- 5 examples: SVC, pooled (+1.0 +- 2.0 points) is not told from SVC.",
        "- 5 examples: the most accurate of all on average is SVC, pooled.",
    ]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Could not find the number of physical cores:UserWarning")
def test_a_small_comparison_from_end_to_end(tmp_path, capsys, monkeypatch):
    for name, fewer in (("STRENGTHS", (1.0, 10.0)), ("ALPHAS", (1.0,)), ("L2", (1e-3, 1e-1))):
        monkeypatch.setattr(program, name, fewer)
    config = program.Config(
        run_dir=str(tmp_path / "run"), examples=(5,), repeats=2, source_examples=12, weightings=("uniform",),
        aggregates=(), hidden=(8,), steps=30,
    )  # fmt: skip
    results = run(program.study, config)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"table.md", "results.json", "accuracy.png", "space.png"}
    assert (tmp_path / "run" / "space.png").read_bytes().startswith(b"\x89PNG")
    found = results["summary"]
    assert set(found) == {"questions", "turns", "multiple of three"}
    of_size = found["questions"]["5"]
    assert set(of_size["methods"]) == {
        *digits_report.PER_TASK, "SVC, pooled", "MLPClassifier, pooled", "network alone", "shared, uniform"
    }  # fmt: skip
    best = of_size["methods"][of_size["best per-task classifier"]]
    assert best["difference"]["mean"] == 0
    for row in of_size["methods"].values():
        each = [row["accuracy"]["tasks"][task]["mean"] for task in digits_tasks.QUESTIONS]
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(each)) == pytest.approx(np.mean(row["repeats"]))
        expected = np.mean(row["repeats"]) - np.mean(best["repeats"])
        assert row["difference"]["mean"] == pytest.approx(expected) and expected <= 0.2
        alone = np.mean(of_size["methods"]["network alone"]["repeats"])
        assert row["difference_from_alone"]["mean"] == pytest.approx(np.mean(row["repeats"]) - alone)
        assert 0.35 < row["accuracy"]["mean"] < 1
    assert program.ADAPTED in found["multiple of three"]["5"]["methods"]
    text = (tmp_path / "run" / "table.md").read_text()
    assert f"{100 * best['accuracy']['mean']:.1f} +- {100 * best['accuracy']['ci95']:.1f}" in text
    assert "Four questions about digits" in capsys.readouterr().out


def test_repeats_become_a_summary_and_tables():
    """Catches numbers of one repeat or method that land in another's: a row for each, and means by hand."""

    metrics = digits_report.METRICS

    def repeat(shift):
        def measures(i):
            return {
                metric: [0.5 + 0.01 * i + shift + 0.1 * k, 0.6 + shift + 0.1 * k] for k, metric in enumerate(metrics)
            }

        names = (*digits_report.PER_TASK, digits_report.ALONE, "shared, uniform")
        return {"pair": {n: {name: measures(i) for i, name in enumerate(names)} for n in ("5", "10")}}

    found = digits_report.summary({"pair": ("a", "b")}, digits_report.gathered([repeat(0.0), repeat(0.1)]))
    of_size = found["pair"]["10"]
    assert of_size["best per-task classifier"] == "k nearest"
    row = of_size["methods"]["shared, uniform"]
    assert row["precision"]["tasks"]["a"]["mean"] == pytest.approx(0.5 + 0.05 + 0.05 + 0.1)
    assert row["repeats"] == pytest.approx([0.575, 0.675])
    assert (row["difference"]["mean"], row["difference_from_alone"]["mean"]) == pytest.approx((0.01, 0.005))
    assert row["difference"]["ci95"] == pytest.approx(0, abs=1e-9)
    text = digits_report.report(2, 0.3, {"pair": "A pair"}, found)
    assert "| shared, uniform | 62.5 +- 63.5 | 62.5 +- 63.5 |" in text and "## A pair" in text
    assert "| shared, uniform | 60.0 / 70.0 / 80.0 | 65.0 / 75.0 / 85.0 | 62.5 / 72.5 / 82.5 |" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 1}, "--repeats must be 2 or more, got 1"),
        ({"examples": (3,)}, "--examples must be 4 to 200, got 3"),
        ({"examples": ()}, "a number of --examples or more"),
        ({"source_examples": 300}, "--source-examples must be 4 to 200"),
        ({"test_share": 0.9}, "--test-share must be 0.05 to 0.35"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"weightings": ("unifrom",)}, "no weighting 'unifrom'.*did you mean 'uniform'"),
        ({"aggregates": ("upgard",)}, "no aggregator 'upgard'.*did you mean 'upgrad'"),
    ],
)
def test_settings_that_make_no_sense(changes, message, tmp_path):
    with pytest.raises(RunError, match=message):
        run(program.study, program.Config(run_dir=str(tmp_path / "run"), **changes))
    assert not (tmp_path / "run").exists()
