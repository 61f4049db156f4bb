// Fits Gaussians with disparities to the views of a light field: cpp/fit/fitter.hpp for several eyes.
#pragma once

#include <vector>

#include "fit/fitter.hpp"

namespace splat2d {

class ViewsFitter : public FitOf<OverViews> {
 public:
  // views: [K, C, H, W] float32 in [0, 1] and background: [C], both of this machine's memory; places: of their eyes;
  // eyes: of all views of the file, which quantisation follows.
  ViewsFitter(const float* views, int channels, Canvas canvas, std::vector<Eye> places, Eyes eyes,
              const float* background, FitOptions options, Film::Distortions distortions = {});

  const Eyes& eyes() const { return course_.eyes; }

  SeedResult plant(const SeedOptions& options) override;
  void gradient(Array<float>* out) override;

  // Parts of the above. Public, because loops for a GPU may not stand in private functions.
  struct Workspace {
    Array<float> means, v_means, v_conics, v_colors;
  };
  // What the eye of view t sees.
  Splats seen(const Device& device, int t, Workspace* workspace) const;
  // Adds the gradients of view t to the sums of a part, rows of means, disparity, conic and colours.
  void add_gradients(const Device& device, int t, int part, Workspace* workspace);
  // Adds what the error's views have in common when what has one disparity is brought to one place, [C, H, W].
  void gather_at(float disparity, float* to) const;
  struct Seed;
  // Finds the disparity nearby at which seeds save most.
  void settle(std::vector<Seed>* seeds, float reach) const;

 protected:
  void draw() override;

 private:
  int row() const { return 6 + channels_; }

  Array<float> sums_;  // [parts, N, row]
};

}  // namespace splat2d
