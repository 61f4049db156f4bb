#include "distortion.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

namespace splat2d {

namespace {

// The filter between levels; output pixel X lies between input pixels 2 X and 2 X + 1.
constexpr float kFilter[4] = {0.125f, 0.375f, 0.375f, 0.125f};
constexpr float kLeastPart = 0.2f, kLeastDensity = 1e-4f;
constexpr int kAverageLevels = 6;  // weights are averaged up to 2^6 px

Canvas half_of(Canvas c) { return {(c.width + 1) / 2, (c.height + 1) / 2}; }

size_t area(Canvas c) { return static_cast<size_t>(c.width) * c.height; }

// Half of the size; beyond the border stands the border's pixel.
std::vector<float> reduce(const float* in, Canvas from, int channels, int threads) {
  const Canvas to = half_of(from);
  std::vector<float> out(area(to) * channels);
  const int rows = to.height * channels, w = from.width;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> column(static_cast<size_t>(w) + 4);
#pragma omp for
    for (int row = 0; row < rows; ++row) {
      const float* plane = in + static_cast<size_t>(row / to.height) * area(from);
      const float* r[4];
      for (int j = 0; j < 4; ++j)
        r[j] = plane + static_cast<size_t>(std::clamp(2 * (row % to.height) + j - 1, 0, from.height - 1)) * w;
      float* padded = column.data() + 1;
      for (int x = 0; x < w; ++x) padded[x] = kFilter[0] * (r[0][x] + r[3][x]) + kFilter[1] * (r[1][x] + r[2][x]);
      padded[-1] = padded[0];
      padded[w] = padded[w + 1] = padded[w - 1];
      float* o = out.data() + static_cast<size_t>(row) * to.width;
      for (int x = 0; x < to.width; ++x) {
        const float* p = padded + 2 * x;
        o[x] = kFilter[0] * (p[-1] + p[2]) + kFilter[1] * (p[0] + p[1]);
      }
    }
  }
  return out;
}

// out += 4 times the adjoint of `reduce`.
void expand(const float* in, Canvas to, int channels, int threads, float* out) {
  const Canvas from = half_of(to);
  const int rows = to.height * channels, w = from.width;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> column(w);
#pragma omp for
    for (int row = 0; row < rows; ++row) {
      const int y = row % to.height;
      const float* plane = in + static_cast<size_t>(row / to.height) * area(from);
      std::fill(column.begin(), column.end(), 0.0f);
      for (int Y = std::max((y - 2) >> 1, 0); Y <= std::min((y + 1) >> 1, from.height - 1); ++Y)
        for (int j = 0; j < 4; ++j) {
          if (std::clamp(2 * Y + j - 1, 0, to.height - 1) != y) continue;
          for (int x = 0; x < w; ++x) column[x] += 4 * kFilter[j] * plane[static_cast<size_t>(Y) * w + x];
        }
      float* o = out + static_cast<size_t>(row) * to.width;
      const auto at = [&](int x) { return std::clamp(x, 0, to.width - 1); };
      const auto scatter = [&](int X) {
        for (int i = 0; i < 4; ++i) o[at(2 * X + i - 1)] += kFilter[i] * column[X];
      };
      scatter(0);
      if (w > 1) scatter(w - 1);
      for (int X = 1; X + 1 < w; ++X) {
        const float a = kFilter[0] * column[X], b = kFilter[1] * column[X];
        o[2 * X - 1] += a;
        o[2 * X] += b;
        o[2 * X + 1] += b;
        o[2 * X + 2] += a;
      }
    }
  }
}

}  // namespace

LevelSplat level_splat(const float* mean, const float* conic, int level) {
  const float det = conic[0] * conic[2] - conic[1] * conic[1], added = level_variance(level);
  const float scale = 1.0f / static_cast<float>(1 << level);
  // Covariance is (c, -b, a) / det.
  const float xx = conic[2] / det + added, yy = conic[0] / det + added, xy = -conic[1] / det;
  const float wide = xx * yy - xy * xy, inverse = 1.0f / (wide * scale * scale);
  return {
      {mean[0] * scale, mean[1] * scale}, {yy * inverse, -xy * inverse, xx * inverse}, 1.0f / std::sqrt(wide * det)};
}

Distortion::Distortion(Canvas canvas, std::vector<std::vector<float>> weights) : weights_(std::move(weights)) {
  for (int l = 0; l < levels(); ++l) {
    canvases_.push_back(canvas);
    Averages a{{weights_[l]}, {canvas}};
    for (int m = l; m < kAverageLevels; ++m) {
      a.planes.push_back(reduce(a.planes.back().data(), a.canvases.back(), 1, 1));
      a.canvases.push_back(half_of(a.canvases.back()));
    }
    averages_.push_back(std::move(a));
    canvas = half_of(canvas);
  }
}

std::vector<std::vector<float>> Distortion::pyramid(const float* error, int channels, int threads) const {
  std::vector<std::vector<float>> out;
  for (int l = 1; l < levels(); ++l)
    out.push_back(reduce(l == 1 ? error : out.back().data(), canvases_[l - 1], channels, threads));
  return out;
}

double Distortion::evaluate(const float* error, int channels, int threads, float* gradient) const {
  std::vector<std::vector<float>> errors = pyramid(error, channels, threads);
  std::vector<double> rows(static_cast<size_t>(canvases_[0].height) * channels, 0.0);
  for (int l = levels() - 1; l >= 0; --l) {
    const Canvas size = canvases_[l];
    const float* e = l ? errors[l - 1].data() : error;
    float* to = l ? errors[l - 1].data() : gradient;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int row = 0; row < size.height * channels; ++row) {
      const float* w = weights_[l].data() + static_cast<size_t>(row % size.height) * size.width;
      const size_t at = static_cast<size_t>(row) * size.width;
      for (int x = 0; x < size.width; ++x) to[at + x] = w[x] * e[at + x];
    }
    if (l + 1 < levels()) expand(errors[l].data(), size, channels, threads, to);
  }
  const int w = canvases_[0].width;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int row = 0; row < static_cast<int>(rows.size()); ++row)
    rows[row] = kernels().dot(error + static_cast<size_t>(row) * w, gradient + static_cast<size_t>(row) * w, w);
  double total = 0;
  for (double v : rows) total += v;
  return total;
}

float Distortion::density(float x, float y, float deviation) const {
  const float variance = deviation * deviation;
  const int wanted = deviation > 1 ? static_cast<int>(std::log2(deviation)) : 0;
  float sum = 0, positive = 0;
  for (int l = 0; l < levels(); ++l) {
    const Averages& a = averages_[l];
    const int plane = std::clamp(wanted - l, 0, static_cast<int>(a.planes.size()) - 1);
    const Canvas c = a.canvases[plane];
    const float scale = 1.0f / static_cast<float>(1 << (l + plane));
    const int ix = std::clamp(static_cast<int>(x * scale), 0, c.width - 1);
    const int iy = std::clamp(static_cast<int>(y * scale), 0, c.height - 1);
    const float part =
        a.planes[plane][static_cast<size_t>(iy) * c.width + ix] * variance / (variance + level_variance(l));
    sum += part;
    positive += std::max(part, 0.0f);
  }
  // Coarser levels may take back what finer ones weigh too much; some weight always stays.
  return std::max(sum, std::max(kLeastPart * positive, kLeastDensity));
}

}  // namespace splat2d
