// What the error around a splat of a clip says of moves of it, so that only those that promise something are tried.
//
// One pass over the splat's frames gives the derivatives of its inner product with the error, to second order in its
// place and to first in the rest. What a moved splat shares with where it was is known but for cut-off and canvas.
#pragma once

#include <algorithm>
#include <cmath>

#include "fit/splat_step.hpp"
#include "format/course.hpp"
#include "math/kernels.hpp"

namespace splat2d {

class Forecast {
 public:
  // What a frame shows, for a slice of height 1; gradients are those of the error's inner product with the colours.
  struct Frame {
    float fade;  // height times the gain
    Projection sums;
    float v_mean[2], v_conic[3];
  };

  // For a splat that frames [first, first + count) show as `frames` say.
  Forecast(const MovingPose& pose, int channels, const float* color, const float* gains, const Frame* frames, int first,
           int count)
      : Forecast(pose, channels, color, gains, frames, first, count,
                 [](int t, int) { return static_cast<float>(t) + 0.5f; }) {}

  // center: frame, axis -> where on it a splat of time 0 and velocity 1 is.
  template <class Center>
  Forecast(const MovingPose& pose, int channels, const float* color, const float* gains, const Frame* frames, int first,
           int count, Center center)
      : pose_(pose), channels_(channels) {
    std::copy_n(color, channels, color_);
    for (int c = 0; c < channels; ++c) squares_ += color[c] * color[c];
    seen_.count = count;
    const float* a = pose.shape.conic;
    float energy = 0;
    for (int i = 0; i < (count + kLanes - 1) / kLanes * kLanes; ++i) {
      const Frame f = i < count ? frames[i] : Frame{};
      for (int axis = 0; axis < 2; ++axis) seen_.center[axis][i] = i < count ? center(first + i, axis) : 0.0f;
      seen_.gain[i] = i < count ? gains[first + i] : 0.0f;
      seen_.fade[i] = f.fade;
      float along = 0;
      for (int c = 0; c < channels; ++c) {
        along += color[c] * f.sums.with[c];
        error_.with[c] += f.fade * f.sums.with[c];
      }
      error_.self += f.fade * f.fade * f.sums.self;
      energy += f.fade * f.fade;
      seen_.along[i] = along;
      for (int k = 0; k < 2; ++k) seen_.slope[k][i] = f.fade * f.v_mean[k];
      const float xx = -2 * f.v_conic[0], xy = -f.v_conic[1], yy = -2 * f.v_conic[2];  // second moments
      const float p = a[0] * xx + a[1] * xy, q = a[0] * xy + a[1] * yy, r = a[1] * xy + a[2] * yy;
      seen_.bend[0][i] = f.fade * (p * a[0] + q * a[1] - along * a[0]);
      seen_.bend[1][i] = f.fade * (p * a[1] + q * a[2] - along * a[1]);
      seen_.bend[2][i] = f.fade * ((a[1] * xx + a[2] * xy) * a[1] + r * a[2] - along * a[2]);
      for (int k = 0; k < 3; ++k) v_conic_[k] += f.fade * f.v_conic[k];
    }
    const float whole = energy * fit::kPi / std::sqrt(a[0] * a[2] - a[1] * a[1]);
    visible_ = whole > 0 ? error_.self / whole : 0.0f;
  }

  // Inner products of the picture without the splat with the splat.
  Projection without() const {
    Projection out = error_;
    for (int c = 0; c < channels_; ++c) out.with[c] -= color_[c] * error_.self;
    return out;
  }

  // The same with the splat at another pose, as far as can be foreseen.
  Projection without(const MovingPose& moved) const {
    const float *a = pose_.shape.conic, *b = moved.shape.conic;
    const float sum[3] = {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
    const float det = sum[0] * sum[2] - sum[1] * sum[1], inverse = 1 / det;
    // The product of two Gaussians falls with their distance as A - A (A + B)^-1 A says.
    const float p = (a[0] * sum[2] - a[1] * sum[1]) * inverse, q = (a[1] * sum[0] - a[0] * sum[1]) * inverse;
    const float r = (a[1] * sum[2] - a[2] * sum[1]) * inverse, s = (a[2] * sum[0] - a[1] * sum[1]) * inverse;
    CourseChange change;
    for (int k = 0; k < 3; ++k) {
      change.from[k] = pose_.mean[k];
      change.to[k] = moved.mean[k];
    }
    for (int k = 0; k < 2; ++k) {
      change.from[3 + k] = pose_.velocity[k];
      change.to[3 + k] = moved.velocity[k];
    }
    change.precision = moved.precision;
    change.apart[0] = a[0] - p * a[0] - q * a[1];
    change.apart[1] = a[1] - p * a[1] - q * a[2];
    change.apart[2] = a[2] - r * a[1] - s * a[2];
    const Foreseen seen = kernels().foresee(seen_, change);
    float drift = seen.drift;
    for (int k = 0; k < 3; ++k) drift += v_conic_[k] * (b[k] - a[k]);
    const float shared = visible_ * seen.shared * 2 * fit::kPi / std::sqrt(det);
    Projection out;
    out.self = visible_ * seen.self * fit::kPi / std::sqrt(b[0] * b[2] - b[1] * b[1]);
    for (int c = 0; c < channels_; ++c) out.with[c] = error_.with[c] + color_[c] * (drift / squares_ - shared);
    return out;
  }

 private:
  static constexpr int kLanes = 16;  // that Sightings is padded to

  MovingPose pose_;
  int channels_;
  float color_[kMaxChannels], squares_ = 0;
  Sightings seen_;
  float v_conic_[3] = {0, 0, 0};
  Projection error_ = {};  // of the error
  float visible_ = 1;      // part of the splat's energy that the cut-off and the canvas leave
};

}  // namespace splat2d
