#include "refine/refiner.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "refine/schedule.hpp"

namespace splat2d {

namespace {

constexpr int kNotDue = -1;  // in place of a splat that waits

// A table of this machine's memory on the device, where there is one.
Array<float> uploaded(const float* values, size_t count) {
  return Array<float>(values ? std::vector(values, values + count) : std::vector<float>());
}

int cells(int size) { return (size + ChangeMap::kCell - 1) / ChangeMap::kCell; }

}  // namespace

Refinement::Refinement(std::vector<int32_t> integers, int fields, const Film& film, const Device& device,
                       int chroma_step)
    : device_(device),
      film_(&film),
      width_(film.channels() + fields),
      steps_(color_steps(film.channels(), chroma_step)),
      integers_(std::move(integers)),
      residual_(film.size() * film.seen()),
      levels_(film.seen()),
      energy_(static_cast<size_t>(cells(film.footage().world.width)) * cells(film.footage().world.height)),
      seen_(std::vector<double>(integers_.size() / width_, kUnseen)) {}

std::vector<int32_t> Refinement::classes() const {
  const std::vector<int32_t> rows = integers();
  std::vector<int32_t> out(count());
  for (size_t i = 0; i < out.size(); ++i) out[i] = energy_class(&rows[i * width_], steps_);
  return out;
}

void Refinement::remove(const std::vector<int32_t>& indices) {
  const Array<int32_t> chosen(indices);
  const int32_t* index = chosen.data();
  int32_t* rows = integers_.data();
  const int64_t width = width_, C = channels();
  device_.for_each(static_cast<int64_t>(indices.size()), [=] SPLAT2D_LOOP(int64_t i) {
    for (int64_t c = 0; c < C; ++c) rows[index[i] * width + c] = 0;
  });
  double* seen = seen_.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) { seen[i] = kUnseen; });
  render();
}

template <class Drawn>
double Refinement::draw(const Drawn& splats, float cutoff) {
  const int seen = film_->seen();
  const Canvas canvas = film_->footage().canvas;
  Array<double> squares(seen);
  device_.template for_devices<Slices>(
      (seen + Device::kFrames - 1) / Device::kFrames, [&](const Device& device, int64_t i, Slices* slices) {
        const int first = static_cast<int>(i) * Device::kFrames, end = std::min(first + Device::kFrames, seen);
        Splats shown;
        if constexpr (std::is_same_v<Drawn, Splats>) {
          shown = splats;
        } else {
          slices->take(device, splats, film_->reel(cutoff), first, end - first);
          shown = slices->splats();
        }
        device.render(shown, canvas, cutoff, film_->base(first), film_->headroom(first),
                      residual_.data() + first * film_->size(), squares.data() + first);
        for (int t = first; t < end; ++t)
          if (const Distortion* distortion = film_->distortion(t))
            levels_[t] = distortion->pyramid(device, residual_.data() + t * film_->size(), channels());
      });
  double sse = 0;
  for (const double s : squares.host()) sse += s;
  return sse;
}

VisitModel::Level Refinement::level(int t, int l) {
  float* picture = l ? levels_[t][l - 1].data() : residual_.data() + t * film_->size();
  const Distortion* distortion = film_->distortion(t);
  if (!distortion) return {picture, nullptr, film_->footage().canvas};
  return {picture, distortion->weights(l), distortion->canvas(l)};
}

template <class Model, class Geometry, class Notes>
RefinementOf<Model, Geometry, Notes>::RefinementOf(std::vector<int32_t> integers, int fields, const Film& film,
                                                   const Device& device, double step, int chroma_step, double cutoff)
    : Refinement(std::move(integers), fields, film, device, chroma_step) {
  static_cast<ColorModel&>(model_) = color_model(film.channels(), step, chroma_step);
  model_.cutoff = static_cast<float>(cutoff);
  model_.levels = film.distortion(0) ? film.distortion(0)->levels() : 1;
  model_.changes = {cells(film.footage().world.width), energy_.data()};
}

template <class Model, class Geometry, class Notes>
std::vector<float> RefinementOf<Model, Geometry, Notes>::savings() {
  const Model m = model_;
  Array<float> out(count());
  const int32_t* rows = integers_.data();
  float* to = out.data();
  device_.template for_teams<int>(count(), [=] SPLAT2D_LOOP(const Team& team, int64_t i, int*) {
    team.each(1, [&](const Lanes& lanes, int) {
      const float saved = refine::saving(lanes, m, rows + i * m.width());
      if (lanes.first()) to[i] = saved;
    });
  });
  return out.host();
}

template <class Model, class Geometry, class Notes>
RefineResult RefinementOf<Model, Geometry, Notes>::sweep(const SweepPlan& plan, const RateTables& rates,
                                                         const CodeLengths* own) {
  const Model m = model_;
  const Canvas canvas = film_->footage().world;
  int32_t* rows = integers_.data();
  double* seen = seen_.data();

  Array<Waiting> candidates(count());
  Waiting* to = candidates.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    Geometry g;
    const bool due =
        refine::build(m, rows + i * m.width(), &g) && m.changes.mean(refine::core(m, g)) - seen[i] > plan.patience;
    to[i].splat = due ? static_cast<int>(i) : kNotDue;
    if (!due) return;
    to[i].key = order_key(plan.seed, static_cast<uint64_t>(i));
    to[i].reach = refine::due_reach(m, g, plan.pairs);
    to[i].pixels = refine::work_of(m, g);
    refine::place(m, g, to[i].mean);
  });
  std::vector<Waiting> waiting = candidates.host();
  waiting.erase(std::remove_if(waiting.begin(), waiting.end(), [](const Waiting& w) { return w.splat == kNotDue; }),
                waiting.end());
  put_in_order(&waiting);
  const Schedule schedule =
      Device::kManyTeams ? in_sets(waiting, canvas, device_.most_together()) : in_cells(waiting, canvas);

  const size_t classes = kClasses;
  const Array<float> color =
      uploaded(rates.color, static_cast<size_t>(m.channels) * RateTables::kContexts * RateTables::kColors);
  const Array<float> area = uploaded(rates.area, classes * RateTables::kAreas);
  const Array<float> aspect = uploaded(rates.aspect, classes * RateTables::kAspects);
  const Array<float> duration = uploaded(rates.duration, classes * RateTables::kDurations);
  const Array<float> time = uploaded(rates.time, static_cast<size_t>(RateTables::kLives) * kTimeBins);
  const Array<float> speed = uploaded(rates.speed, 2 * classes * RateTables::kSpeeds);
  const RateTables tables{color.data(),    area.data(), aspect.data(), rates.position,
                          duration.data(), time.data(), speed.data()};
  Array<CodeLengths> lengths;
  if (Device::kManyTeams && own) lengths.append({own, own + count()});
  const CodeLengths* of = Device::kManyTeams && own ? lengths.data() : own;
  const Array<Visit> visits(schedule.visits);
  const Array<int> lines(schedule.lines);
  Array<refine::Outcome> outcomes(count());
  const Visit* visit = visits.data();
  refine::Outcome* outcome = outcomes.data();
  // Of lines from the first on; `ready` has what is prepared for them on a GPU, where a line is one visit.
  using Ready = typename Notes::Ready;
  const auto visits_from = [&](int first, Ready* ready) {
    const int* line = lines.data() + first;
    return [=] SPLAT2D_LOOP(const Team& team, int64_t i, Notes* notes) {
      for (int v = line[i]; v < line[i + 1]; ++v) {
        const int64_t n = visit[v].splat;
        refine::visit(team, m, plan, {&tables, of ? of + n : nullptr}, visit[v].reach, ready ? ready + i : nullptr,
                      rows + n * m.width(), seen + n, outcome + n, notes);
      }
    };
  };
  const int total = static_cast<int>(schedule.lines.size()) - 1;
  const int most = Device::kManyTeams ? 1 << 14 : total;
  const Order order(schedule);
  Array<Ready> prepared = Array<Ready>::unset(Device::kManyTeams ? std::min(total, most) : 0);
  Ready* ready = Device::kManyTeams ? prepared.data() : nullptr;
  for (int first = 0, some; first < total; first += some) {
    some = std::min(total - first, most);
    if (Device::kManyTeams) {
      // A splat's integers stay what they are until its own visit.
      const Visit* next = visit + first;
      const int64_t items = some;
      device_.for_each(items * Ready::count(plan.pairs), [=] SPLAT2D_LOOP(int64_t i) {
        const Visit& v = next[i % items];
        refine::prepare(m, {&tables, of ? of + v.splat : nullptr}, v.reach,
                        rows + static_cast<int64_t>(v.splat) * m.width(), static_cast<int>(i / items),
                        ready + i % items);
      });
    }
    device_.template for_teams<Notes>(order, first, some, visits_from(first, ready));
  }
  RefineResult result{0, 0};
  for (const refine::Outcome o : outcomes.host()) {
    result.changed += o == refine::kChanged;
    result.removed += o == refine::kRemoved;
  }
  return result;
}

Refiner::Refiner(std::vector<int32_t> integers, const Film& film, const Device& device, double step, int chroma_step,
                 double cutoff)
    : RefinementOf(std::move(integers), refine::kFields, film, device, step, chroma_step, cutoff) {
  model_.level[0].canvas = film.footage().canvas;
  model_.tint = tint_of(film.distortion(0), film.channels());
  render();
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
  const double sse = draw(Splats{count(), m.channels, mean, conic, color}, m.cutoff);
  for (int l = 0; l < model_.levels; ++l) model_.level[l] = level(0, l);
  return sse;
}

template <class Model>
PassageRefiner<Model>::PassageRefiner(std::vector<int32_t> integers, int fields, const Film& film, const Device& device,
                                      double step, int chroma_step, double cutoff)
    : RefinementOf<Model, refine::Passage, refine::PassageNotes>(std::move(integers), fields, film, device, step,
                                                                 chroma_step, cutoff) {
  Model& m = this->model_;
  m.canvas = film.footage().canvas;
  m.world = film.footage().world;
  m.frames = film.footage().frames;
  m.reel = film.reel(cutoff);
  m.bends = film.footage().field.bends;
}

template <class Model>
double PassageRefiner<Model>::render() {
  const Model m = this->model_;
  const size_t n = this->count();
  // Without a shape a splat is not drawn.
  Array<float> means(3 * n), velocities(2 * n), conics(3 * n), precisions(n), colors(m.channels * n);
  int32_t* rows = this->integers_.data();
  float *mean = means.data(), *velocity = velocities.data(), *conic = conics.data(), *precision = precisions.data(),
        *color = colors.data();
  this->device_.for_each(this->count(), [=] SPLAT2D_LOOP(int64_t i) {
    int32_t* q = rows + i * m.width();
    refine::Passage s;
    precision[i] = 1;
    if (!refine::build(m, q, &s)) {
      for (int c = 0; c < m.channels; ++c) q[c] = 0;
      return;
    }
    for (int j = 0; j < 3; ++j) mean[3 * i + j] = s.pose.mean[j];
    for (int j = 0; j < 2; ++j) velocity[2 * i + j] = s.pose.velocity[j];
    for (int j = 0; j < 3; ++j) conic[3 * i + j] = s.pose.shape.conic[j];
    precision[i] = s.pose.precision;
    refine::color_of(m, q, s.pose.norm, color + i * m.channels);
  });
  const double sse =
      this->draw(MovingSplats{this->count(), m.channels, mean, velocity, conic, precision, color}, m.cutoff);
  std::vector<VisitModel::Level> table;
  for (int t = 0; t < this->film_->seen(); ++t)
    for (int l = 0; l < m.levels; ++l) table.push_back(this->level(t, l));
  table_ = Array<VisitModel::Level>(std::move(table));
  this->model_.level = table_.data();
  return sse;
}

ClipRefiner::ClipRefiner(std::vector<int32_t> integers, const Film& film, const Device& device, double step,
                         int chroma_step, double cutoff)
    : PassageRefiner(std::move(integers), kMovingFields, film, device, step, chroma_step, cutoff) {
  render();
}

ViewsRefiner::ViewsRefiner(std::vector<int32_t> integers, const Film& film, const Eyes& eyes, const Device& device,
                           double step, int chroma_step, double cutoff)
    : PassageRefiner(std::move(integers), kViewFields, film, device, step, chroma_step, cutoff) {
  model_.eyes = eyes;
  render();
}

}  // namespace splat2d
