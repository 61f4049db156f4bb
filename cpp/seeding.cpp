// Matching-pursuit seeding: new splats at the scale-space peaks of the residual.
//
// A Gaussian of scale sigma placed where the blurred residual is B saves about 4 pi sigma^2 |B|^2 of SSE; its
// shape is read from the Hessian of B.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "fitter.hpp"

namespace splat2d {

struct Candidate {
  float saved, x, y, scale, hxx, hyy, hxy;
  float density;  // distortion over squares
  float blurred[kMaxChannels];
};

namespace {

constexpr size_t kLeastSeeds = 32;  // a round, whatever they promise
constexpr int kCoarsest = 8;        // pixels of the coarsest grid that large scales are searched on
constexpr float kGridScale = 3.2f;  // a scale moves to a coarser grid beyond this many of its pixels
// Limits of a seed's deviation over its scale, and of the normalised Hessian they come from.
constexpr float kShapeMin = 0.45f, kShapeMax = 2.5f, kHessianMin = 0.06f, kHessianMax = 0.85f, kScaleMin = 0.6f;

// Planes [C, H, W] of the device.
struct Planes {
  Canvas size;
  Array<float> data;
};

// Minus an array of planes.
Planes negated(const Device& device, Canvas size, const Array<float>& in) {
  Planes out{size, Array<float>(in.size())};
  const float* from = in.data();
  float* to = out.data.data();
  device.for_each(static_cast<int64_t>(in.size()), [=] SPLAT2D_LOOP(int64_t i) { to[i] = -from[i]; });
  return out;
}

Planes halve(const Device& device, const Planes& in, int channels) {
  const Canvas size{in.size.width / 2, in.size.height / 2}, wide = in.size;
  Planes out{size, Array<float>(size.area() * channels)};
  const float* from = in.data.data();
  float* to = out.data.data();
  device.for_rows(size.height * channels, size.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* p = from + row / size.height * wide.area() + static_cast<size_t>(row % size.height) * 2 * wide.width;
    for (int x = x0; x < x1; ++x)
      to[static_cast<size_t>(row) * size.width + x] =
          0.25f * (p[2 * x] + p[2 * x + 1] + p[wide.width + 2 * x] + p[wide.width + 2 * x + 1]);
  });
  return out;
}

// Separable blur with zero padding, by way of `scratch`.
void blur(const Device& device, const Planes& in, int channels, float sigma, Array<float>* scratch, Planes* out) {
  const int radius = std::max(1, static_cast<int>(std::ceil(2.8f * sigma)));
  std::vector<float> kernel(2 * radius + 1);
  for (int i = -radius; i <= radius; ++i) kernel[i + radius] = std::exp(-0.5f * i * i / (sigma * sigma));
  const float total = std::accumulate(kernel.begin(), kernel.end(), 0.0f);
  for (float& k : kernel) k /= total;
  const Array<float> weights(std::move(kernel));
  const Canvas size = in.size;
  out->size = size;
  out->data.resize(in.data.size());
  scratch->resize(in.data.size());
  const int w = size.width, h = size.height;
  const float *from = in.data.data(), *weight = weights.data() + radius;
  float *columns = scratch->data(), *to = out->data.data();
  device.for_rows(h * channels, w, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int y = row % h, count = x1 - x0;
    float* o = columns + static_cast<size_t>(row) * w + x0;
    for (int i = 0; i < count; ++i) o[i] = 0;
    for (int j = y < radius ? -y : -radius; j <= radius && y + j < h; ++j)
      add_scaled(o, from + static_cast<size_t>(row + j) * w + x0, weight[j], count);
  });
  device.for_rows(h * channels, w, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* p = columns + static_cast<size_t>(row) * w;
    float* o = to + static_cast<size_t>(row) * w;
    for (int x = x0; x < x1; ++x) o[x] = 0;
    for (int i = -radius; i <= radius; ++i) {
      const int begin = x0 < -i ? -i : x0, end = x1 < w - i ? x1 : w - i;
      if (begin < end) add_scaled(o + begin, p + begin + i, weight[i], end - begin);
    }
  });
}

// The peaks of one scale, row by row; `scratch` has room for a plane.
void find_peaks(const Device& device, const Planes& blurred, int channels, float scale, float cell, float threshold,
                const Density& density, Array<float>* scratch, std::vector<Candidate>* found) {
  const int w = blurred.size.width, h = blurred.size.height;
  const int radius = std::max(1, static_cast<int>(std::lround(0.8f * scale / cell)));
  const size_t plane = blurred.size.area();
  const float* b = blurred.data.data();
  float* energy = scratch->data();
  device.for_rows(h, w, [=] SPLAT2D_LOOP(int y, int x0, int x1) {
    float* row = energy + static_cast<size_t>(y) * w;
    energy_row(b + static_cast<size_t>(y) * w + x0, plane, channels, 4 * fit::kPi * scale * scale, x1 - x0, row + x0);
    if (density.levels)
      for (int x = x0; x < x1; ++x) row[x] /= density.at((x + 0.5f) * cell, (y + 0.5f) * cell, scale);
  });
  const auto peaks = device.collect<Candidate>(h, w, [=] SPLAT2D_LOOP(int y, int x, Candidate* out) {
    const size_t at = static_cast<size_t>(y) * w + x;
    const float v = energy[at];
    if (v <= threshold || (x > 0 && v < energy[at - 1]) || (x + 1 < w && v < energy[at + 1])) return false;
    for (int yy = y < radius ? 0 : y - radius; yy < h && yy <= y + radius; ++yy)
      for (int xx = x < radius ? 0 : x - radius; xx < w && xx <= x + radius; ++xx)
        if (energy[static_cast<size_t>(yy) * w + xx] > v) return false;
    Candidate k{};
    k.saved = v;
    k.x = (x + 0.5f) * cell;
    k.y = (y + 0.5f) * cell;
    k.scale = scale;
    k.density = density.at(k.x, k.y, scale);
    float length = 0;
    for (int c = 0; c < channels; ++c) {
      k.blurred[c] = b[c * plane + at];
      length += k.blurred[c] * k.blurred[c];
    }
    // Curvatures along the direction of the peak's colour, relative to its height.
    const auto projected = [&](int dy, int dx) {
      float s = 0;
      // Beyond the border stands the border's pixel.
      const int yy = y + dy < 0 ? 0 : y + dy < h ? y + dy : h - 1, xx = x + dx < 0 ? 0 : x + dx < w ? x + dx : w - 1;
      for (int c = 0; c < channels; ++c) s += b[c * plane + static_cast<size_t>(yy) * w + xx] * k.blurred[c];
      return s / length;
    };
    const float inverse = 1 / (cell * cell);
    k.hxx = -(projected(0, 1) + projected(0, -1) - 2) * inverse;
    k.hyy = -(projected(1, 0) + projected(-1, 0) - 2) * inverse;
    k.hxy = -0.25f * (projected(1, 1) + projected(-1, -1) - projected(1, -1) - projected(-1, 1)) * inverse;
    *out = k;
    return true;
  });
  found->insert(found->end(), peaks.begin(), peaks.end());
}

// Greedy suppression: the best first, each blocking a square of its own scale. Returns the survivors.
std::vector<Candidate> suppress(std::vector<Candidate> all, Canvas canvas, float separation) {
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.saved > b.saved; });
  std::vector<uint8_t> occupied(static_cast<size_t>(canvas.width) * canvas.height, 0);
  std::vector<Candidate> out;
  for (const Candidate& k : all) {
    const int x = std::min(static_cast<int>(k.x), canvas.width - 1),
              y = std::min(static_cast<int>(k.y), canvas.height - 1);
    if (occupied[static_cast<size_t>(y) * canvas.width + x]) continue;
    out.push_back(k);
    const int r = std::max(1, static_cast<int>(separation * k.scale * 1.2f));
    const int x0 = std::max(x - r, 0), x1 = std::min(x + r, canvas.width - 1);
    for (int yy = std::max(y - r, 0); yy <= std::min(y + r, canvas.height - 1); ++yy)
      std::fill(&occupied[static_cast<size_t>(yy) * canvas.width + x0],
                &occupied[static_cast<size_t>(yy) * canvas.width + x1] + 1, uint8_t{1});
  }
  return out;
}

}  // namespace

// Moves seeds, with the density of where they were, to pixels drawn with probability proportional to the squared error,
// and makes them round.
void Fitter::scatter(std::vector<Candidate>* seeds) const {
  const int w = canvas_.width, h = canvas_.height;
  const size_t plane = canvas_.area();
  const std::vector<float> errors = error().host();
  std::vector<double> below(plane);
  double total = 0;
  for (size_t i = 0; i < plane; ++i) {
    for (int c = 0; c < channels_; ++c) total += static_cast<double>(errors[c * plane + i]) * errors[c * plane + i];
    below[i] = total;
  }
  std::mt19937 random(static_cast<uint32_t>(count()));
  for (Candidate& s : *seeds) {
    const double at = total * (random() / 4294967296.0);
    const auto pixel = std::min<size_t>(std::upper_bound(below.begin(), below.end(), at) - below.begin(), plane - 1);
    const int px = static_cast<int>(pixel % w), py = static_cast<int>(pixel / w);
    s.x = static_cast<float>(px) + 0.5f;
    s.y = static_cast<float>(py) + 0.5f;
    // Curvature of a Gaussian's own blur, so that both deviations become the scale.
    s.hxx = s.hyy = 0.5f / (s.scale * s.scale);
    s.hxy = 0;
    std::fill_n(s.blurred, kMaxChannels, 0.0f);
    const int r = static_cast<int>(std::ceil(3 * s.scale));
    float weights = 0;
    for (int y = py - r; y <= py + r; ++y)
      for (int x = px - r; x <= px + r; ++x) {
        const float g =
            std::exp(-0.5f * static_cast<float>((x - px) * (x - px) + (y - py) * (y - py)) / (s.scale * s.scale));
        weights += g;
        if (x < 0 || y < 0 || x >= w || y >= h) continue;
        for (int c = 0; c < channels_; ++c) s.blurred[c] -= g * errors[c * plane + static_cast<size_t>(y) * w + x];
      }
    for (int c = 0; c < channels_; ++c) s.blurred[c] /= weights;
  }
}

Fitter::SeedResult Fitter::seed(const SeedOptions& options) {
  const int C = channels_;
  const Density density = density_of(distortion_.get());
  Planes grid = negated(device_, canvas_, error()), blurred;
  Array<float> scratch;
  std::vector<Candidate> found;
  float cell = 1;
  for (double scale = options.smallest; scale <= options.largest; scale *= options.ratio) {
    while (scale / cell > kGridScale && cell < kCoarsest && std::min(grid.size.width, grid.size.height) >= 8) {
      grid = halve(device_, grid, C);
      cell *= 2;
    }
    const double on_grid = scale / cell;
    // Averaging has already blurred a coarser grid by a pixel's variance.
    const double sigma = std::sqrt(std::max(on_grid * on_grid - (cell == 1 ? 0.0 : 1.0 / 12), 0.2));
    blur(device_, grid, C, static_cast<float>(sigma), &scratch, &blurred);
    find_peaks(device_, blurred, C, static_cast<float>(scale), cell, static_cast<float>(options.threshold), density,
               &scratch, &found);
  }
  std::vector<Candidate> seeds = suppress(std::move(found), canvas_, static_cast<float>(options.separation));
  const int candidates = static_cast<int>(seeds.size());
  // The peaks of one scale echo in the next, so a round may promise only a part of the error it starts from:
  // few seeds while the picture is bare, all of them once it is nearly explained.
  double promised = 0;
  size_t kept = 0;
  while (kept < seeds.size() && (kept < kLeastSeeds || promised < options.energy * weighed_))
    promised += seeds[kept++].saved;
  seeds.resize(kept);
  if (options.random) scatter(&seeds);

  std::vector<float> means, frames, ks;
  for (const Candidate& s : seeds) {
    const float sq = s.scale * s.scale;
    const float half = 0.5f * (s.hxx + s.hyy) * sq, r = std::hypot(0.5f * (s.hxx - s.hyy), s.hxy) * sq;
    const float angle = 0.5f * std::atan2(2 * s.hxy, s.hxx - s.hyy);
    const auto deviation = [&](float l) {
      const float ratio = std::sqrt(1 / std::clamp(l, kHessianMin, kHessianMax) - 1);
      return std::max(std::clamp(ratio, kShapeMin, kShapeMax) * s.scale, kScaleMin);
    };
    const float s1 = deviation(half + r), s2 = deviation(half - r);  // s1 lies along `angle`
    const float c = std::cos(angle), n = std::sin(angle);
    means.insert(means.end(), {s.x, s.y});
    frames.insert(frames.end(), {c * s1, -n * s2, n * s1, c * s2});
    const float scale = 2 * std::sqrt(fit::kPi * s1 * s2) * static_cast<float>(options.amplitude) / s.density;
    for (int j = 0; j < C; ++j) {
      float v = 0;
      for (int i = 0; i < C; ++i) v += model_.basis[C * j + i] * s.blurred[i];
      ks.push_back(v * scale);
    }
  }
  add(means, frames, ks);
  return {candidates, static_cast<int>(seeds.size())};
}

}  // namespace splat2d
