"""Reductions over all elements, rows of tables, parts of attention put together."""

import itertools

import torch

from interpret._places import SHAPES, apart, programs, sizes, strides
from interpret.movement import WORDS, integers
from interpret.problem import DTYPES, constants, is_near, launch, poisoned, random

ROOM = "reduction"
INFINITY, NAN = float("inf"), float("nan")


def mean(input: torch.Tensor, programs: int) -> torch.Tensor:
    sums = poisoned(max(1, programs), dtype=torch.float64)
    output = poisoned(1, dtype=torch.float32)
    if programs:
        launch(ROOM, "partial_sums", (programs,), input=input, output=sums, count=input.numel())
    launch(ROOM, "mean", (1,), sums=sums, output=output, parts=programs, count=input.numel())
    return output


def check_mean() -> None:
    """Each block by a program, and several blocks by one; none of no elements."""
    block = constants(ROOM, "partial_sums")["BLOCK"]
    for count in (1, block - 1, block, 5 * block + 3):
        input = random(count, seed=count) + 0.25
        for parts in {-(-count // block), 1, min(3, -(-count // block))}:
            is_near(mean(input, parts), input.double().mean()[None], 2.0**-24, 0)
    assert mean(torch.empty(0), 0).isnan().all()
    assert mean(torch.tensor([1.0, INFINITY]), 1) == INFINITY


def check_all_finite() -> None:
    for (name, dtype), shape in itertools.product(DTYPES.items(), SHAPES):
        values = (random(*shape, seed=1) * 1000).to(dtype)
        for bad in (None, INFINITY, -INFINITY, NAN):
            for place in {0, values.numel() // 2, values.numel() - 1} if values.numel() else {0}:
                input = apart(values.clone())
                expected = 1
                if bad is not None and input.numel():
                    input[tuple(int(at) for at in torch.unravel_index(torch.tensor(place), shape))] = bad
                    expected = 0
                output = torch.ones(1, dtype=torch.uint8)
                block = constants(ROOM, f"all_finite_{name}")
                grid = programs(shape, block["ROWS"], block["COLUMNS"])
                places = {**sizes(shape), **strides("input", input)}
                launch(ROOM, f"all_finite_{name}", grid, input=input, output=output, **places)
                assert output == expected, (name, shape, bad)


def check_gather() -> None:
    for (size, dtype), channels in itertools.product(WORDS.items(), (1, 33, 1030)):
        table = integers(9, channels + 5, dtype=dtype)[:, :channels]
        rows = torch.tensor([8, 0, 3, 3, 1])
        output = poisoned(6, channels, dtype=dtype)
        blocks = -(-channels // constants(ROOM, f"gather_{size}")["BLOCK"])
        arguments = {"table": table, "rows": rows, "output": output, "channels": channels}
        launch(ROOM, f"gather_{size}", (5 * blocks,), **arguments, table_row=table.stride(0))
        assert torch.equal(output[:5], table[rows])
        assert torch.equal(output[5:], poisoned(1, channels, dtype=dtype))


def check_merge_attention() -> None:
    """Shares by the sums of exponentials, in float64; parts without keys; what isn't a number."""
    sums = torch.tensor([0.0, 1.5, -300.25, 80.0, 3.0, -INFINITY, -1.0, -INFINITY, NAN, 0.0, INFINITY])
    others = torch.tensor([0.0, -2.0, -301.5, 79.5, 90.0, 2.5, -INFINITY, -INFINITY, 0.0, NAN, 0.0])
    finite = torch.arange(11) < 8
    for (name, dtype), size in itertools.product(DTYPES.items(), (1, 64, 130)):
        for residues in itertools.product((False, True), repeat=2):
            first, second = random(11, size, seed=1), random(11, size, seed=2).to(dtype)
            rests = [random(11, seed=seed) * 1e-7 if given else None for seed, given in enumerate(residues)]
            output = poisoned(12, size, dtype=torch.float32)
            merged, residue = (poisoned(12, dtype=torch.float32) for _ in range(2))
            # A null pointer on a GPU; here memory that nobody may read.
            given = [torch.full((11,), NAN) if rest is None else rest for rest in rests]
            arguments = {"first": first, "first_sums": sums, "first_residue": given[0]}
            arguments |= {"second": second, "second_sums": others, "second_residue": given[1]}
            arguments |= {"output": output, "sums": merged, "residue": residue}
            arguments |= {"has_first_residue": int(residues[0]), "has_second_residue": int(residues[1])}
            rows = constants(ROOM, f"merge_attention_{name}")["ROWS"]
            grid = (-(-11 // rows),)
            launch(ROOM, f"merge_attention_{name}", grid, **arguments, rows=11, size=size)
            one, other = (
                part.double() + (0 if rest is None else rest.double())
                for part, rest in zip((sums, others), rests, strict=True)
            )
            exact = torch.logaddexp(one, other)
            shares = [(part - exact).exp().nan_to_num(0)[:, None] for part in (one, other)]
            expected = first.double() * shares[0] + second.double() * shares[1]
            expected[7] = 0
            is_near(output[:11][finite], expected[finite], 2.0**-24, 1e-13)
            assert merged[5] == (others[5].double() + (rests[1][5].double() if residues[1] else 0)).float()
            assert merged[7] == -INFINITY and bool((residue[5:8] == 0)[2])
            known = exact.isfinite()
            precise = merged[:11].double() + residue[:11].double()
            is_near(precise[known], exact[known], 2.0**-46, 1e-14)
            assert merged[8:11].isnan().all() and output[8:11].isnan().all()
            assert merged[11:].isnan().all() and output[11:].isnan().all()
