// What one look at the error around a Gaussian says of moves of it, so that only those that promise something are
// tried: forecasts of pictures here, those of clips and light fields in cpp/refine/forecast.hpp.
#pragma once

#include <cmath>

#include "device/device.hpp"
#include "math/gaussian.hpp"

namespace splat2d {

// What is seen of a Gaussian of height 1 at all levels of the distortion together; gradients are those of the error's
// inner product with the colours.
struct Glance {
  Projection sums;
  float positive;  // of the own energy, what levels add
  float v_mean[2], v_conic[3];
  float flat[3];  // second derivatives by the centre that the product loses as the Gaussian falls off: xx, xy, yy

  SPLAT2D_LOOP void operator+=(const Glance& other) {
    for (int c = 0; c < kMaxChannels; ++c) sums.with[c] += other.sums.with[c];
    sums.self += other.sums.self;
    positive += other.positive;
    for (int k = 0; k < 2; ++k) v_mean[k] += other.v_mean[k];
    for (int k = 0; k < 3; ++k) {
      v_conic[k] += other.v_conic[k];
      flat[k] += other.flat[k];
    }
  }
};

namespace refine {

// Adds what level l shows in a box: there the Gaussian is an ellipse of a height; `a` is its conic in the picture.
template <class Level>
SPLAT2D_LOOP inline void glance_at(const Lanes& lanes, const Level& level, int l, const Ellipse& e, const Box& box,
                                   float height, const float* a, int channels, const float* color, Glance* out) {
  float v_mean[2], v_conic[3];
  const Projection sums =
      lanes.observe(e, box, level.canvas, channels, color, level.residual, level.weights, v_mean, v_conic);
  const float squares = static_cast<float>(1 << (2 * l)), factor = height * squares;
  const float self = height * factor * sums.self;
  float along = 0;
  SPLAT2D_UNROLL
  for (int c = 0; c < kMaxChannels && c < channels; ++c) {
    out->sums.with[c] += factor * sums.with[c];
    along += factor * color[c] * sums.with[c];
  }
  out->sums.self += self;
  out->positive += self > 0 ? self : 0.0f;
  const float by_mean = factor / static_cast<float>(1 << l);
  for (int k = 0; k < 2; ++k) out->v_mean[k] += by_mean * v_mean[k];
  if (l == 0) {
    const float conic[3] = {e.a, e.b, e.c};
    for (int k = 0; k < 3; ++k) {
      out->v_conic[k] += v_conic[k];
      out->flat[k] += along * conic[k];
    }
    return;
  }
  // The level's conic is 4^l W with W = (A^-1 + v)^-1, so that d W = K^T dA K with K = A^-1 W; the height's
  // logarithm changes by (A^-1 W A^-1 - A^-1) / 2 times dA.
  const float det = a[0] * a[2] - a[1] * a[1];
  const float w[3] = {e.a / squares, e.b / squares, e.c / squares};
  const float cov[3] = {a[2] / det, -a[1] / det, a[0] / det};
  const float k11 = cov[0] * w[0] + cov[1] * w[1], k12 = cov[0] * w[1] + cov[1] * w[2];
  const float k21 = cov[1] * w[0] + cov[2] * w[1], k22 = cov[1] * w[1] + cov[2] * w[2];
  const float v11 = v_conic[0], v12 = 0.5f * v_conic[1], v22 = v_conic[2], by_conic = factor * squares;
  const float p11 = k11 * v11 + k12 * v12, p12 = k11 * v12 + k12 * v22;
  const float p21 = k21 * v11 + k22 * v12, p22 = k21 * v12 + k22 * v22;
  const float half = 0.5f * along;
  out->v_conic[0] += by_conic * (p11 * k11 + p12 * k12) + half * (k11 * cov[0] + k12 * cov[1] - cov[0]);
  out->v_conic[1] += 2 * (by_conic * (p11 * k21 + p12 * k22) + half * (k11 * cov[1] + k12 * cov[2] - cov[1]));
  out->v_conic[2] += by_conic * (p21 * k21 + p22 * k22) + half * (k21 * cov[1] + k22 * cov[2] - cov[2]);
  for (int k = 0; k < 3; ++k) out->flat[k] += along * w[k];
}

// Second derivatives by the centre of a Gaussian of conic `a`, xx, xy, yy, out of what was seen of it.
SPLAT2D_LOOP inline void bend_of(const Glance& seen, const float* a, float* bend) {
  const float xx = -2 * seen.v_conic[0], xy = -seen.v_conic[1], yy = -2 * seen.v_conic[2];  // second moments
  const float p = a[0] * xx + a[1] * xy, q = a[0] * xy + a[1] * yy, r = a[1] * xy + a[2] * yy;
  bend[0] = p * a[0] + q * a[1] - seen.flat[0];
  bend[1] = p * a[1] + q * a[2] - seen.flat[1];
  bend[2] = (a[1] * xx + a[2] * xy) * a[1] + r * a[2] - seen.flat[2];
}

// The product of two Gaussians of conics a and b falls with their distance as A - A (A + B)^-1 A says; returns the
// determinant of A + B.
SPLAT2D_LOOP inline float falls_off(const float* a, const float* b, float* apart) {
  const float sum[3] = {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
  const float det = sum[0] * sum[2] - sum[1] * sum[1], inverse = 1 / det;
  const float p = (a[0] * sum[2] - a[1] * sum[1]) * inverse, q = (a[1] * sum[0] - a[0] * sum[1]) * inverse;
  const float r = (a[1] * sum[2] - a[2] * sum[1]) * inverse, s = (a[2] * sum[0] - a[1] * sum[1]) * inverse;
  apart[0] = a[0] - p * a[0] - q * a[1];
  apart[1] = a[1] - p * a[1] - q * a[2];
  apart[2] = a[2] - r * a[1] - s * a[2];
  return det;
}

// Of a splat of a picture: derivatives of its inner product with the error, to second order in its place and to first
// in the rest. What a moved splat shares with where it was is known but for cut-off and canvas.
struct PictureForecast {
  static constexpr float kPi = 3.14159265f;

  int channels;
  float mean[2], conic[3];
  float color[kMaxChannels];  // as errors of it count
  float squares;              // of the colours, weighed so
  Projection error;
  float v_mean[2], v_conic[3], bend[3];
  float visible;  // what the splat's energy weighs, over that which neither cut-off nor canvas take from

  // For a splat with these colours, `counted` as errors of them count, of which so much was seen; its own energy weighs
  // `self`.
  SPLAT2D_LOOP void look(const float* at, const float* a, int channel_count, const float* colors, const float* counted,
                         const Glance& seen, float self) {
    channels = channel_count;
    squares = 0;
    SPLAT2D_UNROLL
    for (int c = 0; c < kMaxChannels && c < channels; ++c) {
      color[c] = counted[c];
      squares += colors[c] * counted[c];
      error.with[c] = seen.sums.with[c];
    }
    error.self = self;
    for (int k = 0; k < 2; ++k) {
      mean[k] = at[k];
      v_mean[k] = seen.v_mean[k];
    }
    for (int k = 0; k < 3; ++k) {
      conic[k] = a[k];
      v_conic[k] = seen.v_conic[k];
    }
    bend_of(seen, a, bend);
    visible = self * sqrtf(a[0] * a[2] - a[1] * a[1]) / kPi;
  }

  // Inner products of the picture without the splat with the splat.
  SPLAT2D_LOOP Projection without() const {
    Projection out = error;
    each_channel(channels, [&](int c) { out.with[c] -= color[c] * error.self; });
    return out;
  }

  // The same with the splat at another place and of another shape, as far as can be foreseen.
  SPLAT2D_LOOP Projection without(const float* at, const float* b) const {
    float apart[3];
    const float det = falls_off(conic, b, apart), dx = at[0] - mean[0], dy = at[1] - mean[1];
    float drift = v_mean[0] * dx + v_mean[1] * dy + 0.5f * (bend[0] * dx * dx + bend[2] * dy * dy) + bend[1] * dx * dy;
    for (int k = 0; k < 3; ++k) drift += v_conic[k] * (b[k] - conic[k]);
    const float far = apart[0] * dx * dx + 2 * apart[1] * dx * dy + apart[2] * dy * dy;
    const float shared = visible * expf(-0.5f * far) * 2 * kPi / sqrtf(det);
    Projection out;
    out.self = visible * kPi / sqrtf(b[0] * b[2] - b[1] * b[1]);
    each_channel(channels, [&](int c) { out.with[c] = error.with[c] + color[c] * (drift / squares - shared); });
    return out;
  }
};

}  // namespace refine
}  // namespace splat2d
