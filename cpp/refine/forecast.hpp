// What the error around a splat of a clip says of moves of it, so that only those that promise something are tried.
//
// One pass over the splat's frames gives the derivatives of its inner product with the error, to second order in its
// place and to first in the rest. What a moved splat shares with where it was is known but for cut-off and canvas.
#pragma once

#include <cmath>

#include "device/slice.hpp"
#include "fit/distortion.hpp"
#include "format/course.hpp"
#include "refine/visit.hpp"

namespace splat2d {

struct Forecast {
  static constexpr float kPi = 3.14159265f;

  // What a frame shows, for a slice of height 1, at all levels of the distortion together; gradients are those of the
  // error's inner product with the colours.
  struct Frame {
    Projection sums;
    float positive;  // of the own energy, what levels add
    float v_mean[2], v_conic[3];
    float flat[3];  // second derivatives by the centre that the product loses as the Gaussian falls off: xx, xy, yy
  };

  MovingPose pose;
  int channels;
  float color[kMaxChannels];
  float squares;  // of the colours
  Sightings seen;
  float v_conic[3];
  Projection error;  // of the error
  float visible;     // what the splat's energy weighs, over that which neither cut-off nor canvas take from

  // What a frame shows of the splat: gain of the frame, height times the gain, and on either axis where a splat of time
  // 0 and velocity 1 is.
  struct View {
    float gain, fade, center[2];
  };

  // For a splat that so many frames show as `frames` say; view(i) is the i-th one's.
  template <class F>
  SPLAT2D_LOOP void look(const MovingPose& at, int channel_count, const float* colors, const Frame* frames, int count,
                         F view) {
    constexpr int kLanes = 16;  // that Sightings is padded to
    pose = at;
    channels = channel_count;
    squares = 0;
    for (int c = 0; c < channels; ++c) {
      color[c] = colors[c];
      squares += color[c] * color[c];
      error.with[c] = 0;
    }
    error.self = 0;
    for (int k = 0; k < 3; ++k) v_conic[k] = 0;
    seen.count = count;
    const float* a = pose.shape.conic;
    float energy = 0, positive = 0;
    for (int i = 0; i < (count + kLanes - 1) / kLanes * kLanes; ++i) {
      const Frame f = i < count ? frames[i] : Frame{};
      const View v = i < count ? view(i) : View{};
      const float fade = v.fade;
      for (int axis = 0; axis < 2; ++axis) seen.center[axis][i] = v.center[axis];
      seen.gain[i] = v.gain;
      seen.fade[i] = fade;
      float along = 0;
      for (int c = 0; c < channels; ++c) {
        along += color[c] * f.sums.with[c];
        error.with[c] += fade * f.sums.with[c];
      }
      error.self += fade * fade * f.sums.self;
      positive += fade * fade * f.positive;
      energy += fade * fade;
      seen.along[i] = along;
      for (int k = 0; k < 2; ++k) seen.slope[k][i] = fade * f.v_mean[k];
      const float xx = -2 * f.v_conic[0], xy = -f.v_conic[1], yy = -2 * f.v_conic[2];  // second moments
      const float p = a[0] * xx + a[1] * xy, q = a[0] * xy + a[1] * yy, r = a[1] * xy + a[2] * yy;
      seen.bend[0][i] = fade * (p * a[0] + q * a[1] - f.flat[0]);
      seen.bend[1][i] = fade * (p * a[1] + q * a[2] - f.flat[1]);
      seen.bend[2][i] = fade * ((a[1] * xx + a[2] * xy) * a[1] + r * a[2] - f.flat[2]);
      for (int k = 0; k < 3; ++k) v_conic[k] += fade * f.v_conic[k];
    }
    error.self = refine::positive_self(error.self, positive);
    const float whole = energy * kPi / sqrtf(a[0] * a[2] - a[1] * a[1]);
    visible = whole > 0 ? error.self / whole : 0.0f;
  }

  // Inner products of the picture without the splat with the splat.
  SPLAT2D_LOOP Projection without() const {
    Projection out = error;
    for (int c = 0; c < channels; ++c) out.with[c] -= color[c] * error.self;
    return out;
  }

  // The same with the splat at another pose, as far as can be foreseen.
  SPLAT2D_LOOP Projection without(const Lanes& lanes, const MovingPose& moved) const {
    const float *a = pose.shape.conic, *b = moved.shape.conic;
    const float sum[3] = {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
    const float det = sum[0] * sum[2] - sum[1] * sum[1], inverse = 1 / det;
    // The product of two Gaussians falls with their distance as A - A (A + B)^-1 A says.
    const float p = (a[0] * sum[2] - a[1] * sum[1]) * inverse, q = (a[1] * sum[0] - a[0] * sum[1]) * inverse;
    const float r = (a[1] * sum[2] - a[2] * sum[1]) * inverse, s = (a[2] * sum[0] - a[1] * sum[1]) * inverse;
    CourseChange change;
    for (int k = 0; k < 3; ++k) {
      change.from[k] = pose.mean[k];
      change.to[k] = moved.mean[k];
    }
    for (int k = 0; k < 2; ++k) {
      change.from[3 + k] = pose.velocity[k];
      change.to[3 + k] = moved.velocity[k];
    }
    change.precision = moved.precision;
    change.apart[0] = a[0] - p * a[0] - q * a[1];
    change.apart[1] = a[1] - p * a[1] - q * a[2];
    change.apart[2] = a[2] - r * a[1] - s * a[2];
    const Foreseen foreseen = lanes.foresee(seen, change);
    float drift = foreseen.drift;
    for (int k = 0; k < 3; ++k) drift += v_conic[k] * (b[k] - a[k]);
    const float shared = visible * foreseen.shared * 2 * kPi / sqrtf(det);
    Projection out;
    out.self = visible * foreseen.self * kPi / sqrtf(b[0] * b[2] - b[1] * b[1]);
    for (int c = 0; c < channels; ++c) out.with[c] = error.with[c] + color[c] * (drift / squares - shared);
    return out;
  }
};

}  // namespace splat2d
