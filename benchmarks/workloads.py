"""What is timed: settings of each workload and of each implementation. No library is needed to read this file."""

from typing import Any, NamedTuple

SIZE, CHANNELS, BLOCKS, HIDDEN = 28, 64, 4, (40, 40)
OUTER_LR = 1e-3


class Workload(NamedTuple):
    """An outer step: one meta-gradient and one update of Adam(1e-3).

    Attributes:
        name: of the workload.
        title: for people.
        algorithm: maml, fomaml or anil.
        way: classes; 0 for sine curves, whose shots are points.
        shot: support examples of each class.
        query_shot: query examples of each class.
        inner_steps: steps of the inner loop, of gradient descent.
        inner_lr: its rate, on the mean loss.
        tasks: the numbers of tasks that are timed if nothing is said.
    """

    name: str
    title: str
    algorithm: str
    way: int
    shot: int
    query_shot: int
    inner_steps: int
    inner_lr: float
    tasks: tuple[int, ...] = (4, 32, 256)

    @property
    def support(self) -> int:
        """Support examples of a task."""
        return self.shot * max(self.way, 1)

    @property
    def query(self) -> int:
        """Query examples of a task."""
        return self.query_shot * max(self.way, 1)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("sinusoid", "Sine curves, MLP 40-40, K = 10, 1 step", "maml", 0, 10, 10, 1, 0.01, (4, 25, 256)),
        Workload("omniglot", "MAML's Omniglot: 5-way 1-shot, 5 queries, 1 step", "maml", 5, 1, 5, 1, 0.4),
        Workload("conv4", "Conv4-64, 5-way 1-shot, 15 queries, 5 steps, second order", "maml", 5, 1, 15, 5, 0.4),
        Workload("conv4-first", "Conv4-64, 5-way 1-shot, 15 queries, 5 steps, first order", "fomaml", 5, 1, 15, 5, 0.4),
        Workload("20-way", "Conv4-64, 20-way 5-shot, 5 queries, 1 step", "maml", 20, 5, 5, 1, 0.4, (4, 32)),
        Workload("anil", "ANIL: Conv4-64, 5-way 1-shot, 15 queries, 5 steps", "anil", 5, 1, 15, 5, 0.4),
    )
}


class Implementation(NamedTuple):
    """A way of computing the outer step.

    Attributes:
        name: of the implementation.
        title: for people.
        worker: the module of `benchmarks.workers` that runs it.
        needs: the module that it can't do without, in the peers' Python; None for what runs beside jmeta.
        own_data: whether it draws episodes of its own, so that its losses are others.
    """

    name: str
    title: str
    worker: str
    needs: str | None = None
    own_data: bool = False


JMETA = "jmeta"
IMPLEMENTATIONS = {
    i.name: i
    for i in (
        Implementation(JMETA, "jmeta", "with_jmeta"),
        Implementation("jmeta-run", "jmeta, whole run", "with_jmeta", own_data=True),
        Implementation("torch-vmap", "PyTorch, torch.func.vmap", "with_torch", "torch"),
        Implementation("torch-loop", "PyTorch, loop over tasks", "with_torch", "torch"),
        Implementation("torchopt", "TorchOpt, loop over tasks", "with_torch", "torchopt"),
        Implementation("flax-vmap", "Flax convolutions, jax.vmap", "with_flax"),
    )
}
RATES = {
    i.name: i
    for i in (
        Implementation("jax-product", "matrix product, JAX", "jax_product"),
        Implementation("torch-product", "matrix product, PyTorch", "torch_product", "torch"),
    )
}
"""Large square products, whose rate is the limit of the machine."""


def why_not(implementation: str, workload: Workload) -> str | None:
    """Why an implementation has no such workload; None if it does."""
    if implementation == "torchopt" and workload.algorithm == "fomaml":
        return "TorchOpt's differentiable optimizers have no first-order mode"
    if implementation == "flax-vmap" and not workload.way:
        return "there are no convolutions in it"
    return None


def find(name: str) -> Workload:
    """A workload by name.

    Raises:
        ValueError: if there is none.
    """
    if name not in WORKLOADS:
        raise ValueError(f"there is no workload {name!r}: choose from {', '.join(WORKLOADS)}")
    return WORKLOADS[name]


def from_request(values: dict[str, Any]) -> Workload:
    """A workload from JSON."""
    return Workload(**{**values, "tasks": tuple(values["tasks"])})
