"""NVIDIA's run-time compiler as a library: CUDA C++ to PTX, without a toolkit and without a GPU.

`pip install nvidia-cuda-nvrtc-cu12==12.9.86`, or WAN_NVRTC names the library's file.
"""

import ctypes
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

# The last whose PTX the assembler of CUDA 12.9 takes.
VERSION = (12, 9)
PACKAGE = "nvidia-cuda-nvrtc-cu12==12.9.86"


class Failure(Exception):
    """What the compiler says."""


def _place() -> str:
    if place := os.environ.get("WAN_NVRTC"):
        return place
    spec = find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (found := Path(folder, "cuda_nvrtc/lib/libnvrtc.so.12")).exists():
            return str(found)
    raise Failure(f"there is no NVRTC of CUDA 12: pip install {PACKAGE}, or name its file in WAN_NVRTC")


def _open() -> ctypes.CDLL:
    library = ctypes.CDLL(_place())
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    if (found := (major.value, minor.value)) != VERSION:
        raise Failure(f"kernels are compiled by NVRTC of CUDA {VERSION}, this is of {found}: {PACKAGE}")
    return library


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> str:
    """What the compiler has to tell of a program: `PTX` or `ProgramLog`."""
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(max(1, size.value))
    getattr(library, f"nvrtcGet{what}")(program, text)
    return text.value.decode()


def compile_ptx(
    name: str, source: str, headers: Mapping[str, str], constants: Mapping[str, int], architecture: str
) -> str:
    """PTX of a source for an architecture such as `compute_90a`, with constants defined."""
    library = _open()
    options = [f"--gpu-architecture={architecture}", "--std=c++17"]
    options += [f"-D{constant}={value}" for constant, value in constants.items()]

    def array(texts: list[str]) -> ctypes.Array:
        return (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))

    program = ctypes.c_void_p()
    contents, names = array(list(headers.values())), array(list(headers))
    made = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), name.encode(), len(headers), contents, names
    )
    if made != 0:
        raise Failure(f"NVRTC can't read {name}: status {made}")
    try:
        status = library.nvrtcCompileProgram(program, len(options), array(options))
        if status != 0:
            raise Failure(_text(library, program, "ProgramLog"))
        return _text(library, program, "PTX")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
