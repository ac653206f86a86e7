"""Label or ask: its exact optimum, and the environment against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.rl import envs, exact, policies, rollout, see_all
from jmeta.rl.rollout import inputs_size


@pytest.mark.parametrize("discount, total", [(1.0, 27.9), (0.5, 0.5249)])
def test_the_best_policy_asks_for_two_labels_and_infers_the_third(discount, total):
    """Catches a policy that asks for the third class too (3 requests), or learns from rewards that it doesn't see."""
    value = exact.asking_value(discount=discount)
    np.testing.assert_allclose(value.discounted, total, atol=5e-5)
    np.testing.assert_allclose((value.requests / 30, value.right, value.total), (0.066667, 28, 27.9), atol=1e-5)
    np.testing.assert_allclose(value.first_asked, 2 / 3, atol=1e-6)  # and all requests are at a first example
    np.testing.assert_allclose(value.requests, 3 * value.first_asked, atol=1e-6)


@pytest.mark.parametrize("features", [None, np.arange(5 * 20 * 2.0).reshape(5, 20, 2)])
def test_a_stream_is_as_it_is_defined(features):
    """Catches a label shown unasked, at the wrong step or of the wrong example, and repeated examples."""
    env = envs.checked(envs.label_or_ask(features))
    task = env.sample_task(jax.random.key(1))
    label, kind = np.asarray(task.label), np.asarray(task.example[:, 0])
    assert len(set(zip(kind.tolist(), label.tolist(), strict=True))) == len(set(kind.tolist())) == 3
    if features is not None:
        assert len({tuple(row) for row in task.example.tolist()}) == 30
    state, seen = env.reset(jax.random.key(0), task)
    assert not seen[-3:].any()
    rng = np.random.default_rng(0)
    for t, action in enumerate(rng.integers(0, 4, 30)):
        if features is not None:
            np.testing.assert_array_equal(seen[:-3], features[tuple(np.asarray(task.example[t]))])
        state, step = env.step(jax.random.key(0), state, jnp.int32(action), task)
        seen, asked = np.asarray(step.observation), action == 3
        np.testing.assert_allclose(step.reward, -0.05 if asked else 1 if action == label[t] else -1)
        np.testing.assert_array_equal(seen[-3:], asked * np.eye(3)[label[t]])
        assert bool(step.done) == (t == 29)


def test_rewards_are_not_shown():
    """Catches an agent that is told by its rewards whether a guess was right, which needs one request alone."""
    env = envs.label_or_ask(length=6)
    policy = policies.gru_policy(inputs_size(env, see_all), env.action, units=2)
    key = jax.random.key(0)
    trial = rollout(env, policy, policy.init(key), key, env.sample_task(key), see=see_all)
    assert trial.reward.any() and not trial.inputs[:, -2].any()
    trial = rollout(env._replace(shows_reward=True), policy, policy.init(key), key, env.sample_task(key), see=see_all)
    np.testing.assert_array_equal(trial.inputs[1:, -2], trial.reward[:-1])


def test_what_is_done_at_each_example_of_a_class_is_counted():
    """Catches a count by the place in the stream, one that starts at another number, and requests that count as wrong.

    Streams of 30 examples of 3 classes have 10 each on average; an agent that asks at the first of each alone."""
    label = np.stack([np.random.default_rng(i).permutation(30) % 3 for i in range(4)])
    rank = np.stack([[np.sum(row[:t] == row[t]) for t in range(30)] for row in label])
    action = np.where(rank == 0, 3, np.where(rank == 4, (label + 1) % 3, label))
    found = envs.by_instance(jnp.asarray(action, jnp.int32), jnp.asarray(label, jnp.int32), classes=3)
    np.testing.assert_allclose(found.requests[:10], [1, *[0] * 9], atol=1e-6)
    np.testing.assert_allclose(found.right[1:10], [1, 1, 1, 0, *[1] * 5], atol=1e-6)
    assert np.isnan(found.right[0])  # none is named


@pytest.mark.parametrize(("told", "said"), [({"ask": float("nan")}, "finite"), ({"length": 61}, "60, got 61: ask for")])
def test_what_makes_no_stream_is_refused(told, said):
    with pytest.raises(ValueError, match=said):
        envs.label_or_ask(**told)
