// Where the picture is white or black a render beyond it costs nothing, because the decoder clamps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace splat2d {

class Saturation {
 public:
  // image: samples in [0, 1], `size` of them.
  Saturation(const float* image, size_t size);

  // Sets residuals (render - image) to zero where the decoder clamps the render; returns the sum of their squares,
  // which does not depend on the number of threads. Distances to a convex set, so the gradient stays what is left.
  double clip(std::vector<float>* residual, int threads) const;

  // Sets the gradient to zero where `clip` left no residual.
  void clip_gradient(const std::vector<float>& residual, std::vector<float>* gradient) const;

 private:
  std::vector<int8_t> signs_;  // 1 where the picture is white, -1 where it is black; empty when it is nowhere
};

}  // namespace splat2d
