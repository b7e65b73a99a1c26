"""What is compiled of a kernel: its argument types, constants and options, for each target.

Every `kernels/<room>.py` has Triton kernels and `variants()`, which yields the `Variant`s that
`compile.py` makes of them and Rust launches by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triton.runtime.jit import JITFunction

# Compute capability -> the target's name in the manifest and in Rust.
TARGETS = {80: "8.0", 89: "8.9", 90: "9.0", 100: "10.0", 120: "12.0"}

# Types of arguments that Rust can pass.
POINTERS = {"*bf16", "*fp16", "*fp32", "*fp64", "*i8", "*u8", "*i16", "*i32", "*i64"}
SCALARS = {"i32", "i64", "fp32"}

# Names of rooms' variants end in these for element types.
FLOATS = {"bf16": "*bf16", "f16": "*fp16", "f32": "*fp32"}
INTEGERS = {"i8": "*i8", "u8": "*u8", "i32": "*i32", "i64": "*i64"}


@dataclass(frozen=True)
class Variant:
    """One kernel as it is compiled for every target.

    `arguments` are in the kernel's order and leave out its constants. `aligned` names those that are
    multiples of 16 (pointers in bytes, integers in value), which launching checks. `targets` gives
    for a compute capability other `constants` (merged), `warps` or `stages`. `fusion` allows
    multiplications and additions to become one fused instruction.
    """

    name: str
    kernel: JITFunction
    arguments: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    aligned: tuple[str, ...] = ()
    warps: int = 4
    stages: int = 2
    fusion: bool = True
    targets: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def refuse(problem: str) -> None:
            raise ValueError(f"variant {self.name}: {problem}")

        names = list(self.kernel.arg_names)
        constants = set(self.constants)
        if list(self.arguments) != [name for name in names if name not in constants]:
            expected = [name for name in names if name not in constants]
            refuse(f"arguments are {list(self.arguments)}; {self.kernel.__name__} takes {expected}")
        if unknown := constants - set(names):
            refuse(f"{self.kernel.__name__} takes no {sorted(unknown)}")
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

    def constants_for(self, capability: int) -> dict[str, Any]:
        """The constants of one target."""
        return {**self.constants, **self.targets.get(capability, {}).get("constants", {})}

    def warps_for(self, capability: int) -> int:
        """The warps of one target."""
        return self.targets.get(capability, {}).get("warps", self.warps)

    def stages_for(self, capability: int) -> int:
        """The pipeline stages of one target."""
        return self.targets.get(capability, {}).get("stages", self.stages)
