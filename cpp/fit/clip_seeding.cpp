// Matching-pursuit seeding in space and time: peaks of the residual as temporal windows see it.
#include <algorithm>
#include <cmath>

#include "fit/clip_fitter.hpp"

namespace splat2d {

struct ClipFitter::Seed {
  Candidate peak;
  float time, duration;
  float saved;
  float velocity[2];
  SeedShape shape;
  float conic[3];
};

namespace {

constexpr float kLeastWeight = 0.03f;   // of a frame in a window
constexpr float kSpacing = 1.5f;        // of windows, in standard deviations
constexpr double kLeastDensity = 0.25;  // of an error, over what is weighed, where seeds are still looked for
constexpr float kMostSpeed = 8.0f;      // px a frame that seeds are looked for to move at
constexpr float kSearched = 8.0f;       // of the velocity, in px of the splat's width over its duration
constexpr float kWorthMoving = 1.4f;    // what a velocity must save to be taken
constexpr float kBlocked = 1.2f;        // time that an accepted seed keeps for itself, in standard deviations

// Seeds that are followed at the same time; what goes on is decided after them.
constexpr size_t kAtOnce = Device::kManyTeams ? 512 : 16;

using Seed = ClipFitter::Seed;

// Where seeds already are, in the world and in time.
class Taken {
 public:
  explicit Taken(const Footage& footage)
      : world_(footage.world), frames_(footage.frames), cells_(world_.area() * frames_, 0) {}

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

// By which an error, of every so many frames, is multiplied to be seen as what is wanted through a window of weights.
float scale_of(const std::vector<float>& weights, int every) {
  double squares = 0;
  for (const float w : weights) squares += static_cast<double>(w) * w;
  return static_cast<float>(-every / std::sqrt(squares));
}

// A frame's blocks and their velocities.
struct Stream {
  const float* flow;
  int rows, columns;
  float block;
  Shift shift;

  // Of a place in the world, px.
  SPLAT2D_HD const float* at(float x, float y) const {
    const int column = clamp(static_cast<int>(floorf((x + shift.x) / block)), 0, columns - 1),
              row = clamp(static_cast<int>(floorf((y + shift.y) / block)), 0, rows - 1);
    return flow + 2 * (static_cast<size_t>(row) * columns + column);
  }
  // The first pixel of the world behind x whose middle lies in another block.
  SPLAT2D_HD int next_column(int x) const {
    const float end = (floorf((static_cast<float>(x) + 0.5f + shift.x) / block) + 1) * block - shift.x;
    const int next = static_cast<int>(ceilf(end - 0.5f));
    return next > x ? next : x + 1;
  }
};

// Of the frame at a time; `flow` is of the device or of this machine.
Stream stream_at(const Footage& footage, const BlockFlow& blocks, const float* flow, float time) {
  const int frame = clamp(static_cast<int>(time), 0, footage.frames - 1);
  const int seen = std::min(frame / footage.every, footage.seen() - 1);
  return {flow + 2 * static_cast<size_t>(frame) * blocks.rows * blocks.columns, blocks.rows, blocks.columns,
          blocks.block, footage.shifts[seen]};
}

// What seeds are followed in.
struct Tracks {
  Reel reel;
  int frames, channels;  // of the clip
  Canvas canvas;         // of a frame
  const float* error;

  // Inner products of what is wanted with a seed over its frames, and the squares of what these weigh.
  struct Sums {
    float with[kMaxChannels], weights;
  };

  // Frames between two that are looked at: roughly, a few within the duration.
  SPLAT2D_LOOP int stride_of(const Seed& s, bool roughly) const {
    const int apart_at_most = static_cast<int>(0.8f * s.duration / static_cast<float>(reel.every));
    return roughly && apart_at_most > 1 ? reel.every * apart_at_most : reel.every;
  }

  // Of every so many-th frame.
  SPLAT2D_LOOP void look(const Lanes& lanes, const Seed& s, bool roughly, int part, int parts, Sums* out) const {
    const int C = channels, every = reel.every, stride = stride_of(s, roughly);
    const size_t size = canvas.area() * C;
    const float reach = roughly ? 2.01f * static_cast<float>(stride) : 2.6f * s.duration;
    const int middle = static_cast<int>(s.time) / every * every;
    const float center[2] = {s.peak.x, s.peak.y};
    *out = {};
    for (int t = middle % stride + part * stride; t < frames; t += parts * stride) {
      const Moment m = reel.moment(t / every);
      const float apart = m.time - s.time;
      if (fabsf(apart) > reach + 1) continue;
      const float w = expf(-0.5f * apart * apart / (s.duration * s.duration));
      float mean[2];
      carry(center, s.velocity, apart, mean);
      float conic[3] = {s.conic[0], s.conic[1], s.conic[2]}, slopes[4];
      if (m.warp) m.warp.displace(mean, conic, slopes);
      mean[0] += m.shift.x;
      mean[1] += m.shift.y;
      out->weights += w * w;
      const Box box = bounding_box(mean, conic, kSeedCutoff, canvas);
      if (box.empty()) continue;
      const Projection sums =
          lanes.project(make_ellipse(mean, conic, kSeedCutoff), box, canvas, C, error + t / every * size, nullptr);
      each_channel(C, [&](int i) { out->with[i] -= w * sums.with[i]; });
    }
  }

  SPLAT2D_LOOP Promise promise_of(const Seed& s, bool roughly, const Sums& sums) const {
    if (sums.weights == 0) return {};
    const float area = fit::kPi * s.shape.s1 * s.shape.s2;
    const float scale = sqrtf(static_cast<float>(stride_of(s, roughly)) / (sums.weights * area));
    return promised(sums.with, channels, scale, area);
  }

  // What a team writes down while it follows a seed.
  struct Notes {
    static constexpr int kTrials = 24;
    Seed from, best;
    float still, most, radius, finest;
    float saved[kTrials];
    Sums sums[2];
  };

  // Looks for the velocity that lets a seed save most.
  SPLAT2D_LOOP void follow(const Team& team, Seed* seed, Notes* notes) const {
    team.once([&] {
      notes->best = *seed;
      const float width = seed->shape.s2 > 1.0f ? seed->shape.s2 : 1.0f, most = kSearched * width / seed->duration;
      notes->radius = kMostSpeed < most ? kMostSpeed : most;
      notes->finest = 0.2f * seed->shape.s2 / seed->duration;
    });
    team.sum_up(
        1, 0,
        [&](const Lanes& lanes, int, int part, int parts, Sums* out) { look(lanes, *seed, true, part, parts, out); },
        notes->sums);
    team.once([&] { notes->still = notes->most = promise_of(*seed, true, notes->sums[0]).saved; });
    for (float radius = 0.5f * notes->radius; radius > notes->finest; radius *= 0.5f) {
      const int steps = radius > 0.9f ? 2 : 1, across = 2 * steps + 1, trials = across * across - 1;
      const auto trial_of = [&](int i) {
        i += i >= trials / 2;  // but for the one in the middle
        Seed trial = notes->from;
        trial.velocity[0] += radius * static_cast<float>(i % across - steps);
        trial.velocity[1] += radius * static_cast<float>(i / across - steps);
        return trial;
      };
      team.once([&] { notes->from = notes->best; });
      team.each(trials, [&](const Lanes& lanes, int i) {
        const Seed trial = trial_of(i);
        Sums sums;
        look(lanes, trial, true, 0, 1, &sums);
        if (lanes.first()) notes->saved[i] = promise_of(trial, true, sums).saved;
      });
      team.once([&] {
        for (int i = 0; i < trials; ++i) {
          if (notes->saved[i] <= notes->most) continue;
          notes->most = notes->saved[i];
          notes->best = trial_of(i);
        }
      });
    }
    if (notes->most <= notes->still) return;
    team.sum_up(
        2, 0,
        [&](const Lanes& lanes, int i, int part, int parts, Sums* out) {
          look(lanes, i ? notes->best : *seed, false, part, parts, out);
        },
        notes->sums);
    team.once([&] {
      const Promise standing = promise_of(*seed, false, notes->sums[0]),
                    along = promise_of(notes->best, false, notes->sums[1]);
      const bool moves = along.saved > kWorthMoving * standing.saved;
      if (moves) {
        notes->best.saved = seed->saved * along.saved / standing.saved;
        *seed = notes->best;
      }
      for (int c = 0; c < kMaxChannels; ++c) seed->peak.blurred[c] = (moves ? along : standing).blurred[c];
    });
  }
};

}  // namespace

Array<float> ClipFitter::brought_back() const {
  const Canvas canvas = film_.footage().canvas, world = film_.footage().world;
  const int C = channels_, seen = film_.seen();
  Array<float> out;
  if (!course_.reel.first) return out;
  out.resize(world.area() * C * seen);
  const Reel reel = course_.reel;
  const float* from = error().data();
  float* to = out.data();
  device_.for_rows(seen * world.height, world.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int t = row / world.height, y = row % world.height;
    const Moment m = reel.moment(t);
    for (int x = x0; x < x1; ++x) {
      float at[2] = {static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f}, slopes[4];
      m.warp.carry(at, slopes);
      const float px = at[0] + m.shift.x - 0.5f, py = at[1] + m.shift.y - 0.5f;
      const float left = floorf(px), top = floorf(py), fx = px - left, fy = py - top;
      const bool inside = left >= 0 && top >= 0 && left + 1 < static_cast<float>(canvas.width) &&
                          top + 1 < static_cast<float>(canvas.height);
      SPLAT2D_UNROLL
      for (int c = 0; c < kMaxChannels && c < C; ++c) {
        const size_t plane = static_cast<size_t>(t) * C + c;
        float v = 0;
        if (inside) {
          const float* p =
              from + plane * canvas.area() + static_cast<size_t>(top) * canvas.width + static_cast<size_t>(left);
          v = (1 - fy) * ((1 - fx) * p[0] + fx * p[1]) + fy * ((1 - fx) * p[canvas.width] + fx * p[canvas.width + 1]);
        }
        to[plane * world.area() + static_cast<size_t>(y) * world.width + x] = v;
      }
    }
  });
  return out;
}

void ClipFitter::through(const std::vector<float>& weights, const Array<float>& back, float* to) const {
  const Canvas canvas = film_.footage().canvas, world = film_.footage().world;
  const int C = channels_, seen = film_.seen(), every = film_.footage().every;
  const float scale = scale_of(weights, every);
  const Array<float> uploaded(weights);
  const float *weight = uploaded.data(), *from = error().data();
  const Shift* shifts = course_.reel.shifts;
  const float* there = back.empty() ? nullptr : back.data();
  device_.for_rows(C * world.height, world.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int c = row / world.height, y = row % world.height;
    for (int t = 0; t < seen; ++t) {
      const float w = weight[t * every];
      if (w == 0) continue;
      if (there) {
        const size_t at = (static_cast<size_t>(t) * C + c) * world.area() + static_cast<size_t>(y) * world.width;
        add_scaled(to + static_cast<size_t>(row) * world.width + x0, there + at + x0, w * scale, x1 - x0);
        continue;
      }
      const int dx = static_cast<int>(lroundf(shifts[t].x)), dy = static_cast<int>(lroundf(shifts[t].y));
      if (y + dy < 0 || y + dy >= canvas.height) continue;
      const int first = x0 > -dx ? x0 : -dx, end = x1 < canvas.width - dx ? x1 : canvas.width - dx;
      if (first >= end) continue;
      const size_t at = (static_cast<size_t>(t) * C + c) * canvas.area() + static_cast<size_t>(y + dy) * canvas.width;
      add_scaled(to + static_cast<size_t>(row) * world.width + first, from + at + first + dx, w * scale, end - first);
    }
  });
}

void ClipFitter::followed(const std::vector<float>& weights, float time, const BlockFlow& blocks,
                          const Array<float>& flow, float* to) const {
  const Canvas canvas = film_.footage().canvas, world = film_.footage().world;
  const int C = channels_, seen = film_.seen(), every = film_.footage().every;
  const float scale = scale_of(weights, every);
  const Array<float> uploaded(weights);
  const float *weight = uploaded.data(), *from = error().data();
  const Reel reel = course_.reel;
  const Stream stream = stream_at(film_.footage(), blocks, flow.data(), time);
  device_.for_rows(C * world.height, world.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int c = row / world.height, y = row % world.height;
    for (int x = x0; x < x1;) {
      const int next = stream.next_column(x), end = next < x1 ? next : x1;
      const float* v = stream.at(static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f);
      for (int t = 0; t < seen; ++t) {
        const float w = weight[t * every];
        if (w == 0) continue;
        const Moment m = reel.moment(t);
        const int dx = static_cast<int>(lroundf(v[0] * (m.time - time) + m.shift.x)),
                  dy = static_cast<int>(lroundf(v[1] * (m.time - time) + m.shift.y));
        if (y + dy < 0 || y + dy >= canvas.height) continue;
        const int left = x > -dx ? x : -dx, right = end < canvas.width - dx ? end : canvas.width - dx;
        if (left >= right) continue;
        const size_t at = (static_cast<size_t>(t) * C + c) * canvas.area() + static_cast<size_t>(y + dy) * canvas.width;
        add_scaled(to + static_cast<size_t>(row) * world.width + left, from + at + left + dx, w * scale, right - left);
      }
      x = end;
    }
  });
}

void ClipFitter::follow(std::vector<Seed>* seeds) const {
  const int frames = film_.footage().frames;
  for (Seed& s : *seeds) {
    s.shape = shape_of(s.peak);
    conic_of(s.shape, s.conic);
  }
  if (frames == 1) return;
  const Tracks tracks{course_.reel, frames, channels_, film_.footage().canvas, error().data()};
  Array<Seed> there(*seeds);
  Seed* seed = there.data();
  device_.for_teams<Tracks::Notes>(static_cast<int64_t>(seeds->size()),
                                   [=] SPLAT2D_LOOP(const Team& team, int64_t i, Tracks::Notes* notes) {
                                     if (seed[i].duration < static_cast<float>(frames))
                                       tracks.follow(team, seed + i, notes);
                                   });
  *seeds = there.host();
}

// What an error saves is less where it weighs more.
void ClipFitter::weigh(std::vector<Seed>* seeds) const {
  if (!film_.densities()) return;
  const InTime course = course_;
  Array<Seed> there(*seeds);
  Seed* seed = there.data();
  device_.for_each(static_cast<int64_t>(seeds->size()), [=] SPLAT2D_LOOP(int64_t i) {
    Seed& s = seed[i];
    const float mean[3] = {s.peak.x, s.peak.y, s.time}, deviation = s.peak.scale;
    const float l[9] = {deviation, 0, 0, 0, deviation, 0, 0, 0, s.duration};
    s.peak.density = course.density(mean, l);
    s.saved /= s.peak.density;
  });
  *seeds = there.host();
}

Fit::SeedResult ClipFitter::plant(const SeedOptions& options) {
  const int T = film_.footage().frames, C = channels_;
  const Array<float> back = brought_back();
  std::vector<Seed> found;
  // What a weighed error promises is known once its density is.
  SeedOptions peaks = options;
  if (film_.densities()) peaks.threshold *= kLeastDensity;
  const bool flows = options.flow.rows > 0 && back.empty();
  const Array<float> flow(flows ? options.flow.velocities : std::vector<float>());
  // Windows, seen as they are and, where what is seen flows, along with it.
  struct Window {
    float time, duration;
    std::vector<float> weights;
  };
  std::vector<Window> windows{
      {0.5f * static_cast<float>(T), 2.0f * static_cast<float>(T), std::vector<float>(T, 1.0f)}};
  for (const double wanted : options.durations) {
    const float duration = static_cast<float>(wanted);
    if (duration > 0.5f * static_cast<float>(T)) continue;
    const float spacing = std::max(1.0f, kSpacing * duration);
    for (float time = std::max(0.5f, 0.5f * spacing); time < static_cast<float>(T); time += spacing) {
      std::vector<float> weights(T);
      for (int t = 0; t < T; ++t) {
        const float z = (static_cast<float>(t) + 0.5f - time) / duration, w = std::exp(-0.5f * z * z);
        weights[t] = w < kLeastWeight ? 0.0f : w;
      }
      windows.push_back({time, duration, weights});
    }
  }
  const int views = flows ? 2 : 1;
  const auto draw = [&](int i, float* to) {
    const Window& window = windows[i / views];
    if (i % views)
      followed(window.weights, window.time, options.flow, flow, to);
    else
      through(window.weights, back, to);
  };
  for (const Candidate& peak : find_peaks(device_, film_.footage().world, views * static_cast<int>(windows.size()), C,
                                          draw, peaks, nullptr, nullptr)) {
    const Window& window = windows[peak.picture / views];
    float v[2] = {0, 0};
    if (peak.picture % views) {
      const Stream stream = stream_at(film_.footage(), options.flow, options.flow.velocities.data(), window.time);
      std::copy_n(stream.at(peak.x, peak.y), 2, v);
      if (v[0] == 0 && v[1] == 0) continue;
    }
    found.push_back({peak, window.time, window.duration, peak.saved, {v[0], v[1]}, {}, {}});
  }
  weigh(&found);
  std::erase_if(found, [&](const Seed& s) { return s.saved < static_cast<float>(options.threshold); });
  std::stable_sort(found.begin(), found.end(), [](const Seed& a, const Seed& b) { return a.saved > b.saved; });
  std::vector<Seed> seeds;
  Taken taken(film_.footage());
  double promised = 0;
  const auto enough = [&] { return enough_seeds(seeds.size(), promised, options.energy * distortion_); };
  for (size_t next = 0; next < found.size() && !enough();) {
    std::vector<Seed> some;
    for (; next < found.size() && some.size() < kAtOnce; ++next)
      if (!taken.holds(found[next])) some.push_back(found[next]);
    std::vector<Seed> followed = some;
    follow(&followed);
    for (size_t i = 0; i < some.size() && !enough(); ++i) {
      if (taken.holds(some[i])) continue;
      taken.add(followed[i], static_cast<float>(options.separation));
      seeds.push_back(followed[i]);
      promised += followed[i].saved;
    }
  }

  std::vector<float> means, frames, ks;
  for (const Seed& s : seeds) {
    const auto [s1, s2, angle] = shape_of(s.peak);
    const float c = std::cos(angle), n = std::sin(angle);
    means.insert(means.end(), {s.peak.x, s.peak.y, s.time});
    frames.insert(frames.end(), {c * s1, -n * s2, s.velocity[0] * s.duration, n * s1, c * s2,
                                 s.velocity[1] * s.duration, 0.0f, 0.0f, s.duration});
    add_amplitudes(course_.basis, C, s.peak, options, &ks);
  }
  add(means, frames, ks);
  return {static_cast<int>(found.size()), static_cast<int>(seeds.size())};
}

}  // namespace splat2d
