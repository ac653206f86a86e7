import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import TINY

import jmeta
from jmeta.algorithms import MetaSGDParams
from jmeta.runs.few_shot import load_trained
from jmeta.runs.few_shot.evaluate import step_numbers
from jmeta.runs.few_shot.heads import at_way

pytestmark = pytest.mark.standard_promotion


@pytest.fixture
def evaluated(cli, finished, tmp_path):
    def run(*words):
        result = cli("evaluate", "--run-dir", finished, "--episodes", 20, "--output", tmp_path / "e.json", *words)
        assert result.code == 0, result
        return json.loads((tmp_path / "e.json").read_text()), result.out

    return run


def test_evaluation_reports_mean_interval_and_steps(evaluated, finished):
    found, out = evaluated()
    stored = json.loads((finished / "config.json").read_text())
    assert found["split_hash"] == stored["facts"]["split_hash"] and found["episodes"] == 20
    assert found["accuracy"] > 0.6 and 0 <= found["ci95"] < 0.3
    assert found["recall"] == pytest.approx(found["accuracy"], abs=1e-5) and 0 < found["precision"] <= 1
    assert [row["inner_steps"] for row in found["steps"]] == [0, 1, 2, 3]
    assert found["steps"][-1]["accuracy"] == found["accuracy"]
    line = f"accuracy {100 * found['accuracy']:.2f} % +- {100 * found['ci95']:.2f} (20 episodes, one query at a time)"
    assert out.splitlines()[-1] == line


def test_the_same_seed_gives_the_same_numbers(evaluated):
    def numbers(*words):
        return {k: v for k, v in evaluated(*words)[0].items() if k != "date"}

    assert numbers() == numbers()
    assert numbers("--seed", 1)["steps"] != numbers()["steps"]


@pytest.mark.parametrize("way", [3, 4])
def test_another_way_shot_and_number_of_steps(evaluated, way):
    found, out = evaluated("--way", way, "--shot", 3, "--query-shot", 1, "--inner-steps", 5)
    assert (found["way"], found["shot"], found["inner_steps"]) == (way, 3, 5)
    assert "trained 2-way" in out
    assert found["accuracy"] > (1.2 / way if way > 1 else 0.99)


def test_another_part_and_other_data(evaluated, tmp_path):
    found, out = evaluated("--part", "train")
    assert (found["part"], found["seen_classes"]) == ("train", 8) and "were trained on" in out
    assert evaluated()[0]["seen_classes"] == 0 and evaluated("--split", "all")[0]["seen_classes"] == 8
    images = np.random.default_rng(1).integers(0, 255, (12, 4, 11, 13, 3), np.uint8)
    np.savez(tmp_path / "other.npz", images=images)
    found, _ = evaluated("--dataset", tmp_path / "other.npz", "--split", "all")
    assert (found["dataset"], found["protocol"], found["seen_classes"]) == ("other", "all", 0)


def test_one_by_one_and_together_differ_with_batch_statistics(cli, shapes, tmp_path):
    words = [*TINY, "--norm", "batch", "--outer-steps", 10]
    assert cli("train", "--dataset", shapes, *words, "--run-dir", tmp_path / "run").code == 0
    found = {}
    for flag in ("--transductive", "--no-transductive"):
        assert cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 20, flag).code == 0
        found[flag] = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    together, alone = found.values()
    assert together["reading"] == "transductive" and alone["reading"] == "inductive"
    assert together["inductive_accuracy"] == alone["accuracy"] != together["accuracy"]
    assert alone["transductive_accuracy"] == together["accuracy"]


def test_pictures_seen_mirrored_too(cli, refused, finished, tmp_path):
    """The files of both readings stay, and episodes of mirrored pictures have the same accuracy."""
    found, run = {}, tmp_path / "run"
    shutil.copytree(finished, run)
    images = np.random.default_rng(1).integers(0, 255, (12, 4, 11, 13, 3), np.uint8)
    for name, shown in (("plain", images), ("turned", images[:, :, :, ::-1])):
        np.savez(tmp_path / f"{name}.npz", images=shown)
        words = (
            "--dataset",
            tmp_path / f"{name}.npz",
            "--split",
            "all",
            "--views",
            "mirror",
            "--output",
            tmp_path / f"{name}.json",
        )
        result = cli("evaluate", "--run-dir", finished, "--episodes", 20, *words)
        assert result.code == 0 and "in 2 views (mirror)" in result.out + result.err
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())
    np.testing.assert_allclose(found["plain"]["values"], found["turned"]["values"])
    assert found["plain"]["views"] == "mirror"
    for words in ((), ("--views", "mirror")):
        assert cli("evaluate", "--run-dir", run, "--episodes", 5, *words).code == 0
    both = [json.loads((run / name).read_text()) for name in ("evaluation.json", "evaluation-mirror.json")]
    assert [own["views"] for own in both] == ["one", "mirror"] and both[0]["values"] != both[1]["values"]
    assert "letters are others in a mirror" in refused(
        "evaluate", "--run-dir", finished, "--dataset", "omniglot-runs", "--views", "mirror"
    )


def test_curves_are_judged_by_their_error(cli, tmp_path):
    words = "--preset maml-sinusoid --outer-steps 100 --log-every 50 --save-every 100 --val-episodes 20".split()
    assert cli("train", *words, "--run-dir", tmp_path / "run").code == 0
    result = cli("evaluate", "--run-dir", tmp_path / "run", "--shot", 5, "--inner-steps", 2, "--episodes", 50)
    found = json.loads((tmp_path / "run" / "evaluation-1w5s.json").read_text())
    assert result.code == 0 and "accuracy" not in found and len(found["steps"]) == 3
    assert found["steps"][-1]["error"] == found["error"] > 0 and found["ci95"] > 0
    assert result.out.splitlines()[-1].startswith(f"error {found['error']:.4f} +- ")


def test_a_head_is_cut_or_grows_by_the_mean():
    kernel = jnp.arange(6.0).reshape(2, 3)
    params = {"head": {"kernel": kernel, "bias": jnp.array([1.0, 2.0, 6.0])}, "body": jnp.ones((2, 3))}
    both = at_way(MetaSGDParams(params, params), 3, 5)
    np.testing.assert_allclose(both.model["head"]["kernel"], [[0, 1, 2, 1, 1], [3, 4, 5, 4, 4]])
    np.testing.assert_allclose(both.lr["head"]["bias"], [1, 2, 6, 3, 3])
    assert both.model["body"].shape == (2, 3)
    np.testing.assert_array_equal(at_way(params, 3, 2)["head"]["kernel"], kernel[:, :2])


@pytest.mark.parametrize(
    ("steps", "cheap", "numbers"),
    [(0, True, [0]), (3, True, [0, 1, 2, 3]), (12, True, [0, 1, 2, 3, 5, 8, 12]), (10, False, [0, 1, 2, 5, 10])],
)
def test_steps_to_measure(steps, cheap, numbers):
    assert step_numbers(steps, cheap) == numbers


def test_a_damaged_checkpoint_is_named(finished, refused, tmp_path):
    for number, damage in enumerate(("cut", "garbled", "gone", "empty", "another")):
        run_dir = tmp_path / str(number)
        shutil.copytree(finished, run_dir)
        newest = run_dir / "checkpoints" / "20"
        largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        data = largest.read_bytes()
        if damage == "gone":
            shutil.rmtree(newest / "state")
        elif damage == "empty":  # as a copy that was stopped leaves it
            shutil.rmtree(newest)
            newest.mkdir()
        elif damage == "another":
            shutil.rmtree(newest)
            shutil.copytree(run_dir / "checkpoints" / "10", newest)
        else:
            middle = len(data) // 2
            largest.write_bytes(
                data[:middle] if damage == "cut" else data[:middle] + b"\xff" * 64 + data[middle + 64 :]
            )
        before = (run_dir / "metrics.jsonl").read_bytes()
        for words in (["evaluate", "--checkpoint", "newest"], ["train", "--resume"]):
            message = refused(*words, "--run-dir", run_dir)
            assert "checkpoints/20 is damaged" in message, damage
        assert (run_dir / "metrics.jsonl").read_bytes() == before
        assert not (run_dir / "evaluation.json").exists()


def test_a_checkpoint_comes_back_bit_for_bit(finished):
    trained = load_trained(finished, "newest")
    assert trained.step == 20
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.params))


def test_rates_of_as_many_steps_as_there_were_classes_are_left_alone():
    learner = jmeta.maml_plus_plus(jmeta.nets.MLP((4,), 3), inner_lr=0.1, inner_steps=3)
    params = learner.init(jax.random.key(0), jnp.zeros((3, 2)))
    wider = at_way(params, 3, 5)
    assert {rate.shape for rate in wider.lr.values()} == {(3,)}
    assert {
        leaf.shape[-1] for name, leaf in jax.tree_util.tree_leaves_with_path(wider.model) if "head" in str(name)
    } == {5}
