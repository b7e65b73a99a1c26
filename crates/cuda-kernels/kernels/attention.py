"""Scaled dot-product attention: softmax(scale · query · keyᵀ + mask) · value.

The softmax is formed online over blocks of keys (FlashAttention-2: Dao 2023), so no matrix of scores
is ever held. Blocks of keys are cut from key 0 with a fixed length, and a row's sums run over them in
order, so a row depends on no other row, head or batch.
"""

from collections.abc import Iterator

import triton
import triton.language as tl

from variant import FLOATS, Variant

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def logarithm(x):
    """ln x in float64 of a positive normal float32, to a relative 1e-13.

    The device has no such instruction. With x = 2ⁿ · m, m within [√½, √2), and z = (m - 1) / (m + 1),
    ln x = n · ln 2 + 2 · artanh z, of which eight terms are taken.
    """
    bits = x.to(tl.int32, bitcast=True)
    # 0x3F3504F3 is √½; the difference's upper bits are n, which rounds down.
    exponent = (bits - 0x3F3504F3) >> 23
    mantissa = (bits - (exponent << 23)).to(tl.float32, bitcast=True).to(tl.float64)
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square = z * z
    series = square * (1.0 / 17.0) + 1.0 / 15.0
    series = series * square + 1.0 / 13.0
    series = series * square + 1.0 / 11.0
    series = series * square + 1.0 / 9.0
    series = series * square + 1.0 / 7.0
    series = series * square + 1.0 / 5.0
    series = series * square + 1.0 / 3.0
    series = series * square + 1.0
    return exponent.to(tl.float64) * LN_2 + 2.0 * z * series


@triton.jit
def store_log_sum_exp(rounded, residue, places, maximum, unit, sum, written):
    """Writes maximum · unit + ln sum in two float32, the second what rounding took from the first.

    Minus infinity where sum is 0; the residue of what isn't finite is 0.
    """
    exact = maximum.to(tl.float64) * unit.to(tl.float64) + logarithm(sum)
    first = exact.to(tl.float32)
    first = tl.where(sum == 0.0, float("-inf"), tl.where(sum == sum, first, sum))
    rest = (exact - first.to(tl.float64)).to(tl.float32)
    finite = tl.abs(first) < float("inf")
    tl.store(rounded + places, first, mask=written)
    tl.store(residue + places, tl.where(finite, rest, 0.0), mask=written)


@triton.jit
def flash_block(
    q,
    key,
    value,
    key_offsets,
    value_offsets,
    unit,
    remaining,
    maximum,
    sum,
    result,
    rows,
    PARTIAL: tl.constexpr,
):
    """One block of keys: (maximum, sum, result) with it. Only a PARTIAL block has fewer keys."""
    if PARTIAL:
        # Without `other` masked elements are anything, and 0 · NaN is NaN.
        k = tl.load(key + key_offsets, mask=(rows < remaining)[None, :], other=0.0)
        v = tl.load(value + value_offsets, mask=(rows < remaining)[:, None], other=0.0)
    else:
        k = tl.load(key + key_offsets)
        v = tl.load(value + value_offsets)
    scores = tl.dot(q, k)
    if PARTIAL:
        scores = tl.where((rows < remaining)[None, :], scores, float("-inf"))
    highest = tl.maximum(maximum, tl.max(scores, 1) * unit)
    # With minus infinity for every score so far, minus infinity less itself would be NaN.
    level = tl.where(highest == float("-inf"), 0.0, highest)
    weights = tl.exp2(scores * unit - level[:, None])
    factor = tl.exp2(maximum - level)
    sum = sum * factor + tl.sum(weights, 1)
    result = result * factor[:, None]
    result = tl.dot(weights.to(v.dtype), v, result)
    return highest, sum, result


@triton.jit
def flash_attention_kernel(
    query,
    key,
    value,
    output,
    rounded,
    residue,
    unit,
    heads,
    queries,
    keys,
    query_batch_stride,
    query_row_stride,
    query_head_stride,
    key_batch_stride,
    key_row_stride,
    key_head_stride,
    value_batch_stride,
    value_row_stride,
    value_head_stride,
    has_log_sum_exp,
    SIZE: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
):
    """Attention for heads of exactly SIZE channels, 16-bit floats, no mask, and a positive scale.

    query (batch, queries, heads, SIZE), key and value (batch, keys, heads, SIZE) with the strides
    given and consecutive channels; output (batch, queries, heads, SIZE), rounded and residue
    (batch, queries, heads) contiguous. unit is scale · log2 e. Row strides are below 2²³.
    """
    query_blocks = tl.cdiv(queries, BLOCK_QUERIES)
    program = tl.program_id(0)
    block = program % query_blocks
    head = (program // query_blocks) % heads
    batch = (program // query_blocks) // heads
    row = tl.arange(0, BLOCK_QUERIES)
    channel = tl.arange(0, SIZE)
    rows = tl.arange(0, BLOCK_KEYS)

    first = block * BLOCK_QUERIES
    query += batch.to(tl.int64) * query_batch_stride + head.to(tl.int64) * query_head_stride
    query += first.to(tl.int64) * query_row_stride
    key += batch.to(tl.int64) * key_batch_stride + head.to(tl.int64) * key_head_stride
    value += batch.to(tl.int64) * value_batch_stride + head.to(tl.int64) * value_head_stride
    # Past the end the last query is computed once more; it isn't written.
    query_row = tl.minimum(row, queries - 1 - first)
    q = tl.load(query + query_row[:, None] * query_row_stride + channel[None, :])
    key_offsets = rows[None, :] * key_row_stride + channel[:, None]
    value_offsets = rows[:, None] * value_row_stride + channel[None, :]
    key_step = key_row_stride.to(tl.int64) * BLOCK_KEYS
    value_step = value_row_stride.to(tl.int64) * BLOCK_KEYS

    maximum = tl.full([BLOCK_QUERIES], float("-inf"), tl.float32)
    sum = tl.zeros([BLOCK_QUERIES], tl.float32)
    result = tl.zeros([BLOCK_QUERIES, SIZE], tl.float32)
    for _ in range(0, keys // BLOCK_KEYS):
        maximum, sum, result = flash_block(
            q, key, value, key_offsets, value_offsets, unit, 0, maximum, sum, result, rows, False
        )
        key += key_step
        value += value_step
    if keys % BLOCK_KEYS > 0:
        maximum, sum, result = flash_block(
            q,
            key,
            value,
            key_offsets,
            value_offsets,
            unit,
            keys % BLOCK_KEYS,
            maximum,
            sum,
            result,
            rows,
            True,
        )

    factor = tl.where(sum == 0.0, 0.0, tl.div_rn(1.0, sum))
    result = tl.where(sum[:, None] == 0.0, 0.0, result * factor[:, None])
    written = first + row < queries
    places = (batch.to(tl.int64) * queries + first + row) * heads + head
    target = output + places[:, None] * SIZE + channel[None, :]
    tl.store(target, result.to(output.dtype.element_ty), mask=written[:, None])
    if has_log_sum_exp:
        ln_2 = tl.full([], LN_2, tl.float64)
        store_log_sum_exp(rounded, residue, places, maximum, ln_2, sum, written)


@triton.jit
def attention_kernel(
    query,
    key,
    value,
    mask,
    output,
    rounded,
    residue,
    scale,
    heads,
    queries,
    keys,
    size,
    query_batch_stride,
    query_row_stride,
    query_head_stride,
    key_batch_stride,
    key_row_stride,
    key_head_stride,
    value_batch_stride,
    value_row_stride,
    value_head_stride,
    mask_batch_stride,
    mask_head_stride,
    mask_row_stride,
    mask_key_stride,
    has_mask,
    has_log_sum_exp,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    BLOCK_DEPTH: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Attention for heads of any size, any float type, any scale, with a mask or without.

    As flash_attention_kernel, with mask float32 (batch, heads, queries, keys) of the strides given.
    A program computes BLOCK_COLUMNS channels of the output: a larger head's scores are computed by
    several, alike, so that no size needs more registers.
    """
    query_blocks = tl.cdiv(queries, BLOCK_QUERIES)
    column_blocks = tl.cdiv(size, BLOCK_COLUMNS)
    program = tl.program_id(0)
    block = program % query_blocks
    program = program // query_blocks
    column_block = program % column_blocks
    program = program // column_blocks
    head = (program % heads).to(tl.int64)
    batch = (program // heads).to(tl.int64)
    row = block * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    column = column_block * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    rows = tl.arange(0, BLOCK_KEYS)
    depth = tl.arange(0, BLOCK_DEPTH)

    # Past the end the last query is computed once more; it isn't written.
    query_row = tl.minimum(row, queries - 1).to(tl.int64)
    query += batch * query_batch_stride + head * query_head_stride
    key += batch * key_batch_stride + head * key_head_stride
    value += batch * value_batch_stride + head * value_head_stride
    mask += batch * mask_batch_stride + head * mask_head_stride

    maximum = tl.full([BLOCK_QUERIES], float("-inf"), tl.float32)
    sum = tl.zeros([BLOCK_QUERIES], tl.float32)
    result = tl.zeros([BLOCK_QUERIES, BLOCK_COLUMNS], tl.float32)
    for start in range(0, keys, BLOCK_KEYS):
        key_row = (start + rows).to(tl.int64)
        known = start + rows < keys
        scores = tl.zeros([BLOCK_QUERIES, BLOCK_KEYS], tl.float32)
        for first in range(0, size, BLOCK_DEPTH):
            inside = depth < size - first
            q = tl.load(
                query + query_row[:, None] * query_row_stride + (first + depth)[None, :],
                mask=inside[None, :],
                other=0.0,
            )
            k = tl.load(
                key + key_row[None, :] * key_row_stride + (first + depth)[:, None],
                mask=known[None, :] & inside[:, None],
                other=0.0,
            )
            scores = tl.dot(q, k, scores, input_precision="ieee")
        scores *= scale
        if has_mask:
            # In natural units: the lowest number would overflow in others.
            addend = mask + query_row[:, None] * mask_row_stride + key_row[None, :] * mask_key_stride
            scores += tl.load(addend, mask=known[None, :], other=0.0)
        scores = tl.where(known[None, :], scores, float("-inf"))
        highest = tl.maximum(maximum, tl.max(scores, 1))
        # With minus infinity for every score so far, minus infinity less itself would be NaN.
        level = tl.where(highest == float("-inf"), 0.0, highest)
        # The distance before the unit: exact near the maximum, where it matters.
        weights = tl.exp2((scores - level[:, None]) * LOG2_E)
        factor = tl.exp2((maximum - level) * LOG2_E)
        sum = sum * factor + tl.sum(weights, 1)
        v = tl.load(
            value + key_row[:, None] * value_row_stride + column[None, :],
            mask=known[:, None] & (column < size)[None, :],
            other=0.0,
        )
        result = tl.dot(weights.to(v.dtype), v, result * factor[:, None], input_precision="ieee")
        maximum = highest

    factor = tl.where(sum == 0.0, 0.0, tl.div_rn(1.0, sum))
    result = tl.where(sum[:, None] == 0.0, 0.0, result * factor[:, None])
    written = row < queries
    places = (batch * queries + row) * heads + head
    target = output + places[:, None] * size + column[None, :]
    mask_columns = written[:, None] & (column < size)[None, :]
    tl.store(target, result.to(output.dtype.element_ty), mask=mask_columns)
    if has_log_sum_exp & (column_block == 0):
        one = tl.full([], 1.0, tl.float64)
        store_log_sum_exp(rounded, residue, places, maximum, one, sum, written)


# (BLOCK_QUERIES, BLOCK_KEYS), warps and stages of the flash kernel, by head size and target: the
# largest tiles without spills. Code of 8.0 keeps to the 99 KiB of shared memory of 8.6.
_FLASH_TILES = {
    128: {80: (128, 64, 8, 2), 89: (128, 64, 8, 2), 90: (128, 128, 8, 3), 100: (128, 128, 8, 3), 120: (128, 64, 8, 2)},
    64: {80: (128, 64, 8, 3), 89: (128, 64, 8, 3), 90: (128, 128, 8, 3), 100: (128, 128, 8, 3), 120: (128, 64, 8, 3)},
}


def variants() -> Iterator[Variant]:
    """`flash_attention` by 16-bit float and head size; `attention` by float type, for 16-bit ones also
    for heads of whole vectors."""
    for dtype in ("bf16", "f16"):
        for size, tiles in _FLASH_TILES.items():
            targets = {
                capability: {
                    "constants": {"BLOCK_QUERIES": queries, "BLOCK_KEYS": keys},
                    "warps": warps,
                    "stages": stages,
                }
                for capability, (queries, keys, warps, stages) in tiles.items()
            }
            constants = {"SIZE": size, "BLOCK_QUERIES": 128, "BLOCK_KEYS": 64}
            arguments = _arguments(flash_attention_kernel, constants, FLOATS[dtype])
            strides = [name for name in arguments if name.endswith("_stride")]
            yield Variant(
                f"flash_attention_{dtype}_{size}",
                flash_attention_kernel,
                arguments | {name: "i32" for name in strides if name.endswith("_row_stride")},
                constants,
                ("query", "key", "value", "output", *strides),
                targets=targets,
            )
    names = ("BLOCK_QUERIES", "BLOCK_KEYS", "BLOCK_DEPTH", "BLOCK_COLUMNS")
    for dtype, pointer in FLOATS.items():
        blocks = (32, 32, 32, 64) if dtype == "f32" else (64, 32, 64, 128)
        constants = dict(zip(names, blocks))
        arguments = _arguments(attention_kernel, constants, pointer)
        yield Variant(f"attention_{dtype}", attention_kernel, arguments, constants, warps=8, stages=2)
        if dtype != "f32":
            strides = [name for name in arguments if name.endswith("_stride") and "mask" not in name]
            yield Variant(
                f"attention_{dtype}_aligned",
                attention_kernel,
                arguments,
                dict(zip(names, (128, 64, 64, 128))),
                ("query", "key", "value", "output", "size", *strides),
                warps=8,
                stages=3,
            )


def _arguments(kernel, constants, pointer: str) -> dict[str, str]:
    arguments = {}
    for name in kernel.arg_names:
        if name in ("query", "key", "value", "output"):
            arguments[name] = pointer
        elif name in ("mask", "rounded", "residue"):
            arguments[name] = "*fp32"
        elif name in ("scale", "unit"):
            arguments[name] = "fp32"
        elif name not in constants:
            arguments[name] = "i64" if name.endswith("_stride") else "i32"
    return arguments
