// Fits Gaussians to a picture or to the frames of a clip under J = D + lambda * bits, in natural units.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fit/course_step.hpp"
#include "fit/descent.hpp"
#include "fit/film.hpp"
#include "fit/peaks.hpp"
#include "fit/splat_step.hpp"
#include "fit/views_step.hpp"

namespace splat2d {

// A fit of either kind.
class Fit : public Descent {
 public:
  Fit(const float* frames, Rows rows, int channels, Footage footage, const float* background, FitOptions options,
      Film::Distortions distortions);

  const Film& film() const { return film_; }
  double sse() const { return sse_; }
  double bits() const { return bits_ + constant_bits() * count(); }

  // Changes D and lambda; what has been fitted stays.
  void set_rate(double step, double lambda);

  // Weighs errors differently, where they are weighed at all; what has been fitted stays.
  void reweigh(Film::Distortions distortions);

  // Lets go of what a look at the present state makes again: while others need the memory, or before that is out of
  // date.
  void rest();

  // Goes on towards other frames [T, C, H, W] of this machine's memory; what has been fitted stays.
  void retarget(const float* frames) { film_.retarget(frames); }

  // Removes splats whose removal costs less distortion than factor * lambda * bits. Returns how many went.
  virtual int prune(double factor) = 0;

  // Matching pursuit: adds splats where the blurred residual promises most; in a clip, the residual as temporal windows
  // see it, and along the path on which a splat saves most. Returns candidates found and added.
  struct SeedResult {
    int candidates, added;
  };
  SeedResult seed(const SeedOptions& options);

  // Takes over another fit's splats with all lengths multiplied, for moving to another resolution of the same frames.
  void resample_from(const Fit& other, double factor);

  // Adds splats: centres [n, d], factors [n, d * d] and amplitudes [n, C].
  void insert(const std::vector<float>& means, const std::vector<float>& frames, const std::vector<float>& k);
  FitState state() const { return {state_.means.copy(), state_.frames.copy(), state_.k.copy()}; }

  // Conics [N, 3] and colours [N, C] of the present state, whose means are the state's.
  const Array<float>& conics() const { return conics_; }
  const Array<float>& colors() const { return colors_; }

  // Integers nearest to the present state, [N, C + fields()]; all zero where a splat's colour rounds to nothing.
  virtual std::vector<int32_t> quantize() const = 0;
  virtual int fields() const = 0;

  // J / 2 and its gradient, for tests.
  double evaluated();
  std::vector<float> natural_gradient();

  // Parts of a step. Public, because loops for a GPU may not stand in private functions.
  double value() override;
  // Adds up what the frames' residuals and distortions came to.
  void sum_up();
  // `seed`, where the residual is that of the present splats.
  virtual SeedResult plant(const SeedOptions& options) = 0;

 protected:
  virtual FitModel& model() = 0;
  // Lengths among the numbers of a mean and of a factor, which come first in their rows.
  virtual const int* scaled() const = 0;
  virtual double constant_bits() const = 0;
  // Of frame t: half of the distortion's gradient, [C, H, W]; the residual itself for SSE.
  const Array<float>& error() const { return film_.densities() ? error_ : residual_; }
  const float* error(int t) const { return error().data() + t * film_.size(); }
  // Makes room for what is seen of the state.
  void wake();
  // What a distortion makes of frame t's residual.
  void weigh(const Device& device, int t);
  Film film_;
  FitOptions options_;
  Array<float> residual_;            // [T, C, H, W] render - frames, zero where the decoder clamps
  Array<float> error_;               // [T, C, H, W]
  Array<double> squares_, weighed_;  // [T]
  Array<float> conics_, colors_;     // derived
  Array<float> v_colors_;            // of the last gradient
  SeedDensities seed_densities_;     // of the present distortion
  double sse_ = 0, distortion_ = 0, bits_ = 0;
  bool stale_ = false;  // the residual is not that of the state
  enum { kSse = kEvaluated, kBits, kWeighed };
};

// What fits have whose splats a course describes: `Plane`, `InTime` or `OverViews`.
template <class Course>
class FitOf : public Fit {
 public:
  FitOf(const float* frames, int channels, Footage footage, const float* background, FitOptions options,
        Film::Distortions distortions);

  int prune(double factor) override;
  std::vector<int32_t> quantize() const override;
  int fields() const override { return Course::kFields; }

  void look_up() override;
  void evaluate() override;
  void limit(const FitState& at, Array<float>* direction) const override;
  void move(const Array<float>& direction, float t, const FitState& from) override;

 protected:
  // The residuals of all frames, their squares and distortions.
  virtual void draw() = 0;
  FitModel& model() override { return course_; }
  const int* scaled() const override { return Course::kScaled; }
  double constant_bits() const override { return Course::kConstantBits; }

  Course course_;
  Array<typename Course::Shape> shapes_;  // derived
  Array<float> density_;                  // [N] D over SSE of the splats when they were settled
  mutable Array<Units> units_;            // of the state that a step begins at, for its moves
};

extern template class FitOf<Plane>;
extern template class FitOf<InTime>;
extern template class FitOf<OverViews>;

class Fitter : public FitOf<Plane> {
 public:
  // image: [C, H, W] float32 in [0, 1] and background: [C], both of this machine's memory; distortion: null for SSE.
  Fitter(const float* image, int channels, Canvas canvas, const float* background, FitOptions options,
         std::shared_ptr<const Distortion> distortion = nullptr);

  SeedResult plant(const SeedOptions& options) override;
  void gradient(Array<float>* out) override;

 protected:
  void draw() override;

 private:
  void scatter(std::vector<Candidate>* seeds) const;

  Array<float> v_means_, v_conics_;  // of the last gradient
};

}  // namespace splat2d
