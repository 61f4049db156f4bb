#include "fit/views_fitter.hpp"

#include <algorithm>
#include <utility>

namespace splat2d {

namespace {

constexpr int kParts = 8;  // of the views, so that sums have one order whatever the number of threads

}  // namespace

ViewsFitter::ViewsFitter(const float* views, int channels, Canvas canvas, std::vector<Eye> places, Eyes eyes,
                         const float* background, FitOptions options, Film::Distortions distortions)
    : FitOf(views, channels, Footage::views(canvas, std::move(places)), background, options, std::move(distortions)) {
  course_.views = film_.seen();
  course_.eyes = eyes;
  course_.spread = static_cast<float>(eyes.spread) / (1 << kEyeBits);
  refresh();
}

Splats ViewsFitter::seen(const Device& device, int t, Workspace* workspace) const {
  workspace->means.resize(2 * static_cast<size_t>(count()));
  const float* from = state_.means.data();
  float* means = workspace->means.data();
  const Eye* eyes = course_.reel.eyes;
  device.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    means[2 * i] = from[3 * i] + from[3 * i + 2] * eyes[t].u;
    means[2 * i + 1] = from[3 * i + 1] + from[3 * i + 2] * eyes[t].v;
  });
  return {count(), channels_, means, conics_.data(), colors_.data()};
}

void ViewsFitter::draw() {
  const float cutoff = static_cast<float>(options_.cutoff);
  device_.for_devices<Workspace>(film_.seen(), [&](const Device& device, int64_t i, Workspace* workspace) {
    const int t = static_cast<int>(i);
    device.render(seen(device, t, workspace), film_.footage().canvas, cutoff, film_.base(t), film_.headroom(t),
                  residual_.data() + t * film_.size(), squares_.data() + t);
    Fit::weigh(device, t);
  });
}

void ViewsFitter::add_gradients(const Device& device, int t, int part, Workspace* workspace) {
  const size_t n = count();
  const int C = channels_, width = row();
  workspace->v_means.resize(2 * n);
  workspace->v_conics.resize(3 * n);
  workspace->v_colors.resize(C * n);
  device.backward(seen(device, t, workspace), film_.footage().canvas, static_cast<float>(options_.cutoff), error(t),
                  workspace->v_means.data(), workspace->v_conics.data(), workspace->v_colors.data());
  const float *v_means = workspace->v_means.data(), *v_conics = workspace->v_conics.data(),
              *v_colors = workspace->v_colors.data();
  const Eye* eyes = course_.reel.eyes;
  float* sums = sums_.data() + n * width * part;
  device.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    float* to = sums + width * i;
    for (int a = 0; a < 2; ++a) to[a] += v_means[2 * i + a];
    to[2] += eyes[t].u * v_means[2 * i] + eyes[t].v * v_means[2 * i + 1];
    for (int a = 0; a < 3; ++a) to[3 + a] += v_conics[3 * i + a];
    for (int c = 0; c < C; ++c) to[6 + c] += v_colors[C * i + c];
  });
}

void ViewsFitter::gradient(Array<float>* out) {
  const int C = channels_, P = parameters(), width = row(), seen = film_.seen(), parts = std::min(kParts, seen);
  const size_t n = count();
  out->resize(P * n);
  v_colors_.resize(C * n);
  sums_ = Array<float>(std::vector<float>(parts * n * width, 0.0f));
  device_.for_devices<Workspace>(parts, [&](const Device& device, int64_t part, Workspace* workspace) {
    const int p = static_cast<int>(part);
    for (int t = seen * p / parts; t < seen * (p + 1) / parts; ++t) add_gradients(device, t, p, workspace);
  });
  const OverViews course = course_;
  const bool rate_term = options_.rate_term;
  const float *norms = shapes_.data(), *means = state_.means.data(), *frames = state_.frames.data(),
              *k = state_.k.data(), *colors = colors_.data(), *density = density_.data();
  float *sums = sums_.data(), *v_colors = v_colors_.data(), *to = out->data();
  const int64_t rows = count();
  device_.for_each(rows, [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = means + 3 * i, *l = frames + 4 * i;
    float* sum = sums + width * i;
    for (int64_t part = 1; part < parts; ++part)
      for (int j = 0; j < width; ++j) sum[j] += sums[width * (rows * part + i) + j];
    for (int c = 0; c < C; ++c) v_colors[C * i + c] = sum[6 + c];
    float* v = to + P * i;
    const Units units = fit::units_of(course, k + C * i, density[i]);
    fit::natural_gradient(course, units, l, colors + C * i, norms[i], sum, sum + 3, sum + 6, v);
    v[C + 5] = course.natural_disparity(units, l, sum[2]);
    if (rate_term) course.add_rate_gradient(units, l, k + C * i, v);
    course.hold(mean, l, -1.0f, v);
  });
}

}  // namespace splat2d
