// One visit of the integer refinement to a splat of a clip or a light field: cpp/refine/visit.hpp with time, or eyes.
//
// There are too many moves, over too many frames, to try them all: the splat's frames are looked at once, a few dozen
// moves are weighed by what that foresees, and those that promise something are tried.
#pragma once

#include "refine/passage.hpp"

namespace splat2d {
namespace refine {

struct PassageMove {
  Passage s;
  int32_t q[kMaxChannels + kMovingFields];  // once weighed, with the best colours
  float bits;                               // of all but the colours
  int valid;
};

// What visits to splats come to before they look at the frames, as cpp/refine/visit.hpp has it: the splat, a step of
// each field, the energy class below and the one above.
struct PreparedPassage {
  PassageMove start, steps[kMovingSteps], classes[2];

  static int count(bool) { return 1 + kMovingSteps + 2; }
};

// What a team writes down during a visit.
struct PassageNotes {
  using Ready = PreparedPassage;

  static constexpr int kMost = kDepth * kMovingSteps + 1;
  bool done;
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

SPLAT2D_LOOP inline float passage_bits(const ClipModel& m, const Rates& rates, const Passage& s, const int32_t* f) {
  const int r = s.energy_class, row = r + 1, T = m.frames;
  const int shorter = clamp(longest_duration(r, T) - f[kDuration], 0, RateTables::kDurations - 1);
  const int life = life_of(r, f[kDuration], T), bin = time_bin(time_of(r, f[kDuration], f[kTime], T), T);
  const float in_bin = static_cast<float>(T << (kTimeBits - 3)) / static_cast<float>(time_step(r, f[kDuration], T));
  float out = shape_bits(rates, r, s.rate_area, f) + rates.all->duration[row * RateTables::kDurations + shorter] +
              rates.all->time[life * kTimeBins + bin] + log2f(in_bin > 1.0f ? in_bin : 1.0f);
  for (int a = 0; a < 2; ++a) {
    const int speed = clamp(f[kSpeedY + a] + RateTables::kSpeedOffset, 0, RateTables::kSpeeds - 1);
    out += rates.all->speed[(a * kClasses + row) * RateTables::kSpeeds + speed];
  }
  return out;
}

// Neighbours tell a disparity, so that any is as good as its neighbours.
SPLAT2D_LOOP inline float passage_bits(const ViewsModel&, const Rates& rates, const Passage& s, const int32_t* f) {
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

// Builds a move out of its integers.
template <class M>
SPLAT2D_LOOP inline void build_move(const M& m, const Rates& rates, const Box& region, int energy_class,
                                    PassageMove* out) {
  out->valid = build(m, out->q, energy_class, &out->s) && may_go(m, out->s, region);
  if (out->valid) out->bits = passage_bits(m, rates, out->s, out->q + m.channels);
}

// A step of one field.
template <class M>
SPLAT2D_LOOP inline void propose(const M& m, const Rates& rates, const Box& region, const PassageMove& start, int move,
                                 PassageMove* out) {
  const int C = m.channels, r = start.s.energy_class, field = move / 2;
  copy_ints(start.q, m.width(), out->q);
  out->valid = false;
  int32_t* f = out->q + C;
  if (field == kMovingAngle && f[kMovingAspect] == 0) return;
  f[field] += move % 2 ? 1 : -1;
  if (field == kMovingAspect) {
    if (f[kMovingAspect] < 0) return;
    f[kMovingAngle] = nearest_angle(r, f[kMovingAspect], start.s.pose.shape.angle);
  }
  const int angles = angle_count(r, f[kMovingAspect]);
  f[kMovingAngle] = (f[kMovingAngle] + angles) % angles;
  if (keep_course(m, start.s, r, field, f)) build_move(m, rates, region, r, out);
}

template <class M>
SPLAT2D_LOOP inline void change_class(const M& m, const Rates& rates, const Box& region, const PassageMove& start,
                                      int energy_class, PassageMove* out) {
  copy_ints(start.q, m.width(), out->q);
  out->valid = false;
  int32_t* f = out->q + m.channels;
  const Shape& shape = start.s.pose.shape;
  const double half = 0.5 * shape.log_area, spread = 0.5 * shape.log_aspect;
  quantize_shape(energy_class, half + spread, half - spread, shape.angle, f);
  if (keep_course(m, start.s, energy_class, -1, f)) build_move(m, rates, region, energy_class, out);
}

// The splat of integers q at its visit's beginning.
template <class M>
SPLAT2D_LOOP inline void start_from(const M& m, const Rates& rates, const int32_t* q, PassageMove* out) {
  out->valid = build(m, q, &out->s);
  if (!out->valid) return;
  copy_ints(q, m.width(), out->q);
  out->bits = passage_bits(m, rates, out->s, q + m.channels);
}

// The i-th of what is prepared for a visit.
template <class M>
SPLAT2D_LOOP inline void prepare(const M& m, const Rates& rates, const Box& region, const int32_t* q, int i,
                                 PreparedPassage* out) {
  if (i == 0) return start_from(m, rates, q, &out->start);
  PassageMove start;
  start_from(m, rates, q, &start);
  PassageMove* to = i <= kMovingSteps ? out->steps + (i - 1) : out->classes + (i - kMovingSteps - 1);
  to->valid = false;
  if (!start.valid) return;
  const int other = start.s.energy_class + (i == kMovingSteps + 1 ? -1 : 1);
  if (i <= 2 * (m.width() - m.channels))
    propose(m, rates, region, start, i - 1, to);
  else if (i > kMovingSteps && other >= -1 && other < kClasses - 1)
    change_class(m, rates, region, start, other, to);
}

// J over that of the splat's absence with the colours q, without their bits.
template <class M>
SPLAT2D_LOOP inline float promise(const M& m, const SweepPlan& plan, const Projection& sums, const PassageMove& move,
                                  const int32_t* q) {
  const int C = m.channels;
  float out = static_cast<float>(plan.lambda) * move.bits;
  SPLAT2D_UNROLL
  for (int i = 0; i < kMaxChannels && i < C; ++i) {
    float with = 0;
    each_channel(C, [&](int k) { with += m.basis[C * i + k] * sums.with[k]; });
    const float k = static_cast<float>(q[i]) * m.component_steps[i] / move.s.pose.norm;
    out += k * (2 * with + k * sums.self);
  }
  return out;
}

// The same with the best colours, which go to the move.
template <class M>
SPLAT2D_LOOP inline float weigh(const Lanes& lanes, const M& m, const SweepPlan& plan, const Rates& rates,
                                const Projection& sums, const int32_t* q, PassageMove* move, int32_t* free) {
  const float lmbda = static_cast<float>(plan.lambda);
  return best_colors(lanes, m, rates, lmbda, sums, move->s.pose.norm, lmbda * move->bits, move->s.energy_class, q,
                     move->q, free);
}

// Finds moves that promise something, each from where the best before it led.
template <class M>
SPLAT2D_LOOP inline void find_moves(const Team& team, const M& m, const SweepPlan& plan, const Rates& rates,
                                    const Box& region, const PreparedPassage* prepared, PassageNotes* notes) {
  const int steps = 2 * (m.width() - m.channels);
  const int32_t* q = notes->start.q;
  team.once([&] {
    notes->count = 0;
    notes->from = -1;
    notes->reached = promise(m, plan, notes->forecast.without(), notes->start, q);
    notes->limit = notes->reached + kFirstSlack * static_cast<float>(plan.lambda);
  });
  for (int depth = 0; depth < kDepth && notes->from > -2; ++depth) {
    const int count = notes->count;
    const PassageMove& from = notes->from < 0 ? notes->start : notes->moves[notes->from];
    team.each(steps, [&](const Lanes& lanes, int i) {
      PassageMove* trial = &notes->moves[count + i];
      if (prepared && depth == 0)
        lanes.copy(prepared->steps[i], trial);
      else if (lanes.first())
        propose(m, rates, region, from, i, trial);
      lanes.meet();
      float cost = kNever;
      if (trial->valid) cost = promise(m, plan, notes->forecast.without(lanes, trial->s.pose), *trial, q);
      if (lanes.first()) notes->costs[i] = cost;
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
SPLAT2D_LOOP inline void choose(const Lanes& lanes, const M& m, int32_t* q, PassageNotes* notes, double* seen,
                                Outcome* outcome) {
  const int C = m.channels;
  float least = notes->least;
  const PassageMove* best = &notes->best;
  for (int i = 0; i < notes->count; ++i)
    if (notes->costs[i] < least) {
      least = notes->costs[i];
      best = &notes->moves[i];
    }
  const Box before = core(m, notes->start.s);
  if (least >= 0) {
    const int32_t nothing[kMaxChannels + kMovingFields] = {};
    m.changes.add(lanes, before, change(m, m.width(), notes->start.q, nothing));
    if (!lanes.first()) return;
    notes->done = true;
    copy_ints(nothing, C, q);
    *outcome = kRemoved;
    return;
  }
  const double changed = change(m, m.width(), notes->start.q, best->q);
  const Box after = core(m, best->s);
  if (changed > 0) {
    m.changes.add(lanes, before, changed);
    m.changes.add(lanes, after, changed);
  }
  const double mean = m.changes.mean(lanes, after);
  if (!lanes.first()) return;
  notes->done = false;
  if (best != &notes->best) notes->best = *best;
  copy_ints(notes->best.q, m.width(), q);
  color_of(m, q, notes->best.s.pose.norm, notes->color);
  *seen = mean;
  *outcome = changed > 0 ? kChanged : kKept;
}

// Refines the splat of integers q, whose moves stay within a region; `seen` becomes the mean of the changes around it.
// What was prepared for it may be null.
template <class M>
SPLAT2D_LOOP inline void visit(const Team& team, const M& m, const SweepPlan& plan, const Rates& rates,
                               const Box& region, const PreparedPassage* prepared, int32_t* q, double* seen,
                               Outcome* outcome, PassageNotes* notes) {
  const int C = m.channels;
  team.meet();
  team.each(1, [&](const Lanes& lanes, int) {
    if (prepared)
      lanes.copy(prepared->start, &notes->start);
    else if (lanes.first())
      start_from(m, rates, q, &notes->start);
    lanes.meet();
    if (!notes->start.valid) return;
    lanes.copy(notes->start, &notes->best);
    if (!lanes.first()) return;
    copy_ints(notes->start.q, C, notes->free);
    color_of(m, notes->start.q, notes->start.s.pose.norm, notes->color);
  });
  team.meet();
  if (!notes->start.valid) return;
  const Passage& start = notes->start.s;
  const int frames = start.end - start.first;
  team.sum_up(
      frames, start.pixels(m),
      [&](const Lanes& lanes, int i, int part, int parts, Forecast::Frame* sums) {
        observe(lanes, m, start, notes->color, start.first + i, part, parts, sums);
      },
      notes->frames);
  // The present shape, with its best colours
  team.each(1, [&](const Lanes& lanes, int) {
    notes->forecast.look(lanes, start.pose, C, notes->color, m.reel, notes->frames, start.first, frames);
    lanes.meet();
    const float least =
        weigh(lanes, m, plan, rates, notes->forecast.without(), notes->start.q, &notes->best, notes->free);
    if (lanes.first()) notes->least = least;
  });
  find_moves(team, m, plan, rates, region, prepared, notes);
  team.each(1, [&](const Lanes& lanes, int) {
    const int other = energy_class(notes->free, m.steps), r = start.energy_class;
    PassageMove* move = &notes->moves[notes->count];
    if (other != r) {
      if (prepared && (other == r - 1 || other == r + 1))
        lanes.copy(prepared->classes[other > r], move);
      else if (lanes.first())
        change_class(m, rates, region, notes->start, other, move);
    }
    if (!lanes.first()) return;
    if (other != r && move->valid) ++notes->count;
    notes->done = notes->count == 0 && notes->least < 0;
    for (int i = 0; i < m.width(); ++i) notes->done = notes->done && notes->best.q[i] == notes->start.q[i];
    if (notes->done) {
      *seen = m.changes.mean(core(m, start));
      *outcome = kKept;
    }
    each_channel(C, [&](int c) { notes->color[c] = -notes->color[c]; });
  });
  team.meet();
  if (notes->done) return;
  add(team, m, start, notes->color);
  team.sum_up(
      notes->count, start.pixels(m),
      [&](const Lanes& lanes, int i, int part, int parts, PassageSums* sums) {
        project(lanes, m, notes->moves[i].s, part, parts, sums);
      },
      notes->sums);
  team.each(notes->count, [&](const Lanes& lanes, int i) {
    const float cost = weigh(lanes, m, plan, rates, notes->sums[i].whole(), notes->start.q, &notes->moves[i], nullptr);
    if (lanes.first()) notes->costs[i] = cost;
  });
  team.each(1, [&](const Lanes& lanes, int) { choose(lanes, m, q, notes, seen, outcome); });
  team.meet();
  if (!notes->done) add(team, m, notes->best.s, notes->color);
}

}  // namespace refine
}  // namespace splat2d
