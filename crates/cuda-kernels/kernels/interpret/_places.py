"""Strided tensors for kernels of tiles, and the arguments that say where their elements lie."""

import math

import torch

DIMS = 5
# One element, none, ragged ones, and more rows and columns than a tile has.
SHAPES = [(1,), (0, 3), (3, 5, 7), (2, 3, 2, 3, 5), (70, 33), (2, 1, 41, 36)]


def sizes(shape: tuple[int, ...]) -> dict[str, int]:
    """What `walk.SIZES` names, for a shape of five dimensions at most."""
    _, size1, size2, size3, run = (1,) * (DIMS - len(shape)) + tuple(shape)
    return {"count": math.prod(shape), "run": run, "size1": size1, "size2": size2, "size3": size3}


def strides(name: str, tensor: torch.Tensor) -> dict[str, int]:
    """A tensor's strides, as `walk.strides` names them."""
    padded = (0,) * (DIMS - tensor.dim()) + tensor.stride()
    return {f"{name}{dim}": stride for dim, stride in enumerate(padded)}


def programs(shape: tuple[int, ...], rows: int, columns: int) -> tuple[int]:
    """A program for each tile."""
    return (-(-math.prod(shape[:-1]) // rows) * -(-shape[-1] // columns),)


def apart(tensor: torch.Tensor) -> torch.Tensor:
    """The same elements, in reverse order of dimensions and with gaps."""
    shape = tensor.shape
    storage = torch.full([size + 1 for size in reversed(shape)], 0, dtype=tensor.dtype)
    view = storage.permute(*reversed(range(len(shape))))[tuple(slice(0, size) for size in shape)]
    view.copy_(tensor)
    return view


def repeated(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """The tensor with its first place of a dimension everywhere along it."""
    return tensor.narrow(dim, 0, min(1, tensor.shape[dim])).expand(tensor.shape)
