// A block of threads that works on one thing together, and the lanes of its warps: cpp/cpu.hpp's Team and Lanes.
#pragma once

#include "../cpp/kernels.hpp"
#include "sums.hpp"

namespace splat2d {

namespace gpu {

// f(x, y, g) for the pixels of a Gaussian that fall to one of `threads` threads; these lie side by side in as few rows
// as the Gaussian's width lets them.
template <class F>
__device__ inline void each_pixel(const Ellipse& e, const Box& box, int thread, int threads, F f) {
  int across = 8;
  while (across < kWarp && across < box.x1 - box.x0) across *= 2;
  const float limit = -0.5f * e.cutoff;
  for (int y = box.y0 + thread / across; y < box.y1; y += threads / across) {
    const float dy = center_distance(y, e.my);
    const Span span = row_span(e, dy, box.x0, box.x1);
    const RowTerms row = row_terms(e.a, e.b, e.c, dy);
    for (int x = span.first + thread % across; x <= span.last; x += across) {
      const float h = exponent(row.a, row.b, row.c, center_distance(x, e.mx));
      if (h >= limit) f(x, y, __expf(h));
    }
  }
}

}  // namespace gpu

class Lanes {
 public:
  static constexpr int kCount = gpu::kWarp;

  __device__ int lane() const { return static_cast<int>(threadIdx.x) % gpu::kWarp; }
  __device__ bool first() const { return lane() == 0; }
  // The lowest cost of all lanes, and the lowest index that has it.
  __device__ void least(float* cost, int* index) const {
    for (int step = gpu::kWarp / 2; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(gpu::kAllLanes, *cost, step);
      const int others = __shfl_xor_sync(gpu::kAllLanes, *index, step);
      if (other > *cost || (other == *cost && others > *index)) continue;
      *cost = other;
      *index = others;
    }
  }
  // Inner products of a Gaussian with a picture and with itself, weighed by a plane where there is one.
  __device__ Projection project(const Ellipse& e, const Box& box, Canvas canvas, int channels, const float* picture,
                                const float* weights) const {
    Projection out = {};
    gpu::each_pixel(e, box, lane(), kCount, [&](int x, int y, float g) {
      const size_t at = static_cast<size_t>(y) * canvas.width + x;
      const float weighed = weights ? g * weights[at] : g;
      for (int c = 0; c < kMaxChannels; ++c)
        if (c < channels) out.with[c] += weighed * picture[c * canvas.area() + at];
      out.self += weighed * g;
    });
    for (int c = 0; c < kMaxChannels; ++c)
      if (c < channels) out.with[c] = gpu::warp_sum(out.with[c]);
    out.self = gpu::warp_sum(out.self);
    return out;
  }
};

class Team {
 public:
  static constexpr int kThreads = 384;  // a warp for each move that is tried at the same time, and one to spare

  // f(), by one thread when all have come so far. None goes on before it, or what the others share out, is done.
  template <class F>
  __device__ void once(F f) const {
    __syncthreads();
    if (threadIdx.x == 0) f();
    __syncthreads();
  }
  // f(i) for i from 0 to count - 1, in any order.
  template <class F>
  __device__ void share(int count, F f) const {
    for (int i = threadIdx.x; i < count; i += kThreads) f(i);
    __syncthreads();
  }
  // f(lanes, i) for i from 0 to count - 1, in any order; each looks at about so many pixels.
  template <class F>
  __device__ void each(int count, size_t, F f) const {
    for (int i = threadIdx.x / gpu::kWarp; i < count; i += kThreads / gpu::kWarp) f(Lanes(), i);
    __syncthreads();
  }
  // picture += color g
  __device__ void add(const Ellipse& e, const Box& box, Canvas canvas, int channels, const float* color,
                      float* picture) const {
    gpu::each_pixel(e, box, threadIdx.x, kThreads, [&](int x, int y, float g) {
      const size_t at = static_cast<size_t>(y) * canvas.width + x;
      for (int c = 0; c < channels; ++c) picture[c * canvas.area() + at] += color[c] * g;
    });
    __syncthreads();
  }
};

namespace gpu {

template <class Notes, class F>
__global__ void __launch_bounds__(Team::kThreads) run_team(F f) {
  __shared__ Notes notes;
  f(Team(), static_cast<int64_t>(blockIdx.x), &notes);
}

}  // namespace gpu
}  // namespace splat2d
