#include "refine/refiner.hpp"

#include <algorithm>
#include <utility>

#include "refine/schedule.hpp"

namespace splat2d {

namespace {

constexpr int kNotDue = -1;  // in place of a splat that waits

Array<float> uploaded(const float* values, size_t count) { return Array<float>(std::vector(values, values + count)); }

}  // namespace

Refiner::Refiner(std::vector<int32_t> integers, const Film& film, const Device& device, double step, int chroma_step,
                 double cutoff)
    : device_(device), film_(&film), integers_(std::move(integers)), residual_(film.size()) {
  const Canvas canvas = film.footage().canvas;
  static_cast<ColorModel&>(model_) = color_model(film.channels(), step, chroma_step);
  model_.cutoff = static_cast<float>(cutoff);
  model_.levels = 1;
  model_.level[0] = {residual_.data(), nullptr, canvas};
  const auto cells = [](int size) { return (size + ChangeMap::kCell - 1) / ChangeMap::kCell; };
  energy_.resize(static_cast<size_t>(cells(canvas.width)) * cells(canvas.height));
  model_.changes = {cells(canvas.width), energy_.data()};
  seen_.resize(count());
  remove({});
}

std::vector<int32_t> Refiner::classes() const {
  const std::vector<int32_t> rows = integers();
  std::vector<int32_t> out(count());
  for (size_t i = 0; i < out.size(); ++i) out[i] = energy_class(&rows[i * width()], model_.steps);
  return out;
}

double Refiner::render() {
  const RefineModel m = model_;
  const size_t n = count();
  // Without a shape a splat is not drawn.
  Array<float> means(2 * n), conics(3 * n), colors(m.channels * n);
  int32_t* rows = integers_.data();
  float *mean = means.data(), *conic = conics.data(), *color = colors.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    int32_t* q = rows + i * m.width();
    refine::Geometry g;
    if (!refine::build(m, q, &g)) {
      for (int c = 0; c < m.channels; ++c) q[c] = 0;
      return;
    }
    for (int j = 0; j < 2; ++j) mean[2 * i + j] = g.mean[j];
    for (int j = 0; j < 3; ++j) conic[3 * i + j] = g.shape.conic[j];
    refine::color_of(m, q, g.shape.norm, color + i * m.channels);
  });
  const Splats s{count(), m.channels, mean, conic, color};
  Numbers sse(1);
  device_.render(s, m.level[0].canvas, m.cutoff, film_->base(0), film_->headroom(0), residual_.data(), sse.at(0));
  if (const Distortion* distortion = film_->distortion(0)) {
    levels_ = distortion->pyramid(device_, residual_.data(), m.channels);
    model_.levels = distortion->levels();
    for (int l = 0; l < model_.levels; ++l)
      model_.level[l] = {(l ? levels_[l - 1] : residual_).data(), distortion->weights(l), distortion->canvas(l)};
  }
  sse.fetch();
  return sse[0];
}

std::vector<float> Refiner::savings() {
  const RefineModel m = model_;
  Array<float> out(count());
  const int32_t* rows = integers_.data();
  float* to = out.data();
  device_.for_teams<int>(count(), [=] SPLAT2D_LOOP(const Team& team, int64_t i, int*) {
    team.each(1, [&](const Lanes& lanes, int) {
      const float saved = refine::saving(lanes, m, rows + i * m.width());
      if (lanes.first()) to[i] = saved;
    });
  });
  return out.host();
}

void Refiner::remove(const std::vector<int32_t>& indices) {
  const RefineModel m = model_;
  const Array<int32_t> chosen(indices);
  const int32_t* index = chosen.data();
  int32_t* rows = integers_.data();
  device_.for_each(static_cast<int64_t>(indices.size()), [=] SPLAT2D_LOOP(int64_t i) {
    for (int c = 0; c < m.channels; ++c) rows[static_cast<int64_t>(index[i]) * m.width() + c] = 0;
  });
  double* seen = seen_.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) { seen[i] = kUnseen; });
  render();
}

RefineResult Refiner::sweep(const SweepPlan& plan, const RateTables& rates) {
  const RefineModel m = model_;
  const Canvas canvas = m.level[0].canvas;
  int32_t* rows = integers_.data();
  double* seen = seen_.data();

  Array<Waiting> candidates(count());
  Waiting* to = candidates.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    refine::Geometry g;
    const bool due =
        refine::build(m, rows + i * m.width(), &g) && m.changes.mean(refine::core(m, g)) - seen[i] > plan.patience;
    to[i].splat = due ? static_cast<int>(i) : kNotDue;
    if (!due) return;
    to[i].key = order_key(plan.seed, static_cast<uint64_t>(i));
    to[i].reach = Device::kManyTeams ? refine::reach_of(m, g, plan.pairs) : refine::rough_reach_of(m, g);
    for (int j = 0; j < 2; ++j) to[i].mean[j] = g.mean[j];
  });
  std::vector<Waiting> waiting = candidates.host();
  waiting.erase(std::remove_if(waiting.begin(), waiting.end(), [](const Waiting& w) { return w.splat == kNotDue; }),
                waiting.end());
  put_in_order(&waiting);
  const Schedule schedule = Device::kManyTeams ? in_sets(waiting, canvas) : in_cells(waiting, canvas);

  const Array<float> color =
      uploaded(rates.color, static_cast<size_t>(m.channels) * RateTables::kContexts * RateTables::kColors);
  const Array<float> area = uploaded(rates.area, static_cast<size_t>(kClasses) * RateTables::kAreas);
  const Array<float> aspect = uploaded(rates.aspect, static_cast<size_t>(kClasses) * RateTables::kAspects);
  const RateTables tables{color.data(), area.data(), aspect.data(), rates.position};
  const Array<Visit> visits(schedule.visits);
  const Array<int> lines(schedule.lines);
  Array<refine::Outcome> outcomes(count());
  const Visit* visit = visits.data();
  refine::Outcome* outcome = outcomes.data();
  for (size_t s = 0; s + 1 < schedule.stages.size(); ++s) {
    const int first = schedule.stages[s];
    const int* line = lines.data() + first;
    const auto go = [=] SPLAT2D_LOOP(const Team& team, int64_t i, refine::Notes* notes) {
      for (int v = line[i]; v < line[i + 1]; ++v) {
        const int64_t n = visit[v].splat;
        refine::visit(team, m, plan, tables, visit[v].reach, rows + n * m.width(), seen + n, outcome + n, notes);
      }
    };
    if (static_cast<int>(s) < schedule.wide)
      device_.for_team<refine::Notes>(go);
    else
      device_.for_teams<refine::Notes>(schedule.stages[s + 1] - first, go);
  }
  RefineResult result{0, 0};
  for (const refine::Outcome o : outcomes.host()) {
    result.changed += o == refine::kChanged;
    result.removed += o == refine::kRemoved;
  }
  return result;
}

}  // namespace splat2d
