// One visit of the integer refinement: a splat's integers become those, out of a few dozen moves near them, of the
// least J = SSE + lambda * bits. One source for the CPU and the GPU.
//
// A team works on a visit (cpp/device/cpu.hpp, cuda/team.hpp): its members share out the moves, and a member's lanes
// the pixels and the colours of one move. Ties go to the first move, then to the first colours, so the order in which
// the members finish changes nothing.
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
// J in D^2 that a move may promise to lose and is tried nonetheless, about two bits; twice as much with weights, whose
// change from place to place no forecast knows.
constexpr float kSlack = 0.2f, kSlackOfWeights = 0.4f;
// Part of the finer levels' energy of a splat that coarser levels leave at least.
constexpr float kLeastSelf = 0.1f;

// Fields of a splat's integers after its colours.
enum Field { kArea, kAspect, kAngle, kY, kX, kFields };

// The moves of a visit: the present shape, a step down and up of each field, another energy class, pairs of steps.
constexpr int kSteps = 1, kOther = kSteps + 2 * kFields, kPairs = kOther + 1;
constexpr int kMoves = kPairs + kFields * (kFields - 1) / 2;
// All that they may be whatever the picture shows: the present shape, the steps, the energy class below and the one
// above, pairs of steps either way each.
constexpr int kBelow = kOther, kAbove = kBelow + 1, kDirections = 4, kEitherWay = kAbove + 1;
constexpr int kPossible = kEitherWay + kDirections * (kMoves - kPairs);

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

struct Move {
  int32_t q[kMaxChannels + kFields];  // once weighed, with the best colours
  Geometry g;
  float bits;  // of all but the colours
  int valid;
  float cost;  // J over that of the splat's absence
};

// What visits to a splat come to before they look at the picture. A device that works on many splats at the same time
// makes all of it at once; others make what they need when they need it.
struct Prepared {
  Move moves[kPossible];

  static int count(bool pairs) { return pairs ? kPossible : kEitherWay; }
};

// What a team writes down during a visit.
struct Notes {
  using Ready = Prepared;

  bool there;  // the splat
  int32_t q[kMaxChannels + kFields];
  Geometry start;
  float color[kMaxChannels], counted[kMaxChannels];  // the second as the distortion counts errors of it
  int32_t free[kMaxChannels];           // the best colours of the present shape, whatever their energy class
  Glance seen[Distortion::kMaxLevels];  // at each level
  PictureForecast forecast;
  bool done;
  Move moves[kMoves];
  int tried[kMoves], count;  // moves that promise something
  Sums sums[kMoves];         // of those
  int chosen;                // of the moves; -1 for the splat's absence
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

SPLAT2D_LOOP inline float shape_bits(const RateTables& rates, int energy_class, float rate_area,
                                     const int32_t* fields) {
  const int row = energy_class + 1;
  const int area = clamp(fields[kArea] + RateTables::kAreaOffset, 0, RateTables::kAreas - 1);
  const int aspect = clamp(fields[kAspect], 0, RateTables::kAspects - 1);
  return rates.area[row * RateTables::kAreas + area] + rates.aspect[row * RateTables::kAspects + aspect] +
         log2f(static_cast<float>(angle_count(energy_class, fields[kAspect]))) + static_cast<float>(rates.position) -
         log2f(rate_area);
}

// Weighs a move against the splat's absence, with the best colours.
SPLAT2D_LOOP inline void weigh(const Lanes& lanes, const RefineModel& m, const SweepPlan& plan, const RateTables& rates,
                               const int32_t* q, const Projection& sums, Move* move, int32_t* free) {
  if (!move->valid) {
    if (lanes.first()) move->cost = kNever;
    return;
  }
  const float lmbda = static_cast<float>(plan.lambda);
  const float cost = best_colors(lanes, m, rates, lmbda, sums, move->g.shape.norm, lmbda * move->bits,
                                 move->g.energy_class, q, move->q, free);
  if (lanes.first()) move->cost = cost;
}

// The splat that a visit begins with, whose moves stay within a box.
struct Place {
  const int32_t* q;
  Geometry g;
  Box reach;
};

// Builds a move out of its integers; with `reposition` its lattice is another, on which the splat's place is looked for
// first.
SPLAT2D_LOOP inline void propose(const RefineModel& m, const RateTables& rates, const Place& from, int energy_class,
                                 bool reposition, Move* move) {
  int32_t* f = move->q + m.channels;
  if (reposition) {
    if (!shape_in_range(energy_class, f[kArea], f[kAspect])) return;
    const int32_t* before = from.q + m.channels;
    const int dy = f[kY] - before[kY], dx = f[kX] - before[kX];
    quantize_position(energy_class, m.level[0].canvas, from.g.mean[0], from.g.mean[1], f);
    f[kY] += dy;
    f[kX] += dx;
  }
  move->valid = build(m, move->q, energy_class, &move->g) && inside(m, move->g, from.reach);
  if (move->valid) move->bits = shape_bits(rates, energy_class, move->g.rate_area, f);
}

struct Step {
  int field, delta;  // no step when delta is 0
};

SPLAT2D_LOOP inline Step step_of(int move) { return {(move - kSteps) / 2, (move - kSteps) % 2 ? 1 : -1}; }

SPLAT2D_LOOP inline void propose_steps(const RefineModel& m, const RateTables& rates, const Place& from, Step first,
                                       Step second, Move* move) {
  const int r = from.g.energy_class;
  int32_t* f = move->q + m.channels;
  bool reshaped = false;
  const Step steps[2] = {first, second};
  for (const Step& step : steps) {
    if (step.delta == 0) continue;
    f[step.field] += step.delta;
    reshaped = reshaped || step.field <= kAngle;
    if (step.field == kAspect) {
      if (f[kAspect] < 0) return;
      f[kAngle] = nearest_angle(r, f[kAspect], from.g.shape.angle);
    }
  }
  const int angles = angle_count(r, f[kAspect]);
  f[kAngle] = (f[kAngle] + angles) % angles;
  propose(m, rates, from, r, reshaped, move);
}

// Whether a field may be stepped on.
SPLAT2D_LOOP inline bool steps_on(const RefineModel& m, const int32_t* q, int field) {
  return field != kAngle || q[m.channels + kAspect] > 0;
}

// The splat as one of another energy class.
SPLAT2D_LOOP inline void propose_class(const RefineModel& m, const RateTables& rates, const Place& from,
                                       int energy_class, Move* move) {
  copy_ints(from.q, m.width(), move->q);
  move->valid = false;
  const double half = 0.5 * from.g.shape.log_area, spread = 0.5 * from.g.shape.log_aspect;
  quantize_shape(energy_class, half + spread, half - spread, from.g.shape.angle, move->q + m.channels);
  propose(m, rates, from, energy_class, true, move);
}

// Makes one of all possible moves.
SPLAT2D_LOOP inline void propose_possible(const RefineModel& m, const RateTables& rates, const Place& from, int i,
                                          Move* move) {
  copy_ints(from.q, m.width(), move->q);
  move->valid = false;
  if (i == 0) {
    propose(m, rates, from, from.g.energy_class, false, move);
  } else if (i < kOther) {
    if (steps_on(m, from.q, step_of(i).field)) propose_steps(m, rates, from, step_of(i), {0, 0}, move);
  } else if (i <= kAbove) {
    const int other = from.g.energy_class + (i == kBelow ? -1 : 1);
    if (other >= -1 && other < kClasses - 1) propose_class(m, rates, from, other, move);
  } else {
    const int pair = (i - kEitherWay) / kDirections, way = (i - kEitherWay) % kDirections;
    int first = 0, second = pair + 1;
    for (; second >= kFields; ++first) second -= kFields - 2 - first;
    if (steps_on(m, from.q, first) && steps_on(m, from.q, second))
      propose_steps(m, rates, from, {first, way / 2 ? 1 : -1}, {second, way % 2 ? 1 : -1}, move);
  }
}

// The better step of a field, as a move, or -1.
SPLAT2D_LOOP inline int better_step(const Notes& notes, int field) {
  const int down = kSteps + 2 * field, better = down + (notes.moves[down + 1].cost < notes.moves[down].cost);
  return notes.moves[better].cost < kNever ? better : -1;
}

// Which of all possible moves a visit's i-th is, or -1 for none. Those from kOther on follow from what the others cost.
SPLAT2D_LOOP inline int possible_of(const Notes& notes, int i) {
  if (i < kOther) return i;
  int first = 0, second = i - kPairs + 1;
  for (; second >= kFields; ++first) second -= kFields - 2 - first;
  const int a = better_step(notes, first), b = better_step(notes, second);
  if (a < 0 || b < 0) return -1;
  const int way = 2 * (step_of(a).delta > 0) + (step_of(b).delta > 0);
  return kEitherWay + kDirections * (i - kPairs) + way;
}

// A visit's i-th move, one of those that were prepared where there are any.
SPLAT2D_LOOP inline void propose_move(const Lanes& lanes, const RefineModel& m, const RateTables& rates,
                                      const Prepared* prepared, const Box& reach, int i, Notes* notes) {
  Move* move = &notes->moves[i];
  const Place from{notes->q, notes->start, reach};
  const int r = from.g.energy_class, other = i == kOther ? energy_class(notes->free, m.steps) : r;
  const bool near = other == r - 1 || other == r + 1;
  int possible = -1;
  if (i != kOther)
    possible = possible_of(*notes, i);
  else if (near)
    possible = other < r ? kBelow : kAbove;
  if (prepared && possible >= 0) {
    lanes.copy(prepared->moves[possible], move);
  } else if (lanes.first()) {
    move->valid = false;
    if (i == kOther && other != r)
      propose_class(m, rates, from, other, move);
    else if (i != kOther && possible >= 0)
      propose_possible(m, rates, from, possible, move);
  }
  lanes.meet();
}

// Writes down the splat at its visit's beginning.
SPLAT2D_LOOP inline void begin(const RefineModel& m, const int32_t* q, const Prepared* prepared, Notes* notes) {
  if (prepared) {
    notes->there = any_color(q, m.channels);  // as of all that are due
    notes->start = prepared->moves[0].g;
  } else {
    notes->there = build(m, q, &notes->start);
  }
  if (!notes->there) return;
  copy_ints(q, m.width(), notes->q);
  copy_ints(q, m.channels, notes->free);
  color_of(m, q, notes->start.shape.norm, notes->color);
  each_channel(m.channels, [&](int c) { notes->counted[c] = notes->color[c]; });
  count(m, notes->counted);
}

// Takes the move of the least J.
SPLAT2D_LOOP inline void choose(const Lanes& lanes, const RefineModel& m, int32_t* q, Notes* notes, double* seen,
                                Outcome* outcome) {
  const int C = m.channels;
  int chosen = notes->moves[0].cost < 0 ? 0 : -1;
  float least = chosen < 0 ? 0.0f : notes->moves[0].cost;
  for (int i = 0; i < notes->count; ++i) {
    const int move = notes->tried[i];
    if (notes->moves[move].cost >= least) continue;
    least = notes->moves[move].cost;
    chosen = move;
  }
  const Box before = core(m, notes->start);
  if (chosen < 0) {
    const int32_t nothing[kMaxChannels + kFields] = {};
    m.changes.add(lanes, before, change(m, m.width(), notes->q, nothing));
    if (!lanes.first()) return;
    notes->chosen = chosen;
    copy_ints(nothing, C, q);
    *outcome = kRemoved;
    return;
  }
  const Move& move = notes->moves[chosen];
  const double changed = change(m, m.width(), notes->q, move.q);
  const Box after = core(m, move.g);
  if (changed > 0) {
    m.changes.add(lanes, before, changed);
    m.changes.add(lanes, after, changed);
  }
  const double mean = m.changes.mean(lanes, after);
  if (!lanes.first()) return;
  notes->chosen = chosen;
  copy_ints(move.q, C + kFields, q);
  color_of(m, q, move.g.shape.norm, notes->color);
  *seen = mean;
  *outcome = changed > 0 ? kChanged : kKept;
}

// What a level shows of a splat, by rows of its box.
SPLAT2D_LOOP inline void observe(const Lanes& lanes, const RefineModel& m, const Geometry& g, const float* color, int l,
                                 int part, int parts, Glance* out) {
  *out = {};
  const LevelSplat s = seen_at(g, l);
  glance_at(lanes, m.level[l], l, make_ellipse(s.mean, s.conic, m.cutoff), part_of(box_at(m, g, l), part, parts),
            s.height, g.shape.conic, m.channels, color, out);
}

// J over that of the splat's absence with the present colours, as far as can be foreseen; kNever for no splat.
SPLAT2D_LOOP inline float promise(const RefineModel& m, const SweepPlan& plan, const Projection& sums, const Move& move,
                                  const int32_t* q) {
  const int C = m.channels;
  float out = static_cast<float>(plan.lambda) * move.bits;
  float luma = 0;
  SPLAT2D_UNROLL
  for (int i = 0; i < kMaxChannels && i < C; ++i) {
    float with = 0;
    each_channel(C, [&](int k) { with += m.basis[C * i + k] * sums.with[k]; });
    const float k = static_cast<float>(q[i]) * m.component_steps[i] / move.g.shape.norm;
    out += k * (2 * with + k * m.tint.part(i) * sums.self);
    luma += m.lumas[i] * k;
  }
  return out + m.tint.luma * luma * luma * sums.self;
}

// Writes down the moves that promise something, of those before `end`.
SPLAT2D_LOOP inline void pick(const Lanes& lanes, const RefineModel& m, float present, int end, Notes* notes) {
  const float slack = m.level[0].weights ? kSlackOfWeights : kSlack;
  const float limit = present + slack * m.component_steps[0] * m.component_steps[0];
  const Move* moves = notes->moves;
  const int found = lanes.select(
      end, [=](int i) { return i >= kSteps && (i == kOther ? moves[i].valid != 0 : moves[i].cost < limit); },
      notes->tried);
  if (lanes.first()) notes->count = found;
}

// The moves of a visit to integers q that the picture has no part in, the i-th of all possible ones.
SPLAT2D_LOOP inline void prepare(const RefineModel& m, const RateTables& rates, const Box& reach, const int32_t* q,
                                 int i, Prepared* out) {
  Place from{q, {}, reach};
  out->moves[i].valid = false;
  if (build(m, q, &from.g)) propose_possible(m, rates, from, i, &out->moves[i]);
}

// Refines the splat of integers q, whose moves stay within `reach`; `seen` becomes the mean of the changes around it.
// What was prepared for it may be null.
SPLAT2D_LOOP inline void visit(const Team& team, const RefineModel& m, const SweepPlan& plan, const RateTables& rates,
                               const Box& reach, const Prepared* prepared, int32_t* q, double* seen, Outcome* outcome,
                               Notes* notes) {
  team.once([&] { begin(m, q, prepared, notes); });
  if (!notes->there) return;
  const Geometry& start = notes->start;
  const size_t pixels = pixels_of(m, start);
  team.sum_up(
      m.levels, pixels,
      [&](const Lanes& lanes, int l, int part, int parts, Glance* out) {
        observe(lanes, m, start, notes->counted, l, part, parts, out);
      },
      notes->seen);
  // The present shape, with its best colours
  team.each(1, [&](const Lanes& lanes, int) {
    if (lanes.first()) {
      Glance all = notes->seen[0];
      for (int l = 1; l < m.levels; ++l) all += notes->seen[l];
      const float self = m.level[0].weights ? positive_self(all.sums.self, all.positive) : all.sums.self;
      count(m, all.sums.with);
      notes->forecast.look(start.mean, start.shape.conic, m.channels, notes->color, notes->counted, all, self);
      each_channel(m.channels, [&](int c) { notes->color[c] = -notes->color[c]; });
    }
    propose_move(lanes, m, rates, prepared, reach, 0, notes);
    weigh(lanes, m, plan, rates, notes->q, notes->forecast.without(), &notes->moves[0], notes->free);
  });
  const int moves = plan.pairs ? kMoves : kPairs;
  // Pairs follow from what the steps promise.
  for (int first = kSteps, end = kPairs; first < moves; first = end, end = moves)
    team.each(end - first, [&](const Lanes& lanes, int i) {
      Move* move = &notes->moves[first + i];
      propose_move(lanes, m, rates, prepared, reach, first + i, notes);
      if (first + i == kOther || !lanes.first()) return;
      move->cost = kNever;
      if (move->valid)
        move->cost = promise(m, plan, notes->forecast.without(move->g.mean, move->g.shape.conic), *move, notes->q);
    });
  team.each(1, [&](const Lanes& lanes, int) {
    pick(lanes, m, promise(m, plan, notes->forecast.without(), notes->moves[0], notes->q), moves, notes);
    if (!lanes.first()) return;
    notes->done = notes->count == 0 && notes->moves[0].cost < 0;
    each_channel(m.channels, [&](int i) { notes->done = notes->done && notes->moves[0].q[i] == notes->q[i]; });
    if (notes->done) {
      *seen = m.changes.mean(core(m, start));
      *outcome = kKept;
    }
  });
  team.meet();
  if (notes->done) return;
  add(team, m, start, notes->color);
  team.sum_up(
      notes->count, pixels,
      [&](const Lanes& lanes, int i, int part, int parts, Sums* sums) {
        project(lanes, m, notes->moves[notes->tried[i]].g, part, parts, sums);
      },
      notes->sums);
  team.each(notes->count, [&](const Lanes& lanes, int i) {
    Move* move = &notes->moves[notes->tried[i]];
    weigh(lanes, m, plan, rates, notes->q, weighed(m, move->g, notes->sums[i]), move, nullptr);
  });
  team.each(1, [&](const Lanes& lanes, int) { choose(lanes, m, q, notes, seen, outcome); });
  team.meet();
  if (notes->chosen >= 0) add(team, m, notes->moves[notes->chosen].g, notes->color);
}

}  // namespace refine
}  // namespace splat2d
