#include "refine.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace splat2d {

namespace {

// Cells of this size in four colours: splats of cells of one colour cannot touch the same pixels.
constexpr int kCell = 128;
// q within which a splat heeds changes and causes them.
constexpr float kCore = 4.0f;
// Fields of a splat's integers after its colours.
enum Field { kArea, kAspect, kAngle, kY, kX, kFields };
constexpr double kUnseen = -1e30;  // before a splat's first visit
constexpr float kNever = 1e30f;    // the cost of what cannot be

uint64_t hash(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// Part of the finer levels' energy of a splat that coarser levels leave at least.
constexpr float kLeastSelf = 0.1f;

bool any_color(const int32_t* k, int channels) {
  for (int c = 0; c < channels; ++c)
    if (k[c]) return true;
  return false;
}

float color_bits(const RateTables& rates, const int32_t* k, int channels) {
  float bits = 0;
  for (int c = 0; c < channels; ++c) {
    const int context = c == 2 ? std::min(std::abs(k[1]), RateTables::kContexts - 1) : 0;
    bits += rates.color[(c * RateTables::kContexts + context) * RateTables::kColors +
                        std::min(std::abs(k[c]), RateTables::kColors - 1)];
  }
  return bits;
}

}  // namespace

ChangeMap::ChangeMap(Canvas canvas)
    : across((canvas.width + kCell - 1) / kCell),
      down((canvas.height + kCell - 1) / kCell),
      energy(static_cast<size_t>(across) * down) {}

template <class F>
int ChangeMap::visit(Box box, F f) {
  if (box.empty()) return 0;
  const int x0 = box.x0 / kCell, y0 = box.y0 / kCell, x1 = (box.x1 - 1) / kCell, y1 = (box.y1 - 1) / kCell;
  for (int y = y0; y <= y1; ++y)
    for (int x = x0; x <= x1; ++x) f(energy[static_cast<size_t>(across) * y + x]);
  return (x1 - x0 + 1) * (y1 - y0 + 1);
}

void ChangeMap::add(Box box, double change) {
  const double share = change / std::max(visit(box, [](double&) {}), 1);
  visit(box, [&](double& e) { e += share; });
}

double ChangeMap::mean(Box box) {
  double sum = 0;
  const int cells = visit(box, [&](double& e) { sum += e; });
  return sum / std::max(cells, 1);
}

struct Refiner::Geometry {
  int energy_class;
  float mean[2];
  Shape shape;
  Lattice lattice;
  float rate_area;  // lattice area that the position code can use, px^2
};

struct Refiner::Region {
  Box box;  // pixels that this splat may touch
};

Refiner::Refiner(std::vector<int32_t> integers, const Array<float>& negative_target, const Saturation& saturation,
                 const Distortion* distortion, const Device& device, Canvas canvas, int channels, double step,
                 int chroma_step, double cutoff)
    : integers_(std::move(integers)),
      negative_target_(&negative_target),
      saturation_(&saturation),
      distortion_(distortion),
      device_(device),
      residual_(negative_target.size()),
      canvas_(canvas),
      channels_(channels),
      width_(channels + 5),
      steps_(color_steps(channels, chroma_step)),
      basis_(color_basis(channels)),
      cutoff_(static_cast<float>(cutoff)),
      changes_(canvas),
      seen_(integers_.size() / width_, kUnseen) {
  for (int c = 0; c < channels; ++c) component_steps_[c] = static_cast<float>(step * steps_.weight[c] / 8.0);
  render();
}

bool Refiner::build(const int32_t* q, Geometry* g) const {
  const int C = channels_, r = g->energy_class;
  if (!worth_coding(r, q[C], q[C + 1])) return false;
  g->lattice = make_lattice(r, q[C], q[C + 1], q[C + 2]);
  if (!on_canvas(g->lattice, canvas_, q[C + 3], q[C + 4])) return false;
  g->shape = make_shape(r, q[C], q[C + 1], q[C + 2]);
  constexpr double kOne = 1.0 / (1 << kPositionBits);
  g->mean[0] = static_cast<float>(static_cast<double>(g->lattice.x(q[C + 4], q[C + 3])) * kOne - kMargin);
  g->mean[1] = static_cast<float>(static_cast<double>(g->lattice.y(q[C + 3])) * kOne - kMargin);
  const double leaf = std::exp2(leaf_log2(tier_of(r, q[C])));
  g->rate_area = static_cast<float>(std::min(g->lattice.area(), leaf));
  return true;
}

void Refiner::color_of(const int32_t* k, float norm, float* color) const {
  for (int j = 0; j < channels_; ++j) {
    float s = 0;
    for (int i = 0; i < channels_; ++i) s += static_cast<float>(k[i]) * component_steps_[i] * basis_[channels_ * i + j];
    color[j] = s / norm;
  }
}

std::vector<int32_t> Refiner::classes() const {
  std::vector<int32_t> out(count());
  for (int i = 0; i < count(); ++i) out[i] = energy_class(&integers_[static_cast<size_t>(width_) * i], steps_);
  return out;
}

double Refiner::render() {
  std::vector<float> means, conics, colors;
  for (int i = 0; i < count(); ++i) {
    int32_t* q = &integers_[static_cast<size_t>(width_) * i];
    if (!any_color(q, channels_)) continue;
    Geometry g;
    g.energy_class = energy_class(q, steps_);
    if (!build(q, &g)) {
      std::fill_n(q, channels_, 0);
      continue;
    }
    float color[kMaxChannels];
    color_of(q, g.shape.norm, color);
    means.insert(means.end(), g.mean, g.mean + 2);
    conics.insert(conics.end(), g.shape.conic, g.shape.conic + 3);
    colors.insert(colors.end(), color, color + channels_);
  }
  const Splats s{static_cast<int>(means.size() / 2), channels_, means.data(), conics.data(), colors.data()};
  const double all = device_.render(s, canvas_, cutoff_, negative_target_->data(), residual_.data());
  const double sse = saturation_->clip(device_, all, &residual_);
  if (distortion_) levels_ = distortion_->pyramid(device_, residual_, channels_);
  return sse;
}

void Refiner::project(const Geometry& g, Projection* out) const {
  const Kernels& k = kernels();
  if (!distortion_)
    return k.project[channels_ - 1](make_ellipse(g.mean, g.shape.conic, cutoff_),
                                    bounding_box(g.mean, g.shape.conic, cutoff_, canvas_), canvas_, residual_.data(),
                                    out);
  *out = {};
  float positive = 0;
  for (int l = 0; l < distortion_->levels(); ++l) {
    const LevelSplat s = level_splat(g.mean, g.shape.conic, l);
    const Canvas canvas = distortion_->canvas(l);
    Projection sums;
    k.project_weighted[channels_ - 1](make_ellipse(s.mean, s.conic, cutoff_),
                                      bounding_box(s.mean, s.conic, cutoff_, canvas), canvas,
                                      l ? levels_[l - 1].data() : residual_.data(), distortion_->weights(l), &sums);
    const float factor = s.height * static_cast<float>(1 << (2 * l));
    for (int c = 0; c < channels_; ++c) out->with[c] += factor * sums.with[c];
    const float self = factor * s.height * sums.self;
    out->self += self;
    positive += std::max(self, 0.0f);
  }
  // Levels see a splat as a Gaussian, which is not exact; a sum of squares stays positive.
  out->self = std::max(out->self, kLeastSelf * positive);
}

void Refiner::add(const Geometry& g, const float* color) {
  const auto add = kernels().add[channels_ - 1];
  add(make_ellipse(g.mean, g.shape.conic, cutoff_), bounding_box(g.mean, g.shape.conic, cutoff_, canvas_), canvas_,
      color, residual_.data());
  for (int l = 1; l <= static_cast<int>(levels_.size()); ++l) {
    const LevelSplat s = level_splat(g.mean, g.shape.conic, l);
    const Canvas canvas = distortion_->canvas(l);
    float shade[kMaxChannels];
    for (int c = 0; c < channels_; ++c) shade[c] = color[c] * s.height;
    add(make_ellipse(s.mean, s.conic, cutoff_), bounding_box(s.mean, s.conic, cutoff_, canvas), canvas, shade,
        levels_[l - 1].data());
  }
}

bool Refiner::inside(const Geometry& g, const Box& box) const {
  for (int l = 0; l <= static_cast<int>(levels_.size()); ++l) {
    const LevelSplat s = level_splat(g.mean, g.shape.conic, l);
    const Box b = l ? bounding_box(s.mean, s.conic, cutoff_, distortion_->canvas(l))
                    : bounding_box(g.mean, g.shape.conic, cutoff_, canvas_);
    const int size = 1 << l;
    if (!b.empty() && (b.x0 * size < box.x0 || b.y0 * size < box.y0 || b.x1 * size > box.x1 || b.y1 * size > box.y1))
      return false;
  }
  return true;
}

std::vector<float> Refiner::savings() {
  std::vector<float> out(count(), 0.0f);
#pragma omp parallel for schedule(dynamic, 16) num_threads(device_.threads()) if (device_.threads() > 1)
  for (int i = 0; i < count(); ++i) {
    const int32_t* q = &integers_[static_cast<size_t>(width_) * i];
    Geometry g;
    g.energy_class = energy_class(q, steps_);
    if (!any_color(q, channels_) || !build(q, &g)) continue;
    float color[kMaxChannels];
    color_of(q, g.shape.norm, color);
    Projection sums;
    project(g, &sums);
    for (int c = 0; c < channels_; ++c) out[i] += color[c] * (color[c] * sums.self - 2 * sums.with[c]);
  }
  return out;
}

void Refiner::remove(const std::vector<int32_t>& indices) {
  for (int32_t i : indices) std::fill_n(&integers_[static_cast<size_t>(width_) * i], channels_, 0);
  std::fill(seen_.begin(), seen_.end(), kUnseen);
  render();
}

Box Refiner::core(const Geometry& g) const { return bounding_box(g.mean, g.shape.conic, kCore, canvas_); }

double Refiner::change(const int32_t* a, const int32_t* b) const {
  double squares = 0;
  for (int c = 0; c < channels_; ++c) squares += std::pow((a[c] - b[c]) * steps_.weight[c] / 8.0, 2);
  // A step of the shape or the position moves about as much as a step of the luma.
  return squares + (std::equal(a + channels_, a + channels_ + kFields, b + channels_) ? 0.0 : 1.0);
}

void Refiner::refine_one(int n, const SweepPlan& plan, const RateTables& rates, const Region& region, int threads,
                         RefineResult* result) {
  const int C = channels_;
  int32_t* q = &integers_[static_cast<size_t>(width_) * n];
  Geometry start;
  start.energy_class = energy_class(q, steps_);
  const int r = start.energy_class;
  if (!build(q, &start)) return;
  float color[kMaxChannels];
  color_of(q, start.shape.norm, color);
  for (int c = 0; c < C; ++c) color[c] = -color[c];
  add(start, color);

  struct Move {
    int32_t q[kMaxChannels + 5];
    Geometry g;
    Projection sums;
    bool valid = false;
  };
  // The present shape, ten steps, another class, the pairs of five steps.
  constexpr int kMoves = 22;
  Move moves[kMoves];
  const auto propose = [&](Move* m, bool reposition) {
    if (reposition) {
      if (!shape_in_range(m->g.energy_class, m->q[C], m->q[C + 1])) return;
      const int dy = m->q[C + kY] - q[C + kY], dx = m->q[C + kX] - q[C + kX];
      quantize_position(m->g.energy_class, canvas_, start.mean[0], start.mean[1], m->q + C);
      m->q[C + kY] += dy;
      m->q[C + kX] += dx;
    }
    m->valid = build(m->q, &m->g) && inside(m->g, region.box);
  };
  const auto measure = [&](Move* m) {
    if (!m->valid) return;
    Projection raw;
    project(m->g, &raw);
    const float norm = m->g.shape.norm;
    for (int j = 0; j < C; ++j) {
      m->sums.with[j] = 0;
      for (int c = 0; c < C; ++c) m->sums.with[j] += basis_[C * j + c] * raw.with[c];
      m->sums.with[j] /= norm;
    }
    m->sums.self = raw.self / (norm * norm);
  };

  // J relative to the splat's absence.
  float best_cost = 0;
  int32_t best[kMaxChannels + 5] = {};
  const auto shape_bits = [&](const Move& m) {
    const int row = m.g.energy_class + 1;
    const int area = std::clamp(m.q[C] + RateTables::kAreaOffset, 0, RateTables::kAreas - 1);
    const int aspect = std::min(m.q[C + 1], RateTables::kAspects - 1);
    return rates.area[row * RateTables::kAreas + area] + rates.aspect[row * RateTables::kAspects + aspect] +
           std::log2(static_cast<float>(angle_count(m.g.energy_class, m.q[C + 1]))) +
           static_cast<float>(rates.position) - std::log2(m.g.rate_area);
  };
  const float lmbda = static_cast<float>(plan.lambda);
  const auto cost = [&](const Move& m, const int32_t* k) {
    float sse = 0;
    for (int i = 0; i < C; ++i) {
      const float v = static_cast<float>(k[i]) * component_steps_[i];
      sse += v * (2 * m.sums.with[i] + v * m.sums.self);
    }
    return sse + lmbda * color_bits(rates, k, C);
  };
  // Tries the colours around each component's optimum; `free` receives the best of any energy class. Returns the
  // least cost.
  const auto consider = [&](const Move& m, int32_t* free) {
    float least = kNever;
    if (!m.valid) return least;
    const float fixed = lmbda * shape_bits(m);
    int32_t options[kMaxChannels][4];
    for (int i = 0; i < C; ++i) {
      const float optimum = -m.sums.with[i] / std::max(m.sums.self, 1e-6f) / component_steps_[i];
      const int v = static_cast<int>(
          std::clamp(std::nearbyint(optimum), -static_cast<float>(kMaxColor), static_cast<float>(kMaxColor)));
      options[i][0] = v;
      options[i][1] = v > 0 ? v - 1 : v < 0 ? v + 1 : 0;
      options[i][2] = q[i];
      options[i][3] = 0;
    }
    float free_cost = kNever;
    for (int code = 0; code < 1 << (2 * C); ++code) {
      int32_t k[kMaxChannels];
      for (int i = 0; i < C; ++i) k[i] = options[i][(code >> (2 * i)) & 3];
      if (!any_color(k, C)) continue;
      const float j = cost(m, k);
      if (free && j < free_cost) {
        free_cost = j;
        std::copy_n(k, C, free);
      }
      if (j + fixed >= least || energy_class(k, steps_) != m.g.energy_class) continue;
      least = j + fixed;
      if (least < best_cost) {
        best_cost = j + fixed;
        std::copy_n(m.q, C + 5, best);
        std::copy_n(k, C, best);
      }
    }
    return least;
  };

  for (Move& m : moves) {
    std::copy_n(q, C + 5, m.q);
    m.g.energy_class = r;
  }
  propose(&moves[0], false);
  measure(&moves[0]);
  int32_t free[kMaxChannels];
  std::copy_n(q, C, free);
  consider(moves[0], free);

  int used = 1;
  const auto step_to = [&](std::initializer_list<std::pair<Field, int>> steps) {
    Move& m = moves[used++];
    bool reshaped = false;
    for (const auto& [field, delta] : steps) {
      m.q[C + field] += delta;
      reshaped = reshaped || field <= kAngle;
      if (field == kAspect) {
        if (m.q[C + kAspect] < 0) return;
        m.q[C + kAngle] = nearest_angle(r, m.q[C + kAspect], start.shape.angle);
      }
    }
    const int n_angles = angle_count(r, m.q[C + kAspect]);
    m.q[C + kAngle] = (m.q[C + kAngle] + n_angles) % n_angles;
    propose(&m, reshaped);
  };
  struct Step {
    Field field;
    int delta;
    float cost;
  };
  std::vector<Step> steps;
  for (const Field field : {kArea, kAspect, kAngle, kY, kX})
    for (const int delta : {-1, 1})
      if (field != kAngle || q[C + kAspect] > 0) {
        steps.push_back({field, delta, 0});
        step_to({{field, delta}});
      }
  if (const int other = energy_class(free, steps_); other != r) {
    Move& m = moves[used++];
    m.g.energy_class = other;
    std::copy_n(free, C, m.q);
    const double half = 0.5 * start.shape.log_area, spread = 0.5 * start.shape.log_aspect;
    quantize_shape(other, half + spread, half - spread, start.shape.angle, m.q + C);
    propose(&m, true);
  }
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (int i = 1; i < used; ++i) measure(&moves[i]);
  for (int i = 1; i < used; ++i) {
    const float j = consider(moves[i], nullptr);
    if (i <= static_cast<int>(steps.size())) steps[i - 1].cost = j;
  }
  // Pairs of the better step of each field, for what does not pay alone.
  if (plan.pairs) {
    std::vector<Step> better;
    for (size_t i = 0; i < steps.size(); i += 2) better.push_back(steps[i + (steps[i + 1].cost < steps[i].cost)]);
    const int first = used;
    for (size_t i = 0; i < better.size(); ++i)
      for (size_t j = i + 1; j < better.size(); ++j)
        if (better[i].cost < kNever && better[j].cost < kNever)
          step_to({{better[i].field, better[i].delta}, {better[j].field, better[j].delta}});
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int i = first; i < used; ++i) measure(&moves[i]);
    for (int i = first; i < used; ++i) consider(moves[i], nullptr);
  }

  const double changed = change(q, best);
  if (changed > 0) changes_.add(core(start), changed);
  if (!any_color(best, C)) {
    std::fill_n(q, C, 0);
    ++result->removed;
    return;
  }
  if (changed > 0) ++result->changed;
  std::copy_n(best, C + 5, q);
  Geometry chosen;
  chosen.energy_class = energy_class(q, steps_);
  build(q, &chosen);
  color_of(q, chosen.shape.norm, color);
  add(chosen, color);
  if (changed > 0) changes_.add(core(chosen), changed);
  seen_[n] = changes_.mean(core(chosen));
}

RefineResult Refiner::sweep(const SweepPlan& plan, const RateTables& rates) {
  const int across = (canvas_.width + 2 * kMargin) / kCell + 1, down = (canvas_.height + 2 * kMargin) / kCell + 1;
  const auto region_of = [&](int cell) {
    const int x0 = cell % across * kCell - kMargin - kCell / 2, y0 = cell / across * kCell - kMargin - kCell / 2;
    return Region{{x0, y0, x0 + 2 * kCell, y0 + 2 * kCell}};
  };
  std::vector<std::vector<std::pair<uint64_t, int>>> cells(static_cast<size_t>(across) * down);
  std::vector<std::pair<uint64_t, int>> wide;
  for (int n = 0; n < count(); ++n) {
    const int32_t* q = &integers_[static_cast<size_t>(width_) * n];
    Geometry g;
    g.energy_class = energy_class(q, steps_);
    if (!any_color(q, channels_) || !build(q, &g)) continue;
    if (changes_.mean(core(g)) - seen_[n] <= plan.patience) continue;
    const int cell =
        static_cast<int>(g.mean[1] + kMargin) / kCell * across + static_cast<int>(g.mean[0] + kMargin) / kCell;
    // A step up in area or aspect may widen the footprint by a factor of two; such splats go with the wide ones.
    const Box b = bounding_box(g.mean, g.shape.conic, 2.0f * cutoff_, {1 << 20, 1 << 20});
    const Box region = region_of(cell).box;
    const bool fits = b.x0 >= region.x0 && b.y0 >= region.y0 && b.x1 <= region.x1 && b.y1 <= region.y1;
    const std::pair<uint64_t, int> entry{hash(plan.seed * 0x100000001ull + static_cast<uint64_t>(n)), n};
    (fits ? cells[cell] : wide).push_back(entry);
  }
  RefineResult total{0, 0};
  std::sort(wide.begin(), wide.end());
  const Region everywhere{{-(1 << 20), -(1 << 20), 1 << 20, 1 << 20}};
  for (const auto& [key, n] : wide) refine_one(n, plan, rates, everywhere, device_.threads(), &total);
  for (int color = 0; color < 4; ++color) {
    std::vector<int> list;
    for (int cell = 0; cell < across * down; ++cell)
      if ((cell % across & 1) + 2 * (cell / across & 1) == color && !cells[cell].empty()) list.push_back(cell);
    int changed = 0, removed = 0;
#pragma omp parallel for schedule(dynamic) num_threads(device_.threads()) if (device_.threads() > 1) \
    reduction(+ : changed, removed)
    for (int i = 0; i < static_cast<int>(list.size()); ++i) {
      auto& entries = cells[list[i]];
      std::sort(entries.begin(), entries.end());
      RefineResult local{0, 0};
      for (const auto& [key, n] : entries) refine_one(n, plan, rates, region_of(list[i]), 1, &local);
      changed += local.changed;
      removed += local.removed;
    }
    total.changed += changed;
    total.removed += removed;
  }
  return total;
}

}  // namespace splat2d
