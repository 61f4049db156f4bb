// A splat of a clip or a light field while its integers are refined: what frames show of it, at all levels of the
// distortion, and what it has in common with the error there.
#pragma once

#include <cmath>
#include <cstdint>

#include "fit/film.hpp"
#include "format/views.hpp"
#include "refine/forecast.hpp"
#include "refine/splat.hpp"

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
constexpr size_t kGrain = 16;        // a second thread for so many times as many pixels as elsewhere
constexpr int kDepth = 4;            // moves in a row at most
constexpr float kFirstSlack = 0.5f;  // bits that a first move may promise to lose and is tried nonetheless
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
  SPLAT2D_LOOP double area(const M& m) const {
    const float* a = pose.shape.conic;
    const double area = Forecast::kPi * m.cutoff / sqrtf(a[0] * a[2] - a[1] * a[1]),
                 all = static_cast<double>(m.canvas.area());
    return (area < all ? area : all) * (end - first);
  }
  // As other loops count them that threads share.
  template <class M>
  SPLAT2D_LOOP size_t pixels(const M& m) const {
    return static_cast<size_t>(area(m)) / kGrain;
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

SPLAT2D_LONG inline bool build(const ClipModel& m, const int32_t* q, int energy_class, Passage* out) {
  const int32_t* f = q + m.channels;
  if (!worth_coding(energy_class, f[kMovingArea], f[kMovingAspect])) return false;
  if (!lasting_in_range(energy_class, f, m.frames)) return false;
  const MovingLattices lattices = moving_lattices(energy_class, f, m.frames);
  if (!course_in_range(lattices, m.world, f)) return false;
  MovingPose& p = out->pose;
  p = make_pose(energy_class, f, m.frames, lattices);
  if (p.norm * p.norm < kLeastPresence * p.shape.norm * p.shape.norm) return false;
  out->energy_class = energy_class;
  const double area = lattices.place.area();
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
SPLAT2D_LONG inline bool build(const ViewsModel& m, const int32_t* q, int energy_class, Passage* out) {
  const int32_t* f = q + m.channels;
  if (!worth_coding(energy_class, f[kMovingArea], f[kMovingAspect])) return false;
  const Lattice lattice = make_lattice(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  if (!on_canvas(lattice, m.canvas, f[kMovingY], f[kMovingX])) return false;
  const int64_t step = disparity_step(energy_class, f[kMovingArea], f[kMovingAspect], m.eyes);
  if (!disparity_in_range(f[kDisparity], step)) return false;
  MovingPose& p = out->pose;
  p.shape = make_shape(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  constexpr double kOnePx = 1.0 / (1 << kPositionBits), kOneStep = 1.0 / (1 << kDisparityBits);
  p.mean[0] = static_cast<float>(static_cast<double>(lattice.x(f[kMovingX], f[kMovingY])) * kOnePx - kMargin);
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
SPLAT2D_LOOP inline Box core(const M& m, const Passage& s) {
  return clipped(reach_of(m, s, kCore, 1), m.world);
}

template <class M>
SPLAT2D_LOOP inline Box due_reach(const M& m, const Passage& s, bool) {
  return reserved(m, touched_by(m, s, 1.5f * m.cutoff));
}

// Of a visit, for the schedule.
template <class M>
SPLAT2D_LOOP inline float work_of(const M& m, const Passage& s) {
  return static_cast<float>(s.area(m));
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

// A part of a splat's inner products in all frames: of rows of all frames; where warps share it of every so many-th
// frame, since what a frame shows takes them as long to find out as to look at.
template <class M>
SPLAT2D_LOOP inline void project(const Lanes& lanes, const M& m, const Passage& s, int part, int parts,
                                 PassageSums* out) {
  *out = {};
  int stride = 1, first = s.first;
  if constexpr (Device::kManyTeams) {
    const int frames = s.end - s.first;
    stride = parts < frames ? parts : frames;
    first += part % stride;
    part /= stride;
    parts /= stride;
    if (part >= parts) return;
  }
  for (int t = first; t < s.end; t += stride)
    each_level(
        m, s, t,
        [&](const VisitModel::Level& level, const Ellipse& e, const Box& box, float height, const Slice& slice, int l) {
          const Projection sums =
              lanes.project(e, part_of(box, part, parts), level.canvas, m.channels, level.residual, level.weights);
          const float factor = slice.fade * height * static_cast<float>(1 << (2 * l));
          each_channel(m.channels, [&](int c) { out->sums.with[c] += factor * sums.with[c]; });
          const float self = slice.fade * height * factor * sums.self;
          out->sums.self += self;
          out->positive += self > 0 ? self : 0.0f;
        });
}

// A part of what frame t shows of a splat.
template <class M>
SPLAT2D_LOOP inline void observe(const Lanes& lanes, const M& m, const Passage& s, const float* color, int t, int part,
                                 int parts, Forecast::Frame* out) {
  *out = {};
  each_level(
      m, s, t,
      [&](const VisitModel::Level& level, const Ellipse& e, const Box& box, float height, const Slice& slice, int l) {
        glance_at(lanes, level, l, e, part_of(box, part, parts), height, slice.conic, m.channels, color, out);
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
SPLAT2D_LONG inline void add(const Team& team, const M& m, const Passage& s, const float* color) {
  team.add_each(s.end - s.first, s.pixels(m), [&](const Lanes& lanes, int i, int part, int parts) {
    each_level(
        m, s, s.first + i,
        [&](const VisitModel::Level& level, const Ellipse& e, const Box& box, float height, const Slice& slice, int) {
          float shade[kMaxChannels];
          each_channel(m.channels, [&](int c) { shade[c] = color[c] * slice.fade * height; });
          lanes.add(e, part_of(box, part, parts), level.canvas, m.channels, shade, level.residual);
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
  each_channel(m.channels, [&](int c) { saved += color[c] * (color[c] * whole.self - 2 * whole.with[c]); });
  return saved;
}

}  // namespace refine
}  // namespace splat2d
