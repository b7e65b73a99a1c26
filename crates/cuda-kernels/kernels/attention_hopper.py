"""Scaled dot-product attention for compute capability 9.0, in CUDA C++ (attention_hopper.cu).

Triton's own code for 9.0 loads through registers and computes scores, weights and results one after the
other. What lets them overlap is chosen by hand here: which warps load and which compute, whose turn the
tensor cores are, how many registers each has, and blocks of 176 keys, which is no power of two.
"""

from collections.abc import Iterator, Mapping

from variant import CudaKernel, Variant

# Registers of 65,536 that a thread which loads and one which computes have, by how many warpgroups compute.
_REGISTERS = {2: (24, 240), 3: (32, 160)}


def _registers(first: int, count: int) -> str:
    return "{" + ", ".join(f"%{place}" for place in range(first, first + count)) + "}"


def _assembly(lines: list[str]) -> str:
    return "".join(f'      "{line}\\n"\n' for line in ("{", *lines, "}"))


def _scores(size: int, queries: int, keys: int, element: str) -> str:
    """start_scores: query · keyᵀ, of 64 rows in shared memory and a block of keys there."""
    count = keys // 2
    lines = [
        ".reg .pred none, all;",
        ".reg .b64 first, second;",
        "setp.ne.b32 none, 0, 0;",
        "setp.eq.b32 all, 0, 0;",
    ]
    for step in range(size // 16):
        # Descriptors count in 16 bytes: 16 channels are 32 bytes, 64 are a part.
        part, within = divmod(step, 4)
        lines += [
            f"add.s64 first, %{count}, {(part * queries * 128 + within * 32) // 16};",
            f"add.s64 second, %{count + 1}, {(part * keys * 128 + within * 32) // 16};",
            f"wgmma.mma_async.sync.aligned.m64n{keys}k16.f32.{element}.{element} {_registers(0, count)},"
            f" first, second, {'all' if step else 'none'}, 1, 1, 0, 0;",
        ]
    outputs = ", ".join(f'"=f"(scores[{place}])' for place in range(count))
    return f"""
__device__ __forceinline__ void start_scores(float (&scores)[{count}], u64 query, u64 keys) {{
  asm volatile(
{_assembly(lines)}      : {outputs}
      : "l"(query), "l"(keys)
      : "memory");
}}
"""


def _result(size: int, keys: int, element: str) -> str:
    """start_result: result += weights · values, of 64 rows in registers and a block in shared memory."""
    count, weights = size // 2, keys // 4
    lines = [".reg .pred all;", ".reg .b64 second;", "setp.eq.b32 all, 0, 0;"]
    for step in range(keys // 16):
        lines += [
            # 16 rows of values.
            f"add.s64 second, %{count + weights}, {16 * 128 * step // 16};",
            f"wgmma.mma_async.sync.aligned.m64n{size}k16.f32.{element}.{element} {_registers(0, count)},"
            f" {_registers(count + 4 * step, 4)}, second, all, 1, 1, 1;",
        ]
    outputs = ", ".join(f'"+f"(result[{place}])' for place in range(count))
    inputs = ", ".join(f'"r"(weights[{place}])' for place in range(weights))
    return f"""
__device__ __forceinline__ void start_result(
    float (&result)[{count}], const u32 (&weights)[{weights}], u64 values) {{
  asm volatile(
{_assembly(lines)}      : {outputs}
      : {inputs}, "l"(values)
      : "memory");
}}
"""


_DESCRIPTOR = """
// A tile in shared memory, as products are told of it: 128-byte rows, swizzled, 1024 bytes from 8 rows to
// the next 8, part_bytes from 64 channels to the next.
__device__ __forceinline__ u64 tile_descriptor(u32 address, u32 part_bytes) {
  return (u64)1 << 62 | (u64)(1024 >> 4) << 32 | (u64)(part_bytes >> 4) << 16 | address >> 4;
}
"""


def _headers(constants: Mapping[str, int]) -> dict[str, str]:
    """`products.h`, whose asynchronous products name every register."""
    size, queries, keys = (constants[name] for name in ("SIZE", "BLOCK_QUERIES", "BLOCK_KEYS"))
    element = "bf16" if constants["BFLOAT16"] else "f16"
    parts = (_DESCRIPTOR, _scores(size, queries, keys, element), _result(size, keys, element))
    return {"products.h": "".join(parts)}


def _threads(constants: Mapping[str, int]) -> int:
    return 128 + 2 * constants["BLOCK_QUERIES"]


def _shared(constants: Mapping[str, int]) -> int:
    """Bytes of queries, keys, values and barriers, from wherever a multiple of 1024 begins."""
    size, queries, keys = (constants[name] for name in ("SIZE", "BLOCK_QUERIES", "BLOCK_KEYS"))
    stages = constants["STAGES"]
    return 1023 + 2 * size * (queries + 2 * stages * keys) + 8 * (2 + 4 * stages)


flash_attention_hopper_kernel = CudaKernel(
    "flash_attention_hopper_kernel",
    "attention_hopper.cu",
    {
        "query": "tensormap",
        "key": "tensormap",
        "value": "tensormap",
        "output": "*u32",
        "rounded": "*fp32",
        "residue": "*fp32",
        "unit": "fp32",
        "heads": "i32",
        "queries": "i32",
        "keys": "i32",
        "tiles": "i32",
        "has_log_sum_exp": "i32",
    },
    _headers,
    _threads,
    _shared,
)

# By head size: (BLOCK_QUERIES, BLOCK_KEYS, TURNS), the first the one that is used, the others to be
# compared with it on a device.
_TILES = {
    128: ((128, 176, 1), (128, 128, 1), (128, 160, 1), (128, 176, 0)),
    64: ((192, 128, 1), (192, 128, 0), (128, 192, 1)),
}


def variants() -> Iterator[Variant]:
    """`pipelined_attention` by 16-bit float and head size; of bfloat16 with other tiles too."""
    for dtype in ("bf16", "f16"):
        for size, tiles in _TILES.items():
            for place, (queries, keys, turns) in enumerate(tiles):
                if place > 0 and dtype != "bf16":
                    continue
                producer, consumer = _REGISTERS[queries // 64]
                suffix = f"_{queries}x{keys}{'' if turns else '_free'}" if place > 0 else ""
                yield Variant(
                    f"pipelined_attention_{dtype}_{size}{suffix}",
                    flash_attention_hopper_kernel,
                    flash_attention_hopper_kernel.arguments,
                    {
                        "SIZE": size,
                        "BLOCK_QUERIES": queries,
                        "BLOCK_KEYS": keys,
                        "STAGES": 2,
                        "TURNS": turns,
                        "CONSUMER_REGISTERS": consumer,
                        "PRODUCER_REGISTERS": producer,
                        "BFLOAT16": int(dtype == "bf16"),
                    },
                    ("output",),
                    only=(90,),
                )
