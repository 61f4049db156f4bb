#include <type_traits>

#include "raster.hpp"

namespace splat2d::gpu {

namespace {

constexpr int kTile = 16;  // px; a block draws a tile, a thread a pixel
constexpr int kTilesInBin = 8;
constexpr int kBin = kTile * kTilesInBin;
constexpr int kTileThreads = kTile * kTile;
constexpr int kBinThreads = 512;
constexpr int kSplatThreads = 128;  // of a splat's backward pass
constexpr int kScanThreads = 256;
constexpr int kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;

__device__ inline bool overlap(const PixelBox& a, const PixelBox& b) {
  return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}

// Ranks the threads of a block that have something, in order; *total is how many there are. `warps` is shared.
template <int kThreads>
__device__ inline int rank_of(bool hit, int* warps, int* total) {
  const unsigned mask = __ballot_sync(kAll, hit);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (lane == 0) warps[warp] = __popc(mask);
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) {
    before += w < warp ? warps[w] : 0;
    all += warps[w];
  }
  __syncthreads();
  *total = all;
  return before + __popc(mask & ((1u << lane) - 1u));
}

__global__ void find_boxes(const float* __restrict__ means, const float* __restrict__ conics, int64_t count,
                           Canvas canvas, float cutoff, PixelBox* __restrict__ boxes) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Box b = bounding_box(means + 2 * i, conics + 3 * i, cutoff, canvas);
  boxes[i] = b.empty() ? PixelBox{0, 0, 0, 0} : PixelBox{b.x0, b.y0, b.x1, b.y1};
}

// Splats that touch each bin: how many (offsets[bin + 1]), or with kFill which, from offsets[bin] on.
template <bool kFill>
__global__ void __launch_bounds__(kBinThreads)
    bin_splats(const PixelBox* __restrict__ boxes, int count, int across, int64_t* offsets, int* __restrict__ lists) {
  __shared__ int warps[kBinThreads / kWarp];
  const int bins = gridDim.x, bin = blockIdx.x, frame = blockIdx.y;
  const int x = bin % across * kBin, y = bin / across * kBin;
  const PixelBox area{x, y, x + kBin, y + kBin};
  const int64_t at = static_cast<int64_t>(frame) * bins + bin;
  boxes += static_cast<int64_t>(frame) * count;
  int64_t found = kFill ? offsets[at] : 0;
  for (int begin = 0; begin < count; begin += kBinThreads) {
    const int i = begin + threadIdx.x;
    const bool hit = i < count && overlap(boxes[i], area);
    int total;
    const int rank = rank_of<kBinThreads>(hit, warps, &total);
    if (kFill && hit) lists[found + rank] = i;
    found += total;
  }
  if (!kFill && threadIdx.x == 0) offsets[at + 1] = found;
}

// Turns counts at offsets[1 ..] into offsets, with one block.
__global__ void scan_counts(int64_t* offsets, int64_t bins) {
  __shared__ int64_t sums[kScanThreads];
  const int64_t each = (bins + kScanThreads - 1) / kScanThreads, begin = threadIdx.x * each;
  const int64_t end = begin + each < bins ? begin + each : bins;
  int64_t sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += offsets[i + 1];
  sums[threadIdx.x] = sum;
  __syncthreads();
  int64_t before = 0;
  for (int t = 0; t < static_cast<int>(threadIdx.x); ++t) before += sums[t];
  for (int64_t i = begin; i < end; ++i) {
    before += offsets[i + 1];
    offsets[i + 1] = before;
  }
  if (threadIdx.x == 0) offsets[0] = 0;
}

template <int C>
struct Staged {
  float mx, a, b, c, my;
  float color[C];
};

template <int C>
__global__ void __launch_bounds__(kTileThreads)
    draw_tiles(Splats s, Canvas canvas, float cutoff, const PixelBox* __restrict__ boxes,
               const int64_t* __restrict__ offsets, const int* __restrict__ lists, const float* __restrict__ base,
               bool base_is_color, float* __restrict__ out) {
  __shared__ Staged<C> staged[kTileThreads];
  __shared__ int warps[kTileThreads / kWarp];
  const int frame = blockIdx.z, t = threadIdx.x;
  const int left = blockIdx.x * kTile, top = blockIdx.y * kTile;
  const int x = left + t % kTile, y = top + t / kTile;
  const PixelBox area{left, top, left + kTile, top + kTile};
  const int across = parts(canvas.width, kBin), bins = across * parts(canvas.height, kBin);
  const int64_t bin = static_cast<int64_t>(frame) * bins + top / kBin * across + left / kBin;
  const int64_t first = static_cast<int64_t>(frame) * s.count;
  const float limit = -0.5f * cutoff;

  float sum[C];
  for (int c = 0; c < C; ++c) sum[c] = 0.0f;
  for (int64_t begin = offsets[bin], end = offsets[bin + 1]; begin < end; begin += kTileThreads) {
    const int64_t at = begin + t;
    const int64_t i = at < end ? first + lists[at] : 0;
    const bool hit = at < end && overlap(boxes[i], area);
    int total;
    const int rank = rank_of<kTileThreads>(hit, warps, &total);
    if (hit) {
      Staged<C>& splat = staged[rank];
      splat.mx = s.means[2 * i];
      splat.my = s.means[2 * i + 1];
      splat.a = s.conics[3 * i];
      splat.b = s.conics[3 * i + 1];
      splat.c = s.conics[3 * i + 2];
      for (int c = 0; c < C; ++c) splat.color[c] = s.colors[C * i + c];
    }
    __syncthreads();
    for (int k = 0; k < total; ++k) {
      const Staged<C>& splat = staged[k];
      const float dx = center_distance(x, splat.mx), dy = center_distance(y, splat.my);
      const RowTerms row = row_terms(splat.a, splat.b, splat.c, dy);
      const float h = exponent(row.a, row.b, row.c, dx);
      if (h < limit) continue;
      const float g = __expf(h);
      for (int c = 0; c < C; ++c) sum[c] += g * splat.color[c];
    }
    __syncthreads();
  }
  if (x >= canvas.width || y >= canvas.height) return;
  const int64_t plane = static_cast<int64_t>(canvas.width) * canvas.height;
  for (int c = 0; c < C; ++c) {
    const int64_t at = (static_cast<int64_t>(frame) * C + c) * plane + static_cast<int64_t>(y) * canvas.width + x;
    out[at] = sum[c] + (!base ? 0.0f : base_is_color ? base[c] : base[at]);
  }
}

// The sum over a block's threads, in thread 0. `warps` is shared.
template <int kThreads>
__device__ inline float block_sum(float v, float* warps) {
  for (int step = kWarp / 2; step > 0; step /= 2) v += __shfl_down_sync(kAll, v, step);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = v;
  __syncthreads();
  float total = 0.0f;
  for (int w = 0; w < kThreads / kWarp; ++w) total += warps[w];
  __syncthreads();
  return total;
}

template <int C>
__global__ void __launch_bounds__(kSplatThreads)
    gather_gradients(Splats s, Canvas canvas, float cutoff, const float* __restrict__ v_out,
                     float* __restrict__ v_means, float* __restrict__ v_conics, float* __restrict__ v_colors) {
  __shared__ float warps[kSplatThreads / kWarp];
  const int64_t i = static_cast<int64_t>(blockIdx.y) * s.count + blockIdx.x;
  const int64_t plane = static_cast<int64_t>(canvas.width) * canvas.height;
  const Ellipse e = make_ellipse(s.means + 2 * i, s.conics + 3 * i, cutoff);
  const Box box = bounding_box(s.means + 2 * i, s.conics + 3 * i, cutoff, canvas);
  const float* picture = v_out + static_cast<int64_t>(blockIdx.y) * C * plane;
  const float limit = -0.5f * cutoff;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;

  float color[C], v_color[C];
  for (int c = 0; c < C; ++c) {
    color[c] = s.colors[C * i + c];
    v_color[c] = 0.0f;
  }
  Moments m{0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  for (int y = box.y0 + warp; y < box.y1; y += kSplatThreads / kWarp) {
    const float dy = center_distance(y, e.my);
    const Span span = row_span(e, dy, box.x0, box.x1);
    const RowTerms row = row_terms(e.a, e.b, e.c, dy);
    for (int x = span.first + lane; x <= span.last; x += kWarp) {
      const float dx = center_distance(x, e.mx);
      const float h = exponent(row.a, row.b, row.c, dx);
      if (h < limit) continue;
      const float g = __expf(h);
      float dot = 0.0f;
      for (int c = 0; c < C; ++c) {
        const float v = picture[c * plane + static_cast<int64_t>(y) * canvas.width + x];
        dot += v * color[c];
        v_color[c] += g * v;
      }
      const float w = g * dot;
      m.x += w * dx;
      m.y += w * dy;
      m.xx += w * dx * dx;
      m.xy += w * dx * dy;
      m.yy += w * dy * dy;
    }
  }
  for (int c = 0; c < C; ++c) v_color[c] = block_sum<kSplatThreads>(v_color[c], warps);
  m.x = block_sum<kSplatThreads>(m.x, warps);
  m.y = block_sum<kSplatThreads>(m.y, warps);
  m.xx = block_sum<kSplatThreads>(m.xx, warps);
  m.xy = block_sum<kSplatThreads>(m.xy, warps);
  m.yy = block_sum<kSplatThreads>(m.yy, warps);
  if (threadIdx.x != 0) return;
  for (int c = 0; c < C; ++c) v_colors[C * i + c] = v_color[c];
  if (e.valid) {
    shape_gradients(e, m, v_means + 2 * i, v_conics + 3 * i);
  } else {
    for (int k = 0; k < 2; ++k) v_means[2 * i + k] = 0.0f;
    for (int k = 0; k < 3; ++k) v_conics[3 * i + k] = 0.0f;
  }
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

// Calls f with the number of channels as a constant.
template <class F>
void with_channels(int channels, F f) {
  switch (channels) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 3:
      return f(std::integral_constant<int, 3>());
    default:
      return f(std::integral_constant<int, 4>());
  }
}

}  // namespace

void Rasterizer::bin(const Splats& s, Canvas canvas, float cutoff) {
  const int64_t total = static_cast<int64_t>(s.frames) * s.count;
  const int across = parts(canvas.width, kBin), bins = across * parts(canvas.height, kBin);
  const int64_t lists = static_cast<int64_t>(s.frames) * bins;
  PixelBox* boxes = boxes_.reserve(total);
  int64_t* offsets = offsets_.reserve(lists + 1);
  if (total)
    launch_loop(find_boxes, dim3(parts(total, 256)), 256, stream_, s.means, s.conics, total, canvas, cutoff, boxes);
  const dim3 grid(bins, s.frames);
  launch(bin_splats<false>, grid, kBinThreads, stream_, boxes, s.count, across, offsets, nullptr);
  launch(scan_counts, dim3(1), kScanThreads, stream_, offsets, lists);
  int64_t pairs = 0;
  check(cudaMemcpyAsync(&pairs, offsets + lists, sizeof pairs, cudaMemcpyDeviceToHost, stream_), "counting splats");
  check(cudaStreamSynchronize(stream_), "counting splats");
  int* list = lists_.reserve(pairs);
  launch(bin_splats<true>, grid, kBinThreads, stream_, boxes, s.count, across, offsets, list);
}

void Rasterizer::forward(const Splats& s, Canvas canvas, float cutoff, const float* base, bool base_is_color,
                         float* out) {
  bin(s, canvas, cutoff);
  const dim3 grid(parts(canvas.width, kTile), parts(canvas.height, kTile), s.frames);
  with_channels(s.channels, [&](auto c) {
    launch(draw_tiles<c()>, grid, kTileThreads, stream_, s, canvas, cutoff, boxes_.data(), offsets_.data(),
           lists_.data(), base, base_is_color, out);
  });
}

void Rasterizer::backward(const Splats& s, Canvas canvas, float cutoff, const float* v_out, float* v_means,
                          float* v_conics, float* v_colors) {
  if (s.count == 0 || s.frames == 0) return;
  with_channels(s.channels, [&](auto c) {
    launch(gather_gradients<c()>, dim3(s.count, s.frames), kSplatThreads, stream_, s, canvas, cutoff, v_out, v_means,
           v_conics, v_colors);
  });
}

void Rasterizer::to_bytes(const float* planes, int channels, Canvas canvas, bool unpremultiply, unsigned char* out) {
  const int64_t pixels = static_cast<int64_t>(canvas.width) * canvas.height;
  launch_loop(pack_bytes, dim3(parts(pixels, 256)), 256, stream_, planes, channels, pixels, unpremultiply, out);
}

}  // namespace splat2d::gpu
