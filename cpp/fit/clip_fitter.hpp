// Fits moving Gaussians to the frames of a clip under J = SSE + lambda * bits, in natural units.
#pragma once

#include <cstdint>
#include <vector>

#include "device/pyramid.hpp"
#include "device/slice.hpp"
#include "fit/course_step.hpp"
#include "fit/descent.hpp"
#include "fit/peaks.hpp"
#include "fit/saturation.hpp"

namespace splat2d {

// The frames that a fit or a refinement works on.
struct Footage {
  Canvas canvas;              // of a frame
  Canvas world;               // that the camera's path shows
  std::vector<Shift> shifts;  // of the frames
  // Errors of a frame count by the square of its gain: its picture and what is drawn of it are multiplied by it.
  std::vector<float> gains;

  int frames() const { return static_cast<int>(shifts.size()); }
  // The middle of frame t.
  Moment moment(int t, float cutoff) const { return {static_cast<float>(t) + 0.5f, shifts[t], gains[t], cutoff}; }
};

class ClipFitter : public Descent {
 public:
  // frames: [T, C, H, W] float32 in [0, 1]; background: [C]. The CPU only.
  ClipFitter(const float* frames, int channels, Footage footage, const float* background, FitOptions options);

  const Footage& footage() const { return footage_; }
  const Array<float>& target() const { return negative_target_; }
  const Saturation& saturation() const { return saturation_; }

  // Changes D and lambda; what has been fitted stays.
  void set_rate(double step, double lambda);

  // From now on only every so many frames are looked at, which stand for those between them.
  void look_at_every(int frames);

  // Removes splats whose removal costs less distortion than factor * lambda * bits. Returns how many went.
  int prune(double factor);

  // Matching pursuit on the residual seen through temporal windows: all frames, and each of `durations` (frames,
  // standard deviation) at times that cover the clip. Returns how many splats were added.
  int seed(const SeedOptions& options, const std::vector<double>& durations);

  // Takes over the splats of a fit of the same frames at half the size.
  void enlarge(const ClipFitter& half);

  // Adds splats: centres [n, 3], factors [n, 9] and amplitudes [n, C].
  void insert(const std::vector<float>& means, const std::vector<float>& frames, const std::vector<float>& k);

  double sse() const { return sse_; }
  double bits() const { return bits_ + constant_bits() * count(); }
  double constant_bits() const { return 18.0; }

  // Integers nearest to the present state, [N, C + 9]; see cpp/format/course.hpp. All zero where a splat's colour
  // rounds to nothing.
  std::vector<int32_t> quantize() const;

  FitState state() const { return {state_.means.copy(), state_.frames.copy(), state_.k.copy()}; }

  // J / 2 and its gradient, for tests.
  double evaluated() {
    evaluate();
    return value();
  }
  std::vector<float> natural_gradient();

 protected:
  void evaluate() override;
  double value() override;
  void gradient(Array<float>* out) override;
  void limit(const FitState& at, Array<float>* direction) const override;
  void move(const Array<float>& direction, float t, const FitState& from) override;

 private:
  void update_geometry();
  MovingSplats splats() const;
  struct Seed;
  struct Promise;
  Promise promise_of(const Seed& seed, const SeedShape& shape, const float* conic, bool roughly) const;
  void follow(Seed* seed) const;
  // Frames that are looked at: the first of every so many.
  int seen_frames() const { return (footage_.frames() + every_ - 1) / every_; }
  struct Workspace;
  struct Gradients;
  // Of frame t, for what is drawn on a level.
  Moment moment(int t, int level) const;
  // The slices that frame t shows of the splats of a level.
  void slice_of(int t, int level, Slices* out) const;
  // f(i, workspace) for i from 0 to count - 1, in any order, each by one thread.
  template <class F>
  void each_frame(int count, F f);
  // Draws frame t's residual; returns its squared sum.
  double draw(int t, Workspace* workspace);
  void add_gradients(int t, Workspace* workspace, Gradients* to) const;
  // The residual seen through a window of weights, in the world, [C, H, W].
  Planes through(const std::vector<float>& weights) const;

  Footage footage_;
  FitOptions options_;
  MovingModel model_;
  Array<float> negative_target_;  // [T, C, H, W] background - frames
  Saturation saturation_;
  Array<float> residual_;  // render - frames, zero where the decoder clamps

  std::vector<MovingShape> shapes_;  // derived
  std::vector<uint8_t> levels_;      // that splats are drawn on
  int level_count_ = 1;
  Array<float> velocities_, conics_, precisions_, colors_;
  std::vector<float> v_colors_;  // [N, C] of the last gradient
  int every_ = 1;
  double sse_ = 0, bits_ = 0;
};

}  // namespace splat2d
