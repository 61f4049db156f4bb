#include "fit/distortion.hpp"

namespace splat2d {

namespace {

// The filter between levels is (outer, inner, inner, outer); output pixel X lies between inputs 2 X and 2 X + 1.
constexpr float kOuter = 0.125f, kInner = 0.375f;

Canvas half_of(Canvas c) { return {(c.width + 1) / 2, (c.height + 1) / 2}; }

SPLAT2D_HD int within(int v, int end) { return v < 0 ? 0 : v < end ? v : end - 1; }

// Half of the size; beyond the border stands the border's pixel.
Array<float> reduce(const Device& device, const float* in, Canvas from, int channels) {
  const Canvas to = half_of(from);
  auto columns = Array<float>::unset(static_cast<size_t>(to.height) * from.width * channels),
       out = Array<float>::unset(to.area() * channels);
  float* column = columns.data();
  device.for_rows(to.height * channels, from.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* plane = in + row / to.height * from.area();
    const int y = 2 * (row % to.height);
    const auto at = [&](int dy) { return plane + static_cast<size_t>(within(y + dy, from.height)) * from.width; };
    const float *r0 = at(-1), *r1 = at(0), *r2 = at(1), *r3 = at(2);
    float* o = column + static_cast<size_t>(row) * from.width;
    if (y > 0 && y + 2 < from.height) {
      const float weights[] = {kOuter, kInner, kInner, kOuter};
      weigh_rows(r0 + x0, from.width, weights, 4, x1 - x0, o + x0);
    } else {
      for (int x = x0; x < x1; ++x) o[x] = kOuter * (r0[x] + r3[x]) + kInner * (r1[x] + r2[x]);
    }
  });
  float* o = out.data();
  device.for_rows(to.height * channels, to.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* p = column + static_cast<size_t>(row) * from.width;
    float* to_row = o + static_cast<size_t>(row) * to.width;
    const auto near_border = [&](int x) {
      const auto at = [&](int i) { return p[within(i, from.width)]; };
      to_row[x] = kOuter * (at(2 * x - 1) + at(2 * x + 2)) + kInner * (at(2 * x) + at(2 * x + 1));
    };
    const int first = x0 > 1 ? x0 : 1, last = x1 < from.width / 2 - 1 ? x1 : from.width / 2 - 1;
    for (int x = x0; x < x1 && x < first; ++x) near_border(x);
    for (int x = first; x < last; ++x)
      to_row[x] = kOuter * (p[2 * x - 1] + p[2 * x + 2]) + kInner * (p[2 * x] + p[2 * x + 1]);
    for (int x = last > first ? last : first; x < x1; ++x) near_border(x);
  });
  return out;
}

// Calls f(X, weight) for the outputs X of `reduce`, out of `outputs`, that read input x out of `inputs`.
template <class F>
SPLAT2D_HD void for_readers(int x, int inputs, int outputs, F f) {
  if (x > 0 && x + 1 < inputs) {  // no border is near
    const int X = x >> 1;
    if (x & 1) {
      f(X, kInner);
      f(X + 1, kOuter);
    } else {
      f(X - 1, kOuter);
      f(X, kInner);
    }
    return;
  }
  for (int X = within((x - 2) >> 1, outputs); X <= within((x + 1) >> 1, outputs); ++X)
    for (int i = 0; i < 4; ++i)
      if (within(2 * X + i - 1, inputs) == x) f(X, i == 0 || i == 3 ? kOuter : kInner);
}

// out += 4 times the adjoint of `reduce`.
void expand(const Device& device, const float* in, Canvas to, int channels, float* out) {
  const Canvas from = half_of(to);
  auto columns = Array<float>::unset(static_cast<size_t>(to.height) * from.width * channels);
  float* column = columns.data();
  device.for_rows(to.height * channels, from.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* plane = in + row / to.height * from.area();
    float* o = column + static_cast<size_t>(row) * from.width;
    const int y = row % to.height;
    if (y > 0 && y + 1 < to.height) {  // no border is near
      const float even[] = {4 * kOuter, 4 * kInner}, odd[] = {4 * kInner, 4 * kOuter};
      const int first = (y - 1) >> 1;
      weigh_rows(plane + static_cast<size_t>(first) * from.width + x0, from.width, y & 1 ? odd : even, 2, x1 - x0,
                 o + x0);
      return;
    }
    for (int x = x0; x < x1; ++x) o[x] = 0;
    for_readers(y, to.height, from.height, [&](int Y, float weight) {
      for (int x = x0; x < x1; ++x) o[x] += 4 * weight * plane[static_cast<size_t>(Y) * from.width + x];
    });
  });
  device.for_rows(to.height * channels, to.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* p = column + static_cast<size_t>(row) * from.width;
    float* o = out + static_cast<size_t>(row) * to.width;
    const auto near_border = [&](int x) {
      for_readers(x, to.width, from.width, [&](int X, float weight) { o[x] += weight * p[X]; });
    };
    // Pairs of columns between two of the coarser level's on both sides.
    const int first = x0 > 2 ? x0 + (x0 & 1) : 2, inner = 2 * (from.width - 1) - 1, last = x1 < inner ? x1 : inner;
    int x = x0;
    for (; x < x1 && x < first; ++x) near_border(x);
    for (; x + 1 < last; x += 2) {
      const int X = x >> 1;
      o[x] += kOuter * p[X - 1] + kInner * p[X];
      o[x + 1] += kInner * p[X] + kOuter * p[X + 1];
    }
    for (; x < x1; ++x) near_border(x);
  });
}

}  // namespace

Distortion::Distortion(Canvas canvas, std::vector<std::vector<float>> weights, Tint tint) : tint_(tint) {
  const Device device(1);
  density_.levels = static_cast<int>(weights.size());
  for (int l = 0; l < density_.levels; ++l) {
    planes_.emplace_back(std::move(weights[l]));
    Canvas size = canvas;
    density_.planes[l][0] = {planes_.back().data(), size};
    for (int m = 1; m < Density::kAverages - l; ++m) {
      planes_.push_back(reduce(device, planes_.back().data(), size, 1));
      size = half_of(size);
      density_.planes[l][m] = {planes_.back().data(), size};
    }
    canvas = half_of(canvas);
  }
}

std::vector<Array<float>> Distortion::pyramid(const Device& device, const float* error, int channels) const {
  std::vector<Array<float>> out;
  for (int l = 1; l < levels(); ++l)
    out.push_back(reduce(device, l == 1 ? error : out.back().data(), canvas(l - 1), channels));
  return out;
}

void Distortion::evaluate(const Device& device, const float* error, int channels, float* gradient,
                          double* value) const {
  std::vector<Array<float>> errors = pyramid(device, error, channels);
  for (int l = levels() - 1; l >= 0; --l) {
    const Canvas size = canvas(l);
    const float *e = l ? errors[l - 1].data() : error, *plane = weights(l);
    float* to = l ? errors[l - 1].data() : gradient;
    device.for_rows(size.height * channels, size.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
      const float* w = plane + static_cast<size_t>(row % size.height) * size.width;
      const size_t at = static_cast<size_t>(row) * size.width;
      multiply_row(w + x0, e + at + x0, x1 - x0, to + at + x0);
    });
    if (l + 1 < levels()) expand(device, errors[l].data(), size, channels, to);
  }
  const Tint tint = tint_of(this, channels);
  if (!tint.plain()) {
    const Canvas size = canvas(0);
    device.for_rows(size.height, size.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
      float* red = gradient + static_cast<size_t>(row) * size.width;
      float *green = red + size.area(), *blue = green + size.area();
      for (int x = x0; x < x1; ++x) tint.apply(red + x, green + x, blue + x);
    });
  }
  device.dots({{error, gradient}}, canvas(0).area() * channels, value);
}

}  // namespace splat2d
