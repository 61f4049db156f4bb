#include "fit/fitter.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace splat2d {

namespace {

// Amplitude in D that stands for all splats without natural units; the best of 1, 2, 4 ... 64.
constexpr double kPlainAmplitude = 16.0;

}  // namespace

Fit::Fit(const float* frames, Rows rows, int channels, Footage footage, const float* background, FitOptions options,
         Film::Distortions distortions)
    : Descent(Device(options.threads), rows, channels, options.memory),
      film_(frames, channels, std::move(footage), background, std::move(distortions)),
      options_(options),
      squares_(film_.seen()),
      weighed_(film_.seen()) {}

void Fit::rest() {
  residual_ = {};
  error_ = {};
  seed_densities_.clear();
  stale_ = true;
}

void Fit::wake() {
  const size_t all = film_.size() * film_.seen();
  residual_.resize(all);
  if (film_.densities()) error_.resize(all);
}

void Fit::set_rate(double step, double lambda) {
  options_.step = step;
  options_.lambda = lambda;
  FitModel& m = model();
  std::fill_n(m.steps, kMaxChannels, static_cast<float>(step));
  if (channels_ >= 3) m.steps[1] = m.steps[2] = static_cast<float>(step * options_.chroma_step);
  m.lambda = static_cast<float>(lambda);
  m.plain_amplitude = static_cast<float>(kPlainAmplitude * step);
}

void Fit::reweigh(Film::Distortions distortions) {
  film_.reweigh(std::move(distortions));
  seed_densities_.clear();
  model().densities = film_.densities();
  model().tint = tint_of(film_.distortion(0), channels_);
}

void Fit::resample_from(const Fit& other, double factor) {
  const float by = static_cast<float>(factor);
  state_ = other.state();
  // Times and durations stay.
  const auto scale = [&](Array<float>* array, int row, int lengths) {
    float* v = array->data();
    const int64_t count = static_cast<int64_t>(array->size());
    device_.for_each(count, [=] SPLAT2D_LOOP(int64_t i) {
      if (i % row < lengths) v[i] *= by;
    });
  };
  scale(&state_.means, rows_.mean, scaled()[0]);
  scale(&state_.frames, rows_.factor, scaled()[1]);
  scale(&state_.k, 1, 1);
  memory_.clear();
  // Limits are in px. What lies beyond one now would be moved by the shortest step, whose promise then cannot be kept.
  look_up();
  const FitState from = state();
  Array<float> nothing(static_cast<size_t>(parameters()) * count());
  limit(from, &nothing);
  move(nothing, 0, from);
  refresh();
}

void Fit::insert(const std::vector<float>& means, const std::vector<float>& frames, const std::vector<float>& k) {
  add(means, frames, k);
  refresh();
}

Fit::SeedResult Fit::seed(const SeedOptions& options) {
  if (stale_) evaluated();
  return plant(options);
}

double Fit::evaluated() {
  evaluate();
  numbers_.fetch();
  return value();
}

std::vector<float> Fit::natural_gradient() {
  Array<float> out;
  evaluate();
  gradient(&out);
  return out.host();
}

double Fit::value() {
  sse_ = numbers_[kSse];
  distortion_ = film_.densities() ? numbers_[kWeighed] : sse_;
  bits_ = numbers_[kBits];
  return 0.5 * (distortion_ + (options_.rate_term ? options_.lambda * bits_ : 0.0));
}

void Fit::weigh(const Device& device, int t) {
  const size_t at = t * film_.size();
  if (const Distortion* distortion = film_.distortion(t))
    distortion->evaluate(device, residual_.data() + at, channels_, error_.data() + at, weighed_.data() + t,
                         film_.headroom(t).signs);
}

void Fit::sum_up() {
  const auto total = [&](const Array<double>& values, int to) {
    const double each = film_.footage().every, *value = values.data();
    device_.sum(film_.seen(), [=] SPLAT2D_LOOP(int64_t t) { return each * value[t]; }, numbers_.at(to));
  };
  total(squares_, kSse);
  if (film_.densities()) total(weighed_, kWeighed);
}

template <class Course>
FitOf<Course>::FitOf(const float* frames, int channels, Footage footage, const float* background, FitOptions options,
                     Film::Distortions distortions)
    : Fit(frames, {Course::kMean, Course::kFactor, Course::kParameters}, channels, std::move(footage), background,
          options, std::move(distortions)) {
  course_.channels = channels;
  course_.canvas = film_.footage().world;
  std::copy_n(color_basis(channels), channels * channels, course_.basis);
  course_.least_energy = static_cast<float>(options.amplitude_floor * options.amplitude_floor);
  course_.natural_units = options.natural_units;
  course_.densities = film_.densities();
  course_.tint = tint_of(film_.distortion(0), channels);
  if constexpr (requires { course_.reel; }) {
    if constexpr (requires { course_.frames; }) course_.frames = film_.footage().frames;
    course_.reel = film_.reel(options.cutoff);
  }
  set_rate(options.step, options.lambda);
}

template <class Course>
void FitOf<Course>::look_up() {
  constexpr int M = Course::kMean, F = Course::kFactor;
  density_.resize(count());
  const Course course = course_;
  const float *means = state_.means.data(), *frames = state_.frames.data();
  float* density = density_.data();
  device_.for_each(count(),
                   [=] SPLAT2D_LOOP(int64_t i) { density[i] = course.density(means + M * i, frames + F * i); });
}

template <class Course>
void FitOf<Course>::evaluate() {
  stale_ = false;
  wake();
  constexpr int M = Course::kMean, F = Course::kFactor;
  const size_t n = count();
  shapes_.resize(n);
  conics_.resize(3 * n);
  colors_.resize(channels_ * n);
  const int C = channels_;
  const Course course = course_;
  const float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  float *conics = conics_.data(), *colors = colors_.data();
  auto* shapes = shapes_.data();
  const auto shape_and_bits = [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = means + M * i, *l = frames + F * i;
    shapes[i] = course.see(mean, l, k + C * i, conics + 3 * i, colors + C * i);
    return static_cast<double>(course.bits(shapes[i], mean, l, k + C * i));
  };
  device_.sum(count(), shape_and_bits, numbers_.at(kBits));
  draw();
  sum_up();
}

template <class Course>
void FitOf<Course>::move(const Array<float>& direction, float t, const FitState& from) {
  constexpr int M = Course::kMean, F = Course::kFactor;
  const int C = channels_, P = parameters();
  const Course course = course_;
  const float *z = direction.data(), *from_means = from.means.data(), *from_frames = from.frames.data(),
              *from_k = from.k.data();
  const Units* units = units_.data();
  float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = from_means + M * i, *l = from_frames + F * i, *amplitudes = from_k + C * i;
    course.move(units[i], z + P * i, t, mean, l, amplitudes, means + M * i, frames + F * i, k + C * i);
  });
}

template <class Course>
void FitOf<Course>::limit(const FitState& at, Array<float>* direction) const {
  constexpr int M = Course::kMean, F = Course::kFactor;
  const int C = channels_, P = parameters();
  const Course course = course_;
  const float *means = at.means.data(), *frames = at.frames.data(), *k = at.k.data();
  const float* density = density_.data();
  float* z = direction->data();
  units_.resize(count());
  Units* units = units_.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = means + M * i, *l = frames + F * i;
    units[i] = fit::units_of(course, k + C * i, density[i]);
    const float limit = fit::trust(units[i]);
    for (int j = C; j < P; ++j) z[P * i + j] = clamp(z[P * i + j], -limit, limit);
    course.hold(mean, l, 1.0f, z + P * i);
  });
}

template <class Course>
int FitOf<Course>::prune(double factor) {
  constexpr int M = Course::kMean, F = Course::kFactor;
  const int n = count(), C = channels_;
  const Course course = course_;
  const double price = factor * options_.lambda;
  const float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  const float *colors = colors_.data(), *v_colors = v_colors_.data();
  const auto* shapes = shapes_.data();
  Array<uint8_t> pays(n);
  uint8_t* to = pays.data();
  device_.for_each(n, [=] SPLAT2D_LOOP(int64_t i) {
    double energy = 0, cross = 0;
    for (int64_t j = C * i; j < C * (i + 1); ++j) {
      energy += k[j] * k[j];
      cross += colors[j] * v_colors[j];
    }
    if (!course.tint.plain()) {
      const double luma = course.luma(k + C * i);
      energy = course.tint.luma * luma * luma;
      for (int c = 0; c < C; ++c) energy += course.tint.part(c) * k[C * i + c] * k[C * i + c];
    }
    const float *mean = means + M * i, *l = frames + F * i;
    const double bits = Course::kConstantBits + course.bits(shapes[i], mean, l, k + C * i);
    // Distortion without the splat minus distortion with it
    const double saved = course.density(mean, l) * energy - 2 * cross;
    to[i] = saved > price * (bits > Course::kLeastPruneBits ? bits : Course::kLeastPruneBits);
  });
  stale_ = true;
  return keep(pays.host());
}

template <class Course>
std::vector<int32_t> FitOf<Course>::quantize() const {
  constexpr int M = Course::kMean, F = Course::kFactor;
  const int n = count(), C = channels_, width = C + Course::kFields;
  const std::vector<float> means = state_.means.host(), frames = state_.frames.host(), k = state_.k.host();
  const ColorSteps steps = color_steps(C, static_cast<int>(std::lround(8 * options_.chroma_step)));
  std::vector<int32_t> out(static_cast<size_t>(width) * n, 0);
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    int32_t* q = &out[width * i];
    if (quantize_colors(&k[C * i], course_.steps, C, q))
      course_.quantize(energy_class(q, steps), &means[M * i], &frames[F * i], q + C);
  }
  return out;
}

template class FitOf<Plane>;
template class FitOf<InTime>;
template class FitOf<OverViews>;

Fitter::Fitter(const float* image, int channels, Canvas canvas, const float* background, FitOptions options,
               std::shared_ptr<const Distortion> distortion)
    : FitOf(image, channels, Footage::still(canvas), background, options,
            distortion ? Film::Distortions{std::move(distortion)} : Film::Distortions{}) {
  refresh();
}

void Fitter::draw() {
  const Splats s{count(), channels_, state_.means.data(), conics_.data(), colors_.data()};
  device_.render(s, film_.footage().canvas, static_cast<float>(options_.cutoff), film_.base(0), film_.headroom(0),
                 residual_.data(), squares_.data());
  weigh(device_, 0);
}

void Fitter::gradient(Array<float>* out) {
  const int n = count(), C = channels_, P = parameters();
  const size_t rows = n;
  out->resize(P * rows);
  v_means_.resize(2 * rows);
  v_conics_.resize(3 * rows);
  v_colors_.resize(C * rows);
  const Splats s{n, C, state_.means.data(), conics_.data(), colors_.data()};
  device_.backward(s, film_.footage().canvas, static_cast<float>(options_.cutoff), error(0), v_means_.data(),
                   v_conics_.data(), v_colors_.data());
  const Plane course = course_;
  const bool rate_term = options_.rate_term;
  const float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  const float *colors = colors_.data(), *norms = shapes_.data(), *density = density_.data();
  const float *v_means = v_means_.data(), *v_conics = v_conics_.data(), *v_colors = v_colors_.data();
  float* to = out->data();
  device_.for_each(n, [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = means + 2 * i, *l = frames + 4 * i;
    float* v = to + P * i;
    const Units units = fit::units_of(course, k + C * i, density[i]);
    fit::natural_gradient(course, units, l, colors + C * i, norms[i], v_means + 2 * i, v_conics + 3 * i,
                          v_colors + C * i, v);
    if (rate_term) fit::add_rate_gradient(course, units, l, k + C * i, v);
    course.hold(mean, l, -1.0f, v);
  });
}

}  // namespace splat2d
