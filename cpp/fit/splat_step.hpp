// One splat while it is fitted: its geometry, its bits, its gradient in natural units, and the steps it takes.
//
// Plain functions of one splat's numbers, for loops on the CPU and kernels on a GPU alike. A splat's centre moves by
// L u and its factor by L exp(E / 2), with u = z sqrt(2) / A and E = 2 z / A, so that the diagonal of J^T J is one for
// every parameter z. Source: the project's design notes, section 2.
#pragma once

#include <cmath>

#include "fit/distortion.hpp"
#include "format/quantizer.hpp"

namespace splat2d {

// What all splats of a fit share.
struct FitModel {
  int channels;
  Canvas canvas;
  float basis[kMaxChannels * kMaxChannels];  // rows of the colour basis
  float steps[kMaxChannels];                 // of the colour components
  float lambda;                              // SSE per bit
  float least_energy;                        // A^2 is at least this, so that new splats stay well scaled
  float plain_amplitude;                     // A of all splats without natural units
  bool natural_units;
  const Density* densities;  // of the frames; null for SSE
  Tint tint;

  // The luma of amplitudes [C].
  SPLAT2D_HD float luma(const float* k) const {
    float out = 0;
    for (int j = 0; j < channels; ++j)
      out += k[j] * Tint::luma_of(basis[channels * j], basis[channels * j + 1], basis[channels * j + 2]);
    return out;
  }
};

// Change of a splat's numbers for a change of z by one.
struct Units {
  float k, u, e;
  float amplitude;  // A
};

namespace fit {

constexpr float kPi = 3.14159265f;
constexpr float kInvLn2 = 1.44269504f;
// Bits that a doubling of the area saves: wide splats have coarser positions, but rarer shapes.
constexpr float kAreaBits = 0.5f;
constexpr float kEnergyBits = 2.5f, kColorBits = 1.3f;
constexpr float kScaleMax = 1000.0f;  // px, standard deviation
// Centres stay so far outside the canvas at most, px, well inside the margin: rounding must not move them.
constexpr float kReach = kMargin - 4.0f;

SPLAT2D_HD float larger(float a, float b) { return a < b ? b : a; }

// Most that a step changes a number of the geometry; splats without an amplitude yet have some room, too.
SPLAT2D_HD float trust(const Units& units) { return larger(0.5f * units.amplitude, 0.05f); }

struct Eigen {
  float s1, s2, angle;  // standard deviations, s1 >= s2
};

SPLAT2D_HD Eigen eigen(const float* l) {
  const float xx = l[0] * l[0] + l[1] * l[1], yy = l[2] * l[2] + l[3] * l[3], xy = l[0] * l[2] + l[1] * l[3];
  const float half = 0.5f * (xx + yy), r = hypotf(0.5f * (xx - yy), xy);
  const float det = fabsf(l[0] * l[3] - l[1] * l[2]);
  const float l1 = half + r;
  return {sqrtf(l1), det / sqrtf(l1), 0.5f * atan2f(2 * xy, xx - yy)};
}

// Brings both standard deviations of L L^T into [kScaleFloor, kScaleMax], keeping the axes.
SPLAT2D_HD void clamp_scales(float* l) {
  const float xx = l[0] * l[0] + l[1] * l[1], yy = l[2] * l[2] + l[3] * l[3], xy = l[0] * l[2] + l[1] * l[3];
  const float det = l[0] * l[3] - l[1] * l[2], difference = 0.5f * (xx - yy);
  const float s1_squared = 0.5f * (xx + yy) + sqrtf(difference * difference + xy * xy);
  if (s1_squared <= kScaleMax * kScaleMax && det * det >= kScaleFloor * kScaleFloor * s1_squared) return;
  const Eigen e = eigen(l);
  const float f1 = clamp(e.s1, kScaleFloor, kScaleMax) / e.s1;
  const float f2 = clamp(e.s2, kScaleFloor, kScaleMax) / larger(e.s2, 1e-12f);
  const float c = cosf(e.angle), s = sinf(e.angle);
  const float a = c * c * f1 + s * s * f2, b = c * s * (f1 - f2), d = s * s * f1 + c * c * f2;
  const float m[4] = {l[0], l[1], l[2], l[3]};
  l[0] = a * m[0] + b * m[2];
  l[1] = a * m[1] + b * m[3];
  l[2] = b * m[0] + d * m[2];
  l[3] = b * m[1] + d * m[3];
}

// Conic [3], colours [C] and norm sqrt(pi det L) of a splat's factor L [4] and amplitudes k [C].
SPLAT2D_HD void geometry(const FitModel& model, const float* l, const float* k, float* conic, float* color,
                         float* norm) {
  const int C = model.channels;
  const float det = l[0] * l[3] - l[1] * l[2], inverse = 1.0f / (det * det);
  conic[0] = (l[2] * l[2] + l[3] * l[3]) * inverse;
  conic[1] = -(l[0] * l[2] + l[1] * l[3]) * inverse;
  conic[2] = (l[0] * l[0] + l[1] * l[1]) * inverse;
  *norm = sqrtf(kPi * fabsf(det));
  for (int c = 0; c < C; ++c) {
    float v = 0;
    for (int j = 0; j < C; ++j) v += k[j] * model.basis[C * j + c];
    color[c] = v / *norm;
  }
}

// What the rate of a splat follows from.
struct RateTerms {
  float r2;           // 1 + A^2 / D^2
  float det;          // s1 s2
  float cosh, sinh2;  // of log(s1 / s2)
  float x;            // 1 + sinh^2 r2
};

SPLAT2D_HD RateTerms rate_terms(const FitModel& model, const float* l, const float* k) {
  RateTerms t;
  float energy = 0, squares = 0;
  for (int c = 0; c < model.channels; ++c) energy += k[c] * k[c];
  for (int j = 0; j < 4; ++j) squares += l[j] * l[j];
  t.r2 = 1 + energy / (model.steps[0] * model.steps[0]);
  t.det = fabsf(l[0] * l[3] - l[1] * l[2]);
  t.cosh = squares / (2 * t.det);
  t.sinh2 = larger(t.cosh * t.cosh - 1, 0.0f);
  t.x = 1 + t.sinh2 * t.r2;
  return t;
}

// Bits of a splat without the constant.
SPLAT2D_HD float bits(const FitModel& model, const float* l, const float* k) {
  const RateTerms t = rate_terms(model, l, k);
  float colors = 1;
  for (int c = 0; c < model.channels; ++c) colors *= 1 + fabsf(k[c]) / model.steps[c];
  static_assert(kAreaBits == 0.5f, "the area shares a logarithm with the angle's half bit");
  return kEnergyBits * log2f(t.r2) + 0.5f * log2f(t.x / t.det) + kColorBits * log2f(colors);
}

// Units of a splat whose distortion is `density` times its squares.
SPLAT2D_HD Units units_of(const FitModel& model, const float* k, float density) {
  float energy = model.least_energy;
  for (int c = 0; c < model.channels; ++c) energy += density * k[c] * k[c];
  Units units;
  units.k = model.natural_units ? 1 / sqrtf(density) : 1;
  units.amplitude = model.natural_units ? sqrtf(energy) : model.plain_amplitude;
  units.u = 1.41421356f / units.amplitude;
  units.e = 2.0f / units.amplitude;
  return units;
}

// Adds lambda / 2 times the natural-unit gradient of a splat's bits to v [C + 5].
SPLAT2D_HD void add_rate_gradient(const FitModel& model, const Units& units, const float* l, const float* k, float* v) {
  const int C = model.channels;
  const RateTerms t = rate_terms(model, l, k);
  const float D2 = model.steps[0] * model.steps[0];
  const float scale = 0.5f * model.lambda * kInvLn2;
  const float from_energy = (2 * kEnergyBits / t.r2 + t.sinh2 / t.x) / D2;
  for (int c = 0; c < C; ++c) {
    const float d = model.steps[c], s = 4 * k[c] / d;
    // A smooth sign rounds the corner of |k| at 0.
    v[c] += scale * units.k * (from_energy * k[c] + kColorBits * s / sqrtf(1 + s * s) / (d + fabsf(k[c])));
  }
  const float g11 = l[0] * l[0] + l[2] * l[2], g22 = l[1] * l[1] + l[3] * l[3], g12 = l[0] * l[1] + l[2] * l[3];
  const float from_aspect = 0.5f * t.r2 / t.x * t.cosh / t.det;
  v[C + 2] -= kAreaBits * scale * units.e;
  v[C + 3] += scale * from_aspect * (g11 - g22) * units.e;
  v[C + 4] += scale * from_aspect * 2 * g12 * units.e;
}

// The natural-unit gradient v [C + 5] from those of the render by mean [2], conic [3] and colour [C].
SPLAT2D_HD void natural_gradient(const FitModel& model, const Units& units, const float* l, const float* color,
                                 float norm, const float* v_mean, const float* v_conic, const float* v_color,
                                 float* v) {
  const int C = model.channels;
  float color_dot = 0;
  for (int c = 0; c < C; ++c) color_dot += v_color[c] * color[c];
  for (int j = 0; j < C; ++j) {
    float sum = 0;
    for (int c = 0; c < C; ++c) sum += model.basis[C * j + c] * v_color[c];
    v[j] = sum / norm * units.k;
  }
  v[C] = (l[0] * v_mean[0] + l[2] * v_mean[1]) * units.u;
  v[C + 1] = (l[1] * v_mean[0] + l[3] * v_mean[1]) * units.u;
  // d q = -p^T E p with p = L^-1 dx; v_conic holds the moments of dx, so transform them by L^-1.
  const float det = l[0] * l[3] - l[1] * l[2];
  const float w1 = l[3] / det, w2 = -l[1] / det, w3 = -l[2] / det, w4 = l[0] / det;
  const float a = v_conic[0], b = 0.5f * v_conic[1], c = v_conic[2];
  const float e11 = -(w1 * w1 * a + 2 * w1 * w2 * b + w2 * w2 * c);
  const float e22 = -(w3 * w3 * a + 2 * w3 * w4 * b + w4 * w4 * c);
  const float e12 = -(w1 * w3 * a + (w1 * w4 + w2 * w3) * b + w2 * w4 * c);
  v[C + 2] = (e11 + e22 - 0.5f * color_dot) * units.e;
  v[C + 3] = (e11 - e22) * units.e;
  v[C + 4] = 2 * e12 * units.e;
}

// Takes from a splat's step z [C + 5], times `sign`, what leads beyond a limit that the splat has reached.
SPLAT2D_HD void hold(const FitModel& model, const float* mean, const float* l, float sign, float* z) {
  constexpr float kTouch = 1.001f;
  const int sides[] = {model.canvas.width, model.canvas.height};
  float* u = z + model.channels;
  for (int axis = 0; axis < 2; ++axis) {
    const float* row = l + 2 * axis;
    const float outward = sign * (row[0] * u[0] + row[1] * u[1]);
    const bool low = mean[axis] <= -kReach && outward < 0;
    const bool high = mean[axis] >= static_cast<float>(sides[axis]) + kReach && outward > 0;
    if (!low && !high) continue;
    const float part = (row[0] * u[0] + row[1] * u[1]) / (row[0] * row[0] + row[1] * row[1]);
    u[0] -= part * row[0];
    u[1] -= part * row[1];
  }
  // Deviations along the right singular vectors of L: E changes the logarithm of each by a half of t +- (c d + w s).
  const float xx = l[0] * l[0] + l[2] * l[2], yy = l[1] * l[1] + l[3] * l[3], xy = l[0] * l[1] + l[2] * l[3];
  const float r = sqrtf(0.25f * (xx - yy) * (xx - yy) + xy * xy), long_squared = 0.5f * (xx + yy) + r;
  const float det = l[0] * l[3] - l[1] * l[2];
  constexpr float kFloor = kScaleFloor * kScaleFloor * kTouch;
  if (det * det > kFloor * long_squared) return;
  const float c = r > 0 ? 0.5f * (xx - yy) / r : 1.0f, w = r > 0 ? xy / r : 0.0f;
  float* e = z + model.channels + 2;
  const int held = long_squared <= kFloor ? 2 : 1;  // the shorter, or both
  for (int i = 0; i < held; ++i) {
    const float side = i ? 1.0f : -1.0f;
    const float grows = e[0] + side * (c * e[1] + w * e[2]);
    if (sign * grows >= 0) continue;
    e[0] -= 0.5f * grows;
    e[1] -= 0.5f * grows * side * c;
    e[2] -= 0.5f * grows * side * w;
  }
}

// A splat's mean [2], factor [4] and amplitudes [C]: t z from where it was.
SPLAT2D_HD void move(const FitModel& model, const Units& units, const float* z, float t, const float* from_mean,
                     const float* l, const float* from_k, float* mean, float* f, float* k) {
  const int C = model.channels;
  for (int c = 0; c < C; ++c) k[c] = from_k[c] + t * z[c] * units.k;
  const float u1 = clamp(t * z[C] * units.u, -1.0f, 1.0f), u2 = clamp(t * z[C + 1] * units.u, -1.0f, 1.0f);
  const float et = clamp(t * z[C + 2] * units.e, -0.7f, 0.7f), ed = clamp(t * z[C + 3] * units.e, -0.7f, 0.7f);
  const float es = clamp(t * z[C + 4] * units.e, -0.7f, 0.7f);
  mean[0] = clamp(from_mean[0] + l[0] * u1 + l[1] * u2, -kReach, static_cast<float>(model.canvas.width) + kReach);
  mean[1] = clamp(from_mean[1] + l[2] * u1 + l[3] * u2, -kReach, static_cast<float>(model.canvas.height) + kReach);
  // exp(E / 2) to second order
  const float e11 = 0.5f * (et + ed), e22 = 0.5f * (et - ed), e12 = 0.5f * es;
  const float f11 = 1 + e11 + 0.5f * (e11 * e11 + e12 * e12), f22 = 1 + e22 + 0.5f * (e22 * e22 + e12 * e12);
  const float f12 = e12 * (1 + 0.5f * (e11 + e22));
  f[0] = l[0] * f11 + l[1] * f12;
  f[1] = l[0] * f12 + l[1] * f22;
  f[2] = l[2] * f11 + l[3] * f12;
  f[3] = l[2] * f12 + l[3] * f22;
  clamp_scales(f);
}

}  // namespace fit

// What a fit knows of the splats of a picture; cpp/fit/course_step.hpp has the same with time.
struct Plane : FitModel {
  static constexpr int kMean = 2, kFactor = 4;
  static constexpr int kScaled[2] = {2, 4};  // lengths among them, which come first
  // In z behind C colour amplitudes: u1, u2, t, d, s. And in a row of integers: area, aspect, angle, y, x.
  static constexpr int kParameters = 5, kFields = 5;
  static constexpr double kConstantBits = 16;
  static constexpr double kLeastPruneBits = 8;  // that a splat counts for when it may go
  using Shape = float;                          // the norm

  SPLAT2D_HD Shape see(const float*, const float* l, const float* k, float* conic, float* color) const {
    float norm;
    fit::geometry(*this, l, k, conic, color, &norm);
    return norm;
  }
  SPLAT2D_HD float bits(const Shape&, const float*, const float* l, const float* k) const {
    return fit::bits(*this, l, k);
  }
  // D over SSE of a splat.
  SPLAT2D_HD float density(const float* mean, const float* l) const {
    return densities ? densities->at(mean, l) : 1.0f;
  }
  SPLAT2D_HD void hold(const float* mean, const float* l, float sign, float* z) const {
    fit::hold(*this, mean, l, sign, z);
  }
  SPLAT2D_HD void move(const Units& units, const float* z, float t, const float* from_mean, const float* from_l,
                       const float* from_k, float* mean, float* l, float* k) const {
    fit::move(*this, units, z, t, from_mean, from_l, from_k, mean, l, k);
  }
  // The integers behind the colours [kFields] nearest to a splat of this energy class.
  void quantize(int energy_class, const float* mean, const float* l, int32_t* f) const {
    const fit::Eigen e = fit::eigen(l);
    quantize_shape(energy_class, std::log(e.s1), std::log(e.s2), e.angle, f);
    quantize_position(energy_class, canvas, mean[0], mean[1], f);
  }
};

}  // namespace splat2d
