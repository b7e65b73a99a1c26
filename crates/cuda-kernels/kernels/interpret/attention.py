"""Attention against float64."""

import itertools
import math

import torch

from interpret import _bfloat16  # noqa: F401  (its import is its effect)
from interpret.problem import DTYPES, ROUNDING, constants, is_near, launch, named, poisoned, random

ROOM = "attention"
INFINITY, NAN = float("inf"), float("nan")


def strides(name: str, tensor: torch.Tensor) -> dict[str, int]:
    batch, row, head, _ = tensor.stride()
    return {f"{name}_batch_stride": batch, f"{name}_row_stride": row, f"{name}_head_stride": head}


def attend(name, query, key, value, scale, mask=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Launches a variant: its output, and the log-sum-exp in float64."""
    (batch, queries, heads, size), keys, blocks = query.shape, key.shape[1], constants(ROOM, name)
    output = poisoned(*query.shape, dtype=query.dtype)
    rounded = poisoned(batch, queries, heads, dtype=torch.float32)
    residue = poisoned(batch, queries, heads, dtype=torch.float32)
    tensors = {"query": query, "key": key, "value": value}
    places = {k: v for each, tensor in tensors.items() for k, v in strides(each, tensor).items()}
    sums = {"rounded": rounded, "residue": residue}
    sizes = {"heads": heads, "queries": queries, "keys": keys}
    programs = batch * heads * -(-queries // blocks["BLOCK_QUERIES"])
    if name.startswith("flash"):
        unit = scale / math.log(2)
        rest = {"output": output, **sums, "unit": unit, **sizes, **places, "has_log_sum_exp": 1}
        launch(ROOM, name, (programs,), **tensors, **rest)
    else:
        addend = torch.zeros(1) if mask is None else mask
        steps = (0, 0, 0, 0) if mask is None else mask.expand(batch, heads, queries, keys).stride()
        names = ("mask_batch_stride", "mask_head_stride", "mask_row_stride", "mask_key_stride")
        launch(
            ROOM,
            name,
            (programs * -(-size // blocks["BLOCK_COLUMNS"]),),
            **tensors,
            mask=addend,
            output=output,
            **sums,
            scale=scale,
            **sizes,
            size=size,
            **places,
            **dict(zip(names, steps)),
            has_mask=int(mask is not None),
            has_log_sum_exp=1,
        )
    finite = rounded.isfinite()
    assert bool((residue[~finite] == 0).all())
    assert bool((residue[finite].abs() <= 2.0**-24 * rounded[finite].abs()).all())
    return output, rounded.double() + residue.double()


def exactly(query, key, value, scale, mask=None) -> tuple[torch.Tensor, torch.Tensor]:
    """In float64: (output, log-sum-exp)."""
    scores = torch.einsum("bqhd,bkhd->bhqk", query.double(), key.double()) * scale
    if mask is not None:
        scores = scores + mask.double()
    highest = scores.amax(-1, keepdim=True) if scores.shape[-1] else scores.new_full((*scores.shape[:3], 1), -INFINITY)
    weights = (scores - highest.masked_fill(highest == -INFINITY, 0)).exp()
    sums = weights.sum(-1, keepdim=True)
    output = torch.einsum("bhqk,bkhd->bqhd", weights / sums, value.double())
    hidden = (highest == -INFINITY).squeeze(-1).transpose(1, 2)
    output[hidden] = 0
    return output, (highest + sums.log()).squeeze(-1).transpose(1, 2)


def check(name, query, key, value, scale=None, mask=None) -> None:
    """Refuses what isn't near; what isn't finite must be the same."""
    dtype = next(key for key, value in DTYPES.items() if value == query.dtype)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scale = float(torch.tensor(scale, dtype=torch.float32))
    output, sums = attend(name, query, key, value, scale, mask)
    exact, exact_sums = exactly(query, key, value, scale, mask)
    terms = torch.einsum("bqhd,bkhd->bhqk", query.double().abs(), key.double().abs()) * abs(scale)
    largest = float(terms[terms.isfinite()].max()) if terms.numel() else 0.0
    biggest = float(value[value.isfinite()].abs().max()) if value.numel() else 0.0
    # Probabilities are rounded to the type of the values. A score is a float32 sum of so many terms,
    # whose roundings add up like steps of a random walk, and its exponential is off by a few units.
    score_error = (4 + math.sqrt(query.shape[-1])) * 2.0**-24 * (1 + largest)
    for result, wanted, relative, absolute in (
        (output, exact, ROUNDING[dtype], (score_error + 2 * ROUNDING[dtype]) * biggest),
        (sums, exact_sums, 2.0**-24, score_error),
    ):
        known = wanted.isfinite()
        assert torch.equal(result.double()[~known].nan_to_num(7.5), wanted[~known].nan_to_num(7.5)), name
        is_near(result[known], wanted[known], relative, absolute)


def inputs(dtype, batch, queries, keys, heads, size, spread=1.0, offset=0.0):
    """Query, key and value as a layer that computes all three at once leaves them."""
    longest = max(queries, keys)
    fused = random(batch, longest, 3, heads, size, seed=queries + keys + size).mul_(spread).add_(offset)
    fused = fused.to(DTYPES[dtype])
    return fused[:, :queries, 0], fused[:, :keys, 1], (fused[:, :keys, 2].float() - offset).to(DTYPES[dtype]) / spread


def variants() -> list[tuple[str, str, int | None]]:
    """(variant, element type, head size that it is for or is tried with)."""
    general = [(f"attention_{dtype}", dtype, None) for dtype in DTYPES]
    aligned = [(f"attention_{dtype}_aligned", dtype, 48) for dtype in DTYPES if dtype != "f32"]
    flash = [(name, name.split("_")[2], int(name.split("_")[3])) for name in named(ROOM, "flash")]
    return flash + general + aligned


def general(dtype: str, size: int) -> list[str]:
    """The variants for heads of any size that take this one."""
    aligned = dtype != "f32" and size % 16 == 0
    return [f"attention_{dtype}", *([f"attention_{dtype}_aligned"] if aligned else [])]


def check_lengths() -> None:
    lengths = [(1, 1), (1, 64), (17, 1), (65, 63), (130, 33), (3, 129), (1, 257), (5, 0)]
    for (name, dtype, size), (queries, keys) in itertools.product(variants(), lengths):
        check(name, *inputs(dtype, 2, queries, keys, 3, size or 24))


def check_head_sizes() -> None:
    for dtype, size in itertools.product(DTYPES, (1, 8, 16, 33, 64, 80, 128, 129, 160, 255, 384)):
        for name in general(dtype, size):
            check(name, *inputs(dtype, 1, 9, 37, 2, size))


def check_large_scores() -> None:
    for name, dtype, size in variants():
        for settings in ({"spread": 8.0}, {"spread": 100.0}, {"offset": 8.0}):
            check(name, *inputs(dtype, 1, 17, 75, 2, size or 64, **settings))
        check(name, *inputs(dtype, 1, 17, 75, 2, size or 64), scale=100.0)


def check_scales() -> None:
    for dtype, scale in itertools.product(DTYPES, (0.0, -0.125, 0.3, 1.0)):
        for name in general(dtype, 32):
            check(name, *inputs(dtype, 1, 11, 45, 2, 32), scale=scale)


def check_what_is_not_finite() -> None:
    for (name, dtype, size), (which, spoiled) in itertools.product(
        variants(),
        itertools.product(("query", "key", "value"), (NAN, INFINITY, -INFINITY)),
    ):
        tensors = dict(zip(("query", "key", "value"), inputs(dtype, 1, 15, 35, 2, size or 16)))
        tensors[which][0, 6, 1, 5] = spoiled
        check(name, **tensors)


def masks(batch: int, heads: int, queries: int, keys: int):
    """Masks that repeat along other dimensions, with hidden keys, rows and heads, and the lowest number."""
    lowest = torch.finfo(torch.float32).min
    row, column = torch.arange(queries)[:, None], torch.arange(keys)[None, :]
    yield torch.where(column > row, -INFINITY, 0.0)[None, None]
    yield torch.where(column > row, lowest, 0.0)[None, None]
    yield torch.where((row % 3 == 0) & (column >= 0), lowest, 0.0)[None, None]
    yield torch.where((row % 3 == 0) | (column % 4 == 2), -INFINITY, 0.5)[None, None]
    yield torch.where(column < 33, -INFINITY, 0.0)[None, None]
    yield torch.tensor([-INFINITY] + [0.0] * (heads - 1)).view(1, heads, 1, 1)
    yield random(1, heads, 1, keys, seed=1)
    yield random(batch, heads, queries + 2, keys + 3, seed=2)[:, :, 1:-1, 2:-1]


def check_masks() -> None:
    for dtype in DTYPES:
        for mask in masks(2, 3, 19, 67):
            for name in general(dtype, 16):
                check(name, *inputs(dtype, 2, 19, 67, 3, 16), mask=mask)


def check_rows_do_not_see_each_other() -> None:
    for name, dtype, size in variants():
        query, key, value = inputs(dtype, 2, 150, 70, 2, size or 24)
        whole, sums = attend(name, query, key, value, 0.2)
        alone, its_sums = attend(name, query[1:, 140:145], key[1:], value[1:], 0.2)
        assert torch.equal(alone, whole[1:, 140:145]) and torch.equal(its_sums, sums[1:, 140:145])
