// Gradients: each splat sums over its own pixels, by half a warp, a warp, or where these are many, several in parts.
#include "pixels.hpp"
#include "sums.hpp"

namespace splat2d::gpu {

namespace {

constexpr int kGatherThreads = 256;
constexpr int kWarps = kGatherThreads / kWarp;
constexpr int kLeastShare = 1024;     // px of a large splat's box that a warp sees to
constexpr int kMostParts = 256;       // that a splat as large as the canvas is shared out into
constexpr int kMostLarge = 1 << 14;   // splats that are shared out
constexpr int kMostShares = 1 << 16;  // of all of them
#ifdef SPLAT2D_EMULATED
constexpr int kLargeBlocks = 2;
#else
constexpr int kLargeBlocks = 264;
#endif

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

// Adds the pixels of a box, by so many lanes of a warp.
template <int C, int kLanes>
__device__ inline void add_pixels(const Ellipse& e, const Box& box, const float* colors, const float* picture,
                                  Canvas canvas, Sums<C>* sums) {
  const int64_t plane = static_cast<int64_t>(canvas.width) * canvas.height;
  float color[C];
  for (int i = 0; i < C; ++i) color[i] = colors[i];
  float w_sum = 0, wy_sum = 0;  // of a column
  each_pixel(
      e, box, threadIdx.x % kLanes, kLanes,
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

// Sums of eight numbers over a warp's lanes, or those of half a warp, in all of them: halves of the numbers change
// places with halves of the lanes, so that this takes 17 exchanges instead of 40.
template <int kLanes>
__device__ inline void sum_eight(float* v) {
  const int lane = threadIdx.x % kWarp;
  float own[4];
  for (int i = 0; i < 4; ++i) {
    const bool high = lane & kLanes / 2;
    own[i] = (high ? v[i + 4] : v[i]) + __shfl_xor_sync(kAllLanes, high ? v[i] : v[i + 4], kLanes / 2);
  }
  float two[2];
  for (int i = 0; i < 2; ++i) {
    const bool high = lane & kLanes / 4;
    two[i] = (high ? own[i + 2] : own[i]) + __shfl_xor_sync(kAllLanes, high ? own[i] : own[i + 2], kLanes / 4);
  }
  const bool high = lane & kLanes / 8;
  float one = (high ? two[1] : two[0]) + __shfl_xor_sync(kAllLanes, high ? two[0] : two[1], kLanes / 8);
  for (int step = kLanes / 16; step > 0; step /= 2) one += __shfl_xor_sync(kAllLanes, one, step);
  for (int i = 0; i < 8; ++i) v[i] = __shfl_sync(kAllLanes, one, lane / kLanes * kLanes + kLanes / 8 * i);
}

template <int C, int kLanes = kWarp>
__device__ inline void sum_lanes(Sums<C>* sums) {
  float v[8] = {};
  for (int i = 0; i < 8 && i < Sums<C>::kCount; ++i) v[i] = sums->v[i];
  sum_eight<kLanes>(v);
  for (int i = 0; i < Sums<C>::kCount; ++i) {
    if (i < 8)
      sums->v[i] = v[i];
    else
      for (int step = kLanes / 2; step > 0; step /= 2) sums->v[i] += __shfl_xor_sync(kAllLanes, sums->v[i], step);
  }
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

// A part of a large splat's box, by rows.
struct alignas(16) Share {
  int splat, large, part, parts;
};

// What `find_large` finds. Where there is no room for all shares there are none, as all warps are busy then.
struct Sharing {
  int *large, *count;  // large splats and their shares
  int* done;           // [kMostLarge] shares of each that are done
  Share* shares;       // [kMostShares]
  int pixels;          // of a share, about

  __device__ bool fits() const { return *large <= kMostLarge && *count <= kMostShares; }
  // Of a box: how many shares, none where one warp sees to it.
  __device__ int parts(const Box& box) const {
    const int64_t area = static_cast<int64_t>(box.x1 - box.x0) * (box.y1 - box.y0);
    return area < 2 * pixels ? 0 : static_cast<int>((area + pixels - 1) / pixels);
  }
};

__global__ void find_large(Frames s, Canvas canvas, float cutoff, Sharing sharing) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<int64_t>(s.frames) * s.count) return;
  const int parts = sharing.parts(bounding_box(s.means + 2 * i, s.conics + 3 * i, s.cutoff(i, cutoff), canvas));
  if (!parts) return;
  const int large = atomicAdd(sharing.large, 1), first = atomicAdd(sharing.count, parts);
  if (large >= kMostLarge || first + parts > kMostShares) return;
  for (int part = 0; part < parts; ++part) sharing.shares[first + part] = {static_cast<int>(i), large, part, parts};
}

template <int C>
struct GatherJob {
  Frames s;
  Canvas canvas;
  float cutoff;
  const float* v_out;
  Gradients to;
  Sharing sharing;
  float* sums;  // [kMostShares, 5 + C]

  __device__ Ellipse ellipse(int64_t i) const {
    return make_ellipse(s.means + 2 * i, s.conics + 3 * i, s.cutoff(i, cutoff));
  }
  __device__ const float* picture(int64_t i) const { return v_out + i / s.count * C * canvas.width * canvas.height; }
};

// Adds a share to those of the same splat that are done; true when it was the last, whose sums are then those of all.
template <int C>
__device__ inline bool complete(const GatherJob<C>& job, int number, const Share& share, Sums<C>* sums) {
  constexpr int kCount = Sums<C>::kCount;
  const int lane = threadIdx.x % kWarp;
  float* own = job.sums + static_cast<int64_t>(number) * kCount;
  int before = 0;
  if (lane == 0) {
    for (int k = 0; k < kCount; ++k) own[k] = sums->v[k];
    __threadfence();
    before = atomicAdd(job.sharing.done + share.large, 1);
  }
  if (__shfl_sync(kAllLanes, before, 0) != share.parts - 1) return false;
  __threadfence();
  const float* first = own - share.part * kCount;
  for (int k = 0; k < kCount; ++k) {
    sums->v[k] = 0;
    for (int p = lane; p < share.parts; p += kWarp) sums->v[k] += __ldcg(first + p * kCount + k);
  }
  sum_lanes(sums);
  return true;
}

// The shares of large splats.
template <int C>
__device__ inline void gather_shares(const GatherJob<C>& job) {
  const int end = job.sharing.fits() ? *job.sharing.count : 0;
  for (int item = blockIdx.x * kWarps + threadIdx.x / kWarp; item < end; item += kLargeBlocks * kWarps) {
    const Share share = job.sharing.shares[item];
    const int64_t i = share.splat;
    const Ellipse e = job.ellipse(i);
    Box box = bounding_box(e, job.canvas);
    const int top = box.y0, height = box.y1 - box.y0;
    box.y0 = top + height * share.part / share.parts;
    box.y1 = top + height * (share.part + 1) / share.parts;
    Sums<C> sums;
    if (!box.empty()) add_pixels<C, kWarp>(e, box, job.s.colors + C * i, job.picture(i), job.canvas, &sums);
    sum_lanes(&sums);
    if (complete(job, item, share, &sums) && threadIdx.x % kWarp == 0) write_gradients<C>(e, sums, i, job.to);
  }
}

// The first blocks see to the shares of large splats, a warp of the others to two splats: each by half of it where both
// are small, since what is done once a splat is then done for both at the same time; else one after the other.
template <int C>
__global__ void __launch_bounds__(kGatherThreads) gather_gradients(GatherJob<C> job) {
  if (blockIdx.x < kLargeBlocks) return gather_shares(job);
  constexpr int kHalf = kWarp / 2;
  const int64_t splats = static_cast<int64_t>(job.s.frames) * job.s.count;
  const int64_t first = 2 * (static_cast<int64_t>(blockIdx.x - kLargeBlocks) * kWarps + threadIdx.x / kWarp);
  if (first >= splats) return;
  const bool fits = job.sharing.fits();
  const int lane = threadIdx.x % kWarp, half = lane / kHalf;
  const bool there = first + half < splats;
  const int64_t own = there ? first + half : first;
  const Ellipse e = job.ellipse(own);
  Box box = bounding_box(e, job.canvas);
  const bool small = box.x1 - box.x0 <= kWarp && box.y1 - box.y0 <= kWarp;
  if (__ballot_sync(kAllLanes, small) == kAllLanes) {
    Sums<C> sums;
    if (!box.empty()) add_pixels<C, kHalf>(e, box, job.s.colors + C * own, job.picture(own), job.canvas, &sums);
    sum_lanes<C, kHalf>(&sums);
    if (there && lane % kHalf == 0) write_gradients<C>(e, sums, own, job.to);
    return;
  }
  for (int64_t i = first; i < first + 2 && i < splats; ++i) {
    const Ellipse whole = job.ellipse(i);
    box = bounding_box(whole, job.canvas);
    if (fits && job.sharing.parts(box)) continue;
    Sums<C> sums;
    if (!box.empty()) add_pixels<C, kWarp>(whole, box, job.s.colors + C * i, job.picture(i), job.canvas, &sums);
    sum_lanes(&sums);
    if (lane == 0) write_gradients<C>(whole, sums, i, job.to);
  }
}

}  // namespace

void Rasterizer::backward(const Frames& s, Canvas canvas, float cutoff, const float* v_out, float* v_means,
                          float* v_conics, float* v_colors) {
  const int64_t splats = static_cast<int64_t>(s.frames) * s.count;
  if (splats == 0) return;
  constexpr int kHead = 4;
  int* counters = large_.reserve(kHead + kMostLarge);
  check(cudaMemsetAsync(counters, 0, (kHead + kMostLarge) * sizeof(int), stream_), "clearing memory");
  const int64_t part = static_cast<int64_t>(canvas.width) * canvas.height / kMostParts + 1;
  const Sharing sharing{counters, counters + 1, counters + kHead,
                        reinterpret_cast<Share*>(shares_.reserve(4 * kMostShares)),
                        static_cast<int>(part > kLeastShare ? part : kLeastShare)};
  launch_loop(find_large, dim3(parts(splats, kGatherThreads)), kGatherThreads, stream_, s, canvas, cutoff, sharing);
  with_channels(s.channels, [&](auto c) {
    float* sums = sums_.reserve(static_cast<size_t>(kMostShares) * Sums<c()>::kCount);
    const GatherJob<c()> job{s, canvas, cutoff, v_out, {v_means, v_conics, v_colors}, sharing, sums};
    launch(gather_gradients<c()>, dim3(kLargeBlocks + parts(splats, 2 * kWarps)), kGatherThreads, stream_, job);
  });
}

}  // namespace splat2d::gpu
