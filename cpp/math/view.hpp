// A splat of the canvas as the pixels of a window see it: moved, scaled, and blurred where the window shrinks it.
#pragma once

#include "math/gaussian.hpp"

namespace splat2d {

// Target pixel (i, j) samples canvas point (x + (i + 0.5) / scale_x, y + (j + 0.5) / scale_y).
struct Window {
  double x, y, scale_x, scale_y;
};

// Writes the mean [2], conic [3] and colours [C] in target px; what cannot be drawn, which is told, gets a conic of
// zeros. An axis that
// shrinks (scale s < 1) is blurred by what the target pixel's footprint has beyond the canvas pixel's, a variance of
// (1 - s^2) / 12 px^2 of the target; colours follow, so that a splat keeps its integral.
template <class Real>
SPLAT2D_HD bool through_window(const Window& w, const Real* mean, const Real* conic, int channels, const Real* color,
                               float* to_mean, float* to_conic, float* to_color) {
  const double a = conic[0], b = conic[1], c = conic[2], det = a * c - b * b;
  const double sx = w.scale_x, sy = w.scale_y;
  const double extra_x = sx < 1 ? (1 - sx * sx) / 12 : 0, extra_y = sy < 1 ? (1 - sy * sy) / 12 : 0;
  to_mean[0] = static_cast<float>((mean[0] - w.x) * sx);
  to_mean[1] = static_cast<float>((mean[1] - w.y) * sy);
  bool usable = a > 0 && c > 0 && det > 0 && det - det == 0;
  for (int i = 0; i < channels; ++i) usable = usable && is_finite(color[i]);
  double height = 1;
  double out[3] = {a / (sx * sx), b / (sx * sy), c / (sy * sy)};
  if (usable && (extra_x > 0 || extra_y > 0)) {
    // Covariance in target px^2. Its determinant comes from the conic's, because xx * yy - xy * xy would cancel for
    // thin splats.
    const double xx = c / det * sx * sx, xy = -b / det * sx * sy, yy = a / det * sy * sy;
    const double before = sx * sy * (sx * sy) / det, after = before + extra_x * yy + extra_y * xx + extra_x * extra_y;
    height = sqrt(before / after);
    out[0] = (yy + extra_y) / after;
    out[1] = -xy / after;
    out[2] = (xx + extra_x) / after;
  }
  for (int i = 0; i < 3; ++i) to_conic[i] = usable ? static_cast<float>(out[i]) : 0.0f;
  for (int i = 0; i < channels; ++i) to_color[i] = usable ? static_cast<float>(color[i] * height) : 0.0f;
  return usable;
}

// Whether a splat that can be drawn reaches into a window of so many pixels, at least half a pixel further than the
// outermost pixel centre, which covers all rounding.
template <class Real>
SPLAT2D_HD bool touches_window(const Window& w, const Real* mean, const Real* conic, int width, int height,
                               double cutoff) {
  const double a = conic[0], b = conic[1], c = conic[2], det = a * c - b * b;
  const double scales[2] = {w.scale_x, w.scale_y}, from[2] = {w.x, w.y}, variances[2] = {c / det, a / det};
  const int sides[2] = {width, height};
  for (int i = 0; i < 2; ++i) {
    const double s = scales[i], at = (mean[i] - from[i]) * s;
    const double reach = sqrt(cutoff * (variances[i] * (s * s) + (s < 1 ? (1 - s * s) / 12 : 0)));
    if (!(at + reach >= 0 && at - reach <= sides[i])) return false;
  }
  return true;
}

}  // namespace splat2d
