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

Pyramid::Pyramid(Canvas canvas, int channels)
    : channels_(channels),
      canvases_{canvas},
      line_(canvas.width + 8),
      scratch_(canvas.width + 40),
      zeros_(canvas.width + 8) {
  for (int level = 0; level < levels_of(canvas); ++level) {
    const Canvas below = canvases_.back();
    canvases_.push_back({(below.width + 1) / 2 + 4, (below.height + 1) / 2 + 4});
    planes_.emplace_back(canvases_.back().area() * channels);
  }
}

void Pyramid::enlarge(int level, const float* base, float* out) {
  const Canvas coarse = canvases_[level], fine = canvases_[level - 1];
  const float* from = picture(level);
  for (int row = 0; row < channels_ * fine.height; ++row) {
    const int c = row / fine.height, y = row % fine.height;
    const float *rows[4], *first = from + c * coarse.area() + static_cast<size_t>(y / 2 + y % 2) * coarse.width;
    float factors[4];
    for (int i = 0; i < 4; ++i) {
      rows[i] = first + static_cast<size_t>(i) * coarse.width;
      factors[i] = kCubicTaps[y % 2 ? 3 - i : i];
    }
    kernels().sum_rows(rows, factors, 4, coarse.width, line_.data());
    const size_t at = c * fine.area() + static_cast<size_t>(y) * fine.width;
    kernels().widen_row(line_.data(), base ? base + at : zeros_.data(), fine.width, out + at);
  }
}

void Pyramid::shrink(const float* from, int level) {
  const Canvas coarse = canvases_[level], fine = canvases_[level - 1];
  float* out = picture(level);
  for (int row = 0; row < channels_ * coarse.height; ++row) {
    const int c = row / coarse.height, y = row % coarse.height;
    const float* rows[8];
    float factors[8];
    int count = 0;
    const auto take = [&](int fine_y, float factor) {
      if (fine_y < 0 || fine_y >= fine.height) return;
      rows[count] = from + c * fine.area() + static_cast<size_t>(fine_y) * fine.width;
      factors[count++] = factor;
    };
    for (int i = 0; i < 4; ++i) {
      take(2 * (y - i), kCubicTaps[i]);
      take(2 * (y - 1 - i) + 1, kCubicTaps[3 - i]);
    }
    kernels().sum_rows(rows, factors, count, fine.width, line_.data());
    kernels().narrow_row(line_.data(), fine.width, scratch_.data(),
                         out + c * coarse.area() + static_cast<size_t>(y) * coarse.width);
  }
}

}  // namespace splat2d
