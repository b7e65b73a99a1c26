// What compute capability 9.0 has beside its threads: barriers with phases, copies of tensors, and
// products of matrices in shared memory that a warpgroup starts and waits for.

#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define DEVICE __device__ __forceinline__

constexpr int WARPGROUP = 128;

DEVICE float infinity() { return __int_as_float(0x7f800000); }

DEVICE float exp2_of(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(~0u, x, 1);
  return x + __shfl_xor_sync(~0u, x, 2);
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

// A place in a ring of COUNT tiles, and the parity of its round.
template <int COUNT>
struct Ring {
  u32 stage = 0;
  u32 parity = 0;

  DEVICE void advance() {
    if (++stage == COUNT) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// A CUtensorMap of (batch, rows, heads, channels), channels first, in boxes of 64 channels of one head.
struct alignas(64) TensorMap {
  char opaque[128];
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
