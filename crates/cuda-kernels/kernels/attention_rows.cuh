// What a thread of a consumer does with its two rows of a block's scores: 16-bit weights from them, and at
// the end their log-sum-exp. Compiled with BLOCK_KEYS and BFLOAT16 defined.

#pragma once

#include "hopper.cuh"

// Two floats rounded to 16 bits, the first in the lower half.
DEVICE u32 packed(float first, float second) {
  u32 result;
#if BFLOAT16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
#endif
  return result;
}

// What a thread knows of its two rows, which it shares with the three other threads of its quad: row
// lane / 4 of its warp's 16, and the one 8 below. sum is of this thread's columns.
struct Rows {
  float maximum[2] = {-infinity(), -infinity()};
  float sum[2] = {0.0f, 0.0f};

  // Keeps the assembler from waiting for products before the weights are computed, whose order it is
  // free to choose: what is waited for stands behind a store that hangs on the sums. No sum is negative,
  // so nothing is ever stored.
  DEVICE void hold(u32 memory) const {
    asm volatile(
        "{\n"
        ".reg .pred never;\n"
        "setp.lt.f32 never, %0, 0f00000000;\n"
        "@never st.volatile.shared.u32 [%1], 0;\n"
        "}" ::"f"(sum[0] + sum[1]), "r"(memory) : "memory");
  }
};

// Turns scores into weights, exp2(score · unit - maximum); gives the factors for what was summed
// before. A thread's scores are of columns 8 j + 2 (lane % 4) and the next, of the first row, then of
// the second.
DEVICE void weigh(float (&scores)[BLOCK_KEYS / 2], Rows& rows, float (&factor)[2], float unit) {
  // By row, and by even and odd column: four chains that don't wait for each other.
  float top[4] = {-infinity(), -infinity(), -infinity(), -infinity()};
#pragma unroll
  for (int place = 0; place < BLOCK_KEYS / 2; ++place) {
    top[place % 4] = fmaxf(top[place % 4], scores[place]);
  }
  float level[2];
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const float most = quad_max(fmaxf(top[2 * row], top[2 * row + 1]));
    const float highest = fmaxf(rows.maximum[row], most * unit);
    // With minus infinity for every score so far, minus infinity less itself would be NaN.
    level[row] = highest == -infinity() ? 0.0f : highest;
    factor[row] = exp2_of(rows.maximum[row] - level[row]);
    rows.maximum[row] = highest;
  }
  float total[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int place = 0; place < BLOCK_KEYS / 2; ++place) {
    scores[place] = exp2_of(fmaf(scores[place], unit, -level[place / 2 % 2]));
    total[place % 4] += scores[place];
  }
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    rows.sum[row] = fmaf(rows.sum[row], factor[row], total[2 * row] + total[2 * row + 1]);
  }
}

// Scores of keys past the end become minus infinity.
DEVICE void mask(float (&scores)[BLOCK_KEYS / 2], int remaining) {
  const int column = 2 * (threadIdx.x % 4);
#pragma unroll
  for (int place = 0; place < BLOCK_KEYS / 2; ++place) {
    const int key = 8 * (place / 4) + column + place % 2;
    if (key >= remaining) scores[place] = -infinity();
  }
}

// The weights as the first matrix of a product with the values.
DEVICE void pack(u32 (&weights)[BLOCK_KEYS / 4], const float (&scores)[BLOCK_KEYS / 2]) {
#pragma unroll
  for (int pair = 0; pair < BLOCK_KEYS / 4; ++pair) {
    weights[pair] = packed(scores[2 * pair], scores[2 * pair + 1]);
  }
}

// ln x in float64 of a positive normal float32, to a relative 1e-13. With x = 2ⁿ · m, m within
// [√½, √2), and z = (m - 1) / (m + 1), ln x = n · ln 2 + 2 · artanh z, of which eight terms are taken.
DEVICE double logarithm(float x) {
  const int bits = __float_as_int(x);
  // 0x3F3504F3 is √½; the difference's upper bits are n, which rounds down.
  const int exponent = (bits - 0x3F3504F3) >> 23;
  const double mantissa = __int_as_float(bits - (exponent << 23));
  const double z = (mantissa - 1.0) / (mantissa + 1.0);
  const double square = z * z;
  double series = square * (1.0 / 17.0) + 1.0 / 15.0;
  series = series * square + 1.0 / 13.0;
  series = series * square + 1.0 / 11.0;
  series = series * square + 1.0 / 9.0;
  series = series * square + 1.0 / 7.0;
  series = series * square + 1.0 / 5.0;
  series = series * square + 1.0 / 3.0;
  series = series * square + 1.0;
  return exponent * 0.6931471805599453 + 2.0 * z * series;
}

// Writes maximum · ln 2 + ln sum in two float32, the second what rounding took from the first. Minus
// infinity where sum is 0; the residue of what isn't finite is 0.
DEVICE void store_log_sum_exp(float* rounded, float* residue, float maximum, float sum) {
  const double exact = maximum * 0.6931471805599453 + logarithm(sum);
  const float first = sum == 0.0f ? -infinity() : sum == sum ? (float)exact : sum;
  const bool finite = fabsf(first) < infinity();
  *rounded = first;
  *residue = finite ? (float)(exact - first) : 0.0f;
}

// Transposes four words of each of the four threads of a quad.
DEVICE void transpose(u32 (&words)[4]) {
  const bool right = threadIdx.x & 1;
  const bool lower = threadIdx.x & 2;
#pragma unroll
  for (int place = 0; place < 2; ++place) {
    u32& above = words[place];
    u32& below = words[place + 2];
    const u32 other = __shfl_xor_sync(~0u, lower ? above : below, 2);
    (lower ? above : below) = other;
  }
#pragma unroll
  for (int place = 0; place < 4; place += 2) {
    u32& even = words[place];
    u32& odd = words[place + 1];
    const u32 other = __shfl_xor_sync(~0u, right ? even : odd, 1);
    (right ? even : odd) = other;
  }
}
