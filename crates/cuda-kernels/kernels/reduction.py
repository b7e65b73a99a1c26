"""Sums over all elements, whether all are finite, parts of attention put together, rows of a table."""

from collections.abc import Iterator

import triton
import triton.language as tl

from movement import WORDS
from variant import FLOATS, Variant
from walk import SIZES, index, offsets, strides, tile


@triton.jit
def partial_sums(input, output, count, BLOCK: tl.constexpr):
    """Sums of consecutive float32 in float64, one for each program: that of every so many blocks as
    there are programs."""
    sum = tl.zeros([BLOCK], tl.float64)
    start = tl.program_id(0).to(tl.int64) * BLOCK
    while start < count:
        places = start + tl.arange(0, BLOCK)
        sum += tl.load(input + places, mask=places < count, other=0.0).to(tl.float64)
        start += tl.num_programs(0).to(tl.int64) * BLOCK
    tl.store(output + tl.program_id(0), tl.sum(sum, 0))


@triton.jit
def mean(sums, output, parts, count, BLOCK: tl.constexpr):
    """The sum of `parts` float64 over `count`, as a float32; NaN for none of none."""
    places = tl.arange(0, BLOCK)
    sum = tl.sum(tl.load(sums + places, mask=places < parts, other=0.0), 0)
    tl.store(output, (sum / count.to(tl.float64)).to(tl.float32))


@triton.jit
def all_finite(
    input, output, count, run, size1, size2, size3, input0, input1, input2, input3, input4,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Writes a 0 where an element is infinite or NaN, and nothing where none is."""
    rows, columns, _, inside = tile(count, run, ROWS, COLUMNS)
    at0, at1, at2, at3 = index(rows, size1, size2, size3)
    source = input + offsets(at0, at1, at2, at3, columns, input0, input1, input2, input3, input4)
    value = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    # NaN is below nothing.
    finite = tl.abs(value) < float("inf")
    if tl.min(finite.to(tl.int32)) == 0:
        tl.store(output, 0)


@triton.jit
def gather(table, rows, output, channels, table_row, BLOCK: tl.constexpr):
    """output[i, :] = table[rows[i], :], of words."""
    blocks = tl.cdiv(channels, BLOCK)
    row = tl.program_id(0) // blocks
    columns = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = columns < channels
    source = table + tl.load(rows + row) * table_row
    tl.store(output + row.to(tl.int64) * channels + columns, tl.load(source + columns, mask=inside), mask=inside)


@triton.jit
def log_sum_exp_of(rounded, residue, has_residue, rows, inside):
    """Log-sum-exps of rows in float64; outside, that of no keys."""
    sum = tl.load(rounded + rows, mask=inside, other=float("-inf")).to(tl.float64)
    if has_residue != 0:
        sum += tl.load(residue + rows, mask=inside, other=0.0).to(tl.float64)
    return sum


@triton.jit
def merge_attention(
    first, first_sums, first_residue, second, second_sums, second_residue,
    output, sums, residue, has_first_residue, has_second_residue, rows, size,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Attention over the keys of two parts, of consecutive (rows, size)."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    one = log_sum_exp_of(first_sums, first_residue, has_first_residue, row, there)
    other = log_sum_exp_of(second_sums, second_residue, has_second_residue, row, there)
    greatest = tl.where(one > other, one, other)
    none = greatest == float("-inf")
    # Any finite number: two parts without keys weigh nothing, and their difference is no number.
    base = tl.where(none, 0.0, greatest)
    one_share, other_share = tl.exp(one - base), tl.exp(other - base)
    total = one_share + other_share
    usable = (one < float("inf")) & (other < float("inf"))
    nan = float("nan")
    scale = tl.where(none, 1.0, total)
    one_weight = tl.where(usable, one_share / scale, nan)
    other_weight = tl.where(usable, other_share / scale, nan)
    merged = tl.where(none, greatest, base + tl.log(scale))
    merged = tl.where(usable, merged, nan)
    rounded = merged.to(tl.float32)
    tl.store(sums + row, rounded, mask=there)
    rest = (merged - rounded.to(tl.float64)).to(tl.float32)
    tl.store(residue + row, tl.where(tl.abs(rounded) < float("inf"), rest, 0.0), mask=there)
    for start in range(0, size, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        inside = there[:, None] & (columns < size)[None, :]
        places = row[:, None] * size + columns[None, :]
        left = tl.load(first + places, mask=inside).to(tl.float64) * one_weight[:, None]
        right = tl.load(second + places, mask=inside).to(tl.float64) * other_weight[:, None]
        tl.store(output + places, (left + right).to(tl.float32), mask=inside)


def variants() -> Iterator[Variant]:
    arguments = {"input": "*fp32", "output": "*fp64", "count": "i64"}
    yield Variant("partial_sums", partial_sums, arguments, {"BLOCK": 1024})
    arguments = {"sums": "*fp64", "output": "*fp32", "parts": "i32", "count": "i64"}
    yield Variant("mean", mean, arguments, {"BLOCK": 1024})
    for name, pointer in FLOATS.items():
        arguments = {"input": pointer, "output": "*u8", **SIZES, **strides("input")}
        yield Variant(f"all_finite_{name}", all_finite, arguments, {"ROWS": 32, "COLUMNS": 32})
        pointers = [argument for argument in merge_attention.arg_names if argument.islower()]
        arguments = dict.fromkeys(pointers, "*fp32") | {"second": pointer}
        arguments |= {"has_first_residue": "i32", "has_second_residue": "i32", "rows": "i64", "size": "i32"}
        constants = {"ROWS": 4, "COLUMNS": 128}
        yield Variant(f"merge_attention_{name}", merge_attention, arguments, constants, fusion=False)
    for size, word in WORDS.items():
        arguments = {"table": word, "rows": "*i64", "output": word, "channels": "i32", "table_row": "i64"}
        yield Variant(f"gather_{size}", gather, arguments, {"BLOCK": 1024})
