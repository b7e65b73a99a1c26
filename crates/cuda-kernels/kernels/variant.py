"""What is compiled of a kernel: its argument types, constants and options, for each target.

Every `kernels/<room>.py` has kernels, of Triton or of CUDA C++, and `variants()`, which yields the
`Variant`s that `compile.py` makes of them and Rust launches by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from triton.runtime.jit import JITFunction

# Compute capability -> the target's name in the manifest and in Rust.
TARGETS = {80: "8.0", 89: "8.9", 90: "9.0", 100: "10.0", 120: "12.0"}

# Types of arguments that Rust can pass.
POINTERS = {"*bf16", "*fp16", "*fp32", "*fp64", "*i8", "*u8", "*i16", "*i32", "*u32", "*i64"}
SCALARS = {"i32", "i64", "fp32", "tensormap"}

# Names of rooms' variants end in these for element types.
FLOATS = {"bf16": "*bf16", "f16": "*fp16", "f32": "*fp32"}
INTEGERS = {"i8": "*i8", "u8": "*u8", "i32": "*i32", "i64": "*i64"}


@dataclass(frozen=True)
class CudaKernel:
    """A function of CUDA C++ in `source`, whose constants are defined when it is compiled.

    `headers` gives the texts that the source includes, `threads` those of a block, `shared` the bytes of
    dynamic shared memory: each of the constants.
    """

    name: str
    source: str
    arguments: Mapping[str, str]
    headers: Callable[[Mapping[str, int]], dict[str, str]]
    threads: Callable[[Mapping[str, int]], int]
    shared: Callable[[Mapping[str, int]], int]

    @property
    def arg_names(self) -> list[str]:
        return list(self.arguments)


@dataclass(frozen=True)
class Variant:
    """One kernel as it is compiled for every target, or for those of `only`.

    `arguments` are in the kernel's order and leave out its constants. `aligned` names those that are
    multiples of 16 (pointers in bytes, integers in value), which launching checks. `targets` gives
    for a compute capability other `constants` (merged), `warps` or `stages`. `fusion` allows
    multiplications and additions to become one fused instruction.
    """

    name: str
    kernel: JITFunction | CudaKernel
    arguments: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    aligned: tuple[str, ...] = ()
    warps: int = 4
    stages: int = 2
    fusion: bool = True
    targets: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    only: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        def refuse(problem: str) -> None:
            raise ValueError(f"variant {self.name}: {problem}")

        names = list(self.kernel.arg_names)
        constants = set(self.constants)
        if list(self.arguments) != [name for name in names if name not in constants]:
            expected = [name for name in names if name not in constants]
            refuse(f"arguments are {list(self.arguments)}; {self.function} takes {expected}")
        is_cuda = isinstance(self.kernel, CudaKernel)
        if not is_cuda and (unknown := constants - set(names)):
            refuse(f"{self.function} takes no {sorted(unknown)}")
        if unknown := set(self.aligned) - set(self.arguments):
            refuse(f"aligned names no argument: {sorted(unknown)}")
        if unknown := set(self.arguments.values()) - POINTERS - SCALARS:
            refuse(f"Rust passes no {sorted(unknown)}")
        for capability, changes in self.targets.items():
            if capability not in TARGETS:
                refuse(f"{capability} is none of the targets {sorted(TARGETS)}")
            if unknown := set(changes) - {"constants", "warps", "stages"}:
                refuse(f"a target changes constants, warps or stages, not {sorted(unknown)}")
            if unknown := set(changes.get("constants", {})) - constants:
                refuse(f"target {capability} changes unknown constants {sorted(unknown)}")

    @property
    def function(self) -> str:
        """The name of its kernel."""
        return self.kernel.name if isinstance(self.kernel, CudaKernel) else self.kernel.__name__

    def capabilities(self) -> list[int]:
        """The compute capabilities that it is compiled for."""
        return [capability for capability in TARGETS if not self.only or capability in self.only]

    def constants_for(self, capability: int) -> dict[str, Any]:
        """The constants of one target."""
        return {**self.constants, **self.targets.get(capability, {}).get("constants", {})}

    def warps_for(self, capability: int) -> int:
        """The warps of one target."""
        return self.targets.get(capability, {}).get("warps", self.warps)

    def stages_for(self, capability: int) -> int:
        """The pipeline stages of one target."""
        return self.targets.get(capability, {}).get("stages", self.stages)
