"""Compiles every kernel for every target into `crates/cuda-kernels/generated`.

    python crates/cuda-kernels/kernels/compile.py            writes packs and manifest
    python crates/cuda-kernels/kernels/compile.py --check    says whether they are what the sources make
    python crates/cuda-kernels/kernels/compile.py --only movement    compiles one room, writes nothing

Needs Triton 3.9.0, NVRTC of CUDA 12.9 (nvrtc.py) and no GPU. What was compiled before from the same sources and options is taken
from a cache beside Cargo's output (`WAN_KERNEL_CACHE` says where else).
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType
from typing import Any

KERNELS = Path(__file__).resolve().parent
GENERATED = KERNELS.parent / "generated"
CACHE = Path(os.environ.get("WAN_KERNEL_CACHE") or KERNELS.parents[2] / "target/kernels")

os.environ.pop("TRITON_INTERPRET", None)
# Code must not depend on where its source lies.
os.environ["TRITON_DISABLE_LINE_INFO"] = "1"

import triton  # noqa: E402
from triton import knobs  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

import nvrtc  # noqa: E402
from variant import TARGETS, CudaKernel, Variant  # noqa: E402

TRITON = "3.9.0"
PROCESSES = 2
# Code from the assembler of CUDA 12.9 runs under drivers of CUDA 12 and 13; that which Triton takes
# for 9.0 and above is of CUDA 13, whose code drivers of CUDA 12 refuse.
PTX_VERSION = 88
# The PTX that other devices compile for themselves is of 8.0's compilation, and keeps to what drivers
# have known since CUDA 12.0.
PTX_OF = 80
# Kernels of CUDA C++ are for one target alone, and so is their PTX.
OLDEST_PTX_VERSION = 80
PTX = "ptx"
COMPRESSION = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]


def rooms(only: str | None = None) -> dict[str, ModuleType]:
    """The modules that have variants, by name: all, or one."""
    names = [only] if only else sorted(path.stem for path in KERNELS.glob("*.py"))
    modules = {name: importlib.import_module(name) for name in names if name not in ("compile", "variant")}
    return {name: module for name, module in modules.items() if hasattr(module, "variants")}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assembler() -> str:
    """The version of ptxas."""
    knobs.nvidia.ptxas_blackwell = knobs.nvidia.ptxas.path
    return knobs.nvidia.ptxas.version


def options(variant: Variant, capability: int) -> dict[str, Any]:
    return {
        "num_warps": variant.warps_for(capability),
        "num_stages": variant.stages_for(capability),
        "enable_fp_fusion": variant.fusion,
        "ptx_version": OLDEST_PTX_VERSION if capability == PTX_OF else PTX_VERSION,
    }


def source(variant: Variant, capability: int) -> ASTSource:
    names = variant.kernel.arg_names
    constants = variant.constants_for(capability)
    signature = {name: variant.arguments.get(name, "constexpr") for name in names}
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in variant.aligned}
    places = {(names.index(name),): value for name, value in constants.items()}
    return ASTSource(fn=variant.kernel, signature=signature, constexprs=places, attrs=attributes)


def cuda_source(variant: Variant, capability: int) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Text, headers and constants of a kernel of CUDA C++."""
    constants = variant.constants_for(capability)
    headers = {path.name: path.read_text() for path in sorted(KERNELS.glob("*.cuh"))}
    headers |= variant.kernel.headers(constants)
    return (KERNELS / variant.kernel.source).read_text(), headers, constants


def cache_key(variant: Variant, capability: int) -> str:
    if isinstance(variant.kernel, CudaKernel):
        parts = [*cuda_source(variant, capability), capability, nvrtc.PACKAGE, assembler()]
    else:
        parts = [
            source(variant, capability).hash(),
            sorted(options(variant, capability).items()),
            capability,
            triton.__version__,
            assembler(),
        ]
    return sha256(repr(parts).encode())


def by_triton(variant: Variant, capability: int) -> tuple[dict[str, Any], bytes, bytes, str]:
    """Facts, cubin and PTX that Triton makes, and what the assembler told."""
    told = io.StringIO()
    knobs.nvidia.dump_ptxas_log = True
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(told):
        os.environ["TRITON_CACHE_DIR"] = folder
        kernel = triton.compile(
            source(variant, capability),
            target=GPUTarget("cuda", capability, 32),
            options=options(variant, capability),
        )
    metadata = kernel.metadata
    if metadata.global_scratch_size or metadata.profile_scratch_size:
        raise ValueError("needs scratch memory, which launching doesn't pass")
    facts = {
        "entry": metadata.name,
        "threads": 32 * metadata.num_warps,
        "shared": metadata.shared,
    }
    return facts, kernel.asm["cubin"], kernel.asm["ptx"].encode(), told.getvalue()


def by_nvrtc(variant: Variant, capability: int) -> tuple[dict[str, Any], bytes, bytes, str]:
    """The same of CUDA C++, for what that compute capability alone has."""
    kernel = variant.kernel
    text, headers, constants = cuda_source(variant, capability)
    ptx = nvrtc.compile_ptx(kernel.source, text, headers, constants, f"compute_{capability}a")
    with tempfile.TemporaryDirectory() as folder:
        file, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        file.write_text(ptx)
        line = [knobs.nvidia.ptxas.path, "-v", f"--gpu-name=sm_{capability}a", file, "-o", cubin]
        done = subprocess.run(line, capture_output=True, text=True)
        told = done.stdout + done.stderr
        if done.returncode != 0:
            raise ValueError(told)
        if "serialized" in told:
            raise ValueError(f"its products wait for each other: {told}")
        facts = {
            "entry": kernel.name,
            "threads": kernel.threads(constants),
            "shared": kernel.shared(constants),
        }
        return facts, cubin.read_bytes(), ptx.encode(), told


def compiled(room: str, name: str, capability: int) -> tuple[dict[str, Any], bytes, bytes]:
    """A variant's facts, cubin and PTX for one target."""
    variant = next(variant for variant in rooms(room)[room].variants() if variant.name == name)
    place = CACHE / cache_key(variant, capability)
    facts = place.with_suffix(".json")
    if facts.exists():
        made = [place.with_suffix(kind).read_bytes() for kind in (".cubin", ".ptx")]
        return json.loads(facts.read_text()), made[0], made[1]
    make = by_nvrtc if isinstance(variant.kernel, CudaKernel) else by_triton
    result, cubin, ptx, told = make(variant, capability)

    def numbers(pattern: str) -> list[int]:
        return [int(number) for number in re.findall(pattern, told)]

    result["registers"] = max(numbers(r"Used (\d+) registers"))
    result["spilled"] = sum(numbers(r"(\d+) bytes spill stores"))
    # Facts last: whoever finds them finds the code.
    for suffix, data in ((".cubin", cubin), (".ptx", ptx), (".json", json.dumps(result).encode())):
        with tempfile.NamedTemporaryFile(dir=CACHE, delete=False) as file:
            file.write(data)
        os.replace(file.name, place.with_suffix(suffix))
    return result, cubin, ptx


def attempt(room: str, name: str, capability: int) -> tuple[dict[str, Any], bytes, bytes]:
    """`compiled`, with what went wrong told in words: causes don't pass between processes."""
    try:
        return compiled(room, name, capability)
    except Exception as error:
        causes = [error]
        while cause := causes[-1].__cause__:
            causes.append(cause)
        # The place in the kernel, then the reason.
        told = [str(cause) for cause in dict.fromkeys((causes[max(0, len(causes) - 2)], causes[-1]))]
        raise RuntimeError("\n".join([type(error).__name__, *told])) from None


def plain(value: Any) -> int | float | str:
    """A constant as JSON has it; Rust reads the numbers alone."""
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (int, float)) else str(value)


def compile_all(only: str | None) -> tuple[list[tuple[str, Variant]], dict, list[str]]:
    """Variants with their rooms, what they compiled to by name and capability, and what failed."""
    listed = [
        (room, variant)
        for room, module in rooms(only).items()
        for variant in module.variants()
    ]
    names = [variant.name for _, variant in listed]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SystemExit(f"names of several variants: {', '.join(repeated)}")
    results, failures = {}, {}
    with ProcessPoolExecutor(PROCESSES) as pool:
        jobs = {
            pool.submit(attempt, room, variant.name, capability): (variant.name, capability)
            for room, variant in listed
            for capability in variant.capabilities()
        }
        for job in as_completed(jobs):
            name, capability = jobs[job]
            if error := job.exception():
                failures.setdefault(f"{name}: {error}", []).append(TARGETS[capability])
            else:
                results[jobs[job]] = job.result()
            if sys.stderr.isatty():
                print(f"\r{len(results)} of {len(jobs)}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    told = [f"for {', '.join(targets)}: {failure}" for failure, targets in failures.items()]
    return listed, results, sorted(told)


def contents(listed: list[tuple[str, Variant]], results: dict) -> tuple[dict, dict[str, bytes]]:
    """The manifest, without the packs' hashes, and the packs' contents."""
    packs = {name: bytearray() for name in (*TARGETS.values(), PTX)}
    entries = []
    for room, variant in listed:
        targets = {}
        of_ptx = PTX_OF if PTX_OF in variant.capabilities() else variant.capabilities()[0]
        for capability in variant.capabilities():
            target = TARGETS[capability]
            facts, cubin, ptx = results[variant.name, capability]
            constants = {name: plain(value) for name, value in variant.constants_for(capability).items()}
            facts = {**facts, "stages": variant.stages_for(capability), "constants": constants}
            # The driver reads PTX up to its NUL.
            made = {target: cubin} | ({PTX: ptx + b"\0"} if capability == of_ptx else {})
            for pack, code in made.items():
                targets[pack] = {**facts, "offset": len(packs[pack]), "bytes": len(code)}
                packs[pack] += code
        entries.append(
            {
                "name": variant.name,
                "source": getattr(variant.kernel, "source", f"{room}.py"),
                "kernel": variant.function,
                "arguments": list(variant.arguments.items()),
                "aligned": list(variant.aligned),
                "fusion": variant.fusion,
                "targets": targets,
            }
        )
    manifest = {
        "triton": triton.__version__,
        "nvrtc": nvrtc.PACKAGE,
        "ptxas": assembler(),
        "sources": {
            path.name: sha256(path.read_bytes())
            for path in sorted(KERNELS.iterdir())
            if path.suffix in (".py", ".cu", ".cuh")
        },
        "packs": {name: {"bytes": len(data)} for name, data in packs.items()},
        "variants": entries,
    }
    return json.loads(json.dumps(manifest)), {name: bytes(data) for name, data in packs.items()}


def replace(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)


def write(manifest: dict, packs: dict[str, bytes]) -> None:
    GENERATED.mkdir(exist_ok=True)
    for name, data in packs.items():
        pack = lzma.compress(data, lzma.FORMAT_ALONE, filters=COMPRESSION)
        manifest["packs"][name]["sha256"] = sha256(pack)
        replace(GENERATED / f"{name}.lzma", pack)
    variants = manifest.pop("variants")
    head = json.dumps(manifest, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(variant) for variant in variants)
    replace(GENERATED / "manifest.json", f'{head},\n "variants": [\n{lines}\n ]\n}}\n'.encode())


def differences(manifest: dict, packs: dict[str, bytes]) -> list[str]:
    """What the generated files and the sources disagree on."""
    try:
        there = json.loads((GENERATED / "manifest.json").read_text())
    except FileNotFoundError:
        return ["there is no manifest.json"]
    found = []
    hashes = {name: pack.pop("sha256", None) for name, pack in there["packs"].items()}
    found += [f"manifest.json: {key}" for key in manifest if manifest[key] != there.get(key)]
    for name, data in packs.items():
        path = GENERATED / f"{name}.lzma"
        file = path.read_bytes() if path.exists() else b""
        if sha256(file) != hashes.get(name):
            found.append(f"{path.name}: its hash isn't the manifest's")
        elif lzma.decompress(file) != data:
            found.append(path.name)
    return found


def report(results: dict) -> None:
    for (name, capability), (facts, cubin, _) in sorted(results.items()):
        figures = f"{facts['registers']:4} registers {facts['shared']:7} shared {len(cubin):7} bytes"
        spilled = f", {facts['spilled']} bytes spilled" if facts["spilled"] else ""
        print(f"{name:40} {TARGETS[capability]:>5} {figures}{spilled}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", metavar="ROOM", help="compile one room, say its figures, write nothing")
    parser.add_argument("--check", action="store_true", help="compare generated files with the sources")
    arguments = parser.parse_args()
    if triton.__version__ != TRITON:
        raise SystemExit(f"kernels are compiled by Triton {TRITON}; this is {triton.__version__}")
    if arguments.only and not (KERNELS / f"{arguments.only}.py").exists():
        raise SystemExit(f"there is no {arguments.only}.py in {KERNELS}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listed, results, failures = compile_all(arguments.only)
        if failures:
            raise SystemExit("\n".join([f"{len(failures)} failed:", *failures]))
        if arguments.only:
            return report(results)
        manifest, packs = contents(listed, results)
        if arguments.check:
            if found := differences(manifest, packs):
                raise SystemExit("\n".join(["generated files aren't what the sources make:", *found]))
            return print(f"{len(listed)} variants are what the sources make")
        write(manifest, packs)
    sizes = {path.name: path.stat().st_size for path in sorted(GENERATED.iterdir())}
    print(f"{len(listed)} variants, {sum(sizes.values())} bytes: {sizes}")


if __name__ == "__main__":
    main()
