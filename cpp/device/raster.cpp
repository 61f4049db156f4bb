#include "device/raster.hpp"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "texture/texture.hpp"

namespace splat2d {

namespace {

// Pairs of splats and tiles that are listed at a time; more are drawn in several bands of tile rows.
constexpr int64_t kMaxPairs = int64_t{1} << 26;
constexpr size_t kLook = 1024;  // splats of a tile between looks at whether to stop

struct Tiling {
  int across, down;
  std::vector<Box> boxes;          // of the splats
  std::vector<int64_t> row_pairs;  // splat-tile pairs of each row of tiles
};

Tiling make_tiling(const Splats& s, Canvas canvas, float cutoff, int threads) {
  Tiling t{(canvas.width + kTileWidth - 1) / kTileWidth, (canvas.height + kTileHeight - 1) / kTileHeight, {}, {}};
  t.boxes.resize(s.count);
  t.row_pairs.assign(t.down, 0);
#pragma omp parallel for num_threads(threads) if (threads > 1 && s.count > 4096)
  for (int i = 0; i < s.count; ++i) {
    const size_t n = i;
    t.boxes[n] = bounding_box(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff), canvas);
  }
  for (const Box& b : t.boxes) {
    if (b.empty()) continue;
    const int columns = (b.x1 - 1) / kTileWidth - b.x0 / kTileWidth + 1;
    for (int row = b.y0 / kTileHeight; row <= (b.y1 - 1) / kTileHeight; ++row) t.row_pairs[row] += columns;
  }
  return t;
}

// For each tile of rows [first, last) the splats that touch it, in index order (so that sums have one order).
struct Bins {
  std::vector<size_t> start;  // [tiles + 1] offsets into `splats`
  std::vector<int> splats;
};

Bins bin_splats(const Tiling& t, int first, int last) {
  Bins bins;
  bins.start.assign(static_cast<size_t>(t.across) * (last - first) + 1, 0);
  const auto each_tile = [&](const Box& b, auto&& visit_tile) {
    if (b.empty()) return;
    for (int ty = std::max(b.y0 / kTileHeight, first); ty <= std::min((b.y1 - 1) / kTileHeight, last - 1); ++ty)
      for (int tx = b.x0 / kTileWidth; tx <= (b.x1 - 1) / kTileWidth; ++tx)
        visit_tile(static_cast<size_t>(ty - first) * t.across + tx);
  };
  for (const Box& b : t.boxes) each_tile(b, [&](size_t tile) { ++bins.start[tile + 1]; });
  for (size_t i = 1; i < bins.start.size(); ++i) bins.start[i] += bins.start[i - 1];
  bins.splats.resize(bins.start.back());
  std::vector<size_t> next(bins.start.begin(), bins.start.end() - 1);
  for (size_t n = 0; n < t.boxes.size(); ++n)
    each_tile(t.boxes[n], [&](size_t tile) { bins.splats[next[tile]++] = static_cast<int>(n); });
  return bins;
}

// Runs `fill` and `finish` around each tile's accumulation and its texture; tiles are independent. Whether it was not
// stopped.
template <class Fill, class Finish>
bool for_each_tile(const Splats& s, Canvas canvas, float cutoff, int threads, const TextureDrawer* texture,
                   Stopped stopped, Fill fill, Finish finish) {
  const Tiling tiling = make_tiling(s, canvas, cutoff, threads);
  const auto accumulate = kernels().accumulate[s.channels - 1];
  std::atomic<bool> stop{false};
  for (int first = 0, last = 0; first < tiling.down && !stop; first = last) {
    int64_t pairs = tiling.row_pairs[last++];
    while (last < tiling.down && pairs + tiling.row_pairs[last] <= kMaxPairs) pairs += tiling.row_pairs[last++];
    const Bins bins = bin_splats(tiling, first, last);
    const int count = tiling.across * (last - first);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      std::vector<float> buffer(static_cast<size_t>(s.channels) * kTilePlane + 16);
      std::vector<float> noise(texture ? kTilePlane + 16 : 0);
#pragma omp for schedule(dynamic)
      for (int t = 0; t < count; ++t) {
        const auto ends = [&] {
          if (stopped && omp_get_thread_num() == 0 && !stop && stopped()) stop = true;
          return stop.load(std::memory_order_relaxed);
        };
        if (ends()) continue;
        const int x0 = t % tiling.across * kTileWidth, y0 = (first + t / tiling.across) * kTileHeight;
        const Box tile{x0, y0, std::min(x0 + kTileWidth, canvas.width), std::min(y0 + kTileHeight, canvas.height)};
        fill(tile, buffer.data());
        for (size_t i = bins.start[t]; i < bins.start[t + 1]; ++i) {
          if (i % kLook == 0 && ends()) break;
          const size_t n = bins.splats[i];
          const Box b = tiling.boxes[n];
          const Box clipped{std::max(b.x0, tile.x0), std::max(b.y0, tile.y0), std::min(b.x1, tile.x1),
                            std::min(b.y1, tile.y1)};
          accumulate(make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)), clipped, tile,
                     s.colors + s.channels * n, buffer.data());
        }
        if (texture) texture->add(tile, s.channels, buffer.data(), noise.data());
        finish(first * tiling.across + t, tile, buffer.data());
      }
    }
  }
  return !stop;
}

void fill_color(int channels, const float* color, float* buffer) {
  for (int c = 0; c < channels; ++c)
    std::fill_n(buffer + static_cast<size_t>(c) * kTilePlane, kTilePlane, color ? color[c] : 0.0f);
}

}  // namespace

double render_forward(const Splats& s, Canvas canvas, float cutoff, const float* base, bool base_is_color, float* out,
                      int threads, const TextureDrawer* texture, Stopped stopped) {
  const size_t plane = static_cast<size_t>(canvas.width) * canvas.height;
  const size_t tiles = (static_cast<size_t>(canvas.width) + kTileWidth - 1) / kTileWidth *
                       ((static_cast<size_t>(canvas.height) + kTileHeight - 1) / kTileHeight);
  std::vector<double> squares(tiles, 0.0);
  const Kernels& k = kernels();
  const bool whole = for_each_tile(
      s, canvas, cutoff, threads, texture, stopped,
      [&](Box tile, float* buffer) {
        if (!base || base_is_color) return fill_color(s.channels, base, buffer);
        for (int c = 0; c < s.channels; ++c)
          for (int y = tile.y0; y < tile.y1; ++y)
            std::copy_n(base + c * plane + static_cast<size_t>(y) * canvas.width + tile.x0, tile.x1 - tile.x0,
                        buffer + c * kTilePlane + (y - tile.y0) * kTileStride);
      },
      [&](int t, Box tile, const float* buffer) {
        for (int c = 0; c < s.channels; ++c)
          for (int y = tile.y0; y < tile.y1; ++y)
            squares[t] +=
                k.copy_and_square(buffer + c * kTilePlane + (y - tile.y0) * kTileStride,
                                  out + c * plane + static_cast<size_t>(y) * canvas.width + tile.x0, tile.x1 - tile.x0);
      });
  if (!whole) return -1;
  double total = 0;
  for (double v : squares) total += v;
  return total;
}

bool render_bytes(const Splats& s, Canvas canvas, float cutoff, const float* background, bool unpremultiply,
                  unsigned char* out, int threads, const TextureDrawer* texture, Stopped stopped) {
  const Kernels& k = kernels();
  return for_each_tile(
      s, canvas, cutoff, threads, texture, stopped,
      [&](Box, float* buffer) { fill_color(s.channels, background, buffer); },
      [&](int, Box tile, const float* buffer) {
        for (int y = tile.y0; y < tile.y1; ++y)
          k.bytes_row(buffer + (y - tile.y0) * kTileStride, tile.x1 - tile.x0, s.channels, unpremultiply,
                      out + (static_cast<size_t>(y) * canvas.width + tile.x0) * s.channels);
      });
}

void render_backward(const Splats& s, Canvas canvas, float cutoff, const float* v_out, float* v_means, float* v_conics,
                     float* v_colors, int threads) {
  const auto backward = kernels().backward[s.channels - 1];
#pragma omp parallel for schedule(dynamic, 32) num_threads(threads) if (threads > 1)
  for (int i = 0; i < s.count; ++i) {
    const size_t n = i;
    backward(make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)),
             bounding_box(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff), canvas), canvas,
             s.colors + s.channels * n, v_out, v_means + 2 * n, v_conics + 3 * n, v_colors + s.channels * n);
    if (!make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)).valid)
      std::fill_n(v_means + 2 * n, 2, 0.0f);
  }
}

double count_pairs(const Splats& s, Canvas canvas, float cutoff) {
  double pairs = 0;
  for (size_t n = 0; n < static_cast<size_t>(s.count); ++n)
    pairs += kernels().count_pairs(make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)),
                                   bounding_box(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff), canvas));
  return pairs;
}

}  // namespace splat2d
