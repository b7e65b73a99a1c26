"""Linear layers against float64."""

import itertools

import torch

from interpret import _bfloat16  # noqa: F401  (its import is its effect)
from interpret.problem import DTYPES, ROUNDING, constants, launch, named, poisoned, random

ROOM = "product"


def linear(name: str, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Launches a variant."""
    (rows, channels), columns, blocks = input.shape, weight.shape[0], constants(ROOM, name)
    output = poisoned(rows, columns, dtype=input.dtype)
    row_blocks, column_blocks = -(-rows // blocks["BLOCK_ROWS"]), -(-columns // blocks["BLOCK_COLUMNS"])
    launch(
        ROOM,
        name,
        (row_blocks * column_blocks,),
        input=input,
        weight=weight,
        bias=weight if bias is None else bias,
        output=output,
        rows=rows,
        columns=columns,
        channels=channels,
        input_stride=input.stride(0),
        has_bias=int(bias is not None),
    )
    return output


def near_sum(result: torch.Tensor, exact: torch.Tensor, magnitude: torch.Tensor, dtype: str, terms: int) -> None:
    """A sum of so many float32 products has as many roundings of its terms, then one to its type."""
    single = (terms + 2) * 2.0**-24 * magnitude
    allowed = single + ROUNDING[dtype] * (exact.abs() + single) + 2.0**-25
    error = (result.double() - exact).abs()
    assert bool((error <= allowed).all()), f"{(error - allowed).max()} beyond what is allowed"


def check_linear() -> None:
    ragged = [(1, 7, 3), (65, 129, 33), (3, 1, 257), (130, 70, 100)]
    aligned = [(1, 16, 16), (130, 272, 144), (129, 48, 64)]
    for dtype in DTYPES:
        for name in named(ROOM, f"linear_{dtype}"):
            whole = name.endswith("_aligned")
            for (rows, columns, channels), has_bias in itertools.product(aligned if whole else ragged, (True, False)):
                padding = 16 if whole else 5
                input = random(rows, channels + padding, seed=1, dtype=DTYPES[dtype])[:, :channels]
                weight = random(columns, channels, seed=2, dtype=DTYPES[dtype])
                bias = random(columns, seed=3, dtype=DTYPES[dtype]) if has_bias else None
                output = linear(name, input, weight, bias)
                exact, magnitude = input.double() @ weight.double().T, input.double().abs() @ weight.double().abs().T
                if bias is not None:
                    exact, magnitude = exact + bias.double(), magnitude + bias.double().abs()
                near_sum(output, exact, magnitude, dtype, channels)


def check_linear_of_nothing_is_the_bias() -> None:
    for dtype, torch_dtype in DTYPES.items():
        for name in named(ROOM, f"linear_{dtype}"):
            bias = random(32, seed=3, dtype=torch_dtype)
            output = linear(name, poisoned(5, 16, dtype=torch_dtype)[:, :0], poisoned(32, 0, dtype=torch_dtype), bias)
            assert torch.equal(output, bias.expand(5, 32))


def check_linear_rows_do_not_see_each_other() -> None:
    for dtype, torch_dtype in DTYPES.items():
        for name in named(ROOM, f"linear_{dtype}"):
            weight, input = random(48, 80, seed=2, dtype=torch_dtype), random(150, 80, seed=1, dtype=torch_dtype)
            clean = linear(name, input, weight, None)
            input[140, 3], input[7, 3] = float("nan"), float("inf")
            spoiled = linear(name, input, weight, None)
            assert spoiled[140].isnan().all() and not spoiled[7].isfinite().any()
            rest = [row for row in range(150) if row not in (7, 140)]
            assert torch.equal(spoiled[rest], clean[rest])
