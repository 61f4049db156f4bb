#include "device/pyramid.hpp"

#include <algorithm>

namespace splat2d {

namespace {

constexpr int kLeastSide = 16;  // px of a level, without what it has more

}  // namespace

int Pyramid::levels_of(Canvas canvas) {
  int levels = 0;
  while (levels < kMaxLevels && std::min(canvas.width, canvas.height) >> (levels + 1) >= kLeastSide) ++levels;
  return levels;
}

Pyramid::Pyramid(Canvas canvas, int planes) : canvases_{canvas} {
  for (int level = 0; level < levels_of(canvas); ++level) {
    const Canvas below = canvases_.back();
    canvases_.push_back({(below.width + 1) / 2 + 4, (below.height + 1) / 2 + 4});
    pictures_.push_back(Array<float>::unset(canvases_.back().area() * planes));
  }
}

void Pyramid::enlarge(const Device& device, int planes, int level, const float* base, float* out) {
  const Canvas coarse = canvases_[level], fine = canvases_[level - 1];
  const float* from = picture(level);
  device.for_rows(planes * fine.height, fine.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int plane = row / fine.height, y = row % fine.height;
    const float *rows[4], *first = from + plane * coarse.area() + static_cast<size_t>(y / 2 + y % 2) * coarse.width;
    float factors[4];
    SPLAT2D_UNROLL
    for (int i = 0; i < 4; ++i) {
      rows[i] = first + static_cast<size_t>(i) * coarse.width;
      factors[i] = cubic_tap(y % 2 ? 3 - i : i);
    }
    const size_t at = static_cast<size_t>(row) * fine.width;
    enlarge_row(rows, factors, coarse.width, base ? base + at : nullptr, fine.width, x0, x1, out + at);
  });
}

void Pyramid::shrink(const Device& device, int planes, const float* from, int level) {
  const Canvas coarse = canvases_[level], fine = canvases_[level - 1];
  float* out = picture(level);
  device.for_rows(planes * coarse.height, coarse.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int plane = row / coarse.height, y = row % coarse.height;
    const float* rows[kShrunkRows];
    float factors[kShrunkRows];
    // Rows beyond the border count nothing.
    const auto take = [&](int i, int fine_y, float factor) {
      const bool inside = fine_y >= 0 && fine_y < fine.height;
      rows[i] = from + plane * fine.area() + static_cast<size_t>(inside ? fine_y : 0) * fine.width;
      factors[i] = inside ? factor : 0.0f;
    };
    SPLAT2D_UNROLL
    for (int i = 0; i < 4; ++i) {
      take(2 * i, 2 * (y - i), cubic_tap(i));
      take(2 * i + 1, 2 * (y - 1 - i) + 1, cubic_tap(3 - i));
    }
    shrink_row(rows, factors, kShrunkRows, fine.width, x0, x1, out + static_cast<size_t>(row) * coarse.width);
  });
}

}  // namespace splat2d
