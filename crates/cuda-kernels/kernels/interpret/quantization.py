"""Quantization and dequantization, bit for bit against plain references in float32."""

import itertools

import numpy as np
import torch

from interpret.problem import DTYPES, constants, launch, poisoned, random
from quantization import nf4_value

ROOM = "quantization"
NAN = float("nan")
# As quantiles of a normal distribution, in bitsandbytes' own rounding.
VALUES = np.float32(
    """-1 -0.6961928 -0.52507305 -0.3949175 -0.28444138 -0.18477343 -0.091050036 0 0.0795803
    0.1609302 0.2461123 0.33791524 0.44070983 0.562617 0.72295684 1""".split()
)


def equal(result: torch.Tensor, expected: torch.Tensor) -> None:
    """Refuses other types and other values; NaN equals NaN."""
    assert result.dtype == expected.dtype
    torch.testing.assert_close(result, expected, rtol=0, atol=0, equal_nan=True)


def blocks_of(values: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Blocks of `size` consecutive elements, in float32."""
    return list(values.float().split(size))


def odd_values(count: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Normal numbers with a row of zeros, an infinity and a NaN among them where they fit in."""
    values = random(count, seed=seed, dtype=dtype)
    values[64:128] = 0
    values[200:201] = float("inf")
    values[300:301] = NAN
    values[400:464] *= 1e-42
    return values


def nf4_quantized(values: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed codes and scales, as bitsandbytes makes them on a CPU."""
    bounds = torch.from_numpy((VALUES[:-1] + VALUES[1:]) / np.float32(2))
    codes, scales = [], []
    for block in blocks_of(values, size):
        greatest = block.abs().max()
        divisor = torch.where(greatest < 1e-38, torch.tensor(1e-38), greatest)
        full = len(block) == size
        scaled = block * (1 / divisor) if full else block / divisor
        codes.append((scaled.clamp(-1, 1)[:, None] > bounds).sum(1))
        scales.append(greatest if full else divisor)
    together = torch.cat(codes + [torch.tensor([7])])
    pairs = together[: -(-len(values) // 2) * 2].view(-1, 2)
    return (pairs[:, 0] * 16 + pairs[:, 1]).to(torch.uint8), torch.stack(scales)


def check_nf4_values() -> None:
    import triton
    import triton.language as tl

    @triton.jit
    def store(output):
        code = tl.arange(0, 16)
        tl.store(output + code, nf4_value(code))

    output = poisoned(16, dtype=torch.float32)
    store[(1,)](output)
    equal(output, torch.from_numpy(VALUES))


def check_nf4() -> None:
    cases = [(1, 16), (129, 16), (1000, 32), (2048, 64), (4321, 64), (9000, 4096)]
    for (dtype, element), (count, size) in itertools.product(DTYPES.items(), cases):
        values = odd_values(count, element, seed=count)
        bytes, blocks = -(-count // 2), -(-count // size)
        packed = poisoned(bytes, dtype=torch.uint8)
        absmax = poisoned(blocks, dtype=torch.float32)
        name = f"nf4_quantize_{dtype}"
        launch(
            ROOM,
            name,
            (-(-blocks // constants(ROOM, name)["BLOCKS"]),),
            input=values,
            packed=packed,
            absmax=absmax,
            count=count,
            block_size=size,
        )
        expected = nf4_quantized(values, size)
        equal(packed, expected[0])
        equal(absmax, expected[1])

        codes = torch.stack([packed >> 4, packed & 15], 1).view(-1)[:count].long()
        scales = absmax.repeat_interleave(size)[:count]
        exact = (torch.from_numpy(VALUES)[codes] * scales).to(element)
        aligned = count % 32 == 0 and dtype != "f32"
        for name in [f"nf4_dequantize_{dtype}"] + [f"nf4_dequantize_{dtype}_aligned"] * aligned:
            output = poisoned(count, dtype=element)
            launch(
                ROOM,
                name,
                (-(-bytes // (8 * constants(ROOM, name)["GROUPS"])),),
                packed=packed,
                absmax=absmax,
                output=output,
                count=count,
                bytes=bytes,
                block_shift=size.bit_length() - 1,
            )
            equal(output, exact)


def check_int8() -> None:
    for (dtype, element), (rows, columns) in itertools.product(
        DTYPES.items(), [(1, 1), (7, 5), (3, 96), (2, 1536), (1, 5120)]
    ):
        values = random(rows, columns, seed=columns, dtype=element) * 3
        values.view(-1)[:4] = torch.tensor([127.0, 2.5, -3.5, 7e4])[: values.numel()]
        if rows > 2:
            values[1] = 0
            values[2, 1] = NAN
        codes = poisoned(rows, columns, dtype=torch.int8)
        absmax = poisoned(rows, dtype=torch.float32)
        launch(
            ROOM,
            f"int8_quantize_{dtype}",
            (rows,),
            input=values,
            codes=codes,
            absmax=absmax,
            columns=columns,
        )
        halves = values.float().half().float()
        greatest = halves.abs().nan_to_num(nan=0.0, posinf=float("inf")).amax(1)
        scaled = halves * (1 / greatest * 127)[:, None]
        equal(codes, scaled.round().nan_to_num(nan=0.0).to(torch.int8))
        equal(absmax, torch.where(halves.isnan().any(1), NAN, greatest))

        exact = (codes.float() * absmax[:, None] * np.float32(7.874015718698502e-3)).to(element)
        aligned = columns % 16 == 0 and dtype != "f32"
        for name in [f"int8_dequantize_{dtype}"] + [f"int8_dequantize_{dtype}_aligned"] * aligned:
            output = poisoned(rows, columns, dtype=element)
            launch(
                ROOM,
                name,
                (rows, -(-columns // constants(ROOM, name)["BLOCK"])),
                codes=codes,
                absmax=absmax,
                output=output,
                columns=columns,
            )
            equal(output, exact)


def check_blockwise() -> None:
    table = random(256, seed=1).tanh().sort().values
    table[0], table[-1] = -1, 1
    middles = 0.5 * (table[:-1] + table[1:])
    for count, size in [(1, 256), (1000, 256), (700, 3), (2000, 1024)]:
        values = odd_values(count, torch.float32, seed=count)
        blocks = -(-count // size)
        codes, absmax = poisoned(count, dtype=torch.uint8), poisoned(blocks, dtype=torch.float32)
        launch(
            ROOM,
            "blockwise_quantize",
            (blocks,),
            input=values,
            table=table,
            codes=codes,
            absmax=absmax,
            count=count,
            block_size=size,
        )
        expected, scales = [], []
        for block in blocks_of(values, size):
            greatest = block.abs().max()
            scaled = (block * (1 / greatest)).clamp(-1, 1)
            step = ((scaled + 1) * 0.5 * 65535 + 0.5).nan_to_num(nan=0.0).int().float()
            nearest = (middles < (-1 + 2 * step / 65535)[:, None]).sum(1)
            expected.append(torch.where(greatest == 0, 0, nearest).to(torch.uint8))
            scales.append(greatest)
        equal(codes, torch.cat(expected))
        equal(absmax, torch.stack(scales))

        output = poisoned(count, dtype=torch.float32)
        launch(
            ROOM,
            "blockwise_dequantize",
            (-(-count // constants(ROOM, "blockwise_dequantize")["BLOCK"]),),
            codes=codes,
            absmax=absmax,
            table=table,
            output=output,
            count=count,
            block_size=size,
        )
        equal(output, table[codes.long()] * absmax.repeat_interleave(size)[:count])
