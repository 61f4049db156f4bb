// Drawing: one block a tile, a warp a quarter of it and the splats that touch that, a thread two pixels.
#include "lists.hpp"
#include "sums.hpp"

namespace splat2d::gpu {

namespace {

constexpr int kDrawThreads = 128;
constexpr int kWarpTile = 8;           // px of the sides of a warp's part of a tile
constexpr int kApart = kWarpTile / 2;  // rows between the two pixels of a thread
constexpr int kStaged = kDrawThreads;  // splats in shared memory at a time
constexpr int kMostSorted = Rasterizer::kMostSorted;
constexpr int kLoopThreads = 256;

static_assert(kDrawThreads == 4 * kWarp && kTile == 2 * kWarpTile && kWarp == kWarpTile * kApart);

}  // namespace

template <int C>
struct DrawJob {
  Rasterizer::Lists lists;
  int count;  // splats of a frame
  Canvas canvas;
  float limit;
  const float* cutoffs;  // [F, count], or null for the limit
  Picture picture;
  double* parts;
  unsigned* arrived;
};

namespace {

// The two pixels of a thread.
template <int C>
struct Pixels {
  float x, y;  // of the upper one's centre
  float sums[2][C];

  // Without branches, since most pixels that are asked for are reached.
  __device__ void add(const float4* record, float limit) {
    float values[4 * kQuads<C>];
    SPLAT2D_UNROLL
    for (int q = 0; q < kQuads<C>; ++q) {
      const float4 four = record[q];
      values[4 * q] = four.x;
      values[4 * q + 1] = four.y;
      values[4 * q + 2] = four.z;
      values[4 * q + 3] = four.w;
    }
    const float dx = x - values[0], along = values[2] * dx * dx, slope = values[3] * dx;
    SPLAT2D_UNROLL
    for (int p = 0; p < 2; ++p) {
      const float dy = y - values[1] + static_cast<float>(kApart * p), h = dy * (values[4] * dy + slope) + along;
      const float g = h < limit ? 0.0f : power_of_two(h);
      SPLAT2D_UNROLL
      for (int c = 0; c < C; ++c) sums[p][c] += g * values[5 + c];
    }
  }
};

// Draws `count` staged splats, of those that touch the warp's part of the tile; kOwn: each has a limit of its own.
template <int C, bool kOwn>
__device__ inline void draw_staged(const float4* staged, const float* limits, int count, float left, float top,
                                   float limit, Pixels<C>* pixels) {
  const int lane = threadIdx.x % kWarp;
  for (int first = 0; first < count; first += kWarp) {
    bool hit = false;
    if (first + lane < count) {
      const float4 a = staged[kQuads<C> * (first + lane)], b = staged[kQuads<C> * (first + lane) + 1];
      hit = touches({a.x, a.y, a.z, a.w, b.x}, left, top, left + kWarpTile - 1, top + kWarpTile - 1,
                    kOwn ? limits[first + lane] : limit);
    }
    for (unsigned mask = __ballot_sync(kAllLanes, hit); mask; mask &= mask - 1) {
      const int i = first + __ffs(mask) - 1;
      pixels->add(staged + kQuads<C> * i, kOwn ? limits[i] : limit);
    }
  }
}

// Ranks the threads of a block that have something, in order; *total is how many there are.
__device__ inline int rank_of(bool hit, int* total) {
  __shared__ int warps[kDrawThreads / kWarp];
  const unsigned mask = __ballot_sync(kAllLanes, hit);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (lane == 0) warps[warp] = __popc(mask);
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < kDrawThreads / kWarp; ++w) {
    before += w < warp ? warps[w] : 0;
    all += warps[w];
  }
  __syncthreads();
  *total = all;
  return before + __popc(mask & ((1u << lane) - 1u));
}

__device__ inline bool reaches(const Reach& r, int x, int y) {
  if (x < r.x0 || x >= r.x1 || y < r.y0 || y >= r.y1) return false;
  const int columns = r.x1 - r.x0;
  return columns * (r.y1 - r.y0) > kMostMarked || (r.mask >> ((y - r.y0) * columns + x - r.x0) & 1u);
}

template <int C, bool kOwn>
__global__ void __launch_bounds__(kDrawThreads) draw_tiles(DrawJob<C> job) {
  __shared__ float4 staged[kStaged * kQuads<C>];
  __shared__ float limits[kOwn ? kStaged : 1];
  __shared__ int4 listed_fours[kMostSorted / 4];
  __shared__ int sorted[kMostSorted];
  const int t = threadIdx.x, warp = t / kWarp, lane = t % kWarp, frame = blockIdx.z;
  const int tiles = gridDim.x * gridDim.y, tile = blockIdx.y * gridDim.x + blockIdx.x;
  const int64_t at = static_cast<int64_t>(frame) * tiles + tile, first = static_cast<int64_t>(frame) * job.count;
  const int left = blockIdx.x * kTile + warp % 2 * kWarpTile, top = blockIdx.y * kTile + warp / 2 * kWarpTile;
  const int x = left + lane % kWarpTile, y = top + lane / kWarpTile;

  Pixels<C> pixels{x + 0.5f, y + 0.5f, {}};
  const auto stage = [&](int place, int splat) {
    for (int q = 0; q < kQuads<C>; ++q)
      staged[kQuads<C> * place + q] = job.lists.records[kQuads<C> * (first + splat) + q];
    if (kOwn) limits[place] = limit_of(job.cutoffs[first + splat]);
  };
  const auto draw = [&](int count) {
    __syncthreads();
    draw_staged<C, kOwn>(staged, limits, count, left + 0.5f, top + 0.5f, job.limit, &pixels);
    __syncthreads();
  };
  const int length = job.lists.counts[at], slots = job.lists.slots;
  const int* list = job.lists.splats + at * slots;
  int* listed = reinterpret_cast<int*>(listed_fours);
  const int fours = parts(length, 4);
  const auto rank_of_listed = [&](int own) {
    int rank = 0;
    for (int j = 0; j < fours; ++j) {
      const int4 four = listed_fours[j];
      rank += (four.x < own) + (four.y < own) + (four.z < own) + (four.w < own);
    }
    return rank;
  };
  if (length <= kStaged && length <= slots) {
    // Records are on their way while the list is put in order.
    const int own = t < length ? list[t] : job.count;
    float4 record[kQuads<C>] = {};
    float of_own = 0;
    if (t < length) {
      for (int q = 0; q < kQuads<C>; ++q) record[q] = job.lists.records[kQuads<C> * (first + own) + q];
      if (kOwn) of_own = limit_of(job.cutoffs[first + own]);
    }
    listed[t] = own;
    __syncthreads();
    if (t == 0) job.lists.counts[at] = 0;
    if (t < length) {
      const int rank = rank_of_listed(own);
      for (int q = 0; q < kQuads<C>; ++q) staged[kQuads<C> * rank + q] = record[q];
      if (kOwn) limits[rank] = of_own;
    }
    draw(length);
  } else if (length <= slots) {
    for (int i = t; i < 4 * fours; i += kDrawThreads) listed[i] = i < length ? list[i] : job.count;
    __syncthreads();
    if (t == 0) job.lists.counts[at] = 0;
    for (int i = t; i < length; i += kDrawThreads) sorted[rank_of_listed(listed[i])] = listed[i];
    __syncthreads();
    for (int begin = 0; begin < length; begin += kStaged) {
      if (begin + t < length) stage(t, sorted[begin + t]);
      draw(length - begin < kStaged ? length - begin : kStaged);
    }
  } else {
    __syncthreads();
    if (t == 0) {
      job.lists.counts[at] = 0;
      if (length > *job.lists.needed) *job.lists.needed = length;
    }
    for (int begin = 0; begin < job.count; begin += kDrawThreads) {
      const int i = begin + t;
      const bool hit = i < job.count && reaches(job.lists.reaches[first + i], blockIdx.x, blockIdx.y);
      int found;
      const int rank = rank_of(hit, &found);
      if (hit) stage(rank, i);
      if (found) draw(found);
    }
  }

  const Picture& p = job.picture;
  const int64_t plane = static_cast<int64_t>(job.canvas.width) * job.canvas.height;
  double squares = 0;
  SPLAT2D_UNROLL
  for (int k = 0; k < 2; ++k) {
    const int row = y + kApart * k;
    if (x >= job.canvas.width || row >= job.canvas.height) continue;
    for (int c = 0; c < C; ++c) {
      const int64_t sample = c * plane + static_cast<int64_t>(row) * job.canvas.width + x;
      const int64_t to = static_cast<int64_t>(frame) * C * plane + sample;
      float v = pixels.sums[k][c] + (!p.base ? 0.0f : p.base_is_color ? p.base[c] : p.base[to]);
      if (p.headroom.signs) {
        const float sign = p.headroom.signs[to];
        v -= sign * clamp(sign * v, 0.0f, p.headroom.free);
      }
      p.out[to] = v;
      squares += static_cast<double>(v) * v;
    }
  }
  if (p.squares)
    add_up<kDrawThreads>(squares, tile, tiles, job.parts + static_cast<int64_t>(frame) * tiles, job.arrived + frame,
                         p.squares + frame);
}

__global__ void pack_bytes(const float* __restrict__ planes, int channels, int64_t pixels, bool unpremultiply,
                           unsigned char* __restrict__ out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  const float alpha = planes[(channels - 1) * pixels + i];
  for (int c = 0; c < channels; ++c) {
    const float v = planes[c * pixels + i];
    out[i * channels + c] = to_byte(unpremultiply && c + 1 < channels ? straight(v, alpha) : v);
  }
}

}  // namespace

void Rasterizer::forward(const Frames& s, Canvas canvas, float cutoff, const Picture& picture) {
  const dim3 grid(parts(canvas.width, kTile), parts(canvas.height, kTile), s.frames);
  if (picture.squares) scratch_.reserve(s.frames, static_cast<size_t>(grid.x) * grid.y, stream_);
  with_channels(s.channels, [&](auto c) {
    const DrawJob<c()> job{make_lists<c()>(s, canvas, cutoff),
                           s.count,
                           canvas,
                           limit_of(cutoff),
                           s.cutoffs,
                           picture,
                           scratch_.parts.data(),
                           scratch_.arrived.data()};
    launch(s.cutoffs ? draw_tiles<c(), true> : draw_tiles<c(), false>, grid, kDrawThreads, stream_, job);
  });
}

void Rasterizer::to_bytes(const float* planes, int channels, Canvas canvas, bool unpremultiply, unsigned char* out) {
  const int64_t pixels = static_cast<int64_t>(canvas.width) * canvas.height;
  launch_loop(pack_bytes, dim3(parts(pixels, kLoopThreads)), kLoopThreads, stream_, planes, channels, pixels,
              unpremultiply, out);
}

}  // namespace splat2d::gpu
