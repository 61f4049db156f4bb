#include "fit/windows.hpp"

#include <algorithm>

#include "math/kernels.hpp"
#include "math/pool.hpp"

namespace splat2d {

std::unique_ptr<float[]> windowed(const float* planes, int channels, Canvas canvas, const std::vector<float>& taps,
                                  int threads) {
  constexpr size_t kLeastRows = 16;  // that a thread takes at a time
  const size_t width = canvas.width, height = canvas.height, area = canvas.area();
  const int count = static_cast<int>(taps.size()), radius = count / 2;
  // Not cleared: whoever writes a row first makes room for it.
  std::unique_ptr<float[]> across(new float[area]), out(new float[area * channels]);
  for (int c = 0; c < channels; ++c) {
    const float* plane = planes + c * area;
    pieces_of(threads, height, kLeastRows, [&](size_t begin, size_t end) {
      std::vector<float> line(width + 2 * radius);
      for (size_t y = begin; y < end; ++y) {
        const float* from = plane + y * width;
        std::fill_n(line.begin(), radius, from[0]);
        std::copy_n(from, width, line.begin() + radius);
        std::fill_n(line.begin() + radius + width, radius, from[width - 1]);
        kernels().weigh_rows(line.data(), 1, taps.data(), count, canvas.width, across.get() + y * width);
      }
    });
    pieces_of(threads, height, kLeastRows, [&](size_t begin, size_t end) {
      std::vector<const float*> near(count);
      for (size_t y = begin; y < end; ++y) {
        for (int i = 0; i < count; ++i)
          near[i] = across.get() + width * std::clamp(static_cast<int>(y) + i - radius, 0, canvas.height - 1);
        kernels().sum_rows(near.data(), taps.data(), count, canvas.width, out.get() + c * area + y * width);
      }
    });
  }
  return out;
}

}  // namespace splat2d
