"""The outer loop: mean of the learner's loss over episodes, its gradient, any Optax rule, and a run of many steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import Mesh
from jax.tree_util import Partial

from jmeta import loop, rules, sharding
from jmeta.checks import check_sizes
from jmeta.episodes import Sampler
from jmeta.experiment import TrainState
from jmeta.loop import PIECE as PIECE
from jmeta.loop import Over, as_partial
from jmeta.loop import one_by_one as one_by_one
from jmeta.types import Episode, Learner, Metrics, Params

Schedule = Callable[[Array], Learner]
"""`step -> Learner`, with the outer step's number as a traced int32: a learner that changes as training goes on."""

Step = Callable[[TrainState, Episode], tuple[TrainState, Metrics]]


def at_step(learner: Learner | Schedule, step: Array) -> Learner:
    """The learner of an outer step; a learner that doesn't change is that of all."""
    return learner if isinstance(learner, Learner) else learner(step)


def init_state(
    learner: Learner | Schedule, optimizer: optax.GradientTransformation, key: Array, sample_x: Any
) -> TrainState:
    """The state that training starts from, by a PRNG key for the parameters and the run, and the inputs `[N, ...]` of
    one support set, whose shape matters."""
    init_key, run_key = jax.random.split(key)
    start = jnp.zeros((), jnp.int32)
    params = at_step(learner, start).init(init_key, sample_x)
    return TrainState(params, optimizer.init(params), run_key, start)


def meta_loss(learner: Learner, params: Params, episodes: Episode) -> tuple[Array, Metrics]:
    """Mean of the learner's loss over episodes with a leading axis T, and the mean `Metrics`.

        meta_loss = 1/T sum_t loss(params, episode_t)

    Its gradient in `params` is the meta-gradient.
    """
    if len(episodes.support.y) == 1:  # as it is, which takes a quarter less time to trace than a batch of one
        found: Any = learner.loss(params, jax.tree.map(lambda a: a[0], episodes))
    else:
        found = jax.vmap(learner.loss, in_axes=(None, 0))(params, episodes)
    if not isinstance(found, tuple) or isinstance(found, Metrics) or len(found) != 2:
        raise TypeError(
            f"a learner's loss must return a number and Metrics, as jmeta.losses.query_loss does, got {found!r:.60}"
        )
    losses, metrics = found
    return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)


def meta_gradient(
    learner: Learner,
    params: Params,
    episodes: Episode,
    *,
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Params, Metrics]:
    """Gradient of `meta_loss` in `params`, accumulated over chunks of the T tasks, and the mean `Metrics`.

    Args:
        chunk_size: tasks that run at once, on each device; memory grows with it. None takes `good_chunk_size`.
        mesh: devices that share the tasks, see `make_step`.

    Raises:
        ValueError: if the devices do not divide T, or `chunk_size` the tasks of each.
    """
    _check_shares(len(episodes.support.y), chunk_size, mesh)
    if mesh is None:
        return _accumulated(learner, params, episodes, chunk_size)
    # Each device sums up its own tasks, whatever the chunks, so that the devices meet once a step, in this mean.
    each = jax.vmap(
        lambda params, episodes: _accumulated(learner, params, episodes, chunk_size),
        in_axes=(None, 0),
        spmd_axis_name=mesh.axis_names[0],
    )(params, sharding.by_device(episodes, mesh))
    return sharding.replicate(jax.tree.map(lambda a: jnp.mean(a, axis=0), each), mesh)


def _check_shares(tasks: int, chunk_size: int | None, mesh: Mesh | None) -> None:
    """ValueError for a meta-batch that the devices, or the chunks on each, do not divide."""
    if mesh is not None:
        sharding.check_mesh(mesh)
    each = sharding.tasks_of_each(tasks, mesh)
    if chunk_size is not None and (chunk_size < 1 or each % chunk_size):
        whose = "a meta-batch" if mesh is None else "each device"
        raise ValueError(f"chunk_size must divide the {each} tasks of {whose}, got {chunk_size}")


def good_chunk_size(episodes: Episode) -> int:
    """How many of T tasks had better run at once: one on a CPU where inputs are images, whose buffers it then keeps in
    its cache (1.4 to 1.8 times the tasks/s of all together, for 32 tasks of 28x28 Omniglot); everywhere else all."""
    axes = len(("task", "example", "height", "width", "channel"))
    images = any(leaf.ndim == axes for leaf in jax.tree.leaves(episodes.support.x))
    return 1 if images and jax.default_backend() == "cpu" else len(episodes.support.y)


def _accumulated(learner: Learner, params: Params, episodes: Episode, chunk_size: int | None) -> tuple[Params, Metrics]:
    """`meta_gradient` on one device."""
    grad_fn = jax.grad(lambda params, episodes: meta_loss(learner, params, episodes), has_aux=True)
    tasks = len(episodes.support.y)
    chunk_size = good_chunk_size(episodes) if chunk_size is None else chunk_size
    if chunk_size == tasks:
        return grad_fn(params, episodes)
    num_chunks = tasks // chunk_size
    chunks = jax.tree.map(lambda a: a.reshape(num_chunks, chunk_size, *a.shape[1:]), episodes)

    def accumulate(total: Params, chunk: Episode) -> tuple[Params, Metrics]:
        grads, metrics = grad_fn(params, chunk)
        return jax.tree.map(jnp.add, total, grads), metrics

    total, metrics = lax.scan(accumulate, jax.tree.map(jnp.zeros_like, params), chunks)
    return jax.tree.map(lambda g: g / num_chunks, total), jax.tree.map(jnp.mean, metrics)


def _value(learner: Learner, params: Params, episodes: Episode, chunk_size: int | None) -> Array:
    """`meta_loss` in the memory of one chunk, also where it is differentiated."""
    chunk_size = good_chunk_size(episodes) if chunk_size is None else chunk_size
    chunks = jax.tree.map(lambda a: a.reshape(-1, chunk_size, *a.shape[1:]), episodes)
    return jnp.mean(lax.map(jax.checkpoint(lambda chunk: meta_loss(learner, params, chunk)[0]), chunks))


def make_step(
    learner: Learner | Schedule,
    optimizer: optax.GradientTransformation,
    *,
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
) -> Step:
    """One compiled outer step, meta-gradient and update: `step(state, episodes) -> (state, metrics)`.

    Args:
        learner: the algorithm, or a `Schedule` of it.
        optimizer: any Optax rule. One that wants more than the gradient is offered the loss of the same tasks, its
            function `value_fn(params)`, for line searches, and `grad_fn(params, step)`, the meta-gradient elsewhere,
            which `optax.contrib.sam(..., opaque_mode=True)` calls.
        chunk_size: tasks that run at once, on each device, see `meta_gradient`.
        mesh: devices that share the tasks, one axis, see `jmeta.sharding.task_mesh`: each of D devices has T/D of the
            T tasks, parameters and optimizer state are on all, and their gradients are averaged. None computes where
            the arrays are.

    Raises:
        ValueError: for a mesh of another form; and from the step, if the devices do not divide the tasks, or
            `chunk_size` the tasks of each.
    """
    if mesh is not None:
        sharding.check_mesh(mesh)

    def step(state: TrainState, episodes: Episode) -> tuple[TrainState, Metrics]:
        now = at_step(learner, state.step)

        def grad_fn(params: Params, _: Any = None) -> Params:
            return meta_gradient(now, params, episodes, chunk_size=chunk_size, mesh=mesh)[0]

        def value_fn(params: Params) -> Array:
            return _value(now, params, episodes, chunk_size if mesh is None else None)

        grads, metrics = meta_gradient(now, state.params, episodes, chunk_size=chunk_size, mesh=mesh)
        params, opt_state = rules.move(
            optimizer, grads, state.opt_state, state.params, value_fn=value_fn, grad_fn=grad_fn
        )
        return TrainState(params, opt_state, state.key, state.step + 1), metrics

    compiled = jax.jit(step)
    if mesh is None:
        return compiled

    def placed_step(state: TrainState, episodes: Episode) -> tuple[TrainState, Metrics]:
        _check_shares(len(episodes.support.y), chunk_size, mesh)
        return compiled(sharding.replicate(state, mesh), sharding.spread(episodes, mesh))

    return placed_step


def drawing(
    learner: Learner | Schedule,
    optimizer: optax.GradientTransformation,
    *,
    meta_batch_size: int,
    chunk_size: Callable[[int], int | None] = lambda devices: 1,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """A step that draws its tasks by the run's key and the step's number: `update(sample, state, mesh=None)`.

    `chunk_size` says how many tasks each device computes at once, by the number of devices; see `make_step`.
    """

    def update(sample: Sampler, state: TrainState, mesh: Mesh | None = None) -> tuple[TrainState, Metrics]:
        step = make_step(learner, optimizer, chunk_size=chunk_size(1 if mesh is None else mesh.size), mesh=mesh)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), meta_batch_size)
        return step(state, jax.vmap(sample)(keys) if mesh is None else sharding.draw(sample, keys, mesh))

    return update


def make_run(
    learner: Learner | Schedule,
    optimizer: optax.GradientTransformation,
    sample: Sampler,
    *,
    meta_batch_size: int,
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, int], tuple[TrainState, Metrics]]:
    """Many outer steps as one program that draws its own episodes: `run(state, num_steps) -> (state, metrics)`.

    The episodes of a step depend on the run's key and the step's number alone, and one program runs any number of
    steps, so a run that is cut into pieces anywhere gives the same bits. Another number of devices gives the same
    numbers to rounding. Metrics are `[num_steps]`.

    Args:
        learner, optimizer, chunk_size, mesh: as in `make_step`; a device draws the episodes that one alone would.
        sample: `key -> Episode`, traced once: all that it draws is drawn by the key, in JAX, and not in NumPy.
        meta_batch_size: T, tasks of each outer step.

    Raises:
        ValueError: if `meta_batch_size` is below 1, the devices do not divide it, or `chunk_size` the tasks of each.
    """
    check_sizes(meta_batch_size=meta_batch_size)
    _check_shares(meta_batch_size, chunk_size, mesh)
    step = make_step(learner, optimizer, chunk_size=chunk_size, mesh=mesh)
    run = loop.repeat(_sampled(step, _placed(sample, mesh), meta_batch_size, mesh))
    return run if mesh is None else lambda state, num_steps: run(sharding.replicate(state, mesh), num_steps)


def make_runs(
    build: Callable[[Any], tuple[Learner | Schedule, optax.GradientTransformation]],
    sample: Sampler,
    *,
    meta_batch_size: int,
    chunk_size: int | None = None,
    mesh: Mesh | None = None,
    over: Over = jax.vmap,
) -> Callable[[TrainState, Any, int], tuple[TrainState, Metrics]]:
    """Many runs, of many seeds and hyper-parameters, as one program: `run(states, rates, num_steps)`.

        states[r] after n steps = make_run(*build(rates[r]), sample, ...)(states[r], n)

    States and rates, any pytree, have a leading axis of R runs; metrics are `[R, num_steps]`. Each run is its own
    single run to rounding, and one that is cut into pieces anywhere gives the same bits.

    Args:
        build: `rates -> (learner, optimizer)`, called inside the program with the traced numbers of one run.
        sample, meta_batch_size, chunk_size, mesh: as in `make_run`, of each run, which draws by its own key.
        over: how the program goes over the runs: `jax.vmap` computes them together, which keeps an accelerator busy;
            `one_by_one` in turn, in the memory of a single run, and faster for pictures on a CPU, where products of
            small matrices of many runs are slow.

    Raises:
        ValueError: as `make_run`.

    Example:
        Two seeds of two inner rates.

        >>> from jmeta import losses, maml, nets, sinusoid_sampler
        >>> net, sample = nets.MLP((8,), 1), sinusoid_sampler(shot=5, query_shot=5)
        >>> def build(rate):
        ...     inner = optax.sgd(rate)
        ...     return maml(net, inner_optimizer=inner, inner_steps=1, loss_fn=losses.squared_error), optax.adam(1e-3)
        >>> keys = jax.random.split(jax.random.key(0), 2)[jnp.array([0, 1, 0, 1])]
        >>> rates = jnp.array([0.01, 0.01, 0.1, 0.1])
        >>> x = jnp.zeros((5, 1))
        >>> states = jax.vmap(lambda key, rate: init_state(*build(rate), key, x))(keys, rates)
        >>> states, metrics = make_runs(build, sample, meta_batch_size=4)(states, rates, 3)
        >>> metrics.loss.shape
        (4, 3)
    """
    check_sizes(meta_batch_size=meta_batch_size)
    _check_shares(meta_batch_size, chunk_size, mesh)
    data, structure = jax.tree.flatten(_placed(sample, mesh))  # see `loop.repeat`

    @jax.jit
    def piece(data: list[Any], states: TrainState, rates: Any, num_steps: Array) -> tuple[TrainState, Metrics]:
        sample = jax.tree.unflatten(structure, data)

        def one(state: TrainState, rates: Any) -> tuple[TrainState, Metrics]:
            step = make_step(*build(rates), chunk_size=chunk_size, mesh=mesh)
            return loop.steps(_sampled(step, sample, meta_batch_size, mesh), state, num_steps)

        return over(one)(states, rates)

    def run(states: TrainState, rates: Any, num_steps: int) -> tuple[TrainState, Metrics]:
        placed = (states, rates) if mesh is None else sharding.replicate((states, rates), mesh)
        return loop.in_pieces(lambda states, count: piece(data, states, placed[1], count), placed[0], num_steps, 1)

    return run


def _placed(sample: Sampler, mesh: Mesh | None) -> Partial:
    """A sampler whose data are on all devices."""
    return as_partial(sample) if mesh is None else sharding.replicate(as_partial(sample), mesh)


def _sampled(step: Step, sample: Partial, meta_batch_size: int, mesh: Mesh | None) -> Partial:
    """A step on episodes drawn by the run's key: `state -> (state, metrics)`."""

    def update(sample: Partial, state: TrainState) -> tuple[TrainState, Metrics]:
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), meta_batch_size)
        return step(state, jax.vmap(sample)(keys) if mesh is None else sharding.draw(sample, keys, mesh))

    return Partial(update, sample)
