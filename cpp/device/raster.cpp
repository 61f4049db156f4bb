#include "device/raster.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "math/pool.hpp"
#include "texture/texture.hpp"

namespace splat2d {

namespace {

// Pairs of splats and tiles that are listed at a time; more are drawn in several bands of tile rows.
constexpr int64_t kMaxPairs = int64_t{1} << 26;
// Splats that a thread takes at a time, at least.
constexpr size_t kLeastBoxes = 2048, kLeastGradients = 16;
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
  pieces_of(threads, s.count, kLeastBoxes, [&](size_t begin, size_t end) {
    for (size_t n = begin; n < end; ++n)
      t.boxes[n] = bounding_box(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff), canvas);
  });
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
bool for_each_tile(const Splats& s, Canvas canvas, float cutoff, bool exact, int threads, const TextureDrawer* texture,
                   Stopped stopped, Fill fill, Finish finish) {
  const Tiling tiling = make_tiling(s, canvas, cutoff, threads);
  const auto accumulate = (exact ? kernels().accumulate : kernels().sketch)[s.channels - 1];
  std::atomic<bool> stop{false};
  for (int first = 0, last = 0; first < tiling.down && !stop; first = last) {
    int64_t pairs = tiling.row_pairs[last++];
    while (last < tiling.down && pairs + tiling.row_pairs[last] <= kMaxPairs) pairs += tiling.row_pairs[last++];
    const Bins bins = bin_splats(tiling, first, last);
    const size_t count = static_cast<size_t>(tiling.across) * (last - first);
    together(threads, count, [&](Share* share) {
      std::vector<float> buffer(static_cast<size_t>(s.channels) * kTilePlane + 16);
      std::vector<float> noise(texture ? kTilePlane + 16 : 0);
      for (size_t t; share->take(&t);) {
        const auto ends = [&] {
          if (stopped && share->caller() && !stop && stopped()) stop = true;
          return stop.load(std::memory_order_relaxed);
        };
        if (ends()) return;
        const int column = static_cast<int>(t) % tiling.across, row = first + static_cast<int>(t) / tiling.across;
        const int x0 = column * kTileWidth, y0 = row * kTileHeight;
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
        finish(row * tiling.across + column, tile, buffer.data());
      }
    });
  }
  return !stop;
}

void fill_color(int channels, const float* color, float* buffer) {
  for (int c = 0; c < channels; ++c)
    std::fill_n(buffer + static_cast<size_t>(c) * kTilePlane, kTilePlane, color ? color[c] : 0.0f);
}

// `finish` writes a row of a tile to `at` in a picture, and returns its sum of squares; returns that of all, or -1.
template <class Finish>
double render_floats(const Splats& s, Canvas canvas, float cutoff, bool exact, const float* base, bool base_is_color,
                     float* out, int threads, const TextureDrawer* texture, Stopped stopped, Finish finish) {
  const size_t plane = canvas.area();
  const size_t tiles = (static_cast<size_t>(canvas.width) + kTileWidth - 1) / kTileWidth *
                       ((static_cast<size_t>(canvas.height) + kTileHeight - 1) / kTileHeight);
  std::vector<double> squares(tiles, 0.0);
  const bool whole = for_each_tile(
      s, canvas, cutoff, exact, threads, texture, stopped,
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
            squares[t] += finish(buffer + c * kTilePlane + (y - tile.y0) * kTileStride,
                                 c * plane + static_cast<size_t>(y) * canvas.width + tile.x0, tile.x1 - tile.x0, out);
      });
  if (!whole) return -1;
  double total = 0;
  for (double v : squares) total += v;
  return total;
}

}  // namespace

double render_forward(const Splats& s, Canvas canvas, float cutoff, const float* base, bool base_is_color, float* out,
                      int threads, const TextureDrawer* texture, Stopped stopped) {
  return render_floats(s, canvas, cutoff, true, base, base_is_color, out, threads, texture, stopped,
                       [](const float* from, size_t at, int count, float* to) {
                         return kernels().copy_and_square(from, to + at, count);
                       });
}

double render_residual(const Splats& s, Canvas canvas, float cutoff, const float* base, Headroom headroom, float* out,
                       int threads) {
  return render_floats(s, canvas, cutoff, false, base, false, out, threads, nullptr, nullptr,
                       [headroom](const float* from, size_t at, int count, float* to) {
                         if (!headroom.signs) return kernels().copy_and_square(from, to + at, count);
                         return kernels().saturate(from, headroom.signs + at, headroom.free, count, to + at);
                       });
}

bool render_bytes(const Splats& s, Canvas canvas, float cutoff, const float* background, bool unpremultiply,
                  unsigned char* out, int threads, const TextureDrawer* texture, Stopped stopped) {
  const Kernels& k = kernels();
  return for_each_tile(
      s, canvas, cutoff, true, threads, texture, stopped,
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
  const size_t count = s.count, pieces = (count + kLeastGradients - 1) / kLeastGradients;
  each_of(threads, pieces, [&](size_t piece) {
    for (size_t n = piece * kLeastGradients; n < std::min(count, (piece + 1) * kLeastGradients); ++n) {
      backward(make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)),
               bounding_box(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff), canvas), canvas,
               s.colors + s.channels * n, v_out, v_means + 2 * n, v_conics + 3 * n, v_colors + s.channels * n);
      if (!make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)).valid)
        std::fill_n(v_means + 2 * n, 2, 0.0f);
    }
  });
}

double count_pairs(const Splats& s, Canvas canvas, float cutoff) {
  double pairs = 0;
  for (size_t n = 0; n < static_cast<size_t>(s.count); ++n)
    pairs += kernels().count_pairs(make_ellipse(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff)),
                                   bounding_box(s.means + 2 * n, s.conics + 3 * n, s.cutoff(n, cutoff), canvas));
  return pairs;
}

}  // namespace splat2d
