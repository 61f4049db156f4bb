// Where the picture is white or black a render somewhat beyond it costs nothing, because the decoder clamps it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device.hpp"

namespace splat2d {

class Saturation {
 public:
  // image: samples in [0, 1] of this machine's memory, `size` of them.
  Saturation(const float* image, size_t size);

  // Takes from residuals (render - image) what the decoder clamps away; `squares` is their sum of squares before.
  // Returns it after. A squared distance to a convex set, whose gradient is what is left.
  double clip(const Device& device, double squares, Array<float>* residual) const {
    return clip(device, squares, 0, residual->size(), residual->data());
  }
  // The same for some of them only, from number `first` on.
  double clip(const Device& device, double squares, size_t first, size_t count, float* residual) const;

  // Sets the gradient to zero where `clip` left no residual.
  void clip_gradient(const Device& device, const Array<float>& residual, Array<float>* gradient) const;

 private:
  Array<int8_t> signs_;  // 1 where the picture is white, -1 where it is black; empty when it is nowhere
};

}  // namespace splat2d
