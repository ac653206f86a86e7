"""Pools, rules and queries on toys whose answer is seen at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import nets
from jmeta.active import ask, choices, query, rules
from jmeta.active.learned import STATISTICS, acquisition, acquisition_loss, misses, statistics
from jmeta.algorithms import prototypical
from jmeta.types import Batch, Episode

pytestmark = pytest.mark.standard_promotion
LEARNER = prototypical(nets.MLPEncoder(()))


@functools.cache
def episode(key=0, padding=0):
    """Three classes of six points in the plane, and rows of NaN that are padding, first."""
    middles = jnp.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    noise = jax.random.normal(jax.random.key(key), (36, 2))
    y = jnp.tile(jnp.eye(3), (12, 1))
    x = y @ middles + 0.5 * noise
    pad = lambda a: jnp.concatenate([jnp.full((padding, a.shape[1]), jnp.nan), a])
    weight = (jnp.arange(18 + padding) >= padding).astype(float)
    return Episode(Batch(pad(x[:18]), pad(y[:18]), weight), Batch(x[18:], y[18:]))


@pytest.fixture(scope="module")
def runs():
    made = acquisition(units=4)
    params = made.init(jax.random.key(1))
    every = {name: rule for name, rule in rules.RULES.items() if name != "bald"} | {"learned": made.rule(params)}
    asks = {name: jax.jit(ask(LEARNER, rule, labels=9)) for name, rule in every.items()}

    def runner(name):
        """One program for a size of the pool: with what is known at the start, which may be nothing."""

        def run(task, key, known=None):
            return asks[name]({}, task, key, jnp.zeros(len(task.support.x)) if known is None else known)

        return run

    return {name: runner(name) for name in every}


def test_every_rule_asks_for_each_example_once_and_never_for_padding(runs):
    """Catches a score of padding or NaN that wins, and an example that is asked for twice."""
    for name, run in runs.items():
        asked = run(episode(padding=4), jax.random.key(2))
        picks = asked.picks.tolist()
        assert len(set(picks)) == 9 and min(picks) >= 4, name
        assert jnp.isfinite(asked.curve).all() and asked.known.sum() == 9, name
        whole = run(episode(padding=4), jax.random.key(2), (jnp.arange(22) >= 6).astype(float))
        assert sorted(whole.picks[:2].tolist()) == [4, 5] and (whole.picks[2:] == -1).all(), name


def test_padding_changes_nothing(runs):
    """A rule by the mean of all rows, or clusters of padding, would choose other examples."""
    for name in ("k-centre", "k-means", "coverage", "learned"):
        with_padding = runs[name](episode(padding=4), jax.random.key(0)).picks - 4
        assert with_padding.tolist() == runs[name](episode(), jax.random.key(0)).picks.tolist(), name


def test_stratified_asks_classes_in_turn(runs):
    asked = runs["stratified"](episode(), jax.random.key(0))
    labels = episode().support.y.argmax(1)[asked.picks].reshape(3, 3)
    assert all(sorted(row) == [0, 1, 2] for row in labels.tolist())


def test_k_centre_and_k_means_find_the_classes(runs):
    """The first three labels are of the three clusters: a rule that reads distances the wrong way stays in one."""
    for name in ("k-centre", "coverage"):
        asked = runs[name](episode(), jax.random.key(0))
        assert sorted(episode().support.y.argmax(1)[asked.picks[:3]].tolist()) == [0, 1, 2], name
    asked = jax.jit(ask(LEARNER, rules.k_means, labels=3))({}, episode(), jax.random.key(0))
    assert sorted(episode().support.y.argmax(1)[asked.picks].tolist()) == [0, 1, 2]


def test_the_curve_is_that_of_the_learner_on_what_is_known(runs):
    """Catches a learner that is adapted to the pool before the label, or to more than is known."""
    asked = runs["margin"](episode(), jax.random.key(0))
    predict = jax.jit(lambda task: LEARNER.predict(LEARNER.adapt({}, task.support), task.query.x))
    for labels in (3, 9):
        known = jnp.zeros(18).at[asked.picks[:labels]].set(1)
        logits = predict(episode()._replace(support=episode().support._replace(weight=known)))
        hits = (logits.argmax(1) == episode().query.y.argmax(1)).mean()
        assert abs(hits - asked.curve[labels]) < 1e-6


def test_bald_asks_where_samples_disagree():
    """Entropy alone would ask for the point that all samples are unsure of."""
    logits = jnp.log(jnp.array([[[0.5, 0.5], [0.99, 0.01]], [[0.5, 0.5], [0.01, 0.99]]]))
    learner = LEARNER._replace(adapt=lambda p, s: {}, predict=lambda a, x, w=None: logits)
    batch = Batch(jnp.zeros((2, 1)), jnp.eye(2))
    assert jax.jit(ask(learner, rules.bald, labels=1))({}, Episode(batch, batch), jax.random.key(0)).picks.tolist() == [
        1
    ]
    with pytest.raises(ValueError, match="bald needs a learner whose predict returns samples"):
        ask(LEARNER, rules.bald, labels=1)({}, episode(), jax.random.key(0))


def test_the_score_function_has_the_gradient_of_the_expected_loss():
    """One choice among three with losses c: d E / d s_i = p_i (c_i - E). A baseline that sees its own run is biased."""
    costs, scores = jnp.array([1.0, 2.0, 4.0]), jnp.array([0.3, 0.0, -0.5])

    def surrogate(scores, key):
        def play(choose, key):
            choice = choose(scores, key)
            return (choice.weight @ costs)[None], choice.log_prob[None]

        return choices.policy_gradient(rollouts=4)(play, key)[0]

    grads = jax.jit(jax.vmap(jax.grad(surrogate), (None, 0)))(scores, jax.random.split(jax.random.key(0), 20_000))
    p = jax.nn.softmax(scores)
    np.testing.assert_allclose(grads.mean(0), p * (costs - p @ costs), atol=0.01)


def test_straight_through_chooses_hard_with_the_gradient_of_a_softmax():
    scores, costs, key = jnp.array([0.3, 0.0, -jnp.inf]), jnp.array([1.0, 2.0, 4.0]), jax.random.key(0)
    choose = choices.straight_through(0.5)
    assert sorted(choose(scores, key).weight.round(6).tolist()) == [0, 0, 1]
    soft = lambda s: jax.nn.softmax((s + jax.random.gumbel(key, (3,))) / 0.5) @ costs
    found = jax.grad(lambda s: choose(s, key).weight @ costs)(scores)
    np.testing.assert_allclose(found[:2], jax.grad(soft)(scores)[:2], rtol=1e-5)
    assert jnp.isfinite(found).all()


def test_a_learned_rule_does_not_depend_on_the_order_of_the_pool_and_has_a_gradient():
    made = acquisition(units=4)
    own = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(jax.random.key(3), a.shape), made.init(jax.random.key(1)))
    order = jax.random.permutation(jax.random.key(5), 18)
    one = episode()
    other = Episode(jax.tree.map(lambda a: a[order], one.support), one.query)
    rule = lambda view: made.rule(own)(view)
    run = jax.jit(ask(LEARNER, rule, labels=4))
    start = jnp.zeros(18).at[0].set(1)
    picked = run({}, one, jax.random.key(0), start).picks
    assert order[run({}, other, jax.random.key(0), start[order]).picks].tolist() == picked.tolist()
    loss = acquisition_loss(LEARNER, made.rule, choices.policy_gradient(4), labels=3)
    grads = jax.jit(jax.grad(lambda own: loss({}, own, one, jax.random.key(0))[0]))(own)
    assert (
        all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
        and jnp.abs(grads["head"]["params"]["head"]["kernel"]).max() > 0
    )


def test_statistics_are_as_many_as_they_say_and_finite():
    seen = []

    def rule(view):
        found = statistics(view)
        seen.append(found.shape)
        return jnp.where(jnp.isfinite(found).all(), view.known - jnp.arange(20), jnp.arange(20.0))

    asked = jax.jit(ask(LEARNER, rule, labels=2))({}, episode(padding=2), jax.random.key(0))
    assert set(seen) == {(20, STATISTICS)} and asked.picks.tolist() == [2, 3]


def test_a_class_without_a_label_is_missed_whole():
    logits = LEARNER.predict(LEARNER.adapt({}, episode().support._replace(weight=jnp.eye(18)[0])), episode().query.x)
    assert abs(misses(logits, episode().query) - 2 / 3) < 1e-6


X, Y, POOL = np.array([[0.0, 0], [1, 1]]), ["no", "yes"], np.array([[0.1, 0], [0.5, 0.4], [5, 5], [1, 1.1]])


def test_query_of_arrays():
    """The point between the classes by margin, the far one by distance; then the farthest from both of these."""
    assert query(X, Y, POOL, rule="margin").tolist() == [1]
    assert query(X, Y, POOL, labels=2, rule="k-centre").tolist() == [2, 1]
    told = [[0.5, 0.5], [0.9, 0.1], [0.9, 0.1], [0.8, 0.2]]
    assert query(X, Y, POOL, labels=2, rule="entropy", probabilities=told).tolist() == [0, 3]
    assert sorted(query(np.zeros((0, 2)), [], POOL, labels=4, rule="k-means").tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pool": np.zeros((0, 2))}, "the pool is empty"),
        ({"labels": 5}, "5 labels were asked for of a pool of 4"),
        ({"labels": 0}, "labels must be a whole number of 1 or more"),
        ({"rule": "etnropy"}, "there is no rule 'etnropy' here: choose one of random, entropy"),
        ({"rule": "stratified"}, "there is no rule 'stratified' here"),
        ({"pool": POOL * np.nan}, "pool has values that are NaN or infinite"),
        ({"y": ["no", "no"], "rule": "margin"}, "margin tells classes apart, and y has 1"),
        ({"y": ["no"]}, "y must have a label for each of 2 rows"),
        ({"pool": POOL[:, :1]}, "must have the same features"),
        ({"probabilities": [[1.0, 0.0]]}, r"probabilities must be \[4, classes\]"),
    ],
)
def test_bad_input_is_told_in_a_sentence(changes, words):
    given = {"X": X, "y": Y, "pool": POOL, **changes}
    with pytest.raises(ValueError, match=words):
        query(given.pop("X"), given.pop("y"), given.pop("pool"), **given)


def test_asking_for_more_than_the_rows_of_a_pool_is_refused():
    with pytest.raises(ValueError, match="a pool of 18 examples can't give 19 labels"):
        ask(LEARNER, rules.random, labels=19)({}, episode(), jax.random.key(0))
    with pytest.raises(ValueError, match="labels must be 1 or more"):
        ask(LEARNER, rules.random, labels=0)
