#include "refine/clip_refiner.hpp"

#include <algorithm>
#include <cmath>

#include "refine/schedule.hpp"

namespace splat2d {

namespace {

constexpr int kPadding = 2;  // px of the world that a pixel of a frame may lie off
constexpr int kSteps = 2 * kMovingFields;
constexpr size_t kGrain = 16;   // a second thread for so many times as many pixels as elsewhere
constexpr int kDepth = 4;       // moves in a row at most
constexpr float kSlack = 0.5f;  // bits that a first move may promise to lose and is tried nonetheless
constexpr Canvas kEndless{1 << 20, 1 << 20};

// The box of a slice in the world, whose pixels may lie anywhere.
Box world_box(const float* mean, const float* conic, float cutoff) {
  constexpr float kOffset = 1 << 19;
  const float at[2] = {mean[0] + kOffset, mean[1] + kOffset};
  const Box b = bounding_box(at, conic, cutoff, kEndless);
  if (b.empty()) return {0, 0, 0, 0};
  constexpr int kBack = 1 << 19;
  return {b.x0 - kBack - kPadding, b.y0 - kBack - kPadding, b.x1 - kBack + kPadding, b.y1 - kBack + kPadding};
}

Box united(const Box& a, const Box& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {std::min(a.x0, b.x0), std::min(a.y0, b.y0), std::max(a.x1, b.x1), std::max(a.y1, b.y1)};
}

bool within(const Box& a, const Box& b) {
  return a.empty() || (a.x0 >= b.x0 && a.y0 >= b.y0 && a.x1 <= b.x1 && a.y1 <= b.y1);
}

Box clipped(const Box& b, Canvas canvas) {
  const Box c{std::max(b.x0, 0), std::max(b.y0, 0), std::min(b.x1, canvas.width), std::min(b.y1, canvas.height)};
  return c.empty() ? Box{0, 0, 0, 0} : c;
}

}  // namespace

// A splat of integers that may be coded.
struct ClipRefiner::Splat {
  MovingPose pose;
  refine::Geometry g;  // its slice, for what a picture's splat costs
  int first, end;      // of the frames that show it

  // Calls f(t, slice, box) for the frames that show it, in any order; the box is empty where that is nothing.
  template <class F>
  void each_frame(const Team& team, const Footage& footage, const Reel& reel, F f) const {
    const float* a = pose.shape.conic;
    const double area = fit::kPi * reel.cutoff / std::sqrt(a[0] * a[2] - a[1] * a[1]);
    const double pixels = std::min(area, static_cast<double>(footage.canvas.area())) * (end - first);
    team.each(end - first, static_cast<size_t>(pixels) / kGrain, [&](const Lanes&, int i) {
      const int t = first + i;
      const Slice s = slice_at(reel.moment(t), pose.mean, pose.velocity, pose.shape.conic, pose.precision);
      f(t, s, s.cutoff > 0 ? bounding_box(s.mean, s.conic, s.cutoff, footage.canvas) : Box{0, 0, 0, 0});
    });
  }
};

struct ClipRefiner::Candidate {
  Splat s;
  int32_t q[kMaxChannels + kMovingFields];
};

// What one visit works with.
struct ClipRefiner::Terms {
  const Team& team;
  const SweepPlan& plan;
  const RateTables& rates;
  const MovingRates& moving_rates;
  const Box& region;  // that moves must stay in
  int32_t* q;         // of the splat
};

ClipRefiner::ClipRefiner(std::vector<int32_t> integers, const ClipFitter& fitter, double step, int chroma_step,
                         double cutoff)
    : fitter_(&fitter),
      footage_(fitter.film().footage()),
      reel_(fitter.film().reel(cutoff)),
      colors_(color_model(fitter.channels(), step, chroma_step)),
      cutoff_(static_cast<float>(cutoff)),
      integers_(std::move(integers)),
      residual_(fitter.film().size() * fitter.film().seen()) {
  const auto cells = [](int size) { return (size + ChangeMap::kCell - 1) / ChangeMap::kCell; };
  energy_.resize(static_cast<size_t>(cells(footage_.world.width)) * cells(footage_.world.height));
  changes_ = {cells(footage_.world.width), energy_.data()};
  seen_.assign(count(), kUnseen);
  render();
}

std::vector<int32_t> ClipRefiner::classes() const {
  std::vector<int32_t> out(count());
  for (size_t i = 0; i < out.size(); ++i) out[i] = energy_class(&integers_[i * width()], colors_.steps);
  return out;
}

bool ClipRefiner::build(const int32_t* q, int energy_class, Splat* out) const {
  const int32_t* f = q + colors_.channels;
  const int T = footage_.frames;
  if (!worth_coding(energy_class, f[kMovingArea], f[kMovingAspect])) return false;
  if (!moving_in_range(energy_class, footage_.world, f, T)) return false;
  MovingPose& p = out->pose;
  p = make_pose(energy_class, f, T);
  // Seen in no frame, or hardly
  if (p.norm * p.norm < 0.05f * p.shape.norm * p.shape.norm) return false;
  out->g.energy_class = energy_class;
  out->g.shape = p.shape;
  const double area = make_lattice(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]).area();
  const double leaf = 1 << leaf_log2(tier_of(energy_class, f[kMovingArea]));
  out->g.rate_area = static_cast<float>(std::min(area, leaf));
  const float reach = std::sqrt(cutoff_ / p.precision);
  out->first = std::max(0, static_cast<int>(std::ceil(p.mean[2] - reach - 0.5f)));
  out->end = std::min(T, static_cast<int>(std::floor(p.mean[2] + reach - 0.5f)) + 1);
  return out->first < out->end;
}

bool ClipRefiner::build(const int32_t* q, Splat* out) const {
  return refine::any_color(q, colors_.channels) && build(q, energy_class(q, colors_.steps), out);
}

// Of the world: what a splat touches in any frame.
Box ClipRefiner::reach_of(const Splat& s, float cutoff) const {
  const auto at = [&](int t) {
    const float apart = (static_cast<float>(t) + 0.5f) - s.pose.mean[2];
    float mean[2];
    carry(s.pose.mean, s.pose.velocity, apart, mean);
    return world_box(mean, s.pose.shape.conic, cutoff);
  };
  return united(at(s.first), at(s.end - 1));
}

Projection ClipRefiner::project(const Team& team, const Splat& s) const {
  const int C = colors_.channels;
  const size_t size = footage_.canvas.area() * C;
  Projection found[kMaxFrames];
  s.each_frame(team, footage_, reel_, [&](int t, const Slice& f, const Box& box) {
    Projection& sums = found[t - s.first] = {};
    if (box.empty()) return;
    kernels().project[C - 1](make_ellipse(f.mean, f.conic, f.cutoff), box, footage_.canvas, residual_.data() + t * size,
                             &sums);
    for (int c = 0; c < C; ++c) sums.with[c] *= f.fade;
    sums.self *= f.fade * f.fade;
  });
  Projection out = {};
  for (int i = 0; i < s.end - s.first; ++i) {
    for (int c = 0; c < C; ++c) out.with[c] += found[i].with[c];
    out.self += found[i].self;
  }
  return out;
}

Forecast ClipRefiner::observe(const Team& team, const Splat& s, const float* color) const {
  const int C = colors_.channels;
  const size_t size = footage_.canvas.area() * C;
  Forecast::Frame frames[kMaxFrames];
  s.each_frame(team, footage_, reel_, [&](int t, const Slice& f, const Box& box) {
    Forecast::Frame& to = frames[t - s.first] = {};
    to.fade = f.fade;
    if (box.empty()) return;
    kernels().observe[C - 1](make_ellipse(f.mean, f.conic, f.cutoff), box, footage_.canvas, color,
                             residual_.data() + t * size, to.v_mean, to.v_conic, &to.sums);
  });
  return Forecast(s.pose, C, color, footage_.gains.data(), frames, s.first, s.end - s.first);
}

void ClipRefiner::add(const Team& team, const Splat& s, const float* color) {
  const int C = colors_.channels;
  const size_t size = footage_.canvas.area() * C;
  s.each_frame(team, footage_, reel_, [&](int t, const Slice& f, const Box& box) {
    if (box.empty()) return;
    float shade[kMaxChannels];
    for (int c = 0; c < C; ++c) shade[c] = color[c] * f.fade;
    kernels().add[C - 1](make_ellipse(f.mean, f.conic, f.cutoff), box, footage_.canvas, shade,
                         residual_.data() + t * size);
  });
}

double ClipRefiner::render() {
  const int C = colors_.channels, n = count();
  const size_t size = footage_.canvas.area() * C;
  // Without a shape a splat is not drawn.
  std::vector<float> means(3 * static_cast<size_t>(n)), velocities(2 * static_cast<size_t>(n)),
      conics(3 * static_cast<size_t>(n)), precisions(n, 1.0f), colors(static_cast<size_t>(C) * n);
  fitter_->device().for_each(n, [&](int64_t i) {
    int32_t* q = &integers_[i * width()];
    Splat s;
    if (!build(q, &s)) {
      std::fill_n(q, C, 0);
      return;
    }
    std::copy_n(s.pose.mean, 3, &means[3 * i]);
    std::copy_n(s.pose.velocity, 2, &velocities[2 * i]);
    std::copy_n(s.pose.shape.conic, 3, &conics[3 * i]);
    precisions[i] = s.pose.precision;
    refine::color_of(colors_, q, s.pose.norm, &colors[C * i]);
  });
  const MovingSplats splats{n, C, means.data(), velocities.data(), conics.data(), precisions.data(), colors.data()};
  Slices slices;
  double sse = 0;
  for (int t = 0; t < footage_.frames; ++t) {
    slices.take(fitter_->device(), splats, reel_, t, 1);
    double squares = 0;
    fitter_->device().render(slices.splats(), footage_.canvas, 0, fitter_->film().base(t), fitter_->film().headroom(t),
                             residual_.data() + t * size, &squares);
    sse += squares;
  }
  return sse;
}

float ClipRefiner::bits(const RateTables& rates, const MovingRates& moving_rates, const Splat& s,
                        const int32_t* f) const {
  const int r = s.g.energy_class, row = r + 1, T = footage_.frames;
  const int shorter = clamp(longest_duration(r, T) - f[kDuration], 0, MovingRates::kDurations - 1);
  const int life = life_of(r, f[kDuration], T), bin = time_bin(time_of(r, f[kDuration], f[kTime], T), T);
  const float in_bin = static_cast<float>(T << (kTimeBits - 3)) / static_cast<float>(time_step(r, f[kDuration], T));
  float out = refine::shape_bits(rates, s.g, f) + moving_rates.duration[row * MovingRates::kDurations + shorter] +
              moving_rates.time[life * kTimeBins + bin] + std::log2(std::max(in_bin, 1.0f));
  for (int a = 0; a < 2; ++a) {
    const int speed = clamp(f[kSpeedY + a] + MovingRates::kSpeedOffset, 0, MovingRates::kSpeeds - 1);
    out += moving_rates.speed[(a * kClasses + row) * MovingRates::kSpeeds + speed];
  }
  return out;
}

Course ClipRefiner::course_of(const Splat& s) const {
  const MovingPose& p = s.pose;
  return {p.mean[0], p.mean[1], p.mean[2], p.velocity[0], p.velocity[1]};
}

// A step of one field; where it changes the lattices, the splat goes on where it went.
bool ClipRefiner::propose(const Splat& start, const int32_t* from, int move, int32_t* q, Splat* out) const {
  const int C = colors_.channels, T = footage_.frames, r = start.g.energy_class;
  const int field = move / 2;
  refine::copy_ints(from, width(), q);
  int32_t* f = q + C;
  if (field == kMovingAngle && f[kMovingAspect] == 0) return false;
  f[field] += move % 2 ? 1 : -1;
  if (field == kMovingAspect) {
    if (f[kMovingAspect] < 0) return false;
    f[kMovingAngle] = nearest_angle(r, f[kMovingAspect], start.pose.shape.angle);
  }
  const int angles = angle_count(r, f[kMovingAspect]);
  f[kMovingAngle] = (f[kMovingAngle] + angles) % angles;
  if (field <= kMovingAngle || field == kDuration || field == kTime) {
    if (!shape_in_range(r, f[kMovingArea], f[kMovingAspect]) || !duration_in_range(r, f[kDuration], T)) return false;
    if (field == kDuration) quantize_time(r, start.pose.mean[2], T, f);
    quantize_course(r, footage_.world, course_of(start), T, f);
  }
  return build(q, r, out);
}

bool ClipRefiner::change_class(const Splat& start, const int32_t* from, int energy_class, int32_t* q,
                               Splat* out) const {
  refine::copy_ints(from, width(), q);
  int32_t* f = q + colors_.channels;
  const Shape& shape = start.pose.shape;
  const double half = 0.5 * shape.log_area, spread = 0.5 * shape.log_aspect;
  quantize_shape(energy_class, half + spread, half - spread, shape.angle, f);
  quantize_duration(energy_class, -0.5 * std::log(static_cast<double>(start.pose.precision)), footage_.frames, f);
  quantize_time(energy_class, start.pose.mean[2], footage_.frames, f);
  quantize_course(energy_class, footage_.world, course_of(start), footage_.frames, f);
  return build(q, energy_class, out);
}

float ClipRefiner::price(const Terms& v, const Candidate& c) const {
  return static_cast<float>(v.plan.lambda) * bits(v.rates, v.moving_rates, c.s, c.q + colors_.channels);
}

// J over that of the splat's absence, with the best colours, which go to the candidate.
float ClipRefiner::weigh(const Terms& v, const Projection& sums, Candidate* c, int32_t* free) const {
  return refine::best_colors(Lanes(), colors_, v.rates, static_cast<float>(v.plan.lambda), sums, c->s.pose.norm,
                             price(v, *c), c->s.g.energy_class, v.q, c->q, free);
}

// The same with the present colours, and without their bits.
float ClipRefiner::promise(const Terms& v, const Projection& sums, const Candidate& c) const {
  const int C = colors_.channels;
  float out = price(v, c);
  for (int i = 0; i < C; ++i) {
    float with = 0;
    for (int k = 0; k < C; ++k) with += colors_.basis[C * i + k] * sums.with[k];
    const float k = static_cast<float>(v.q[i]) * colors_.component_steps[i] / c.s.pose.norm;
    out += k * (2 * with + k * sums.self);
  }
  return out;
}

bool ClipRefiner::may_go(const Terms& v, const Splat& s) const { return within(reach_of(s, cutoff_), v.region); }

// Moves that promise something, each from where the best before it led. Returns how many.
int ClipRefiner::find_moves(const Terms& v, const Candidate& start, const Forecast& forecast,
                            Candidate* candidates) const {
  int count = 0;
  float reached = promise(v, forecast.without(), start);
  float limit = reached + kSlack * static_cast<float>(v.plan.lambda);
  const Candidate* from = &start;
  for (int depth = 0; from && depth < kDepth; ++depth) {
    const Candidate* next = nullptr;
    for (int move = 0; move < kSteps; ++move) {
      Candidate& trial = candidates[count];
      if (!propose(from->s, from->q, move, trial.q, &trial.s) || !may_go(v, trial.s)) continue;
      const float promised = promise(v, forecast.without(trial.s.pose), trial);
      if (promised >= limit) continue;
      ++count;
      if (promised >= reached) continue;
      reached = promised;
      next = &trial;
      if (depth > 0) limit = reached;
    }
    limit = reached;
    from = next;
  }
  return count;
}

refine::Outcome ClipRefiner::visit(const Terms& v, double* seen) {
  const int C = colors_.channels;
  Candidate start;
  if (!build(v.q, &start.s)) return refine::kKept;
  refine::copy_ints(v.q, width(), start.q);
  float color[kMaxChannels] = {};
  refine::color_of(colors_, v.q, start.s.pose.norm, color);
  const Forecast forecast = observe(v.team, start.s, color);

  // The present shape, with its best colours
  int32_t free[kMaxChannels];
  refine::copy_ints(v.q, C, free);
  Candidate best = start;
  float least = weigh(v, forecast.without(), &best, free);

  Candidate candidates[kDepth * kSteps + 1];
  int count = find_moves(v, start, forecast, candidates);
  Candidate& other = candidates[count];
  const int free_class = energy_class(free, colors_.steps);
  if (free_class != start.s.g.energy_class && change_class(start.s, v.q, free_class, other.q, &other.s) &&
      may_go(v, other.s))
    ++count;

  const Canvas world = footage_.world;
  const Box before = clipped(reach_of(start.s, refine::kCore), world);
  if (count == 0 && least < 0 && std::equal(best.q, best.q + width(), v.q)) {
    *seen = changes_.mean(before);
    return refine::kKept;
  }
  for (int c = 0; c < C; ++c) color[c] = -color[c];
  add(v.team, start.s, color);
  for (int i = 0; i < count; ++i) {
    const float cost = weigh(v, project(v.team, candidates[i].s), &candidates[i], nullptr);
    if (cost >= least) continue;
    least = cost;
    best = candidates[i];
  }
  if (least >= 0) {
    const int32_t nothing[kMaxChannels + kMovingFields] = {};
    changes_.add(before, refine::change(colors_, width(), v.q, nothing));
    std::fill_n(v.q, C, 0);
    return refine::kRemoved;
  }
  const double changed = refine::change(colors_, width(), v.q, best.q);
  refine::copy_ints(best.q, width(), v.q);
  refine::color_of(colors_, v.q, best.s.pose.norm, color);
  add(v.team, best.s, color);
  const Box after = clipped(reach_of(best.s, refine::kCore), world);
  if (changed > 0) {
    changes_.add(before, changed);
    changes_.add(after, changed);
  }
  *seen = changes_.mean(after);
  return changed > 0 ? refine::kChanged : refine::kKept;
}

RefineResult ClipRefiner::sweep(const SweepPlan& plan, const RateTables& rates, const MovingRates& moving_rates) {
  std::vector<Waiting> waiting;
  for (int i = 0; i < count(); ++i) {
    Splat s;
    if (!build(&integers_[static_cast<size_t>(i) * width()], &s)) continue;
    const double now = changes_.mean(clipped(reach_of(s, refine::kCore), footage_.world));
    if (!(now - seen_[i] > plan.patience)) continue;
    Waiting w;
    w.key = order_key(plan.seed, static_cast<uint64_t>(i));
    w.splat = i;
    const float shown = clamp(s.pose.mean[2], 0.0f, static_cast<float>(footage_.frames)) - s.pose.mean[2];
    carry(s.pose.mean, s.pose.velocity, shown, w.mean);
    w.reach = reach_of(s, 1.5f * cutoff_);
    waiting.push_back(w);
  }
  put_in_order(&waiting);
  const Schedule schedule = in_cells(waiting, footage_.world);
  std::vector<refine::Outcome> outcomes(count(), refine::kKept);
  for (size_t stage = 0; stage + 1 < schedule.stages.size(); ++stage) {
    const int first = schedule.stages[stage], lines = schedule.stages[stage + 1] - first;
    fitter_->device().for_teams<int>(lines, [&](const Team& team, int64_t line, int*) {
      for (int i = schedule.lines[first + line]; i < schedule.lines[first + line + 1]; ++i) {
        const Visit& due = schedule.visits[i];
        int32_t* q = &integers_[static_cast<size_t>(due.splat) * width()];
        outcomes[due.splat] = visit({team, plan, rates, moving_rates, due.reach, q}, &seen_[due.splat]);
      }
    });
  }
  const auto total = [&](refine::Outcome o) {
    return static_cast<int>(std::count(outcomes.begin(), outcomes.end(), o));
  };
  return {total(refine::kChanged), total(refine::kRemoved)};
}

}  // namespace splat2d
