"""Copies, casts and fills: elements come out as they went in, or as torch casts them."""

import itertools
import math

import torch

from interpret._places import SHAPES, apart, programs, repeated, sizes, strides
from interpret.problem import DTYPES, constants, launch, named, poisoned, random

ROOM = "movement"
INTEGERS = {"i32": torch.int32, "i64": torch.int64, "i8": torch.int8, "u8": torch.uint8}
WORDS = {"1": torch.int8, "2": torch.int16, "4": torch.int32, "8": torch.int64}
ALL = {**DTYPES, **INTEGERS}
# Rust's DType, in order.
ORDER = ["f32", "bf16", "f16", "i32", "i64", "i8", "u8"]
INFINITY, NAN = float("inf"), float("nan")
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 2.5, 126.9, 127.0, 127.5, 128.0, -128.0, -128.9, -129.0, 254.9]
SPECIAL += [255.0, 255.5, 256.0, -0.9, -1.0, 65519.0, 65520.0, 2147483520.0, 2147483648.0, -2147483648.0]
SPECIAL += [-2147483904.0, 3e9, 9.2233714871e18, 9.2233720368547758e18, -9.2233720368547758e18, 1e19, -1e19]
SPECIAL += [1e30, -1e30, 1e-40, 6e-8, 2.0**-133, 1.00390625, 1.01171875, INFINITY, -INFINITY, NAN]
WHOLE = [0, 1, -1, 127, 128, -128, -129, 255, 256, 2**24 + 1, 2**31 - 1, -(2**31), 2**31, 2**53 + 1]
WHOLE += [2**63 - 1, -(2**63), 0x1234_5678_9ABC_DEF0, 16777219, 2**40 + 2**16 + 1]


def integers(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Numbers that no two elements share, as far as the type goes."""
    return torch.arange(1, 1 + math.prod(shape)).mul(0x0101_0101_0103).reshape(shape).to(dtype)


def block_of(name: str) -> tuple[int, int]:
    return constants(ROOM, name)["ROWS"], constants(ROOM, name)["COLUMNS"]


def check_copy() -> None:
    """Between any strides, with what is beside the output left alone."""
    for (size, dtype), shape in itertools.product(WORDS.items(), SHAPES):
        for source in (apart(integers(*shape, dtype=dtype)), repeated(integers(*shape, dtype=dtype), 0)):
            around = poisoned(*(extent + 2 for extent in shape), dtype=dtype)
            output = around[tuple(slice(1, -1) for _ in shape)]
            places = strides("input", source) | strides("output", output)
            name = f"copy_{size}"
            grid = programs(shape, *block_of(name))
            launch(ROOM, name, grid, input=source, output=output, **sizes(shape), **places)
            assert torch.equal(output, source), (size, shape)
            output.fill_(85)
            assert torch.equal(around, poisoned(*around.shape, dtype=dtype)), (size, shape)


def check_copy_of_a_cut_run() -> None:
    """A long run as rows of a tile's columns, of which `count` cuts off the last."""
    rows, columns = block_of("copy_4")
    for length in (1, columns, columns + 1, rows * columns * 2 + 5):
        source = integers(length, 3, dtype=torch.int32)[:, 1]
        output = poisoned(length + 4, dtype=torch.int32)
        places = {"run": columns, "size1": 1, "size2": 1, "size3": -(-length // columns)}
        places |= {f"{operand}{dim}": 0 for operand in ("input", "output") for dim in range(3)}
        places |= {"input3": 3 * columns, "input4": 3, "output3": columns, "output4": 1}
        names = [*(f"input{dim}" for dim in range(5)), *(f"output{dim}" for dim in range(5))]
        ordered = {key: places[key] for key in ("run", "size1", "size2", "size3", *names)}
        grid = (-(-length // (rows * columns)),)
        launch(ROOM, "copy_4", grid, input=source, output=output, count=length, **ordered)
        assert torch.equal(output[:length], source)
        assert torch.equal(output[length:], poisoned(4, dtype=torch.int32))


def check_transpose() -> None:
    for (size, dtype), (rows, columns) in itertools.product(
        WORDS.items(), [(1, 1), (64, 32), (65, 33), (7, 130)]
    ):
        name = f"transpose_{size}"
        outer = (2, 1, 3)
        source = integers(*outer, columns, rows + 1, dtype=dtype)[..., :rows].transpose(-1, -2)
        output = poisoned(*outer, rows, columns + 2, dtype=dtype)[..., :columns]
        steps = {f"input{dim}": source.stride(dim) for dim in range(3)}
        steps |= {"input_column": source.stride(-1)}
        steps |= {f"output{dim}": output.stride(dim) for dim in range(3)}
        steps |= {"output_row": output.stride(-2)}
        tiles = [-(-extent // tile) for extent, tile in zip((rows, columns), block_of(name), strict=True)]
        counts = {"rows": rows, "columns": columns, "size1": outer[1], "size2": outer[2]}
        launch(ROOM, name, (6 * math.prod(tiles),), input=source, output=output, **counts, **steps)
        assert torch.equal(output, source), (size, rows, columns)


def cast(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What the CPU's copy makes of values: as Python's integers have it, where torch is undefined."""
    if dtype.is_floating_point:
        return values.float().to(dtype)
    limits = torch.iinfo(dtype)

    def whole(value: float | int) -> int:
        if isinstance(value, int):
            return (value - limits.min) % (limits.max - limits.min + 1) + limits.min
        if math.isnan(value):
            return 0
        return int(min(max(value, float(limits.min)), float(limits.max)))

    wholes = [min(whole(value), limits.max) for value in values.flatten().tolist()]
    return torch.tensor(wholes, dtype=dtype).reshape(values.shape)


def same(result: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal, signs of zeros included, or NaN both."""
    if not expected.dtype.is_floating_point:
        return torch.equal(result, expected)
    nan = expected.isnan()
    signs = torch.equal(result[~nan].signbit(), expected[~nan].signbit())
    return bool(result[nan].isnan().all()) and signs and torch.equal(result[~nan], expected[~nan])


def values_of(dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.cat([torch.tensor(SPECIAL).to(dtype), (random(90, seed=3) * 200).to(dtype)])
    limits = torch.iinfo(dtype)
    return torch.tensor([value for value in WHOLE if limits.min <= value <= limits.max] * 9, dtype=dtype)


def check_cast() -> None:
    """All element types to all, from elements apart."""
    for (source, dtype), target in itertools.product(ALL.items(), ORDER):
        values = values_of(dtype)
        input = apart(values[: values.numel() // 3 * 3].reshape(3, -1))
        output = poisoned(*input.shape, dtype=ALL[target])
        name = f"cast_{source}"
        grid = programs(tuple(input.shape), *block_of(name))
        places = {**sizes(tuple(input.shape)), **strides("input", input)}
        launch(ROOM, name, grid, input=input, output=output, dtype=ORDER.index(target), **places)
        assert same(output, cast(input, ALL[target])), (source, target)


def check_cast_flat() -> None:
    """Float types to others, in whole blocks and a rest."""
    for source, target in itertools.permutations(DTYPES, 2):
        name = f"cast_{source}_{target}"
        block = constants(ROOM, name)["BLOCK"]
        for count in (1, block, 2 * block + 77):
            input = values_of(DTYPES[source]).repeat(count // 100 + 1)[:count].clone()
            output = poisoned(count + 1, dtype=DTYPES[target])
            launch(ROOM, name, (-(-count // block),), input=input, output=output, count=count)
            assert same(output[:count], cast(input, DTYPES[target])), name
            assert output[count:].isnan().all()


def check_fill() -> None:
    for name in named(ROOM, "fill_"):
        dtype = ALL[name.removeprefix("fill_")]
        for value, count in itertools.product((1.0, -1.0, 3.140625, -0.0, INFINITY), (1, 1500)):
            if not dtype.is_floating_point:
                value = int(max(min(value, 100), -1)) % 256 if dtype == torch.uint8 else int(min(value, 9))
            output = poisoned(count + 3, dtype=dtype)
            block = constants(ROOM, name)["BLOCK"]
            launch(ROOM, name, (-(-count // block),), output=output, value=value, count=count)
            assert same(output[:count], torch.full((count,), value, dtype=dtype)), (name, value)
            assert same(output[count:], poisoned(3, dtype=dtype))
