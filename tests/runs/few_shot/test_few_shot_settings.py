import dataclasses
import json

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import loop, training
from jmeta.algorithms.catalog import LEARNERS
from jmeta.algorithms.settings import INNER_GRADS, INNER_OPTIMIZERS, Maml, Nothing
from jmeta.errors import RunError
from jmeta.nets.catalog import NETWORKS, NORMS
from jmeta.runs.engine.area import load_run, presets
from jmeta.runs.engine.options import Options
from jmeta.runs.few_shot import AREA, defaults, from_preset, settings_of
from jmeta.runs.few_shot.experiment import (
    builder,
    eval_steps,
    learner_of,
    outer_optimizer,
    starting,
    tasks_at_once,
    training_learner,
)
from jmeta.runs.few_shot.settings import (
    OUTER_OPTIMIZERS,
    SCHEDULES,
    Choice,
    Outer,
    Settings,
    Tasks,
    check,
    run_dir,
)
from jmeta.settings import fields, names, replaced, to_dict
from jmeta.tasks import linear_sampler, sinusoid_sampler
from jmeta.tasks.catalog import TASKS
from jmeta.types import Batch, Episode

pytestmark = pytest.mark.standard_promotion


def episode_of(tasks, shot, input_shape, dtype="float32"):
    def batch(n):
        return Batch(jax.ShapeDtypeStruct((n, *input_shape), dtype), jax.ShapeDtypeStruct((n, tasks.way), "float32"))

    return Episode(batch(tasks.way * shot), batch(tasks.way * tasks.query_shot))


def checked_size(settings, input_shape, dtype="float32"):
    """The number of parameters, once the shapes of the gradient and of a prediction are right; computes nothing."""
    tasks = settings.tasks
    learner = training.at_step(training_learner(settings, tasks.way), jnp.int32(0))
    state = jax.eval_shape(starting(settings, tasks.way, input_shape, dtype), jax.random.key(0))
    episode = episode_of(tasks, tasks.train_shot or tasks.shot, input_shape, dtype)
    grads, _ = jax.eval_shape(jax.grad(learner.loss, has_aux=True), state.params, episode)
    assert jax.tree.structure(grads) == jax.tree.structure(state.params)
    tested = learner_of(settings, eval_steps(settings.learner))
    episode = episode_of(tasks, tasks.shot, input_shape, dtype)
    logits = jax.eval_shape(
        lambda params, episode: tested.predict(tested.adapt(params, episode.support), episode.query.x),
        state.params,
        episode,
    )
    assert logits.shape == episode.query.y.shape
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def of_each_kind():
    """A preset for each algorithm, network and data set: the others have another way or shot."""
    each = {name: from_preset(name)[0] for name in presets(AREA)}
    kinds = {(own.algorithm, own.network.network, own.tasks.dataset): name for name, own in each.items()}
    return sorted(kinds.values())


@pytest.mark.parametrize("name", presets(AREA))
def test_every_preset_is_in_order(name):
    settings, options = from_preset(name)
    check(settings, options)
    assert options.preset == name and options.save_every % options.log_every == 0
    assert presets(AREA)[name]["source"].count("https://")
    # What is published must not move with a default.
    stated = {name for name, value in to_dict(settings).items() if value is not None} - set(names(settings, "place"))
    assert stated <= presets(AREA)[name].keys()


def test_there_are_presets_of_every_learner_of_a_paper():
    published = {name for name, row in LEARNERS.items() if row.paper}
    assert {from_preset(name)[0].algorithm for name in presets(AREA)} == published
    with pytest.raises(RunError, match="did you mean 'maml-omniglot-5w1s'"):
        from_preset("maml-omniglot-5w1")


@pytest.mark.long
@pytest.mark.parametrize("name", of_each_kind())
def test_every_kind_of_preset_builds(name):
    settings, _ = from_preset(name)
    checked_size(settings, (1,) if settings.tasks.dataset == "sinusoid" else (28, 28, 1))


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_every_algorithm_builds(algorithm):
    settings, options = defaults(Choice(algorithm))
    check(settings, options)
    checked_size(replaced(settings, {"network": "mlp", "features": (8,), "way": 3, "shot": 2}), (5, 5, 1))


@pytest.mark.parametrize("algorithm", LEARNERS)
@pytest.mark.parametrize("dataset", TASKS)
def test_defaults_make_sense_on_vectors_where_the_learner_does(algorithm, dataset):
    settings, options = defaults(Choice(algorithm, dataset))
    row = LEARNERS.get(algorithm)
    if row.ordinary or (TASKS.get(dataset).numbers and not row.numbers):
        with pytest.raises(RunError, match=f"{dataset} has none"):
            check(settings, options)
    else:
        check(settings, options)


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_names_of_settings_are_unique_and_classes_are_small(algorithm):
    settings, options = defaults(Choice(algorithm))
    every = [*names(settings), *names(options)]
    assert len(every) == len(set(every))

    def widest(part):
        values = [getattr(part, field.name) for field in dataclasses.fields(part)]
        return max([len(values), *(widest(value) for value in values if dataclasses.is_dataclass(value))])

    assert widest(settings) <= 14 and widest(options) <= 14


def test_what_is_swept_is_a_number_of_the_program():
    """A traced rate gives the run of that rate, to rounding; data are loaded once."""
    build = builder()
    settings = settings_of(dataset="linear", inner_steps=2, meta_batch_size=4)

    def trained(rates):
        experiment = build(replaced(settings, rates))
        state = experiment.init(jax.random.key(0))
        return loop.steps(lambda state: experiment.update(state, None), state, jnp.int32(3))[0].params

    for rates in ({"inner_lr": 0.3, "outer_lr": 0.02}, {"inner_lr": 1.0, "outer_lr": 0.02}):
        alone = trained(rates)
        together = jax.jit(trained)({name: jnp.float32(value) for name, value in rates.items()})
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), alone, together)
    swept = {field.name for field, _ in fields(settings) if field.metadata.get("swept")}
    assert swept == {"inner_lr", "outer_lr"}
    assert names(settings_of(algorithm="ridge"), "swept") == ["outer_lr"]


def test_settings_of_one_algorithm_are_not_those_of_another():
    with pytest.raises(RunError, match="did you mean 'truncation'"):
        settings_of(truncatio=1)
    for algorithm, name in (
        ("maml", "regularization"),
        ("prototypical", "inner_steps"),
        ("meta-sgd", "inner_optimizer"),
    ):
        with pytest.raises(RunError, match=f"there is no setting '{name}'"):
            settings_of(algorithm=algorithm, **{name: 1})
    mixed = dataclasses.replace(settings_of(), algorithm="reptile")
    with pytest.raises(RunError, match="reptile has settings Reptile, got Maml"):
        check(mixed)


def test_what_has_a_head_for_each_class_refuses_another_way_in_training():
    with pytest.raises(RunError, match="maml has parameters for each of its 5 classes"):
        check(settings_of(train_way=20))
    check(settings_of(algorithm="prototypical", train_way=20))


def test_maml_has_the_published_size():
    size = checked_size(from_preset("maml-omniglot-5w1s")[0], (28, 28, 1))
    # Four convolutions of 3x3x64 with bias, scale and shift; a head of 64 x 5.
    assert size == (9 * 64 + 3 * 64) + 3 * (9 * 64 * 64 + 3 * 64) + 64 * 5 + 5


@pytest.mark.parametrize("algorithm", ["anil", pytest.param("maml", marks=pytest.mark.long)])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_builds(algorithm, network):
    settings = settings_of(algorithm=algorithm, network=network, features=(8,), way=3, shot=2)
    check(settings)
    tokens = NETWORKS.get(network).tokens
    checked_size(settings, (6,) if tokens else (14, 14, 1), "int32" if tokens else "float32")


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_builds(norm):
    checked_size(settings_of(norm=norm, features=(8,)), (14, 14, 3))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in ("sgd", "adam"))) for name in INNER_OPTIMIZERS]
)
def test_every_inner_optimizer_builds(name):
    checked_size(settings_of(inner_optimizer=name, features=(8,)), (14, 14, 1))


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("sgd", "constant"),
        ("sam", "constant"),
        *(
            pytest.param(name, "constant", marks=pytest.mark.long)
            for name in OUTER_OPTIMIZERS
            if name not in ("sgd", "sam")
        ),
        *(pytest.param("adam", name, marks=[pytest.mark.long] * (name != "cosine")) for name in SCHEDULES[1:]),
    ],
)
def test_every_outer_rule_lowers_the_loss(name, schedule):
    settings = settings_of(
        dataset="sinusoid", outer_optimizer=name, outer_schedule=schedule, outer_lr=0.01, outer_steps=100
    )
    learner, optimizer = learner_of(settings, 1), outer_optimizer(settings.outer)
    sample = sinusoid_sampler(shot=10, query_shot=10)
    run = training.make_run(learner, optimizer, sample, meta_batch_size=25)
    state = starting(settings, None, (1,))(jax.random.key(0))
    _, metrics = run(state, 100)
    assert float(metrics.loss[-10:].mean()) < float(metrics.loss[:10].mean())


def gradient_of(**values):
    """Of the outer loss, in parameters that the settings decide the form of alone."""
    start = {"dataset": "linear", "inner_steps": 3, "inner_lr": 0.5}
    settings = settings_of(**{**start, **values})
    check(settings)
    learner = learner_of(settings, 3)
    episode = linear_sampler(features=10, shot=5, query_shot=5)(jax.random.key(1))
    params = learner.init(jax.random.key(0), episode.support.x)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    return jax.flatten_util.ravel_pytree(jax.jit(jax.grad(learner.loss, has_aux=True))(params, episode)[0])[0]


@pytest.mark.parametrize(
    "algorithm", ["maml", *(pytest.param(name, marks=pytest.mark.long) for name in ("anil", "meta-sgd"))]
)
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
    settings = settings_of(dataset="linear", inner_steps=3)
    episode = linear_sampler(features=10, shot=5, query_shot=5)(jax.random.key(1))
    for name, primitive in (("reverse", None), ("remat", "remat2"), ("mixed", "custom_vjp_call")):
        learner = learner_of(replaced(settings, {"inner_grad": name}), 3)
        params = learner.init(jax.random.key(0), episode.support.x)
        program = str(jax.make_jaxpr(learner.adapt)(params, episode.support))
        found = [p for p in ("remat2", "custom_vjp_call") if f"{p}[" in program]
        assert found == ([primitive] if primitive else [])


def test_schedules_end_at_zero():
    for schedule, last in (("linear", 0.0), ("cosine", 0.0), ("constant", 1.0)):
        optimizer = outer_optimizer(Outer(1.0, 4, outer_optimizer="sgd", outer_schedule=schedule))
        one = jnp.ones(())
        state = optimizer.init(one)
        for _ in range(5):
            update, state = optimizer.update(one, state, one)
        assert float(update) == pytest.approx(-last, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "steps", "rates"),
    [
        ("drops", 60, {0: 1, 19: 1, 20: 0.06, 39: 0.06, 40: 0.012, 49: 0.012, 50: 0.0024, 59: 0.0024, 70: 0.0024}),
        ("drops", 2, {0: 1, 1: 0.06, 2: 0.0024}),
        ("drops", 1, {0: 1, 1: 0.0024}),
        ("halving", 5000, {0: 1, 1999: 1, 2000: 0.5, 3999: 0.5, 4000: 0.25, 5999: 0.25, 6000: 0.125}),
    ],
)
def test_schedules_of_papers_drop_at_their_steps(schedule, steps, rates):
    """Catches a drop at a step before or after, and one that is counted from the one before it."""
    optimizer = outer_optimizer(Outer(1.0, steps, outer_optimizer="sgd", outer_schedule=schedule))
    one = jnp.ones(())
    counts = lambda state, step: jax.tree.map(lambda leaf: jnp.full_like(leaf, step), state)  # its only leaf is a count
    for step, rate in rates.items():
        update, _ = optimizer.update(one, counts(optimizer.init(one), step), one)
        assert float(update) == pytest.approx(-rate, rel=1e-6), step


@pytest.mark.parametrize(
    "settings",
    [
        settings_of(),
        settings_of(algorithm="maml++", shot=3, anneal_steps=7),
        from_preset("reptile-omniglot-5w5s")[0],
        settings_of(algorithm="anil", dataset="linear"),
        settings_of(algorithm="siamese"),
    ],
)
def test_settings_survive_json(settings, tmp_path):
    config = tmp_path / "config.json"
    values = {"experiment": "few-shot", **to_dict(settings), **to_dict(Options())}
    config.write_text(json.dumps(values))
    assert load_run(AREA, tmp_path)[:2] == (settings, Options())
    config.write_text(json.dumps({**values, "shot": "three"}))
    with pytest.raises(RunError, match=r"config.json has shot 'three', which must be a whole number"):
        load_run(AREA, tmp_path)


def test_defaults_follow_algorithm_and_data():
    assert defaults(Choice("meta_sgd", "sinusoid"))[0].network.network == "mlp"
    assert defaults(Choice("reptile"))[0].outer.outer_optimizer == "sgd"
    assert defaults(Choice(dataset="omniglot"))[0].tasks.rotations and not defaults(Choice())[0].tasks.rotations
    assert defaults(Choice("Meta_SGD"))[0].algorithm == "meta-sgd"
    assert isinstance(defaults(Choice("baseline"))[0].learner, Nothing)
    made, options = defaults(Choice(dataset="linear"))
    assert (made.tasks.way, made.learner.inner.inner_lr, options.log_every) == (2, 0.5, 1000)
    plain = settings_of()
    assert plain == Settings("maml", Maml(), Tasks(), plain.network, Outer())
    with pytest.raises(RunError, match="did you mean 'maml'"):
        defaults(Choice("mamml"))


def test_run_folders_are_named_after_what_is_in_them():
    assert run_dir(*from_preset("maml-omniglot-20w5s")) == "runs/maml-omniglot-20w5s"
    assert run_dir(from_preset("anil-sinusoid")[0], Options(seed=3)) == "runs/anil-sinusoid-seed3"
    group = Options(seeds=3, sweep=("inner-lr=1",))
    assert run_dir(settings_of(), group) == "runs/maml-glyphs-5w1s-3seeds-inner_lr"
    assert run_dir(settings_of(dataset="some/where/shapes.npz"), Options()) == "runs/maml-shapes-5w1s"


def test_chunks_divide_what_a_device_has():
    for values, devices, size in (((None, 8), 2, None), ((4, 8), 2, 4), ((8, 8), 2, 4)):
        assert tasks_at_once(Outer(chunk_size=values[0], meta_batch_size=values[1]), devices) == size
    with pytest.raises(RunError, match="must divide the 6 episodes of each of the 2 devices, got 4: choose 3"):
        tasks_at_once(Outer(chunk_size=4, meta_batch_size=12), 2)
    with pytest.raises(RunError, match="--chunk-size must divide --meta-batch-size, got 3 and 32"):
        check(settings_of(chunk_size=3))


@pytest.mark.parametrize(("trained", "tested", "said"), [(5, 1, True), (5, None, False), (1, 3, False)])
def test_fewer_inner_steps_in_the_test_than_in_training_are_said(trained, tested, said):
    """As of a preset that tests after one, with --inner-steps 5 beside it: accuracy falls while training goes well."""
    settings = settings_of(inner_steps=trained, eval_inner_steps=tested)
    told = builder()(replaced(settings, {"features": (4,), "dataset": "glyphs:60"})).about
    assert ("tested after 1: --eval-inner-steps 5 has as many" in told) == said
