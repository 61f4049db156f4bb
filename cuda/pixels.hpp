// The pixels of a Gaussian, shared out among threads.
#pragma once

#include "runtime.hpp"
#include "tiles.hpp"

namespace splat2d::gpu {

constexpr int kAhead = 4;  // pixels that a thread asks for before it uses the first

// use(g, dy, load(x, y)) for the pixels in a box that a Gaussian reaches and that fall to one of `threads` threads, and
// column(dx) after those of a column. Threads are whole warps, or where the box is no wider than a warp, half ones;
// they lie side by side in as few rows as the box lets them.
template <class Load, class Use, class Column>
__device__ inline void each_pixel(const Ellipse& e, const Box& box, int thread, int threads, Load load, Use use,
                                  Column column) {
  int shift = 3;  // log2 of the threads side by side
  while (1 << shift < kWarp && 1 << shift < threads && 1 << shift < box.x1 - box.x0) ++shift;
  const int across = 1 << shift, rows = threads >> shift;
  const float a = -0.5f * kLog2E * e.a, b = -kLog2E * e.b, c = -0.5f * kLog2E * e.c, limit = limit_of(e.cutoff);
  const float inverse_c = 1.0f / e.c;
  for (int x0 = box.x0; x0 < box.x1; x0 += across) {
    const int x = x0 + (thread & (across - 1));
    const float dx = center_distance(x, e.mx), along = a * dx * dx, slope = b * dx;
    int first = box.y0, last = box.y1 - 1;
    if (box.x1 - box.x0 > kWarp) {
      // Rows that these columns reach
      const float disc = e.cutoff * e.c - e.det * dx * dx, half = sqrtf(disc > 0.0f ? disc : 0.0f) * inverse_c + 0.02f;
      const float mid = e.my - 0.5f - e.b * inverse_c * dx;
      const float low = static_cast<float>(box.y0), high = static_cast<float>(box.y1);
      first = __reduce_min_sync(kAllLanes, static_cast<int>(clamp(mid - half, low, high)));
      last = __reduce_max_sync(kAllLanes, static_cast<int>(clamp(mid + half, low - 1.0f, high - 1.0f) + 1.0f) - 1);
    }
    const int end = x < box.x1 ? last : first - 1;
    for (int y = first + (thread >> shift); y <= end; y += kAhead * rows) {
      float g[kAhead];
      decltype(load(0, 0)) values[kAhead];
      SPLAT2D_UNROLL
      for (int k = 0; k < kAhead; ++k) {
        const int row = y + k * rows;
        const float dy = center_distance(row, e.my), h = dy * (c * dy + slope) + along;
        const bool inside = row <= end && h >= limit;
        g[k] = inside ? power_of_two(h) : 0.0f;
        values[k] = {};
        if (inside) values[k] = load(x, row);
      }
      SPLAT2D_UNROLL
      for (int k = 0; k < kAhead; ++k)
        if (g[k] > 0.0f) use(g[k], center_distance(y + k * rows, e.my), values[k]);
    }
    column(dx);
  }
}

}  // namespace splat2d::gpu
