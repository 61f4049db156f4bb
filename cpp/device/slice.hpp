// Gaussians in x, y and t, and what a frame sees of them.
//
// A splat of a clip lies at `mean` at its time and moves by `velocity`; on top of that all follow the camera's path, so
// that a splat of velocity 0 stands still in the world. A frame sees its slice: the conditional 2D Gaussian, fainter
// the farther the frame's time is from the splat's. It is cut where q of all three dimensions exceeds the cut-off.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/warp.hpp"
#include "math/gaussian.hpp"

namespace splat2d {

// px by which a frame shows the world farther to the right and down, never positive.
struct Shift {
  float x, y;
};

// From where a view of a light field is seen, in steps of the eyes' grid.
struct Eye {
  float u, v;
};

struct MovingSplats {
  int count;
  int channels;
  const float* means;       // [N, 3] x, y of the world in px at t, and t in frames; frame i is at i + 0.5
  const float* velocities;  // [N, 2] px a frame
  const float* conics;      // [N, 3] of a slice
  const float* precisions;  // [N] 1 / variance in time, frames^-2
  const float* colors;      // [N, C] at t
};

// Where slices go that are not drawn at full size (cpp/device/pyramid.hpp): x there is x * scale + offset.
struct Place {
  float scale = 1, offset = 0;
};

// When and how a splat is seen.
struct Moment {
  float time;        // frames
  Shift shift;       // of the frame
  float gain;        // that all heights are multiplied by
  float cutoff;      // q of all three dimensions
  Place place = {};  // of what is drawn
  // In a light field: splats move by it times their velocity instead of in time.
  const Eye* eye = nullptr;
  Warp warp = {};  // of the motion field

  // How far on an axis a splat of this time and velocity 1 has gone.
  SPLAT2D_HD float along(int axis, float apart) const { return !eye ? apart : axis ? eye->v : eye->u; }
};

// The frames of a clip, or those that are looked at; pointers are the device's.
struct Reel {
  const Shift* shifts;
  const float* gains;
  int frames;
  int every;  // of the clip's frames is one of these
  float cutoff;
  const Eye* eyes = nullptr;  // of a light field's views
  Warp first = {};            // of the first frame; those of the others follow

  // The middle of a frame.
  SPLAT2D_HD Moment moment(int frame, Place place = {}) const {
    if (eyes) return {0.0f, shifts[frame], gains[frame], cutoff, place, eyes + frame};
    const float time = static_cast<float>(frame * every) + 0.5f;
    return {time, shifts[frame], gains[frame], cutoff, place, nullptr, first.later(frame)};
  }
};

// What a moment shows of a splat.
struct Slice {
  float apart;      // frames from the splat's time
  float fade;       // height over the splat's, times the gain
  float cutoff;     // what is left of it for q in the plane; nothing is seen unless it is positive
  float mean[2];    // px
  float conic[3];   // px^-2
  float slopes[4];  // of the motion field, where there is one
};

// Gradient by a splat's physical numbers.
struct MovingGradient {
  float mean[2] = {0, 0}, time = 0, velocity[2] = {0, 0};
  float conic[3] = {0, 0, 0};  // of a slice
  float cov[3] = {0, 0, 0};    // its inverse, the symmetric matrix: xx, xy (one of both), yy
  float variance = 0;

  SPLAT2D_HD MovingGradient& operator+=(const MovingGradient& other) {
    for (int a = 0; a < 2; ++a) {
      mean[a] += other.mean[a];
      velocity[a] += other.velocity[a];
    }
    for (int a = 0; a < 3; ++a) {
      conic[a] += other.conic[a];
      cov[a] += other.cov[a];
    }
    time += other.time;
    variance += other.variance;
    return *this;
  }
};

// Where in the world a splat is `apart` frames from its time.
SPLAT2D_HD void carry(const float* mean, const float* velocity, float apart, float* out) {
  for (int a = 0; a < 2; ++a) out[a] = mean[a] + velocity[a] * apart;
}

// Whether a moment shows anything of a splat of this time.
SPLAT2D_HD bool shows(const Moment& m, float time, float precision) {
  const float apart = m.time - time;
  return apart * apart * precision < m.cutoff;
}

// The one definition of what a moment shows of a splat of mean [3], velocity [2] and conic [3].
SPLAT2D_HD Slice slice_at(const Moment& m, const float* mean, const float* velocity, const float* conic,
                          float precision) {
  Slice s;
  s.apart = m.time - mean[2];
  const float q = s.apart * s.apart * precision;
  s.fade = m.gain * expf(-0.5f * q);
  s.cutoff = m.cutoff - q;
  for (int a = 0; a < 2; ++a) s.mean[a] = mean[a] + velocity[a] * m.along(a, s.apart);
  for (int a = 0; a < 3; ++a) s.conic[a] = conic[a];
  if (m.warp) m.warp.displace(s.mean, s.conic, s.slopes);
  s.mean[0] += m.shift.x;
  s.mean[1] += m.shift.y;
  if (m.place.scale == 1.0f) return s;
  const float scale = m.place.scale;
  for (int a = 0; a < 2; ++a) s.mean[a] = s.mean[a] * scale + m.place.offset;
  for (int a = 0; a < 3; ++a) s.conic[a] /= scale * scale;
  return s;
}

// Its transpose: adds to a splat's gradient what those of its slice by mean [2], conic [3] and the logarithm of the
// height are, times a weight. The height's is weighed already.
SPLAT2D_HD void add_slice_gradient(const Moment& m, const Slice& s, const float* velocity, float precision,
                                   const float* v_mean, const float* v_conic, float v_log_height, float weight,
                                   MovingGradient* g) {
  g->time += v_log_height * s.apart * precision;
  g->variance += 0.5f * v_log_height * s.apart * s.apart * precision * precision;
  const float scale = m.place.scale, by_mean = weight * scale, by_conic = weight / (scale * scale);
  float by_place[2] = {v_mean[0], v_mean[1]}, by_shape[3] = {v_conic[0], v_conic[1], v_conic[2]};
  if (m.warp) bring_back(s.slopes, by_place, by_shape);
  for (int a = 0; a < 2; ++a) {
    const float v = by_place[a] * by_mean;
    g->mean[a] += v;
    g->velocity[a] += m.along(a, s.apart) * v;
    g->time -= velocity[a] * v;
  }
  for (int a = 0; a < 3; ++a) g->conic[a] += by_shape[a] * by_conic;
}

}  // namespace splat2d
