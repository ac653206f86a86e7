"""Linear regressions of tasks whose relatedness is learned with them (Zhang and Yeung 2010), and ridge baselines.

Everywhere `x [T, N, D]` and `y [T, N]` are the examples of T tasks, padded to N of each, and `weight [T, N]` is 0 for
padding. Features should be of the order of 1, for the normal equations that are solved have the square of their spread.
Everything can be compiled, also for penalties that are traced: a grid of them is one `vmap`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta.checks import check_above_zero, known
from jmeta.distances import product, wide
from jmeta.losses import weighted_mean
from jmeta.mtl.relatedness.cosines import gradient_cosines
from jmeta.mtl.relatedness.moments import Moments, counted, moments
from jmeta.solvers import Solver, conjugate_gradient


class TaskCovariance(NamedTuple):
    """What was learned of T linear tasks.

    Attributes:
        weights: `[T, D]`, the regression of each task: its prediction is `x @ weights[task]`.
        omega: `[T, T]`, of trace 1: how the tasks are related.
        objective: `[iterations + 1]`, what is minimized, after each step in both; first, for the ridge regressions that
            it starts from, with the best omega for them.
    """

    weights: Array
    omega: Array
    objective: Array


def task_covariance(
    x: Array,
    y: Array,
    *,
    ridge: Any,
    relation: Any,
    iterations: int = 20,
    weight: Array | None = None,
    solver: Solver | None = None,
) -> TaskCovariance:
    """Multi-task relationship learning: regressions, and the covariance that they have between tasks.

        min over W, Omega of   sum_i 1/n_i |y_i - X_i w_i|^2 + ridge |W|^2 + relation tr(W' Omega^-1 W),   tr Omega = 1

    with a row of W for each task. It is convex in both, and minimized in one at a time, from Omega = I / T:

        W     = the solution of a linear system, see `related_ridge`
        Omega = (W W')^{1/2} / tr (W W')^{1/2}, see `covariance_of`

    Of columns that are drawn from a Gaussian with the covariance S between tasks, Omega estimates **S^{1/2}** over its
    trace, and not S: its correlations are smaller than those of S. At the best Omega the last term is `relation` times
    the square of W's nuclear norm, so that weights of a low rank are what is looked for.

    Args:
        x: `[T, N, D]`, floating point. A constant feature is penalized as all others are.
        y: `[T, N]`.
        ridge: penalty on all weights, 0 or more.
        relation: penalty on weights that Omega does not expect, above 0. With Omega = I / T it would be a ridge penalty
            of `relation * T`.
        iterations: steps in both, 1 or more.
        weight: `[T, N]`, how much each example counts, 0 for padding; None means all alike. n_i is a task's sum.
        solver: of the linear system, on a pytree of one array; None for `conjugate_gradient(100)`.

    Returns:
        A `TaskCovariance`, in float32 or better.

    Raises:
        ValueError: for shapes that do not fit, examples that are not of floating point, a ridge below 0, a relation
            that is not above 0, or no iterations.

    Example:
        Two tasks with opposite weights.

        >>> x = jax.random.normal(jax.random.key(0), (2, 50, 3))
        >>> y = jnp.array([1.0, -1.0])[:, None] * jnp.sum(x, axis=2)
        >>> found = task_covariance(x, y, ridge=0.0, relation=1e-3)
        >>> correlations(found.omega).round(2).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]

    Differs from the paper: linear features alone, without a kernel, and no offset beside the features (give a constant
    one); the linear system is solved in the weights and not in its dual, which has as many unknowns as examples.

    Source: Zhang and Yeung 2010, A Convex Formulation for Learning Task Relationships in Multi-Task Learning.
    https://arxiv.org/abs/1203.3536
    """
    _check_penalties(ridge, relation)
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more, got {iterations}")
    system = _system(x, y, weight)
    tasks, dtype = len(system.cross), system.cross.dtype

    def fit(spectrum: _Spectrum) -> _Fitted:
        weights = _related(system, spectrum, ridge, relation, solver)
        following, nuclear = _spectrum(weights)
        penalties = ridge * jnp.sum(weights * weights) + relation * nuclear * nuclear
        return _Fitted(weights, following, _errors(x, y, weight, weights) + penalties)

    def step(fitted: _Fitted, _: None) -> tuple[_Fitted, Array]:
        fitted = fit(fitted.spectrum)
        return fitted, fitted.objective

    start = fit(_Spectrum(jnp.eye(tasks, dtype=dtype), jnp.full(tasks, 1 / tasks, dtype)))
    fitted, path = lax.scan(step, start, None, length=iterations)
    return TaskCovariance(fitted.weights, _omega(fitted.spectrum), jnp.concatenate([start.objective[None], path]))


def related_ridge(
    x: Array,
    y: Array,
    omega: Array,
    *,
    ridge: Any,
    relation: Any,
    weight: Array | None = None,
    solver: Solver | None = None,
) -> Array:
    """The regressions `[T, D]` for a relatedness that is given.

        W = argmin_W  sum_i 1/n_i |y_i - X_i w_i|^2 + ridge |W|^2 + relation tr(W' Omega^-1 W)

    A system of T * D unknowns, solved in other coordinates, in which it would be diagonal if the tasks had the same
    inputs: with G_i = X_i' X_i / n_i, the eigenvectors Q and E of Omega and of the mean of G, and eigenvalues s and g,

        W = Q (S * U) E',    S_td^2 = s_t / (s_t (g_d + ridge) + relation)

    of which the U are the unknowns. Directions in which Omega is 0 have no part in W.

    Args are those of `task_covariance`, and:
        omega: `[T, T]`, symmetric, with eigenvalues of 0 or more (those within rounding errors of it, and those
            below, are taken for 0). For weights whose columns are Gaussian with the covariance S between tasks, and
            noise of variance v, the weights expected given n examples of each task are those for Omega = S / tr S and
            relation = v / (n tr S), without ridge.

    Raises:
        ValueError: as in `task_covariance`.
    """
    _check_penalties(ridge, relation)
    system = _system(x, y, weight)
    tasks = len(system.cross)
    if omega.shape != (tasks, tasks):
        raise ValueError(f"omega must be [T, T] for the {tasks} tasks of x, got {list(omega.shape)}")
    sizes, directions = jnp.linalg.eigh(_after(omega.astype(system.cross.dtype), system.lengths))
    rounding = tasks * jnp.finfo(sizes.dtype).eps * jnp.max(sizes)  # a 0 comes out as up to this much, of either sign
    return _related(system, _Spectrum(directions, jnp.where(sizes > rounding, sizes, 0)), ridge, relation, solver)


def covariance_of(weights: Array) -> Array:
    """The best Omega `[T, T]`, of trace 1, for given regressions `[T, D]`, in closed form.

        Omega = (W W')^{1/2} / tr (W W')^{1/2},   by the singular values of W;   I / T where W is 0

    Example:
        >>> covariance_of(jnp.array([[3.0, 0.0], [0.0, 1.0]])).round(4).tolist()
        [[0.75, 0.0], [0.0, 0.25]]
    """
    return _omega(_spectrum(wide(weights))[0])


def correlations(omega: Array) -> Array:
    """The correlations `[T, T]` of a covariance; a task of variance 0 has none with others.

        r_ij = omega_ij / sqrt(omega_ii omega_jj)

    Example:
        >>> correlations(jnp.array([[4.0, -1.0], [-1.0, 1.0]])).tolist()
        [[1.0, -0.5], [-0.5, 1.0]]
    """
    return gradient_cosines(omega)


def task_ridge(x: Array, y: Array, *, ridge: Any, weight: Array | None = None) -> Array:
    """A ridge regression of each task by itself, `[T, D]`.

        w_i = argmin_w  1/n_i |y_i - X_i w|^2 + ridge |w|^2

    Args are those of `task_covariance`, with a ridge above 0.

    Raises:
        ValueError: for shapes that do not fit, examples that are not of floating point, or a ridge that is not above 0.
    """
    check_above_zero("ridge", ridge)
    return _ridges(moments(x, y, weight), ridge)


def pooled_ridge(x: Array, y: Array, *, ridge: Any, weight: Array | None = None) -> Array:
    """One ridge regression of the examples of all tasks together, `[D]`. Args and errors are those of `task_ridge`.

    w = argmin_w  1/n sum_i |y_i - X_i w|^2 + ridge |w|^2,    n = sum_i n_i
    """
    check_above_zero("ridge", ridge)
    gram, cross, counts = moments(x, y, weight)
    total = jnp.sum(counts)
    share = counts / jnp.where(total > 0, total, 1)
    whole = Moments(jnp.einsum("i,ide->de", share, gram)[None], product(share[None], cross), total[None])
    return _ridges(whole, ridge)[0]


def _ridges(moments: Moments, ridge: Any) -> Array:
    """`(G_i + ridge I)^-1 b_i` for each task, with a ridge that is no less than rounding errors."""
    identity = jnp.eye(moments.cross.shape[1], dtype=moments.cross.dtype)

    def solve(gram: Array, cross: Array) -> Array:
        penalty = jnp.maximum(jnp.asarray(ridge, gram.dtype), jnp.finfo(gram.dtype).eps * jnp.trace(gram))
        return cho_solve(cho_factor(gram + penalty * identity), cross)

    return jax.vmap(solve)(moments.gram, moments.cross)


class _Spectrum(NamedTuple):
    """Eigenvectors `[T, k]` and eigenvalues `[k]` of Omega: all that are not 0."""

    directions: Array
    sizes: Array


class _Fitted(NamedTuple):
    """The weights for an Omega, and the spectrum of the Omega that is best for them, with what is minimized there."""

    weights: Array
    spectrum: _Spectrum
    objective: Array


def _spectrum(weights: Array) -> tuple[_Spectrum, Array]:
    """That of `covariance_of`, with k = min(T, D), and the nuclear norm of the weights."""
    directions, sizes, _ = jnp.linalg.svd(weights, full_matrices=False)
    total = jnp.sum(sizes)
    return _Spectrum(directions, sizes / jnp.where(total > 0, total, 1)), total


def _omega(spectrum: _Spectrum) -> Array:
    directions, sizes = spectrum
    tasks = len(directions)
    omega = product(directions * sizes[None, :], directions.T)
    return jnp.where(jnp.sum(sizes) > 0, omega, jnp.eye(tasks, dtype=omega.dtype) / tasks)


class _System(NamedTuple):
    """`x y [T, D]` of each task; eigenvectors `[D, D]` and eigenvalues `[D]` of the mean of their `x x'`, and how each
    differs from it `[T, D, D]`."""

    cross: Array
    features: Array
    lengths: Array
    spread: Array


def _system(x: Array, y: Array, weight: Array | None) -> _System:
    gram, cross, _ = moments(x, y, weight)
    middle = jnp.mean(gram, axis=0)
    lengths, features = jnp.linalg.eigh(middle)
    return _System(cross, features, jnp.maximum(lengths, 0), gram - middle[None])


def _related(system: _System, spectrum: _Spectrum, ridge: Any, relation: Any, solver: Solver | None) -> Array:
    """The weights of `related_ridge`."""
    solver = conjugate_gradient(100) if solver is None else solver
    directions, features, sizes = spectrum.directions, system.features, spectrum.sizes[:, None]
    scale = jnp.sqrt(sizes / (sizes * (system.lengths[None, :] + ridge) + relation))

    def weights(u: Array) -> Array:
        return product(product(directions, scale * u), features.T)

    def back(w: Array) -> Array:
        return scale * product(product(directions.T, w), features)

    def matvec(u: Array) -> Array:
        return u + back(jnp.einsum("ide,ie->id", system.spread, weights(u), precision="highest"))

    return weights(solver(matvec, back(system.cross)))


def _after(x: Array, other: Array) -> Array:
    """x, once there is the other, of finite numbers.

    On CPUs XLA runs what does not depend on each other at the same time, and two batches of LAPACK's decompositions can
    then wait for each other's threads for ever, as they do with JAX 0.10 on two cores.
    """
    return x + 0 * other[0]


def _errors(x: Array, y: Array, weight: Array | None, weights: Array) -> Array:
    """The mean square error of each task, summed over tasks."""
    x, y, weight = counted(x, y, weight)
    wrong = y - jnp.einsum("ind,id->in", x, weights, precision="highest")
    return jnp.sum(jax.vmap(weighted_mean)(wrong * wrong, weight))


def _check_penalties(ridge: Any, relation: Any) -> None:
    if known(ridge) and not 0 <= ridge < float("inf"):
        raise ValueError(f"ridge must be a finite number of 0 or more, got {ridge}")
    check_above_zero("relation", relation)
