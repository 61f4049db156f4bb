#include "fit/peaks.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "fit/splat_step.hpp"

namespace splat2d {

namespace {

constexpr int kCoarsest = 8;        // pixels of the coarsest grid that large scales are searched on
constexpr float kGridScale = 3.2f;  // a scale moves to a coarser grid beyond this many of its pixels
// Limits of a seed's deviation over its scale, and of the normalised Hessian they come from.
constexpr float kShapeMin = 0.45f, kShapeMax = 2.5f, kHessianMin = 0.06f, kHessianMax = 0.85f, kScaleMin = 0.6f;

Planes halve(const Device& device, PlanesView in, int channels) {
  const Canvas size{in.size.width / 2, in.size.height / 2}, wide = in.size;
  Planes out{size, Array<float>::unset(size.area() * channels)};
  const float* from = in.data;
  float* to = out.data.data();
  device.for_rows(size.height * channels, size.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const float* p = from + row / size.height * wide.area() + static_cast<size_t>(row % size.height) * 2 * wide.width;
    for (int x = x0; x < x1; ++x)
      to[static_cast<size_t>(row) * size.width + x] =
          0.25f * (p[2 * x] + p[2 * x + 1] + p[wide.width + 2 * x] + p[wide.width + 2 * x + 1]);
  });
  return out;
}

// A blur's weights, which travel with the loop: a GPU would wait for a copy of them.
struct Taps {
  static constexpr int kMost = 64;
  float weights[kMost];
};

// Separable blur with zero padding, by way of `scratch`, of as many planes at the same time as keep the device busy.
void blur(const Device& device, PlanesView in, int channels, float sigma, Array<float>* scratch, Planes* out) {
  const int radius = std::max(1, static_cast<int>(std::ceil(2.8f * sigma)));
  std::vector<float> kernel(2 * radius + 1);
  for (int i = -radius; i <= radius; ++i) kernel[i + radius] = std::exp(-0.5f * i * i / (sigma * sigma));
  const float total = std::accumulate(kernel.begin(), kernel.end(), 0.0f);
  for (float& k : kernel) k /= total;
  Taps taps = {};
  const bool fits = kernel.size() <= Taps::kMost;
  if (fits) std::copy(kernel.begin(), kernel.end(), taps.weights);
  const Array<float> weights(fits ? std::vector<float>() : std::move(kernel));
  const Canvas size = in.size;
  out->size = size;
  const int together = Device::kManyTeams ? channels : 1, w = size.width, h = size.height;
  const size_t plane = size.area();
  if (out->data.size() != plane * channels) out->data = Array<float>::unset(plane * channels);
  if (scratch->size() < plane * together) *scratch = Array<float>::unset(plane * together);
  const float* many = fits ? nullptr : weights.data();
  for (int c = 0; c < channels; c += together) {
    const float* from = in.data + plane * c;
    float *columns = scratch->data(), *to = out->data.data() + plane * c;
    device.for_rows(h * together, w, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
      const int y = row % h, first = y < radius ? -y : -radius, last = y + radius < h ? radius : h - 1 - y;
      const float *p = from + static_cast<size_t>(row + first) * w + x0,
                  *weight = (many ? many : taps.weights) + radius;
      weigh_rows(p, w, weight + first, last - first + 1, x1 - x0, columns + static_cast<size_t>(row) * w + x0);
    });
    device.for_rows(h * together, w, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
      const float* weight = (many ? many : taps.weights) + radius;
      weigh_columns(columns + static_cast<size_t>(row) * w, w, weight, radius, x0, x1,
                    to + static_cast<size_t>(row) * w);
    });
  }
}

// The peaks of one scale, row by row; densities [H, W] are null for SSE; `scratch` has room for a plane of each
// picture.
void find_peaks_of_scale(const Device& device, const Planes& blurred, float sign, int pictures, int channels,
                         float scale, float cell, float threshold, const float* densities, Array<float>* scratch,
                         Finds<Candidate>* found) {
  const int w = blurred.size.width, h = blurred.size.height;
  const int radius = std::max(1, static_cast<int>(std::lround(0.8f * scale / cell)));
  const size_t plane = blurred.size.area();
  const float* all = blurred.data.data();
  float* energies = scratch->data();
  device.for_rows(pictures * h, w, [=] SPLAT2D_LOOP(int place, int x0, int x1) {
    const size_t picture = place / h, at = static_cast<size_t>(place % h) * w;
    float* row = energies + picture * plane + at;
    energy_row(all + picture * channels * plane + at + x0, plane, channels, 4 * fit::kPi * scale * scale, x1 - x0,
               row + x0);
    if (densities)
      for (int x = x0; x < x1; ++x) row[x] /= densities[at + x];
  });
  found->look(pictures * h, w, [=] SPLAT2D_LOOP(int place, int x, Candidate* out) {
    const int picture = place / h, y = place % h;
    const float *b = all + picture * channels * plane, *energy = energies + picture * plane;
    const size_t at = static_cast<size_t>(y) * w + x;
    const float v = energy[at];
    if (v <= threshold || (x > 0 && v < energy[at - 1]) || (x + 1 < w && v < energy[at + 1])) return false;
    for (int yy = y < radius ? 0 : y - radius; yy < h && yy <= y + radius; ++yy)
      for (int xx = x < radius ? 0 : x - radius; xx < w && xx <= x + radius; ++xx)
        if (energy[static_cast<size_t>(yy) * w + xx] > v) return false;
    Candidate k{};
    k.picture = picture;
    k.saved = v;
    k.x = (x + 0.5f) * cell;
    k.y = (y + 0.5f) * cell;
    k.scale = scale;
    k.density = densities ? densities[at] : 1.0f;
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
    for (int c = 0; c < channels; ++c) k.blurred[c] *= sign;
    *out = k;
    return true;
  });
}

// What errors weigh under seeds of a scale, out of the finest weights on its grid.
Array<float> densities_of(const Device& device, PlanesView weights, float scale, float cell, float sigma,
                          const Distortion& distortion) {
  // Weights may change from pixel to pixel: blurred as the error is, they turn it into a mean, which no seed exceeds.
  Planes loads;
  Array<float> scratch;
  blur(device, weights, 1, sigma, &scratch, &loads);
  const Sight sight = distortion.density().of(scale);
  const int w = loads.size.width;
  float* values = loads.data.data();
  device.for_rows(loads.size.height, w, [=] SPLAT2D_LOOP(int y, int x0, int x1) {
    float* row = values + static_cast<size_t>(y) * w;
    for (int x = x0; x < x1; ++x) {
      const float load = row[x];
      row[x] = sight.at((x + 0.5f) * cell, (y + 0.5f) * cell, &load);
    }
  });
  return std::move(loads.data);
}

void find_peaks_of_all_scales(const Device& device, PlanesView wanted, int pictures, int channels,
                              const SeedOptions& options, const Distortion* distortion, SeedDensities* densities,
                              Finds<Candidate>* found) {
  const bool weighed = distortion && distortion->levels(), look_up = weighed && densities->empty();
  Planes coarse, blurred, coarse_weights;
  PlanesView grid = wanted, weights{wanted.size, look_up ? distortion->finest().data() : nullptr};
  Array<float> scratch;
  float cell = 1;
  size_t number = 0;
  for (double scale = options.smallest; scale <= options.largest; scale *= options.ratio, ++number) {
    while (scale / cell > kGridScale && cell < kCoarsest && std::min(grid.size.width, grid.size.height) >= 8) {
      coarse = halve(device, grid, pictures * channels);
      grid = coarse.view();
      if (look_up) {
        coarse_weights = halve(device, weights, 1);
        weights = coarse_weights.view();
      }
      cell *= 2;
    }
    const double on_grid = scale / cell;
    // Averaging has already blurred a coarser grid by a pixel's variance.
    const float sigma = static_cast<float>(std::sqrt(std::max(on_grid * on_grid - (cell == 1 ? 0.0 : 1.0 / 12), 0.2)));
    if (look_up)
      densities->push_back(densities_of(device, weights, static_cast<float>(scale), cell, sigma, *distortion));
    blur(device, grid, pictures * channels, sigma, &scratch, &blurred);
    find_peaks_of_scale(device, blurred, wanted.sign, pictures, channels, static_cast<float>(scale), cell,
                        static_cast<float>(options.threshold), weighed ? (*densities)[number].data() : nullptr,
                        &scratch, found);
  }
}

}  // namespace

std::vector<Candidate> find_peaks(const Device& device, PlanesView wanted, int pictures, int channels,
                                  const SeedOptions& options, const Distortion* distortion, SeedDensities* densities) {
  std::vector<Candidate> out;
  Finds<Candidate> found(device);
  do find_peaks_of_all_scales(device, wanted, pictures, channels, options, distortion, densities, &found);
  while (!found.take(&out));
  return out;
}

std::vector<Candidate> find_peaks(const Device& device, Canvas size, int pictures, int channels,
                                  const std::function<void(int, float*)>& draw, const SeedOptions& options,
                                  const Distortion* distortion, SeedDensities* densities) {
  constexpr size_t kMostValues = 1 << 26;  // of pictures at the same time
  const size_t values = size.area() * channels;
  const int together = static_cast<int>(std::clamp<size_t>(kMostValues / values, 1, Device::kFrames));
  std::vector<Candidate> out;
  for (int first = 0; first < pictures; first += together) {
    const int some = std::min(together, pictures - first);
    Planes wanted{size, Array<float>(some * values)};
    for (int i = 0; i < some; ++i) draw(first + i, wanted.data.data() + i * values);
    for (Candidate& peak : find_peaks(device, wanted.view(), some, channels, options, distortion, densities)) {
      peak.picture += first;
      out.push_back(peak);
    }
  }
  return out;
}

// Greedy suppression: the best first, each blocking a square of its own scale. Returns the survivors.
std::vector<Candidate> suppress(const std::vector<Candidate>& all, Canvas canvas, float separation) {
  std::vector<std::pair<float, int>> order;
  order.reserve(all.size());
  for (size_t i = 0; i < all.size(); ++i) order.push_back({-all[i].saved, static_cast<int>(i)});
  std::sort(order.begin(), order.end());
  std::vector<uint8_t> occupied(static_cast<size_t>(canvas.width) * canvas.height, 0);
  std::vector<Candidate> out;
  for (const auto& [_, i] : order) {
    const Candidate& k = all[i];
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

SeedShape shape_of(const Candidate& peak) {
  const float sq = peak.scale * peak.scale;
  const float half = 0.5f * (peak.hxx + peak.hyy) * sq, r = std::hypot(0.5f * (peak.hxx - peak.hyy), peak.hxy) * sq;
  const auto deviation = [&](float l) {
    const float ratio = std::sqrt(1 / std::clamp(l, kHessianMin, kHessianMax) - 1);
    return std::max(std::clamp(ratio, kShapeMin, kShapeMax) * peak.scale, kScaleMin);
  };
  return {deviation(half + r), deviation(half - r), 0.5f * std::atan2(2 * peak.hxy, peak.hxx - peak.hyy)};
}

void conic_of(const SeedShape& shape, float* conic) {
  const float c = std::cos(shape.angle), n = std::sin(shape.angle);
  const float p1 = 1 / (shape.s1 * shape.s1), p2 = 1 / (shape.s2 * shape.s2);
  conic[0] = c * c * p1 + n * n * p2;
  conic[1] = c * n * (p1 - p2);
  conic[2] = n * n * p1 + c * c * p2;
}

void add_amplitudes(const float* basis, int channels, const Candidate& peak, const SeedOptions& options,
                    std::vector<float>* k) {
  const SeedShape shape = shape_of(peak);
  const float scale =
      2 * std::sqrt(fit::kPi * shape.s1 * shape.s2) * static_cast<float>(options.amplitude) / peak.density;
  for (int j = 0; j < channels; ++j) {
    float v = 0;
    for (int i = 0; i < channels; ++i) v += basis[channels * j + i] * peak.blurred[i];
    k->push_back(v * scale);
  }
}

}  // namespace splat2d
