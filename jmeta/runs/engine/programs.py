"""The compiled programs of a run: its start, its steps, its validation, for one member or for many."""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jmeta import loop, sharding
from jmeta.experiment import Build, Experiment
from jmeta.loop import Advance, Over, as_partial, one_by_one
from jmeta.runs.engine.members import Member
from jmeta.settings import replaced


class Programs(NamedTuple):
    """What is compiled; states have a leading axis of members.

    Attributes:
        start: `() -> states`.
        early: traces the start; what it returns compiles it, also in a thread beside the tracing of the others.
        advance: `(states, steps) -> (states, metrics [members, PIECE])`, of up to `PIECE` steps; the rest is of none.
        validate: `(params, i) -> {name: [values]}` of member i; None where nothing is held out.
        memory: `states -> ` bytes that a device needs for the largest, which are compiled to know it.
    """

    start: Callable[[], Any]
    early: Callable[[], Callable[[], Any]]
    advance: Advance
    validate: Callable[[Any, int], Mapping[str, Array]] | None
    memory: Callable[[Any], int]


def compiled(build: Build, settings: Any, experiment: Experiment, each: list[Member], mesh: Mesh | None) -> Programs:
    """The programs of all members, whose steps share their tasks out to the devices of a mesh.

    `build` is called again inside the programs, where the values of a sweep are traced. `experiment` is that of the
    first member; its data are arguments of the programs.
    """
    over = _alone if len(each) == 1 else over_runs()
    keys = jnp.stack([jax.random.key(own.options.seed) for own in each])
    rates = {name: jnp.array([own.rates[name] for own in each], jnp.float32) for name in each[0].rates}

    def at(rates: Mapping[str, Any]) -> Experiment:
        return build(replaced(settings, rates)) if rates else experiment

    update_data = _data(experiment.update)
    if mesh is not None:
        update_data, rates = sharding.replicate((update_data, rates), mesh)
    start = jax.jit(lambda keys, rates: over(lambda key, rates: at(rates).init(key))(keys, rates))

    @jax.jit
    def piece(data: list[Any], rates: Any, states: Any, count: Array) -> tuple[Any, Any]:
        def one(state: Any, rates: Any) -> tuple[Any, Any]:
            update = _with_data(at(rates).update, data)
            return loop.steps(lambda state: update(state, mesh), state, count)

        return over(one)(states, rates)

    local = rates if mesh is None else sharding.local(rates)
    advance = functools.partial(piece, update_data, rates)
    validate, validate_memory = _validation(experiment, at, local)

    def memory(states: Any) -> int:
        own, lowered = states if mesh is None else sharding.local(states), piece.lower(update_data, rates, states, 0)
        with ThreadPoolExecutor(1) as beside:  # XLA works on the one while Python makes the other
            training = beside.submit(_bytes, lowered)
            return max(validate_memory(own.params), training.result())

    early = lambda: start.lower(keys, local).compile
    return Programs(lambda: start(keys, local), early, advance, validate, memory)


def _bytes(lowered: Any) -> int:
    """What a program needs on a device for arguments, results and what is between; 0 where the backend can't tell."""
    sizes = lowered.compile().memory_analysis()
    if sizes is None:
        return 0
    return (
        sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    )


def _validation(
    experiment: Experiment, at: Callable[[Mapping[str, Any]], Experiment], rates: Mapping[str, Array]
) -> tuple[Callable[[Any, int], Mapping[str, Array]] | None, Callable[[Any], int]]:
    """The validation of a member, and what it needs for parameters of all."""
    if experiment.validate is None:
        return None, lambda params: 0
    data = _data(experiment.validate)

    @jax.jit
    def validate(data: list[Any], rates: Mapping[str, Any], params: Any) -> Mapping[str, Array]:
        found = at(rates).validate
        assert found is not None, "members are validated alike"
        return _with_data(found, data)(params)

    def arguments(params: Any, i: int) -> tuple[Any, Any, Any]:
        return data, jax.tree.map(lambda a: a[i], rates), params

    def memory(params: Any) -> int:
        return _bytes(validate.lower(*arguments(jax.tree.map(lambda a: a[0], params), 0)))

    return lambda params, i: validate(*arguments(params, i)), memory


def over_runs() -> Over:
    """How one program goes over many runs: on a CPU in turn, where each then gives the bits of its single run."""
    return one_by_one if jax.default_backend() == "cpu" else jax.vmap


def _alone(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one as a function of one in a row."""

    def run(*args: Any) -> Any:
        return jax.tree.map(lambda a: a[None], fun(*jax.tree.map(lambda a: a[0], args)))

    return run


def _data(fun: Callable[..., Any]) -> list[Any]:
    """The arrays that a function carries."""
    return jax.tree.leaves(as_partial(fun))


def _with_data(fun: Callable[..., Any], data: list[Any]) -> Callable[..., Any]:
    """The same function with other arrays: those that a program was given, in place of those that it would contain."""
    return jax.tree.unflatten(jax.tree.structure(as_partial(fun)), data)
