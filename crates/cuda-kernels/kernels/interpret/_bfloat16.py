"""Triton's interpreter made right for bfloat16, which NumPy hasn't got.

It keeps bfloat16 as its bits, multiplies matrices of the bits, rounds half away from zero without the
carry into the exponent, and takes subnormal numbers for zero. Importing this replaces all of it by what
the device does.
"""

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

_convert = interpreter._convert_float
_dot = interpreter.InterpreterBuilder.create_dot


def widened(bits: np.ndarray) -> np.ndarray:
    """float32 of bfloat16 bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrowed(values: np.ndarray) -> np.ndarray:
    """The bits of float32 numbers rounded to bfloat16, to nearest and ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def convert(values, source, target, rounding_mode):
    if source == tl.float32 and target == tl.bfloat16:
        return narrowed(values).reshape(values.shape)
    if source == tl.bfloat16 and target == tl.float32:
        return widened(values)
    return _convert(values, source, target, rounding_mode)


def dot(self, a, b, sums, input_precision, max_num_imprecise_acc):
    if a.dtype.scalar == tl.bfloat16:
        a = interpreter.TensorHandle(widened(a.data), tl.float32)
        b = interpreter.TensorHandle(widened(b.data), tl.float32)
    return _dot(self, a, b, sums, input_precision, max_num_imprecise_acc)


interpreter._convert_float = convert
interpreter.InterpreterBuilder.create_dot = dot
