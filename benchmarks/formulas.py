"""Operations of the matrix products that a workload can't do without, whoever computes it."""

import itertools
from collections.abc import Sequence

from benchmarks.workloads import BLOCKS, CHANNELS, HIDDEN, SIZE, Workload


def needed_operations(workload: Workload, tasks: int) -> int:
    """Operations of the meta-gradient over so many tasks; the optimizer's, without products, are none."""
    layers, head = layer_operations(workload)
    support, query, steps = workload.support, workload.query, workload.inner_steps
    if workload.algorithm == "anil":
        return tasks * anil_operations(layers, head, support, query, steps)
    first_order = workload.algorithm == "fomaml"
    return tasks * maml_operations([*layers, head], support, query, steps, first_order=first_order)


def layer_operations(workload: Workload) -> tuple[list[int], int]:
    """Operations of one example in the product of each layer before the head, and in the head's.

    Convolutions halve the size each: 28, 14, 7, 4, 2.

    Example:
        >>> from benchmarks.workloads import WORKLOADS
        >>> layer_operations(WORKLOADS["sinusoid"])
        ([80, 3200], 80)
    """
    if not workload.way:
        widths = (1, *HIDDEN)
        return [2 * a * b for a, b in itertools.pairwise(widths)], 2 * widths[-1]
    size, channels, layers = SIZE, 1, []
    for _ in range(BLOCKS):
        size = -(-size // 2)
        layers.append(2 * size * size * 9 * channels * CHANNELS)
        channels = CHANNELS
    return layers, 2 * CHANNELS * workload.way


def maml_operations(layers: Sequence[int], support: int, query: int, steps: int, *, first_order: bool) -> int:
    """What the meta-gradient of MAML on one task takes, by reverse mode twice, whoever computes it.

        a gradient:       y = x W,  dW = x^T dy,  dx = dy W^T                      3 products a layer
        its derivative:   two more for each of the three                           6
        the first layer:  no dx of the data, nor a derivative with respect to it   2, and 2

    Args:
        layers: operations of each layer's product for one example, from the first on.
        support: examples of an inner step.
        query: examples of the outer loss.
        steps: inner steps.
        first_order: FOMAML, which leaves the derivative of the gradients out.
    """
    gradient = 3 * sum(layers) - layers[0]
    derivative = 0 if first_order else 6 * sum(layers) - 4 * layers[0]
    return steps * support * (gradient + derivative) + query * gradient


def anil_operations(encoder: Sequence[int], head: int, support: int, query: int, steps: int) -> int:
    """The same for ANIL: features once, inner steps on the head; the derivative reaches the features.

    Args:
        encoder: operations of each layer's product for one example.
        head: the same of the head.
        support: support examples.
        query: query examples.
        steps: inner steps.
    """
    gradient = 3 * sum(encoder) - encoder[0]
    return (support + query) * gradient + steps * support * 6 * head + query * 3 * head
