// One splat of a light field while it is fitted: cpp/fit/splat_step.hpp with a disparity, which moves by its natural
// unit times u.
#pragma once

#include "device/slice.hpp"
#include "fit/splat_step.hpp"
#include "format/views.hpp"

namespace splat2d {

namespace fit {

constexpr float kDisparityEnergyBits = 0.25f;  // neighbours tell most of a disparity

// A splat's deviation along its short axis.
SPLAT2D_HD float short_deviation(const float* l) {
  const float xx = l[0] * l[0] + l[1] * l[1], yy = l[2] * l[2] + l[3] * l[3], xy = l[0] * l[2] + l[1] * l[3];
  const float half = 0.5f * (xx + yy), r = hypotf(0.5f * (xx - yy), xy);
  return fabsf(l[0] * l[3] - l[1] * l[2]) / sqrtf(half + r);
}

}  // namespace fit

// What a fit knows of the splats of a light field; a mean is x, y as the middle eye sees them, and the disparity.
struct OverViews : FitModel {
  static constexpr int kMean = 3, kFactor = 4;
  static constexpr int kScaled[2] = {3, 4};
  static constexpr int kParameters = 6, kFields = kViewFields;  // u1, u2, t, d, s, disparity
  static constexpr double kConstantBits = 17;
  static constexpr double kLeastPruneBits = 8;
  using Shape = float;  // the norm over all views

  int views;
  float spread;  // of the eyes, steps of the grid
  Eyes eyes;
  Reel reel;

  SPLAT2D_HD Shape see(const float*, const float* l, const float* k, float* conic, float* color) const {
    float norm;
    fit::geometry(*this, l, k, conic, color, &norm);
    const float all = sqrtf(static_cast<float>(views));
    for (int c = 0; c < channels; ++c) color[c] /= all;
    return norm * all;
  }
  SPLAT2D_HD float bits(const Shape&, const float*, const float* l, const float* k) const {
    return fit::bits(*this, l, k) + fit::kDisparityEnergyBits * log2f(fit::rate_terms(*this, l, k).r2);
  }
  // D over SSE of a splat, as the middle eye sees it.
  SPLAT2D_HD float density(const float* mean, const float* l) const {
    return densities ? densities[views / 2].at(mean, l) : 1.0f;
  }
  SPLAT2D_HD void hold(const float* mean, const float* l, float sign, float* z) const {
    fit::hold(*this, mean, l, sign, z);
  }
  SPLAT2D_HD void move(const Units& units, const float* z, float t, const float* from_mean, const float* from_l,
                       const float* from_k, float* mean, float* l, float* k) const {
    const float unit = fit::short_deviation(from_l) / spread;
    mean[2] = from_mean[2] + unit * clamp(t * z[channels + 5] * units.u, -1.0f, 1.0f);
    fit::move(*this, units, z, t, from_mean, from_l, from_k, mean, l, k);
  }
  // The gradient by the disparity, in natural units.
  SPLAT2D_HD float natural_disparity(const Units& units, const float* l, float gradient) const {
    return gradient * units.u * fit::short_deviation(l) / spread;
  }
  SPLAT2D_HD void add_rate_gradient(const Units& units, const float* l, const float* k, float* v) const {
    fit::add_rate_gradient(*this, units, l, k, v);
    const float squared = steps[0] * steps[0], r2 = fit::rate_terms(*this, l, k).r2;
    const float scale = 0.5f * lambda * fit::kInvLn2 * units.k * 2 * fit::kDisparityEnergyBits / (r2 * squared);
    for (int c = 0; c < channels; ++c) v[c] += scale * k[c];
  }
  void quantize(int energy_class, const float* mean, const float* l, int32_t* f) const {
    const fit::Eigen e = fit::eigen(l);
    quantize_shape(energy_class, std::log(e.s1), std::log(e.s2), e.angle, f);
    quantize_position(energy_class, canvas, mean[0], mean[1], f);
    f[kDisparity] = quantize_disparity(mean[2], disparity_step(energy_class, f[0], f[1], eyes));
  }
};

}  // namespace splat2d
