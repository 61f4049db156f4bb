// One visit of the integer refinement to a splat of a clip or a light field: cpp/refine/visit.hpp with time, or eyes.
//
// There are too many moves, over too many frames, to try them all: the splat's frames are looked at once, a few dozen
// moves are weighed by what that foresees, and those that promise something are tried.
#pragma once

#include <cmath>
#include <cstdint>

#include "fit/film.hpp"
#include "format/views.hpp"
#include "refine/forecast.hpp"
#include "refine/visit.hpp"

namespace splat2d {

// What all visits to splats of a clip share.
struct ClipModel : VisitModel {
  const Level* level;  // [T, levels]
  Canvas canvas, world;
  int frames;  // T
  Reel reel;
  Bends bends;  // of the motion field

  SPLAT2D_HD int width() const { return channels + kMovingFields; }  // of a row of integers
};

// The same of a light field, whose frames are views.
struct ViewsModel : ClipModel {
  Eyes eyes;

  SPLAT2D_HD int width() const { return channels + kViewFields; }
};

namespace refine {

constexpr int kPadding = 2;  // px of the world that a pixel of a frame may lie off
constexpr int kMovingSteps = 2 * kMovingFields;
constexpr size_t kGrain = 16;   // a second thread for so many times as many pixels as elsewhere
constexpr int kDepth = 4;       // moves in a row at most
constexpr float kSlack = 0.5f;  // bits that a first move may promise to lose and is tried nonetheless
// Of a splat's presence; one that is seen in no frame, or hardly, is not drawn.
constexpr float kLeastPresence = 0.05f;

// A splat of integers that may be coded.
struct Passage {
  int energy_class;
  float rate_area;  // as of a picture's
  MovingPose pose;
  int first, end;  // of the frames that show it

  template <class M>
  SPLAT2D_HD Slice slice(const M& m, int t) const {
    return slice_at(m.reel.moment(t), pose.mean, pose.velocity, pose.shape.conic, pose.precision);
  }
  // Pixels of all frames, about.
  template <class M>
  SPLAT2D_LOOP size_t pixels(const M& m) const {
    const float* a = pose.shape.conic;
    const double area = Forecast::kPi * m.cutoff / sqrtf(a[0] * a[2] - a[1] * a[1]),
                 all = static_cast<double>(m.canvas.area());
    return static_cast<size_t>((area < all ? area : all) * (end - first)) / kGrain;
  }
};

// Inner products at all levels of the distortion together.
struct PassageSums {
  Projection sums;
  float positive;

  SPLAT2D_LOOP Projection whole() const {
    Projection out = sums;
    out.self = positive_self(out.self, positive);
    return out;
  }
};

struct PassageMove {
  Passage s;
  int32_t q[kMaxChannels + kMovingFields];  // once weighed, with the best colours
};

// What a team writes down during a visit.
struct PassageNotes {
  static constexpr int kMost = kDepth * kMovingSteps + 1;
  bool there, done;
  PassageMove start, best;
  float color[kMaxChannels];
  int32_t free[kMaxChannels];  // the best colours of the present shape, whatever their energy class
  Forecast forecast;
  Forecast::Frame frames[kMaxFrames];
  float least;  // J of the best over that of the splat's absence
  // Moves worth trying, each from where the best before it led.
  int count, from;  // from: -1 for the start, -2 for none
  float reached, limit;
  PassageMove moves[kMost];
  PassageSums sums[kMost];
  float costs[kMost];
};

SPLAT2D_LOOP inline bool build(const ClipModel& m, const int32_t* q, int energy_class, Passage* out) {
  const int32_t* f = q + m.channels;
  if (!worth_coding(energy_class, f[kMovingArea], f[kMovingAspect])) return false;
  if (!moving_in_range(energy_class, m.world, f, m.frames)) return false;
  MovingPose& p = out->pose;
  p = make_pose(energy_class, f, m.frames);
  if (p.norm * p.norm < kLeastPresence * p.shape.norm * p.shape.norm) return false;
  out->energy_class = energy_class;
  const double area = make_lattice(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]).area();
  const double leaf = 1 << leaf_log2(tier_of(energy_class, f[kMovingArea]));
  out->rate_area = static_cast<float>(area < leaf ? area : leaf);
  const float reach = sqrtf(m.cutoff / p.precision);
  const int first = static_cast<int>(ceilf(p.mean[2] - reach - 0.5f)),
            end = static_cast<int>(floorf(p.mean[2] + reach - 0.5f)) + 1;
  out->first = first > 0 ? first : 0;
  out->end = end < m.frames ? end : m.frames;
  return out->first < out->end;
}

// Of a light field, all of whose views show it.
SPLAT2D_LOOP inline bool build(const ViewsModel& m, const int32_t* q, int energy_class, Passage* out) {
  const int32_t* f = q + m.channels;
  if (!worth_coding(energy_class, f[kMovingArea], f[kMovingAspect])) return false;
  const Lattice lattice = make_lattice(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  if (!on_canvas(lattice, m.canvas, f[kMovingY], f[kMovingX])) return false;
  const int64_t step = disparity_step(energy_class, f[kMovingArea], f[kMovingAspect], m.eyes);
  if (!disparity_in_range(f[kDisparity], step)) return false;
  MovingPose& p = out->pose;
  p.shape = make_shape(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  constexpr double kOnePx = 1.0 / (1 << kPositionBits), kOneStep = 1.0 / (1 << kDisparityBits);
  p.mean[0] =
      static_cast<float>(static_cast<double>(lattice.x(f[kMovingX], f[kMovingY])) * kOnePx - kMargin);
  p.mean[1] = static_cast<float>(static_cast<double>(lattice.y(f[kMovingY])) * kOnePx - kMargin);
  p.mean[2] = 0;
  p.velocity[0] = p.velocity[1] = static_cast<float>(static_cast<double>(f[kDisparity] * step) * kOneStep);
  p.precision = 0;
  p.norm = p.shape.norm * sqrtf(static_cast<float>(m.frames));
  out->energy_class = energy_class;
  const double area = lattice.area(), leaf = 1 << leaf_log2(tier_of(energy_class, f[kMovingArea]));
  out->rate_area = static_cast<float>(area < leaf ? area : leaf);
  out->first = 0;
  out->end = m.frames;
  return true;
}

template <class M>
SPLAT2D_LOOP inline bool build(const M& m, const int32_t* q, Passage* out) {
  return any_color(q, m.channels) && build(m, q, energy_class(q, m.steps), out);
}

// A slice as a level of the distortion sees it, for a slice of height 1.
SPLAT2D_LOOP inline LevelSplat seen_at(const Slice& s, int level) {
  if (level) return level_splat(s.mean, s.conic, level);
  return {{s.mean[0], s.mean[1]}, {s.conic[0], s.conic[1], s.conic[2]}, 1.0f};
}

SPLAT2D_LOOP inline Box united(const Box& a, const Box& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {a.x0 < b.x0 ? a.x0 : b.x0, a.y0 < b.y0 ? a.y0 : b.y0, a.x1 > b.x1 ? a.x1 : b.x1, a.y1 > b.y1 ? a.y1 : b.y1};
}

SPLAT2D_LOOP inline Box clipped(const Box& b, Canvas canvas) {
  const Box c{b.x0 > 0 ? b.x0 : 0, b.y0 > 0 ? b.y0 : 0, b.x1 < canvas.width ? b.x1 : canvas.width,
              b.y1 < canvas.height ? b.y1 : canvas.height};
  return c.empty() ? Box{0, 0, 0, 0} : c;
}

// Places in the world between which a splat is in all frames: how many, and one of them.
SPLAT2D_LOOP inline int turns(const ClipModel&) { return 2; }
SPLAT2D_LOOP inline int turns(const ViewsModel& m) { return m.frames; }
SPLAT2D_LOOP inline void turn(const ClipModel&, const Passage& s, int i, float* at) {
  carry(s.pose.mean, s.pose.velocity, (static_cast<float>(i ? s.end - 1 : s.first) + 0.5f) - s.pose.mean[2], at);
}
SPLAT2D_LOOP inline void turn(const ViewsModel& m, const Passage& s, int i, float* at) {
  const Moment moment = m.reel.moment(i);
  for (int a = 0; a < 2; ++a) at[a] = s.pose.mean[a] + s.pose.velocity[a] * moment.along(a, 0.0f);
}

// Of the world: what a splat touches in any frame at any of so many levels, whose pixels may lie anywhere.
template <class M>
SPLAT2D_LOOP inline Box reach_of(const M& m, const Passage& s, float cutoff, int levels) {
  constexpr int kBack = 1 << 19;
  constexpr Canvas kEndless{2 * kBack, 2 * kBack};
  Box out{0, 0, 0, 0};
  const int count = turns(m);
  for (int i = 0; i < count; ++i)
    for (int l = 0; l < levels; ++l) {
      Slice at;
      turn(m, s, i, at.mean);
      for (float& v : at.mean) v += kBack;
      for (int k = 0; k < 3; ++k) at.conic[k] = s.pose.shape.conic[k];
      const LevelSplat seen = seen_at(at, l);
      const float unit = 1.0f / static_cast<float>(1 << (2 * l));
      const float conic[3] = {seen.conic[0] * unit, seen.conic[1] * unit, seen.conic[2] * unit};
      const Box b = bounding_box(at.mean, conic, cutoff, kEndless);
      const int pad = kPadding + (l ? 1 << l : 0);
      if (!b.empty())
        out = united(out, {b.x0 - kBack - pad, b.y0 - kBack - pad, b.x1 - kBack + pad, b.y1 - kBack + pad});
    }
  return out;
}

// Of the world: what is shown, in any frame, at a pixel that the splat touches.
template <class M>
SPLAT2D_LOOP inline Box touched_by(const M& m, const Passage& s, float cutoff) {
  Box b = reach_of(m, s, cutoff, m.levels);
  if (!m.reel.first || b.empty()) return b;
  const float *a = s.pose.shape.conic, half = 0.5f * (a[0] - a[2]);
  const float least = 0.5f * (a[0] + a[2]) - sqrtf(half * half + a[1] * a[1]);
  const float blurred = m.levels > 1 ? static_cast<float>(2 << m.levels) : 0.0f;
  const int by = static_cast<int>(ceilf(m.bends.widened(sqrtf(cutoff / least) + kPadding + blurred)));
  b.x0 -= by;
  b.y0 -= by;
  b.x1 += by;
  b.y1 += by;
  return b;
}

// On a device that does many visits at the same time only what lies in the world can be reserved.
template <class M>
SPLAT2D_LOOP inline Box reserved(const M& m, const Box& reach) {
  return Device::kManyTeams ? clipped(reach, m.world) : reach;
}

template <class M>
SPLAT2D_LOOP inline bool may_go(const M& m, const Passage& s, const Box& region) {
  const Box own = reserved(m, touched_by(m, s, m.cutoff));
  return own.empty() || (own.x0 >= region.x0 && own.y0 >= region.y0 && own.x1 <= region.x1 && own.y1 <= region.y1);
}

template <class M>
SPLAT2D_LOOP inline Box core(const M& m, const Passage& s) { return clipped(reach_of(m, s, kCore, 1), m.world); }

template <class M>
SPLAT2D_LOOP inline Box due_reach(const M& m, const Passage& s, bool) {
  return reserved(m, touched_by(m, s, 1.5f * m.cutoff));
}

// Where a splat is when the clip shows it.
template <class M>
SPLAT2D_LOOP inline void place(const M& m, const Passage& s, float* mean) {
  const float shown = clamp(s.pose.mean[2], 0.0f, static_cast<float>(m.frames)) - s.pose.mean[2];
  carry(s.pose.mean, s.pose.velocity, shown, mean);
}

// Calls f(level, ellipse, box, height, slice, number of the level) for what frame t shows of a splat at each level,
// where that is something; the height is that of a slice of height 1.
template <class M, class F>
SPLAT2D_LOOP inline void each_level(const M& m, const Passage& s, int t, F f) {
  const Slice slice = s.slice(m, t);
  if (!(slice.cutoff > 0)) return;
  for (int l = 0; l < m.levels; ++l) {
    const VisitModel::Level& level = m.level[t * m.levels + l];
    const LevelSplat at = seen_at(slice, l);
    const Box box = bounding_box(at.mean, at.conic, slice.cutoff, level.canvas);
    if (!box.empty()) f(level, make_ellipse(at.mean, at.conic, slice.cutoff), box, at.height, slice, l);
  }
}

// Rows of a box that are one of so many parts.
SPLAT2D_LOOP inline Box part_of(Box box, int part, int parts) {
  const int64_t height = box.y1 - box.y0, top = box.y0;
  box.y0 = static_cast<int>(top + height * part / parts);
  box.y1 = static_cast<int>(top + height * (part + 1) / parts);
  return box;
}

// A part of a splat's inner products in all frames.
template <class M>
SPLAT2D_LOOP inline void project(const Lanes& lanes, const M& m, const Passage& s, int part, int parts,
                                 PassageSums* out) {
  *out = {};
  for (int t = s.first; t < s.end; ++t)
    each_level(
        m, s, t,
        [&](const VisitModel::Level& level, const Ellipse& e, const Box& box, float height, const Slice& slice, int l) {
          const Projection sums =
              lanes.project(e, part_of(box, part, parts), level.canvas, m.channels, level.residual, level.weights);
          const float factor = slice.fade * height * static_cast<float>(1 << (2 * l));
          for (int c = 0; c < m.channels; ++c) out->sums.with[c] += factor * sums.with[c];
          const float self = slice.fade * height * factor * sums.self;
          out->sums.self += self;
          out->positive += self > 0 ? self : 0.0f;
        });
}

// A part of what frame t shows of a splat.
template <class M>
SPLAT2D_LOOP inline void observe(const Lanes& lanes, const M& m, const Passage& s, const float* color, int t,
                                 int part, int parts, Forecast::Frame* out) {
  *out = {};
  each_level(
      m, s, t,
      [&](const VisitModel::Level& level, const Ellipse& e, const Box& box, float height, const Slice& slice, int l) {
        float v_mean[2], v_conic[3];
        const Projection sums = lanes.observe(e, part_of(box, part, parts), level.canvas, m.channels, color,
                                              level.residual, level.weights, v_mean, v_conic);
        const float squares = static_cast<float>(1 << (2 * l)), factor = height * squares;
        const float self = height * factor * sums.self;
        float along = 0;
        for (int c = 0; c < m.channels; ++c) {
          out->sums.with[c] += factor * sums.with[c];
          along += factor * color[c] * sums.with[c];
        }
        out->sums.self += self;
        out->positive += self > 0 ? self : 0.0f;
        const float by_mean = factor / static_cast<float>(1 << l);
        for (int k = 0; k < 2; ++k) out->v_mean[k] += by_mean * v_mean[k];
        if (l == 0) {
          const float conic[3] = {e.a, e.b, e.c};
          for (int k = 0; k < 3; ++k) {
            out->v_conic[k] += v_conic[k];
            out->flat[k] += along * conic[k];
          }
          return;
        }
        // The level's conic is 4^l W with W = (A^-1 + v)^-1, so that d W = K^T dA K with K = A^-1 W; the height's
        // logarithm changes by (A^-1 W A^-1 - A^-1) / 2 times dA.
        const float *a = slice.conic, det = a[0] * a[2] - a[1] * a[1];
        const float w[3] = {e.a / squares, e.b / squares, e.c / squares};
        const float cov[3] = {a[2] / det, -a[1] / det, a[0] / det};
        const float k11 = cov[0] * w[0] + cov[1] * w[1], k12 = cov[0] * w[1] + cov[1] * w[2];
        const float k21 = cov[1] * w[0] + cov[2] * w[1], k22 = cov[1] * w[1] + cov[2] * w[2];
        const float v11 = v_conic[0], v12 = 0.5f * v_conic[1], v22 = v_conic[2], by_conic = factor * squares;
        const float p11 = k11 * v11 + k12 * v12, p12 = k11 * v12 + k12 * v22;
        const float p21 = k21 * v11 + k22 * v12, p22 = k21 * v12 + k22 * v22;
        const float half = 0.5f * along;
        out->v_conic[0] += by_conic * (p11 * k11 + p12 * k12) + half * (k11 * cov[0] + k12 * cov[1] - cov[0]);
        out->v_conic[1] += 2 * (by_conic * (p11 * k21 + p12 * k22) + half * (k11 * cov[1] + k12 * cov[2] - cov[1]));
        out->v_conic[2] += by_conic * (p21 * k21 + p22 * k22) + half * (k21 * cov[1] + k22 * cov[2] - cov[2]);
        for (int k = 0; k < 3; ++k) out->flat[k] += along * w[k];
      });
  if (!m.reel.first) return;
  // Forecasts are of the world.
  const Slice shown = s.slice(m, t);
  bring_back(shown.slopes, out->v_mean, out->v_conic);
  const float *j = shown.slopes, det = j[0] * j[3] - j[1] * j[2];
  const float inverse[4] = {j[3] / det, -j[1] / det, -j[2] / det, j[0] / det};
  carry_conic(inverse, out->flat);
}

// residual += color g in every frame, at every level.
template <class M>
SPLAT2D_LOOP inline void add(const Team& team, const M& m, const Passage& s, const float* color) {
  team.add_each(s.end - s.first, s.pixels(m), [&](int i) {
    each_level(
        m, s, s.first + i,
        [&](const VisitModel::Level& level, const Ellipse& e, const Box& box, float height, const Slice& slice, int) {
          float shade[kMaxChannels];
          for (int c = 0; c < m.channels; ++c) shade[c] = color[c] * slice.fade * height;
          team.add(e, box, level.canvas, m.channels, shade, level.residual);
        });
  });
}

template <class M>
SPLAT2D_LOOP inline float saving(const Lanes& lanes, const M& m, const int32_t* q) {
  Passage s;
  if (!build(m, q, &s)) return 0.0f;
  float color[kMaxChannels], saved = 0;
  color_of(m, q, s.pose.norm, color);
  PassageSums sums;
  project(lanes, m, s, 0, 1, &sums);
  const Projection whole = sums.whole();
  for (int c = 0; c < m.channels; ++c) saved += color[c] * (color[c] * whole.self - 2 * whole.with[c]);
  return saved;
}

SPLAT2D_LOOP inline float passage_bits(const ClipModel& m, const RateTables& rates, const Passage& s,
                                       const int32_t* f) {
  const int r = s.energy_class, row = r + 1, T = m.frames;
  const int shorter = clamp(longest_duration(r, T) - f[kDuration], 0, RateTables::kDurations - 1);
  const int life = life_of(r, f[kDuration], T), bin = time_bin(time_of(r, f[kDuration], f[kTime], T), T);
  const float in_bin = static_cast<float>(T << (kTimeBits - 3)) / static_cast<float>(time_step(r, f[kDuration], T));
  float out = shape_bits(rates, r, s.rate_area, f) + rates.duration[row * RateTables::kDurations + shorter] +
              rates.time[life * kTimeBins + bin] + log2f(in_bin > 1.0f ? in_bin : 1.0f);
  for (int a = 0; a < 2; ++a) {
    const int speed = clamp(f[kSpeedY + a] + RateTables::kSpeedOffset, 0, RateTables::kSpeeds - 1);
    out += rates.speed[(a * kClasses + row) * RateTables::kSpeeds + speed];
  }
  return out;
}

// Neighbours tell a disparity, so that any is as good as its neighbours.
SPLAT2D_LOOP inline float passage_bits(const ViewsModel&, const RateTables& rates, const Passage& s,
                                       const int32_t* f) {
  return shape_bits(rates, s.energy_class, s.rate_area, f);
}

SPLAT2D_LOOP inline Course course_of(const Passage& s) {
  const MovingPose& p = s.pose;
  return {p.mean[0], p.mean[1], p.mean[2], p.velocity[0], p.velocity[1]};
}

// After a step of one field of f, or of the energy class (field -1), from a splat s: where that changes the lattices,
// the splat goes on where it went. False where no splat has these fields.
SPLAT2D_LOOP inline bool keep_course(const ClipModel& m, const Passage& s, int energy_class, int field, int32_t* f) {
  if (field > kMovingAngle && field != kDuration && field != kTime) return true;
  if (field < 0) quantize_duration(energy_class, -0.5 * log(static_cast<double>(s.pose.precision)), m.frames, f);
  if (!shape_in_range(energy_class, f[kMovingArea], f[kMovingAspect]) ||
      !duration_in_range(energy_class, f[kDuration], m.frames))
    return false;
  if (field < 0 || field == kDuration) quantize_time(energy_class, s.pose.mean[2], m.frames, f);
  quantize_course(energy_class, m.world, course_of(s), m.frames, f);
  return true;
}
SPLAT2D_LOOP inline bool keep_course(const ViewsModel& m, const Passage& s, int energy_class, int field, int32_t* f) {
  if (field > kMovingAngle) return true;
  if (!shape_in_range(energy_class, f[kMovingArea], f[kMovingAspect])) return false;
  quantize_position(energy_class, m.canvas, s.pose.mean[0], s.pose.mean[1], f);
  const int64_t step = disparity_step(energy_class, f[kMovingArea], f[kMovingAspect], m.eyes);
  f[kDisparity] = quantize_disparity(s.pose.velocity[0], step);
  return true;
}

// A step of one field.
template <class M>
SPLAT2D_LOOP inline bool propose(const M& m, const Box& region, const PassageMove& start, int move,
                                 PassageMove* out) {
  const int C = m.channels, r = start.s.energy_class, field = move / 2;
  copy_ints(start.q, m.width(), out->q);
  int32_t* f = out->q + C;
  if (field == kMovingAngle && f[kMovingAspect] == 0) return false;
  f[field] += move % 2 ? 1 : -1;
  if (field == kMovingAspect) {
    if (f[kMovingAspect] < 0) return false;
    f[kMovingAngle] = nearest_angle(r, f[kMovingAspect], start.s.pose.shape.angle);
  }
  const int angles = angle_count(r, f[kMovingAspect]);
  f[kMovingAngle] = (f[kMovingAngle] + angles) % angles;
  return keep_course(m, start.s, r, field, f) && build(m, out->q, r, &out->s) && may_go(m, out->s, region);
}

template <class M>
SPLAT2D_LOOP inline bool change_class(const M& m, const Box& region, const PassageMove& start, int energy_class,
                                      PassageMove* out) {
  copy_ints(start.q, m.width(), out->q);
  int32_t* f = out->q + m.channels;
  const Shape& shape = start.s.pose.shape;
  const double half = 0.5 * shape.log_area, spread = 0.5 * shape.log_aspect;
  quantize_shape(energy_class, half + spread, half - spread, shape.angle, f);
  return keep_course(m, start.s, energy_class, -1, f) && build(m, out->q, energy_class, &out->s) &&
         may_go(m, out->s, region);
}

// J over that of the splat's absence with the colours q, without their bits.
template <class M>
SPLAT2D_LOOP inline float promise(const M& m, const SweepPlan& plan, const RateTables& rates,
                                  const Projection& sums, const PassageMove& move, const int32_t* q) {
  const int C = m.channels;
  float out = static_cast<float>(plan.lambda) * passage_bits(m, rates, move.s, move.q + C);
  for (int i = 0; i < C; ++i) {
    float with = 0;
    for (int k = 0; k < C; ++k) with += m.basis[C * i + k] * sums.with[k];
    const float k = static_cast<float>(q[i]) * m.component_steps[i] / move.s.pose.norm;
    out += k * (2 * with + k * sums.self);
  }
  return out;
}

// The same with the best colours, which go to the move.
template <class M>
SPLAT2D_LOOP inline float weigh(const Lanes& lanes, const M& m, const SweepPlan& plan, const RateTables& rates,
                                const Projection& sums, const int32_t* q, PassageMove* move, int32_t* free) {
  const float lmbda = static_cast<float>(plan.lambda);
  return best_colors(lanes, m, rates, lmbda, sums, move->s.pose.norm,
                     lmbda * passage_bits(m, rates, move->s, move->q + m.channels), move->s.energy_class, q, move->q,
                     free);
}

// Finds moves that promise something, each from where the best before it led.
template <class M>
SPLAT2D_LOOP inline void find_moves(const Team& team, const M& m, const SweepPlan& plan,
                                    const RateTables& rates, const Box& region, const int32_t* q, PassageNotes* notes) {
  const int steps = 2 * (m.width() - m.channels);
  team.once([&] {
    notes->count = 0;
    notes->from = -1;
    notes->reached = promise(m, plan, rates, notes->forecast.without(), notes->start, q);
    notes->limit = notes->reached + kSlack * static_cast<float>(plan.lambda);
  });
  for (int depth = 0; depth < kDepth && notes->from > -2; ++depth) {
    const int count = notes->count;
    const PassageMove& from = notes->from < 0 ? notes->start : notes->moves[notes->from];
    team.share(steps,
               [&](int i) { notes->costs[i] = propose(m, region, from, i, &notes->moves[count + i]) ? 0.0f : kNever; });
    team.each(steps, [&](const Lanes& lanes, int i) {
      if (notes->costs[i] == kNever) return;
      const PassageMove& trial = notes->moves[count + i];
      const Projection sums = notes->forecast.without(lanes, trial.s.pose);
      if (lanes.first()) notes->costs[i] = promise(m, plan, rates, sums, trial, q);
    });
    team.once([&] {
      notes->from = -2;
      for (int i = 0; i < steps; ++i) {
        const float promised = notes->costs[i];
        if (promised >= notes->limit) continue;
        if (notes->count != count + i) notes->moves[notes->count] = notes->moves[count + i];
        ++notes->count;
        if (promised >= notes->reached) continue;
        notes->reached = promised;
        notes->from = notes->count - 1;
        if (depth > 0) notes->limit = promised;
      }
      notes->limit = notes->reached;
    });
  }
}

// Takes the move of the least J.
template <class M>
SPLAT2D_LOOP inline Outcome choose(const M& m, int32_t* q, PassageNotes* notes, double* seen) {
  const int C = m.channels;
  for (int i = 0; i < notes->count; ++i)
    if (notes->costs[i] < notes->least) {
      notes->least = notes->costs[i];
      notes->best = notes->moves[i];
    }
  const Box before = core(m, notes->start.s);
  notes->done = notes->least >= 0;
  if (notes->done) {
    const int32_t nothing[kMaxChannels + kMovingFields] = {};
    m.changes.add(before, change(m, m.width(), q, nothing));
    copy_ints(nothing, C, q);
    return kRemoved;
  }
  const double changed = change(m, m.width(), q, notes->best.q);
  copy_ints(notes->best.q, m.width(), q);
  color_of(m, q, notes->best.s.pose.norm, notes->color);
  const Box after = core(m, notes->best.s);
  if (changed > 0) {
    m.changes.add(before, changed);
    m.changes.add(after, changed);
  }
  *seen = m.changes.mean(after);
  return changed > 0 ? kChanged : kKept;
}

// Refines the splat of integers q, whose moves stay within a region; `seen` becomes the mean of the changes around it.
template <class M>
SPLAT2D_LOOP inline void visit(const Team& team, const M& m, const SweepPlan& plan, const RateTables& rates,
                               const Box& region, int32_t* q, double* seen, Outcome* outcome, PassageNotes* notes) {
  const int C = m.channels;
  team.once([&] {
    notes->there = build(m, q, &notes->start.s);
    if (!notes->there) return;
    copy_ints(q, m.width(), notes->start.q);
    copy_ints(q, C, notes->free);
    color_of(m, q, notes->start.s.pose.norm, notes->color);
    notes->best = notes->start;
  });
  if (!notes->there) return;
  const Passage& start = notes->start.s;
  const int frames = start.end - start.first;
  team.sum_up(
      frames, start.pixels(m),
      [&](const Lanes& lanes, int i, int part, int parts, Forecast::Frame* sums) {
        observe(lanes, m, start, notes->color, start.first + i, part, parts, sums);
      },
      notes->frames);
  team.once([&] { notes->forecast.look(start.pose, C, notes->color, m.reel, notes->frames, start.first, frames); });
  // The present shape, with its best colours
  team.each(1, [&](const Lanes& lanes, int) {
    const float least = weigh(lanes, m, plan, rates, notes->forecast.without(), q, &notes->best, notes->free);
    if (lanes.first()) notes->least = least;
  });
  find_moves(team, m, plan, rates, region, q, notes);
  team.once([&] {
    const int free_class = energy_class(notes->free, m.steps);
    if (free_class != start.energy_class &&
        change_class(m, region, notes->start, free_class, &notes->moves[notes->count]))
      ++notes->count;
    notes->done = notes->count == 0 && notes->least < 0;
    for (int i = 0; i < m.width(); ++i) notes->done = notes->done && notes->best.q[i] == q[i];
    if (notes->done) {
      *seen = m.changes.mean(core(m, start));
      *outcome = kKept;
    }
    for (int c = 0; c < C; ++c) notes->color[c] = -notes->color[c];
  });
  if (notes->done) return;
  add(team, m, start, notes->color);
  team.sum_up(
      notes->count, start.pixels(m),
      [&](const Lanes& lanes, int i, int part, int parts, PassageSums* sums) {
        project(lanes, m, notes->moves[i].s, part, parts, sums);
      },
      notes->sums);
  team.each(notes->count, [&](const Lanes& lanes, int i) {
    const float cost = weigh(lanes, m, plan, rates, notes->sums[i].whole(), q, &notes->moves[i], nullptr);
    if (lanes.first()) notes->costs[i] = cost;
  });
  team.once([&] { *outcome = choose(m, q, notes, seen); });
  if (!notes->done) add(team, m, notes->best.s, notes->color);
}

}  // namespace refine
}  // namespace splat2d
