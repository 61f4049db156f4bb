// The one definition of quantisation over views: cpp/format/quantizer.hpp for splats of light fields, in integer
// arithmetic.
//
// A row of integers is that of a picture's splat, whose centre is where the eye at (0, 0) sees it, and one more: its
// disparity, by how much it moves from view to view.
#pragma once

#include "format/quantizer.hpp"

namespace splat2d {

constexpr int kViewFields = 6;  // of a row after its colours
constexpr int kDisparity = 5;   // the last of them

constexpr int kEyeBits = 8;     // places of eyes are Q8 steps of the grid
constexpr int kMostViews = 64;  // of a light field
constexpr int64_t kFarthestEye = (int64_t{1} << 15) << kEyeBits;
constexpr int kDisparityBits = 16;  // disparities are Q16 px a step of the grid
constexpr int64_t kMaxDisparity = int64_t{256} << kDisparityBits;
// So that any two disparities differ by fewer steps than an escape can hold.
constexpr int64_t kFinestDisparity = 1 << (kDisparityBits - 7);

// From where a scene is seen.
struct Eyes {
  int views = 0;         // 0 where splats have no disparity
  int64_t spread = 0;    // root of the mean square of their places on either axis, Q8
  int64_t farthest = 0;  // of either axis, Q8
};

// Step of the disparity, Q16 px a step of the grid: that of the centre on the splat's short axis, over the eyes'
// spread.
SPLAT2D_HD int64_t disparity_step(int energy_class, int area, int aspect, const Eyes& eyes) {
  const int64_t step = shape_step(energy_class);
  const int64_t deviation = exp2_q16(((area - aspect) * step) >> 1);  // Q16 px
  const int64_t quantum = (position_step(energy_class) * deviation) >> 16;
  return clamp<int64_t>((quantum << kEyeBits) / eyes.spread, kFinestDisparity, 32 << kDisparityBits);
}

SPLAT2D_HD bool disparity_in_range(int64_t index, int64_t step) {
  const int64_t disparity = index * step;
  return disparity >= -kMaxDisparity && disparity <= kMaxDisparity;
}

// Encoder side: the index nearest to a disparity in px a step of the grid.
SPLAT2D_HD int32_t quantize_disparity(double disparity, int64_t step) {
  constexpr double kOne = 1 << kDisparityBits;
  const double most = static_cast<double>(kMaxDisparity / step);
  return static_cast<int32_t>(clamp(nearbyint(disparity * kOne / static_cast<double>(step)), -most, most));
}

}  // namespace splat2d
