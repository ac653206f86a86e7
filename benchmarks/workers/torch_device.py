"""PyTorch's device, threads and precision."""
# pyright: reportMissingImports=false

import contextlib
import importlib.metadata
from typing import Any

import torch


def set_up(threads: int, tf32: bool) -> str:
    """Use the GPU where there is one, and as many threads as jmeta may use; the device's name."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def about_torch(device: str) -> dict[str, Any]:
    """The device, and versions."""
    versions = {"torch": torch.__version__}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["torchopt"] = importlib.metadata.version("torchopt")
    on_gpu = device == "cuda"
    return {
        "platform": "gpu" if on_gpu else "cpu",
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "versions": versions,
    }


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def device_peak(device: str) -> int | None:
    """Bytes of the device's memory in use at most; None on a CPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else None
