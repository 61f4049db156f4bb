// A splat of a picture while its integers are refined: where it is, what levels of the distortion show of it, and what
// it has in common with the error there.
#pragma once

#include <cmath>
#include <cstdint>

#include "fit/distortion.hpp"
#include "refine/changes.hpp"
#include "refine/colors.hpp"
#include "refine/glance.hpp"

namespace splat2d {

struct SweepPlan {
  double lambda;    // SSE per bit
  uint64_t seed;    // of the order
  double patience;  // splats around which less has changed since their last visit (D^2 a cell) are passed over
  bool pairs;       // also try steps of two integers at once
};

// What all visits share; pointers are to the device's memory.
struct VisitModel : ColorModel {
  struct Level {
    float* residual;       // [C, H, W]
    const float* weights;  // [H, W] of the distortion; null for SSE
    Canvas canvas;
  };
  float cutoff;
  int levels;  // one for SSE
  ChangeMap changes;
};

// Of a picture.
struct RefineModel : VisitModel {
  Level level[Distortion::kMaxLevels];

  SPLAT2D_HD int width() const { return channels + 5; }  // of a row of integers
};

namespace refine {

// q within which a splat heeds changes and causes them.
constexpr float kCore = 4.0f;
// Part of the finer levels' energy of a splat that coarser levels leave at least.
constexpr float kLeastSelf = 0.1f;

// Fields of a splat's integers after its colours.
enum Field { kArea, kAspect, kAngle, kY, kX, kFields };

struct Geometry {
  int energy_class;
  float mean[2];
  Shape shape;
  float rate_area;  // lattice area that the position code can use, px^2
};

// Inner products of a splat with the residual and with itself, at each level of the distortion.
struct Sums {
  Projection level[Distortion::kMaxLevels];
};

enum Outcome : int8_t { kKept, kChanged, kRemoved };

// The splat of a row of integers, as one of this energy class; false where no such splat may be coded.
SPLAT2D_LONG inline bool build(const RefineModel& m, const int32_t* q, int energy_class, Geometry* g) {
  const int32_t* f = q + m.channels;
  g->energy_class = energy_class;
  if (!worth_coding(energy_class, f[kArea], f[kAspect])) return false;
  const Lattice lattice = make_lattice(energy_class, f[kArea], f[kAspect], f[kAngle]);
  if (!on_canvas(lattice, m.level[0].canvas, f[kY], f[kX])) return false;
  g->shape = make_shape(energy_class, f[kArea], f[kAspect], f[kAngle]);
  constexpr double kOne = 1.0 / (1 << kPositionBits);
  g->mean[0] = static_cast<float>(static_cast<double>(lattice.x(f[kX], f[kY])) * kOne - kMargin);
  g->mean[1] = static_cast<float>(static_cast<double>(lattice.y(f[kY])) * kOne - kMargin);
  const double area = lattice.area(), leaf = 1 << leaf_log2(tier_of(energy_class, f[kArea]));
  g->rate_area = static_cast<float>(area < leaf ? area : leaf);
  return true;
}

SPLAT2D_LOOP inline bool build(const RefineModel& m, const int32_t* q, Geometry* g) {
  return any_color(q, m.channels) && build(m, q, energy_class(q, m.steps), g);
}

// A splat at a level, the picture itself being level 0.
SPLAT2D_LOOP inline LevelSplat seen_at(const Geometry& g, int level) {
  if (level) return level_splat(g.mean, g.shape.conic, level);
  return {{g.mean[0], g.mean[1]}, {g.shape.conic[0], g.shape.conic[1], g.shape.conic[2]}, 1.0f};
}

// Where a splat is, for the schedule.
SPLAT2D_LOOP inline void place(const RefineModel&, const Geometry& g, float* mean) {
  for (int j = 0; j < 2; ++j) mean[j] = g.mean[j];
}

// The pixels that matter most to a splat.
SPLAT2D_LOOP inline Box core(const RefineModel& m, const Geometry& g) {
  return bounding_box(g.mean, g.shape.conic, m.cutoff < kCore ? m.cutoff : kCore, m.level[0].canvas);
}

// The pixels of a level that a splat touches.
SPLAT2D_LOOP inline Box box_at(const RefineModel& m, const Geometry& g, int level) {
  const LevelSplat s = seen_at(g, level);
  return bounding_box(s.mean, s.conic, m.cutoff, m.level[level].canvas);
}

// Pixels of the picture that a splat touches, about.
SPLAT2D_LOOP inline size_t pixels_of(const RefineModel& m, const Geometry& g) {
  const Box box = box_at(m, g, 0);
  return static_cast<size_t>(box.x1 - box.x0) * (box.y1 - box.y0);
}

// Of a visit, for the schedule.
SPLAT2D_LOOP inline float work_of(const RefineModel& m, const Geometry& g) {
  return static_cast<float>(pixels_of(m, g));
}

// Grows a box by what a splat touches at any level.
SPLAT2D_LOOP inline void grow(const RefineModel& m, const Geometry& g, Box* box) {
  for (int l = 0; l < m.levels; ++l) {
    const Box b = box_at(m, g, l);
    if (b.empty()) continue;
    const Box at{b.x0 << l, b.y0 << l, b.x1 << l, b.y1 << l};
    const bool first = box->empty();
    if (first || at.x0 < box->x0) box->x0 = at.x0;
    if (first || at.y0 < box->y0) box->y0 = at.y0;
    if (first || at.x1 > box->x1) box->x1 = at.x1;
    if (first || at.y1 > box->y1) box->y1 = at.y1;
  }
}

// Whether a splat stays within a box at every level.
SPLAT2D_LOOP inline bool inside(const RefineModel& m, const Geometry& g, const Box& box) {
  Box own{0, 0, 0, 0};
  grow(m, g, &own);
  return own.empty() || (own.x0 >= box.x0 && own.y0 >= box.y0 && own.x1 <= box.x1 && own.y1 <= box.y1);
}

// The pixels that a splat and its moves touch at any level, but for a few moves that widen it most.
SPLAT2D_LOOP inline Box reach_of(const RefineModel& m, const Geometry& g, bool pairs) {
  // A step of the area or the aspect multiplies a variance by up to 2^shape_step; steps of the place or the angle need
  // no more room than that.
  constexpr float kMost = 3.0f;  // log2
  const float step = static_cast<float>(shape_step(g.energy_class)) / 65536.0f, log = pairs ? 2 * step : step;
  const float growth = exp2f(log < kMost ? log : kMost);
  Geometry widest = g;
  for (float& v : widest.shape.conic) v /= growth;
  Box reach{0, 0, 0, 0};
  grow(m, g, &reach);
  grow(m, widest, &reach);
  return reach;
}

// The same about, for regions so large that few splats miss them: a step up in area or aspect may widen the footprint
// by a factor of two.
SPLAT2D_LOOP inline Box rough_reach_of(const RefineModel& m, const Geometry& g) {
  return bounding_box(g.mean, g.shape.conic, 2.0f * m.cutoff, {1 << 20, 1 << 20});
}

SPLAT2D_LOOP inline Box due_reach(const RefineModel& m, const Geometry& g, bool pairs) {
  return Device::kManyTeams ? reach_of(m, g, pairs) : rough_reach_of(m, g);
}

// Calls f(level, splat there, box, number of the level) for a part of what levels show of a splat: rows of the boxes
// that `inside` knows, since what others write at the same time must not be read. Warps that share a splat are at one
// level each, most of them at the finest.
template <class F>
SPLAT2D_LOOP inline void each_level(const RefineModel& m, const Geometry& g, int part, int parts, F f) {
  int first = 0, end = m.levels;
  if (Device::kManyTeams && m.levels > 1 && parts > m.levels) {
    int level = m.levels, size = 0, begin = parts;
    while (--level > 0) {
      size = parts >> (level + 1) > 1 ? parts >> (level + 1) : 1;
      begin -= size;
      if (part >= begin) break;
    }
    if (level == 0) {
      size = begin;
      begin = 0;
    }
    first = level;
    end = level + 1;
    part -= begin;
    parts = size;
  }
  for (int l = first; l < end; ++l) f(m.level[l], seen_at(g, l), part_of(box_at(m, g, l), part, parts), l);
}

// residual += color g, at every level.
SPLAT2D_LONG inline void add(const Team& team, const RefineModel& m, const Geometry& g, const float* color) {
  team.add_each(1, pixels_of(m, g), [&](const Lanes& lanes, int, int part, int parts) {
    each_level(m, g, part, parts, [&](const RefineModel::Level& level, const LevelSplat& s, const Box& box, int) {
      float shade[kMaxChannels];
      each_channel(m.channels, [&](int c) { shade[c] = color[c] * s.height; });
      lanes.add(make_ellipse(s.mean, s.conic, m.cutoff), box, level.canvas, m.channels, shade, level.residual);
    });
  });
}

// A part of a splat's inner products at each level, by rows of its boxes.
SPLAT2D_LOOP inline void project(const Lanes& lanes, const RefineModel& m, const Geometry& g, int part, int parts,
                                 Sums* out) {
  each_level(m, g, part, parts, [&](const RefineModel::Level& level, const LevelSplat& s, const Box& box, int l) {
    out->level[l] = lanes.project(make_ellipse(s.mean, s.conic, m.cutoff), box, level.canvas, m.channels,
                                  level.residual, level.weights);
  });
}

// Levels see a splat as a Gaussian, which is not exact; a sum of squares stays positive.
SPLAT2D_LOOP inline float positive_self(float self, float positive) {
  const float least = kLeastSelf * positive;
  return self < least ? least : self;
}

// Colours, or inner products with them, as the distortion counts them.
SPLAT2D_LOOP inline void count(const ColorModel& m, float* color) {
  if (!m.tint.plain()) m.tint.apply(color, color + 1, color + 2);
}

// Inner products with the residual, weighed by the distortion; with itself those of a grey splat.
SPLAT2D_LOOP inline Projection weighed(const RefineModel& m, const Geometry& g, const Sums& sums) {
  if (!m.level[0].weights) return sums.level[0];
  Projection out = {};
  float positive = 0;
  for (int l = 0; l < m.levels; ++l) {
    const LevelSplat s = level_splat(g.mean, g.shape.conic, l);
    const float factor = s.height * static_cast<float>(1 << (2 * l));
    each_channel(m.channels, [&](int c) { out.with[c] += factor * sums.level[l].with[c]; });
    const float self = factor * s.height * sums.level[l].self;
    out.self += self;
    positive += self > 0 ? self : 0.0f;
  }
  out.self = positive_self(out.self, positive);
  count(m, out.with);
  return out;
}

// Distortion saved by the presence of a splat of these integers (without it minus with it).
SPLAT2D_LOOP inline float saving(const Lanes& lanes, const RefineModel& m, const int32_t* q) {
  Geometry g;
  if (!build(m, q, &g)) return 0.0f;
  float color[kMaxChannels], saved = 0;
  color_of(m, q, g.shape.norm, color);
  Sums levels = {};
  project(lanes, m, g, 0, 1, &levels);
  const Projection sums = weighed(m, g, levels);
  each_channel(m.channels,
               [&](int c) { saved += color[c] * (m.tint.part(c) * color[c] * sums.self - 2 * sums.with[c]); });
  if (!m.tint.plain()) {
    const float luma = Tint::luma_of(color[0], color[1], color[2]);
    saved += m.tint.luma * luma * luma * sums.self;
  }
  return saved;
}

SPLAT2D_LOOP inline float shape_bits(const Rates& rates, int energy_class, float rate_area, const int32_t* fields) {
  const RateTables& all = *rates.all;
  const int row = energy_class + 1;
  const auto area_bits = [&](int index) {
    return all.area[row * RateTables::kAreas + clamp(index + RateTables::kAreaOffset, 0, RateTables::kAreas - 1)];
  };
  const int angles = angle_count(energy_class, fields[kAspect]);
  const float shared = log2f(static_cast<float>(angles)) + static_cast<float>(all.position) - log2f(rate_area);
  if (!rates.know_shapes(energy_class))
    return shared + area_bits(fields[kArea]) +
           all.aspect[row * RateTables::kAspects + clamp(fields[kAspect], 0, RateTables::kAspects - 1)];
  const CodeLengths& own = *rates.own;
  // The coder knows the tier where it asks for the area; what the tier takes is part of the tables' area.
  const float area = own.knows_area(fields[kArea]) ? area_bits(own.area) + own.more_area_bits(fields[kArea])
                                                   : area_bits(fields[kArea]);
  return shared + area + own.aspect_bits(fields[kAspect]) +
         (angles > 1 ? own.more_angle_bits(fields[kAngle], angles) : 0.0f);
}

}  // namespace refine
}  // namespace splat2d
