"""Samplers: what is drawn, and how evenly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close

import jmeta
from jmeta import drawing, episodes

CLASSES, EXAMPLES = 7, 6


def coded(classes=CLASSES, examples=EXAMPLES):
    """Images whose corner says the class and the example: pixel [0, 0] and [0, 1]."""
    images = np.zeros((classes, examples, 3, 3, 1), np.uint8)
    images[:, :, 0, 0, 0] = np.arange(classes)[:, None]
    images[:, :, 0, 1, 0] = np.arange(examples)[None]
    images[:, :, 2, 1, 0] = 255
    return images


def codes(x):
    """Class and example of images `[..., 3, 3, 1]`."""
    raw = np.rint(np.asarray(x)[..., 0] * 255).astype(int)
    return raw[..., 0, 0], raw[..., 0, 1]


def draw(sample, n=200, seed=0):
    return jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(seed), n))


def test_shapes_scale_and_dtypes():
    episode = jmeta.few_shot_sampler(coded(), way=4, shot=2, query_shot=3)(jax.random.key(0))
    assert episode.support.x.shape == (8, 3, 3, 1)
    assert episode.query.x.shape == (12, 3, 3, 1)
    assert (episode.support.y.shape, episode.query.y.shape) == ((8, 4), (12, 4))
    assert {leaf.dtype for leaf in jax.tree.leaves(episode)} == {jnp.dtype("float32")}
    assert float(episode.support.x.max()) == 1.0
    assert episode.support.weight is None


def test_support_and_query_share_no_example_and_classes_differ():
    drawn = draw(jmeta.few_shot_sampler(coded(), way=4, shot=2, query_shot=3))
    classes, examples = (
        np.concatenate(two, 1) for two in zip(codes(drawn.support.x), codes(drawn.query.x), strict=True)
    )
    for row, example in zip(classes, examples, strict=True):
        assert len(set(zip(row.tolist(), example.tolist(), strict=True))) == 4 * 5
        assert len(set(row.tolist())) == 4


def test_labels_follow_the_classes_and_rows_go_by_example_first():
    drawn = draw(jmeta.few_shot_sampler(coded(), way=4, shot=2, query_shot=3))
    support, query = codes(drawn.support.x)[0], codes(drawn.query.x)[0]
    np.testing.assert_array_equal(support, np.tile(support[:, :4], (1, 2)))
    np.testing.assert_array_equal(query, np.tile(support[:, :4], (1, 3)))
    np.testing.assert_array_equal(drawn.support.y[0], np.tile(np.eye(4), (2, 1)))
    np.testing.assert_array_equal(drawn.query.y[5], np.tile(np.eye(4), (3, 1)))


def test_every_class_and_every_example_is_as_likely():
    drawn = draw(jmeta.few_shot_sampler(coded(), way=2, shot=1, query_shot=1), n=3000)
    classes, examples = codes(drawn.support.x)
    for values, kinds in ((classes, CLASSES), (examples, EXAMPLES), (codes(drawn.query.x)[1], EXAMPLES)):
        counts = np.bincount(values.ravel(), minlength=kinds)
        expected = values.size / kinds
        assert np.sum((counts - expected) ** 2 / expected) < 25  # 99.9 % of a chi-square of 6 is 22.5
    pairs = np.bincount(classes[:, 0] * CLASSES + classes[:, 1], minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    off = pairs[~np.eye(CLASSES, dtype=bool)]
    assert np.trace(pairs) == 0
    assert np.sum((off - off.mean()) ** 2 / off.mean()) < 80  # 99.99 % of a chi-square of 41 is 83


def test_the_same_key_gives_the_same_episode_and_another_key_another():
    sample = jmeta.few_shot_sampler(coded(), way=4, shot=1, query_shot=1)
    assert_close(sample(jax.random.key(1)), sample(jax.random.key(1)), rtol=0, atol=0)
    assert_close(jax.jit(sample)(jax.random.key(1)), sample(jax.random.key(1)), rtol=0, atol=1e-7)
    assert not np.array_equal(sample(jax.random.key(1)).support.x, sample(jax.random.key(2)).support.x)


def test_examples_that_are_not_real_are_never_drawn():
    counts = np.array([2, 6, 3, 2, 4, 5, 2], np.uint8)
    drawn = draw(jmeta.few_shot_sampler(coded(), way=3, shot=1, query_shot=1, counts=counts), n=1500)
    seen = np.zeros((CLASSES, EXAMPLES), int)
    for batch in drawn:
        np.add.at(seen, codes(batch.x), 1)
    real = np.arange(EXAMPLES) < counts[:, None]
    assert seen[~real].sum() == 0
    assert (seen[real] > 0).all()
    # Within a class, evenly.
    assert seen[0, 0] / seen[0, :2].sum() == pytest.approx(0.5, abs=0.06)


def test_floats_are_left_as_they_are():
    images = np.random.default_rng(0).normal(size=(5, 4, 2, 2, 1)).astype(np.float32)
    episode = jmeta.few_shot_sampler(images, way=5, shot=2, query_shot=2)(jax.random.key(0))
    got = np.concatenate([np.ravel(episode.support.x), np.ravel(episode.query.x)])
    np.testing.assert_array_equal(np.sort(got), np.sort(images.ravel()))


@pytest.mark.parametrize("dtype", ["int16", ">i4", "int64", "uint32", "uint16", ">u2", "bool"])
def test_images_of_other_integers_are_those_of_bytes(dtype):
    """Fails where int32 goes to the network as 0 to 255, uint16 is cut off, or big-endian bytes are swapped."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 6, 2, 2, 1))
    if dtype == "bool":
        pixels = 255 * (pixels > 127)
    images = (pixels * 256 + 5 if dtype in ("uint16", ">u2") else pixels).astype(dtype)
    for make in (
        lambda x: jmeta.few_shot_sampler(x, way=5, shot=1, query_shot=1),
        lambda x: jmeta.varied_sampler(x, min_way=5),
        lambda x: episodes.classification_sampler(x, batch_size=4),
    ):
        mine, right = map(make, (images, pixels.astype(np.uint8)))
        assert repr(mine.func) == repr(right.func)  # it draws by the same function, of the same sizes
        for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(right), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "object", "datetime64[s]"])
def test_images_of_other_types_are_refused(dtype):
    """Fails where a network's initialization refuses them, in words of neither images nor samplers."""
    images = np.zeros((7, 6, 2, 2, 1)).astype(dtype)
    for make in (
        lambda: jmeta.few_shot_sampler(images, way=5, shot=1, query_shot=1),
        lambda: jmeta.varied_sampler(images, min_way=5),
        lambda: episodes.classification_sampler(images, batch_size=4),
    ):
        with pytest.raises(ValueError, match=r"images must be uint8, 0 to 255, or floats, got .*: convert them"):
            make()


@pytest.mark.parametrize("turns", range(4))
def test_rotate_is_numpys(turns):
    images = np.random.default_rng(0).normal(size=(3, 5, 5, 2)).astype(np.float32)
    got = jax.jit(drawing.rotate)(images, turns)
    np.testing.assert_array_equal(got, np.rot90(images, turns, axes=(1, 2)))


def test_each_class_turns_by_its_own_angle_and_all_its_examples_alike():
    images = coded()
    plain = jmeta.few_shot_sampler(images, way=3, shot=2, query_shot=2)
    turned = jmeta.few_shot_sampler(images, way=3, shot=2, query_shot=2, rotations=True)
    straight, crooked = (
        np.concatenate([batch.x for batch in drawn], 1).reshape(200, 4, 3, 3, 3, 1)
        for drawn in (draw(plain), draw(turned))
    )
    angles = np.full((200, 3), -1)
    for turns in range(4):
        hit = (np.rot90(straight, turns, axes=(3, 4)) == crooked).all((1, 3, 4, 5))
        assert not (hit & (angles >= 0)).any()
        angles[hit] = turns
    assert (angles >= 0).all()
    counts = np.bincount(angles.ravel(), minlength=4)
    assert np.sum((counts - 150) ** 2 / 150) < 17  # 99.9 % of a chi-square of 3 is 16.3
    alike = np.mean((angles[:, 0] == angles[:, 1]) & (angles[:, 1] == angles[:, 2]))
    assert 0.01 < alike < 0.15  # 1 / 16 where the angles are independent, 1 where they are one


def shape(*sizes):
    return np.zeros(sizes, np.uint8)


@pytest.mark.parametrize(
    ("images", "change", "message"),
    [
        (coded(), dict(way=0), "way must be 1 or more, got 0"),
        (coded(), dict(shot=0), "shot must be 1 or more, got 0"),
        (coded(), dict(query_shot=-1), "query_shot must be 1 or more, got -1"),
        (coded(), dict(way=8), "8-way episodes need 8 classes, got 7"),
        (coded(), dict(shot=4, query_shot=3), "4-shot episodes with 3 queries a class need 7 .* got 6"),
        (coded(), dict(counts=[6, 6, 6, 1, 6, 6, 6]), "need 2 examples of each class, got 1"),
        (coded(), dict(counts=[6, 6]), "counts must be an integer for each of the 7 classes, got int64 of shape"),
        (shape(7, 6), {}, r"must be \[classes, examples, ...\], .*got \[7, 6\]: group rows"),
        (shape(7, 6, 3, 4, 1), dict(rotations=True), "need square images, got 3 x 4"),
    ],
)
def test_episodes_that_cannot_be_drawn_are_refused(images, change, message):
    with pytest.raises(ValueError, match=message):
        jmeta.few_shot_sampler(images, **{"way": 2, "shot": 1, "query_shot": 1, **change})


def fit_sine(x, y):
    """Amplitude and phase of `a sin(x - b)` through points, by least squares on sine and cosine."""
    (cosine, sine), *_ = np.linalg.lstsq(np.stack([np.cos(x), np.sin(x)], -1), y, rcond=None)
    return np.hypot(cosine, sine), np.arctan2(-cosine, sine)


def test_sinusoid():
    drawn = draw(jmeta.sinusoid_sampler(shot=3, query_shot=7), n=1000)
    x = np.concatenate([drawn.support.x, drawn.query.x], 1)[..., 0].astype(float)
    y = np.concatenate([drawn.support.y, drawn.query.y], 1)[..., 0].astype(float)
    assert (drawn.support.x.shape, drawn.query.y.shape) == ((1000, 3, 1), (1000, 7, 1))
    fits = np.array([fit_sine(*row) for row in zip(x, y, strict=True)])
    amplitude, phase = fits[:, :1], fits[:, 1:]
    np.testing.assert_allclose(amplitude * np.sin(x - phase), y, atol=1e-4)
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, np.pi), (x, -5.0, 5.0)):
        assert low - 1e-3 < values.min() < low + 0.03 * (high - low)
        assert high - 0.03 * (high - low) < values.max() < high + 1e-3
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.04 * (high - low))


def test_sinusoid_of_other_ranges():
    sample = jmeta.sinusoid_sampler(shot=4, query_shot=4, amplitude=(2.0, 2.0), phase=(0.5, 0.5), interval=(1.0, 2.0))
    episode = sample(jax.random.key(0))
    for batch in episode:
        np.testing.assert_allclose(batch.y, 2 * np.sin(np.asarray(batch.x) - 0.5), rtol=1e-5)
        assert 1 <= float(batch.x.min()) <= float(batch.x.max()) <= 2


def test_linear_tasks_are_split_by_one_plane_for_support_and_query():
    drawn = draw(jmeta.linear_sampler(features=3, shot=20, query_shot=30), n=50)
    for task in range(50):
        x = np.concatenate([drawn.support.x[task], drawn.query.x[task]])
        side = np.concatenate([drawn.support.y[task], drawn.query.y[task]]).argmax(-1) * 2 - 1
        w = np.zeros(3)
        for _ in range(2000):  # the perceptron's theorem: it ends on separable points
            wrong = np.flatnonzero(side * (x @ w) <= 0)
            if not len(wrong):
                break
            w += side[wrong[0]] * x[wrong[0]]
        assert (side * (x @ w) > 0).all()


def test_linear_tasks_are_balanced_normal_and_alike():
    drawn = draw(jmeta.linear_sampler(features=4, shot=2, query_shot=3), n=4000)
    np.testing.assert_array_equal(drawn.support.y[0], np.tile(np.eye(2), (2, 1)))
    assert (drawn.support.x.shape, drawn.query.x.shape) == ((4000, 4, 4), (4000, 6, 4))
    x, label = np.asarray(drawn.query.x).reshape(-1, 4), np.asarray(drawn.query.y).reshape(-1, 2).argmax(-1)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), np.eye(4), atol=0.03)
    # The plane that all tasks share gets three quarters right: w0 and w0 + v are 45 degrees apart in the mean.
    assert np.mean((x.sum(-1) > 0) == (label == 1)) == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        (jmeta.sinusoid_sampler, dict(shot=0, query_shot=1), "shot must be 1 or more, got 0"),
        (jmeta.sinusoid_sampler, dict(shot=1, query_shot=0), "query_shot must be 1 or more, got 0"),
        (jmeta.linear_sampler, dict(features=2, shot=-1, query_shot=1), "shot must be 1 or more, got -1"),
        (jmeta.linear_sampler, dict(features=0, shot=1, query_shot=1), "features must be 1 or more, got 0"),
    ],
)
def test_synthetic_tasks_that_cannot_be_drawn_are_refused(sampler, options, message):
    with pytest.raises(ValueError, match=message):
        sampler(**options)


def varied(max_support=40, counts=None, **options):
    return jmeta.varied_sampler(coded(30, 8), max_way=9, max_support=max_support, counts=counts, **options)


@pytest.mark.parametrize("seed", range(3))
def test_varied_episodes_are_real_examples_once_each_with_padding_marked(seed):
    counts = np.random.default_rng(seed).integers(4, 9, 30)
    drawn = draw(varied(counts=counts, max_query_shot=3), n=100, seed=seed)
    assert drawn.support.x.shape[1] == 40
    assert drawn.query.x.shape[1] == 9 * 3
    for episode in range(100):
        seen, labels = [], {}
        way = int(drawn.support.classes[episode].sum())
        for batch in drawn:
            real = np.asarray(batch.weight[episode]) > 0
            classes, examples = codes(batch.x[episode])
            seen += list(zip(classes[real].tolist(), examples[real].tolist(), strict=True))
            for code, label in zip(classes[real], np.asarray(batch.y[episode])[real], strict=True):
                assert label.sum() == 1 and labels.setdefault(code, label.argmax()) == label.argmax()
            assert np.all(np.asarray(batch.y[episode])[~real] == 0)
            np.testing.assert_array_equal(batch.classes[episode], np.arange(9) < way)
            # Each class of the episode has an example in both, and no other has.
            assert (np.asarray(batch.y[episode])[real].sum(0) > 0).tolist() == (np.arange(9) < way).tolist()
        assert len(seen) == len(set(seen))
        assert all(example < counts[code] for code, example in seen)
        assert sorted(labels.values()) == list(range(way))


def shots_by_the_rule(key, counts, most_way, max_support, max_query_shot, drawn):
    """Queries of each class and support examples of each, as the authors' sampler has them, class by class."""
    way_key, size_key, share_key, *_ = jax.random.split(key, 6)
    way = int(jax.random.randint(way_key, (), 5, most_way + 1))
    beta = np.float32(1) - np.float32(jax.random.uniform(size_key))
    ratios = 2 ** np.asarray(jax.random.uniform(share_key, (most_way,), minval=-1, maxval=1))
    classes = [counts[c] for c in drawn[:way]]
    query_shot = min(max_query_shot, min(classes) // 2)
    size = min(max_support, sum(int(np.ceil(beta * np.float32(min(100, c - query_shot)))) for c in classes))
    total, shots = sum(c * r for c, r in zip(classes, ratios, strict=False)), []
    for c, ratio in zip(classes, ratios, strict=False):
        shots.append(min(1 + int(np.floor(c * ratio / total * max(size - way, 0))), c - query_shot))
    return [query_shot] * way, shots


@pytest.mark.parametrize(("max_support", "max_query_shot"), [(500, 10), (60, 3)])
def test_varied_shots_are_those_of_the_rule_from_the_same_random_numbers(max_support, max_query_shot):
    counts = np.random.default_rng(0).integers(2, 21, 30)
    sample = jmeta.varied_sampler(
        coded(30, 20), max_way=9, max_support=max_support, max_query_shot=max_query_shot, counts=counts
    )
    drawn = draw(sample, n=200)
    of_class = lambda batch: np.asarray((batch.y * batch.weight[..., None]).sum(1)).astype(int)
    support, query, queries = of_class(drawn.support), of_class(drawn.query), set()
    for episode, key in enumerate(jax.random.split(jax.random.key(0), 200)):
        code = codes(drawn.query.x[episode])[0]  # by example first, so that the first nine are of a class each
        queried, shots = shots_by_the_rule(key, counts, 9, max_support, max_query_shot, code[:9])
        padding = [0] * (9 - len(shots))
        assert query[episode].tolist() == queried + padding
        assert support[episode].tolist() == shots + padding
        queries.add(queried[0])
    assert len(queries) > 2
    assert drawn.query.x.shape[1] == 9 * max_query_shot


def test_labels_and_weights_have_the_dtype_of_the_images():
    with jax.enable_x64(True):
        for images in (coded(9, 8), coded(9, 8).astype(np.float32), coded(9, 8).astype(np.float64)):
            dtype = np.float32 if images.dtype == np.uint8 else images.dtype
            for sample in (
                jmeta.few_shot_sampler(images, way=3, shot=1, query_shot=1),
                jmeta.varied_sampler(images, max_way=6, max_support=20),
                jmeta.classification_sampler(images, batch_size=4),
            ):
                drawn = jax.eval_shape(sample, jax.random.key(0))
                assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: jmeta.few_shot_sampler(coded(), way=2, shot=1, query_shot=1, **options),
        lambda **options: jmeta.varied_sampler(coded(), max_support=20, **options),
        lambda **options: jmeta.classification_sampler(coded(), batch_size=2, **options),
    ],
)
def test_counts_of_more_examples_than_there_are_are_refused(make):
    with pytest.raises(ValueError, match="counts must be 0 to 6, as many examples as the array has, got 6 to 7"):
        make(counts=[6, 6, 6, 7, 6, 6, 6])


def test_varied_ways_are_as_likely_and_support_sizes_keep_to_the_rule():
    drawn = draw(varied(), n=3000)
    ways = np.asarray(drawn.support.classes.sum(1)).astype(int)
    found = np.bincount(ways, minlength=10)[5:]
    assert found.sum() == 3000
    assert np.sum((found - 600) ** 2 / 600) < 18.5  # 99.9 % of a chi-square of 4
    sizes = np.asarray(drawn.support.weight.sum(1)).astype(int)
    assert np.all(sizes >= ways) and sizes.max() <= 36 and (sizes > 20).any() and (sizes <= ways + 2).any()
    shots = np.asarray((drawn.support.y * drawn.support.weight[..., None]).sum(1)).astype(int)
    assert shots.max() <= 4  # eight examples, half of them queries
    assert (np.asarray((drawn.query.y * drawn.query.weight[..., None]).sum(1)).max(1) == 4).all()
    assert (shots.max(1) > np.where(shots > 0, shots, 9).min(1)).any()


def test_varied_support_sets_end_at_their_limit():
    drawn = draw(varied(max_support=12), n=300)
    sizes = np.asarray(drawn.support.weight.sum(1)).astype(int)
    assert sizes.max() <= 12 and drawn.support.x.shape[1] == 12
    assert (np.diff(np.asarray(drawn.support.weight), axis=1) <= 0).all()  # padding is last


def test_varied_support_sets_larger_than_the_data_are_padded():
    drawn = draw(varied(max_support=100), n=5)
    assert drawn.support.x.shape[1] == 100
    assert np.asarray(drawn.support.weight.sum(1)).max() <= 36


def test_each_class_of_a_varied_episode_turns_by_its_own_angle():
    straight, crooked = (draw(varied(rotations=turned), n=20) for turned in (False, True))
    for a, b in zip(straight, crooked, strict=True):
        labels, weight = np.asarray(a.y).argmax(-1), np.asarray(a.weight)
        for episode in range(20):
            for label in range(int(a.classes[episode].sum())):
                rows = (labels[episode] == label) & (weight[episode] > 0)
                turned = [np.rot90(np.asarray(a.x)[episode, rows], k, axes=(1, 2)) for k in range(4)]
                assert any(np.array_equal(t, np.asarray(b.x)[episode, rows]) for t in turned)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_way": 4}, "max_way must be min_way, 5, or more, got 4"),
        ({"max_support": 8}, "max_support must be 9 or more"),
        ({"max_support": 20.0}, "max_support must be a whole number, got 20.0"),
        ({"min_way": 2.5}, "way must be a whole number, got 2.5"),
        ({"max_query_shot": 0}, "max_query_shot must be 1 or more, got 0"),
        ({"min_way": 31, "max_way": 31}, "31-way episodes need 31 classes, got 30"),
    ],
)
def test_varied_episodes_that_cannot_be_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        jmeta.varied_sampler(coded(30, 8), **{"max_way": 9, "max_support": 40, **options})


def batches(n=200, seed=0, **options):
    return draw(jmeta.classification_sampler(coded(), **{"batch_size": 8, **options}), n=n, seed=seed)


def test_batches_are_labeled_by_all_classes():
    drawn = batches()
    assert (drawn.query.x.shape, drawn.query.y.shape) == ((200, 8, 3, 3, 1), (200, 8, CLASSES))
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}
    assert_close(drawn.support, drawn.query, rtol=0, atol=0)
    np.testing.assert_array_equal(drawn.query.y, np.eye(CLASSES)[codes(drawn.query.x)[0]])


def test_every_example_of_a_batch_is_as_likely_and_those_that_are_not_real_are_never_drawn():
    counts = np.array([2, 6, 3, 1, 4, 5, 2], np.uint8)
    drawn = batches(n=1500, counts=counts)
    np.testing.assert_array_equal(drawn.query.y, np.eye(CLASSES)[codes(drawn.query.x)[0]])
    seen = np.zeros((CLASSES, EXAMPLES), int)
    np.add.at(seen, codes(drawn.query.x), 1)
    real = np.arange(EXAMPLES) < counts[:, None]
    assert seen[~real].sum() == 0
    expected = 1500 * 8 / counts.sum()
    assert np.sum((seen[real] - expected) ** 2 / expected) < 46  # 99.9 % of a chi-square of 22 is 48.3
    # Each place of a batch is drawn without regard to the others.
    first = codes(drawn.query.x)[0][:, :2]
    assert np.mean(first[:, 0] == first[:, 1]) == pytest.approx(np.sum((counts / counts.sum()) ** 2), abs=0.04)


def test_a_turned_class_of_a_batch_is_a_class_of_its_own():
    straight, crooked = batches().query, batches(rotations=True).query
    assert crooked.y.shape == (200, 8, 4 * CLASSES)
    turns, labels = np.divmod(np.asarray(crooked.y).argmax(-1), CLASSES)
    np.testing.assert_array_equal(labels, np.asarray(straight.y).argmax(-1))
    for one, k, other in zip(
        np.reshape(straight.x, (-1, 3, 3, 1)), turns.ravel(), np.reshape(crooked.x, (-1, 3, 3, 1)), strict=True
    ):
        np.testing.assert_array_equal(np.rot90(one, k), other)
    counts = np.bincount(turns.ravel(), minlength=4)
    assert np.sum((counts - 400) ** 2 / 400) < 17  # 99.9 % of a chi-square of 3 is 16.3


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (coded(), dict(batch_size=0), "batch_size must be 1 or more, got 0"),
        (coded(), dict(counts=[1, 1, 0, 1, 1, 1, 1]), "every class must have 1 example or more, got 0"),
        (coded(), dict(counts=[6, 6]), "counts must be an integer for each of the 7 classes, got int64 of shape"),
        (shape(7, 9, 9, 1), {}, r"must be \[classes, examples, ...\], .*got \[7, 9, 9, 1\]: group rows"),
        (shape(7, 6, 3, 4, 1), dict(rotations=True), "need square images, got 3 x 4"),
    ],
)
def test_batches_that_cannot_be_drawn_are_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        jmeta.classification_sampler(images, **{"batch_size": 2, **options})


def test_classes_of_an_episode_are_of_one_group_and_each_class_of_a_large_one_is_as_likely():
    groups = ["b", "a", "b", "a", "c", "a", "a"]  # a has 4 classes, b 2 and c 1
    drawn = draw(jmeta.few_shot_sampler(coded(), way=2, shot=1, query_shot=2, groups=groups), 3000)
    found = codes(drawn.support.x)[0]
    letters = np.array(groups)[found]
    assert (letters[:, 0] == letters[:, 1]).all() and (found[:, 0] != found[:, 1]).all()
    share = np.bincount(found.ravel(), minlength=CLASSES) / found.size
    np.testing.assert_allclose(share, [1 / 6, 1 / 6, 1 / 6, 1 / 6, 0, 1 / 6, 1 / 6], atol=0.02)
    same = draw(jmeta.few_shot_sampler(coded(), way=4, shot=1, query_shot=2, groups=groups))
    assert {tuple(sorted(row)) for row in codes(same.support.x)[0].tolist()} == {(1, 3, 5, 6)}


def test_classes_of_one_group_turn_together():
    """The corner of the class's number tells the turn; two classes of different turns would give themselves away."""
    images = np.zeros((8, 4, 3, 3, 1), np.uint8)
    images[:, :, 0, 0] = 255
    options = {"way": 4, "shot": 1, "query_shot": 2, "rotations": True}
    drawn = draw(jmeta.few_shot_sampler(images, **options, groups=["a", "b"] * 4), 400)
    corners = np.asarray(drawn.support.x)[:, :, ::2, ::2, 0].reshape(400, 4, 4).argmax(-1)
    assert (corners == corners[:, :1]).all()
    assert (np.bincount(corners[:, 0]) > 60).all()  # 100 each
    apart = np.asarray(draw(jmeta.few_shot_sampler(images, **options), 50).support.x)[:, :, ::2, ::2, 0]
    corners = apart.reshape(50, 4, 4).argmax(-1)
    assert (corners != corners[:, :1]).any(1).mean() > 0.9


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (["a"] * 6, r"groups must have one for each of the 7 classes, got \[6\]"),
        (np.zeros((7, 2)), r"groups must have one for each of the 7 classes, got \[7, 2\]"),
        (list("aaabbbc"), "need one of 4 classes, and the largest has 3"),
    ],
)
def test_groups_that_cannot_give_an_episode_are_refused(groups, says):
    with pytest.raises(ValueError, match=says):
        jmeta.few_shot_sampler(coded(), way=4, shot=1, query_shot=2, groups=groups)


def test_each_example_is_augmented_by_its_own_key_and_all_else_stays():
    def shade(key, image):
        return image + jax.random.uniform(key, (), image.dtype, 1.0, 2.0)

    options = {"way": 3, "shot": 2, "query_shot": 2, "rotations": True}
    plain = jmeta.few_shot_sampler(coded(), **options)(jax.random.key(4))
    shaded = jmeta.few_shot_sampler(coded(), **options, augment=shade)(jax.random.key(4))
    added = [np.asarray(b.x - a.x) for a, b in zip(plain, shaded, strict=True)]
    each = np.concatenate(added).reshape(12, -1)
    assert_close(each, np.tile(each[:, :1], (1, each.shape[1])), rtol=1e-5)
    assert len(np.unique(np.round(each[:, 0], 4))) == 12 and each.min() >= 1.0 and each.max() <= 2.0
    np.testing.assert_array_equal(plain.support.y, shaded.support.y)
    plain = jmeta.classification_sampler(coded(), batch_size=9)(jax.random.key(4)).query
    shaded = jmeta.classification_sampler(coded(), batch_size=9, augment=shade)(jax.random.key(4)).query
    each = np.asarray(shaded.x - plain.x).reshape(9, -1)
    assert len(np.unique(np.round(each[:, 0], 4))) == 9 and each.min() >= 1.0
    np.testing.assert_array_equal(plain.y, shaded.y)


def test_random_shots_leave_out_the_last_examples_of_every_class():
    """Catches shots that differ between classes, a number that is never drawn, and other pictures than without."""
    plain = jmeta.few_shot_sampler(coded(), way=3, shot=4, query_shot=2)
    drawn, whole = draw(episodes.random_shots(plain, way=3, shot=4, least=2), n=400), draw(plain, n=400)
    weight = np.asarray(drawn.support.weight).reshape(400, 4, 3)
    assert (weight == weight[:, :, :1]).all()
    shots = weight[:, :, 0].sum(1)
    assert (weight[:, :, 0] == (np.arange(4) < shots[:, None])).all()
    counts = [(shots == n).sum() for n in range(5)]
    assert counts[:2] == [0, 0] and min(counts[2:]) > 95  # of 400 / 3
    np.testing.assert_array_equal(drawn.support.x, whole.support.x)
    assert_close(drawn.query, whole.query, rtol=0)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"shot": 2, "least": 3}, "least must be 1 to 2"),
        ({"shot": 2, "least": 0}, "least must be"),
        ({"shot": 3, "least": 1}, "4-way 3-shot episodes have 12 support examples, got 8"),
    ],
)
def test_random_shots_that_do_not_fit(sizes, expected):
    plain = jmeta.few_shot_sampler(coded(), way=4, shot=2, query_shot=2)
    with pytest.raises(ValueError, match=expected):
        episodes.random_shots(plain, way=4, **sizes)(jax.random.key(0))


@pytest.mark.parametrize(
    ("classes", "examples", "least", "expected"),
    [(20, 600, 5, (12.48, 377.9, 33.66)), (10, 600, 5, (7.52, None, 43.86)), (40, 20, 5, (22.54, 107.9, 4.80))],
)
def test_episodes_have_the_sizes_of_meta_dataset(classes, examples, least, expected):
    """Means over 60,000 episodes of the protocol's definition. Catches shares, caps or query shots of another rule."""
    sample = jmeta.varied_sampler(np.zeros((classes, examples, 1), np.uint8), min_way=least)

    def sizes(key):
        support = sample(key).support
        total, way = jnp.sum(support.weight), jnp.sum(support.classes)
        return jnp.stack([way, total, total / way])

    drawn = np.asarray(jax.jit(jax.vmap(sizes))(jax.random.split(jax.random.key(0), 4000)))
    for mean, error, told in zip(drawn.mean(0), drawn.std(0) / len(drawn) ** 0.5, expected, strict=True):
        assert told is None or mean == pytest.approx(told, abs=4 * float(error) + 0.01)
