// One Gaussian and one pixel: what the kernels of the CPU (lanes of sixteen) and of the GPU (a thread a pixel) share.
#pragma once

#include <cmath>
#include <cstddef>

#if defined(__CUDACC__)
#define SPLAT2D_HD __host__ __device__ __forceinline__
// Before a loop whose count has a constant limit: a GPU then keeps its arrays in registers.
#define SPLAT2D_UNROLL _Pragma("unroll")
#else
#define SPLAT2D_UNROLL
// Always inlined, so that files compiled for several instruction sets leave no copy to the linker.
#define SPLAT2D_HD inline __attribute__((always_inline))
#endif

namespace splat2d {

constexpr int kMaxChannels = 4;

// f(c) for each of the channels.
template <class F>
SPLAT2D_HD void each_channel(int channels, F f) {
  SPLAT2D_UNROLL
  for (int c = 0; c < kMaxChannels && c < channels; ++c) f(c);
}

struct Canvas {
  int width;
  int height;
  SPLAT2D_HD size_t area() const { return static_cast<size_t>(width) * height; }
};

// A pixel box [x0, x1) x [y0, y1).
struct Box {
  int x0, y0, x1, y1;
  SPLAT2D_HD bool empty() const { return x0 >= x1 || y0 >= y1; }
};

// Rows of a box that are one of so many parts.
SPLAT2D_HD Box part_of(Box box, int part, int parts) {
  const int64_t height = box.y1 - box.y0, top = box.y0;
  box.y0 = static_cast<int>(top + height * part / parts);
  box.y1 = static_cast<int>(top + height * (part + 1) / parts);
  return box;
}

struct Ellipse {
  float mx, my, a, b, c, inv_a, det, cutoff;
  bool valid;
};

template <class T>
SPLAT2D_HD T clamp(T v, T low, T high) {
  return v < low ? low : v > high ? high : v;
}

SPLAT2D_HD bool is_finite(float v) { return v - v == 0.0f; }

SPLAT2D_HD Ellipse make_ellipse(const float* mean, const float* conic, float cutoff) {
  Ellipse e{mean[0], mean[1], conic[0], conic[1], conic[2], 0.0f, 0.0f, cutoff, false};
  e.det = e.a * e.c - e.b * e.b;
  e.valid = is_finite(e.mx) && is_finite(e.my) && is_finite(e.b) && e.a > 0.0f && e.c > 0.0f && e.det > 0.0f &&
            is_finite(e.det);
  if (e.valid) e.inv_a = 1.0f / e.a;
  return e;
}

SPLAT2D_HD int clip_to(double v, int limit) { return v > 0.0 ? (v < limit ? static_cast<int>(v) : limit) : 0; }

// The pixels an ellipse can touch; empty for degenerate or non-finite ones.
SPLAT2D_HD Box bounding_box(const Ellipse& e, Canvas canvas) {
  if (!e.valid) return {0, 0, 0, 0};
#if defined(__CUDACC__) || defined(SPLAT2D_EMULATED)
  // Roots of doubles take a GPU long; so the box is a little larger, and kernels test each pixel.
  if (!(e.cutoff > 0)) return {0, 0, 0, 0};
  const float rx = sqrtf(e.cutoff * (e.c / e.det)) * 1.00001f + 0.01f,
              ry = sqrtf(e.cutoff * (e.a / e.det)) * 1.00001f + 0.01f, x = e.mx - 0.5f, y = e.my - 0.5f;
  const auto clip = [](float v, int limit) { return static_cast<int>(clamp(v, 0.0f, static_cast<float>(limit))); };
  return {clip(floorf(x - rx), canvas.width), clip(floorf(y - ry), canvas.height),
          clip(floorf(x + rx) + 2, canvas.width), clip(floorf(y + ry) + 2, canvas.height)};
#else
  const double rx = sqrt(static_cast<double>(e.cutoff) * e.c / e.det);
  const double ry = sqrt(static_cast<double>(e.cutoff) * e.a / e.det);
  return {clip_to(floor(e.mx - 0.5 - rx), canvas.width), clip_to(floor(e.my - 0.5 - ry), canvas.height),
          clip_to(floor(e.mx - 0.5 + rx) + 2, canvas.width), clip_to(floor(e.my - 0.5 + ry) + 2, canvas.height)};
#endif
}

SPLAT2D_HD Box bounding_box(const float* mean, const float* conic, float cutoff, Canvas canvas) {
  return bounding_box(make_ellipse(mean, conic, cutoff), canvas);
}

// Columns of one row that the ellipse reaches; inclusive, empty where last < first.
struct Span {
  int first, last;
};

// Clipped to [x_begin, x_end); conservative by a fraction of a pixel, because the kernels test q itself.
SPLAT2D_HD Span row_span(const Ellipse& e, float dy, int x_begin, int x_end) {
  const float low = x_begin - 1.0f, high = static_cast<float>(x_end);
  const float disc = e.cutoff * e.a - e.det * dy * dy;
  const float half = sqrtf(disc > 0.0f ? disc : 0.0f) * e.inv_a + 0.02f;
  const float mid = e.mx - 0.5f - e.b * e.inv_a * dy;
  // Shifted to be positive, so that truncation rounds down.
  const int first = static_cast<int>(clamp(mid - half, low, high) - low + 0.999f) + x_begin - 1;
  const int last = static_cast<int>(clamp(mid + half, low, high) - low) + x_begin - 1;
  return {first > x_begin ? first : x_begin, last < x_end - 1 ? last : x_end - 1};
}

SPLAT2D_HD float center_distance(int pixel, float mean) { return (static_cast<float>(pixel) + 0.5f) - mean; }

// A row of pixels: -q/2 at dx is dx (a dx + b) + c.
struct RowTerms {
  float a, b, c;
};

SPLAT2D_HD RowTerms row_terms(float a, float b, float c, float dy) { return {-0.5f * a, -b * dy, -0.5f * c * dy * dy}; }

template <class V, class T>
SPLAT2D_HD V exponent(const T& a, const T& b, const T& c, const V& dx) {
  return dx * (a * dx + b) + c;
}

// Gradients from the moments of w = g <cotangent, colour>: sums of w dx, w dy, w dx^2, w dx dy and w dy^2.
struct Moments {
  float x, y, xx, xy, yy;
};

SPLAT2D_HD void shape_gradients(const Ellipse& e, const Moments& m, float* v_mean, float* v_conic) {
  v_mean[0] = e.a * m.x + e.b * m.y;
  v_mean[1] = e.b * m.x + e.c * m.y;
  v_conic[0] = -0.5f * m.xx;
  v_conic[1] = -m.xy;
  v_conic[2] = -0.5f * m.yy;
}

// A float in [0, 1], clamped, as a byte.
SPLAT2D_HD unsigned char to_byte(float v) {
  return static_cast<unsigned char>(static_cast<int>(clamp(v, 0.0f, 1.0f) * 255.0f + 0.5f));
}

// A premultiplied value over its alpha.
SPLAT2D_HD float straight(float v, float alpha) {
  const float a = clamp(alpha, 0.0f, 1.0f);
  return a > 0.5f / 255.0f ? v / a : 0.0f;
}

}  // namespace splat2d
