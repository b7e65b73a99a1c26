"""Weights in 4 and 8 bits, bit for bit as crates/cpu-kernels/src/quantization stores and restores
them, which is as bitsandbytes does. Everything is contiguous."""

from collections.abc import Iterator

import triton
import triton.language as tl

from variant import FLOATS, Variant

# 1 / 127 in the precision that bitsandbytes multiplies by.
INVERSE_127 = tl.constexpr(7.874015718698502e-3)
# 4-bit blocks with a smaller greatest magnitude are divided by this: 1 over it is still finite.
LEAST_DIVISOR = tl.constexpr(1e-38)
# 1.5 · 2²³: added to a number below 2²², it leaves the nearest integer, to even between two.
ROUND = tl.constexpr(12582912.0)
# Bytes of the smallest 4-bit block, of 16 elements.
GROUP = tl.constexpr(8)
# Numbers from -1 to 1, evenly spaced, that 8-bit codes of a table are looked up by.
STEPS = tl.constexpr(65536)
# Codes in a table of 8-bit ones.
TABLE = tl.constexpr(256)


@triton.jit
def nf4_value(code):
    """The value of a 4-bit code, 0 to 15, in float32."""
    value = tl.where(code == 0, -1.0, 1.0)
    value = tl.where(code == 1, -0.6961928009986877, value)
    value = tl.where(code == 2, -0.5250730514526367, value)
    value = tl.where(code == 3, -0.39491748809814453, value)
    value = tl.where(code == 4, -0.28444138169288635, value)
    value = tl.where(code == 5, -0.18477343022823334, value)
    value = tl.where(code == 6, -0.09105003625154495, value)
    value = tl.where(code == 7, 0.0, value)
    value = tl.where(code == 8, 0.07958029955625534, value)
    value = tl.where(code == 9, 0.16093020141124725, value)
    value = tl.where(code == 10, 0.24611230194568634, value)
    value = tl.where(code == 11, 0.33791524171829224, value)
    value = tl.where(code == 12, 0.44070982933044434, value)
    value = tl.where(code == 13, 0.5626170039176941, value)
    return tl.where(code == 14, 0.7229568362236023, value)


@triton.jit
def nf4_code(value):
    """The code nearest to a number from -1 to 1, the lower one halfway between two; NaN gets 0."""
    code = tl.zeros(value.shape, tl.int32)
    for lower in tl.static_range(15):
        below, above = tl.full([], lower, tl.int32), tl.full([], lower + 1, tl.int32)
        bound = (nf4_value(below) + nf4_value(above)) * 0.5
        code += (bound < value).to(tl.int32)
    return code


@triton.jit
def magnitudes(values, mask):
    """Of values (float32) those that aren't NaN or masked out, else 0; and which are NaN."""
    strange = mask & (values != values)
    return tl.where(mask & (values == values), tl.abs(values), 0.0), strange.to(tl.int32)


@triton.jit
def nf4_quantize_kernel(
    input, packed, absmax, count, block_size, BLOCKS: tl.constexpr, BYTES: tl.constexpr
):
    """Codes of `count` elements in blocks of block_size (even), two a byte, the first in its high
    half, and each block's greatest magnitude (float32).

    Elements of a full block are multiplied by 1 / absmax, those of another divided by absmax.
    """
    block = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    start = block * block_size
    size = tl.minimum(count - start, block_size)
    greatest = tl.zeros([BLOCKS], tl.float32)
    strange = tl.zeros([BLOCKS], tl.int32)
    for first in range(0, block_size, 2 * BYTES):
        column = first + tl.arange(0, 2 * BYTES)
        mask = column[None, :] < size[:, None]
        values = tl.load(input + start[:, None] + column[None, :], mask=mask, other=0.0)
        magnitude, odd = magnitudes(values.to(tl.float32), mask)
        greatest = tl.maximum(greatest, tl.max(magnitude, axis=1))
        strange = tl.maximum(strange, tl.max(odd, axis=1))
    greatest = tl.where(strange != 0, float("nan"), greatest)
    divisor = tl.where(greatest < LEAST_DIVISOR, LEAST_DIVISOR, greatest)
    full = size == block_size
    tl.store(absmax + block, tl.where(full, greatest, divisor), mask=size > 0)

    factor = tl.div_rn(1.0, divisor)
    for first in range(0, block_size, 2 * BYTES):
        column = first + tl.arange(0, 2 * BYTES)
        mask = column[None, :] < size[:, None]
        values = tl.load(input + start[:, None] + column[None, :], mask=mask, other=0.0)
        values = values.to(tl.float32)
        quotients = tl.div_rn(values, tl.broadcast_to(divisor[:, None], values.shape))
        scaled = tl.where(full[:, None], values * factor[:, None], quotients)
        scaled = tl.where(scaled > 1.0, 1.0, scaled)
        scaled = tl.where(scaled < -1.0, -1.0, scaled)
        # An odd count is filled up with the code of 0.
        codes = tl.where(mask, nf4_code(scaled), 7)
        high, low = tl.split(tl.reshape(codes, [BLOCKS, BYTES, 2]))
        byte = first // 2 + tl.arange(0, BYTES)
        target = packed + (start // 2)[:, None] + byte[None, :]
        filled = 2 * byte[None, :] < size[:, None]
        tl.store(target, (high * 16 + low).to(tl.uint8), mask=filled)


@triton.jit
def nf4_dequantize_kernel(
    packed, absmax, output, count, bytes, block_shift, GROUPS: tl.constexpr
):
    """output = value of code · absmax, for `count` elements, `bytes` bytes, in blocks of
    2 ** block_shift. The bytes of a group belong to one block."""
    BYTES: tl.constexpr = GROUPS * GROUP
    first = tl.program_id(0).to(tl.int64) * BYTES
    place = first + tl.arange(0, BYTES)
    byte = tl.load(packed + place, mask=place < bytes, other=0).to(tl.int32)
    codes = tl.interleave(byte >> 4, byte & 15)
    group = first + tl.arange(0, GROUPS) * GROUP
    scales = tl.load(absmax + (group >> (block_shift - 1)), mask=group < bytes, other=0.0)
    scales = tl.broadcast_to(scales[:, None], [GROUPS, 2 * GROUP])
    values = tl.gather(nf4_value(tl.arange(0, 16)), codes, 0)
    values = values * tl.reshape(scales, [2 * BYTES])
    element = 2 * first + tl.arange(0, 2 * BYTES)
    tl.store(output + element, values.to(output.dtype.element_ty), mask=element < count)


@triton.jit
def int8_quantize_kernel(input, codes, absmax, columns, BLOCK: tl.constexpr):
    """Codes of a row and its greatest magnitude (float32), of elements rounded to float16."""
    row = tl.program_id(0).to(tl.int64)
    start = row * columns
    greatest = 0.0
    strange = 0
    for first in range(0, columns, BLOCK):
        column = first + tl.arange(0, BLOCK)
        mask = column < columns
        values = tl.load(input + start + column, mask=mask, other=0.0)
        values = values.to(tl.float32).to(tl.float16).to(tl.float32)
        magnitude, odd = magnitudes(values, mask)
        greatest = tl.maximum(greatest, tl.max(magnitude, axis=0))
        strange = tl.maximum(strange, tl.max(odd, axis=0))
    tl.store(absmax + row, tl.where(strange != 0, float("nan"), greatest))

    factor = tl.div_rn(1.0, greatest) * 127.0
    for first in range(0, columns, BLOCK):
        column = first + tl.arange(0, BLOCK)
        mask = column < columns
        values = tl.load(input + start + column, mask=mask, other=0.0)
        scaled = values.to(tl.float32).to(tl.float16).to(tl.float32) * factor
        # A row of zeros is 0 · ∞ here, which becomes 0.
        rounded = tl.where(scaled == scaled, (scaled + ROUND) - ROUND, 0.0)
        tl.store(codes + start + column, rounded.to(tl.int8), mask=mask)


@triton.jit
def int8_dequantize_kernel(codes, absmax, output, columns, BLOCK: tl.constexpr):
    """output = code · the row's absmax · (1 / 127), rounded once behind two products in float32."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < columns
    place = row * columns + column
    scale = tl.load(absmax + row)
    code = tl.load(codes + place, mask=mask, other=0).to(tl.float32)
    tl.store(output + place, (code * scale * INVERSE_127).to(output.dtype.element_ty), mask=mask)


@triton.jit
def blockwise_quantize_kernel(
    input, table, codes, absmax, count, block_size, BLOCK: tl.constexpr
):
    """Codes of a block of float32 elements by a table that ascends, and its greatest magnitude: a
    quotient is rounded to one of STEPS numbers, and that to the nearest entry."""
    block = tl.program_id(0).to(tl.int64)
    start = block * block_size
    size = tl.minimum(count - start, block_size)
    greatest = 0.0
    strange = 0
    for first in range(0, size, BLOCK):
        column = first + tl.arange(0, BLOCK)
        mask = column < size
        values = tl.load(input + start + column, mask=mask, other=0.0)
        magnitude, odd = magnitudes(values, mask)
        greatest = tl.maximum(greatest, tl.max(magnitude, axis=0))
        strange = tl.maximum(strange, tl.max(odd, axis=0))
    greatest = tl.where(strange != 0, float("nan"), greatest)
    tl.store(absmax + block, greatest)

    factor = tl.div_rn(1.0, greatest)
    for first in range(0, size, BLOCK):
        column = first + tl.arange(0, BLOCK)
        mask = column < size
        scaled = tl.load(input + start + column, mask=mask, other=0.0) * factor
        scaled = tl.where(scaled > 1.0, 1.0, scaled)
        scaled = tl.where(scaled < -1.0, -1.0, scaled)
        step = (scaled + 1.0) * 0.5 * (STEPS - 1) + 0.5
        step = tl.where(step == step, step, 0.0).to(tl.int32)
        last_step = tl.full([BLOCK], STEPS - 1, tl.float32)
        value = -1.0 + tl.div_rn(2.0 * step.to(tl.float32), last_step)
        # The code is the number of bounds between entries that lie below the value.
        code = tl.zeros([BLOCK], tl.int32)
        bit = TABLE // 2
        while bit > 0:
            bound = 0.5 * (tl.load(table + code + bit - 1) + tl.load(table + code + bit))
            code += tl.where(bound < value, bit, 0)
            bit = bit // 2
        # A block of zeros gets code 0, whose value times its scale 0 is 0 again.
        code = tl.where(greatest == 0.0, 0, code)
        tl.store(codes + start + column, code.to(tl.uint8), mask=mask)


@triton.jit
def blockwise_dequantize_kernel(
    codes, absmax, table, output, count, block_size, BLOCK: tl.constexpr
):
    """output = table[code] · absmax of the code's block, float32."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    code = tl.load(codes + place, mask=mask, other=0).to(tl.int32)
    scale = tl.load(absmax + place // block_size, mask=mask, other=0.0)
    tl.store(output + place, tl.load(table + code) * scale, mask=mask)


def _for_floats(name, kernel, arguments, constants, aligned=()) -> Iterator[Variant]:
    """Variants for the float types, of which "*" in `arguments` is a pointer to; with `aligned`,
    for 16-bit ones, others that have those arguments aligned."""
    for dtype, pointer in FLOATS.items():
        types = {key: pointer if type == "*" else type for key, type in arguments.items()}
        yield Variant(f"{name}_{dtype}", kernel, types, constants, fusion=False)
        if aligned and dtype != "f32":
            yield Variant(
                f"{name}_{dtype}_aligned", kernel, types, constants, aligned, fusion=False
            )


def variants() -> Iterator[Variant]:
    """Quantization and dequantization in each of the three formats."""
    packed = {"packed": "*u8", "absmax": "*fp32"}
    codes = {"codes": "*i8", "absmax": "*fp32"}
    yield from _for_floats(
        "nf4_quantize",
        nf4_quantize_kernel,
        {"input": "*"} | packed | {"count": "i64", "block_size": "i32"},
        {"BLOCKS": 16, "BYTES": 32},
    )
    yield from _for_floats(
        "nf4_dequantize",
        nf4_dequantize_kernel,
        packed | {"output": "*", "count": "i64", "bytes": "i64", "block_shift": "i32"},
        {"GROUPS": 128},
        ("packed", "absmax", "output", "count", "bytes"),
    )
    yield from _for_floats(
        "int8_quantize",
        int8_quantize_kernel,
        {"input": "*"} | codes | {"columns": "i32"},
        {"BLOCK": 1024},
    )
    yield from _for_floats(
        "int8_dequantize",
        int8_dequantize_kernel,
        codes | {"output": "*", "columns": "i32"},
        {"BLOCK": 2048},
        ("codes", "output", "columns"),
    )
    blocks = {"codes": "*u8", "absmax": "*fp32"}
    sizes = {"count": "i64", "block_size": "i32"}
    yield Variant(
        "blockwise_quantize",
        blockwise_quantize_kernel,
        {"input": "*fp32", "table": "*fp32"} | blocks | sizes,
        {"BLOCK": 256},
        fusion=False,
    )
    yield Variant(
        "blockwise_dequantize",
        blockwise_dequantize_kernel,
        blocks | {"table": "*fp32", "output": "*fp32"} | sizes,
        {"BLOCK": 1024},
        fusion=False,
    )
