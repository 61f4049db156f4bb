#include "fit/saturation.hpp"

#include <algorithm>

namespace splat2d {

namespace {

constexpr float kHalfLevel = 0.5f / 255.0f;  // what rounds to white or black
// Farther beyond it costs again, so that no sums grow that a later edit, darkening for one, would bring to light.
constexpr float kFree = 0.25f;

}  // namespace

Saturation::Saturation(const float* image, size_t size) {
  std::vector<int8_t> signs(size);
  for (size_t i = 0; i < size; ++i)
    signs[i] = static_cast<int8_t>((image[i] >= 1.0f - kHalfLevel) - (image[i] <= kHalfLevel));
  if (std::any_of(signs.begin(), signs.end(), [](int8_t sign) { return sign != 0; })) signs_ = Array(std::move(signs));
}

Headroom Saturation::headroom(size_t first) const {
  return signs_.empty() ? Headroom{} : Headroom{signs_.data() + first, kFree};
}

}  // namespace splat2d
