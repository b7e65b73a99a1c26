"""What checks have in common: launching a variant, element types, allowed errors."""

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import numpy
import torch

from interpret import _bfloat16  # noqa: F401  (its import is its effect)
from variant import Variant

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

# The relative error of one rounding.
ROUNDING = {"f32": 2.0**-24, "bf16": 2.0**-8, "f16": 2.0**-11}


@functools.cache
def _variants(room: str) -> dict[str, Variant]:
    return {variant.name: variant for variant in importlib.import_module(room).variants()}


def constants(room: str, name: str) -> dict[str, Any]:
    """A variant's constants."""
    return dict(_variants(room)[name].constants)


def named(room: str, prefix: str) -> Iterator[str]:
    """Names of variants with a prefix."""
    return (name for name in _variants(room) if name.startswith(prefix))


def launch(room: str, name: str, grid: tuple[int, ...], **arguments: Any) -> None:
    """Runs a variant with exactly its arguments."""
    variant = _variants(room)[name]
    assert list(arguments) == list(variant.arguments), (list(arguments), list(variant.arguments))
    for key in variant.aligned:
        value = arguments[key]
        assert (value.data_ptr() if isinstance(value, torch.Tensor) else value) % 16 == 0, key
    # A GPU says nothing of numbers that aren't finite either.
    with numpy.errstate(all="ignore"):
        variant.kernel[grid](**arguments, **variant.constants)


def poisoned(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Memory that a kernel has to fill."""
    if dtype.is_floating_point:
        return torch.full(shape, float("nan"), dtype=dtype)
    return torch.full(shape, 85, dtype=dtype)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers of a standard normal distribution, rounded to a type."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype)


def is_near(result: torch.Tensor, exact: torch.Tensor, relative: float, absolute: float) -> None:
    """Refuses a result farther from the exact one than relative · |exact| + absolute."""
    error = (result.double() - exact).abs()
    allowed = relative * exact.abs() + absolute
    assert bool((error <= allowed).all()), f"{(error - allowed).max()} beyond what is allowed"
