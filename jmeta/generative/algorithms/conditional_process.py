"""Conditional neural processes that predict a normal distribution (Garnelo et al. 2018)."""

from jmeta.algorithms.neural_process import all_examples, process_parts
from jmeta.generative.heads import Parts, independent
from jmeta.types import Learner, Model


def conditional_parts(encoder: Model, pairs: Model, decoder: Model) -> Parts:
    """The parts of `conditional_process`; the decoder may have more outputs."""
    return Parts(*process_parts(encoder, pairs, decoder, all_examples))


def conditional_process(encoder: Model, pairs: Model, decoder: Model) -> Learner:
    """A conditional neural process to regress: a mean of encoded pairs, decoded to a mean and a variance.

        r    = sum_n w_n pairs([encoder(x_n), y_n]) / sum_n w_n        0 where no example is there
        m, s = decoder([encoder(x), r]),   y ~ N(m, exp(2 s))

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features.
        pairs: model mapping `[N, D + 1]` to `[N, R]`.
        decoder: model mapping `[N, D + R]` to `[N, 2]`.

    Returns:
        A `Learner` whose `predict` returns a `Normal`. Several targets are independent functions, as in
        `jmeta.algorithms.neural_process`, whose parts it has.

    Differs from the paper: the standard deviation is exp(s), where the authors' is 0.1 + 0.9 softplus(s). One that
    can't be below 0.1 caps the log-likelihood, however well a function is known.
    Source: Garnelo et al. 2018, Conditional Neural Processes. https://arxiv.org/abs/1807.01613
    """
    return independent(conditional_parts(encoder, pairs, decoder))
