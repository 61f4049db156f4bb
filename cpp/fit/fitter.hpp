// Fits Gaussians to a picture under J = SSE + lambda * bits, in natural units.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fit/descent.hpp"
#include "fit/distortion.hpp"
#include "fit/peaks.hpp"
#include "fit/saturation.hpp"
#include "fit/splat_step.hpp"

namespace splat2d {

class Fitter : public Descent {
 public:
  // image: [C, H, W] float32 in [0, 1] and background: [C], both of this machine's memory; distortion: null for SSE.
  Fitter(const float* image, int channels, Canvas canvas, const float* background, FitOptions options,
         std::shared_ptr<const Distortion> distortion = nullptr);

  Canvas canvas() const { return canvas_; }
  const Array<float>& target() const { return negative_target_; }
  const Distortion* distortion() const { return distortion_.get(); }
  const Saturation& saturation() const { return saturation_; }

  // Changes D and lambda; what has been fitted stays.
  void set_rate(double step, double lambda);

  // Removes splats whose removal costs less distortion than factor * lambda * bits. Returns how many went.
  int prune(double factor);

  // Matching pursuit: adds splats where the blurred residual promises most. Returns candidates found and added.
  struct SeedResult {
    int candidates, added;
  };
  SeedResult seed(const SeedOptions& options);

  // Doubles or halves all lengths, for moving to another resolution of the same picture.
  void resample_from(const Fitter& other, double factor);

  double sse() const { return sse_; }
  double bits() const { return bits_ + constant_bits() * count(); }
  double constant_bits() const { return 16.0; }

  // Means [N, 2], conics [N, 3], colours [N, C] of the present state.
  void splats(float* means, float* conics, float* colors) const;

  // Integers nearest to the present state, [N, C + 5]: k, area, aspect, angle, iy, ix.
  std::vector<int32_t> quantize() const;

  // Parts of a step. Public, because loops for a GPU may not stand in private functions.
  void evaluate() override;
  double value() override;
  void gradient(Array<float>* out) override;
  void limit(const FitState& at, Array<float>* direction) const override;
  void move(const Array<float>& direction, float t, const FitState& from) override;

 private:
  // Half of the distortion's gradient, [C, H, W]; the residual itself for SSE.
  const Array<float>& error() const { return distortion_ ? error_ : residual_; }
  void scatter(std::vector<Candidate>* seeds) const;

  Canvas canvas_;
  FitOptions options_;
  FitModel model_;
  Array<float> negative_target_;  // background - image
  Saturation saturation_;
  Array<float> residual_;  // render - image, zero where the decoder clamps
  std::shared_ptr<const Distortion> distortion_;
  Array<float> error_;

  Array<float> conics_, colors_, norms_;        // derived
  Array<float> v_means_, v_conics_, v_colors_;  // of the last gradient
  double sse_ = 0, weighed_ = 0, bits_ = 0;     // weighed_: the distortion
  enum { kSse = kEvaluated, kBits, kWeighed };
};

}  // namespace splat2d
