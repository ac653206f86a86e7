"""PyTorch: `torch.func.vmap` over tasks, an eager loop over tasks, and TorchOpt's differentiable optimizer."""
# pyright: reportMissingImports=false

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap

from benchmarks.parameters import images_to_torch, to_torch
from benchmarks.protocol import Program, Reply, serve_program
from benchmarks.workers.torch_device import about_torch, device_peak, set_up, wait
from benchmarks.workloads import BLOCKS, CHANNELS, HIDDEN, OUTER_LR, Workload, from_request

Params = dict[str, Tensor]
Task = tuple[Tensor, Tensor, Tensor, Tensor]
LossFn = Callable[[Tensor, Tensor], Tensor]
Norm = Callable[[Tensor, Tensor, Tensor], Tensor]
EPSILON = 1e-5


class ConvNet(nn.Module):
    """Four strided blocks, mean over positions, linear head. Batch statistics, no running averages."""

    def __init__(self, way: int) -> None:
        super().__init__()
        for i in range(BLOCKS):
            conv = nn.Conv2d(1 if i == 0 else CHANNELS, CHANNELS, 3, stride=2, padding=1)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", nn.BatchNorm2d(CHANNELS, track_running_stats=False))
        self.head = nn.Linear(CHANNELS, way)

    def encode(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, D]`."""
        for i in range(BLOCKS):
            x = F.relu(self.get_submodule(f"norm{i}")(self.get_submodule(f"conv{i}")(x)))
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, way]`."""
        return self.head(self.encode(x))


class MLP(nn.Module):
    """Two hidden layers and a linear output."""

    def __init__(self) -> None:
        super().__init__()
        self.dense0 = nn.Linear(1, HIDDEN[0])
        self.dense1 = nn.Linear(*HIDDEN)
        self.head = nn.Linear(HIDDEN[1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 1]` to `[N, 1]`."""
        return self.head(F.relu(self.dense1(F.relu(self.dense0(x)))))


def fused_norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Batch statistics by PyTorch's own function."""
    return F.batch_norm(x, None, None, scale, bias, training=True, eps=EPSILON)


def plain_norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The same from sums and products.

    Of the fused one, `torch.func` takes a wrong second derivative through `vmap` (a tenth off, in float64 too).
    """
    variance, mean = torch.var_mean(x, (0, 2, 3), keepdim=True, correction=0)
    scale = torch.rsqrt(variance + EPSILON) * scale.view(1, -1, 1, 1)
    return (x - mean) * scale + bias.view(1, -1, 1, 1)


def encode(p: Params, x: Tensor, norm: Norm = fused_norm) -> Tensor:
    """`ConvNet.encode` at given parameters, without the time that modules take."""
    for i in range(BLOCKS):
        x = F.conv2d(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"], stride=2, padding=1)
        x = F.relu(norm(x, p[f"norm{i}.weight"], p[f"norm{i}.bias"]))
    return x.mean((2, 3))


def head(p: Params, z: Tensor) -> Tensor:
    """The linear head at given parameters."""
    return F.linear(z, p["head.weight"], p["head.bias"])


def mlp(p: Params, x: Tensor) -> Tensor:
    """`MLP.forward` at given parameters."""
    for i in range(len(HIDDEN)):
        x = F.relu(F.linear(x, p[f"dense{i}.weight"], p[f"dense{i}.bias"]))
    return head(p, x)


def descend(params: Params, grads: Any, rate: float) -> Params:
    """A step of gradient descent; gradients as a dictionary or in the order of the parameters."""
    values = grads.values() if isinstance(grads, dict) else grads
    return {name: p - rate * g for (name, p), g in zip(params.items(), values, strict=True)}


def split_head(params: Params) -> tuple[Params, Params]:
    """Parameters of the encoder, and of the head."""
    heads = {name: p for name, p in params.items() if name.startswith("head.")}
    return {name: p for name, p in params.items() if name not in heads}, heads


def loop_loss(workload: Workload, loss_fn: LossFn) -> Callable[[Params, Task], Tensor]:
    """Loss of a task for the eager loop: `autograd.grad` with `create_graph`, as learn2learn and higher do."""
    forward = (lambda p, x: head(p, encode(p, x))) if workload.way else mlp
    second_order = workload.algorithm != "fomaml"

    def maml(params: Params, task: Task) -> Tensor:
        support_x, support_y, query_x, query_y = task
        for _ in range(workload.inner_steps):
            loss = loss_fn(forward(params, support_x), support_y)
            grads = torch.autograd.grad(loss, list(params.values()), create_graph=second_order)
            params = descend(params, grads, workload.inner_lr)
        return loss_fn(forward(params, query_x), query_y)

    def anil(params: Params, task: Task) -> Tensor:
        support_x, support_y, query_x, query_y = task
        body, moving = split_head(params)
        z = encode(body, support_x)
        for _ in range(workload.inner_steps):
            loss = loss_fn(head(moving, z), support_y)
            grads = torch.autograd.grad(loss, list(moving.values()), create_graph=True)
            moving = descend(moving, grads, workload.inner_lr)
        return loss_fn(head(moving, encode(body, query_x)), query_y)

    return anil if workload.algorithm == "anil" else maml


class Norm2d(nn.Module):
    """`plain_norm` with the parameters of a module."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        return plain_norm(x, self.weight, self.bias)


def func_loss(net: nn.Module, workload: Workload, loss_fn: LossFn) -> Callable[[Params, Task], Tensor]:
    """Loss of a task for `torch.func`."""
    if workload.way and workload.algorithm == "maml":
        for i in range(BLOCKS):
            setattr(net, f"norm{i}", Norm2d(net.get_submodule(f"norm{i}")))

    def apply_loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return loss_fn(functional_call(net, params, (x,)), y)

    def maml(params: Params, task: Task) -> Tensor:
        support_x, support_y, query_x, query_y = task
        for _ in range(workload.inner_steps):
            detach = workload.algorithm == "fomaml"
            at = {name: p.detach() for name, p in params.items()} if detach else params
            params = descend(params, grad(apply_loss)(at, support_x, support_y), workload.inner_lr)
        return apply_loss(params, query_x, query_y)

    def head_loss(moving: Params, z: Tensor, y: Tensor) -> Tensor:
        return loss_fn(head(moving, z), y)

    def anil(params: Params, task: Task) -> Tensor:
        support_x, support_y, query_x, query_y = task
        body, moving = split_head(params)
        z = encode(body, support_x)
        for _ in range(workload.inner_steps):
            moving = descend(moving, grad(head_loss)(moving, z, support_y), workload.inner_lr)
        return head_loss(moving, encode(body, query_x), query_y)

    return anil if workload.algorithm == "anil" else maml


def accumulate(task_loss: Callable[[Task], Tensor], tasks: Task) -> Tensor:
    """Gradient of the mean loss, task by task, in the parameters' `grad`; the mean loss."""
    count, total = len(tasks[0]), torch.zeros((), device=tasks[0].device)
    for task in zip(*tasks, strict=True):
        loss = task_loss(task) / count
        loss.backward()
        total += loss.detach()
    return total


def make_gradient(name: str, net: nn.Module, workload: Workload, loss_fn: LossFn) -> Callable[[Task], Tensor]:
    """`meta_batch -> mean loss`, which leaves the meta-gradient in the parameters' `grad`."""
    params = dict(net.named_parameters())
    if name == "torch-loop":
        loss = loop_loss(workload, loss_fn)
        return lambda tasks: accumulate(lambda task: loss(params, task), tasks)
    if name == "torchopt":
        loss_with = torchopt_loss(net, workload, loss_fn)
        return lambda tasks: accumulate(loss_with, tasks)
    loss = func_loss(net, workload, loss_fn)

    def mean_loss(params: Params, tasks: Task) -> Tensor:
        return vmap(loss, in_dims=(None, 0))(params, tasks).mean()

    def gradient(tasks: Task) -> Tensor:
        grads, value = grad_and_value(mean_loss)({name: p.detach() for name, p in params.items()}, tasks)
        for name, p in params.items():
            p.grad = grads[name]
        return value

    return gradient


def torchopt_loss(net: nn.Module, workload: Workload, loss_fn: LossFn) -> Callable[[Task], Tensor]:
    """Loss of a task by TorchOpt: `MetaSGD` moves the module, and the module is put back for the next task."""
    import torchopt

    moving = net.get_submodule("head") if workload.algorithm == "anil" else net
    optimizer = torchopt.MetaSGD(moving, lr=workload.inner_lr)
    start = torchopt.extract_state_dict(moving, by="reference")
    fresh = torchopt.extract_state_dict(optimizer, by="reference")

    def loss(task: Task) -> Tensor:
        support_x, support_y, query_x, query_y = task
        torchopt.recover_state_dict(moving, start)
        torchopt.recover_state_dict(optimizer, fresh)
        if workload.algorithm == "anil":
            z = net.encode(support_x)  # type: ignore[operator]
            for _ in range(workload.inner_steps):
                optimizer.step(loss_fn(moving(z), support_y))
            return loss_fn(moving(net.encode(query_x)), query_y)  # type: ignore[operator]
        for _ in range(workload.inner_steps):
            optimizer.step(loss_fn(net(support_x), support_y))
        return loss_fn(net(query_x), query_y)

    return loss


def read_meta_batches(path: str, images: bool, device: str) -> tuple[dict[str, np.ndarray], list[Task]]:
    """Parameters in PyTorch's layout, and meta-batches on the device; classes as indices."""
    with np.load(path) as file:
        found = {name: file[name] for name in ("support_x", "support_y", "query_x", "query_y")}
        values = {name.removeprefix("params/"): file[name] for name in file.files if name.startswith("params/")}

    def tensor(name: str, array: np.ndarray) -> Tensor:
        if images and name.endswith("_y"):
            return torch.tensor(array.argmax(-1), device=device)
        array = images_to_torch(array) if images else array
        return torch.tensor(array, dtype=torch.get_default_dtype(), device=device)

    meta_batches = [
        tuple(tensor(name, array[i]) for name, array in found.items()) for i in range(len(found["support_x"]))
    ]
    return to_torch(values), meta_batches


def prepare(request: Reply) -> Program:
    """The program of one of PyTorch's three implementations."""
    device = set_up(request["threads"], request["tf32"])
    workload, name = from_request(request["workload"]), request["implementation"]
    torch.set_default_dtype(getattr(torch, request["dtype"]))
    values, meta_batches = read_meta_batches(request["path"], workload.way > 0, device)
    net = (ConvNet(workload.way) if workload.way else MLP()).to(device)
    net.load_state_dict({key: torch.tensor(value) for key, value in values.items()})
    loss_fn: LossFn = F.cross_entropy if workload.way else F.mse_loss
    adam = torch.optim.Adam(net.parameters(), lr=OUTER_LR, fused=True)
    gradient = make_gradient(name, net, workload, loss_fn)

    def advance(state: Any, first: int, steps: int) -> tuple[Any, float]:
        value = torch.zeros(())
        for i in range(first, first + steps):
            adam.zero_grad()
            value = gradient(meta_batches[i % len(meta_batches)])
            adam.step()
        wait(device)
        return state, float(value)

    return Program(None, advance, about_torch(device), lambda: device_peak(device))


if __name__ == "__main__":
    serve_program(prepare)
