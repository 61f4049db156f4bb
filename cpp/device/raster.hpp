// Additive rendering of anisotropic 2D Gaussians, forward and backward.
#pragma once

#include "math/kernels.hpp"

namespace splat2d {

// Asked by the calling thread now and then whether to stop, which leaves an output unfinished.
using Stopped = bool (*)();

class TextureDrawer;

// out[C, H, W] = base + sum_i colors_i g_i. `base` is [C, H, W], or [C] when base_is_color, or null.
// Returns the sum of squares of what it wrote, or -1 when it was stopped. The result does not depend on the number of
// threads. With a texture that is drawn over the clamped sum.
double render_forward(const Splats& splats, Canvas canvas, float cutoff, const float* base, bool base_is_color,
                      float* out, int threads, const TextureDrawer* texture = nullptr, Stopped stopped = nullptr);

// For fits: out [C, H, W] = base [C, H, W] + the splats as Kernels::sketch draws them, less what the headroom takes.
// Returns the sum of squares of what it wrote.
double render_residual(const Splats& splats, Canvas canvas, float cutoff, const float* base, Headroom headroom,
                       float* out, int threads);

// Rounds clamp(render, 0, 1) to bytes, interleaved [H, W, C]; with unpremultiply the last channel divides the others.
// Returns whether it was not stopped.
bool render_bytes(const Splats& splats, Canvas canvas, float cutoff, const float* background, bool unpremultiply,
                  unsigned char* out, int threads, const TextureDrawer* texture = nullptr, Stopped stopped = nullptr);

// Gradients of a scalar with cotangent v_out [C, H, W].
void render_backward(const Splats& splats, Canvas canvas, float cutoff, const float* v_out, float* v_means,
                     float* v_conics, float* v_colors, int threads);

// Splat-pixel pairs that a forward pass evaluates inside the cut-off.
double count_pairs(const Splats& splats, Canvas canvas, float cutoff);

}  // namespace splat2d
