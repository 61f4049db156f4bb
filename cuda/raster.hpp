// Additive rendering of anisotropic 2D Gaussians on a GPU, forward and backward; a batch of frames in one launch.
//
// Forward, each splat is written into the lists of the tiles that it touches, and drawn by one block a tile, in index
// order, so that the same input gives the same bits. Nothing waits for the host: a tile whose list has no room for all
// looks through all splats, and the next frame finds more room.
// The backward pass gives each splat a warp, and large ones many: no atomics on sums.
#pragma once

#include <cstdint>

#include "math/kernels.hpp"
#include "sums.hpp"

namespace splat2d::gpu {

// How many parts of this size cover it.
__host__ __device__ inline int parts(int64_t size, int64_t part) { return static_cast<int>((size + part - 1) / part); }

// Frames of splats, all pointers to device memory.
struct Frames {
  int frames, count, channels;
  const float* means;              // [F, N, 2] px; pixel (i, j) is sampled at (i + 0.5, j + 0.5)
  const float* conics;             // [F, N, 3] px^-2
  const float* colors;             // [F, N, C]
  const float* cutoffs = nullptr;  // [F, N] of each; null for one of all

  __device__ float cutoff(int64_t i, float of_all) const { return cutoffs ? cutoffs[i] : of_all; }
};

// What frames are drawn onto and what becomes of them.
struct Picture {
  const float* base = nullptr;  // [F, C, H, W], or [C] when base_is_color
  bool base_is_color = true;
  Headroom headroom;          // [F, C, H, W]
  float* out = nullptr;       // [F, C, H, W]
  double* squares = nullptr;  // [F] their sums, where these are wanted
};

// Tiles that a splat may touch: [x0, x1) x [y0, y1), and where these are 32 at most, which of them, row by row.
struct alignas(16) Reach {
  uint16_t x0, y0, x1, y1;
  unsigned mask;
};

class Rasterizer {
 public:
  static constexpr int kMostSorted = 1024;  // splats of a list that is put in order in shared memory

  explicit Rasterizer(cudaStream_t stream) : stream_(stream) {}

  // out = base + sum of splats, less what the headroom takes.
  void forward(const Frames& splats, Canvas canvas, float cutoff, const Picture& picture);

  // Gradients, in the splats' shapes, of a scalar with cotangent v_out [F, C, H, W].
  void backward(const Frames& splats, Canvas canvas, float cutoff, const float* v_out, float* v_means, float* v_conics,
                float* v_colors);

  // Planes [C, H, W] to bytes [H, W, C], clamped; with unpremultiply the last channel divides the others.
  void to_bytes(const float* planes, int channels, Canvas canvas, bool unpremultiply, unsigned char* out);

  cudaStream_t stream() const { return stream_; }

 private:
  // Which splats each tile sees.
  struct Lists {
    const float4* records;  // [F, N, quads]
    const Reach* reaches;   // [F, N]
    int* counts;            // [F, tiles]; zero again when the frames are drawn
    const int* splats;      // [F, tiles, slots] of the tiles' lists, each in no order
    int slots;              // of a list; where a tile counts more, its list is void
    int* needed;            // of the host's memory: the most of a tile that found no room
  };
  static constexpr int kFirstSlots = 256;
  template <int C>
  friend struct DrawJob;
  template <int C>
  Lists make_lists(const Frames& splats, Canvas canvas, float cutoff);

  cudaStream_t stream_;
  Buffer<float4> records_;
  Buffer<Reach> reaches_;
  Buffer<int> counts_;  // of tiles; zero between frames
  Buffer<int> lists_;
  int slots_ = kFirstSlots;     // of a tile's list
  Pinned<int> needed_;          // by the tiles of earlier frames, where these had too few
  Scratch scratch_;             // of sums
  Buffer<int> large_, shares_;  // of large splats; see gather.cu
  Buffer<float> sums_;
};

}  // namespace splat2d::gpu
