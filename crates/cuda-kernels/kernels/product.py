"""Products of matrices: linear layers."""

from collections.abc import Iterator

import triton
import triton.language as tl

from variant import FLOATS, Variant


@triton.jit
def linear_kernel(
    input,
    weight,
    bias,
    output,
    rows,
    columns,
    channels,
    input_stride,
    has_bias,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """output (rows, columns) = input (rows, channels) · weight (columns, channels)ᵀ + bias (columns).

    Rows of the input are input_stride elements apart; all else is contiguous. Sums are float32, in
    the order of the channels, and rounded once. A row's sums don't depend on other rows: the only
    blocks that matter to them are those of the channels.
    """
    program = tl.program_id(0)
    row_blocks = tl.cdiv(rows, BLOCK_ROWS)
    column_blocks = tl.cdiv(columns, BLOCK_COLUMNS)
    # GROUP blocks of rows run beside each other, so that they find the same weight in the cache.
    group = program // (GROUP * column_blocks)
    first_row_block = group * GROUP
    group_rows = tl.minimum(row_blocks - first_row_block, GROUP)
    within = program - group * (GROUP * column_blocks)
    row = (first_row_block + within % group_rows) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = (within // group_rows) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    channel = tl.arange(0, BLOCK_CHANNELS)

    # Past the end the last row and column are read once more; they aren't written.
    input_row = tl.minimum(row, rows - 1).to(tl.int64) * input_stride
    weight_row = tl.minimum(column, columns - 1).to(tl.int64) * channels
    left = input + input_row[:, None] + channel[None, :]
    right = weight + weight_row[None, :] + channel[:, None]
    sums = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], tl.float32)
    for start in range(0, channels, BLOCK_CHANNELS):
        inside = channel < channels - start
        a = tl.load(left, mask=inside[None, :], other=0.0)
        b = tl.load(right, mask=inside[:, None], other=0.0)
        sums = tl.dot(a, b, sums, input_precision="ieee")
        left += BLOCK_CHANNELS
        right += BLOCK_CHANNELS
    if has_bias:
        sums += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]

    target = output + row.to(tl.int64)[:, None] * columns + column[None, :]
    written = (row < rows)[:, None] & (column < columns)[None, :]
    tl.store(target, sums.to(output.dtype.element_ty), mask=written)


# Where a product is made of instructions of one warp: tiles of 64 × 64 a warp, the largest without
# spills. Code of 8.0 keeps to the 99 KiB of shared memory of 8.6.
_BY_WARPS = {"constants": {"BLOCK_CHANNELS": 32}}
_TILES = {80: _BY_WARPS, 89: _BY_WARPS, 120: _BY_WARPS}


def variants() -> Iterator[Variant]:
    """`linear` by float type; for 16-bit ones also for rows that begin at whole vectors."""
    for dtype, pointer in FLOATS.items():
        arguments = dict.fromkeys(("input", "weight", "bias", "output"), pointer)
        arguments |= dict.fromkeys(("rows", "columns", "channels"), "i32")
        arguments |= {"input_stride": "i64", "has_bias": "i32"}
        names = ("BLOCK_ROWS", "BLOCK_COLUMNS", "BLOCK_CHANNELS", "GROUP")
        if dtype == "f32":
            blocks = dict(zip(names, (64, 64, 16, 8)))
            yield Variant("linear_f32", linear_kernel, arguments, blocks, warps=4, stages=3)
            continue
        aligned = ("input", "weight", "bias", "output", "columns", "channels", "input_stride")
        yield Variant(
            f"linear_{dtype}_aligned",
            linear_kernel,
            arguments,
            dict(zip(names, (128, 256, 64, 8))),
            aligned,
            warps=8,
            stages=4,
            targets=_TILES,
        )
        blocks = dict(zip(names, (64, 128, 32, 8)))
        yield Variant(f"linear_{dtype}", linear_kernel, arguments, blocks, warps=4, stages=2)
