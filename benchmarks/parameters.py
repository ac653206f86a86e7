"""Parameters under names that no library owns: `conv0.kernel`, `norm0.scale`, `dense0.bias`, `head.kernel`."""

import re
from collections.abc import Mapping

import numpy as np

Arrays = dict[str, np.ndarray]
_MODULES = {"Conv": "conv", "BatchNorm": "norm", "Dense": "dense"}


def neutral_name(path: tuple[str, ...]) -> str:
    """The name of a Flax parameter: `("params", "encoder", "Conv_0", "kernel")` to `conv0.kernel`.

    Raises:
        ValueError: for a module that is not in the benchmark's networks.
    """
    module, leaf = path[-2:]
    if module == "head":
        return f"head.{leaf}"
    found = re.fullmatch(r"([A-Za-z]+)_(\d+)", module)
    if found is None or found[1] not in _MODULES:
        raise ValueError(
            f"parameters belong to {', '.join(f'{m}_0' for m in _MODULES)} or head, got {module!r}: "
            "give it a line in benchmarks/parameters.py"
        )
    return f"{_MODULES[found[1]]}{found[2]}.{leaf}"


def to_torch(params: Mapping[str, np.ndarray]) -> Arrays:
    """The same parameters for a PyTorch network that sees its images turned by 180 degrees, see `images_to_torch`.

    Kernels of convolutions `[H, W, in, out]` become `[out, in, H, W]`, turned as the images are; matrices are
    transposed; a normalization's scale is called weight.
    """
    return {_torch_name(name): _torch_layout(name, value) for name, value in params.items()}


def _torch_name(name: str) -> str:
    return name.replace(".kernel", ".weight").replace(".scale", ".weight")


def _torch_layout(name: str, value: np.ndarray) -> np.ndarray:
    if not name.endswith(".kernel"):
        return value
    if value.ndim == 4:
        return np.ascontiguousarray(value[::-1, ::-1].transpose(3, 2, 0, 1))
    return np.ascontiguousarray(value.T)


def images_to_torch(images: np.ndarray) -> np.ndarray:
    """Images `[..., H, W, C]` as `[..., C, H, W]`, turned by 180 degrees.

    "SAME" with stride 2 on an even size has its one row of zeros at the end; PyTorch's `padding=1` uses the one at the
    start. Turned, both are one, and PyTorch needs no copy with other margins.
    """
    return np.ascontiguousarray(np.moveaxis(images[..., ::-1, ::-1, :], -1, -3))
