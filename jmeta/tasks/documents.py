"""Documents of made-up words, of which the best answer is known: each class has word frequencies of its own."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_above_zero, check_sizes
from jmeta.drawing import example_major
from jmeta.types import Episode


def zipf_prior(words: int, concentration: float) -> Array:
    """Pseudo-counts `[words + 1]` of tokens by Zipf's law: `a_w = c (1 / w) / sum_v (1 / v)`, and 0 for padding."""
    rate = 1 / jnp.arange(1, words + 1, dtype=jnp.float32)
    return jnp.concatenate([jnp.zeros(1), concentration * rate / jnp.sum(rate)])


def document_sampler(
    *, way: int = 5, shot: int, query_shot: int, words: int = 2000, length: int = 10, concentration: float = 100.0
) -> Partial:
    """Sampler `sample(key) -> Episode` of documents, tokens int32 `[N, length]` of 1 to `words`.

        theta_k ~ Dirichlet(a),   words of all documents of class k ~ theta_k      a as `zipf_prior`

    The frequencies are summed out: each word of a class, in order, is a new one from a with the probability A / (A + i)
    after i words, A = sum a, and else that of one of those i, all alike (Polya's urn). Rows are as those of
    `few_shot_sampler`. `jmeta.bayes.documents` has the best answer.

    Raises:
        ValueError: for sizes below 1, or a concentration that is not above 0.
    """
    check_sizes(way=way, shot=shot, query_shot=query_shot, words=words, length=length)
    check_above_zero("concentration", concentration)
    draw = functools.partial(_draw, way, shot, query_shot, length)
    return Partial(draw, zipf_prior(words, concentration))


def _draw(way: int, shot: int, query_shot: int, length: int, prior: Array, key: Array) -> Episode:
    total = (shot + query_shot) * length
    new_key, old_key, word_key = jax.random.split(key, 3)
    before = jnp.arange(total, dtype=prior.dtype)
    whole = jnp.sum(prior)
    is_new = jax.random.uniform(new_key, (way, total)) < (whole / (whole + before))[None]
    old = jnp.floor(jax.random.uniform(old_key, (way, total)) * before[None]).astype(jnp.int32)
    up_to = jnp.cumsum(prior)
    place = jax.random.uniform(word_key, (way, total), prior.dtype) * up_to[-1]
    new = jnp.clip(jnp.searchsorted(up_to, place, side="right"), 1, len(prior) - 1).astype(jnp.int32)

    def step(drawn: Array, i: Array) -> tuple[Array, None]:
        copied = jnp.take_along_axis(drawn, old[:, i][:, None], axis=1)[:, 0]
        return drawn.at[:, i].set(jnp.where(is_new[:, i], new[:, i], copied)), None

    drawn, _ = jax.lax.scan(step, jnp.zeros((way, total), jnp.int32), jnp.arange(total, dtype=jnp.int32))
    x = drawn.reshape(way, shot + query_shot, length)
    return Episode(example_major(x[:, :shot]), example_major(x[:, shot:]))
