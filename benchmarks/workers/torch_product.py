"""The rate of a large square float32 matrix product in PyTorch."""
# pyright: reportMissingImports=false

import torch

from benchmarks.protocol import Program, Reply, serve_program
from benchmarks.workers.torch_device import about_torch, device_peak, set_up, wait


def prepare(request: Reply) -> Program:
    """A step is one product."""
    device = set_up(request["threads"], request["tf32"])
    a, b = torch.randn(2, request["size"], request["size"], device=device)

    def advance(state: None, first: int, steps: int) -> tuple[None, float]:
        out = a
        for _ in range(steps):
            out = a @ b
        wait(device)
        return None, float(out[0, 0])

    return Program(None, advance, about_torch(device), lambda: device_peak(device))


if __name__ == "__main__":
    serve_program(prepare)
