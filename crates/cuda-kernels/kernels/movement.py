"""Moving elements: strided copies, casts, fills."""

from collections.abc import Iterator

import triton
import triton.language as tl

from variant import FLOATS, INTEGERS, Variant
from walk import SIZES, index, offsets, strides, tile

# What copies take elements of a size for.
WORDS = {"1": "*i8", "2": "*i16", "4": "*i32", "8": "*i64"}


@triton.jit
def copy(
    input, output, count, run, size1, size2, size3,
    input0, input1, input2, input3, input4, output0, output1, output2, output3, output4,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Elements from one walk's places to another's."""
    rows, columns, _, inside = tile(count, run, ROWS, COLUMNS)
    at0, at1, at2, at3 = index(rows, size1, size2, size3)
    source = offsets(at0, at1, at2, at3, columns, input0, input1, input2, input3, input4)
    target = offsets(at0, at1, at2, at3, columns, output0, output1, output2, output3, output4)
    tl.store(output + target, tl.load(input + source, mask=inside), mask=inside)


@triton.jit
def transpose(
    input, output, rows, columns, size1, size2,
    input0, input1, input2, input_column, output0, output1, output2, output_row,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Copies matrices (rows, columns), whose rows are along consecutive elements of the input and
    whose columns are along those of the output; up to three outer dimensions count the matrices."""
    row_tiles, column_tiles = tl.cdiv(rows, ROWS), tl.cdiv(columns, COLUMNS)
    place = tl.program_id(0)
    column = (place % column_tiles * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    place = place // column_tiles
    row = (place % row_tiles * ROWS + tl.arange(0, ROWS))[:, None]
    place = place // row_tiles
    at2 = place % size2
    at1 = place // size2 % size1
    at0 = place // size2 // size1
    source = input + at0 * input0 + at1 * input1 + at2 * input2 + row + column * input_column
    target = output + at0 * output0 + at1 * output1 + at2 * output2 + row * output_row + column
    inside = (row < rows) & (column < columns)
    tl.store(target, tl.load(source, mask=inside), mask=inside)


@triton.jit
def within(value, low, high):
    """A float held within [low, high]; 0 for NaN."""
    value = tl.where(value == value, value, 0.0)
    return tl.minimum(tl.maximum(value, low), high)


@triton.jit
def converted(value, TYPE: tl.constexpr):
    """A float32 or int64 as an element: floats become integers without their fraction and within
    their range, integers become narrower ones by their low bits."""
    if TYPE.is_floating():
        return value.to(tl.float32).to(TYPE)
    elif not value.dtype.is_floating():
        return value.to(TYPE)
    elif TYPE == tl.int8:
        return within(value, -128.0, 127.0).to(tl.int32).to(TYPE)
    elif TYPE == tl.uint8:
        return within(value, 0.0, 255.0).to(tl.int32).to(TYPE)
    elif TYPE == tl.int32:
        # The greatest float32 below 2³¹, and what is above it.
        result = within(value, -2147483648.0, 2147483520.0).to(TYPE)
        return tl.where(value >= 2147483648.0, 2147483647, result)
    else:
        tl.static_assert(TYPE == tl.int64)
        result = within(value, -9223372036854775808.0, 9223371487098961920.0).to(TYPE)
        return tl.where(value >= 9223372036854775808.0, 9223372036854775807, result)


@triton.jit
def store(output, places, value, inside, TYPE: tl.constexpr):
    tl.store(output.to(tl.pointer_type(TYPE)) + places, converted(value, TYPE), mask=inside)


@triton.jit
def store_as(output, places, value, inside, dtype):
    """Stores float32 or int64 in the element type that `dtype` numbers, as Rust's DType does."""
    # By halves: equalities one after the other would become a table of addresses to jump to.
    if dtype < 3:
        if dtype < 1:
            store(output, places, value, inside, tl.float32)
        elif dtype < 2:
            store(output, places, value, inside, tl.bfloat16)
        else:
            store(output, places, value, inside, tl.float16)
    elif dtype < 5:
        if dtype < 4:
            store(output, places, value, inside, tl.int32)
        else:
            store(output, places, value, inside, tl.int64)
    elif dtype < 6:
        store(output, places, value, inside, tl.int8)
    else:
        store(output, places, value, inside, tl.uint8)


@triton.jit
def cast(
    input, output, dtype, count, run, size1, size2, size3,
    input0, input1, input2, input3, input4,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Elements of any strides as another type, to consecutive places."""
    rows, columns, places, inside = tile(count, run, ROWS, COLUMNS)
    at0, at1, at2, at3 = index(rows, size1, size2, size3)
    source = offsets(at0, at1, at2, at3, columns, input0, input1, input2, input3, input4)
    value = tl.load(input + source, mask=inside)
    if value.dtype.is_floating():
        store_as(output, places, value.to(tl.float32), inside, dtype)
    else:
        store_as(output, places, value.to(tl.int64), inside, dtype)


@triton.jit
def cast_flat(input, output, count, BLOCK: tl.constexpr):
    """Floats as another float type, both consecutive."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    places = start + tl.arange(0, BLOCK)
    # Whole blocks apart: where no place is masked, accesses are of 16 bytes.
    if start + BLOCK <= count:
        value = tl.load(input + places).to(tl.float32)
        tl.store(output + places, value.to(output.dtype.element_ty))
    else:
        inside = places < count
        value = tl.load(input + places, mask=inside).to(tl.float32)
        tl.store(output + places, value.to(output.dtype.element_ty), mask=inside)


@triton.jit
def fill(output, value, count, BLOCK: tl.constexpr):
    """Consecutive elements of one value: a float32 for floats, for integers one by its lowest bits."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if output.dtype.element_ty.is_floating():
        block = tl.full([BLOCK], value, tl.float32)
    else:
        block = tl.full([BLOCK], value, tl.int64)
    tl.store(output + places, block.to(output.dtype.element_ty), mask=places < count)


def variants() -> Iterator[Variant]:
    tile_of = {"ROWS": 32, "COLUMNS": 32}
    for size, word in WORDS.items():
        arguments = {"input": word, "output": word}
        places = {**SIZES, **strides("input"), **strides("output")}
        yield Variant(f"copy_{size}", copy, arguments | places, tile_of)
        sizes = dict.fromkeys(("rows", "columns", "size1", "size2"), "i32")
        steps = ("input0", "input1", "input2", "input_column", "output0", "output1", "output2", "output_row")
        places = sizes | dict.fromkeys(steps, "i64")
        yield Variant(f"transpose_{size}", transpose, arguments | places, {"ROWS": 64, "COLUMNS": 32})
    for name, pointer in {**FLOATS, **INTEGERS}.items():
        arguments = {"input": pointer, "output": "*u8", "dtype": "i32", **SIZES, **strides("input")}
        yield Variant(f"cast_{name}", cast, arguments, tile_of)
        number = "fp32" if name in FLOATS else "i64"
        arguments = {"output": pointer, "value": number, "count": "i64"}
        yield Variant(f"fill_{name}", fill, arguments, {"BLOCK": 1024})
    for source in FLOATS:
        for target in FLOATS:
            if source != target:
                arguments = {"input": FLOATS[source], "output": FLOATS[target], "count": "i64"}
                aligned = ("input", "output")
                yield Variant(f"cast_{source}_{target}", cast_flat, arguments, {"BLOCK": 1024}, aligned)
