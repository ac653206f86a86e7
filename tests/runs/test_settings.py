import dataclasses
import json

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from jmeta.runs.config import (
    ALGORITHMS,
    INNER_GRADS,
    INNER_OPTIMIZERS,
    NETWORKS,
    NORMS,
    OUTER_OPTIMIZERS,
    OWN_SETTINGS,
    SCHEDULES,
    TrainConfig,
    check,
    default_run_dir,
    differences,
    from_dict,
    normalise,
    to_dict,
)
from jmeta.runs.start import check_preset, dataset_of, starting_point, value_of

from jmeta import training
from jmeta.episodes import linear_sampler, sinusoid_sampler
from jmeta.runs import RunError, build, defaults, from_preset, learners, presets
from jmeta.types import Batch, Episode

pytestmark = [pytest.mark.standard_promotion, pytest.mark.unoptimized]


def episode_of(config, shot, input_shape):
    def batch(n):
        return Batch(
            jax.ShapeDtypeStruct((n, *input_shape), "float32"), jax.ShapeDtypeStruct((n, config.way), "float32")
        )

    return Episode(batch(config.way * shot), batch(config.way * config.query_shot))


def checked_size(config, input_shape):
    """The number of parameters, once the shapes of the gradient and of a prediction are right; computes nothing."""
    learner = training.at_step(learners.training_learner(config, config.way), jnp.int32(0))
    sample_x = build.sample_input(config, input_shape)
    optimizer = build.outer_optimizer(config)
    state = jax.eval_shape(lambda: training.init_state(learner, optimizer, jax.random.key(0), sample_x))
    episode = episode_of(config, config.train_shots or config.shot, input_shape)
    grads, _ = jax.eval_shape(jax.grad(learner.loss, has_aux=True), state.params, episode)
    assert jax.tree.structure(grads) == jax.tree.structure(state.params)
    tested = learners.learner_of(config, build.eval_steps(config))
    episode = episode_of(config, config.shot, input_shape)
    logits = jax.eval_shape(
        lambda params, episode: tested.predict(tested.adapt(params, episode.support), episode.query.x),
        state.params,
        episode,
    )
    assert logits.shape == episode.query.y.shape
    return build.parameter_count(state.params)


def of_each_kind():
    """A preset for each algorithm, network and data set: the others have another way or shot."""
    kinds = {(c.algorithm, c.network, c.dataset): name for name in presets() for c in [from_preset(name)]}
    return sorted(kinds.values())


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_in_order(name):
    config = from_preset(name)
    check(config)
    assert config.preset == name and normalise(config) == config
    assert presets()[name].source.count("https://")


@pytest.mark.parametrize("name", of_each_kind())
def test_every_kind_of_preset_builds(name):
    config = from_preset(name)
    checked_size(config, (1,) if config.dataset == "sinusoid" else (28, 28, 1))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_builds(algorithm):
    config = defaults(algorithm)
    check(config)
    assert normalise(config) == config
    checked_size(dataclasses.replace(config, features=(8,), way=3, shot=2), (14, 14, 1))


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_settings_of_one_algorithm_are_refused_by_the_others(name):
    owner = defaults(OWN_SETTINGS[name])
    with pytest.raises(RunError, match=f"maml does not take --{name.replace('_', '-')}"):
        check(dataclasses.replace(defaults("maml"), **{name: getattr(owner, name)}))
    with pytest.raises(RunError, match=f"{owner.algorithm} needs --{name.replace('_', '-')}"):
        check(dataclasses.replace(owner, **{name: None}))


def test_what_has_no_inner_loop_or_a_head_for_each_class_refuses_what_it_has_no_use_for():
    with pytest.raises(RunError, match="prototypical has no inner loop"):
        check(dataclasses.replace(defaults("prototypical"), inner_steps=3))
    with pytest.raises(RunError, match="maml has parameters for each of its 5 classes"):
        check(dataclasses.replace(defaults("maml"), train_way=20))
    check(dataclasses.replace(defaults("prototypical"), train_way=20))


def test_maml_has_the_published_size():
    size = checked_size(from_preset("maml-omniglot-5w1s"), (28, 28, 1))
    # Four convolutions of 3x3x64 with bias, scale and shift; a head of 64 x 5.
    assert size == (9 * 64 + 3 * 64) + 3 * (9 * 64 * 64 + 3 * 64) + 64 * 5 + 5


@pytest.mark.parametrize("algorithm", ["maml", "anil"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_builds(algorithm, network):
    config = dataclasses.replace(defaults(algorithm), network=network, features=(8,), way=3, shot=2)
    check(config)
    checked_size(config, (14, 14, 1))


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_builds(norm):
    checked_size(TrainConfig(norm=norm, features=(8,)), (14, 14, 3))


@pytest.mark.parametrize("name", INNER_OPTIMIZERS)
def test_every_inner_optimizer_builds(name):
    checked_size(TrainConfig(inner_optimizer=name, features=(8,)), (14, 14, 1))


@pytest.mark.parametrize(
    ("name", "schedule"), [(name, "constant") for name in OUTER_OPTIMIZERS] + [("adam", name) for name in SCHEDULES[1:]]
)
def test_every_outer_rule_lowers_the_loss(name, schedule):
    config = dataclasses.replace(
        defaults("maml", "sinusoid"), outer_optimizer=name, outer_schedule=schedule, outer_lr=0.01, outer_steps=100
    )
    learner, optimizer = learners.learner_of(config, 1), build.outer_optimizer(config)
    sample = sinusoid_sampler(shot=10, query_shot=10)
    run = training.make_run(learner, optimizer, sample, meta_batch_size=25)
    state = training.init_state(learner, optimizer, jax.random.key(0), build.sample_input(config, (1,)))
    _, metrics = run(state, 100)
    assert float(metrics.loss[-10:].mean()) < float(metrics.loss[:10].mean())


def gradient_of(**settings):
    """Of the outer loss, in parameters that the settings decide the form of alone."""
    config = dataclasses.replace(defaults("maml", "linear"), inner_steps=3, **settings)
    check(config)
    learner = learners.learner_of(config, 3)
    episode = linear_sampler(features=10, shot=5, query_shot=5)(jax.random.key(1))
    params = learner.init(jax.random.key(0), episode.support.x)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    return jax.flatten_util.ravel_pytree(jax.jit(jax.grad(learner.loss, has_aux=True))(params, episode)[0])[0]


@pytest.mark.parametrize("algorithm", ["maml", "anil", "meta-sgd"])
def test_the_ways_to_differentiate_agree_and_truncation_does_not(algorithm):
    plain = gradient_of(algorithm=algorithm)
    for name in INNER_GRADS:
        np.testing.assert_allclose(gradient_of(algorithm=algorithm, inner_grad=name), plain, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(gradient_of(algorithm=algorithm, truncation=3), plain)
    assert float(jnp.abs(gradient_of(algorithm=algorithm, truncation=1) - plain).max()) > 1e-3
    if algorithm == "maml":
        np.testing.assert_allclose(
            gradient_of(algorithm=algorithm, truncation=0), gradient_of(algorithm="fomaml"), rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("algorithm", ["maml", "anil"])
@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_lower_precision_is_near(algorithm, network):
    settings = {"algorithm": algorithm, "network": network, "features": (8,)}
    full, low = gradient_of(**settings), gradient_of(**settings, precision="bfloat16")
    assert 1e-5 < float(jnp.linalg.norm(full - low) / jnp.linalg.norm(full)) < 0.05


def test_the_inner_gradient_is_the_one_that_is_named():
    config = dataclasses.replace(defaults("maml", "linear"), inner_steps=3)
    episode = linear_sampler(features=10, shot=5, query_shot=5)(jax.random.key(1))
    for name, primitive in (("reverse", None), ("remat", "remat2"), ("mixed", "custom_vjp_call")):
        learner = learners.learner_of(dataclasses.replace(config, inner_grad=name), 3)
        params = learner.init(jax.random.key(0), episode.support.x)
        program = str(jax.make_jaxpr(learner.adapt)(params, episode.support))
        found = [p for p in ("remat2", "custom_vjp_call") if f"{p}[" in program]
        assert found == ([primitive] if primitive else [])


def test_schedules_end_at_zero():
    for schedule, last in (("linear", 0.0), ("cosine", 0.0), ("constant", 1.0)):
        config = TrainConfig(outer_optimizer="sgd", outer_schedule=schedule, outer_lr=1.0, outer_steps=4)
        optimizer = build.outer_optimizer(config)
        one = jnp.ones(())
        state = optimizer.init(one)
        for _ in range(5):
            update, state = optimizer.update(one, state, one)
        assert float(update) == pytest.approx(-last, abs=1e-6)


def test_a_record_from_before_a_setting_had_its_default():
    later = ("inner_grad", "truncation", "precision", "seeds", "sweep", *OWN_SETTINGS, "anneal_steps", "train_way")
    values = {k: v for k, v in to_dict(TrainConfig(shot=3)).items() if k not in later}
    assert from_dict(values) == TrainConfig(shot=3)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(seeds=2, sweep=("inner_lr=0.1,1",)),
        from_preset("reptile-omniglot-5w5s"),
        defaults("anil", "linear"),
    ],
)
def test_settings_survive_json(config):
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    assert not differences(config, dataclasses.replace(config, run_dir="elsewhere", resume=True))
    with pytest.raises(RunError, match="lacks shot"):
        from_dict({k: v for k, v in to_dict(config).items() if k != "shot"})


def test_a_flag_wins_over_a_preset():
    words = ["--preset", "reptile_omniglot_5w1s", "--shot", "3"]
    start = starting_point(words)
    assert (start.algorithm, start.inner_batch_size, start.shot) == ("reptile", 25, 1)
    assert value_of(["--run-dir=a", "--run_dir", "b"], "run-dir") == "b" and value_of(["--way"], "way") is None


def test_an_algorithm_beside_the_preset_of_another():
    words = ["--preset", "maml-omniglot-5w1s", "--algorithm", "prototypical"]
    mixed = dataclasses.replace(starting_point(words), algorithm="prototypical")
    with pytest.raises(RunError, match="prototypical has no inner loop, and --preset maml-omniglot-5w1s is of maml: "):
        check_preset(mixed)
    check_preset(dataclasses.replace(mixed, inner_steps=0, eval_inner_steps=None))
    check_preset(dataclasses.replace(mixed, algorithm="fomaml"))
    check_preset(dataclasses.replace(mixed, way=0))  # is refused for another reason, with its own words
    check_preset(TrainConfig(algorithm="prototypical"))


def test_defaults_follow_algorithm_and_data():
    assert starting_point(["--algorithm", "meta_sgd", "--dataset", "sinusoid"]).network == "mlp"
    assert starting_point(["--algorithm=reptile"]).outer_optimizer == "sgd"
    assert starting_point(["--dataset", "omniglot"]).rotations and not starting_point([]).rotations
    assert starting_point([]) == TrainConfig()


def test_run_folders_are_named_after_what_is_in_them():
    assert default_run_dir(from_preset("maml-omniglot-20w5s")) == "runs/maml-omniglot-20w5s"
    assert default_run_dir(dataclasses.replace(from_preset("anil-sinusoid"), seed=3)) == "runs/anil-sinusoid-seed3"
    assert default_run_dir(TrainConfig(seeds=3, sweep=("inner-lr=1",))) == "runs/maml-glyphs-5w1s-3seeds-inner_lr"
    assert default_run_dir(TrainConfig(dataset="some/where/shapes.npz")) == "runs/maml-shapes-5w1s"


def test_pieces_divide_a_round():
    for log_every, piece in ((50, 5), (7, 1), (4, 4), (3, 3)):
        assert build.piece_length(TrainConfig(log_every=log_every)) == piece
    assert build.piece_length(TrainConfig(dataset="sinusoid", log_every=2500)) == 625


def test_what_is_learned_is_known_before_anything_starts(tmp_path):
    assert dataset_of(["--dataset", "linear", "--preset", "maml-sinusoid"]) == "linear"
    assert dataset_of(["--preset", "maml_sinusoid"]) == "sinusoid"
    assert dataset_of(["--preset", "maml-sinus"]) is None
    assert dataset_of(["--run-dir", str(tmp_path), "--resume"]) == "glyphs"
    (tmp_path / "config.json").write_text("{")
    assert dataset_of(["--run-dir", str(tmp_path), "--resume"]) is None
