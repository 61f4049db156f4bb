// Additive rendering of anisotropic 2D Gaussians on a GPU, forward and backward; a batch of frames in one launch.
//
// No sorting: the canvas is cut into coarse bins, one block a bin reads all boxes and keeps, in index order, those
// that touch it; a tile's block does the same with its bin's list. Sums have one order, so the same input gives
// the same bits. The backward pass gives each splat a block of its own: no atomics.
#pragma once

#include <cstdint>

#include "../cpp/gaussian.hpp"
#include "runtime.hpp"

namespace splat2d::gpu {

// How many parts of this size cover it.
__host__ __device__ inline int parts(int64_t size, int64_t part) { return static_cast<int>((size + part - 1) / part); }

// Frames of splats, all pointers to device memory.
struct Splats {
  int frames, count, channels;
  const float* means;   // [F, N, 2] px; pixel (i, j) is sampled at (i + 0.5, j + 0.5)
  const float* conics;  // [F, N, 3] px^-2
  const float* colors;  // [F, N, C]
};

struct alignas(16) PixelBox {
  int x0, y0, x1, y1;
};

class Rasterizer {
 public:
  explicit Rasterizer(cudaStream_t stream) : stream_(stream) {}

  // out [F, C, H, W] = base + sum of splats; base [F, C, H, W], or [C] when base_is_color, or null.
  void forward(const Splats& splats, Canvas canvas, float cutoff, const float* base, bool base_is_color, float* out);

  // Gradients, in the splats' shapes, of a scalar with cotangent v_out [F, C, H, W].
  void backward(const Splats& splats, Canvas canvas, float cutoff, const float* v_out, float* v_means, float* v_conics,
                float* v_colors);

  // Planes [C, H, W] to bytes [H, W, C], clamped; with unpremultiply the last channel divides the others.
  void to_bytes(const float* planes, int channels, Canvas canvas, bool unpremultiply, unsigned char* out);

  cudaStream_t stream() const { return stream_; }

 private:
  void bin(const Splats& splats, Canvas canvas, float cutoff);

  cudaStream_t stream_;
  Buffer<PixelBox> boxes_;   // [F, N]
  Buffer<int64_t> offsets_;  // [F * bins + 1]
  Buffer<int> lists_;        // splats of each bin, in index order
};

}  // namespace splat2d::gpu
