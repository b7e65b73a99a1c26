"""Places of elements in strided tensors, for kernels that take any strides.

A tile has ROWS rows of COLUMNS positions of the last dimension, the run; rows count the positions of
up to four outer dimensions. Positions from `count` on are outside: so a run too long for a tile is
rows of COLUMNS positions that `count` cuts off. There are fewer than 2³¹ rows: 64-bit divisions, of
which a row takes three, would cost more than moving it.
"""

import triton
import triton.language as tl

SIZES = {"count": "i64", "run": "i32", "size1": "i32", "size2": "i32", "size3": "i32"}


def strides(operand: str) -> dict[str, str]:
    """An operand's strides, outermost first, and their types."""
    return {f"{operand}{dim}": "i64" for dim in range(5)}


@triton.jit
def tile(count, run, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """This program's rows (ROWS, 1) and columns (1, COLUMNS), the number of each element (ROWS,
    COLUMNS), and whether there is such an element."""
    tiles = tl.cdiv(run, COLUMNS)
    place = tl.program_id(0)
    rows = (place // tiles * ROWS + tl.arange(0, ROWS))[:, None]
    columns = (place % tiles * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    numbers = rows.to(tl.int64) * run + columns
    return rows, columns, numbers, (columns < run) & (numbers < count)


@triton.jit
def index(rows, size1, size2, size3):
    """A row's place along each outer dimension."""
    size1, size2, size3 = size1.to(tl.uint32), size2.to(tl.uint32), size3.to(tl.uint32)
    rows = rows.to(tl.uint32)
    rest3 = rows // size3
    rest2 = rest3 // size2
    rest1 = rest2 // size1
    return rest1, rest2 - rest1 * size1, rest3 - rest2 * size2, rows - rest3 * size3


@triton.jit
def offsets(at0, at1, at2, at3, columns, stride0, stride1, stride2, stride3, stride4):
    """The offsets of a tile's elements in one operand."""
    return at0 * stride0 + at1 * stride1 + at2 * stride2 + at3 * stride3 + columns * stride4
