"""Floating-point operations of the matrix products in a program, from its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Literal

Needed = tuple[bool, ...]


def matrix_operations(fun: Callable[..., Any], *args: Any) -> int:
    """Operations of the matrix products and convolutions that one call of a function makes.

        dot_general            2 b m n k
        conv_general_dilated   2 |output| |kernel| / output channels

    Loops count as often as they run, branches as the dearest. What no output depends on is not counted, since the
    compiler drops it; a product that is written twice counts twice, and a convolution's taps count where they meet
    padding too. Nothing is computed.

    Args:
        fun: any function that JAX can trace, compiled or not.
        *args: its arguments, or their shapes as `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: for products inside a loop whose length is not known before it runs, or inside something else that
            there is no rule for.

    Example:
        >>> matrix_operations(lambda a, b: (a @ b).sum(), jax.numpy.ones((2, 3)), jax.numpy.ones((3, 5)))
        60
    """
    jaxpr = jax.make_jaxpr(fun)(*args).jaxpr
    return _count(jaxpr, (True,) * len(jaxpr.outvars))[0]


def _count(jaxpr: Any, needed: Needed) -> tuple[int, Needed]:
    """Operations behind the outputs that are needed, and which inputs these need."""
    jaxpr = _open(jaxpr)
    live = {v for v, wanted in zip(jaxpr.outvars, needed, strict=True) if wanted and not isinstance(v, Literal)}
    total = 0
    for eqn in reversed(jaxpr.eqns):
        outputs = tuple(v in live for v in eqn.outvars)
        if any(outputs) or eqn.effects:
            operations, inputs = _count_equation(eqn, outputs)
            total += operations
            live |= {v for v, wanted in zip(eqn.invars, inputs, strict=True) if wanted and not isinstance(v, Literal)}
    return total, tuple(v in live for v in jaxpr.invars)


def _count_equation(eqn: Any, needed: Needed) -> tuple[int, Needed]:
    rule = _RULES.get(eqn.primitive.name)
    if rule is not None:
        return rule(eqn, needed)
    everything = (True,) * len(eqn.invars)
    inner = _inner_jaxprs(eqn)
    if len(inner) == 1 and _fits(inner[0], eqn):  # jit, remat, functions with a derivative of their own
        return _count(inner[0], needed)
    if any(_count_whole(j) for j in inner):
        raise ValueError(
            f"there are matrix products inside {eqn.primitive.name}, got no rule for how often they run: "
            "add one to benchmarks/operations.py"
        )
    return 0, everything


def _count_whole(jaxpr: Any) -> int:
    return _count(jaxpr, (True,) * len(_open(jaxpr).outvars))[0]


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _inner_jaxprs(eqn: Any) -> list[Any]:
    values = [v for p in eqn.params.values() for v in (p if isinstance(p, tuple | list) else (p,))]
    return [v for v in values if hasattr(_open(v), "eqns")]


def _fits(jaxpr: Any, eqn: Any) -> bool:
    jaxpr = _open(jaxpr)
    return len(jaxpr.invars) == len(eqn.invars) and len(jaxpr.outvars) == len(eqn.outvars)


def _dot(eqn: Any, needed: Needed) -> tuple[int, Needed]:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    k = math.prod(eqn.invars[0].aval.shape[i] for i in contracted)
    return 2 * math.prod(eqn.outvars[0].aval.shape) * k, (True, True)


def _convolution(eqn: Any, needed: Needed) -> tuple[int, Needed]:
    kernel = eqn.invars[1].aval.shape
    features = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
    return 2 * math.prod(eqn.outvars[0].aval.shape) * math.prod(kernel) // features, (True, True)


def _scan(eqn: Any, needed: Needed) -> tuple[int, Needed]:
    body = _open(eqn.params["jaxpr"])
    # Their numbers have other names in each version of JAX; what is stacked has an axis more outside than inside.
    carried = sum(o.aval.ndim == i.aval.ndim for o, i in zip(eqn.outvars, body.outvars, strict=True))
    kept = sum(o.aval.ndim == i.aval.ndim for o, i in zip(eqn.invars, body.invars, strict=True))
    consts = kept - carried
    carry, stacked = needed[:carried], needed[carried:]
    while True:  # what a step needs of the carry, the step before has to make
        operations, inputs = _count(body, carry + stacked)
        before = inputs[consts : consts + carried]
        if all(c or not b for c, b in zip(carry, before, strict=True)):
            return eqn.params["length"] * operations, inputs
        carry = tuple(c or b for c, b in zip(carry, before, strict=True))


def _while(eqn: Any, needed: Needed) -> tuple[int, Needed]:
    test, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    operations = [_count_whole(j) for j in (test, body)]
    everything = (True,) * len(eqn.invars)
    if not any(operations):
        return 0, everything
    length = _trip_count(eqn)
    if length is None:
        raise ValueError(
            "there are matrix products in a while loop of unknown length, got no count of its steps: "
            "use lax.scan, or a lax.fori_loop between two Python integers"
        )
    return (length + 1) * operations[0] + length * operations[1], everything


def _trip_count(eqn: Any) -> int | None:
    """Steps of `while i < n: ...; i += c` with numbers known at tracing; None for any other loop."""
    test, body = _open(eqn.params["cond_jaxpr"]), _open(eqn.params["body_jaxpr"])
    test_consts, body_consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    if len(test.eqns) != 1 or test.eqns[0].primitive.name != "lt" or test.outvars[0] is not test.eqns[0].outvars[0]:
        return None
    counter, limit = test.eqns[0].invars
    if isinstance(counter, Literal) or not isinstance(limit, Literal) or counter not in test.invars[test_consts:]:
        return None
    place = test.invars[test_consts:].index(counter)
    start = eqn.invars[test_consts + body_consts + place]
    made = [e for e in body.eqns if body.outvars[place] in e.outvars]
    if not isinstance(start, Literal) or not made or made[0].primitive.name != "add":
        return None
    first, step = made[0].invars
    if first is not body.invars[body_consts + place] or not isinstance(step, Literal) or step.val < 1:
        return None
    return max(0, math.ceil((limit.val - start.val) / step.val))


def _cond(eqn: Any, needed: Needed) -> tuple[int, Needed]:
    counted = [_count(branch, needed) for branch in eqn.params["branches"]]
    inputs = tuple(any(wanted) for wanted in zip(*(inputs for _, inputs in counted), strict=True))
    return max(operations for operations, _ in counted), (True, *inputs)


_RULES: dict[str, Callable[[Any, Needed], tuple[int, Needed]]] = {
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
