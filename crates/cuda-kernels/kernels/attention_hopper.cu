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

#include "attention_rows.cuh"
#include "hopper.cuh"
#include "products.h"

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
  Ring<STAGES> key;
  Ring<STAGES> value;
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
      Ring<STAGES> key_ring, value_ring;
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
