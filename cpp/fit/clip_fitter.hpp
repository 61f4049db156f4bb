// Fits moving Gaussians to the frames of a clip: cpp/fit/fitter.hpp with time.
#pragma once

#include <optional>
#include <vector>

#include "device/pyramid.hpp"
#include "device/slices.hpp"
#include "fit/fitter.hpp"

namespace splat2d {

class ClipFitter : public FitOf<InTime> {
 public:
  // frames: [T, C, H, W] float32 in [0, 1] and background: [C], both of this machine's memory; distortions: none for
  // SSE.
  ClipFitter(const float* frames, int channels, Footage footage, const float* background, FitOptions options,
             Film::Distortions distortions = {});

  SeedResult plant(const SeedOptions& options) override;
  void gradient(Array<float>* out) override;

  // Parts of the above. Public, because loops for a GPU may not stand in private functions.
  // Frames that the device works on at the same time.
  struct Batch {
    int first, frames;
  };
  // What is needed to work on them.
  struct Workspace {
    std::optional<Pyramid> pyramid;
    Slices slices;
    Array<float> v_means, v_conics, v_colors;
  };
  void draw(const Device& device, Batch batch, Workspace* workspace);
  // Sums over the frames that the gradient is made of, by parts of these.
  void clear_sums(const Device& device, int part);
  void add_gradients(const Device& device, Batch batch, int part, Workspace* workspace);
  void spread_shapes();
  // The error as the motion field brings it back to the world, [T, C, H, W]; nothing without a field.
  Array<float> brought_back() const;
  // Adds the error, or what was brought back of it, seen through a window of weights [T], in the world, [C, H, W].
  void through(const std::vector<float>& weights, const Array<float>& back, float* to) const;
  // The same with each block of the flow [frames, rows, columns, 2] of `blocks` going on from a time as it moves then.
  void followed(const std::vector<float>& weights, float time, const BlockFlow& blocks, const Array<float>& flow,
                float* to) const;
  // Of seeds, as far as they save anything along a path: how they move, and what they save then.
  struct Seed;
  void follow(std::vector<Seed>* seeds) const;
  void weigh(std::vector<Seed>* seeds) const;

 protected:
  void draw() override;

 private:
  MovingSplats splats() const;

  Array<float> velocities_, precisions_;  // derived
  Array<uint8_t> levels_;                 // that splats are drawn on
  int level_count_ = 1;
  Array<MovingGradient> sums_;     // [parts, N]
  Array<float> v_parts_, alongs_;  // [parts, N, C] of the colours; <colours, their gradient>
};

}  // namespace splat2d
