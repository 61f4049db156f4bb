// One splat of a clip while it is fitted: cpp/fit/splat_step.hpp with time.
//
// Its centre moves by L u and its factor by L exp(E / 2) in x, y and t alike. What the render and the rate say of a
// splat is written down as its physical gradient, by centre, velocity, slice and variance in time, which one function
// takes to the parameters. Source: the project's design notes, section 6.
#pragma once

#include "device/slice.hpp"
#include "fit/splat_step.hpp"
#include "format/course.hpp"

namespace splat2d {

// What all splats of a fit of a clip share; the canvas is the world.
struct MovingModel : FitModel {
  int frames;  // T
  Reel reel;
};

// Derived numbers of one splat.
struct MovingShape {
  float velocity[2];  // px a frame
  float cov[3];       // of a slice: xx, xy, yy
  float det;          // s1 s2 of a slice
  float variance;     // in time, frames^2
  float presence;     // sum over frames of exp(-(t - t0)^2 / variance)
  float by_time;      // its derivatives
  float by_variance;
  float norm;  // L2 norm over the frames, sqrt(pi s1 s2 presence)
};

namespace fit {

constexpr float kDurationMin = 0.35f;  // frames, standard deviation
constexpr float kDurationMax = 4.0f;   // times the number of frames
constexpr float kTimeEnergyBits = 0.75f, kVelocityBits = 0.9f;
constexpr float kOutsideBits = 4.0f;  // for a time that lies half a clip outside it

SPLAT2D_HD MovingShape moving_shape(const MovingModel& model, const float* mean, const float* l) {
  MovingShape s;
  const auto dot = [](const float* a, const float* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; };
  const float* time = l + 6;
  s.variance = dot(time, time);
  s.velocity[0] = dot(l, time) / s.variance;
  s.velocity[1] = dot(l + 3, time) / s.variance;
  // What of the rows lies across that of time: products of the whole rows would cancel where splats last long and are
  // fast, and what is left of them would be noise.
  float x[3], y[3];
  for (int j = 0; j < 3; ++j) {
    x[j] = l[j] - s.velocity[0] * time[j];
    y[j] = l[3 + j] - s.velocity[1] * time[j];
  }
  s.cov[0] = dot(x, x);
  s.cov[1] = dot(x, y);
  s.cov[2] = dot(y, y);
  const float across[3] = {x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]};
  s.det = larger(sqrtf(dot(across, across)), 1e-3f);
  s.presence = s.by_time = s.by_variance = 0;
  const float inverse = 1 / s.variance;
  for (int t = 0; t < model.frames; ++t) {
    const float apart = (static_cast<float>(t) + 0.5f) - mean[2], q = apart * apart * inverse;
    if (q > 20.0f) continue;
    const float e = expf(-q);
    s.presence += e;
    s.by_time += 2 * apart * inverse * e;
    s.by_variance += q * inverse * e;
  }
  s.presence = larger(s.presence, 1e-4f);
  s.norm = sqrtf(kPi * s.det * s.presence);
  return s;
}

// Conic [3] and colours [C] of a splat's shape and amplitudes k [C].
SPLAT2D_HD void moving_look(const MovingModel& model, const MovingShape& s, const float* k, float* conic,
                            float* color) {
  const int C = model.channels;
  const float inverse = 1 / (s.det * s.det);
  conic[0] = s.cov[2] * inverse;
  conic[1] = -s.cov[1] * inverse;
  conic[2] = s.cov[0] * inverse;
  for (int c = 0; c < C; ++c) {
    float v = 0;
    for (int j = 0; j < C; ++j) v += k[j] * model.basis[C * j + c];
    color[c] = v / s.norm;
  }
}

// What the rate of a splat follows from.
struct MovingRate {
  float r2;           // 1 + A^2 / D^2
  float cosh, sinh2;  // of log(s1 / s2)
  float x;            // 1 + sinh2 r2
  float memory;       // variance in time, at most T^2 / 6
  float speed;        // |velocity|^2 memory / (s1 s2)
  float y;            // 1 + speed r2
  float outside;      // of the clip, in halves of it
};

SPLAT2D_HD MovingRate moving_rate(const MovingModel& model, const MovingShape& s, const float* mean, const float* k) {
  MovingRate r;
  float energy = 0;
  for (int c = 0; c < model.channels; ++c) energy += k[c] * k[c];
  r.r2 = 1 + energy / (model.steps[0] * model.steps[0]);
  r.cosh = (s.cov[0] + s.cov[2]) / (2 * s.det);
  r.sinh2 = larger(r.cosh * r.cosh - 1, 0.0f);
  r.x = 1 + r.sinh2 * r.r2;
  const float T = static_cast<float>(model.frames);
  r.memory = 1 / (1 / s.variance + 6 / (T * T));
  r.speed = (s.velocity[0] * s.velocity[0] + s.velocity[1] * s.velocity[1]) * r.memory / s.det;
  r.y = 1 + r.speed * r.r2;
  const float half = 0.5f * T, away = (mean[2] - half) / half;
  r.outside = away > 1 ? away - 1 : away < -1 ? away + 1 : 0.0f;
  return r;
}

// Bits of a splat without the constant. Very long splats and far times cost a little, so that they stay in bounds.
SPLAT2D_HD float moving_bits(const MovingModel& model, const MovingShape& s, const float* mean, const float* k) {
  const MovingRate r = moving_rate(model, s, mean, k);
  float colors = 1;
  for (int c = 0; c < model.channels; ++c) colors *= 1 + fabsf(k[c]) / model.steps[c];
  const float T = static_cast<float>(model.frames);
  return (kEnergyBits + kTimeEnergyBits) * log2f(r.r2) + 0.5f * log2f(r.x / (s.det * r.memory)) +
         kColorBits * log2f(colors) + kVelocityBits * log2f(r.y) + s.variance / (4 * T * T) +
         kOutsideBits * r.outside * r.outside;
}

// Adds lambda / 2 times the gradient of a splat's bits: by k to v_k [C] in natural units, the rest to g.
SPLAT2D_HD void add_moving_rate(const MovingModel& model, const Units& units, const MovingShape& s, const float* mean,
                                const float* k, float* v_k, MovingGradient* g) {
  const FitModel& p = model;
  const MovingRate r = moving_rate(model, s, mean, k);
  const float D2 = p.steps[0] * p.steps[0], half = 0.5f * p.lambda, scale = half * kInvLn2;
  const float T = static_cast<float>(model.frames);
  const float from_energy =
      (2 * (kEnergyBits + kTimeEnergyBits) / r.r2 + r.sinh2 / r.x + 2 * kVelocityBits * r.speed / r.y) / D2;
  for (int c = 0; c < p.channels; ++c) {
    const float d = p.steps[c], sign = 4 * k[c] / d;
    v_k[c] += scale * units.k * (from_energy * k[c] + kColorBits * sign / sqrtf(1 + sign * sign) / (d + fabsf(k[c])));
  }
  // Of the slice: s1 s2 by its inverse, cosh by the identity and the inverse.
  const float by_identity = 0.5f * r.r2 * r.cosh / r.x / s.det;
  const float by_speed = kVelocityBits * r.r2 / r.y;
  const float by_inverse = -0.25f - 0.5f * r.r2 * r.cosh * r.cosh / r.x - 0.5f * by_speed * r.speed;
  const float inverse = 1 / (s.det * s.det);
  g->cov[0] += scale * (by_identity + by_inverse * s.cov[2] * inverse);
  g->cov[1] -= scale * by_inverse * s.cov[1] * inverse;
  g->cov[2] += scale * (by_identity + by_inverse * s.cov[0] * inverse);
  for (int a = 0; a < 2; ++a) g->velocity[a] += scale * by_speed * 2 * s.velocity[a] * r.memory / s.det;
  const float by_memory = -0.5f / r.memory + by_speed * r.speed / r.memory;
  g->variance += scale * by_memory * r.memory * r.memory / (s.variance * s.variance) + half / (4 * T * T);
  g->time += half * 2 * kOutsideBits * r.outside / (0.5f * T);
}

// Adds what the colours' norm brings: its change with the shape, for cross = <colours, their gradient>.
SPLAT2D_HD void add_norm_gradient(const MovingShape& s, float cross, MovingGradient* g) {
  const float inverse = 1 / (s.det * s.det), quarter = 0.25f * cross;
  g->cov[0] -= quarter * s.cov[2] * inverse;
  g->cov[1] += quarter * s.cov[1] * inverse;
  g->cov[2] -= quarter * s.cov[0] * inverse;
  g->time -= 0.5f * cross * s.by_time / s.presence;
  g->variance -= 0.5f * cross * s.by_variance / s.presence;
}

// Makes of the gradient by a slice's conic that by its inverse: d conic = -conic d cov conic.
SPLAT2D_HD void add_conic_gradient(const float* conic, MovingGradient* g) {
  const float a = g->conic[0], b = 0.5f * g->conic[1], c = g->conic[2];
  const float p = conic[0], q = conic[1], r = conic[2];
  // (conic v) first, then times conic
  const float m11 = p * a + q * b, m12 = p * b + q * c, m21 = q * a + r * b, m22 = q * b + r * c;
  g->cov[0] -= m11 * p + m12 * q;
  g->cov[1] -= m11 * q + m12 * r;
  g->cov[2] -= m21 * q + m22 * r;
}

// The gradient by the centre's and the factor's parameters, v [9], of a physical gradient.
SPLAT2D_HD void to_natural(const MovingShape& s, const Units& units, const float* l, const MovingGradient& g,
                           float* v) {
  const float* w = s.velocity;
  // By the symmetric 3 x 3 covariance; off the diagonal one of both entries.
  const float carried[2] = {g.cov[0] * w[0] + g.cov[1] * w[1], g.cov[1] * w[0] + g.cov[2] * w[1]};
  float m[9];
  m[0] = g.cov[0];
  m[1] = m[3] = g.cov[1];
  m[4] = g.cov[2];
  m[2] = m[6] = 0.5f * g.velocity[0] / s.variance - carried[0];
  m[5] = m[7] = 0.5f * g.velocity[1] / s.variance - carried[1];
  m[8] =
      w[0] * carried[0] + w[1] * carried[1] - (g.velocity[0] * w[0] + g.velocity[1] * w[1]) / s.variance + g.variance;
  float ml[9];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) ml[3 * i + j] = m[3 * i] * l[j] + m[3 * i + 1] * l[3 + j] + m[3 * i + 2] * l[6 + j];
  const auto e = [&](int i, int j) { return l[i] * ml[j] + l[3 + i] * ml[3 + j] + l[6 + i] * ml[6 + j]; };
  const float by_center[3] = {g.mean[0], g.mean[1], g.time};
  for (int i = 0; i < 3; ++i)
    v[i] = (l[i] * by_center[0] + l[3 + i] * by_center[1] + l[6 + i] * by_center[2]) * units.u;
  const float diagonal = 1.41421356f * units.e;
  for (int i = 0; i < 3; ++i) v[3 + i] = e(i, i) * diagonal;
  v[6] = 2 * e(0, 1) * units.e;
  v[7] = 2 * e(0, 2) * units.e;
  v[8] = 2 * e(1, 2) * units.e;
}

// That along the long axis of a covariance xx, xy, yy.
SPLAT2D_HD float largest_variance(const float* cov) {
  const float half = 0.5f * (cov[0] + cov[2]), difference = 0.5f * (cov[0] - cov[2]);
  return half + sqrtf(difference * difference + cov[1] * cov[1]);
}

// Brings a splat back into bounds: its duration and time (along its path), and the deviations of its slice.
SPLAT2D_HD void clamp_moving(const MovingModel& model, float* mean, float* l) {
  const float T = static_cast<float>(model.frames);
  const float duration = sqrtf(l[6] * l[6] + l[7] * l[7] + l[8] * l[8]);
  const float kept = clamp(duration, kDurationMin, kDurationMax * T), f = kept / duration;
  if (f != 1.0f) {
    // The slice stays; so does the velocity.
    const MovingShape before = moving_shape(model, mean, l);
    for (int j = 0; j < 3; ++j) {
      const float grown = (f - 1) * l[6 + j];
      l[6 + j] += grown;
      l[j] += before.velocity[0] * grown;
      l[3 + j] += before.velocity[1] * grown;
    }
  }
  const MovingShape s = moving_shape(model, mean, l);
  const float reach = 1.2f * kept < 0.6f * T ? 1.2f * kept : 0.6f * T;
  const float time = clamp(mean[2], -reach, T + reach);
  for (int a = 0; a < 2; ++a) {
    mean[a] += s.velocity[a] * (time - mean[2]);
    const float side = static_cast<float>(a ? model.canvas.height : model.canvas.width);
    // Where it is when the clip shows it.
    const float shown = clamp(time, 0.0f, T) - time, at = mean[a] + s.velocity[a] * shown;
    mean[a] += clamp(at, -kReach, side + kReach) - at;
  }
  mean[2] = time;
  const float s1 = sqrtf(largest_variance(s.cov)), s2 = s.det / s1;
  if (s1 <= kScaleMax && s2 >= kScaleFloor) return;
  const float f1 = clamp(s1, kScaleFloor, kScaleMax) / s1, f2 = clamp(s2, kScaleFloor, kScaleMax) / larger(s2, 1e-12f);
  const float angle = 0.5f * atan2f(2 * s.cov[1], s.cov[0] - s.cov[2]), c = cosf(angle), n = sinf(angle);
  const float a = c * c * f1 + n * n * f2, b = c * n * (f1 - f2), d = n * n * f1 + c * c * f2;
  for (int j = 0; j < 3; ++j) {
    // Relative to the splat's path, which stays.
    const float x = l[j] - s.velocity[0] * l[6 + j], y = l[3 + j] - s.velocity[1] * l[6 + j];
    l[j] = a * x + b * y + s.velocity[0] * l[6 + j];
    l[3 + j] = b * x + d * y + s.velocity[1] * l[6 + j];
  }
}

// A splat's mean [3], factor [9] and amplitudes [C]: t z from where it was.
SPLAT2D_HD void move_moving(const MovingModel& model, const Units& units, const float* z, float t,
                            const float* from_mean, const float* from_l, const float* from_k, float* mean, float* l,
                            float* k) {
  const int C = model.channels;
  for (int c = 0; c < C; ++c) k[c] = from_k[c] + t * z[c] * units.k;
  float u[3], x[9];
  for (int i = 0; i < 3; ++i) u[i] = clamp(t * z[C + i] * units.u, -1.0f, 1.0f);
  const float diagonal = 1.41421356f * units.e;
  for (int i = 0; i < 3; ++i) x[4 * i] = 0.5f * clamp(t * z[C + 3 + i] * diagonal, -0.7f, 0.7f);
  x[1] = x[3] = 0.5f * clamp(t * z[C + 6] * units.e, -0.7f, 0.7f);
  x[2] = x[6] = 0.5f * clamp(t * z[C + 7] * units.e, -0.7f, 0.7f);
  x[5] = x[7] = 0.5f * clamp(t * z[C + 8] * units.e, -0.7f, 0.7f);
  float f[9];  // exp(X) to second order
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      f[3 * i + j] = (i == j ? 1.0f : 0.0f) + x[3 * i + j] +
                     0.5f * (x[3 * i] * x[j] + x[3 * i + 1] * x[3 + j] + x[3 * i + 2] * x[6 + j]);
  for (int i = 0; i < 3; ++i) {
    mean[i] = from_mean[i] + from_l[3 * i] * u[0] + from_l[3 * i + 1] * u[1] + from_l[3 * i + 2] * u[2];
    for (int j = 0; j < 3; ++j)
      l[3 * i + j] = from_l[3 * i] * f[j] + from_l[3 * i + 1] * f[3 + j] + from_l[3 * i + 2] * f[6 + j];
  }
  clamp_moving(model, mean, l);
}

}  // namespace fit

// What a fit knows of the splats of a clip: `Plane` with time.
struct InTime : MovingModel {
  static constexpr int kMean = 3, kFactor = 9;
  static constexpr int kScaled[2] = {2, 6};
  static constexpr int kParameters = 9, kFields = kMovingFields;  // u1, u2, u3, e11, e22, e33, e12, e13, e23
  static constexpr double kConstantBits = 18, kLeastPruneBits = 10;
  using Shape = MovingShape;

  SPLAT2D_HD Shape see(const float* mean, const float* l, const float* k, float* conic, float* color) const {
    const Shape s = fit::moving_shape(*this, mean, l);
    fit::moving_look(*this, s, k, conic, color);
    return s;
  }
  SPLAT2D_HD float bits(const Shape& s, const float* mean, const float*, const float* k) const {
    return fit::moving_bits(*this, s, mean, k);
  }
  // The mean over a splat's life, by what its frames show of its energy.
  SPLAT2D_HD float density(const float* mean, const float* l) const {
    if (!densities) return 1.0f;
    constexpr int kSamples = 2;     // before and behind its time
    constexpr float kApart = 0.5f;  // durations
    const float variance = l[6] * l[6] + l[7] * l[7] + l[8] * l[8], duration = sqrtf(variance);
    const float det =
        l[0] * (l[4] * l[8] - l[5] * l[7]) - l[1] * (l[3] * l[8] - l[5] * l[6]) + l[2] * (l[3] * l[7] - l[4] * l[6]);
    const float deviation = sqrtf(fabsf(det) / duration);
    float velocity[2];
    for (int a = 0; a < 2; ++a) velocity[a] = (l[3 * a] * l[6] + l[3 * a + 1] * l[7] + l[3 * a + 2] * l[8]) / variance;
    float sum = 0, shares = 0;
    for (int i = -kSamples; i <= kSamples; ++i) {
      const float away = kApart * static_cast<float>(i), time = mean[2] + away * duration;
      const int frame = clamp(static_cast<int>(floorf(time / static_cast<float>(reel.every))), 0, reel.frames - 1);
      const Moment m = reel.moment(frame);
      float at[2];
      carry(mean, velocity, m.time - mean[2], at);
      const float share = expf(-away * away);
      sum += share * densities[frame].of(deviation).at(at[0] + m.shift.x, at[1] + m.shift.y);
      shares += share;
    }
    return sum / shares;
  }
  SPLAT2D_HD void hold(const float*, const float*, float, float*) const {}
  SPLAT2D_HD void move(const Units& units, const float* z, float t, const float* from_mean, const float* from_l,
                       const float* from_k, float* mean, float* l, float* k) const {
    fit::move_moving(*this, units, z, t, from_mean, from_l, from_k, mean, l, k);
  }
  void quantize(int energy_class, const float* mean, const float* l, int32_t* f) const {
    const Shape s = fit::moving_shape(*this, mean, l);
    const double half = 0.5 * (s.cov[0] + s.cov[2]);
    const double long_squared = half + std::hypot(0.5 * (s.cov[0] - s.cov[2]), static_cast<double>(s.cov[1]));
    const double log_s1 = 0.5 * std::log(long_squared), log_s2 = std::log(static_cast<double>(s.det)) - log_s1;
    const double angle = 0.5 * std::atan2(2.0 * s.cov[1], static_cast<double>(s.cov[0]) - s.cov[2]);
    quantize_shape(energy_class, log_s1, log_s2, angle, f);
    quantize_duration(energy_class, 0.5 * std::log(static_cast<double>(s.variance)), frames, f);
    quantize_time(energy_class, mean[2], frames, f);
    quantize_course(energy_class, canvas, {mean[0], mean[1], mean[2], s.velocity[0], s.velocity[1]}, frames, f);
  }
};

}  // namespace splat2d
