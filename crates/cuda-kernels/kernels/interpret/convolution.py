"""Convolutions against float64."""

import torch

from interpret import _bfloat16  # noqa: F401  (its import is its effect)
from interpret.problem import DTYPES, constants, launch, named, poisoned, random
from interpret.product import near_sum

ROOM = "convolution"


def reordered(weight: torch.Tensor) -> torch.Tensor:
    """Launches `convolution_weight`: (O, taps, C up to a multiple of 16) of a weight (O, C, kT, kH, kW)."""
    columns, channels, *kernel = weight.shape
    taps, padded = kernel[0] * kernel[1] * kernel[2], -(-channels // 16) * 16
    bits = torch.int16 if weight.element_size() == 2 else torch.int32
    name = f"convolution_weight_{8 * weight.element_size()}"
    output, blocks = poisoned(columns, taps, padded, dtype=bits), constants(ROOM, name)
    launch(
        ROOM,
        name,
        (columns, -(-padded // blocks["BLOCK_CHANNELS"]), -(-taps // blocks["BLOCK_TAPS"])),
        weight=weight.view(bits),
        output=output,
        channels=channels,
        taps=taps,
        padded_channels=padded,
    )
    return output.view(weight.dtype)


def convolve(name, input, weight, bias, stride, padding, extents) -> torch.Tensor:
    """Launches a variant; padding is what lies before the input."""
    batch, channels, columns = input.shape[0], input.shape[4], weight.shape[0]
    ordered, blocks = reordered(weight), constants(ROOM, name)
    output = poisoned(batch, *extents, columns, dtype=input.dtype)
    positions = output.numel() // columns
    dims = ("frames", "height", "width")
    position_blocks = -(-positions // blocks["BLOCK_POSITIONS"])
    column_blocks = -(-columns // blocks["BLOCK_COLUMNS"])
    launch(
        ROOM,
        name,
        (position_blocks * column_blocks,),
        input=input,
        weight=ordered,
        bias=ordered if bias is None else bias,
        output=output,
        positions=positions,
        columns=columns,
        channels=channels,
        padded_channels=ordered.shape[2],
        **{f"input_{dim}": size for dim, size in zip(dims, input.shape[1:4])},
        **{f"output_{dim}": size for dim, size in zip(dims, extents)},
        **{f"kernel_{dim}": size for dim, size in zip(dims, weight.shape[2:])},
        **{f"stride_{dim}": step for dim, step in zip(dims, stride)},
        **{f"padding_{dim}": before for dim, (before, _) in zip(dims, padding)},
        **dict(zip(("batch_stride", "frame_stride", "line_stride", "pixel_stride"), input.stride())),
        has_bias=int(bias is not None),
    )
    return output


def exactly(input, weight, bias, stride, padding) -> torch.Tensor:
    """In float64, by PyTorch."""
    margins = [size for dim in reversed(padding) for size in dim]
    first = torch.nn.functional.pad(input.double().permute(0, 4, 1, 2, 3), margins)
    bias = None if bias is None else bias.double()
    return torch.nn.functional.conv3d(first, weight.double(), bias, tuple(stride)).permute(0, 2, 3, 4, 1)


# Input (B, T, H, W, C), output channels, kernel, stride, padding.
CASES = [
    ((1, 3, 5, 6, 16), 32, (3, 3, 3), (1, 1, 1), ((2, 0), (1, 1), (1, 1))),
    ((2, 1, 7, 9, 48), 3, (1, 3, 3), (1, 2, 2), ((0, 0), (0, 1), (0, 1))),
    ((1, 4, 3, 4, 32), 144, (3, 1, 1), (2, 1, 1), ((0, 0), (0, 0), (0, 0))),
    ((2, 2, 6, 8, 16), 80, (1, 2, 2), (1, 2, 2), ((0, 0), (0, 0), (0, 0))),
    ((1, 1, 2, 2, 64), 16, (1, 1, 1), (1, 1, 1), ((0, 0), (0, 0), (0, 0))),
]
RAGGED = [
    ((1, 3, 5, 6, 3), 9, (3, 3, 3), (1, 1, 1), ((2, 0), (1, 1), (1, 1))),
    ((2, 2, 5, 4, 37), 70, (2, 3, 1), (1, 2, 1), ((1, 1), (0, 2), (3, 0))),
    ((1, 1, 9, 9, 3), 5, (1, 6, 6), (1, 3, 3), ((0, 0), (0, 0), (0, 0))),
]


def check_convolution() -> None:
    for dtype, torch_dtype in DTYPES.items():
        for name in named(ROOM, f"convolution_{dtype}"):
            whole = name.endswith(("_aligned", "_deep", "_narrow"))
            for shape, columns, kernel, stride, padding in CASES if whole else CASES[:1] + RAGGED:
                if name.endswith(("_aligned", "_deep")) and columns % 16:
                    continue
                wide = random(*shape[:-1], shape[-1] + (16 if whole else 1), seed=1, dtype=torch_dtype)
                # A part of an image, with pixels apart from each other.
                input = wide[..., : shape[-1]]
                weight = random(columns, shape[-1], *kernel, seed=2, dtype=torch_dtype)
                bias = random(columns, seed=3, dtype=torch_dtype) if columns != 144 else None
                exact = exactly(input, weight, bias, stride, padding)
                magnitude = exactly(input.abs(), weight.abs(), bias if bias is None else bias.abs(), stride, padding)
                output = convolve(name, input, weight, bias, stride, padding, exact.shape[1:4])
                near_sum(output, exact, magnitude, dtype, weight[0].numel())


def check_convolution_weight() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        weight = random(3, 70, 3, 4, 5, seed=4, dtype=dtype)
        expected = torch.nn.functional.pad(weight.flatten(2).transpose(1, 2), (0, 10))
        assert torch.equal(reordered(weight), expected)


def check_convolution_reads_nothing_beside_the_input() -> None:
    for dtype, torch_dtype in DTYPES.items():
        for name in named(ROOM, f"convolution_{dtype}"):
            around = poisoned(1, 4, 6, 7, 48, dtype=torch_dtype)
            input = around[:, 1:3, 1:4, 2:6, :32]
            input.copy_(random(*input.shape, seed=1, dtype=torch_dtype))
            weight = random(16, 32, 3, 3, 3, seed=2, dtype=torch_dtype)
            padding = ((2, 0), (1, 1), (1, 1))
            exact = exactly(input, weight, None, (1, 1, 1), padding)
            magnitude = exactly(input.abs(), weight.abs(), None, (1, 1, 1), padding)
            output = convolve(name, input, weight, None, (1, 1, 1), padding, exact.shape[1:4])
            near_sum(output, exact, magnitude, dtype, 32 * 27)
