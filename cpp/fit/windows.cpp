#include "fit/windows.hpp"

#include <algorithm>

#include "math/kernels.hpp"
#include "math/pool.hpp"

namespace splat2d {

std::vector<float> windowed(const float* planes, int channels, Canvas canvas, const std::vector<float>& taps,
                            int threads) {
  constexpr size_t kLeastRows = 16;  // that a thread takes at a time
  const size_t width = canvas.width, height = canvas.height, rows = height * channels;
  const int count = static_cast<int>(taps.size()), radius = count / 2;
  std::vector<float> across(width * rows), out(width * rows);
  pieces_of(threads, rows, kLeastRows, [&](size_t begin, size_t end) {
    std::vector<float> line(width + 2 * radius);
    for (size_t row = begin; row < end; ++row) {
      const float* from = planes + row * width;
      std::fill_n(line.begin(), radius, from[0]);
      std::copy_n(from, width, line.begin() + radius);
      std::fill_n(line.begin() + radius + width, radius, from[width - 1]);
      kernels().weigh_rows(line.data(), 1, taps.data(), count, canvas.width, across.data() + row * width);
    }
  });
  pieces_of(threads, rows, kLeastRows, [&](size_t begin, size_t end) {
    std::vector<const float*> near(count);
    for (size_t row = begin; row < end; ++row) {
      const int top = static_cast<int>(row / height * height), y = static_cast<int>(row) - top;
      for (int i = 0; i < count; ++i)
        near[i] = across.data() + width * (top + std::clamp(y + i - radius, 0, canvas.height - 1));
      kernels().sum_rows(near.data(), taps.data(), count, canvas.width, out.data() + row * width);
    }
  });
  return out;
}

}  // namespace splat2d
