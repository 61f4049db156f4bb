// Means of pictures under a window that slides over them.
#pragma once

#include <memory>
#include <vector>

#include "math/gaussian.hpp"

namespace splat2d {

// Of planes [C, H, W] under a separable window of an odd number of taps; beyond the border stands its pixel. The result
// does not depend on the number of threads.
std::unique_ptr<float[]> windowed(const float* planes, int channels, Canvas canvas, const std::vector<float>& taps,
                                  int threads);

}  // namespace splat2d
