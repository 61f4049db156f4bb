#include "saturation.hpp"

#include <algorithm>

namespace splat2d {

namespace {

constexpr float kHalfLevel = 0.5f / 255.0f;  // what rounds to white or black
constexpr size_t kChunk = 1 << 14;           // a fixed partition of the sum

}  // namespace

Saturation::Saturation(const float* image, size_t size) : signs_(size) {
  bool any = false;
  for (size_t i = 0; i < size; ++i) {
    signs_[i] = static_cast<int8_t>((image[i] >= 1.0f - kHalfLevel) - (image[i] <= kHalfLevel));
    any = any || signs_[i];
  }
  if (!any) signs_ = {};
}

double Saturation::clip(std::vector<float>* residual, int threads) const {
  const int chunks = static_cast<int>((signs_.size() + kChunk - 1) / kChunk);
  std::vector<double> squares(chunks);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int k = 0; k < chunks; ++k) {
    float sum = 0;
    for (size_t i = k * kChunk; i < std::min((k + 1) * kChunk, signs_.size()); ++i) {
      float& r = (*residual)[i];
      const float over = r * static_cast<float>(signs_[i]) > 0 ? r : 0.0f;
      sum += over * over;
      r -= over;
    }
    squares[k] = sum;
  }
  double total = 0;
  for (double s : squares) total += s;
  return total;
}

void Saturation::clip_gradient(const std::vector<float>& residual, std::vector<float>* gradient) const {
  for (size_t i = 0; i < signs_.size(); ++i)
    if (signs_[i] && residual[i] == 0) (*gradient)[i] = 0;
}

}  // namespace splat2d
