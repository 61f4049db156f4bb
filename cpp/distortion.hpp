// A distortion that weighs errors by place and by scale: D(e) = sum_l 4^l sum_x w_l(x) |(B_l e)(x)|^2.
//
// B_l e is the error at level l of a binomial pyramid, 1 / 2^l of the size. A Gaussian of covariance S is there
// nearly a Gaussian again, of covariance (S + (4^l - 1) / 4 px^2) / 4^l, so the splats follow it cheaply.
#pragma once

#include <vector>

#include "raster.hpp"

namespace splat2d {

// Variance that the pyramid's filter adds up to level l, px^2 of the picture.
constexpr float level_variance(int level) { return 0.25f * static_cast<float>((1 << (2 * level)) - 1); }

// A splat as level l sees it.
struct LevelSplat {
  float mean[2];   // px of the level
  float conic[3];  // px^-2 of the level
  float height;    // of the Gaussian, over its height in the picture
};

LevelSplat level_splat(const float* mean, const float* conic, int level);

class Distortion {
 public:
  static constexpr int kMaxLevels = 8;

  // weights: one plane a level, each half of the one before, rounded up.
  Distortion(Canvas canvas, std::vector<std::vector<float>> weights);

  int levels() const { return static_cast<int>(weights_.size()); }
  Canvas canvas(int level) const { return canvases_[level]; }
  const float* weights(int level) const { return weights_[level].data(); }

  // The error [C, H, W] at levels 1 and up.
  std::vector<std::vector<float>> pyramid(const float* error, int channels, int threads) const;

  // Returns D(error) and writes half of its gradient, both for error [C, H, W].
  double evaluate(const float* error, int channels, int threads, float* gradient) const;

  // D over SSE of a round Gaussian-like splat of this standard deviation (px) at (x, y), about.
  float density(float x, float y, float deviation) const;

 private:
  struct Averages {  // weights of one level at its own and all coarser sizes
    std::vector<std::vector<float>> planes;
    std::vector<Canvas> canvases;
  };
  std::vector<std::vector<float>> weights_;
  std::vector<Canvas> canvases_;
  std::vector<Averages> averages_;
};

}  // namespace splat2d
