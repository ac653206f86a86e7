"""No meta-learning: a classifier of all training classes, whose features serve new classes (Chen et al. 2019)."""

from typing import NamedTuple

from jax import Array

from jmeta import calls
from jmeta.checks import check_above_zero
from jmeta.distances import SimilarityFn, check_fixed, cosine_similarity, nearness, prototypes, supported
from jmeta.losses import LossFn, cross_entropy, possible, query_loss
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


class BaselineParams(NamedTuple):
    """Parameters of the two parts of the network."""

    encoder: Params
    classifier: Params


class BaselineAdapted(NamedTuple):
    """The encoder's parameters, and the mean features `[way, D]` of each class of a task."""

    encoder: Params
    centroids: Array
    supported: Array


def baseline(
    encoder: Model, classifier: Model, *, similarity: SimilarityFn = nearness, loss_fn: LossFn = cross_entropy
) -> Learner:
    """Baseline: learn to tell all training classes apart, and classify a new task by the nearest centroid.

        training:  loss        = mean of loss_fn(classifier(encoder(x)), y) over the query, with y of all classes
        a task:    c_k         = mean of encoder(x) over support examples of class k
                   logit_k(x)  = similarity(encoder(x), c_k) = -|encoder(x) - c_k|^2

    The episodes to train on are ordinary batches, labeled by all classes, as `jmeta.classification_sampler` draws
    them; the loss and the accuracy are the classifier's on the query alone. Episodes to evaluate on are those of any
    other learner, of any way.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        classifier: model mapping features to logits `[N, classes]` of all training classes, such as
            `jmeta.nets.Head(classes)`.
        similarity: `(features [N, D], centroids [way, D]) -> [N, way]`, the logits of a task.
        loss_fn: `(prediction, y) -> [N]`, for training.

    Raises:
        TypeError: if `similarity` has parameters, as `jmeta.distances.Similarity`.

    Differs from the paper: nothing is trained on a task, whose class means are its classifier. There a new classifier,
    linear or, for Baseline++, of cosines, is fine-tuned on the support set with the features fixed.
    Source: Chen et al. 2019, A Closer Look at Few-shot Classification. https://arxiv.org/abs/1904.04232
    """
    check_fixed(similarity)

    def init(key: Array, x: Array) -> BaselineParams:
        return BaselineParams(*calls.init_both(key, x, encoder, classifier))

    def adapt(params: BaselineParams, support: Batch) -> BaselineAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        return BaselineAdapted(kept, prototypes(z, support), supported(support))

    def predict(adapted: BaselineAdapted, x: Array, weight: Array | None = None) -> Array:
        logits = similarity(calls.apply(encoder, adapted.encoder, x, weight), adapted.centroids)
        return possible(logits, adapted.supported)

    def loss(params: BaselineParams, episode: Episode) -> tuple[Array, Metrics]:
        batch = episode.query
        z = calls.apply(encoder, params.encoder, batch.x, batch.weight)
        return query_loss(calls.apply(classifier, params.classifier, z, batch.weight), batch, loss_fn)

    return learner(init, adapt, predict, loss)


def baseline_plus_plus(
    encoder: Model, classifier: Model, *, scale: float = 10.0, loss_fn: LossFn = cross_entropy
) -> Learner:
    """Baseline++: `baseline` with cosines in place of products and distances.

        logit_k(x) = scale * cos(encoder(x), c_k)

    All else, the source too, is as in `baseline`.

    Args:
        classifier: by cosines too, such as `jmeta.nets.CosineHead(classes)`.
        scale: factor of the cosines of a task, above 0; it changes probabilities and not what is predicted.

    Raises:
        ValueError: if `scale` is not above 0 or not finite.
    """
    check_above_zero("scale", scale)
    return baseline(encoder, classifier, similarity=lambda z, c: scale * cosine_similarity(z, c), loss_fn=loss_fn)
