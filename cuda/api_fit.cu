// The library's C interface for fitting: cpp/fit/fitter.hpp's class, as the CPU's bindings have it.
#define SPLAT2D_GPU
#include <algorithm>
#include <memory>
#include <vector>

#include "api.hpp"
#include "fit/fitter.hpp"

namespace {

using namespace splat2d;
using splat2d::gpu::guarded;

Fit& fitter_of(void* handle) { return *static_cast<Fit*>(handle); }

void copy_out(const Array<float>& from, float* to) {
  const std::vector<float> values = from.host();
  std::copy(values.begin(), values.end(), to);
}

}  // namespace

// image [C, H, W] and background [C]; weights: `levels` planes of a weighed distortion, each half of the one before
// and rounded up, one after another. All of this machine's memory, and copied.
SPLAT2D_EXPORT int splat2d_cuda_fitter_open(const float* image, int channels, int width, int height,
                                            const float* background, double step, double lambda, double chroma_step,
                                            double cutoff, int memory, int natural_units, int rate_term,
                                            const float* weights, int levels, void** fitter) {
  return guarded([&] {
    const Canvas canvas{width, height};
    std::shared_ptr<const Distortion> distortion;
    if (levels) {
      std::vector<std::vector<float>> planes;
      Canvas size = canvas;
      for (int l = 0; l < levels; ++l) {
        planes.emplace_back(weights, weights + size.area());
        weights += size.area();
        size = {(size.width + 1) / 2, (size.height + 1) / 2};
      }
      distortion = std::make_shared<const Distortion>(canvas, std::move(planes));
    }
    FitOptions o;
    o.step = step;
    o.lambda = lambda;
    o.chroma_step = chroma_step;
    o.cutoff = cutoff;
    o.memory = memory;
    o.natural_units = natural_units != 0;
    o.rate_term = rate_term != 0;
    *fitter = static_cast<Fit*>(new Fitter(image, channels, canvas, background, o, std::move(distortion)));
  });
}

SPLAT2D_EXPORT void splat2d_cuda_fitter_close(void* fitter) { delete static_cast<Fit*>(fitter); }

SPLAT2D_EXPORT void splat2d_cuda_fitter_numbers(void* fitter, int* count, double* sse, double* bits) {
  const Fit& self = fitter_of(fitter);
  *count = self.count();
  *sse = self.sse();
  *bits = self.bits();
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_set_rate(void* fitter, double step, double lambda) {
  return guarded([&] { fitter_of(fitter).set_rate(step, lambda); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_prune(void* fitter, double factor, int* removed) {
  return guarded([&] { *removed = fitter_of(fitter).prune(factor); });
}

SPLAT2D_EXPORT int splat2d_cuda_fitter_seed(void* fitter, double threshold, double energy, double smallest,
                                            double largest, double ratio, double amplitude, double separation,
                                            int random, int* candidates, int* added) {
  return guarded([&] {
    const auto result =
        fitter_of(fitter).seed({threshold, energy, smallest, largest, ratio, amplitude, separation, random != 0});
    *candidates = result.candidates;
    *added = result.added;
  });
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

// Means [N, 2], conics [N, 3], colours [N, C] to this machine's memory.
SPLAT2D_EXPORT int splat2d_cuda_fitter_splats(void* fitter, float* means, float* conics, float* colors) {
  return guarded([&] {
    const Fit& self = fitter_of(fitter);
    copy_out(self.state().means, means);
    copy_out(self.conics(), conics);
    copy_out(self.colors(), colors);
  });
}

// Integers [N, C + 5] to this machine's memory.
SPLAT2D_EXPORT int splat2d_cuda_fitter_quantize(void* fitter, int32_t* integers) {
  return guarded([&] {
    const std::vector<int32_t> values = fitter_of(fitter).quantize();
    std::copy(values.begin(), values.end(), integers);
  });
}
