"""Rotary position embedding of interleaved pairs: (x₀, x₁) → (x₀ cos - x₁ sin, x₀ sin + x₁ cos).

Rows and tiles are as in normalization.py, and so are the places of rounding as in
crates/cpu-kernels/src/rotary.rs.
"""

from collections.abc import Iterator

import triton
import triton.language as tl

from normalization import for_floats, rms_factor, tile_of_rows
from rows import parameter, row_offsets
from variant import Variant


@triton.jit
def _pairs(tile):
    """The even and the odd columns of a tile."""
    return tl.split(tl.reshape(tile, [tile.shape[0], tile.shape[1] // 2, 2]))


@triton.jit
def _rotated(x, cos, sin):
    """A tile's pairs, rotated."""
    x0, x1 = _pairs(x)
    return tl.interleave(x0 * cos - x1 * sin, x0 * sin + x1 * cos)


@triton.jit
def rotary_kernel(
    input,
    cos,
    sin,
    output,
    rows,
    size1,
    size2,
    channels,
    input_stride0,
    input_stride1,
    input_stride2,
    cos_stride0,
    cos_stride1,
    cos_stride2,
    sin_stride0,
    sin_stride1,
    sin_stride2,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """output = the rows of input, rotated; cos and sin are float32 and have half as many columns."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    offsets = row_offsets(row, size1, size2, input_stride0, input_stride1, input_stride2)
    cos_offsets = row_offsets(row, size1, size2, cos_stride0, cos_stride1, cos_stride2)
    sin_offsets = row_offsets(row, size1, size2, sin_stride0, sin_stride1, sin_stride2)
    target = output + row.to(tl.int64)[:, None] * channels
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        pairs = start // 2 + tl.arange(0, BLOCK // 2)
        mask, x = tile_of_rows(input, offsets, inside, columns, channels)
        _, c = tile_of_rows(cos, cos_offsets, inside, pairs, channels // 2)
        _, s = tile_of_rows(sin, sin_offsets, inside, pairs, channels // 2)
        y = _rotated(x, c, s)
        tl.store(target + columns[None, :], y.to(output.dtype.element_ty), mask=mask)


@triton.jit
def rms_norm_rotary_kernel(
    input,
    weight,
    cos,
    sin,
    output,
    rows,
    size1,
    size2,
    channels,
    input_stride0,
    input_stride1,
    input_stride2,
    cos_stride0,
    cos_stride1,
    cos_stride2,
    sin_stride0,
    sin_stride1,
    sin_stride2,
    weight_stride,
    weight_kind,
    head_pairs,
    epsilon,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
):
    """output = rms_norm(input), rounded, then rotated: every head of 2 · head_pairs channels by the
    same row of cos and sin (float32). The bytes are those of the two kernels after each other."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    offsets = row_offsets(row, size1, size2, input_stride0, input_stride1, input_stride2)
    cos_offsets = row_offsets(row, size1, size2, cos_stride0, cos_stride1, cos_stride2)
    sin_offsets = row_offsets(row, size1, size2, sin_stride0, sin_stride1, sin_stride2)
    factor = rms_factor(input, offsets, inside, channels, epsilon, ROWS, BLOCK)
    target = output + row.to(tl.int64)[:, None] * channels
    for start in range(0, channels, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        pairs = start // 2 + tl.arange(0, BLOCK // 2)
        mask, x = tile_of_rows(input, offsets, inside, columns, channels)
        w = parameter(weight, weight_kind, weight_stride, columns, channels, 1.0, CONSECUTIVE)
        angles = (pairs % head_pairs)[None, :]
        angled = inside[:, None] & (pairs < channels // 2)[None, :]
        c = tl.load(cos + cos_offsets[:, None] + angles, mask=angled, other=0.0)
        s = tl.load(sin + sin_offsets[:, None] + angles, mask=angled, other=0.0)
        y = (x * factor[:, None] * w[None, :]).to(output.dtype.element_ty).to(tl.float32)
        y = _rotated(y, c, s)
        tl.store(target + columns[None, :], y.to(output.dtype.element_ty), mask=mask)


def variants() -> Iterator[Variant]:
    """`rotary` and `rms_norm_rotary`."""
    places = {"rows": "i32", "size1": "i32", "size2": "i32", "channels": "i32"}
    names = ("input", "cos", "sin")
    strides = {f"{name}_stride{dim}": "i64" for name in names for dim in range(3)}
    yield from for_floats(
        "rotary",
        rotary_kernel,
        {"input": "*", "cos": "*fp32", "sin": "*fp32", "output": "*"} | places | strides,
        {"": (16, 128)},
        ("input", "cos", "sin", "output", "channels", *strides),
    )
    yield from for_floats(
        "rms_norm_rotary",
        rms_norm_rotary_kernel,
        {"input": "*", "weight": "*", "cos": "*fp32", "sin": "*fp32", "output": "*"}
        | places
        | strides
        | {"weight_stride": "i64", "weight_kind": "i32", "head_pairs": "i32", "epsilon": "fp32"},
        {"": (1, 2048)},
        ("input", "weight", "cos", "sin", "output", "channels", "head_pairs", *strides),
    )
