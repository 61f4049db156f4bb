// Sums over the threads of a warp, a block and a launch, each in one order, so that the same input gives the same bits.
#pragma once

#include "runtime.hpp"

namespace splat2d::gpu {

// The sum over a warp's lanes, in all of them.
template <class T>
__device__ inline T warp_sum(T v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v += __shfl_xor_sync(kAllLanes, v, step);
  return v;
}

// The sum over a block's threads, in all of them.
template <int kThreads>
__device__ inline double block_sum(double v) {
  __shared__ double warps[kThreads / kWarp];
  v = warp_sum(v);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = v;
  __syncthreads();
  double total = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) total += warps[w];
  __syncthreads();
  return total;
}

// Memory for the sums of launches that follow one another.
struct Scratch {
  Buffer<double> parts;
  Buffer<unsigned> arrived;  // blocks so far, by sum; zero between launches

  // Room for sums of so many parts each.
  void reserve(size_t sums, size_t most, cudaStream_t stream) {
    parts.reserve(sums * most);
    if (sums <= arrived.capacity()) return;
    arrived.reserve(2 * sums);
    check(cudaMemsetAsync(arrived.data(), 0, arrived.capacity() * sizeof(unsigned), stream), "clearing memory");
  }
};

// Adds up what the `count` blocks that share a sum bring; the last of them writes the total.
template <int kThreads>
__device__ inline void add_up(double v, int block, int count, double* parts, unsigned* arrived, double* to) {
  __shared__ bool last;
  v = block_sum<kThreads>(v);
  if (threadIdx.x == 0) {
    parts[block] = v;
    __threadfence();
    last = atomicAdd(arrived, 1u) + 1 == static_cast<unsigned>(count);
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += kThreads) sum += __ldcg(parts + i);
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x != 0) return;
  *to = sum;
  *arrived = 0;
}

}  // namespace splat2d::gpu
