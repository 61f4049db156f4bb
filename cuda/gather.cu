// Gradients: each splat sums over its own pixels, by a warp, or where these are many, by several warps in parts.
#include "pixels.hpp"
#include "sums.hpp"

namespace splat2d::gpu {

namespace {

constexpr int kGatherThreads = 256;
constexpr int kWarps = kGatherThreads / kWarp;
constexpr int kLarge = 2048;      // px of a box from which a splat is shared out
constexpr int kShares = 32;       // that it is shared out into, rows of its box
constexpr int kMostLarge = 4096;  // splats that are shared out; where there are more, none is, as all warps are busy
#ifdef SPLAT2D_EMULATED
constexpr int kLargeBlocks = 2;
#else
constexpr int kLargeBlocks = 264;
#endif
constexpr int kHead = 4;  // counters before the list of large splats

// Of a splat: moments of w = g <cotangent, colour>, and sums of g times the cotangent.
template <int C>
struct Sums {
  static constexpr int kCount = 5 + C;
  float v[kCount] = {};  // w dx, w dy, w dx^2, w dx dy, w dy^2, then the colours'
};

template <int C>
struct Pixel {
  float v[C];
};

// Adds the pixels of rows [y0, y1) of a splat's box, by the lanes of a warp.
template <int C>
__device__ inline void add_rows(const Ellipse& e, Box box, int y0, int y1, const float* colors, const float* picture,
                                Canvas canvas, Sums<C>* sums) {
  const int64_t plane = static_cast<int64_t>(canvas.width) * canvas.height;
  box.y0 = y0;
  box.y1 = y1;
  float color[C];
  for (int i = 0; i < C; ++i) color[i] = colors[i];
  float w_sum = 0, wy_sum = 0;  // of a column
  each_pixel(
      e, box, threadIdx.x % kWarp, kWarp,
      [&](int x, int y) {
        Pixel<C> pixel;
        SPLAT2D_UNROLL
        for (int i = 0; i < C; ++i)
          pixel.v[i] = __ldg(picture + i * plane + static_cast<int64_t>(y) * canvas.width + x);
        return pixel;
      },
      [&](float g, float dy, const Pixel<C>& pixel) {
        float dot = 0;
        SPLAT2D_UNROLL
        for (int i = 0; i < C; ++i) {
          dot += pixel.v[i] * color[i];
          sums->v[5 + i] += g * pixel.v[i];
        }
        const float w = g * dot, wy = w * dy;
        w_sum += w;
        wy_sum += wy;
        sums->v[4] += wy * dy;
      },
      [&](float dx) {
        const float wx = w_sum * dx;
        sums->v[0] += wx;
        sums->v[1] += wy_sum;
        sums->v[2] += wx * dx;
        sums->v[3] += wy_sum * dx;
        w_sum = wy_sum = 0;
      });
}

// Sums of eight numbers over a warp's lanes, in all of them: halves of the numbers change places with halves of the
// lanes, so that this takes 17 exchanges instead of 40.
__device__ inline void sum_eight(float* v) {
  const int lane = threadIdx.x % kWarp;
  float own[4];
  for (int i = 0; i < 4; ++i) {
    const bool high = lane & 16;
    own[i] = (high ? v[i + 4] : v[i]) + __shfl_xor_sync(kAllLanes, high ? v[i] : v[i + 4], 16);
  }
  float two[2];
  for (int i = 0; i < 2; ++i) {
    const bool high = lane & 8;
    two[i] = (high ? own[i + 2] : own[i]) + __shfl_xor_sync(kAllLanes, high ? own[i] : own[i + 2], 8);
  }
  const bool high = lane & 4;
  float one = (high ? two[1] : two[0]) + __shfl_xor_sync(kAllLanes, high ? two[0] : two[1], 4);
  one += __shfl_xor_sync(kAllLanes, one, 2);
  one += __shfl_xor_sync(kAllLanes, one, 1);
  for (int i = 0; i < 8; ++i) v[i] = __shfl_sync(kAllLanes, one, 4 * i);
}

template <int C>
__device__ inline void sum_lanes(Sums<C>* sums) {
  float v[8] = {};
  for (int i = 0; i < 8 && i < Sums<C>::kCount; ++i) v[i] = sums->v[i];
  sum_eight(v);
  for (int i = 0; i < Sums<C>::kCount; ++i) sums->v[i] = i < 8 ? v[i] : warp_sum(sums->v[i]);
}

struct Gradients {
  float *means, *conics, *colors;
};

template <int C>
__device__ inline void write_gradients(const Ellipse& e, const Sums<C>& sums, int64_t i, const Gradients& to) {
  const float* v = sums.v;
  float mean[2] = {}, conic[3] = {};
  if (e.valid) shape_gradients(e, {v[0], v[1], v[2], v[3], v[4]}, mean, conic);
  for (int k = 0; k < 2; ++k) to.means[2 * i + k] = mean[k];
  for (int k = 0; k < 3; ++k) to.conics[3 * i + k] = conic[k];
  for (int c = 0; c < C; ++c) to.colors[C * i + c] = v[5 + c];
}

__device__ inline bool is_large(const Box& box) {
  return static_cast<int64_t>(box.x1 - box.x0) * (box.y1 - box.y0) >= kLarge;
}

__global__ void find_large(Frames s, Canvas canvas, float cutoff, int* large) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<int64_t>(s.frames) * s.count) return;
  const Box box = bounding_box(s.means + 2 * i, s.conics + 3 * i, cutoff, canvas);
  if (!is_large(box)) return;
  const int at = atomicAdd(large, 1);
  if (at < kMostLarge) large[kHead + at] = static_cast<int>(i);
}

template <int C>
struct GatherJob {
  Frames s;
  Canvas canvas;
  float cutoff;
  const float* v_out;
  Gradients to;
  int* large;     // how many, then which, then how many shares of each are done
  float* shares;  // [kMostLarge, kShares, 5 + C]

  __device__ const float* picture(int64_t i) const { return v_out + i / s.count * C * canvas.width * canvas.height; }
};

// Adds a share to those of the same splat that are done; true when it was the last, whose sums are then those of all.
template <int C>
__device__ inline bool complete(const GatherJob<C>& job, int which, int share, Sums<C>* sums) {
  constexpr int kCount = Sums<C>::kCount;
  const int lane = threadIdx.x % kWarp;
  float* shares = job.shares + static_cast<int64_t>(which) * kShares * kCount;
  int before = 0;
  if (lane == 0) {
    for (int k = 0; k < kCount; ++k) shares[share * kCount + k] = sums->v[k];
    __threadfence();
    before = atomicAdd(job.large + kHead + kMostLarge + which, 1);
  }
  if (__shfl_sync(kAllLanes, before, 0) != kShares - 1) return false;
  __threadfence();
  for (int k = 0; k < kCount; ++k) {
    sums->v[k] = 0;
    for (int p = lane; p < kShares; p += kWarp) sums->v[k] += __ldcg(shares + p * kCount + k);
  }
  sum_lanes(sums);
  return true;
}

// The first blocks see to the shares of large splats, the others to a splat a warp.
template <int C>
__global__ void __launch_bounds__(kGatherThreads) gather_gradients(GatherJob<C> job) {
  const int large = job.large[0], shared = large <= kMostLarge ? large : 0;
  const bool sharing = blockIdx.x < kLargeBlocks;
  const int64_t warp = threadIdx.x / kWarp, splats = static_cast<int64_t>(job.s.frames) * job.s.count;
  const int64_t first = static_cast<int64_t>(blockIdx.x - (sharing ? 0 : kLargeBlocks)) * kWarps + warp;
  const int64_t end = sharing ? static_cast<int64_t>(shared) * kShares : splats;
  for (int64_t item = first; item < end; item += sharing ? kLargeBlocks * kWarps : end) {
    const int which = static_cast<int>(item / kShares), share = static_cast<int>(item % kShares);
    const int64_t i = sharing ? job.large[kHead + which] : item;
    const Ellipse e = make_ellipse(job.s.means + 2 * i, job.s.conics + 3 * i, job.cutoff);
    const Box box = bounding_box(job.s.means + 2 * i, job.s.conics + 3 * i, job.cutoff, job.canvas);
    if (!sharing && shared && is_large(box)) return;
    const int height = box.y1 - box.y0;
    const int y0 = sharing ? box.y0 + height * share / kShares : box.y0;
    const int y1 = sharing ? box.y0 + height * (share + 1) / kShares : box.y1;
    Sums<C> sums;
    if (y0 < y1) add_rows<C>(e, box, y0, y1, job.s.colors + C * i, job.picture(i), job.canvas, &sums);
    sum_lanes(&sums);
    if (sharing && !complete(job, which, share, &sums)) continue;
    if (threadIdx.x % kWarp == 0) write_gradients<C>(e, sums, i, job.to);
  }
}

}  // namespace

void Rasterizer::backward(const Frames& s, Canvas canvas, float cutoff, const float* v_out, float* v_means,
                          float* v_conics, float* v_colors) {
  const int64_t splats = static_cast<int64_t>(s.frames) * s.count;
  if (splats == 0) return;
  int* large = large_.reserve(kHead + 2 * kMostLarge);
  check(cudaMemsetAsync(large, 0, (kHead + 2 * kMostLarge) * sizeof(int), stream_), "clearing memory");
  launch_loop(find_large, dim3(parts(splats, kGatherThreads)), kGatherThreads, stream_, s, canvas, cutoff, large);
  with_channels(s.channels, [&](auto c) {
    float* shares = shares_.reserve(static_cast<size_t>(kMostLarge) * kShares * Sums<c()>::kCount);
    const GatherJob<c()> job{s, canvas, cutoff, v_out, {v_means, v_conics, v_colors}, large, shares};
    launch(gather_gradients<c()>, dim3(kLargeBlocks + parts(splats, kWarps)), kGatherThreads, stream_, job);
  });
}

}  // namespace splat2d::gpu
