// One visit of the integer refinement: a splat's integers become those, out of a few dozen moves near them, of the
// least J = SSE + lambda * bits. One source for the CPU and the GPU.
//
// A team works on a visit (cpp/device/cpu.hpp, cuda/team.hpp): its members share out the moves, and a member's lanes
// the pixels and the colours of one move. Ties go to the first move, then to the first colours, so the order in which
// the members finish changes nothing.
#pragma once

#include <cmath>
#include <cstdint>

#include "refine/splat.hpp"

namespace splat2d {
namespace refine {

// J in D^2 that a move may promise to lose and is tried nonetheless, about two bits; twice as much with weights, whose
// change from place to place no forecast knows.
constexpr float kSlack = 0.2f, kSlackOfWeights = 0.4f;
// The moves of a visit: the present shape, a step down and up of each field, another energy class, pairs of steps.
constexpr int kSteps = 1, kOther = kSteps + 2 * kFields, kPairs = kOther + 1;
constexpr int kMoves = kPairs + kFields * (kFields - 1) / 2;
// All that they may be whatever the picture shows: the present shape, the steps, the energy class below and the one
// above, pairs of steps either way each.
constexpr int kBelow = kOther, kAbove = kBelow + 1, kDirections = 4, kEitherWay = kAbove + 1;
constexpr int kPossible = kEitherWay + kDirections * (kMoves - kPairs);

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

// Weighs a move against the splat's absence, with the best colours.
SPLAT2D_LOOP inline void weigh(const Lanes& lanes, const RefineModel& m, const SweepPlan& plan, const Rates& rates,
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
struct Origin {
  const int32_t* q;
  Geometry g;
  Box reach;
};

// Builds a move out of its integers; with `reposition` its lattice is another, on which the splat's place is looked for
// first.
SPLAT2D_LOOP inline void propose(const RefineModel& m, const Rates& rates, const Origin& from, int energy_class,
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

SPLAT2D_LOOP inline void propose_steps(const RefineModel& m, const Rates& rates, const Origin& from, Step first,
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
SPLAT2D_LOOP inline void propose_class(const RefineModel& m, const Rates& rates, const Origin& from, int energy_class,
                                       Move* move) {
  copy_ints(from.q, m.width(), move->q);
  move->valid = false;
  const double half = 0.5 * from.g.shape.log_area, spread = 0.5 * from.g.shape.log_aspect;
  quantize_shape(energy_class, half + spread, half - spread, from.g.shape.angle, move->q + m.channels);
  propose(m, rates, from, energy_class, true, move);
}

// Makes one of all possible moves.
SPLAT2D_LOOP inline void propose_possible(const RefineModel& m, const Rates& rates, const Origin& from, int i,
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
SPLAT2D_LOOP inline void propose_move(const Lanes& lanes, const RefineModel& m, const Rates& rates,
                                      const Prepared* prepared, const Box& reach, int i, Notes* notes) {
  Move* move = &notes->moves[i];
  const Origin from{notes->q, notes->start, reach};
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
SPLAT2D_LOOP inline void prepare(const RefineModel& m, const Rates& rates, const Box& reach, const int32_t* q, int i,
                                 Prepared* out) {
  Origin from{q, {}, reach};
  out->moves[i].valid = false;
  if (build(m, q, &from.g)) propose_possible(m, rates, from, i, &out->moves[i]);
}

// Refines the splat of integers q, whose moves stay within `reach`; `seen` becomes the mean of the changes around it.
// What was prepared for it may be null.
SPLAT2D_LOOP inline void visit(const Team& team, const RefineModel& m, const SweepPlan& plan, const Rates& rates,
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
