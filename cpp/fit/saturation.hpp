// Where the picture is white or black a render somewhat beyond it costs nothing, because the decoder clamps it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/device.hpp"

namespace splat2d {

class Saturation {
 public:
  // image: samples in [0, 1] of this machine's memory, `size` of them.
  Saturation(const float* image, size_t size);

  // What the decoder clamps away of residuals (render - image), from sample `first` on. What is left is the distance to
  // a convex set, half the gradient of its square; where none is left an error weighs nothing (Distortion::evaluate).
  Headroom headroom(size_t first = 0) const;

 private:
  Array<int8_t> signs_;  // 1 where the picture is white, -1 where it is black; empty when it is nowhere
};

}  // namespace splat2d
