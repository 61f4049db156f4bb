#include "refine/views_refiner.hpp"

#include <algorithm>
#include <cmath>

#include "refine/schedule.hpp"

namespace splat2d {

namespace {

constexpr int kSteps = 2 * kViewFields;
constexpr size_t kGrain = 16;   // a second thread for so many times as many pixels as elsewhere
constexpr int kDepth = 4;       // moves in a row at most
constexpr float kSlack = 0.5f;  // bits that a first move may promise to lose and is tried nonetheless
constexpr Canvas kEndless{1 << 20, 1 << 20};

// The box of a splat whose pixels may lie anywhere.
Box free_box(const float* mean, const float* conic, float cutoff) {
  constexpr int kBack = 1 << 19;
  const float at[2] = {mean[0] + kBack, mean[1] + kBack};
  const Box b = bounding_box(at, conic, cutoff, kEndless);
  return b.empty() ? Box{0, 0, 0, 0} : Box{b.x0 - kBack, b.y0 - kBack, b.x1 - kBack, b.y1 - kBack};
}

bool within(const Box& a, const Box& b) {
  return a.empty() || (a.x0 >= b.x0 && a.y0 >= b.y0 && a.x1 <= b.x1 && a.y1 <= b.y1);
}

}  // namespace

// A splat of integers that may be coded.
struct ViewsRefiner::Splat {
  MovingPose pose;  // that does not fade, and moves by its disparity from eye to eye
  refine::Geometry g;
};

struct ViewsRefiner::Candidate {
  Splat s;
  int32_t q[kMaxChannels + kViewFields];
};

// What one visit works with.
struct ViewsRefiner::Terms {
  const Team& team;
  const SweepPlan& plan;
  const RateTables& rates;
  const Box& region;  // that moves must stay in
  int32_t* q;         // of the splat
};

ViewsRefiner::ViewsRefiner(std::vector<int32_t> integers, const ViewsFitter& fitter, double step, int chroma_step,
                           double cutoff)
    : fitter_(&fitter),
      canvas_(fitter.film().footage().canvas),
      places_(fitter.places().host()),
      eyes_(fitter.course().eyes),
      colors_(color_model(fitter.channels(), step, chroma_step)),
      cutoff_(static_cast<float>(cutoff)),
      integers_(std::move(integers)),
      residual_(fitter.film().size() * fitter.film().seen()) {
  const auto cells = [](int size) { return (size + ChangeMap::kCell - 1) / ChangeMap::kCell; };
  energy_.resize(static_cast<size_t>(cells(canvas_.width)) * cells(canvas_.height));
  changes_ = {cells(canvas_.width), energy_.data()};
  seen_.assign(count(), kUnseen);
  render();
}

std::vector<int32_t> ViewsRefiner::classes() const {
  std::vector<int32_t> out(count());
  for (size_t i = 0; i < out.size(); ++i) out[i] = energy_class(&integers_[i * width()], colors_.steps);
  return out;
}

bool ViewsRefiner::build(const int32_t* q, int energy_class, Splat* out) const {
  const int32_t* f = q + colors_.channels;
  if (!worth_coding(energy_class, f[0], f[1])) return false;
  const Lattice lattice = make_lattice(energy_class, f[0], f[1], f[2]);
  if (!on_canvas(lattice, canvas_, f[3], f[4])) return false;
  const int64_t step = disparity_step(energy_class, f[0], f[1], eyes_);
  if (!disparity_in_range(f[kDisparity], step)) return false;
  MovingPose& p = out->pose;
  p.shape = make_shape(energy_class, f[0], f[1], f[2]);
  constexpr double kOnePx = 1.0 / (1 << kPositionBits), kOneStep = 1.0 / (1 << kDisparityBits);
  p.mean[0] = static_cast<float>(static_cast<double>(lattice.x(f[4], f[3])) * kOnePx - kMargin);
  p.mean[1] = static_cast<float>(static_cast<double>(lattice.y(f[3])) * kOnePx - kMargin);
  p.mean[2] = 0;
  p.velocity[0] = p.velocity[1] = static_cast<float>(static_cast<double>(f[kDisparity] * step) * kOneStep);
  p.precision = 0;
  p.norm = p.shape.norm * std::sqrt(static_cast<float>(places_.size()));
  out->g.energy_class = energy_class;
  out->g.shape = p.shape;
  const double leaf = 1 << leaf_log2(tier_of(energy_class, f[0]));
  out->g.rate_area = static_cast<float>(std::min(lattice.area(), leaf));
  return true;
}

bool ViewsRefiner::build(const int32_t* q, Splat* out) const {
  return refine::any_color(q, colors_.channels) && build(q, energy_class(q, colors_.steps), out);
}

// As the middle eye sees them: what a splat touches in any view, brought back by the other splats' disparities, which
// lie between the least and the most. So it is in each view's pixels, widened by how far the eyes see it move.
Box ViewsRefiner::reach_of(const Splat& s, float cutoff) const {
  Box out{0, 0, 0, 0};
  for (const Eye& eye : places_) {
    const float mean[2] = {s.pose.mean[0] + s.pose.velocity[0] * eye.u, s.pose.mean[1] + s.pose.velocity[1] * eye.v};
    const Box b = free_box(mean, s.pose.shape.conic, cutoff);
    if (b.empty()) continue;
    out = out.empty()
              ? b
              : Box{std::min(out.x0, b.x0), std::min(out.y0, b.y0), std::max(out.x1, b.x1), std::max(out.y1, b.y1)};
  }
  return out;
}

// Calls f(view, mean, box) for all views, in any order; the box is empty where nothing is seen.
template <class F>
void ViewsRefiner::each_view(const Team& team, const Splat& s, F f) const {
  const float* a = s.pose.shape.conic;
  const double area = fit::kPi * cutoff_ / std::sqrt(a[0] * a[2] - a[1] * a[1]);
  const double pixels = std::min(area, static_cast<double>(canvas_.area())) * static_cast<double>(places_.size());
  team.each(static_cast<int>(places_.size()), static_cast<size_t>(pixels) / kGrain, [&](const Lanes&, int t) {
    const float mean[2] = {s.pose.mean[0] + s.pose.velocity[0] * places_[t].u,
                           s.pose.mean[1] + s.pose.velocity[1] * places_[t].v};
    f(t, mean, bounding_box(mean, a, cutoff_, canvas_));
  });
}

Projection ViewsRefiner::project(const Team& team, const Splat& s) const {
  const int C = colors_.channels;
  Projection found[kMostViews];
  each_view(team, s, [&](int t, const float* mean, const Box& box) {
    found[t] = {};
    if (box.empty()) return;
    kernels().project[C - 1](make_ellipse(mean, s.pose.shape.conic, cutoff_), box, canvas_,
                             residual_.data() + t * canvas_.area() * C, &found[t]);
  });
  Projection out = {};
  for (size_t t = 0; t < places_.size(); ++t) {
    for (int c = 0; c < C; ++c) out.with[c] += found[t].with[c];
    out.self += found[t].self;
  }
  return out;
}

Forecast ViewsRefiner::observe(const Team& team, const Splat& s, const float* color) const {
  const int C = colors_.channels;
  Forecast::Frame frames[kMostViews];
  each_view(team, s, [&](int t, const float* mean, const Box& box) {
    Forecast::Frame& to = frames[t] = {};
    if (box.empty()) return;
    kernels().observe[C - 1](make_ellipse(mean, s.pose.shape.conic, cutoff_), box, canvas_, color,
                             residual_.data() + t * canvas_.area() * C, nullptr, to.v_mean, to.v_conic, &to.sums);
    to.positive = to.sums.self;
    float along = 0;
    for (int c = 0; c < C; ++c) along += color[c] * to.sums.with[c];
    for (int k = 0; k < 3; ++k) to.flat[k] = along * s.pose.shape.conic[k];
  });
  Forecast out;
  out.look(s.pose, C, color, frames, static_cast<int>(places_.size()),
           [&](int t) { return Forecast::View{1, 1, {places_[t].u, places_[t].v}}; });
  return out;
}

void ViewsRefiner::add(const Team& team, const Splat& s, const float* color) {
  const int C = colors_.channels;
  each_view(team, s, [&](int t, const float* mean, const Box& box) {
    if (box.empty()) return;
    kernels().add[C - 1](make_ellipse(mean, s.pose.shape.conic, cutoff_), box, canvas_, color,
                         residual_.data() + t * canvas_.area() * C);
  });
}

double ViewsRefiner::render() {
  const int C = colors_.channels, n = count();
  std::vector<float> poses(3 * static_cast<size_t>(n)), conics(3 * static_cast<size_t>(n)),
      colors(static_cast<size_t>(C) * n);
  fitter_->device().for_each(n, [&](int64_t i) {
    int32_t* q = &integers_[i * width()];
    Splat s;
    if (!build(q, &s)) {
      std::fill_n(q, C, 0);  // without a shape a splat is not drawn
      return;
    }
    poses[3 * i] = s.pose.mean[0];
    poses[3 * i + 1] = s.pose.mean[1];
    poses[3 * i + 2] = s.pose.velocity[0];
    std::copy_n(s.pose.shape.conic, 3, &conics[3 * i]);
    refine::color_of(colors_, q, s.pose.norm, &colors[C * i]);
  });
  std::vector<double> squares(places_.size());
  fitter_->device().for_devices<std::vector<float>>(
      static_cast<int64_t>(places_.size()), [&](const Device& device, int64_t view, std::vector<float>* means) {
        const int t = static_cast<int>(view);
        means->resize(2 * static_cast<size_t>(n));
        for (int i = 0; i < n; ++i) {
          (*means)[2 * i] = poses[3 * i] + poses[3 * i + 2] * places_[t].u;
          (*means)[2 * i + 1] = poses[3 * i + 1] + poses[3 * i + 2] * places_[t].v;
        }
        const Splats splats{n, C, means->data(), conics.data(), colors.data()};
        device.render(splats, canvas_, cutoff_, fitter_->film().base(t), fitter_->film().headroom(t),
                      residual_.data() + t * canvas_.area() * C, &squares[t]);
      });
  double sse = 0;
  for (const double s : squares) sse += s;
  return sse;
}

// The nearest integers of a splat's centre and disparity on the lattices of a shape.
void ViewsRefiner::place(const Splat& s, int energy_class, int32_t* f) const {
  quantize_position(energy_class, canvas_, s.pose.mean[0], s.pose.mean[1], f);
  f[kDisparity] = quantize_disparity(s.pose.velocity[0], disparity_step(energy_class, f[0], f[1], eyes_));
}

// A step of one field; where it changes the lattices, the splat stays where it was.
bool ViewsRefiner::propose(const Splat& start, const int32_t* from, int move, int32_t* q, Splat* out) const {
  const int C = colors_.channels, r = start.g.energy_class, field = move / 2;
  refine::copy_ints(from, width(), q);
  int32_t* f = q + C;
  if (field == refine::kAngle && f[1] == 0) return false;
  f[field] += move % 2 ? 1 : -1;
  if (field == refine::kAspect) {
    if (f[1] < 0) return false;
    f[2] = nearest_angle(r, f[1], start.pose.shape.angle);
  }
  const int angles = angle_count(r, f[1]);
  f[2] = (f[2] + angles) % angles;
  if (field <= refine::kAngle) {
    if (!shape_in_range(r, f[0], f[1])) return false;
    place(start, r, f);
  }
  return build(q, r, out);
}

bool ViewsRefiner::change_class(const Splat& start, const int32_t* from, int energy_class, int32_t* q,
                                Splat* out) const {
  refine::copy_ints(from, width(), q);
  int32_t* f = q + colors_.channels;
  const Shape& shape = start.pose.shape;
  const double half = 0.5 * shape.log_area, spread = 0.5 * shape.log_aspect;
  quantize_shape(energy_class, half + spread, half - spread, shape.angle, f);
  place(start, energy_class, f);
  return build(q, energy_class, out);
}

float ViewsRefiner::price(const Terms& v, const Candidate& c) const {
  return static_cast<float>(v.plan.lambda) *
         refine::shape_bits(v.rates, c.s.g.energy_class, c.s.g.rate_area, c.q + colors_.channels);
}

// J over that of the splat's absence, with the best colours, which go to the candidate.
float ViewsRefiner::weigh(const Terms& v, const Projection& sums, Candidate* c, int32_t* free) const {
  return refine::best_colors(Lanes(), colors_, v.rates, static_cast<float>(v.plan.lambda), sums, c->s.pose.norm,
                             price(v, *c), c->s.g.energy_class, v.q, c->q, free);
}

// The same with the present colours, and without their bits.
float ViewsRefiner::promise(const Terms& v, const Projection& sums, const Candidate& c) const {
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

// Moves that promise something, each from where the best before it led. Returns how many.
int ViewsRefiner::find_moves(const Terms& v, const Candidate& start, const Forecast& forecast,
                             Candidate* candidates) const {
  int count = 0;
  float reached = promise(v, forecast.without(), start);
  float limit = reached + kSlack * static_cast<float>(v.plan.lambda);
  const Candidate* from = &start;
  for (int depth = 0; from && depth < kDepth; ++depth) {
    const Candidate* next = nullptr;
    for (int move = 0; move < kSteps; ++move) {
      Candidate& trial = candidates[count];
      if (!propose(from->s, from->q, move, trial.q, &trial.s) || !within(reach_of(trial.s, cutoff_), v.region))
        continue;
      const float promised = promise(v, forecast.without(Lanes(), trial.s.pose), trial);
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

refine::Outcome ViewsRefiner::visit(const Terms& v, double* seen) {
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
      within(reach_of(other.s, cutoff_), v.region))
    ++count;

  const auto core = [&](const Splat& s) {
    return bounding_box(s.pose.mean, s.pose.shape.conic, refine::kCore, canvas_);
  };
  const Box before = core(start.s);
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
    const int32_t nothing[kMaxChannels + kViewFields] = {};
    changes_.add(before, refine::change(colors_, width(), v.q, nothing));
    std::fill_n(v.q, C, 0);
    return refine::kRemoved;
  }
  const double changed = refine::change(colors_, width(), v.q, best.q);
  refine::copy_ints(best.q, width(), v.q);
  refine::color_of(colors_, v.q, best.s.pose.norm, color);
  add(v.team, best.s, color);
  const Box after = core(best.s);
  if (changed > 0) {
    changes_.add(before, changed);
    changes_.add(after, changed);
  }
  *seen = changes_.mean(after);
  return changed > 0 ? refine::kChanged : refine::kKept;
}

RefineResult ViewsRefiner::sweep(const SweepPlan& plan, const RateTables& rates) {
  std::vector<Waiting> waiting;
  for (int i = 0; i < count(); ++i) {
    Splat s;
    if (!build(&integers_[static_cast<size_t>(i) * width()], &s)) continue;
    const double now = changes_.mean(bounding_box(s.pose.mean, s.pose.shape.conic, refine::kCore, canvas_));
    if (!(now - seen_[i] > plan.patience)) continue;
    Waiting w;
    w.key = order_key(plan.seed, static_cast<uint64_t>(i));
    w.splat = i;
    std::copy_n(s.pose.mean, 2, w.mean);
    w.reach = reach_of(s, 1.5f * cutoff_);
    waiting.push_back(w);
  }
  put_in_order(&waiting);
  const Schedule schedule = in_cells(waiting, canvas_);
  std::vector<refine::Outcome> outcomes(count(), refine::kKept);
  for (size_t stage = 0; stage + 1 < schedule.stages.size(); ++stage) {
    const int first = schedule.stages[stage], lines = schedule.stages[stage + 1] - first;
    fitter_->device().for_teams<int>(lines, [&](const Team& team, int64_t line, int*) {
      for (int i = schedule.lines[first + line]; i < schedule.lines[first + line + 1]; ++i) {
        const Visit& due = schedule.visits[i];
        int32_t* q = &integers_[static_cast<size_t>(due.splat) * width()];
        outcomes[due.splat] = visit({team, plan, rates, due.reach, q}, &seen_[due.splat]);
      }
    });
  }
  const auto total = [&](refine::Outcome o) {
    return static_cast<int>(std::count(outcomes.begin(), outcomes.end(), o));
  };
  return {total(refine::kChanged), total(refine::kRemoved)};
}

}  // namespace splat2d
