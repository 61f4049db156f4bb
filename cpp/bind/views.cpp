#include <nanobind/stl/array.h>
#include <nanobind/stl/shared_ptr.h>

#include <array>

#include "bind/arrays.hpp"
#include "bind/fit.hpp"
#include "bind/workers.hpp"
#include "fit/views_fitter.hpp"
#include "math/pool.hpp"
#include "refine/refiner.hpp"

namespace splat2d {
namespace {

using Floats1 = In<float, nb::ndim<1>>;
using Floats4 = In<float, nb::ndim<4>>;

}  // namespace

void bind_views(nb::module_& m) {
  nb::class_<ViewsFitter, Fit>(m, "ViewsFitter")
      .def(
          "__init__",
          [](ViewsFitter* self, const Floats4& views, const Floats2& places, const std::array<int64_t, 3>& eyes,
             const Floats1& background, double step, double lambda, double chroma_step, double cutoff, int memory,
             int threads, Film::Distortions distortions) {
            const size_t channels = views.shape(1), count = views.shape(0);
            require(channels >= 1 && channels <= kMaxChannels, "views must be [K, C, H, W] with C from 1 to 4");
            require(count >= 1 && places.shape(0) == count && places.shape(1) == 2, "places must be [K, 2]");
            require(background.shape(0) == channels, "background must have one value a channel");
            require(
                eyes[0] >= 2 && eyes[0] <= kMostViews && eyes[1] >= 1 && eyes[2] >= eyes[1] && eyes[2] <= kFarthestEye,
                "eyes are out of range");
            const Canvas canvas = make_canvas(static_cast<int>(views.shape(3)), static_cast<int>(views.shape(2)));
            require_distortions(distortions, count, canvas);
            std::vector<Eye> at;
            for (size_t t = 0; t < count; ++t) at.push_back({places.data()[2 * t], places.data()[2 * t + 1]});
            FitOptions o = fit_options(step, lambda, chroma_step, cutoff, memory);
            o.threads = granted_threads(threads);
            nb::gil_scoped_release release;
            new (self) ViewsFitter(views.data(), static_cast<int>(channels), canvas, std::move(at),
                                   {static_cast<int>(eyes[0]), eyes[1], eyes[2]}, background.data(), o,
                                   std::move(distortions));
          },
          "views"_a.noconvert(), "places"_a.noconvert(), "eyes"_a, "background"_a.noconvert(), "step"_a, "lmbda"_a,
          "chroma_step"_a = 1.25, "cutoff"_a = 9.5, "memory"_a = 12, "threads"_a = 1,
          "distortions"_a = Film::Distortions());

  nb::class_<ViewsRefiner, Refinement>(m, "ViewsRefiner")
      .def(
          "__init__",
          [](ViewsRefiner* self, const Ints2& integers, const ViewsFitter& fit, double step, int chroma_step,
             double cutoff) {
            require(integers.shape(1) == static_cast<size_t>(fit.channels() + kViewFields),
                    "integers must be [N, C + 6]");
            new (self) ViewsRefiner({integers.data(), integers.data() + integers.size()}, fit.film(), fit.eyes(),
                                    fit.device(), step, chroma_step, cutoff);
          },
          "integers"_a.noconvert(), "fitter"_a, "step"_a, "chroma_step"_a = 10, "cutoff"_a = 12.25,
          nb::keep_alive<1, 3>());
}

}  // namespace splat2d
