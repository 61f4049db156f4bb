// Matching-pursuit seeding in space and time: peaks of the residual as temporal windows see it.
#include <algorithm>
#include <cmath>

#include "fit/clip_fitter.hpp"

namespace splat2d {

struct ClipFitter::Seed {
  Candidate peak;
  float time, duration;
  float saved;
  float velocity[2] = {0, 0};
};

struct ClipFitter::Promise {
  float saved = 0;
  float blurred[kMaxChannels] = {0, 0, 0, 0};  // as a candidate's
};

namespace {

constexpr float kLeastWeight = 0.03f;  // of a frame in a window
constexpr float kSpacing = 1.5f;       // of windows, in standard deviations
constexpr float kSeedCutoff = 6.0f;
constexpr float kMostSpeed = 8.0f;    // px a frame that seeds are looked for to move at
constexpr float kSearched = 8.0f;     // of the velocity, in px of the splat's width over its duration
constexpr float kWorthMoving = 1.4f;  // what a velocity must save to be taken
constexpr float kBlocked = 1.2f;      // time that an accepted seed keeps for itself, in standard deviations

// Where seeds already are, in the world and in time.
template <class Seed>
class Taken {
 public:
  explicit Taken(const Footage& footage)
      : world_(footage.world), frames_(footage.frames()), cells_(world_.area() * frames_, 0) {}

  bool holds(const Seed& s) const {
    bool taken = false;
    each_frame(s, [&](int x, int y, size_t frame) { taken |= cells_[frame + at(x, y)] != 0; });
    return taken;
  }

  void add(const Seed& s, float separation) {
    const int r = std::max(1, static_cast<int>(separation * s.peak.scale * 1.2f));
    each_frame(s, [&](int x, int y, size_t frame) {
      const int x0 = std::max(x - r, 0), x1 = std::min(x + r, world_.width - 1);
      for (int row = std::max(y - r, 0); row <= std::min(y + r, world_.height - 1); ++row)
        if (x0 <= x1) std::fill_n(&cells_[frame + at(x0, row)], x1 - x0 + 1, uint8_t{1});
    });
  }

 private:
  size_t at(int x, int y) const { return static_cast<size_t>(y) * world_.width + x; }

  // Calls f(x, y, first cell of the frame) for the frames that a seed keeps for itself.
  template <class F>
  void each_frame(const Seed& s, F f) const {
    const float center[2] = {s.peak.x, s.peak.y};
    const int t0 = std::max(0, static_cast<int>(s.time - kBlocked * s.duration)),
              t1 = std::min(frames_, static_cast<int>(s.time + kBlocked * s.duration) + 1);
    for (int t = t0; t < t1; ++t) {
      const float apart = static_cast<float>(t) + 0.5f - s.time;
      float at[2];
      carry(center, s.velocity, apart, at);
      f(clamp(static_cast<int>(at[0]), 0, world_.width - 1), clamp(static_cast<int>(at[1]), 0, world_.height - 1),
        world_.area() * t);
    }
  }

  Canvas world_;
  int frames_;
  std::vector<uint8_t> cells_;
};

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

// What a splat of a shape would save if it went as a seed does.
ClipFitter::Promise ClipFitter::promise_of(const Seed& s, const SeedShape& shape, const float* conic,
                                           bool roughly) const {
  const int C = channels_;
  const size_t size = footage_.canvas.area() * C;
  // Roughly: a few frames within the duration
  const int stride =
      roughly ? every_ * std::max(1, static_cast<int>(0.8f * s.duration / static_cast<float>(every_))) : every_;
  const float reach = roughly ? 2.01f * static_cast<float>(stride) : 2.6f * s.duration;
  const int middle = static_cast<int>(s.time) / every_ * every_;
  const float center[2] = {s.peak.x, s.peak.y};
  float with[kMaxChannels] = {0, 0, 0, 0}, weights = 0;
  for (int t = middle % stride; t < footage_.frames(); t += stride) {
    const float apart = static_cast<float>(t) + 0.5f - s.time;
    if (std::abs(apart) > reach + 1) continue;
    const float w = std::exp(-0.5f * apart * apart / (s.duration * s.duration));
    float mean[2];
    carry(center, s.velocity, apart, mean);
    mean[0] += footage_.shifts[t].x;
    mean[1] += footage_.shifts[t].y;
    weights += w * w;
    const Box box = bounding_box(mean, conic, kSeedCutoff, footage_.canvas);
    if (box.empty()) continue;
    Projection sums;
    kernels().project[C - 1](make_ellipse(mean, conic, kSeedCutoff), box, footage_.canvas, residual_.data() + t * size,
                             &sums);
    for (int i = 0; i < C; ++i) with[i] -= w * sums.with[i];
  }
  Promise out;
  if (weights == 0) return out;
  const float scale = std::sqrt(static_cast<float>(stride) / (weights * fit::kPi * shape.s1 * shape.s2));
  for (int i = 0; i < C; ++i) {
    const float k = with[i] * scale;
    out.saved += k * k;
    out.blurred[i] = k / (2 * std::sqrt(fit::kPi * shape.s1 * shape.s2));
  }
  return out;
}

// Looks for the velocity that lets a seed save most.
void ClipFitter::follow(Seed* seed) const {
  const SeedShape shape = shape_of(seed->peak);
  const float c = std::cos(shape.angle), n = std::sin(shape.angle);
  const float p1 = 1 / (shape.s1 * shape.s1), p2 = 1 / (shape.s2 * shape.s2);
  const float conic[3] = {c * c * p1 + n * n * p2, c * n * (p1 - p2), n * n * p1 + c * c * p2};
  Seed best = *seed;
  float radius = std::min(kMostSpeed, kSearched * std::max(shape.s2, 1.0f) / seed->duration);
  const float finest = 0.2f * shape.s2 / seed->duration, still = promise_of(best, shape, conic, true).saved;
  float most = still;
  for (radius *= 0.5f; radius > finest; radius *= 0.5f) {
    const Seed from = best;
    const int steps = radius > 0.9f ? 2 : 1;
    for (int dy = -steps; dy <= steps; ++dy)
      for (int dx = -steps; dx <= steps; ++dx) {
        if (dx == 0 && dy == 0) continue;
        Seed trial = from;
        trial.velocity[0] += radius * static_cast<float>(dx);
        trial.velocity[1] += radius * static_cast<float>(dy);
        const float saved = promise_of(trial, shape, conic, true).saved;
        if (saved <= most) continue;
        most = saved;
        best = trial;
      }
  }
  if (most <= still) return;
  const Promise standing = promise_of(*seed, shape, conic, false), along = promise_of(best, shape, conic, false);
  const bool moves = along.saved > kWorthMoving * standing.saved;
  if (moves) {
    best.saved = seed->saved * along.saved / standing.saved;
    *seed = best;
  }
  std::copy_n((moves ? along : standing).blurred, kMaxChannels, seed->peak.blurred);
}

int ClipFitter::seed(const SeedOptions& options, const std::vector<double>& durations) {
  const int T = footage_.frames(), C = channels_;
  std::vector<Seed> found;
  const auto look = [&](float time, float duration, const std::vector<float>& weights) {
    for (const Candidate& peak : find_peaks(device_, through(weights), C, options, nullptr))
      found.push_back({peak, time, duration, peak.saved, {0, 0}});
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
  std::stable_sort(found.begin(), found.end(), [](const Seed& a, const Seed& b) { return a.saved > b.saved; });
  std::vector<Seed> seeds;
  Taken<Seed> taken(footage_);
  double promised = 0;
  for (Seed& s : found) {
    if (enough_seeds(seeds.size(), promised, options.energy * sse_)) break;
    if (taken.holds(s)) continue;
    if (s.duration < static_cast<float>(T) && T > 1) follow(&s);
    taken.add(s, static_cast<float>(options.separation));
    seeds.push_back(s);
    promised += s.saved;
  }

  std::vector<float> means, frames, ks;
  for (const Seed& s : seeds) {
    const auto [s1, s2, angle] = shape_of(s.peak);
    const float c = std::cos(angle), n = std::sin(angle);
    means.insert(means.end(), {s.peak.x, s.peak.y, s.time});
    frames.insert(frames.end(), {c * s1, -n * s2, s.velocity[0] * s.duration, n * s1, c * s2,
                                 s.velocity[1] * s.duration, 0.0f, 0.0f, s.duration});
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
