"""Normalisations over the last dimension.

A program has ROWS rows and goes through their channels BLOCK at a time, once for each statistic and
once to write: what it reads again is still in the first-level cache. Rows have consecutive elements
and lie where `row_offsets` says. All is computed in float32 and rounded where
crates/cpu-kernels/src/normalization.rs rounds; a row's bytes depend on that row and the parameters
alone.
"""

from collections.abc import Iterator

import triton
import triton.language as tl

from activation import silu
from rows import parameter, row_offsets, row_sum
from variant import FLOATS, Variant

# Below this a channel vector's length is taken for this, as torch.nn.functional.normalize does.
SMALLEST_LENGTH = tl.constexpr(1e-12)


@triton.jit
def tile_of_rows(input, offsets, inside, columns, channels):
    """Which elements of rows' columns there are, and their values; the others are 0."""
    mask = inside[:, None] & (columns < channels)[None, :]
    values = tl.load(input + offsets[:, None] + columns[None, :], mask=mask, other=0.0)
    return mask, values.to(tl.float32)


@triton.jit
def sum_of_squares(input, offsets, inside, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Σ x² of each row."""
    sums = tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        _, x = tile_of_rows(input, offsets, inside, columns, channels)
        sums += x * x
    return row_sum(sums)


@triton.jit
def rms_factor(
    input, offsets, inside, channels, epsilon, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """1 / √(mean(x²) + ε) of each row."""
    squares = sum_of_squares(input, offsets, inside, channels, ROWS, BLOCK)
    mean = tl.div_rn(squares, channels.to(tl.float32))
    return tl.div_rn(1.0, tl.sqrt_rn(mean + epsilon))


@triton.jit
def layer_norm_kernel(
    input,
    weight,
    bias,
    scale,
    shift,
    output,
    rows,
    size1,
    size2,
    channels,
    input_stride0,
    input_stride1,
    input_stride2,
    scale_stride0,
    scale_stride1,
    scale_stride2,
    shift_stride0,
    shift_stride1,
    shift_stride2,
    weight_stride,
    bias_stride,
    weight_kind,
    bias_kind,
    has_scale,
    has_shift,
    epsilon,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
):
    """output = ((x - mean) / √(variance + ε) · weight + bias) · (1 + scale) + shift.

    Kinds of weight and bias (channels) are those of `parameter`. scale and shift are float32.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    offsets = row_offsets(row, size1, size2, input_stride0, input_stride1, input_stride2)
    scale_offsets = row_offsets(row, size1, size2, scale_stride0, scale_stride1, scale_stride2)
    shift_offsets = row_offsets(row, size1, size2, shift_stride0, shift_stride1, shift_stride2)
    count = channels.to(tl.float32)

    sums = tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        _, x = tile_of_rows(input, offsets, inside, columns, channels)
        sums += x
    mean = tl.div_rn(row_sum(sums), count)

    sums = tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        mask, x = tile_of_rows(input, offsets, inside, columns, channels)
        difference = tl.where(mask, x - mean[:, None], 0.0)
        sums += difference * difference
    variance = tl.div_rn(row_sum(sums), count)
    factor = tl.div_rn(1.0, tl.sqrt_rn(variance + epsilon))

    # What is absent is 0.
    scale_channels = tl.where(has_scale != 0, channels, 0)
    shift_channels = tl.where(has_shift != 0, channels, 0)
    target = output + row.to(tl.int64)[:, None] * channels
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        mask, x = tile_of_rows(input, offsets, inside, columns, channels)
        w = parameter(weight, weight_kind, weight_stride, columns, channels, 1.0, CONSECUTIVE)
        b = parameter(bias, bias_kind, bias_stride, columns, channels, 0.0, CONSECUTIVE)
        _, scales = tile_of_rows(scale, scale_offsets, inside, columns, scale_channels)
        _, shifts = tile_of_rows(shift, shift_offsets, inside, columns, shift_channels)
        y = (x - mean[:, None]) * factor[:, None] * w[None, :] + b[None, :]
        y = y * (1.0 + scales) + shifts
        tl.store(target + columns[None, :], y.to(output.dtype.element_ty), mask=mask)


@triton.jit
def rms_norm_kernel(
    input,
    weight,
    output,
    rows,
    size1,
    size2,
    channels,
    input_stride0,
    input_stride1,
    input_stride2,
    weight_stride,
    weight_kind,
    round_before_weight,
    epsilon,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
):
    """output = x / √(mean(x²) + ε) · weight, with round_before_weight rounded before that too.

    Kinds of weight (channels) are those of `parameter`.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    offsets = row_offsets(row, size1, size2, input_stride0, input_stride1, input_stride2)
    factor = rms_factor(input, offsets, inside, channels, epsilon, ROWS, BLOCK)

    target = output + row.to(tl.int64)[:, None] * channels
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        mask, x = tile_of_rows(input, offsets, inside, columns, channels)
        w = parameter(weight, weight_kind, weight_stride, columns, channels, 1.0, CONSECUTIVE)
        y = x * factor[:, None]
        rounded = y.to(output.dtype.element_ty).to(tl.float32)
        y = tl.where(round_before_weight != 0, rounded, y) * w[None, :]
        tl.store(target + columns[None, :], y.to(output.dtype.element_ty), mask=mask)


@triton.jit
def channel_norm_kernel(
    input,
    weight,
    bias,
    output,
    rows,
    size1,
    size2,
    channels,
    input_stride0,
    input_stride1,
    input_stride2,
    weight_stride,
    bias_stride,
    weight_kind,
    bias_kind,
    has_silu,
    root,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
):
    """output = x / max(‖x‖₂, 1e-12) · root · weight + bias, SiLU of that with has_silu; rounded after
    each step. root is √channels, and kinds of weight and bias (channels) are those of `parameter`.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    offsets = row_offsets(row, size1, size2, input_stride0, input_stride1, input_stride2)
    length = tl.sqrt_rn(sum_of_squares(input, offsets, inside, channels, ROWS, BLOCK))
    # A NaN length stays.
    length = tl.where(length < SMALLEST_LENGTH, SMALLEST_LENGTH, length)

    element: tl.constexpr = output.dtype.element_ty
    target = output + row.to(tl.int64)[:, None] * channels
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        mask, x = tile_of_rows(input, offsets, inside, columns, channels)
        w = parameter(weight, weight_kind, weight_stride, columns, channels, 1.0, CONSECUTIVE)
        b = parameter(bias, bias_kind, bias_stride, columns, channels, 0.0, CONSECUTIVE)
        y = tl.div_rn(x, length[:, None]).to(element).to(tl.float32)
        y = (y * root).to(element).to(tl.float32)
        y = (y * w[None, :]).to(element).to(tl.float32)
        y = (y + b[None, :]).to(element).to(tl.float32)
        if has_silu:
            y = silu(y)
        tl.store(target + columns[None, :], y.to(element), mask=mask)


# Rows and channels of a program: few rows where they are long, so that what several programs of a
# multiprocessor read again fits its cache. `channel_norm` has a shape for each of the VAE's widths.
LONG = {"": (1, 2048)}
BY_WIDTH = {"_128": (16, 128), "_256": (8, 256), "_512": (4, 512)}

_INPUT_STRIDES = {f"input_stride{dim}": "i64" for dim in range(3)}
_PLACES = {"rows": "i32", "size1": "i32", "size2": "i32", "channels": "i32"} | _INPUT_STRIDES
_ALIGNED_PLACES = ("channels", *_INPUT_STRIDES)


def for_floats(name, kernel, arguments, tiles, aligned) -> Iterator[Variant]:
    """Variants for the float types: for any strides, and for 16-bit ones for whole vectors too.

    In `arguments` a type "*" is a pointer to the float type. Float32 is read well enough without.
    """
    for dtype, pointer in FLOATS.items():
        types = {key: pointer if type == "*" else type for key, type in arguments.items()}
        for width, (rows, block) in tiles.items():
            for consecutive in [False] if dtype == "f32" else [False, True]:
                constants = {"ROWS": rows, "BLOCK": block, "CONSECUTIVE": consecutive}
                yield Variant(
                    f"{name}{width}_{dtype}{'_aligned' if consecutive else ''}",
                    kernel,
                    types,
                    {key: constants[key] for key in constants if key in kernel.arg_names},
                    aligned if consecutive else (),
                    fusion=False,
                )


def variants() -> Iterator[Variant]:
    """`layer_norm`, `rms_norm`, and `channel_norm` by the most channels that a tile has."""
    norms = {name: "*" for name in ("input", "weight", "bias", "scale", "shift", "output")}
    norms |= {"scale": "*fp32", "shift": "*fp32"}
    modulation = {f"{name}_stride{dim}": "i64" for name in ("scale", "shift") for dim in range(3)}
    yield from for_floats(
        "layer_norm",
        layer_norm_kernel,
        norms
        | _PLACES
        | modulation
        | {"weight_stride": "i64", "bias_stride": "i64", "weight_kind": "i32", "bias_kind": "i32"}
        | {"has_scale": "i32", "has_shift": "i32", "epsilon": "fp32"},
        LONG,
        (*norms, *_ALIGNED_PLACES, *modulation),
    )
    yield from for_floats(
        "rms_norm",
        rms_norm_kernel,
        {"input": "*", "weight": "*", "output": "*"}
        | _PLACES
        | {"weight_stride": "i64", "weight_kind": "i32"}
        | {"round_before_weight": "i32", "epsilon": "fp32"},
        LONG,
        ("input", "weight", "output", *_ALIGNED_PLACES),
    )
    yield from for_floats(
        "channel_norm",
        channel_norm_kernel,
        {"input": "*", "weight": "*", "bias": "*", "output": "*"}
        | _PLACES
        | {"weight_stride": "i64", "bias_stride": "i64", "weight_kind": "i32", "bias_kind": "i32"}
        | {"has_silu": "i32", "root": "fp32"},
        BY_WIDTH,
        ("input", "weight", "bias", "output", *_ALIGNED_PLACES),
    )
