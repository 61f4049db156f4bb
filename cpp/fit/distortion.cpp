#include "fit/distortion.hpp"

#include "device/halving.hpp"

namespace splat2d {

namespace {

// The filter between levels is (outer, inner, inner, outer); output pixel X lies between inputs 2 X and 2 X + 1.
constexpr float kOuter = 0.125f, kInner = 0.375f;

Canvas half_of(Canvas c) { return {(c.width + 1) / 2, (c.height + 1) / 2}; }

// Half of the size; beyond the border stands the border's pixel.
Array<float> reduce(const Device& device, const float* in, Canvas from, int channels) {
  const Canvas to = half_of(from);
  auto out = Array<float>::unset(to.area() * channels);
  float* o = out.data();
  device.for_rows(to.height * channels, to.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* plane = in + row / to.height * from.area();
    const float factors[] = {kOuter, kInner, kInner, kOuter};
    const float* rows[4];
    for (int i = 0; i < 4; ++i)
      rows[i] = plane + static_cast<size_t>(within(2 * (row % to.height) + i - 1, from.height)) * from.width;
    halve_row(rows, factors, from.width, kOuter, kInner, x0, x1, o + static_cast<size_t>(row) * to.width);
  });
  return out;
}

// out += 4 times the adjoint of `reduce`, in a row of a plane.
SPLAT2D_LOOP inline void expand_row(const float* plane, Canvas from, Canvas to, int y, int x0, int x1, float* out) {
  constexpr int kMost = 4;
  const float* rows[kMost];
  float factors[kMost];
  int count = 0;
  for_readers(y, to.height, from.height, kOuter, kInner, [&](int Y, float weight) {
    if (count && rows[count - 1] == plane + static_cast<size_t>(Y) * from.width) {
      factors[count - 1] += 4 * weight;
      return;
    }
    rows[count] = plane + static_cast<size_t>(Y) * from.width;
    factors[count++] = 4 * weight;
  });
  double_row(rows, factors, count, from.width, kOuter, kInner, to.width, x0, x1, out);
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

void Distortion::evaluate(const Device& device, const float* error, int channels, float* gradient, double* value,
                          const int8_t* saturated) const {
  std::vector<Array<float>> errors = pyramid(device, error, channels);
  const Canvas all = canvas(0);
  Array<double> products(Device::kManyTeams ? 0 : all.height * channels);
  double* product = products.data();
  const Tint tint = tint_of(this, channels);
  const bool plain = tint.plain();  // else saturation and products wait for the tint
  for (int l = levels() - 1; l >= 0; --l) {
    const Canvas size = canvas(l), coarse = half_of(size);
    const float *e = l ? errors[l - 1].data() : error, *plane = weights(l);
    const float* above = l + 1 < levels() ? errors[l].data() : nullptr;
    const int8_t* signs = l == 0 && plain ? saturated : nullptr;
    float* to = l ? errors[l - 1].data() : gradient;
    device.for_rows(size.height * channels, size.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
      const int y = row % size.height;
      const float* w = plane + static_cast<size_t>(y) * size.width;
      const size_t at = static_cast<size_t>(row) * size.width;
      multiply_row(w + x0, e + at + x0, x1 - x0, to + at + x0);
      if (above) expand_row(above + row / size.height * coarse.area(), coarse, size, y, x0, x1, to + at);
      if (signs) clear_saturated(signs + at + x0, e + at + x0, x1 - x0, to + at + x0);
      if (!Device::kManyTeams && l == 0 && plain) product[row] = dot_row(e + at, to + at, size.width);
    });
  }
  if (!tint.plain())
    device.for_rows(all.height, all.width, [=] SPLAT2D_LOOP(int y, int x0, int x1) {
      const size_t row = static_cast<size_t>(y) * all.width;
      float *red = gradient + row, *green = red + all.area(), *blue = green + all.area();
      for (int x = x0; x < x1; ++x) tint.apply(red + x, green + x, blue + x);
      for (int c = 0; c < channels; ++c) {
        const size_t at = c * all.area() + row;
        if (saturated) clear_saturated(saturated + at + x0, error + at + x0, x1 - x0, gradient + at + x0);
        if (!Device::kManyTeams) product[c * all.height + y] = dot_row(error + at, gradient + at, all.width);
      }
    });
  if (Device::kManyTeams)
    device.dots({{error, gradient}}, all.area() * channels, value);
  else
    device.sum(all.height * channels, [=] SPLAT2D_LOOP(int64_t row) { return product[row]; }, value);
}

}  // namespace splat2d
