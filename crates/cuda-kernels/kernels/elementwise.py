"""Arithmetic on elements: on two tensors, on one and numbers, and fused chains of them.

Floats are computed in float32 and rounded once, integers in int64 by their low bits. Nothing is
fused to one instruction that the CPU rounds twice: results are the same bits.
"""

from collections.abc import Iterator

import triton
import triton.language as tl

from activation import activate, held
from variant import FLOATS, INTEGERS, Variant
from walk import SIZES, index, offsets, strides, tile

TILE = {"ROWS": 32, "COLUMNS": 32}
# Tensors that one `weighted_sum` adds up.
TERMS = 8


@triton.jit
def load_wide(pointers, inside):
    """Elements as what arithmetic on them is done in."""
    value = tl.load(pointers, mask=inside)
    if value.dtype.is_floating():
        return value.to(tl.float32)
    else:
        return value.to(tl.int64)


@triton.jit
def divided(left, right):
    """left / right of floats; nobody divides integers."""
    if left.dtype.is_floating():
        return tl.div_rn(left, right)
    else:
        return left


@triton.jit
def combined(left, right, operation):
    """left ∘ right; operations as Rust's BinaryOperation numbers them. By halves: equalities one after
    the other would become a table of addresses to jump to."""
    if operation < 3:
        if operation < 1:
            result = left + right
        elif operation < 2:
            result = left - right
        else:
            result = left * right
    elif operation < 4:
        result = divided(left, right)
    elif operation < 5:
        result = tl.where((left > right) | (left != left), left, right)
    else:
        result = tl.where((left < right) | (left != left), left, right)
    return result


@triton.jit
def binary(
    left, right, output, operation, count, run, size1, size2, size3,
    left0, left1, left2, left3, left4, right0, right1, right2, right3, right4,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, columns, places, inside = tile(count, run, ROWS, COLUMNS)
    at0, at1, at2, at3 = index(rows, size1, size2, size3)
    lefts = left + offsets(at0, at1, at2, at3, columns, left0, left1, left2, left3, left4)
    rights = right + offsets(at0, at1, at2, at3, columns, right0, right1, right2, right3, right4)
    result = combined(load_wide(lefts, inside), load_wide(rights, inside), operation)
    tl.store(output + places, result.to(output.dtype.element_ty), mask=inside)


@triton.jit
def store_flat(output, places, value, inside, whole):
    value = value.to(output.dtype.element_ty)
    if whole:
        tl.store(output + places, value)
    else:
        tl.store(output + places, value, mask=inside)


@triton.jit
def binary_flat(left, right, output, operation, count, BLOCK: tl.constexpr):
    """Floats that are consecutive in all three."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    places = start + tl.arange(0, BLOCK)
    inside = places < count
    # Whole blocks apart: where no place is masked, accesses are of 16 bytes.
    whole = start + BLOCK <= count
    if whole:
        one, other = tl.load(left + places), tl.load(right + places)
    else:
        one, other = tl.load(left + places, mask=inside), tl.load(right + places, mask=inside)
    result = combined(one.to(tl.float32), other.to(tl.float32), operation)
    store_flat(output, places, result, inside, whole)


@triton.jit
def activated(value, kind, EXACT: tl.constexpr):
    """An activation of floats; integers have none."""
    if value.dtype.is_floating():
        return activate(value, kind, EXACT)
    else:
        return value


@triton.jit
def applied(value, operation, first, second, EXACT: tl.constexpr):
    """A function of one element: value ∘ first, value held within [first, second], or, from 7 on, an
    activation."""
    if operation < 6:
        result = combined(value, first, operation)
    elif operation < 7:
        result = held(value, first, second)
    else:
        result = activated(value, operation - 6, EXACT)
    return result


@triton.jit
def unary(
    input, output, operation, first, second, count, run, size1, size2, size3,
    input0, input1, input2, input3, input4,
    EXACT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, columns, places, inside = tile(count, run, ROWS, COLUMNS)
    at0, at1, at2, at3 = index(rows, size1, size2, size3)
    source = input + offsets(at0, at1, at2, at3, columns, input0, input1, input2, input3, input4)
    result = applied(load_wide(source, inside), operation, first, second, EXACT)
    tl.store(output + places, result.to(output.dtype.element_ty), mask=inside)


@triton.jit
def unary_flat(input, output, operation, first, second, count, EXACT: tl.constexpr, BLOCK: tl.constexpr):
    """Floats that are consecutive in both."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    places = start + tl.arange(0, BLOCK)
    inside = places < count
    whole = start + BLOCK <= count
    if whole:
        value = tl.load(input + places)
    else:
        value = tl.load(input + places, mask=inside)
    result = applied(value.to(tl.float32), operation, first, second, EXACT)
    store_flat(output, places, result, inside, whole)


@triton.jit
def gated_residual(
    residual, update, gate, output, count, run, size1, size2, size3,
    residual0, residual1, residual2, residual3, residual4,
    update0, update1, update2, update3, update4, gate0, gate1, gate2, gate3, gate4,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """residual + update · gate."""
    rows, columns, places, inside = tile(count, run, ROWS, COLUMNS)
    at0, at1, at2, at3 = index(rows, size1, size2, size3)
    residual += offsets(
        at0, at1, at2, at3, columns, residual0, residual1, residual2, residual3, residual4
    )
    update += offsets(at0, at1, at2, at3, columns, update0, update1, update2, update3, update4)
    gate += offsets(at0, at1, at2, at3, columns, gate0, gate1, gate2, gate3, gate4)
    result = load_wide(residual, inside) + load_wide(update, inside) * tl.load(gate, mask=inside)
    tl.store(output + places, result.to(output.dtype.element_ty), mask=inside)


@triton.jit
def gated_residual_rows(
    residual, update, gate, output, channels, tokens, gate_batch, gate_token, BLOCK: tl.constexpr
):
    """residual + update · gate, of consecutive (batch, tokens, channels) but for the gate, whose rows
    are consecutive and repeat along dimensions where its stride is 0."""
    blocks = tl.cdiv(channels, BLOCK)
    row = tl.program_id(0) // blocks
    columns = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = columns < channels
    places = row.to(tl.int64) * channels + columns
    gate += row // tokens * gate_batch + row % tokens * gate_token
    result = load_wide(residual + places, inside)
    result += load_wide(update + places, inside) * tl.load(gate + columns, mask=inside)
    tl.store(output + places, result.to(output.dtype.element_ty), mask=inside)


@triton.jit
def with_term(sum, input, bits, places, inside, term, terms):
    """sum + coefficient · input where there is such a term; the coefficient comes as its bits."""
    if term < terms:
        value = tl.load(input + places, mask=inside).to(tl.float64)
        sum += bits.to(tl.float64, bitcast=True) * value
    return sum


@triton.jit
def weighted_sum(
    input0, input1, input2, input3, input4, input5, input6, input7,
    bits0, bits1, bits2, bits3, bits4, bits5, bits6, bits7,
    output, carry, terms, first, last, count, BLOCK: tl.constexpr,
):  # fmt: skip
    """Σ coefficient · input in float64, in order, of as many as there are terms, of consecutive
    elements. Where it isn't the first it begins with what `carry` has, where it isn't the last it
    ends there."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < count
    sum = tl.zeros([BLOCK], tl.float64)
    if first == 0:
        sum = tl.load(carry + places, mask=inside)
    sum = with_term(sum, input0, bits0, places, inside, 0, terms)
    sum = with_term(sum, input1, bits1, places, inside, 1, terms)
    sum = with_term(sum, input2, bits2, places, inside, 2, terms)
    sum = with_term(sum, input3, bits3, places, inside, 3, terms)
    sum = with_term(sum, input4, bits4, places, inside, 4, terms)
    sum = with_term(sum, input5, bits5, places, inside, 5, terms)
    sum = with_term(sum, input6, bits6, places, inside, 6, terms)
    sum = with_term(sum, input7, bits7, places, inside, 7, terms)
    if last == 0:
        tl.store(carry + places, sum, mask=inside)
    else:
        tl.store(output + places, sum.to(tl.float32), mask=inside)


def variants() -> Iterator[Variant]:
    for name, pointer in {**FLOATS, **INTEGERS}.items():
        arguments = {"left": pointer, "right": pointer, "output": pointer, "operation": "i32"}
        places = {**SIZES, **strides("left"), **strides("right")}
        yield Variant(f"binary_{name}", binary, arguments | places, TILE, fusion=False)
        exact = {"EXACT": name == "f32"}
        number = "fp32" if name in FLOATS else "i64"
        inner = {"input": pointer, "output": pointer, "operation": "i32", "first": number, "second": number}
        places = {**SIZES, **strides("input")}
        yield Variant(f"unary_{name}", unary, inner | places, exact | TILE, fusion=False)
        if name not in FLOATS:
            continue
        aligned, block = ("left", "right", "output"), {"BLOCK": 1024}
        flat = arguments | {"count": "i64"}
        yield Variant(f"binary_flat_{name}", binary_flat, flat, block, aligned, fusion=False)
        aligned, flat = ("input", "output"), inner | {"count": "i64"}
        yield Variant(f"unary_flat_{name}", unary_flat, flat, exact | block, aligned, fusion=False)
        arguments = {"residual": pointer, "update": pointer, "gate": "*fp32", "output": pointer}
        places = {**SIZES, **strides("residual"), **strides("update"), **strides("gate")}
        yield Variant(f"gated_residual_{name}", gated_residual, arguments | places, TILE, fusion=False)
        places = {"channels": "i32", "tokens": "i32", "gate_batch": "i64", "gate_token": "i64"}
        aligned = (*arguments, "channels", "gate_batch", "gate_token")
        yield Variant(
            f"gated_residual_rows_{name}", gated_residual_rows, arguments | places, block, aligned, fusion=False
        )
    arguments = {f"input{term}": "*fp32" for term in range(TERMS)}
    arguments |= {f"bits{term}": "i64" for term in range(TERMS)} | {"output": "*fp32", "carry": "*fp64"}
    arguments |= dict.fromkeys(("terms", "first", "last"), "i32") | {"count": "i64"}
    yield Variant("weighted_sum", weighted_sum, arguments, {"BLOCK": 512}, fusion=False)
