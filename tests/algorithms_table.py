"""Every algorithm, once: the contract and the learning tests run on each row of `ALGORITHMS`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import jmeta
from jmeta import distances, losses, nets
from jmeta.algorithms import bootstrap
from jmeta.bayes import algorithms as bayes
from jmeta.bayes import linear
from jmeta.continual import algorithms as continual


class Net(NamedTuple):
    """A network, whole for the algorithms that take it so, and in two parts for those that tell them apart."""

    model: Any
    encoder: Any
    head: Any


class Algorithm(NamedTuple):
    """What the tests need to know of an algorithm.

    Attributes:
        make: `(net, loss_fn, lr, steps) -> Learner`, with the inner rate and steps where it has any.
        refuses: hyper-parameters that raise ValueError, each a call of the factory on `net`.
        sinusoid: inner rate, inner steps, and the error that 2,000 outer steps on sine curves must get below; None for
            those that only tell classes apart.
        images: inner rate, inner steps, and the accuracy that 500 outer steps on images must get above; None for none.
        outer: the rule that trains it.
        ordered: the support set is gone through by rows, in mini-batches or as a sequence, so that their order matters.
        own_loss: the loss is the mean of `loss_fn` over its own predictions for the queries.
        any_way: the classes are those of the support set, so that the same parameters serve any number of them.
        noisy: what is drawn, or compared, is of all weights at once: other classes, or padding, change it for all.
    """

    make: Callable[[Net, losses.LossFn, float, int], jmeta.Learner]
    refuses: Sequence[Callable[[Net], Any]]
    sinusoid: tuple[float, int, float] | None
    images: tuple[float, int, float] | None
    outer: optax.GradientTransformation
    ordered: bool = False
    own_loss: bool = True
    any_way: bool = False
    noisy: bool = False


def relaxed(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """An Optax rule that mixes integers and floats, under strict promotion for all but itself."""

    def update(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return optimizer.update(*args, **kwargs)

    return optax.GradientTransformation(optimizer.init, update)


def relation_of(net: Net) -> nets.RelationHead:
    """A relation module with the normalization of the network's encoder."""
    return nets.RelationHead((4,), dense=32, norm=getattr(net.encoder, "norm", None) or nets.NoNorm)


def maps_of(net: Net) -> nets.ConvMap:
    """An encoder whose features keep their places, with the normalization of the network's."""
    return nets.ConvMap((4,), norm=getattr(net.encoder, "norm", None) or nets.NoNorm, halvings=1)


def modulated(net: Net) -> Any:
    """A network like `net.model`, with a context beside its input."""
    model = net.model
    if isinstance(model, nets.MLP):
        return nets.ContextMLP(model.features, model.out, model.norm)
    return nets.FiLMConvNet(
        model.way, model.features, model.pool, model.norm, model.flatten, kernel_init=model.kernel_init
    )


def combined(loss_fn: losses.LossFn) -> Callable[[Any], Any]:
    """How samples of predictions are put together: as a mixture of classes, or the mean of numbers."""
    return bayes.mixture if loss_fn is losses.cross_entropy else lambda samples: jnp.mean(samples, axis=0)


sgd, adam = optax.sgd, lambda lr: relaxed(optax.adam(lr, eps_root=1e-8))

ALGORITHMS: dict[str, Algorithm] = {
    "maml": Algorithm(
        lambda n, f, lr, k: jmeta.maml(n.model, inner_optimizer=sgd(lr), inner_steps=k, loss_fn=f),
        [lambda n: jmeta.maml(n.model, inner_optimizer=sgd(0.1), inner_steps=-1)],
        sinusoid=(0.01, 3, 0.8),
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
    ),
    "bootstrapped": Algorithm(
        lambda n, f, lr, k: jmeta.bootstrapped(
            n.model,
            inner_optimizer=sgd(lr),
            inner_steps=k,
            target_steps=2,
            matching=bootstrap.prediction_kl if f is losses.cross_entropy else bootstrap.prediction_distance,
            loss_fn=f,
        ),
        [
            lambda n: jmeta.bootstrapped(n.model, inner_optimizer=sgd(0.1), inner_steps=-1, target_steps=1),
            lambda n: jmeta.bootstrapped(n.model, inner_optimizer=sgd(0.1), inner_steps=1, target_steps=0),
        ],
        sinusoid=(0.01, 3, 1.0),
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        own_loss=False,  # but the distance to the target
    ),
    "fomaml": Algorithm(
        lambda n, f, lr, k: jmeta.maml(n.model, inner_optimizer=sgd(lr), inner_steps=k, first_order=True, loss_fn=f),
        [lambda n: jmeta.maml(n.model, inner_optimizer=sgd(0.1), inner_steps=-2, first_order=True)],
        sinusoid=(0.01, 3, 1.0),
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
    ),
    "anil": Algorithm(
        lambda n, f, lr, k: jmeta.anil(n.encoder, n.head, inner_optimizer=sgd(lr), inner_steps=k, loss_fn=f),
        [lambda n: jmeta.anil(n.encoder, n.head, inner_optimizer=sgd(0.1), inner_steps=-1)],
        sinusoid=(0.01, 3, 1.3),
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
    ),
    "boil": Algorithm(
        lambda n, f, lr, k: jmeta.boil(n.encoder, n.head, inner_optimizer=sgd(lr), inner_steps=k, loss_fn=f),
        [lambda n: jmeta.boil(n.encoder, n.head, inner_optimizer=sgd(0.1), inner_steps=-1)],
        sinusoid=(0.01, 3, 0.9),
        images=None,
        outer=adam(2e-3),
    ),
    "cavia": Algorithm(
        lambda n, f, lr, k: jmeta.cavia(
            modulated(n), context_size=5, inner_optimizer=sgd(lr), inner_steps=k, loss_fn=f
        ),
        [
            lambda n: jmeta.cavia(modulated(n), context_size=0, inner_optimizer=sgd(1.0), inner_steps=1),
            lambda n: jmeta.cavia(modulated(n), context_size=2, inner_optimizer=sgd(1.0), inner_steps=-1),
        ],
        sinusoid=(1.0, 1, 0.5),
        images=None,  # five numbers before a hidden layer tell three classes apart poorly
        outer=adam(2e-3),
    ),
    "imaml": Algorithm(
        lambda n, f, lr, k: jmeta.imaml(
            n.model,
            inner_optimizer=sgd(lr),
            inner_steps=k,
            regularization=0.3,
            solver=jmeta.solvers.conjugate_gradient(5),
            loss_fn=f,
        ),
        [
            lambda n: jmeta.imaml(n.model, inner_optimizer=sgd(0.1), inner_steps=-1, regularization=1.0),
            lambda n: jmeta.imaml(n.model, inner_optimizer=sgd(0.1), inner_steps=1, regularization=0.0),
            lambda n: jmeta.imaml(n.model, inner_optimizer=sgd(0.1), inner_steps=1, regularization=float("nan")),
        ],
        sinusoid=None,  # a network of sine curves bends too much for where a few steps lead to be the minimum
        images=(0.3, 16, 0.85),
        outer=adam(2e-3),
    ),
    "imaml_neumann": Algorithm(
        lambda n, f, lr, k: jmeta.imaml(
            n.model,
            inner_optimizer=sgd(lr),
            inner_steps=k,
            regularization=1.0,
            solver=jmeta.solvers.neumann(4, rate=0.2),
            loss_fn=f,
        ),
        [],
        sinusoid=None,
        images=None,  # as above, but for the solver
        outer=adam(2e-3),
    ),
    "meta_sgd": Algorithm(
        lambda n, f, lr, k: jmeta.meta_sgd(n.model, inner_lr=lr, inner_steps=k, loss_fn=f),
        [
            lambda n: jmeta.meta_sgd(n.model, inner_lr=0.1, inner_steps=-1),
            lambda n: jmeta.meta_sgd(n.model, inner_lr=0.0, inner_steps=1),
            lambda n: jmeta.meta_sgd(n.model, inner_lr=float("nan"), inner_steps=1),
        ],
        sinusoid=(0.01, 1, 0.6),
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
    ),
    "maml_plus_plus": Algorithm(
        lambda n, f, lr, k: jmeta.maml_plus_plus(n.model, inner_lr=lr, inner_steps=k, loss_fn=f),
        [
            lambda n: jmeta.maml_plus_plus(n.model, inner_lr=0.1, inner_steps=-1),
            lambda n: jmeta.maml_plus_plus(n.model, inner_lr=0.0, inner_steps=1),
            lambda n: jmeta.maml_plus_plus(n.model, inner_lr=0.1, inner_steps=2, loss_weights=[0.2, 0.3, 0.5]),
        ],
        sinusoid=(0.01, 1, 0.7),
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
    ),
    "maml_plus_plus_multi_step": Algorithm(
        lambda n, f, lr, k: jmeta.maml_plus_plus(
            n.model, inner_lr=lr, inner_steps=k, loss_weights=jnp.full(k, 1 / k), loss_fn=f
        ),
        [
            lambda n: jmeta.algorithms.multi_step_weights(0, 0, 10),
            lambda n: jmeta.algorithms.multi_step_weights(0, 5, 0),
        ],
        sinusoid=(0.01, 3, 0.6),
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        own_loss=False,  # but a mean of the losses after each step
    ),
    "reptile": Algorithm(
        lambda n, f, lr, k: jmeta.reptile(n.model, inner_optimizer=sgd(lr), inner_steps=k, loss_fn=f),
        [
            lambda n: jmeta.reptile(n.model, inner_optimizer=sgd(0.1), inner_steps=-1),
            lambda n: jmeta.reptile(n.model, inner_optimizer=sgd(0.1), inner_steps=1, batch_size=0),
        ],
        sinusoid=(0.01, 8, 1.2),
        images=None,  # with the same examples in every step, it learns from the curvature alone, and slowly
        outer=optax.sgd(0.5),
    ),
    "reptile_batches": Algorithm(
        lambda n, f, lr, k: jmeta.reptile(
            n.model, inner_optimizer=adam(lr / 10), inner_steps=k, batch_size=4, loss_fn=f
        ),
        [],
        sinusoid=(0.1, 16, 1.5),
        images=(0.3, 8, 0.85),
        outer=optax.sgd(0.5),
        ordered=True,
    ),
    "nearest": Algorithm(
        lambda n, f, lr, k: jmeta.nearest(loss_fn=f),
        [],
        sinusoid=None,
        images=None,  # it has nothing to learn
        outer=adam(2e-3),
        any_way=True,
    ),
    "prototypical": Algorithm(
        lambda n, f, lr, k: jmeta.prototypical(n.encoder, loss_fn=f),
        [],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "proto_maml": Algorithm(
        lambda n, f, lr, k: jmeta.proto_maml(n.encoder, inner_optimizer=sgd(lr), inner_steps=k, loss_fn=f),
        [lambda n: jmeta.proto_maml(n.encoder, inner_optimizer=sgd(0.1), inner_steps=-1)],
        sinusoid=None,
        images=(0.03, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "matching": Algorithm(
        lambda n, f, lr, k: jmeta.matching(n.encoder, loss_fn=f),
        [],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "matching_cosine": Algorithm(
        lambda n, f, lr, k: jmeta.matching(n.encoder, similarity=distances.scaled_cosine(), loss_fn=f),
        [lambda n: jmeta.matching(n.encoder, similarity=distances.scaled_cosine(temperature=0.0))],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "matching_context": Algorithm(
        lambda n, f, lr, k: jmeta.matching(
            n.encoder, context=(nets.BidirectionalLSTM(), nets.AttentionLSTM(2)), loss_fn=f
        ),
        [],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        ordered=True,
        any_way=True,
    ),
    "relation": Algorithm(
        lambda n, f, lr, k: jmeta.relation(n.encoder, relation_of(n)),
        [],
        sinusoid=None,
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        own_loss=False,
        any_way=True,
    ),
    "relation_maps": Algorithm(
        lambda n, f, lr, k: jmeta.relation(maps_of(n), relation_of(n), loss_fn=f),
        [],
        sinusoid=None,
        images=None,  # whose classes differ in directions of all pixels, and not in places
        outer=adam(2e-3),
        any_way=True,
    ),
    "ridge": Algorithm(
        lambda n, f, lr, k: jmeta.ridge(n.encoder, l2=0.1, scale=1.0, loss_fn=f),
        [
            lambda n: jmeta.ridge(n.encoder, l2=0.0),
            lambda n: jmeta.ridge(n.encoder, l2=float("nan")),
            lambda n: jmeta.ridge(n.encoder, scale=0.0),
        ],
        sinusoid=(0.01, 3, 0.3),
        images=(0.3, 3, 0.9),
        outer=adam(2e-3),
        any_way=True,
    ),
    "siamese": Algorithm(
        lambda n, f, lr, k: jmeta.siamese(n.encoder),
        [],
        sinusoid=None,
        images=(0.3, 3, 0.9),
        outer=adam(2e-3),
        own_loss=False,  # it is of pairs, and a logit is of the best of them
        any_way=True,
    ),
    "baseline": Algorithm(
        lambda n, f, lr, k: jmeta.baseline(n.encoder, n.head, loss_fn=f),
        [],
        sinusoid=None,
        images=None,  # it is trained on other episodes, see `test_learning`
        outer=adam(2e-3),
        own_loss=False,  # it is the classifier's, of all training classes
    ),
    "baseline_plus_plus": Algorithm(
        lambda n, f, lr, k: jmeta.baseline_plus_plus(n.encoder, nets.CosineHead(n.head.way), loss_fn=f),
        [
            lambda n: jmeta.baseline_plus_plus(n.encoder, nets.CosineHead(3), scale=0.0),
            lambda n: jmeta.baseline_plus_plus(n.encoder, nets.CosineHead(3), scale=float("nan")),
        ],
        sinusoid=None,
        images=None,
        outer=adam(2e-3),
        own_loss=False,
    ),
    "rfs": Algorithm(
        lambda n, f, lr, k: jmeta.rfs(n.encoder, n.head, loss_fn=f),
        [
            lambda n: jmeta.rfs(n.encoder, n.head, strength=0.0),
            lambda n: jmeta.rfs(n.encoder, n.head, solver_steps=0),
        ],
        sinusoid=None,
        images=None,
        outer=adam(2e-3),
        own_loss=False,
    ),
    "neural_process": Algorithm(
        lambda n, f, lr, k: jmeta.neural_process(
            n.encoder,
            nets.MLPEncoder((32, 32)),
            readout(32),
            groups=jmeta.algorithms.all_examples if f is losses.squared_error else jmeta.algorithms.class_and_rest,
            loss_fn=f,
        ),
        [],
        sinusoid=(0.01, 3, 0.6),
        images=(0.3, 3, 0.9),
        outer=adam(2e-3),
        any_way=True,
    ),
    "oml": Algorithm(
        lambda n, f, lr, k: continual.oml(n.encoder, n.head, inner_optimizer=sgd(lr), loss_fn=f),
        [],
        sinusoid=None,
        images=None,  # it tells classes apart alone, and by one step an example
        outer=adam(2e-3),
        ordered=True,
    ),
    "anml": Algorithm(
        lambda n, f, lr, k: continual.anml(n.encoder, n.encoder, n.head, inner_optimizer=sgd(lr), loss_fn=f),
        [],
        sinusoid=None,
        images=None,
        outer=adam(2e-3),
        ordered=True,
    ),
    "class_means": Algorithm(
        lambda n, f, lr, k: continual.class_means(n.encoder, loss_fn=f),
        [],
        sinusoid=None,
        images=None,  # as prototypical, but for what is kept
        outer=adam(2e-3),
        any_way=True,
    ),
    "gemcl": Algorithm(
        lambda n, f, lr, k: continual.gemcl(n.encoder, loss_fn=f),
        [lambda n: continual.gemcl(n.encoder, shape=0.0), lambda n: continual.gemcl(n.encoder, scale=float("nan"))],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "running_ridge": Algorithm(
        lambda n, f, lr, k: continual.running_ridge(n.encoder, l2=0.5, scale=2.0, loss_fn=f),
        [lambda n: continual.running_ridge(n.encoder, l2=0.0), lambda n: continual.running_ridge(n.encoder, rows=0)],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "bayesian_maml": Algorithm(
        lambda n, f, lr, k: bayes.bayesian_maml(
            n.model, particles=2, inner_optimizer=sgd(lr), inner_steps=k, combine=combined(f), loss_fn=f
        ),
        [lambda n: bayes.bayesian_maml(n.model, particles=0, inner_optimizer=sgd(0.1), inner_steps=1)],
        sinusoid=None,
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        noisy=True,
    ),
    "abml": Algorithm(
        lambda n, f, lr, k: bayes.abml(
            n.model, samples=2, spread=0.5, inner_optimizer=sgd(lr), inner_steps=k, combine=combined(f), loss_fn=f
        ),
        [lambda n: bayes.abml(n.model, spread=-1.0, inner_optimizer=sgd(0.1), inner_steps=1)],
        sinusoid=None,
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        noisy=True,
    ),
    "platipus": Algorithm(
        lambda n, f, lr, k: bayes.platipus(
            n.model, samples=2, inner_optimizer=sgd(lr), inner_steps=k, combine=combined(f), loss_fn=f
        ),
        [lambda n: bayes.platipus(n.model, kl_weight=-1.0, inner_optimizer=sgd(0.1), inner_steps=1)],
        sinusoid=None,
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        own_loss=False,  # but of samples by themselves, and a divergence
        noisy=True,
    ),
    "meta_qda": Algorithm(
        lambda n, f, lr, k: bayes.meta_qda(n.encoder, loss_fn=f),
        [lambda n: bayes.meta_qda(n.encoder, scatter=0.0)],
        sinusoid=None,
        images=(0.3, 3, 0.85),
        outer=adam(2e-3),
        any_way=True,
    ),
    "deep_kernel_classes": Algorithm(
        lambda n, f, lr, k: bayes.deep_kernel_classifier(n.encoder, linear(), noise=0.5, objective=None, loss_fn=f),
        [lambda n: bayes.deep_kernel_classifier(n.encoder, linear(), noise=0.0)],
        sinusoid=None,
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        any_way=True,
    ),
    "versa": Algorithm(
        lambda n, f, lr, k: bayes.versa(n.encoder, nets.LayerWriter((8,)), samples=3, loss_fn=f),
        [lambda n: bayes.versa(n.encoder, nets.LayerWriter((8,)), samples=0)],
        sinusoid=None,
        images=(0.3, 3, 0.8),
        outer=adam(2e-3),
        any_way=True,
        noisy=True,
    ),
    "attention": Algorithm(
        lambda n, f, lr, k: jmeta.attention_learner(n.encoder, nets.LabelTransformer(32, 4), loss_fn=f),
        [],
        sinusoid=(0.01, 3, 0.8),
        images=(0.3, 3, 0.9),
        outer=adam(2e-3),
        any_way=True,
    ),
}


def readout(units: int) -> nn.Module:
    """Two layers to a single output."""
    return nn.Sequential([nn.Dense(units), nn.relu, nn.Dense(1)])


def conv_net(way: int, norm: Any = nets.NoNorm, features: Sequence[int] = (8, 8)) -> Net:
    """A small convolution network for small images."""
    return Net(
        nets.ConvNet(way, features=features, norm=norm, flatten=True, kernel_init=nn.initializers.lecun_normal()),
        nets.ConvEncoder(features, norm=norm, flatten=True),
        nets.Head(way, kernel_init=nn.initializers.lecun_normal()),
    )


def mlp_net(out: int, features: Sequence[int] = (40, 40)) -> Net:
    """A small network for vectors."""
    return Net(
        nets.MLP(features=features, out=out),
        nets.MLPEncoder(features=features),
        nets.Head(out, nn.initializers.lecun_normal()),
    )


def random_episode(seed: int, *, way: int = 3, shot: int = 2, query_shot: int = 2, size: int = 4) -> jmeta.Episode:
    """Images of noise, with labels."""
    rng = np.random.default_rng(seed)

    def batch(n: int) -> jmeta.Batch:
        x = rng.normal(size=(n * way, size, size, 1)).astype(np.float32)
        y = np.tile(np.eye(way, dtype=np.float32), (n, 1))
        return jmeta.Batch(jnp.asarray(x), jnp.asarray(y), jnp.asarray(np.ones(n * way, np.float32)))

    return jmeta.Episode(batch(shot), batch(query_shot))


def stack(trees: Sequence[Any]) -> Any:
    """One tree with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def random_like(key: jax.Array, tree: Any, scale: float = 1.0) -> Any:
    """Normal numbers of the same structure, shapes and dtypes, without a program for each shape."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype), tree)


def assert_close(tree: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Same structure, shapes, dtypes; and numbers that agree."""
    tree, other = jax.tree.map(np.asarray, (tree, other))
    chex.assert_trees_all_equal_shapes_and_dtypes(tree, other)
    chex.assert_trees_all_close(tree, other, rtol=rtol, atol=atol)


def largest(tree: Any) -> float:
    """The largest absolute value of a tree."""
    return max((float(np.max(np.abs(np.asarray(leaf)))) for leaf in jax.tree.leaves(tree)), default=0.0)


def difference(tree: Any, other: Any) -> float:
    """The largest absolute difference of two trees."""
    assert [np.shape(leaf) for leaf in jax.tree.leaves(tree)] == [np.shape(leaf) for leaf in jax.tree.leaves(other)]
    return largest(jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), tree, other))
