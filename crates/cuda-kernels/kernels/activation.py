"""Activation functions, for any room.

The CPU's (`crates/cpu-kernels/src/math.rs`), polynomials and all, so that values are the same on both
to the last bit where multiplications aren't fused: instead of the device's approximate exponential,
whose error grows with its argument.
"""

import triton
import triton.language as tl

# 1.5 · 2²³: adding it to a small float32 leaves the nearest integer in the low bits, and those bits.
ROUND_F32 = tl.constexpr(12582912.0)
ROUND_BITS = tl.constexpr(0x4B400000)
# 1.5 · 2⁵²: the same for float64.
ROUND_F64 = tl.constexpr(6755399441055744.0)
# Where e^x is infinite, and where it is zero.
OVERFLOW = tl.constexpr(89.0)
UNDERFLOW = tl.constexpr(-104.0)
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
# ln 2 in two parts; the first has few enough bits that its product with an exponent is exact.
LN_2_HIGH = tl.constexpr(0.693359375)
LN_2_LOW = tl.constexpr(-2.12194440e-4)
# 2 √(2/π): (1 + tanh(u)) / 2 is sigmoid(2u).
TWICE_ROOT = tl.constexpr(1.5957691216057308)
ROOT_HALF = tl.constexpr(0.7071067811865476)

# What `activate` takes, as Rust's Activation numbers them.
NONE = 0
SILU = 1
GELU = 2
GELU_TANH = 3
QUICK_GELU = 4


@triton.jit
def held(value, low, high):
    """`value` within [low, high]; NaN stays."""
    value = tl.where(value > high, high, value)
    return tl.where(value < low, low, value)


@triton.jit
def scaled(value, exponent):
    """value · 2^exponent for exponents from -252 to 254, in two steps."""
    half = exponent >> 1
    first = ((half + 127) << 23).to(tl.float32, bitcast=True)
    second = ((exponent - half + 127) << 23).to(tl.float32, bitcast=True)
    return value * first * second


@triton.jit
def exp_of_parts(r, exponent):
    """e^r · 2^exponent for r within ± ln 2 / 2."""
    q = 1.3950524e-3 * r + 8.368908e-3
    q = q * r + 4.1666206e-2
    q = q * r + 1.6666518e-1
    q = q * r + 0.5
    return scaled(1.0 + (r + r * r * q), exponent)


@triton.jit
def exp_f32(x):
    """e^x of a float32, to a unit or two in the last place."""
    x = held(x, UNDERFLOW, OVERFLOW)
    shifted = x * LOG2_E + ROUND_F32
    whole = shifted - ROUND_F32
    r = x - whole * LN_2_HIGH - whole * LN_2_LOW
    return exp_of_parts(r, shifted.to(tl.int32, bitcast=True) - ROUND_BITS)


@triton.jit
def exp_of_f64(x):
    """e^x as float32, of a float64: half a unit in the last place of a float32 80 is 4e-6 of e^80."""
    x = held(x, UNDERFLOW, OVERFLOW)
    shifted = x * tl.full([], LOG2_E, tl.float64) + tl.full([], ROUND_F64, tl.float64)
    whole = shifted - tl.full([], ROUND_F64, tl.float64)
    r = (x - whole * tl.full([], LN_2, tl.float64)).to(tl.float32)
    return exp_of_parts(r, whole.to(tl.int32))


@triton.jit
def exp_of(x):
    if x.dtype == tl.float64:
        return exp_of_f64(x)
    else:
        return exp_f32(x)


@triton.jit
def sigmoid_from(exponential, negative):
    """1 / (1 + e^-y), from e^-|y| and whether y is negative."""
    return tl.div_rn(tl.where(negative, exponential, 1.0), 1.0 + exponential)


@triton.jit
def scaled_erfc(a):
    """erfc(a) · e^(a²) for 0 ≤ a ≤ 10, as a polynomial in (a - 2) / (a + 2), over 1 + 2a."""
    t = tl.div_rn(a - 2.0, a + 2.0)
    p = -3.9944667e-4 * t - 1.2279989e-3
    p = p * t + 1.3133071e-3
    p = p * t + 8.630094e-3
    p = p * t - 8.060142e-3
    p = p * t - 5.4203883e-2
    p = p * t + 1.6405542e-1
    p = p * t - 1.6603146e-1
    p = p * t - 9.276398e-2
    p = p * t + 1.2769784
    return tl.div_rn(p, 1.0 + 2.0 * a)


@triton.jit
def silu(x):
    """x · sigmoid(x)."""
    return x * sigmoid_from(exp_f32(-tl.abs(x)), x < 0.0)


@triton.jit
def gelu(x, EXACT: tl.constexpr):
    """x · Φ(x), with Φ the distribution function of the standard normal."""
    wide = x.to(tl.float64) if EXACT else x
    a = held(tl.abs(x) * ROOT_HALF, 0.0, 10.0)
    tail = 0.5 * exp_of(-0.5 * wide * wide) * scaled_erfc(a)
    return x * tl.where(x < 0.0, tail, 1.0 - tail)


@triton.jit
def gelu_tanh(x, EXACT: tl.constexpr):
    """x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2."""
    if EXACT:
        wide = x.to(tl.float64)
        cubic = tl.full([], 0.044715, tl.float64) * wide * wide
        twice = tl.full([], TWICE_ROOT, tl.float64) * wide * (1.0 + cubic)
    else:
        twice = TWICE_ROOT * x * (1.0 + 0.044715 * x * x)
    return x * sigmoid_from(exp_of(-tl.abs(twice)), x < 0.0)


@triton.jit
def quick_gelu(x, EXACT: tl.constexpr):
    """x · sigmoid(1.702 x)."""
    if EXACT:
        wide = tl.full([], 1.702, tl.float64) * x.to(tl.float64)
    else:
        wide = 1.702 * x
    return x * sigmoid_from(exp_of(-tl.abs(wide)), x < 0.0)


@triton.jit
def activate(x, kind, EXACT: tl.constexpr = False):
    """The activation of float32 values; `kind` is one of the numbers above.

    EXACT computes the exponents of GELUs in float64, for a relative error of 1e-6 in the farthest
    tails: without, it is 1e-5 where e^-80 is left of a value. Results that are rounded to 16 bits
    don't show it.
    """
    # By halves: equalities one after the other would become a table of addresses to jump to.
    if kind < 3:
        if kind < 1:
            result = x
        elif kind < 2:
            result = silu(x)
        else:
            result = gelu(x, EXACT)
    elif kind < 4:
        result = gelu_tanh(x, EXACT)
    else:
        result = quick_gelu(x, EXACT)
    return result
