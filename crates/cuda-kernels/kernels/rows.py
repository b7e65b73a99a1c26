"""What kernels that treat a row (the last dimension) as a whole have in common."""

import triton
import triton.language as tl


# Elements of a 16-byte vector of the smallest floats: those that a thread has side by side.
NEIGHBOURS = tl.constexpr(8)


@triton.constexpr_function
def _halvings(size):
    return size.bit_length() - 1


@triton.jit
def row_sum(tile):
    """The sum of each row of a tile: eight neighbours by halves, then their sums by halves.

    The order is written down so that it is no matter of the tile's layout over threads, which
    changes with alignment, element type and architecture. Rows have a power of two of elements.
    """
    for _ in tl.static_range(_halvings(NEIGHBOURS)):
        tile = tl.sum(tl.reshape(tile, [tile.shape[0], tile.shape[1] // 2, 2]), axis=2)
    for _ in tl.static_range(_halvings(tile.shape[1])):
        tile = tl.sum(tl.reshape(tile, [tile.shape[0], 2, tile.shape[1] // 2]), axis=1)
    return tl.reshape(tile, [tile.shape[0]])


@triton.jit
def row_offsets(row, size1, size2, stride0, stride1, stride2):
    """Where rows begin: `row` counts through three dimensions, the last two of size1 and size2."""
    row, size1, size2 = row.to(tl.uint32), size1.to(tl.uint32), size2.to(tl.uint32)
    outer = row // size2
    place0 = outer // size1
    return place0 * stride0 + (outer - place0 * size1) * stride1 + (row - outer * size2) * stride2


@triton.jit
def parameter(pointer, kind, stride, columns, channels, absent, CONSECUTIVE: tl.constexpr):
    """Columns of a parameter (channels) whose elements are `stride` apart, in float32.

    Kind 0 has no elements, each is `absent`; 1 has 16-bit ones of the pointer's type, 2 float32.
    """
    places = columns if CONSECUTIVE else columns * stride
    mask = columns < tl.where(kind == 2, channels, 0)
    wide = pointer.to(tl.pointer_type(tl.float32)) + places
    values = tl.load(wide, mask=mask, other=absent)
    if pointer.dtype.element_ty != tl.float32:
        mask = columns < tl.where(kind == 1, channels, 0)
        narrow = tl.load(pointer + places, mask=mask, other=absent)
        values = tl.where(kind == 1, narrow.to(tl.float32), values)
    return values
