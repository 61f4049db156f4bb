// Matching-pursuit seeding: new splats at the scale-space peaks of the residual.
//
// A Gaussian of scale sigma placed where the blurred residual is B saves about 4 pi sigma^2 |B|^2 of SSE; its
// shape is read from the Hessian of B.
#include <omp.h>

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

constexpr float kPi = 3.14159265f;
constexpr size_t kLeastSeeds = 32;  // a round, whatever they promise
constexpr int kCoarsest = 8;        // pixels of the coarsest grid that large scales are searched on
constexpr float kGridScale = 3.2f;  // a scale moves to a coarser grid beyond this many of its pixels
// Limits of a seed's deviation over its scale, and of the normalised Hessian they come from.
constexpr float kShapeMin = 0.45f, kShapeMax = 2.5f, kHessianMin = 0.06f, kHessianMax = 0.85f, kScaleMin = 0.6f;

struct Planes {
  int width, height;
  std::vector<float> data;  // [C, H, W]
  const float* plane(int c) const { return data.data() + static_cast<size_t>(c) * width * height; }
  float* plane(int c) { return data.data() + static_cast<size_t>(c) * width * height; }
};

Planes halve(const Planes& in, int channels, int threads) {
  Planes out{in.width / 2, in.height / 2, {}};
  out.data.resize(static_cast<size_t>(channels) * out.width * out.height);
  for (int c = 0; c < channels; ++c) {
    const float* from = in.plane(c);
    float* to = out.plane(c);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int y = 0; y < out.height; ++y)
      for (int x = 0; x < out.width; ++x) {
        const float* p = from + static_cast<size_t>(2 * y) * in.width + 2 * x;
        to[static_cast<size_t>(y) * out.width + x] = 0.25f * (p[0] + p[1] + p[in.width] + p[in.width + 1]);
      }
  }
  return out;
}

// Separable blur with zero padding; bands of rows are independent.
void blur(const Planes& in, int channels, float sigma, Planes* out, int threads) {
  const int radius = std::max(1, static_cast<int>(std::ceil(2.8f * sigma)));
  std::vector<float> kernel(2 * radius + 1);
  for (int i = -radius; i <= radius; ++i) kernel[i + radius] = std::exp(-0.5f * i * i / (sigma * sigma));
  const float total = std::accumulate(kernel.begin(), kernel.end(), 0.0f);
  for (float& k : kernel) k /= total;
  *out = {in.width, in.height, {}};
  out->data.assign(in.data.size(), 0.0f);
  constexpr int kBand = 32;
  const int bands = (in.height + kBand - 1) / kBand, w = in.width;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads) if (threads > 1)
  for (int c = 0; c < channels; ++c)
    for (int band = 0; band < bands; ++band) {
      const int y0 = band * kBand, y1 = std::min(y0 + kBand, in.height);
      std::vector<float> column(w), padded(static_cast<size_t>(w) + 2 * radius, 0.0f);
      for (int y = y0; y < y1; ++y) {
        std::fill(column.begin(), column.end(), 0.0f);
        for (int j = std::max(y - radius, 0); j <= std::min(y + radius, in.height - 1); ++j)
          kernels().add_scaled(column.data(), in.plane(c) + static_cast<size_t>(j) * w, kernel[j - y + radius], w);
        std::copy(column.begin(), column.end(), padded.begin() + radius);
        float* to = out->plane(c) + static_cast<size_t>(y) * w;
        for (int i = 0; i <= 2 * radius; ++i) kernels().add_scaled(to, padded.data() + i, kernel[i], w);
      }
    }
}

// The peaks of one scale, row by row.
void find_peaks(const Planes& b, int channels, float scale, float cell, float threshold, int threads,
                const Distortion* distortion, std::vector<Candidate>* found) {
  const int w = b.width, h = b.height, radius = std::max(1, static_cast<int>(std::lround(0.8f * scale / cell)));
  const size_t plane = static_cast<size_t>(w) * h;
  std::vector<float> energy(plane);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int y = 0; y < h; ++y) {
    float* row = energy.data() + static_cast<size_t>(y) * w;
    kernels().energy_row(b.plane(0) + static_cast<size_t>(y) * w, plane, channels, 4 * kPi * scale * scale, w, row);
    if (distortion)
      for (int x = 0; x < w; ++x) row[x] /= distortion->density((x + 0.5f) * cell, (y + 0.5f) * cell, scale);
  }
  std::vector<std::vector<Candidate>> rows(h);
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads) if (threads > 1)
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      const size_t at = static_cast<size_t>(y) * w + x;
      const float v = energy[at];
      if (v <= threshold || (x > 0 && v < energy[at - 1]) || (x + 1 < w && v < energy[at + 1])) continue;
      bool highest = true;
      for (int yy = std::max(0, y - radius); yy <= std::min(h - 1, y + radius) && highest; ++yy)
        for (int xx = std::max(0, x - radius); xx <= std::min(w - 1, x + radius); ++xx)
          if (energy[static_cast<size_t>(yy) * w + xx] > v) {
            highest = false;
            break;
          }
      if (!highest) continue;
      Candidate k{};
      k.saved = v;
      k.x = (x + 0.5f) * cell;
      k.y = (y + 0.5f) * cell;
      k.scale = scale;
      k.density = distortion ? distortion->density(k.x, k.y, scale) : 1;
      float length = 0;
      for (int c = 0; c < channels; ++c) {
        k.blurred[c] = b.plane(c)[at];
        length += k.blurred[c] * k.blurred[c];
      }
      // Curvatures along the direction of the peak's colour, relative to its height.
      const auto projected = [&](int dy, int dx) {
        float s = 0;
        // Beyond the border stands the border's pixel.
        const size_t yy = std::clamp(y + dy, 0, h - 1), xx = std::clamp(x + dx, 0, w - 1);
        for (int c = 0; c < channels; ++c) s += b.plane(c)[yy * w + xx] * k.blurred[c];
        return s / length;
      };
      const float inverse = 1 / (cell * cell);
      k.hxx = -(projected(0, 1) + projected(0, -1) - 2) * inverse;
      k.hyy = -(projected(1, 0) + projected(-1, 0) - 2) * inverse;
      k.hxy = -0.25f * (projected(1, 1) + projected(-1, -1) - projected(1, -1) - projected(-1, 1)) * inverse;
      rows[y].push_back(k);
    }
  for (const auto& row : rows) found->insert(found->end(), row.begin(), row.end());
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

// Moves seeds to pixels drawn with probability proportional to the squared error, and makes them round.
void Fitter::scatter(std::vector<Candidate>* seeds) const {
  const int w = canvas_.width, h = canvas_.height;
  const size_t plane = static_cast<size_t>(w) * h;
  std::vector<double> below(plane);
  double total = 0;
  for (size_t i = 0; i < plane; ++i) {
    for (int c = 0; c < channels_; ++c) total += static_cast<double>(error()[c * plane + i]) * error()[c * plane + i];
    below[i] = total;
  }
  std::mt19937 random(static_cast<uint32_t>(count()));
  for (Candidate& s : *seeds) {
    const double at = total * (random() / 4294967296.0);
    const auto pixel = std::min<size_t>(std::upper_bound(below.begin(), below.end(), at) - below.begin(), plane - 1);
    const int px = static_cast<int>(pixel % w), py = static_cast<int>(pixel / w);
    s.x = static_cast<float>(px) + 0.5f;
    s.y = static_cast<float>(py) + 0.5f;
    s.density = distortion_ ? distortion_->density(s.x, s.y, s.scale) : 1;
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
        for (int c = 0; c < channels_; ++c) s.blurred[c] -= g * error()[c * plane + static_cast<size_t>(y) * w + x];
      }
    for (int c = 0; c < channels_; ++c) s.blurred[c] /= weights;
  }
}

Fitter::SeedResult Fitter::seed(const SeedOptions& options) {
  const int C = channels_, threads = options_.threads;
  Planes grid{canvas_.width, canvas_.height, error()};
  for (float& v : grid.data) v = -v;
  Planes blurred;
  std::vector<Candidate> found;
  float cell = 1;
  for (double scale = options.smallest; scale <= options.largest; scale *= options.ratio) {
    while (scale / cell > kGridScale && cell < kCoarsest && std::min(grid.width, grid.height) >= 8) {
      grid = halve(grid, C, threads);
      cell *= 2;
    }
    const double on_grid = scale / cell;
    // Averaging has already blurred a coarser grid by a pixel's variance.
    const double sigma = std::sqrt(std::max(on_grid * on_grid - (cell == 1 ? 0.0 : 1.0 / 12), 0.2));
    blur(grid, C, static_cast<float>(sigma), &blurred, threads);
    find_peaks(blurred, C, static_cast<float>(scale), cell, static_cast<float>(options.threshold), threads,
               distortion_.get(), &found);
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
    const float scale = 2 * std::sqrt(kPi * s1 * s2) * static_cast<float>(options.amplitude) / s.density;
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
