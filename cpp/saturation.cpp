#include "saturation.hpp"

#include <algorithm>

#include "kernels.hpp"

namespace splat2d {

namespace {

constexpr float kHalfLevel = 0.5f / 255.0f;  // what rounds to white or black
constexpr size_t kChunk = 1 << 14;           // a fixed partition of the sum
// Farther beyond it costs again, so that no sums grow that a later edit, darkening for one, would bring to light.
constexpr float kFree = 0.25f;

}  // namespace

Saturation::Saturation(const float* image, size_t size) : signs_(size) {
  bool any = false;
  for (size_t i = 0; i < size; ++i) {
    signs_[i] = static_cast<int8_t>((image[i] >= 1.0f - kHalfLevel) - (image[i] <= kHalfLevel));
    any = any || signs_[i];
  }
  if (!any) signs_ = {};
}

double Saturation::clip(double squares, std::vector<float>* residual, int threads) const {
  if (signs_.empty()) return squares;
  const int chunks = static_cast<int>((signs_.size() + kChunk - 1) / kChunk);
  std::vector<double> parts(chunks);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int k = 0; k < chunks; ++k) {
    const size_t begin = k * kChunk, end = std::min(begin + kChunk, signs_.size());
    float* r = residual->data();
    for (size_t i = begin; i < end; ++i) {
      const float sign = static_cast<float>(signs_[i]);
      r[i] -= sign * std::clamp(sign * r[i], 0.0f, kFree);
    }
    parts[k] = kernels().dot(r + begin, r + begin, static_cast<int>(end - begin));
  }
  squares = 0;
  for (double p : parts) squares += p;
  return squares;
}

void Saturation::clip_gradient(const std::vector<float>& residual, std::vector<float>* gradient) const {
  for (size_t i = 0; i < signs_.size(); ++i)
    if (signs_[i] && residual[i] == 0) (*gradient)[i] = 0;
}

}  // namespace splat2d
