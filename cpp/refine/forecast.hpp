// What the error around a splat of a clip says of moves of it, so that only those that promise something are tried.
//
// One pass over the splat's frames gives the derivatives of its inner product with the error, to second order in its
// place and to first in the rest. What a moved splat shares with where it was is known but for cut-off and canvas.
#pragma once

#include <cmath>

#include "device/slice.hpp"
#include "fit/distortion.hpp"
#include "format/course.hpp"
#include "refine/glance.hpp"
#include "refine/splat.hpp"

namespace splat2d {

struct Forecast {
  static constexpr float kPi = 3.14159265f;

  using Frame = Glance;  // what a frame shows

  MovingPose pose;
  int channels;
  float color[kMaxChannels];
  float squares;  // of the colours
  Sightings seen;
  float v_conic[3];
  Projection error;  // of the error
  float visible;     // what the splat's energy weighs, over that which neither cut-off nor canvas take from

  // For a splat that frames [first, first + count) show as `frames` say, with these heights times gains.
  SPLAT2D_LOOP void look(const Lanes& lanes, const MovingPose& at, int channel_count, const float* colors,
                         const Reel& reel, const Frame* frames, int first, int count) {
    constexpr int kPadding = 16;  // that Sightings is padded to
    const float* a = at.shape.conic;
    float energy = 0, positive = 0, by_conic[3] = {0, 0, 0};
    Projection all = {};
    for (int i = lanes.lane(); i < (count + kPadding - 1) / kPadding * kPadding; i += Lanes::kCount) {
      const Frame f = i < count ? frames[i] : Frame{};
      const Moment m = reel.moment(i < count ? first + i : 0);
      const float fade = i < count ? slice_at(m, at.mean, at.velocity, a, at.precision).fade : 0.0f;
      for (int axis = 0; axis < 2; ++axis) seen.center[axis][i] = m.along(axis, m.time);
      seen.gain[i] = i < count ? m.gain : 0.0f;
      seen.fade[i] = fade;
      float along = 0;
      SPLAT2D_UNROLL
      for (int c = 0; c < kMaxChannels && c < channel_count; ++c) {
        along += colors[c] * f.sums.with[c];
        all.with[c] += fade * f.sums.with[c];
      }
      all.self += fade * fade * f.sums.self;
      positive += fade * fade * f.positive;
      energy += fade * fade;
      seen.along[i] = along;
      for (int k = 0; k < 2; ++k) seen.slope[k][i] = fade * f.v_mean[k];
      float bend[3];
      refine::bend_of(f, a, bend);
      for (int k = 0; k < 3; ++k) seen.bend[k][i] = fade * bend[k];
      for (int k = 0; k < 3; ++k) by_conic[k] += fade * f.v_conic[k];
    }
    for (float& v : all.with) v = lanes.sum(v);
    for (float& v : by_conic) v = lanes.sum(v);
    all.self = refine::positive_self(lanes.sum(all.self), lanes.sum(positive));
    energy = lanes.sum(energy);
    if (!lanes.first()) return;
    pose = at;
    channels = channel_count;
    seen.count = count;
    squares = 0;
    SPLAT2D_UNROLL
    for (int c = 0; c < kMaxChannels && c < channels; ++c) {
      color[c] = colors[c];
      squares += color[c] * color[c];
    }
    for (int k = 0; k < 3; ++k) v_conic[k] = by_conic[k];
    error = all;
    const float whole = energy * kPi / sqrtf(a[0] * a[2] - a[1] * a[1]);
    visible = whole > 0 ? error.self / whole : 0.0f;
  }

  // Inner products of the picture without the splat with the splat.
  SPLAT2D_LOOP Projection without() const {
    Projection out = error;
    each_channel(channels, [&](int c) { out.with[c] -= color[c] * error.self; });
    return out;
  }

  // The same with the splat at another pose, as far as can be foreseen.
  SPLAT2D_LOOP Projection without(const Lanes& lanes, const MovingPose& moved) const {
    const float *a = pose.shape.conic, *b = moved.shape.conic;
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
    const float det = refine::falls_off(a, b, change.apart);
    const Foreseen foreseen = lanes.foresee(seen, change);
    float drift = foreseen.drift;
    for (int k = 0; k < 3; ++k) drift += v_conic[k] * (b[k] - a[k]);
    const float shared = visible * foreseen.shared * 2 * kPi / sqrtf(det);
    Projection out;
    out.self = visible * foreseen.self * kPi / sqrtf(b[0] * b[2] - b[1] * b[1]);
    each_channel(channels, [&](int c) { out.with[c] = error.with[c] + color[c] * (drift / squares - shared); });
    return out;
  }
};

}  // namespace splat2d
