"""Rotations against float64, and the kernel that normalises first against the two in turn."""

import itertools
import math

import torch

from interpret.normalization import kind_for, parameter_of, strides
from interpret.problem import DTYPES, ROUNDING, constants, is_near, launch, poisoned, random

ROOM = "rotary"


def angles(batch: int, length: int, pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (batch, length, 1, pairs), of rows apart from each other."""
    angle = random(batch, length, 1, pairs + 16, seed=5)[..., :pairs]
    return angle.cos(), angle.sin()


def exactly(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The rotation of (B, S, H, D) in float64."""
    x0, x1 = x.double()[..., 0::2], x.double()[..., 1::2]
    cos, sin = cos.double(), sin.double()
    return torch.stack([x0 * cos - x1 * sin, x0 * sin + x1 * cos], dim=-1).flatten(-2)


def rotate(input: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, ending: str) -> torch.Tensor:
    """Launches `rotary`; cos and sin are (B or 1, S, 1, D / 2)."""
    batch, length, heads, size = input.shape
    output = poisoned(*input.shape, dtype=input.dtype)
    name = f"rotary_{ending}"
    cos, sin = (angle.expand(batch, length, heads, size // 2) for angle in (cos, sin))
    rows = batch * length * heads
    launch(
        ROOM,
        name,
        (-(-rows // constants(ROOM, name)["ROWS"]),),
        input=input,
        cos=cos,
        sin=sin,
        output=output,
        rows=rows,
        size1=length,
        size2=heads,
        channels=size,
        **strides("input", input),
        **strides("cos", cos),
        **strides("sin", sin),
    )
    return output


def check_rotary() -> None:
    shapes = [(1, 1, 1, 2), (2, 7, 3, 12), (1, 43, 3, 64), (2, 3, 2, 128), (1, 2, 1, 288)]
    for dtype, (batch, length, heads, size) in itertools.product(DTYPES, shapes):
        for ending in [dtype] if dtype == "f32" or size % 32 else [dtype, f"{dtype}_aligned"]:
            # Heads in a wider row, as behind a product that makes query, key and value at once.
            wide = random(batch, length, heads, 3, size, seed=size, dtype=DTYPES[dtype])
            input = wide[:, :, :, 1]
            cos, sin = angles(1 if length == 7 else batch, length, size // 2)
            output = rotate(input, cos, sin, ending)
            is_near(output, exactly(input, cos, sin), 1.01 * ROUNDING[dtype], 1e-6)


def check_rms_norm_rotary() -> None:
    shapes = [(1, 1, 1, 2), (2, 7, 2, 12), (1, 43, 3, 64), (1, 2, 40, 128)]
    for dtype, (batch, length, heads, size) in itertools.product(DTYPES, shapes):
        for ending in [dtype] if dtype == "f32" or size % 32 else [dtype, f"{dtype}_aligned"]:
            channels, kind = heads * size, kind_for(dtype, 1 + size % 3 % 2)
            wide = random(batch, length, channels + 32, seed=size, dtype=DTYPES[dtype])
            input = wide[:, :, None, :channels]
            weight = parameter_of(kind, channels, dtype, 1, 7)
            cos, sin = angles(batch, length, size // 2)
            output = poisoned(batch, length, heads, size, dtype=input.dtype)
            normalised = torch.empty(input.shape, dtype=input.dtype)
            rows = {"rows": batch * length, "size1": length, "size2": 1, "channels": channels}
            rest = {"weight_stride": 1, "weight_kind": kind}
            launch(
                "normalization",
                f"rms_norm_{ending}",
                (batch * length,),
                **{"input": input, "weight": weight, "output": normalised},
                **rows,
                **strides("input", input),
                **rest,
                round_before_weight=0,
                epsilon=1e-6,
            )
            launch(
                ROOM,
                f"rms_norm_rotary_{ending}",
                (batch * length,),
                **{"input": input, "weight": weight, "cos": cos, "sin": sin, "output": output},
                **rows,
                **strides("input", input),
                **strides("cos", cos),
                **strides("sin", sin),
                **rest,
                head_pairs=size // 2,
                epsilon=1e-6,
            )
            split = normalised.view(batch, length, heads, size)
            assert torch.equal(output, rotate(split, cos, sin, ending))
            x = input.double()
            x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight.double()
            exact = exactly(x.reshape(split.shape), cos, sin)
            # Rounded before the rotation, whose sums may cancel.
            absolute = 2 * ROUNDING[dtype] * math.sqrt(2) * float(x.abs().max()) + 1e-6
            is_near(output, exact, ROUNDING[dtype], absolute)
