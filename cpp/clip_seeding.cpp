// Matching-pursuit seeding in space and time: peaks of the residual as temporal windows see it.
#include <algorithm>
#include <cmath>

#include "clip_fitter.hpp"

namespace splat2d {

namespace {

constexpr float kLeastWeight = 0.03f;  // of a frame in a window
constexpr float kSpacing = 1.5f;       // of windows, in standard deviations
constexpr float kBlocked = 1.2f;       // time that an accepted seed keeps for itself, in standard deviations

struct TimedCandidate {
  Candidate peak;
  float time, duration;
  float saved;
};

// Greedy suppression in space and time, as `suppress` in space.
std::vector<TimedCandidate> suppress_in_time(std::vector<TimedCandidate> all, const Footage& footage,
                                             float separation) {
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.saved > b.saved; });
  const Canvas world = footage.world;
  const int frames = footage.frames();
  std::vector<uint8_t> occupied(world.area() * frames, 0);
  std::vector<TimedCandidate> out;
  for (const TimedCandidate& k : all) {
    const int x = std::min(static_cast<int>(k.peak.x), world.width - 1),
              y = std::min(static_cast<int>(k.peak.y), world.height - 1);
    const int t0 = std::max(0, static_cast<int>(k.time - kBlocked * k.duration)),
              t1 = std::min(frames, static_cast<int>(k.time + kBlocked * k.duration) + 1);
    bool taken = false;
    for (int t = t0; t < t1 && !taken; ++t)
      taken = occupied[t * world.area() + static_cast<size_t>(y) * world.width + x];
    if (taken) continue;
    out.push_back(k);
    const int r = std::max(1, static_cast<int>(separation * k.peak.scale * 1.2f));
    const int x0 = std::max(x - r, 0), x1 = std::min(x + r, world.width - 1);
    for (int t = t0; t < t1; ++t)
      for (int yy = std::max(y - r, 0); yy <= std::min(y + r, world.height - 1); ++yy)
        std::fill_n(&occupied[t * world.area() + static_cast<size_t>(yy) * world.width + x0], x1 - x0 + 1, uint8_t{1});
  }
  return out;
}

}  // namespace

Planes ClipFitter::through(const std::vector<float>& weights) const {
  const Canvas canvas = footage_.canvas, world = footage_.world;
  const int C = channels_;
  Planes out{world, Array<float>(world.area() * C)};
  double squares = 0;
  for (const float w : weights) squares += static_cast<double>(w) * w;
  const float scale = static_cast<float>(-every_ / std::sqrt(squares));
  device_.for_each(static_cast<int64_t>(C) * world.height, [&](int64_t row) {
    const int c = static_cast<int>(row / world.height), y = static_cast<int>(row % world.height);
    float* to = out.data.data() + c * world.area() + static_cast<size_t>(y) * world.width;
    for (int t = 0; t < footage_.frames(); t += every_) {
      if (weights[t] == 0) continue;
      const int dx = static_cast<int>(std::lround(footage_.shifts[t].x)),
                dy = static_cast<int>(std::lround(footage_.shifts[t].y));
      const int from = y + dy;
      if (from < 0 || from >= canvas.height) continue;
      const int x0 = std::max(0, -dx), x1 = std::min(world.width, canvas.width - dx);
      if (x0 >= x1) continue;
      add_scaled(to + x0,
                 residual_.data() + (static_cast<size_t>(t) * C + c) * canvas.area() +
                     static_cast<size_t>(from) * canvas.width + x0 + dx,
                 weights[t] * scale, x1 - x0);
    }
  });
  return out;
}

int ClipFitter::seed(const SeedOptions& options, const std::vector<double>& durations) {
  const int T = footage_.frames(), C = channels_;
  std::vector<TimedCandidate> found;
  const auto look = [&](float time, float duration, const std::vector<float>& weights) {
    for (const Candidate& peak : find_peaks(device_, through(weights), C, options, nullptr))
      found.push_back({peak, time, duration, peak.saved});
  };
  look(0.5f * static_cast<float>(T), 2.0f * static_cast<float>(T), std::vector<float>(T, 1.0f));
  for (const double wanted : durations) {
    const float duration = static_cast<float>(wanted);
    if (duration > 0.5f * static_cast<float>(T)) continue;
    const float spacing = std::max(1.0f, kSpacing * duration);
    for (float time = std::max(0.5f, 0.5f * spacing); time < static_cast<float>(T); time += spacing) {
      std::vector<float> weights(T);
      for (int t = 0; t < T; ++t) {
        const float z = (static_cast<float>(t) + 0.5f - time) / duration, w = std::exp(-0.5f * z * z);
        weights[t] = w < kLeastWeight ? 0.0f : w;
      }
      look(time, duration, weights);
    }
  }
  std::vector<TimedCandidate> seeds =
      suppress_in_time(std::move(found), footage_, static_cast<float>(options.separation));
  seeds.resize(seeds_of_round(seeds, options.energy * sse_));

  std::vector<float> means, frames, ks;
  for (const TimedCandidate& s : seeds) {
    const auto [s1, s2, angle] = shape_of(s.peak);
    const float c = std::cos(angle), n = std::sin(angle);
    means.insert(means.end(), {s.peak.x, s.peak.y, s.time});
    frames.insert(frames.end(), {c * s1, -n * s2, 0.0f, n * s1, c * s2, 0.0f, 0.0f, 0.0f, s.duration});
    const float scale = 2 * std::sqrt(fit::kPi * s1 * s2) * static_cast<float>(options.amplitude);
    for (int j = 0; j < C; ++j) {
      float v = 0;
      for (int i = 0; i < C; ++i) v += model_.plane.basis[C * j + i] * s.peak.blurred[i];
      ks.push_back(v * scale);
    }
  }
  add(means, frames, ks);
  return static_cast<int>(seeds.size());
}

}  // namespace splat2d
