// Fits Gaussians to a picture under J = SSE + lambda * bits, in natural units.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "distortion.hpp"
#include "lbfgs.hpp"
#include "saturation.hpp"
#include "splat_step.hpp"

namespace splat2d {

struct FitOptions {
  double step = 0.3;             // D, the colour step, in [0, 1] units times px
  double lambda = 0.0096;        // SSE per bit
  double chroma_step = 1.25;     // chroma step over D
  double cutoff = 9.5;           // q at which g is cut while fitting
  double amplitude_floor = 0.2;  // A is at least this, so that new splats stay well scaled
  int memory = 12;               // L-BFGS pairs
  bool natural_units = true;     // false: units of every splat as if its amplitude were 16 D
  bool rate_term = true;         // false: only pruning and refinement weigh bits
  int threads = 1;               // on the CPU
};

struct SeedOptions {
  double threshold;         // least SSE a seed must promise
  double energy;            // part of the present SSE that a round's seeds may promise together
  double smallest = 0.45;   // px
  double largest = 24.0;    // px
  double ratio = 1.6;       // between scales
  double amplitude = 0.8;   // of the projection
  double separation = 1.2;  // of accepted seeds, in units of their scale
  bool random = false;      // round seeds at places drawn by the squared residual, as many and as wide
};

// A splat's numbers, one row a splat.
struct FitState {
  Array<float> means;   // [N, 2]
  Array<float> frames;  // [N, 4] row-major L
  Array<float> k;       // [N, C] amplitudes in the colour basis, times sqrt(pi det L)
};

class Fitter {
 public:
  // image: [C, H, W] float32 in [0, 1] and background: [C], both of this machine's memory; distortion: null for SSE.
  Fitter(const float* image, int channels, Canvas canvas, const float* background, FitOptions options,
         std::shared_ptr<const Distortion> distortion = nullptr);

  int count() const { return static_cast<int>(state_.means.size() / 2); }
  int channels() const { return channels_; }
  Canvas canvas() const { return canvas_; }
  const Device& device() const { return device_; }
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

  // Evaluates at the present state, keeping the optimiser's memory. Call after prune, seed and set_rate.
  void refresh();

  // One L-BFGS step with Armijo backtracking. Returns false when no step was found (memory is then dropped).
  bool step();

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
  void update_geometry();
  double total_bits() const;
  void gradient(Array<float>* out);
  void direction(Array<float>* out) const;
  void move(const Array<float>& direction, float t, const FitState& from);

 private:
  int parameters() const { return channels_ + kShapeParameters; }
  double evaluate();  // renders, returns J / 2
  // Half of the distortion's gradient, [C, H, W]; the residual itself for SSE.
  const Array<float>& error() const { return distortion_ ? error_ : residual_; }
  void scatter(std::vector<struct Candidate>* seeds) const;
  void add(const std::vector<float>& means, const std::vector<float>& frames, const std::vector<float>& k);

  int channels_;
  Canvas canvas_;
  FitOptions options_;
  Device device_;
  FitModel model_;
  Array<float> negative_target_;  // background - image
  Saturation saturation_;
  Array<float> residual_;  // render - image, zero where the decoder clamps
  std::shared_ptr<const Distortion> distortion_;
  Array<float> error_;

  FitState state_, from_;                       // from_: before the present step
  Array<float> conics_, colors_, norms_;        // derived
  Array<Units> units_;                          // of the last gradient
  Array<float> v_means_, v_conics_, v_colors_;  // of the last gradient
  Array<float> gradient_;
  Lbfgs memory_;
  double sse_ = 0, weighed_ = 0, bits_ = 0, value_ = 0;  // weighed_: the distortion
};

}  // namespace splat2d
