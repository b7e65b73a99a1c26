// Scaled dot-product attention for compute capability 9.0: softmax(scale · query · keyᵀ) · value.
//
// A block of threads is a warpgroup that loads, which is one thread's work, and others that compute 64
// query rows each, BLOCK_QUERIES in all (FlashAttention-3: Shah et al. 2024). Blocks of keys and values
// come through rings of STAGES tiles in shared memory, copied by the tensor memory accelerator. A
// consumer starts the scores of the next block before the weights of this one have met their values,
// and consumers take turns (TURNS) to start products, so that the tensor cores multiply while others
// exponentiate. Blocks of threads go from tile to tile: the next queries come while results are written.
//
// Blocks of keys are cut from key 0 with a fixed length, and a row's sums run over them in order, so a
// row depends on no other row, head or batch, nor on how many blocks of threads there are.
//
// Compiled with the constants of attention_hopper.py, which also makes `products.h`.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#include "products.h"

constexpr int WARPGROUP = 128;
constexpr int CONSUMER_ROWS = 64;
constexpr int CONSUMERS = BLOCK_QUERIES / CONSUMER_ROWS;
constexpr int THREADS = (1 + CONSUMERS) * WARPGROUP;

// Tiles lie in parts of 64 channels, rows of 128 bytes, whose 16-byte pieces are swizzled over 8 rows.
constexpr int PARTS = SIZE / 64;
constexpr u32 QUERY_PART = BLOCK_QUERIES * 128;
constexpr u32 KEY_PART = BLOCK_KEYS * 128;
constexpr u32 QUERY_BYTES = PARTS * QUERY_PART;
constexpr u32 KEY_BYTES = PARTS * KEY_PART;

// Places in shared memory, from a multiple of 1024 on.
constexpr u32 KEYS_AT = QUERY_BYTES;
constexpr u32 VALUES_AT = KEYS_AT + STAGES * KEY_BYTES;
constexpr u32 BARRIERS_AT = VALUES_AT + STAGES * KEY_BYTES;
constexpr u32 QUERY_FULL = BARRIERS_AT;
constexpr u32 QUERY_EMPTY = QUERY_FULL + 8;
constexpr u32 KEY_FULL = QUERY_EMPTY + 8;
constexpr u32 KEY_EMPTY = KEY_FULL + 8 * STAGES;
constexpr u32 VALUE_FULL = KEY_EMPTY + 8 * STAGES;
constexpr u32 VALUE_EMPTY = VALUE_FULL + 8 * STAGES;

// A CUtensorMap of (batch, rows, heads, SIZE), channels first, in boxes of 64 channels of one head.
struct alignas(64) TensorMap {
  char opaque[128];
};

#define DEVICE __device__ __forceinline__

DEVICE float infinity() { return __int_as_float(0x7f800000); }

DEVICE float exp2_of(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

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

// Barriers of shared memory, by address. A phase is over when all have arrived and all bytes are there.

DEVICE void make_barrier(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

DEVICE void arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

DEVICE void arrive_expecting(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

// Waits for the end of the phase of that parity, which is that of the phase before where it is over.
DEVICE void await(u32 barrier, u32 parity) {
  u32 over;
  do {
    asm volatile(
        "{\n"
        ".reg .pred over;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.b32 %0, 1, 0, over;\n"
        "}"
        : "=r"(over)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!over);
}

// A place in a ring of STAGES tiles, and the parity of its round.
struct Ring {
  u32 stage = 0;
  u32 parity = 0;

  DEVICE void advance() {
    if (++stage == STAGES) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// Copies a box of 64 channels, one head and as many rows as its map says to shared memory; rows past
// the end are zeros.
DEVICE void load_box(
    u32 target, const TensorMap& map, u32 barrier, int channel, int head, int row, int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(target),
      "l"(&map), "r"(barrier), "r"(channel), "r"(head), "r"(row), "r"(batch)
      : "memory");
}

DEVICE void load_tile(
    u32 target, u32 part_bytes, const TensorMap& map, u32 barrier, int head, int row, int batch) {
#pragma unroll
  for (int part = 0; part < PARTS; ++part) {
    load_box(target + part * part_bytes, map, barrier, 64 * part, head, row, batch);
  }
}

// Where a tile of queries is, of `tiles` in all: rows of a head follow each other, so that what runs at
// the same time reads the same keys.
struct Place {
  int block;
  int head;
  int batch;

  DEVICE Place(int tile, int query_blocks, int heads) {
    block = tile % query_blocks;
    head = tile / query_blocks % heads;
    batch = tile / query_blocks / heads;
  }
};

// Consumers start products in turns: barrier 1 + consumer is passed when its turn has come.
DEVICE void take_turn(int consumer) {
  if (!TURNS) return;
  asm volatile("bar.sync %0, %1;" ::"r"(1 + consumer), "n"(2 * WARPGROUP) : "memory");
}

DEVICE void pass_turn(int consumer) {
  if (!TURNS) return;
  const int next = consumer == CONSUMERS - 1 ? 0 : consumer + 1;
  asm volatile("bar.arrive %0, %1;" ::"r"(1 + next), "n"(2 * WARPGROUP) : "memory");
}

DEVICE void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until no more than PENDING groups of products are under way.
template <int PENDING>
DEVICE void await_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// Keeps the compiler from using registers before this place: products write them unseen.
template <int COUNT>
DEVICE void settle(float (&values)[COUNT]) {
#pragma unroll
  for (int place = 0; place < COUNT; ++place) asm volatile("" : "+f"(values[place])::"memory");
}

DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
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

// Writes a consumer's rows: result / sum.
DEVICE void store(
    const float (&result)[SIZE / 2],
    const Rows& rows,
    int first_row,
    const Place& place,
    int queries,
    int heads,
    u32* output,
    float* rounded,
    float* residue,
    bool has_log_sum_exp) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int which = 0; which < 2; ++which) {
    const float sum = quad_sum(rows.sum[which]);
    const float factor = 1.0f / sum;
    const int row = first_row + lane / 4 + 8 * which;
    const i64 index = ((i64)place.batch * queries + row) * heads + place.head;
    u32* const target = output + index * (SIZE / 2) + lane % 4 * 4;
#pragma unroll
    for (int group = 0; group < SIZE / 32; ++group) {
      u32 words[4];
#pragma unroll
      for (int tile = 0; tile < 4; ++tile) {
        const float* const pair = &result[16 * group + 4 * tile + 2 * which];
        words[tile] = sum == 0.0f ? 0 : packed(pair[0] * factor, pair[1] * factor);
      }
      transpose(words);
      if (row < queries) {
        *(uint4*)(target + 16 * group) = make_uint4(words[0], words[1], words[2], words[3]);
      }
    }
    if (has_log_sum_exp && row < queries && lane % 4 == 0) {
      store_log_sum_exp(rounded + index, residue + index, rows.maximum[which], sum);
    }
  }
}

// What a consumer works with.
struct Consumer {
  int index;
  u32 memory;
  u64 query;
  float unit;
  // Keys of the last block.
  int remaining;
  Ring key;
  Ring value;
  Rows rows;
  float result[SIZE / 2];
  u32 weights[BLOCK_KEYS / 4];

  DEVICE u64 keys() const { return tile_descriptor(memory + KEYS_AT + key.stage * KEY_BYTES, KEY_PART); }
  DEVICE u64 values() const {
    return tile_descriptor(memory + VALUES_AT + value.stage * KEY_BYTES, KEY_PART);
  }

  // A warp has no use for a tile any more.
  DEVICE void release(u32 barrier) const {
    if (threadIdx.x % 32 == 0) arrive(memory + barrier);
  }

  DEVICE void release_keys() {
    release(KEY_EMPTY + 8 * key.stage);
    key.advance();
  }

  DEVICE void release_values() {
    release(VALUE_EMPTY + 8 * value.stage);
    value.advance();
  }

  DEVICE void await_keys() const { await(memory + KEY_FULL + 8 * key.stage, key.parity); }
  DEVICE void await_values() const { await(memory + VALUE_FULL + 8 * value.stage, value.parity); }

  // The first block's scores to weights.
  DEVICE void begin(bool last) {
    rows = Rows();
#pragma unroll
    for (int place = 0; place < SIZE / 2; ++place) result[place] = 0.0f;
    float scores[BLOCK_KEYS / 2];
    await_keys();
    fence_products();
    start_scores(scores, query, keys());
    commit_products();
    await_products<0>();
    settle(scores);
    release_keys();
    if (last) {
      release(QUERY_EMPTY);
      mask(scores, remaining);
    }
    float factor[2];
    weigh(scores, rows, factor, unit);
    pack(weights, scores);
  }

  // The next block's scores to weights, while the weights there are meet their values.
  template <bool LAST>
  DEVICE void advance() {
    float scores[BLOCK_KEYS / 2];
    float factor[2];
    await_keys();
    await_values();
    take_turn(index);
    fence_products();
    start_scores(scores, query, keys());
    commit_products();
    start_result(result, weights, values());
    commit_products();
    pass_turn(index);
    await_products<1>();
    settle(scores);
    release_keys();
    if (LAST) {
      release(QUERY_EMPTY);
      mask(scores, remaining);
    }
    weigh(scores, rows, factor, unit);
    rows.hold(memory);
    await_products<0>();
    settle(result);
    release_values();
#pragma unroll
    for (int place = 0; place < SIZE / 2; ++place) result[place] *= factor[place / 2 % 2];
    pack(weights, scores);
  }

  // The last weights meet their values.
  DEVICE void end() {
    await_values();
    fence_products();
    start_result(result, weights, values());
    commit_products();
    await_products<0>();
    settle(result);
    release_values();
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1) flash_attention_hopper_kernel(
    const __grid_constant__ TensorMap query,
    const __grid_constant__ TensorMap key,
    const __grid_constant__ TensorMap value,
    u32* output,
    float* rounded,
    float* residue,
    float unit,
    int heads,
    int queries,
    int keys,
    int tiles,
    int has_log_sum_exp) {
  extern __shared__ char dynamic[];
  const u32 memory = ((u32)__cvta_generic_to_shared(dynamic) + 1023) & ~1023u;
  const int warpgroup = threadIdx.x / WARPGROUP;
  const int query_blocks = (queries + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
  const int key_blocks = (keys + BLOCK_KEYS - 1) / BLOCK_KEYS;

  if (threadIdx.x == 0) {
    constexpr u32 WARPS = 4 * CONSUMERS;
    make_barrier(memory + QUERY_FULL, 1);
    make_barrier(memory + QUERY_EMPTY, WARPS);
    for (int stage = 0; stage < STAGES; ++stage) {
      make_barrier(memory + KEY_FULL + 8 * stage, 1);
      make_barrier(memory + KEY_EMPTY + 8 * stage, WARPS);
      make_barrier(memory + VALUE_FULL + 8 * stage, 1);
      make_barrier(memory + VALUE_EMPTY + 8 * stage, WARPS);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();

  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(PRODUCER_REGISTERS));
    if (threadIdx.x == 0) {
      Ring key_ring, value_ring;
      u32 parity = 1;
      const auto load_keys = [&](const Place& place, int block) {
        const u32 full = memory + KEY_FULL + 8 * key_ring.stage;
        await(memory + KEY_EMPTY + 8 * key_ring.stage, key_ring.parity ^ 1);
        arrive_expecting(full, KEY_BYTES);
        const u32 target = memory + KEYS_AT + key_ring.stage * KEY_BYTES;
        load_tile(target, KEY_PART, key, full, place.head, block * BLOCK_KEYS, place.batch);
        key_ring.advance();
      };
      const auto load_values = [&](const Place& place, int block) {
        const u32 full = memory + VALUE_FULL + 8 * value_ring.stage;
        await(memory + VALUE_EMPTY + 8 * value_ring.stage, value_ring.parity ^ 1);
        arrive_expecting(full, KEY_BYTES);
        const u32 target = memory + VALUES_AT + value_ring.stage * KEY_BYTES;
        load_tile(target, KEY_PART, value, full, place.head, block * BLOCK_KEYS, place.batch);
        value_ring.advance();
      };
      for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const Place place(tile, query_blocks, heads);
        await(memory + QUERY_EMPTY, parity);
        parity ^= 1;
        arrive_expecting(memory + QUERY_FULL, QUERY_BYTES);
        const int row = place.block * BLOCK_QUERIES;
        load_tile(memory, QUERY_PART, query, memory + QUERY_FULL, place.head, row, place.batch);
        // In the order in which tiles are released.
        load_keys(place, 0);
        for (int block = 1; block < key_blocks; ++block) {
          load_keys(place, block);
          load_values(place, block - 1);
        }
        load_values(place, key_blocks - 1);
      }
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(CONSUMER_REGISTERS));
    Consumer consumer;
    consumer.index = warpgroup - 1;
    consumer.memory = memory;
    const u32 part_rows = memory + consumer.index * CONSUMER_ROWS * 128;
    consumer.query = tile_descriptor(part_rows, QUERY_PART);
    consumer.unit = unit;
    consumer.remaining = keys - (key_blocks - 1) * BLOCK_KEYS;
    if (consumer.index == CONSUMERS - 1) pass_turn(consumer.index);
    u32 parity = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
      const Place place(tile, query_blocks, heads);
      await(memory + QUERY_FULL, parity);
      parity ^= 1;
      consumer.begin(key_blocks == 1);
      for (int block = 1; block < key_blocks - 1; ++block) consumer.advance<false>();
      if (key_blocks > 1) consumer.advance<true>();
      consumer.end();
      const int warp = threadIdx.x / 32 % 4;
      const int first = place.block * BLOCK_QUERIES + consumer.index * CONSUMER_ROWS + warp * 16;
      store(
          consumer.result,
          consumer.rows,
          first,
          place,
          queries,
          heads,
          output,
          rounded,
          residue,
          has_log_sum_exp);
    }
    // Nobody's turn is left over.
    if (consumer.index == 0) take_turn(0);
  }
}
