// Which splats each tile sees: counted, placed and written down by one thread a splat, blocks for wide ones.
#pragma once

#include <algorithm>

#include "tiles.hpp"

namespace splat2d::gpu {

constexpr int kListThreads = 256;
constexpr int kMostMarked = 32;  // tiles of a reach's mask

constexpr int kSharers = 8;                       // threads that see to one splat together
constexpr int kListed = kListThreads / kSharers;  // splats of a block

constexpr int kAtOnce = kMostMarked / kSharers;  // tiles that a thread sees to before it waits for any of them

// f(tiles, splat of the block) for the tiles that a splat touches, kAtOnce at a time and -1 where there is none: by its
// own threads, or where tiles are many, by the whole block.
template <class F>
__device__ inline void each_tile(const Reach& own, int across, F f) {
  __shared__ Reach wide[kListed];
  __shared__ int splats[kListed];
  __shared__ int count;
  const int splat = threadIdx.x / kSharers, sharer = threadIdx.x % kSharers;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  const int columns = own.x1 - own.x0, tiles = columns * (own.y1 - own.y0);
  if (tiles > kMostMarked) {
    if (sharer == 0) {
      const int at = atomicAdd(&count, 1);
      wide[at] = own;
      splats[at] = splat;
    }
  } else if (tiles > 0) {
    int found[kAtOnce];
    SPLAT2D_UNROLL
    for (int k = 0; k < kAtOnce; ++k) {
      const int t = sharer + k * kSharers;
      found[k] = own.mask >> t & 1u ? (own.y0 + t / columns) * across + own.x0 + t % columns : -1;
    }
    f(found, splat);
  }
  __syncthreads();
  for (int w = 0; w < count; ++w) {
    const Reach r = wide[w];
    const int wide_columns = r.x1 - r.x0, wide_tiles = wide_columns * (r.y1 - r.y0);
    for (int first = threadIdx.x; first < wide_tiles; first += kAtOnce * kListThreads) {
      int found[kAtOnce];
      SPLAT2D_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        const int t = first + k * kListThreads;
        found[k] = t < wide_tiles ? (r.y0 + t / wide_columns) * across + r.x0 + t % wide_columns : -1;
      }
      f(found, splats[w]);
    }
  }
}

// The tiles of a splat's box. Floats must do, since doubles take a GPU long; so it is a little larger.
__device__ inline Reach tiles_of(const Ellipse& e, Canvas canvas) {
  if (!e.valid || !(e.cutoff > 0)) return {0, 0, 0, 0, 0};
  const float rx = sqrtf(e.cutoff * (e.c / e.det)) * 1.0001f + 1.0f,
              ry = sqrtf(e.cutoff * (e.a / e.det)) * 1.0001f + 1.0f;
  const auto clipped = [](float px, int side) { return static_cast<int>(clamp(px, 0.0f, static_cast<float>(side))); };
  const auto tile = [](int px) { return static_cast<uint16_t>(px / kTile); };
  return {tile(clipped(e.mx - rx, canvas.width)), tile(clipped(e.my - ry, canvas.height)),
          tile(clipped(e.mx + rx, canvas.width) + kTile - 1), tile(clipped(e.my + ry, canvas.height) + kTile - 1), 0};
}

// Writes records and reaches, and counts the splats of each tile. Counts must be zero; *total becomes it.
template <int C>
__global__ void __launch_bounds__(kListThreads)
    count_splats(Frames s, Canvas canvas, float cutoff, int across, int tiles, float4* __restrict__ records,
                 Reach* __restrict__ reaches, int* __restrict__ counts, unsigned long long* total) {
  const int n = blockIdx.x * kListed + threadIdx.x / kSharers, sharer = threadIdx.x % kSharers;
  const int64_t i = static_cast<int64_t>(blockIdx.y) * s.count + n;
  Reach reach{0, 0, 0, 0, 0};
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *total = 0;
  if (n < s.count) {
    const float *mean = s.means + 2 * i, *conic = s.conics + 3 * i;
    const Falloff f = falloff_of(mean, conic);
    const float own = s.cutoff(i, cutoff);
    reach = tiles_of(make_ellipse(mean, conic, own), canvas);
    if (reach.x0 < reach.x1 && reach.y0 < reach.y1) {
      const int columns = reach.x1 - reach.x0, marked = columns * (reach.y1 - reach.y0);
      for (int t = sharer; marked <= kMostMarked && t < marked; t += kSharers) {
        const float x = static_cast<float>((reach.x0 + t % columns) * kTile) + 0.5f,
                    y = static_cast<float>((reach.y0 + t / columns) * kTile) + 0.5f;
        if (touches(f, x, y, x + kTile - 1, y + kTile - 1, limit_of(own))) reach.mask |= 1u << t;
      }
    }
    if (sharer < kQuads<C>) {
      float values[4 * kQuads<C>] = {f.mx, f.my, f.a, f.b, f.c};
      for (int c = 0; c < C; ++c) values[5 + c] = s.colors[C * i + c];
      SPLAT2D_UNROLL
      for (int q = 0; q < kQuads<C>; ++q)
        if (q == sharer)
          records[kQuads<C> * i + q] = float4{values[4 * q], values[4 * q + 1], values[4 * q + 2], values[4 * q + 3]};
    }
  }
  for (int step = 1; step < kSharers; step *= 2) reach.mask |= __shfl_xor_sync(kAllLanes, reach.mask, step);
  if (n < s.count && sharer == 0) reaches[i] = reach;
  counts += static_cast<int64_t>(blockIdx.y) * tiles;
  each_tile(reach, across, [&](const int (&found)[kAtOnce], int) {
    SPLAT2D_UNROLL
    for (int k = 0; k < kAtOnce; ++k)
      if (found[k] >= 0) atomicAdd(counts + found[k], 1);
  });
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

// Writes the lists, unless they do not fit; *needed, of the host's memory, becomes their total length.
__global__ void __launch_bounds__(kListThreads)
    fill_lists(const Reach* __restrict__ reaches, int count, int across, int tiles, const int64_t* __restrict__ starts,
               const int64_t* total, int64_t capacity, int* __restrict__ filled, int* __restrict__ lists,
               int64_t* needed) {
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *needed = *total;
  if (*total > capacity) return;
  const int first = blockIdx.x * kListed, n = first + threadIdx.x / kSharers;
  const int64_t frame = blockIdx.y;
  const Reach reach = n < count ? reaches[frame * count + n] : Reach{0, 0, 0, 0, 0};
  starts += frame * tiles;
  filled += frame * tiles;
  each_tile(reach, across, [&](const int (&found)[kAtOnce], int splat) {
    int64_t places[kAtOnce];
    SPLAT2D_UNROLL
    for (int k = 0; k < kAtOnce; ++k)
      if (found[k] >= 0) places[k] = starts[found[k]] + atomicAdd(filled + found[k], 1);
    SPLAT2D_UNROLL
    for (int k = 0; k < kAtOnce; ++k)
      if (found[k] >= 0) lists[places[k]] = first + splat;
  });
}

template <int C>
Rasterizer::Lists Rasterizer::make_lists(const Frames& s, Canvas canvas, float cutoff) {
  constexpr int64_t kFirst = 6;    // entries that a splat is expected to need before any frame has been drawn
  constexpr double kSpare = 1.25;  // memory over what the last frame needed
  const int across = parts(canvas.width, kTile), tiles = across * parts(canvas.height, kTile);
  const int64_t splats = static_cast<int64_t>(s.frames) * s.count, all = static_cast<int64_t>(s.frames) * tiles;
  float4* records = records_.reserve(kQuads<C> * splats);
  Reach* reaches = reaches_.reserve(splats);
  if (2 * all > static_cast<int64_t>(counters_.capacity())) {
    counters_.reserve(2 * all);
    check(cudaMemsetAsync(counters_.data(), 0, counters_.capacity() * sizeof(int), stream_), "clearing memory");
  }
  int *counts = counters_.data(), *filled = counts + all;
  int64_t* starts = starts_.reserve(all + 1);
  int64_t* total = starts + all;
  const int64_t needed = std::max(*needed_.data(), kFirst * splats);
  if (needed > static_cast<int64_t>(lists_.capacity())) lists_.reserve(static_cast<size_t>(kSpare * needed));
  const int64_t capacity = lists_.capacity();
  const dim3 grid(std::max(1, parts(s.count, kListed)), s.frames);
  auto* sum = reinterpret_cast<unsigned long long*>(total);
  launch(count_splats<C>, grid, kListThreads, stream_, s, canvas, cutoff, across, tiles, records, reaches, counts, sum);
  launch(place_lists, dim3(parts(all, kListThreads)), kListThreads, stream_, counts, all, starts, sum);
  launch(fill_lists, grid, kListThreads, stream_, reaches, s.count, across, tiles, starts, total, capacity, filled,
         lists_.data(), needed_.data());
  return {records, reaches, counts, filled, starts, lists_.data(), total, capacity};
}

}  // namespace splat2d::gpu
