// The library's C interface for refining: cpp/refine/refiner.hpp's class, as the CPU's bindings have it.
#define SPLAT2D_GPU
#include <algorithm>
#include <stdexcept>
#include <vector>

#include "api.hpp"
#include "fit/clip_fitter.hpp"
#include "fit/views_fitter.hpp"
#include "refine/refiner.hpp"

namespace {

using namespace splat2d;
using splat2d::gpu::guarded;

Refinement& refiner_of(void* handle) { return *static_cast<Refinement*>(handle); }

template <class T>
void copy_out(const std::vector<T>& values, T* out) {
  std::copy(values.begin(), values.end(), out);
}

}  // namespace

// integers [count, C + fields of the fitter], of this machine's memory, are copied; the fitter, to whose film this
// refers, must outlive it.
SPLAT2D_EXPORT int splat2d_cuda_refiner_open(void* fitter, const int32_t* integers, int count, double step,
                                             int chroma_step, double cutoff, void** refiner) {
  return guarded([&] {
    const Fit& f = *static_cast<const Fit*>(fitter);
    const size_t size = static_cast<size_t>(count) * (f.channels() + f.fields());
    std::vector rows(integers, integers + size);
    Refinement* made;
    if (const auto* views = dynamic_cast<const ViewsFitter*>(&f))
      made = new ViewsRefiner(std::move(rows), f.film(), views->eyes(), f.device(), step, chroma_step, cutoff);
    else if (f.fields() == kMovingFields)
      made = new ClipRefiner(std::move(rows), f.film(), f.device(), step, chroma_step, cutoff);
    else
      made = new Refiner(std::move(rows), f.film(), f.device(), step, chroma_step, cutoff);
    *refiner = made;
  });
}

SPLAT2D_EXPORT void splat2d_cuda_refiner_close(void* refiner) { delete static_cast<Refinement*>(refiner); }

// Tables of this machine's memory: color [C, 3, 256], area [36, 512], aspect [36, 96]; and of clips, else null,
// duration [36, 64], time [4, 24], speed [2, 36, 129]. own: of pictures, CodeLengths [count], or null.
SPLAT2D_EXPORT int splat2d_cuda_refiner_sweep(void* refiner, double lambda, const float* color, const float* area,
                                              const float* aspect, double position, const float* duration,
                                              const float* time, const float* speed, uint64_t seed, double patience,
                                              int pairs, const void* own, int* changed, int* removed) {
  return guarded([&] {
    Refinement& self = refiner_of(refiner);
    const RefineResult r =
        self.sweep({lambda, seed, patience, pairs != 0}, {color, area, aspect, position, duration, time, speed},
                   static_cast<const CodeLengths*>(own));
    *changed = r.changed;
    *removed = r.removed;
  });
}

// As they were opened with.
SPLAT2D_EXPORT int splat2d_cuda_refiner_integers(void* refiner, int32_t* integers) {
  return guarded([&] { copy_out(refiner_of(refiner).integers(), integers); });
}

// [count]
SPLAT2D_EXPORT int splat2d_cuda_refiner_classes(void* refiner, int32_t* classes) {
  return guarded([&] { copy_out(refiner_of(refiner).classes(), classes); });
}

// [count]
SPLAT2D_EXPORT int splat2d_cuda_refiner_savings(void* refiner, float* savings) {
  return guarded([&] { copy_out(refiner_of(refiner).savings(), savings); });
}

SPLAT2D_EXPORT int splat2d_cuda_refiner_remove(void* refiner, const int32_t* indices, int count) {
  return guarded([&] {
    Refinement& self = refiner_of(refiner);
    const std::vector chosen(indices, indices + count);
    if (std::any_of(chosen.begin(), chosen.end(), [&](int32_t i) { return i < 0 || i >= self.count(); }))
      throw std::invalid_argument("indices must be those of splats");
    self.remove(chosen);
  });
}

SPLAT2D_EXPORT int splat2d_cuda_refiner_render(void* refiner, double* sse) {
  return guarded([&] { *sse = refiner_of(refiner).render(); });
}
