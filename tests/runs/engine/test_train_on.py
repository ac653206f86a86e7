"""A run that grows, and one that starts from another."""

import json
import shutil

import jax
import numpy as np
import pytest
from small_runs import PLAIN, TINY, arrays_of, assert_same_run, rows_of

from jmeta.runs.engine.leaves import name_of
from jmeta.runs.few_shot.heads import _role, fitted
from jmeta.runs.few_shot.trained import load_trained

pytestmark = pytest.mark.standard_promotion


def test_a_finished_run_grows_to_the_longer_run(cli, finished, shapes, tmp_path):
    """With a constant rate the longer run begins as the shorter one did, so that both end with the same bits."""
    shutil.copytree(finished, tmp_path / "run")
    longer = [word if word != "20" or TINY[i - 1] != "--outer-steps" else "40" for i, word in enumerate(TINY)]
    whole = cli("train", "--dataset", shapes, *longer, "--run-dir", tmp_path / "whole")
    assert whole.code == 0, whole
    grown = cli("train", "--run-dir", tmp_path / "run", "--resume", "--outer-steps", 40)
    assert grown.code == 0, grown
    assert "grows from --outer-steps 20 to 40: rates that follow a schedule are now" in grown.out + grown.err
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["outer_steps"] == 40
    assert cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 5).code == 0


def test_a_run_does_not_shrink(refused, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    told = refused("train", "--run-dir", tmp_path / "run", "--resume", "--outer-steps", 10)
    assert "belongs to another configuration (--outer-steps 20, not 10)" in told


def test_a_run_starts_from_the_parameters_of_another(cli, finished, shapes, tmp_path):
    """Catches a start from anything else, and a head of another way that is refused."""
    words = ("train", "--dataset", shapes, *TINY, "--outer-lr", "1e-30", "--init-from", finished)
    result = cli(*words, "--run-dir", tmp_path / "run")
    assert result.code == 0, result
    for a, b in zip(arrays_of(tmp_path / "run"), arrays_of(finished, "best"), strict=True):
        np.testing.assert_array_equal(a, b)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    assert cli(*words, "--run-dir", tmp_path / "run", "--resume").code == 0
    wider = [word if TINY[i - 1] != "--way" else "3" for i, word in enumerate(TINY)]
    result = cli("train", "--dataset", shapes, *wider, "--init-from", finished, "--run-dir", tmp_path / "wider")
    assert result.code == 0 and rows_of(tmp_path / "wider"), result


def test_parameters_that_do_not_fit_are_named(refused, finished, shapes, tmp_path):
    words = ("train", "--dataset", shapes, *TINY, "--init-from", finished, "--run-dir", tmp_path / "run")
    told = refused(*words, "--features", "8")
    assert "has other parameters, " in told and "is [16] there and [8] here: give the same" in told
    told = refused("rl", "train", "--init-from", finished, "--run-dir", tmp_path / "rl")
    assert "is a run of few-shot, not " in told


@pytest.mark.parametrize(
    ("algorithm", "words", "anew"),
    [
        ("prototypical", (), None),
        ("ridge", (), "; log_l2 starts anew, offset starts anew, scale starts anew."),
        ("anil", ("--inner-lr", "0.5"), None),
        ("meta-sgd", ("--inner-lr", "0.25"), "; lr starts anew."),
    ],
)
def test_another_learner_starts_from_the_encoder(cli, finished, shapes, tmp_path, algorithm, words, anew):
    """Catches arrays at another place of a network, and a head or rates taken from where they mean something else."""
    words = (*PLAIN, *words, "--algorithm", algorithm, "--outer-lr", "1e-30", "--log-every", 1)
    brief = ("--outer-steps", 1, "--save-every", 1, "--init-from", finished, "--run-dir", tmp_path / "run")
    result = cli("train", "--dataset", shapes, *words, *brief)
    assert result.code == 0, result
    assert anew is None or anew in result.out + result.err
    ours, theirs = (by_role(load_trained(run, "best").params) for run in (tmp_path / "run", finished))
    encoder = [role for role in theirs if role.startswith("encoder/")]
    assert encoder and encoder == [role for role in ours if role.startswith("encoder/")]
    for role in ours.keys() & theirs.keys():
        np.testing.assert_array_equal(ours[role], theirs[role], err_msg=role)
    if algorithm == "meta-sgd":
        assert all((leaf == 0.25).all() for role, leaf in ours.items() if role.startswith("lr/"))


def test_a_head_after_a_learner_without_one_is_zero(cli, shapes, tmp_path):
    brief = ("--outer-steps", 1, "--save-every", 1, "--log-every", 1, "--outer-lr", "1e-30")
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli("train", "--dataset", shapes, *PLAIN, *brief, "--algorithm", "prototypical", "--run-dir", one).code == 0
    result = cli("train", "--dataset", shapes, *TINY, *brief, "--init-from", one, "--run-dir", two)
    assert result.code == 0 and "; head is 0." in result.out + result.err, result
    found = by_role(load_trained(two).params)
    assert all(abs(leaf).max() < 1e-20 for role, leaf in found.items() if role.startswith("head/"))
    assert any(leaf.any() for role, leaf in found.items() if role.startswith("encoder/"))


def by_role(params):
    return {_role(name_of(path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def test_another_encoder_is_refused(refused, finished, shapes, tmp_path):
    words = ("--algorithm", "prototypical", "--features", "16", "16", "--init-from", finished)
    told = refused("train", "--dataset", shapes, *PLAIN, *words, "--run-dir", tmp_path / "run")
    assert "has other parameters, " in told and "is nothing there and [16] here: give the same" in told


def test_arrays_whose_place_is_unknown_are_not_taken_for_others():
    """Catches a start from nothing that looks like one from a run."""
    z = np.zeros(3)
    assert fitted({"0/w": z}, {"model/0/w": (3,), "lr/0/w": (3,)}) == {"model/0/w": None, "lr/0/w": None}


def test_a_run_starts_from_one_with_the_other_norm():
    scale, kernel = np.array([3.0, 4.0]), np.ones(2)
    found = {"params/BatchNorm_0/scale": scale, "params/Conv_0/kernel": kernel}
    given = fitted(found, {"params/SupportNorm_0/scale": (2,), "params/Conv_0/kernel": (2,)})
    assert given["params/SupportNorm_0/scale"] is scale and given["params/Conv_0/kernel"] is kernel
    assert None in fitted(found, {"params/GroupNorm_0/scale": (2,), "params/Conv_0/kernel": (2,)}).values()


def test_a_scale_for_each_inner_step_starts_from_the_one_of_all():
    found = {"params/Conv_0/kernel": np.ones(2), "params/BatchNorm_0/scale": np.array([3.0, 4.0])}
    wanted = {"model/params/encoder/Conv_0/kernel": (2,), "model/params/encoder/BatchNorm_0/scale": (5, 2)}
    given = fitted(found, wanted)
    np.testing.assert_array_equal(given["model/params/encoder/BatchNorm_0/scale"], [[3.0, 4.0]] * 5)
