// Which splats each tile sees: counted, placed and written down by one thread a splat, blocks for wide ones.
#pragma once

#include <algorithm>

#include "tiles.hpp"

namespace splat2d::gpu {

constexpr int kListThreads = 256;
constexpr int kMostMarked = 32;  // tiles of a reach's mask

// f(tile) for the tiles that a splat touches: by its own thread, or where these are many, by the whole block.
template <class F>
__device__ inline void each_tile(const Reach& own, bool there, int across, F f) {
  __shared__ Reach wide[kListThreads];
  __shared__ int thread_of[kListThreads];
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (there) {
    const int columns = own.x1 - own.x0, tiles = columns * (own.y1 - own.y0);
    if (tiles > kMostMarked) {
      const int at = atomicAdd(&count, 1);
      wide[at] = own;
      thread_of[at] = threadIdx.x;
    } else {
      for (unsigned mask = own.mask; mask; mask &= mask - 1) {
        const int bit = __ffs(mask) - 1;
        f((own.y0 + bit / columns) * across + own.x0 + bit % columns, static_cast<int>(threadIdx.x));
      }
    }
  }
  __syncthreads();
  for (int w = 0; w < count; ++w) {
    const Reach r = wide[w];
    const int columns = r.x1 - r.x0, tiles = columns * (r.y1 - r.y0);
    for (int t = threadIdx.x; t < tiles; t += kListThreads)
      f((r.y0 + t / columns) * across + r.x0 + t % columns, thread_of[w]);
  }
}

// Writes records and reaches, and counts the splats of each tile.
template <int C>
__global__ void __launch_bounds__(kListThreads)
    count_splats(Frames s, Canvas canvas, float cutoff, int across, int tiles, float4* __restrict__ records,
                 Reach* __restrict__ reaches, int* __restrict__ counts) {
  const int n = blockIdx.x * kListThreads + threadIdx.x;
  const int64_t i = static_cast<int64_t>(blockIdx.y) * s.count + n;
  const bool there = n < s.count;
  Reach reach{0, 0, 0, 0, 0};
  if (there) {
    const float *mean = s.means + 2 * i, *conic = s.conics + 3 * i;
    const Box box = bounding_box(mean, conic, cutoff, canvas);
    const Falloff f = falloff_of(mean, conic);
    if (!box.empty()) {
      const auto tile_of = [](int px) { return static_cast<uint16_t>(px / kTile); };
      reach = {tile_of(box.x0), tile_of(box.y0), tile_of(box.x1 + kTile - 1), tile_of(box.y1 + kTile - 1), 0};
      const int columns = reach.x1 - reach.x0, marked = columns * (reach.y1 - reach.y0);
      for (int t = 0; marked <= kMostMarked && t < marked; ++t) {
        const float x = static_cast<float>((reach.x0 + t % columns) * kTile) + 0.5f,
                    y = static_cast<float>((reach.y0 + t / columns) * kTile) + 0.5f;
        if (touches(f, x, y, x + kTile - 1, y + kTile - 1, limit_of(cutoff))) reach.mask |= 1u << t;
      }
    }
    reaches[i] = reach;
    float values[4 * kQuads<C>] = {f.mx, f.my, f.a, f.b, f.c};
    for (int c = 0; c < C; ++c) values[5 + c] = s.colors[C * i + c];
    for (int q = 0; q < kQuads<C>; ++q)
      records[kQuads<C> * i + q] = float4{values[4 * q], values[4 * q + 1], values[4 * q + 2], values[4 * q + 3]};
  }
  counts += static_cast<int64_t>(blockIdx.y) * tiles;
  each_tile(reach, there, across, [&](int tile, int) { atomicAdd(counts + tile, 1); });
}

// Finds a place for each tile's list, in any order.
__global__ void place_lists(const int* __restrict__ counts, int64_t tiles, int64_t* __restrict__ starts,
                            unsigned long long* total) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * kListThreads + threadIdx.x;
  const int lane = threadIdx.x % kWarp, count = tile < tiles ? counts[tile] : 0;
  int before = count;  // of the warp up to here
  for (int step = 1; step < kWarp; step *= 2) {
    const int other = __shfl_up_sync(kAllLanes, before, step);
    if (lane >= step) before += other;
  }
  unsigned long long start = 0;
  if (lane == kWarp - 1) start = atomicAdd(total, static_cast<unsigned long long>(before));
  start = __shfl_sync(kAllLanes, start, kWarp - 1);
  if (tile < tiles) starts[tile] = static_cast<int64_t>(start) + before - count;
}

__global__ void __launch_bounds__(kListThreads)
    fill_lists(const Reach* __restrict__ reaches, int count, int across, int tiles, const int64_t* __restrict__ starts,
               const int64_t* total, int64_t capacity, int* __restrict__ filled, int* __restrict__ lists) {
  if (*total > capacity) return;
  const int n = blockIdx.x * kListThreads + threadIdx.x;
  const int64_t frame = blockIdx.y;
  const bool there = n < count;
  const Reach reach = there ? reaches[frame * count + n] : Reach{0, 0, 0, 0, 0};
  each_tile(reach, there, across, [&](int tile, int thread) {
    const int64_t at = frame * tiles + tile;
    lists[starts[at] + atomicAdd(filled + at, 1)] = static_cast<int>(blockIdx.x) * kListThreads + thread;
  });
}

template <int C>
Rasterizer::Lists Rasterizer::make_lists(const Frames& s, Canvas canvas, float cutoff) {
  constexpr int kHead = 4;         // counters before those of the tiles
  constexpr int64_t kFirst = 6;    // entries that a splat is expected to need before any frame has been drawn
  constexpr double kSpare = 1.25;  // memory over what the last frame needed
  const int across = parts(canvas.width, kTile), tiles = across * parts(canvas.height, kTile);
  const int64_t splats = static_cast<int64_t>(s.frames) * s.count, all = static_cast<int64_t>(s.frames) * tiles;
  float4* records = records_.reserve(kQuads<C> * splats);
  Reach* reaches = reaches_.reserve(splats);
  int* counters = counters_.reserve(kHead + 2 * all);
  int64_t* starts = starts_.reserve(all);
  const int64_t needed = std::max(*needed_.data(), kFirst * splats);
  if (needed > static_cast<int64_t>(lists_.capacity())) lists_.reserve(static_cast<size_t>(kSpare * needed));
  const int64_t capacity = lists_.capacity();
  auto* total = reinterpret_cast<int64_t*>(counters);
  int *counts = counters + kHead, *filled = counts + all;
  check(cudaMemsetAsync(counters, 0, (kHead + 2 * all) * sizeof(int), stream_), "clearing memory");
  const dim3 grid(parts(s.count, kListThreads), s.frames);
  if (s.count)
    launch(count_splats<C>, grid, kListThreads, stream_, s, canvas, cutoff, across, tiles, records, reaches, counts);
  launch(place_lists, dim3(parts(all, kListThreads)), kListThreads, stream_, counts, all, starts,
         reinterpret_cast<unsigned long long*>(total));
  if (s.count)
    launch(fill_lists, grid, kListThreads, stream_, reaches, s.count, across, tiles, starts, total, capacity, filled,
           lists_.data());
  check(cudaMemcpyAsync(needed_.data(), total, sizeof *total, cudaMemcpyDeviceToHost, stream_), "counting splats");
  return {records, reaches, counts, starts, lists_.data(), total, capacity};
}

}  // namespace splat2d::gpu
