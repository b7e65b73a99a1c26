"""Convolution over frames, height and width, channels last, as a product without unrolled patches."""

from collections.abc import Iterator

import triton
import triton.language as tl

from variant import FLOATS, Variant


@triton.jit
def convolution_weight_kernel(
    weight,
    output,
    channels,
    taps,
    padded_channels,
    BLOCK_CHANNELS: tl.constexpr,
    BLOCK_TAPS: tl.constexpr,
):
    """output (columns, taps, padded_channels) from weight (columns, channels, taps), zeros between.

    A column is a filter. Elements are copied as they are.
    """
    column = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    tap = tl.program_id(2) * BLOCK_TAPS + tl.arange(0, BLOCK_TAPS)
    source = weight + column * channels * taps + channel[:, None] * taps + tap[None, :]
    known = (channel < channels)[:, None] & (tap < taps)[None, :]
    elements = tl.load(source, mask=known, other=0)
    target = output + column * taps * padded_channels + tap[None, :] * padded_channels
    written = (channel < padded_channels)[:, None] & (tap < taps)[None, :]
    tl.store(target + channel[:, None], elements, mask=written)


@triton.jit
def convolution_kernel(
    input,
    weight,
    bias,
    output,
    positions,
    columns,
    channels,
    padded_channels,
    input_frames,
    input_height,
    input_width,
    output_frames,
    output_height,
    output_width,
    kernel_frames,
    kernel_height,
    kernel_width,
    stride_frames,
    stride_height,
    stride_width,
    padding_frames,
    padding_height,
    padding_width,
    batch_stride,
    frame_stride,
    line_stride,
    pixel_stride,
    has_bias,
    BLOCK_POSITIONS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """output (positions, columns) = weight (columns, taps, padded_channels) ∗ input + bias (columns).

    A position is one of (batch, output_frames, output_height, output_width). The input is
    (batch, frames, height, width, channels) with the strides given and consecutive channels; before
    it lie padding_… zeros, behind it as many as it takes. Sums are float32 in the order of taps and
    channels and rounded once, so a position's don't depend on others.
    """
    column_blocks = tl.cdiv(columns, BLOCK_COLUMNS)
    # Blocks of columns of the same positions run beside each other: the input is the larger operand.
    program = tl.program_id(0)
    position = (program // column_blocks) * BLOCK_POSITIONS + tl.arange(0, BLOCK_POSITIONS)
    column = (program % column_blocks) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    channel = tl.arange(0, BLOCK_CHANNELS)

    # Past the end the last position and column are computed once more; they aren't written.
    place = tl.minimum(position, positions - 1)
    x = (place % output_width) * stride_width - padding_width
    place = place // output_width
    y = (place % output_height) * stride_height - padding_height
    place = place // output_height
    frame = (place % output_frames) * stride_frames - padding_frames
    batch = place // output_frames
    # In the padding this lies before the input, and is not read there.
    origin = batch.to(tl.int64) * batch_stride + frame.to(tl.int64) * frame_stride
    origin += y.to(tl.int64) * line_stride + x.to(tl.int64) * pixel_stride
    left = input + origin[:, None] + channel[None, :]
    taps = kernel_frames * kernel_height * kernel_width
    filter = tl.minimum(column, columns - 1).to(tl.int64) * taps * padded_channels
    right = weight + filter[None, :] + channel[:, None]

    sums = tl.zeros([BLOCK_POSITIONS, BLOCK_COLUMNS], tl.float32)
    tap_frame, tap_y, tap_x, start = 0, 0, 0, 0
    for _ in range(0, taps * tl.cdiv(channels, BLOCK_CHANNELS)):
        # As unsigned numbers, those before the input are larger than its extent.
        covered = (frame + tap_frame).to(tl.uint32) < input_frames.to(tl.uint32)
        covered &= (y + tap_y).to(tl.uint32) < input_height.to(tl.uint32)
        covered &= (x + tap_x).to(tl.uint32) < input_width.to(tl.uint32)
        inside = channel < channels - start
        offset = tap_frame * frame_stride + tap_y * line_stride + tap_x * pixel_stride + start
        a = tl.load(left + offset, mask=covered[:, None] & inside[None, :], other=0.0)
        b = tl.load(right + start, mask=inside[:, None], other=0.0)
        sums = tl.dot(a, b, sums, input_precision="ieee")
        # The next channels, then the next tap: counted, as a division costs as much as the product.
        start += BLOCK_CHANNELS
        next_tap = start >= channels
        right += tl.where(next_tap, padded_channels, 0)
        start = tl.where(next_tap, 0, start)
        tap_x += next_tap.to(tl.int32)
        next_line = tap_x == kernel_width
        tap_x = tl.where(next_line, 0, tap_x)
        tap_y += next_line.to(tl.int32)
        next_frame = tap_y == kernel_height
        tap_y = tl.where(next_frame, 0, tap_y)
        tap_frame += next_frame.to(tl.int32)
    if has_bias:
        sums += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]

    target = output + position.to(tl.int64)[:, None] * columns + column[None, :]
    written = (position < positions)[:, None] & (column < columns)[None, :]
    tl.store(target, sums.to(output.dtype.element_ty), mask=written)


_STRIDES = ("batch_stride", "frame_stride", "line_stride", "pixel_stride")


def variants() -> Iterator[Variant]:
    """`convolution` by float type, for 16-bit ones also for pixels that begin at whole vectors."""
    for size, word in {"16": "*i16", "32": "*i32"}.items():
        arguments = {"weight": word, "output": word}
        arguments |= dict.fromkeys(("channels", "taps", "padded_channels"), "i32")
        blocks = {"BLOCK_CHANNELS": 64, "BLOCK_TAPS": 32}
        yield Variant(f"convolution_weight_{size}", convolution_weight_kernel, arguments, blocks)
    for dtype, pointer in FLOATS.items():
        constants = ("BLOCK_POSITIONS", "BLOCK_COLUMNS", "BLOCK_CHANNELS")
        names = [name for name in convolution_kernel.arg_names if name not in constants]
        arguments = dict.fromkeys(names, "i32") | dict.fromkeys(_STRIDES, "i64")
        arguments |= dict.fromkeys(("input", "weight", "bias", "output"), pointer)
        if dtype == "f32":
            blocks = dict(zip(constants, (64, 64, 16)))
            yield Variant("convolution_f32", convolution_kernel, arguments, blocks, warps=4, stages=2)
            continue
        aligned = ("input", "weight", "bias", "output", "channels", "padded_channels", *_STRIDES)
        # (columns, channels) of a block: wide, deep where channels fill it, narrow for few columns.
        for kind, (columns, channels, stages), also in (
            ("aligned", (128, 32, 4), ("columns",)),
            ("deep", (128, 64, 3), ("columns",)),
            ("narrow", (64, 32, 4), ()),
        ):
            yield Variant(
                f"convolution_{dtype}_{kind}",
                convolution_kernel,
                arguments,
                dict(zip(constants, (128, columns, channels))),
                (*aligned, *also),
                warps=8,
                stages=stages,
            )
        yield Variant(
            f"convolution_{dtype}",
            convolution_kernel,
            arguments,
            dict(zip(constants, (128, 64, 32))),
            ("weight", "padded_channels"),
            warps=8,
            stages=2,
        )
