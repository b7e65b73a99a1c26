"""Normalisations against float64, on strided and repeated rows of ragged lengths."""

import itertools
import math
from collections.abc import Iterator

import torch

from interpret.problem import DTYPES, ROUNDING, constants, is_near, launch, poisoned, random

ROOM = "normalization"
# Rows of three dimensions, and the last one's length. Long rows are looped over.
SHAPES = [((1, 1, 1), 1), ((1, 7, 1), 5), ((3, 43, 1), 96), ((1, 1, 7), 384), ((2, 1, 3), 1536)]
LONG_SHAPES = [((1, 1, 7), 5120), ((1, 1, 1), 13824)]


def rows_of(
    outer: tuple[int, int, int], channels: int, dtype: torch.dtype, seed: int
) -> torch.Tensor:
    """Rows apart from each other, not in their order: (…outer, channels)."""
    padded = -(-channels // 16) * 16 + 16
    storage = random(outer[1], outer[0], outer[2], padded, seed=seed) * 2 + 0.5
    return storage.to(dtype).transpose(0, 1)[..., :channels]


def places(input: torch.Tensor, channels: int) -> dict[str, int]:
    """The arguments that say where rows lie."""
    outer = input.shape[:-1]
    sizes = {"rows": math.prod(outer), "size1": outer[1], "size2": outer[2], "channels": channels}
    return sizes | strides("input", input)


def strides(name: str, tensor: torch.Tensor) -> dict[str, int]:
    """A tensor's strides along the three dimensions of rows."""
    return {f"{name}_stride{dim}": tensor.stride(dim) for dim in range(3)}


def problems(
    shapes: list[tuple[tuple[int, int, int], int]],
) -> Iterator[tuple[str, torch.Tensor, int, str]]:
    """Element type, input, channels and the ending of the variant, for each type and shape."""
    for (dtype, element), (outer, channels) in itertools.product(DTYPES.items(), shapes):
        for aligned in [False, True]:
            if not aligned or (channels % 16 == 0 and dtype != "f32"):
                input = rows_of(outer, channels, element, seed=channels)
                yield dtype, input, channels, f"{dtype}{'_aligned' if aligned else ''}"


def parameter_of(kind: int, channels: int, dtype: str, stride: int, seed: int) -> torch.Tensor:
    """A parameter of a kind, its elements `stride` apart."""
    element = torch.float32 if kind == 2 else DTYPES[dtype]
    return random(channels, stride, seed=seed, dtype=element)[:, 0]


def kind_for(dtype: str, kind: int) -> int:
    """The kind; parameters of float32 inputs are float32."""
    return 2 if dtype == "f32" and kind else kind


def programs(name: str, rows: int) -> tuple[int]:
    """The grid."""
    return (-(-rows // constants(ROOM, name)["ROWS"]),)


def check_layer_norm() -> None:
    shapes = SHAPES + LONG_SHAPES
    for place, (dtype, input, channels, ending) in enumerate(problems(shapes)):
        aligned = ending.endswith("aligned")
        kinds = [kind_for(dtype, kind) for kind in [(0, 0), (1, 2), (2, 1)][place % 3]]
        modulated = [(1, 1), (0, 0), (1, 0)][place // 3 % 3]
        stride = 1 if aligned else 3
        weight, bias = (parameter_of(kind, channels, dtype, stride, 7 + kind) for kind in kinds)
        outer = input.shape[:-1]
        # One for each first index, and one for each row.
        scale = random(outer[0], 1, 1, channels, seed=3).expand(*outer, channels)
        shift = random(*outer, channels, seed=4)
        output = poisoned(*input.shape, dtype=input.dtype)
        launch(
            ROOM,
            f"layer_norm_{ending}",
            programs(f"layer_norm_{ending}", output[..., 0].numel()),
            input=input,
            weight=weight,
            bias=bias,
            scale=scale,
            shift=shift,
            output=output,
            **places(input, channels),
            **strides("scale", scale),
            **strides("shift", shift),
            weight_stride=stride,
            bias_stride=stride,
            weight_kind=kinds[0],
            bias_kind=kinds[1],
            has_scale=modulated[0],
            has_shift=modulated[1],
            epsilon=1e-6,
        )
        x = input.double()
        x = x - x.mean(-1, keepdim=True)
        exact = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        exact = exact * (weight.double() if kinds[0] else 1) + (bias.double() if kinds[1] else 0)
        exact = exact * (1 + modulated[0] * scale.double()) + modulated[1] * shift.double()
        is_near(output, exact, ROUNDING[dtype] + 1e-6, 2e-5)


def check_rms_norm() -> None:
    shapes = SHAPES + LONG_SHAPES
    for place, (dtype, input, channels, ending) in enumerate(problems(shapes)):
        kind, early = kind_for(dtype, place % 3), place // 3 % 2
        stride = 1 if ending.endswith("aligned") else 2
        weight = parameter_of(kind, channels, dtype, stride, 7)
        output = poisoned(*input.shape, dtype=input.dtype)
        launch(
            ROOM,
            f"rms_norm_{ending}",
            programs(f"rms_norm_{ending}", output[..., 0].numel()),
            input=input,
            weight=weight,
            output=output,
            **places(input, channels),
            weight_stride=stride,
            weight_kind=kind,
            round_before_weight=early,
            epsilon=1e-6,
        )
        x = input.double()
        exact = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        exact = exact * (weight.double() if kind else 1)
        is_near(output, exact, (1 + early) * 1.01 * ROUNDING[dtype] + 1e-6, 1e-7)


def check_channel_norm() -> None:
    for width, shapes in [
        (128, [((1, 1, 1), 1), ((1, 7, 1), 5), ((3, 1, 43), 96)]),
        (256, [((1, 7, 1), 129), ((1, 1, 13), 192)]),
        (512, [((1, 7, 1), 384), ((3, 1, 1), 1024), ((1, 1, 1), 1541)]),
    ]:
        for place, (dtype, input, channels, ending) in enumerate(problems(shapes)):
            name = f"channel_norm_{width}_{ending}"
            kinds = [kind_for(dtype, kind) for kind in [(1, 0), (2, 1), (1, 2)][place % 3]]
            stride = 1 if ending.endswith("aligned") else 2
            weight, bias = (parameter_of(kind, channels, dtype, stride, 7 + kind) for kind in kinds)
            # A row of zeros, which has no direction.
            input[0, 0, 0] = 0
            output = poisoned(*input.shape, dtype=input.dtype)
            root = math.sqrt(channels)
            launch(
                ROOM,
                name,
                programs(name, output[..., 0].numel()),
                input=input,
                weight=weight,
                bias=bias,
                output=output,
                **places(input, channels),
                weight_stride=stride,
                bias_stride=stride,
                weight_kind=kinds[0],
                bias_kind=kinds[1],
                has_silu=place % 2,
                root=root,
            )
            x = input.double()
            exact = x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12) * root
            exact = exact * weight.double()
            # Rounded four times before the sum, where signs may cancel, and twice after it.
            absolute = 4 * ROUNDING[dtype] * exact.abs().max() + 1e-6
            exact = exact + (bias.double() if kinds[1] else 0)
            if place % 2:
                exact = exact * exact.sigmoid()
            is_near(output, exact, 3 * ROUNDING[dtype] + 2e-6, absolute)
