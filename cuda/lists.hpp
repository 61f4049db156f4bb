// Which splats each tile sees: written down by a few threads a splat, blocks for wide ones.
#pragma once

#include <algorithm>

#include "tiles.hpp"

namespace splat2d::gpu {

constexpr int kListThreads = 256;
constexpr int kMostMarked = 32;    // tiles of a reach's mask
constexpr int kMostOfWarp = 1024;  // tiles of a splat that one warp sees to

constexpr int kSharers = 4;                       // threads that see to one splat together
constexpr int kListed = kListThreads / kSharers;  // splats of a block

constexpr int kAtOnce = 4;  // tiles that a thread sees to before it waits for any of them

// Row of the t-th of a reach's tiles, of which there are few, without dividing integers; inverse: 1 / columns.
__device__ inline int row_of(int t, float inverse) {
  return static_cast<int>((static_cast<float>(t) + 0.5f) * inverse);
}

// f(tiles, splat of the block) for the tiles that a splat touches, kAtOnce at a time and -1 where there is none: by its
// own threads, where tiles are many, by a warp, and where they are very many, by the whole block.
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
    const float inverse = quotient(1.0f, static_cast<float>(columns));
    for (int first = sharer; first < tiles; first += kAtOnce * kSharers) {
      SPLAT2D_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        const int t = first + k * kSharers, row = row_of(t, inverse);
        found[k] = t < tiles && own.mask >> t & 1u ? (own.y0 + row) * across + own.x0 + t - row * columns : -1;
      }
      f(found, splat);
    }
  }
  __syncthreads();
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  for (int w = 0; w < count; ++w) {
    const Reach r = wide[w];
    const int of_wide = r.x1 - r.x0, all = of_wide * (r.y1 - r.y0);
    const bool shared = all > kMostOfWarp;
    if (!shared && w % (kListThreads / kWarp) != warp) continue;
    const int threads = shared ? kListThreads : kWarp;
    for (int first = shared ? threadIdx.x : lane; first < all; first += kAtOnce * threads) {
      int found[kAtOnce];
      SPLAT2D_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        const int t = first + k * threads;
        found[k] = t < all ? (r.y0 + t / of_wide) * across + r.x0 + t % of_wide : -1;
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

// Writes records, reaches and the tiles' lists, each of which has room for so many `slots`; counts must be zero.
template <int C>
__global__ void __launch_bounds__(kListThreads)
    list_splats(Frames s, Canvas canvas, float cutoff, int across, int tiles, int slots, float4* __restrict__ records,
                Reach* __restrict__ reaches, int* __restrict__ counts, int* __restrict__ lists) {
  const int first = blockIdx.x * kListed, n = first + threadIdx.x / kSharers, sharer = threadIdx.x % kSharers;
  const int64_t i = static_cast<int64_t>(blockIdx.y) * s.count + n;
  Reach reach{0, 0, 0, 0, 0};
  if (n < s.count) {
    const float *mean = s.means + 2 * i, *conic = s.conics + 3 * i;
    const Falloff f = falloff_of(mean, conic);
    const float own = s.cutoff(i, cutoff);
    reach = tiles_of(make_ellipse(mean, conic, own), canvas);
    if (reach.x0 < reach.x1 && reach.y0 < reach.y1) {
      const int columns = reach.x1 - reach.x0, marked = columns * (reach.y1 - reach.y0);
      const float inverse = quotient(1.0f, static_cast<float>(columns));
      for (int t = sharer; marked <= kMostMarked && t < marked; t += kSharers) {
        const int row = row_of(t, inverse);
        const float x = static_cast<float>((reach.x0 + t - row * columns) * kTile) + 0.5f,
                    y = static_cast<float>((reach.y0 + row) * kTile) + 0.5f;
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
  const int64_t base = static_cast<int64_t>(blockIdx.y) * tiles;
  counts += base;
  lists += base * slots;
  each_tile(reach, across, [&](const int (&found)[kAtOnce], int splat) {
    int places[kAtOnce];
    SPLAT2D_UNROLL
    for (int k = 0; k < kAtOnce; ++k)
      if (found[k] >= 0) places[k] = atomicAdd(counts + found[k], 1);
    SPLAT2D_UNROLL
    for (int k = 0; k < kAtOnce; ++k)
      if (found[k] >= 0 && places[k] < slots) lists[static_cast<int64_t>(found[k]) * slots + places[k]] = first + splat;
  });
}

template <int C>
Rasterizer::Lists Rasterizer::make_lists(const Frames& s, Canvas canvas, float cutoff) {
  const int across = parts(canvas.width, kTile), tiles = across * parts(canvas.height, kTile);
  const int64_t splats = static_cast<int64_t>(s.frames) * s.count, all = static_cast<int64_t>(s.frames) * tiles;
  float4* records = records_.reserve(kQuads<C> * splats);
  Reach* reaches = reaches_.reserve(splats);
  if (all > static_cast<int64_t>(counts_.capacity())) {
    counts_.reserve(all);
    check(cudaMemsetAsync(counts_.data(), 0, counts_.capacity() * sizeof(int), stream_), "clearing memory");
  }
  // A tile that found no room for its splats has said of how many.
  if (*needed_.data() > slots_) slots_ = std::min(kMostSorted, parts(*needed_.data() + *needed_.data() / 4, 32) * 32);
  int* lists = lists_.reserve(all * slots_);
  launch(list_splats<C>, dim3(std::max(1, parts(s.count, kListed)), s.frames), kListThreads, stream_, s, canvas, cutoff,
         across, tiles, slots_, records, reaches, counts_.data(), lists);
  return {records, reaches, counts_.data(), lists, slots_, needed_.data()};
}

}  // namespace splat2d::gpu
