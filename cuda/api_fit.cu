// The library's C interface for fitting: the classes of cpp/fit/fitter.hpp, clip_fitter.hpp and views_fitter.hpp, as
// the CPU's bindings have them.
#define SPLAT2D_GPU
#include <algorithm>
#include <memory>
#include <vector>

#include "api.hpp"
#include "fit/clip_fitter.hpp"
#include "fit/views_fitter.hpp"

namespace {

using namespace splat2d;
using splat2d::gpu::guarded;

Fit& fitter_of(void* handle) { return *static_cast<Fit*>(handle); }

void copy_out(const Array<float>& from, float* to) {
  const std::vector<float> values = from.host();
  std::copy(values.begin(), values.end(), to);
}

// Planes of all levels of a weighed distortion, each half of the one before and rounded up, one after another, from
// where they begin; moves behind them.
std::shared_ptr<const Distortion> distortion_at(const float** weights, Canvas canvas, int levels, double chroma = 1) {
  std::vector<std::vector<float>> planes;
  for (Canvas size = canvas; levels > 0; --levels, size = {(size.width + 1) / 2, (size.height + 1) / 2}) {
    planes.emplace_back(*weights, *weights + size.area());
    *weights += size.area();
  }
  return std::make_shared<const Distortion>(canvas, std::move(planes), Tint::of(static_cast<float>(chroma)));
}

// Of `count` pictures, one after another; none for SSE.
Film::Distortions distortions_at(const float* weights, Canvas canvas, int levels, int count, double chroma = 1) {
  Film::Distortions distortions;
  for (int t = 0; levels && t < count; ++t) distortions.push_back(distortion_at(&weights, canvas, levels, chroma));
  return distortions;
}

}  // namespace

// image [C, H, W] and background [C]; weights: of a distortion of so many levels, none for SSE. All of this machine's
// memory, and copied.
SPLAT2D_EXPORT int splat2d_cuda_fitter_open(const float* image, int channels, int width, int height,
                                            const float* background, double step, double lambda, double chroma_step,
                                            double cutoff, int memory, int natural_units, int rate_term,
                                            const float* weights, int levels, double chroma, void** fitter) {
  return guarded([&] {
    const Canvas canvas{width, height};
    std::shared_ptr<const Distortion> distortion;
    if (levels) distortion = distortion_at(&weights, canvas, levels, chroma);
    FitOptions o = fit_options(step, lambda, chroma_step, cutoff, memory);
    o.natural_units = natural_units != 0;
    o.rate_term = rate_term != 0;
    *fitter = static_cast<Fit*>(new Fitter(image, channels, canvas, background, o, std::move(distortion)));
  });
}

// frames [T, C, H, W], shifts [T, 2], gains [T] and background [C], where T is the number of those looked at; weights:
// of the frames' distortions, one after another.
SPLAT2D_EXPORT int splat2d_cuda_clip_fitter_open(const float* frames, int seen, int channels, int width, int height,
                                                 const float* shifts, const float* gains, int world_width,
                                                 int world_height, const float* background, double step, double lambda,
                                                 double chroma_step, double cutoff, int memory, const float* weights,
                                                 int levels, int every, int count, void** fitter) {
  return guarded([&] {
    Footage footage{{width, height}, {world_width, world_height}, {}, {gains, gains + seen}, count, every};
    for (int t = 0; t < seen; ++t) footage.shifts.push_back({shifts[2 * t], shifts[2 * t + 1]});
    Film::Distortions distortions = distortions_at(weights, footage.canvas, levels, seen);
    *fitter = static_cast<Fit*>(new ClipFitter(frames, channels, std::move(footage), background,
                                               fit_options(step, lambda, chroma_step, cutoff, memory),
                                               std::move(distortions)));
  });
}

// views [K, C, H, W], places [K, 2] of their eyes and background [C]; eyes: three numbers of all views of the file,
// which quantisation follows; weights: of the views' distortions, one after another.
SPLAT2D_EXPORT int splat2d_cuda_views_fitter_open(const float* views, int count, int channels, int width, int height,
                                                  const float* places, const int64_t* eyes, const float* background,
                                                  double step, double lambda, double chroma_step, double cutoff,
                                                  int memory, const float* weights, int levels, void** fitter) {
  return guarded([&] {
    const Canvas canvas{width, height};
    std::vector<Eye> at;
    for (int t = 0; t < count; ++t) at.push_back({places[2 * t], places[2 * t + 1]});
    *fitter = static_cast<Fit*>(new ViewsFitter(
        views, channels, canvas, std::move(at), {static_cast<int>(eyes[0]), eyes[1], eyes[2]}, background,
        fit_options(step, lambda, chroma_step, cutoff, memory), distortions_at(weights, canvas, levels, count)));
  });
}

SPLAT2D_EXPORT void splat2d_cuda_fitter_close(void* fitter) { delete static_cast<Fit*>(fitter); }

SPLAT2D_EXPORT void splat2d_cuda_fitter_numbers(void* fitter, int* count, double* sse, double* bits) {
  const Fit& self = fitter_of(fitter);
  *count = self.count();
  *sse = self.sse();
  *bits = self.bits();
}

// J / 2 of the present state.
SPLAT2D_EXPORT int splat2d_cuda_fitter_value(void* fitter, double* value) {
  return guarded([&] { *value = fitter_of(fitter).value(); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_set_rate(void* fitter, double step, double lambda) {
  return guarded([&] { fitter_of(fitter).set_rate(step, lambda); });
}

// weights: of the frames' distortions of so many levels, one after another.
SPLAT2D_EXPORT int splat2d_cuda_fitter_reweigh(void* fitter, const float* weights, int levels, double chroma) {
  return guarded([&] {
    Fit& self = fitter_of(fitter);
    const Film& film = self.film();
    self.reweigh(distortions_at(weights, film.footage().canvas, levels, film.seen(), chroma));
  });
}

// frames: as those that the fitter was made of.
SPLAT2D_EXPORT int splat2d_cuda_fitter_retarget(void* fitter, const float* frames) {
  return guarded([&] { fitter_of(fitter).retarget(frames); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_prune(void* fitter, double factor, int* removed) {
  return guarded([&] { *removed = fitter_of(fitter).prune(factor); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_seed(void* fitter, double threshold, double energy, double smallest,
                                            double largest, double ratio, double amplitude, double separation,
                                            int random, const double* durations, int lasting, const double* disparities,
                                            int planes, int* candidates, int* added) {
  return guarded([&] {
    const auto result = fitter_of(fitter).seed({threshold,
                                                energy,
                                                smallest,
                                                largest,
                                                ratio,
                                                amplitude,
                                                separation,
                                                random != 0,
                                                {durations, durations + lasting},
                                                {disparities, disparities + planes}});
    *candidates = result.candidates;
    *added = result.added;
  });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_rest(void* fitter) {
  return guarded([&] { fitter_of(fitter).rest(); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_refresh(void* fitter) {
  return guarded([&] { fitter_of(fitter).refresh(); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_step(void* fitter, int* stepped) {
  return guarded([&] { *stepped = fitter_of(fitter).step(); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_resample_from(void* fitter, void* other, double factor) {
  return guarded([&] { fitter_of(fitter).resample_from(fitter_of(other), factor); });
}

// Means [N, d], conics [N, 3], colours [N, C] to this machine's memory.
SPLAT2D_EXPORT int splat2d_cuda_fitter_splats(void* fitter, float* means, float* conics, float* colors) {
  return guarded([&] {
    const Fit& self = fitter_of(fitter);
    copy_out(self.state().means, means);
    copy_out(self.conics(), conics);
    copy_out(self.colors(), colors);
  });
}

// Adds splats: means [n, d], factors [n, d * d] and amplitudes [n, C].
SPLAT2D_EXPORT int splat2d_cuda_fitter_insert(void* fitter, const float* means, const float* factors, const float* k,
                                              int count) {
  return guarded([&] {
    Fit& self = fitter_of(fitter);
    const Rows& rows = self.rows();
    self.insert({means, means + rows.mean * count}, {factors, factors + rows.factor * count},
                {k, k + self.channels() * count});
  });
}

// Integers [N, C + 5], or + 9 in a clip, to this machine's memory.
SPLAT2D_EXPORT int splat2d_cuda_fitter_quantize(void* fitter, int32_t* integers) {
  return guarded([&] {
    const std::vector<int32_t> values = fitter_of(fitter).quantize();
    std::copy(values.begin(), values.end(), integers);
  });
}
