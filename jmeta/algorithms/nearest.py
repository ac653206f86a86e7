"""The nearest class mean of raw inputs, which learns nothing: what any learner has to beat."""

from jax import Array

from jmeta.distances import nearness, prototypes, supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Params, episodic


def nearest(*, loss_fn: LossFn = cross_entropy) -> Learner:
    """Each class is the mean of its support examples, input by input; without parameters, and for any way.

        c_k        = mean of x over the support examples of class k
        logit_k(x) = -|x - c_k|^2

    Example:
        >>> import jax.numpy as jnp
        >>> learner = nearest()
        >>> support = Batch(jnp.array([[0.0], [4.0], [5.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        >>> learner.predict(learner.adapt({}, support), jnp.array([[3.0]])).tolist()
        [[-1.0, -4.0]]
    """

    def adapt(params: Params, support: Batch) -> tuple[Array, Array]:
        return prototypes(support.x.reshape(len(support.x), -1), support), supported(support)

    def predict(adapted: tuple[Array, Array], x: Array, weight: Array | None = None) -> Array:
        return possible(nearness(x.reshape(len(x), -1), adapted[0]), adapted[1])

    return episodic(lambda key, x: {}, adapt, predict, judge(loss_fn))
