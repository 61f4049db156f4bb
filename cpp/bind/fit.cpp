#include "bind/fit.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>

#include <optional>

#include "bind/arrays.hpp"
#include "bind/workers.hpp"
#include "fit/clip_fitter.hpp"
#include "fit/windows.hpp"
#include "math/pool.hpp"
#include "refine/refiner.hpp"

namespace splat2d {
namespace {

using Floats1 = In<float, nb::ndim<1>>;
using Floats4 = In<float, nb::ndim<4>>;

Canvas canvas_of(const Floats3& image) {
  require(image.shape(0) >= 1 && image.shape(0) <= kMaxChannels, "image must be [C, H, W] with C from 1 to 4");
  return make_canvas(static_cast<int>(image.shape(2)), static_cast<int>(image.shape(1)));
}

constexpr size_t kLeastCells = 4;  // coefficients along a side of a motion field

Footage make_footage(const Floats4& frames, const Floats2& shifts, const Floats1& gains, int width, int height,
                     int every, int count, const std::optional<Floats4>& field, float cell, float margin) {
  require(frames.shape(1) >= 1 && frames.shape(1) <= kMaxChannels, "frames must be [T, C, H, W] with C from 1 to 4");
  require(frames.shape(0) >= 1, "frames must have at least one frame");
  require(shifts.shape(0) == frames.shape(0) && shifts.shape(1) == 2, "shifts must be [T, 2]");
  Footage f;
  f.canvas = make_canvas(static_cast<int>(frames.shape(3)), static_cast<int>(frames.shape(2)));
  f.world = make_canvas(width, height);
  require(gains.shape(0) == frames.shape(0), "gains must have one value a frame");
  f.gains.assign(gains.data(), gains.data() + gains.size());
  require(every >= 1, "every 1 frame or more");
  f.every = every;
  f.frames = count ? count : static_cast<int>(frames.shape(0));
  require((f.frames + every - 1) / every == static_cast<int>(frames.shape(0)), "frames must be every so many of count");
  for (size_t t = 0; t < frames.shape(0); ++t) f.shifts.push_back({shifts.data()[2 * t], shifts.data()[2 * t + 1]});
  if (field) {
    require(field->shape(0) == frames.shape(0) && field->shape(1) >= kLeastCells && field->shape(2) >= kLeastCells &&
                field->shape(3) == 2,
            "a motion field must be [T, rows, columns, 2] with 4 rows and columns at least");
    f.field = MotionField(static_cast<int>(field->shape(0)), static_cast<int>(field->shape(1)),
                          static_cast<int>(field->shape(2)), cell, margin, field->data());
  }
  return f;
}

std::vector<int32_t> checked_integers(const Ints2& integers, const Fit& fit) {
  require(integers.shape(1) == static_cast<size_t>(fit.channels() + fit.fields()), "integers must be [N, C + fields]");
  return {integers.data(), integers.data() + integers.size()};
}

using OwnLengths = std::optional<nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>>;

nb::tuple sweep(Refinement& self, const SweepPlan& plan, const RateTables& rates, const OwnLengths& own = {}) {
  if (own)
    require(own->shape(0) == static_cast<size_t>(self.count()) && own->shape(1) == sizeof(CodeLengths) &&
                reinterpret_cast<uintptr_t>(own->data()) % alignof(CodeLengths) == 0,
            "code lengths must be those of all splats");
  const auto* lengths = own ? reinterpret_cast<const CodeLengths*>(own->data()) : nullptr;
  RefineResult r;
  {
    nb::gil_scoped_release release;
    r = self.sweep(plan, rates, lengths);
  }
  return nb::make_tuple(r.changed, r.removed);
}

// It refers to the fit's film; the binding keeps the fit alive.
template <class R, class F>
void bind_refiner(nb::module_& m, const char* name) {
  nb::class_<R, Refinement>(m, name).def(
      "__init__",
      [](R* self, const Ints2& integers, const F& fit, double step, int chroma_step, double cutoff) {
        new (self) R(checked_integers(integers, fit), fit.film(), fit.device(), step, chroma_step, cutoff);
      },
      "integers"_a.noconvert(), "fitter"_a, "step"_a, "chroma_step"_a = 10, "cutoff"_a = 12.25, nb::keep_alive<1, 3>());
}

}  // namespace

void bind_fit(nb::module_& m) {
  m.def(
      "windowed",
      [](const Floats3& planes, const Floats1& taps, int threads) {
        const size_t channels = planes.shape(0), height = planes.shape(1), width = planes.shape(2);
        const Canvas canvas = make_canvas(static_cast<int>(width), static_cast<int>(height));
        require(taps.size() % 2 == 1, "a window must have an odd number of taps");
        std::unique_ptr<float[]> out;
        {
          nb::gil_scoped_release release;
          out = windowed(planes.data(), static_cast<int>(channels), canvas, {taps.data(), taps.data() + taps.size()},
                         granted_threads(threads));
        }
        return numpy(std::move(out), {channels, height, width});
      },
      "planes"_a.noconvert(), "taps"_a.noconvert(), "threads"_a = 1);

  nb::class_<Distortion>(m, "Distortion")
      .def(
          "__init__",
          [](Distortion* self, const std::vector<Floats2>& weights, float chroma) {
            require(!weights.empty() && weights.size() <= Distortion::kMaxLevels, "weights must have 1 to 8 levels");
            const Canvas canvas =
                make_canvas(static_cast<int>(weights[0].shape(1)), static_cast<int>(weights[0].shape(0)));
            std::vector<std::vector<float>> planes;
            size_t height = weights[0].shape(0), width = weights[0].shape(1);
            for (const Floats2& w : weights) {
              require(w.shape(0) == height && w.shape(1) == width, "each level must be half of the one before");
              planes.emplace_back(w.data(), w.data() + w.size());
              height = (height + 1) / 2;
              width = (width + 1) / 2;
            }
            new (self) Distortion(canvas, std::move(planes), Tint::of(chroma));
          },
          "weights"_a, "chroma"_a = 1.0f)
      .def(
          "evaluate",
          [](const Distortion& self, const Floats3& error, int threads) {
            const size_t channels = error.shape(0), height = error.shape(1), width = error.shape(2);
            const Canvas canvas = canvas_of(error);
            require(canvas.width == self.canvas(0).width && canvas.height == self.canvas(0).height,
                    "error must have the weights' size");
            std::vector<float> gradient(error.size());
            double total = 0;
            self.evaluate(Device(granted_threads(threads)), error.data(), static_cast<int>(channels), gradient.data(),
                          &total);
            return nb::make_tuple(total, numpy(std::move(gradient), {channels, height, width}));
          },
          "error"_a.noconvert(), "threads"_a = 1);

  m.attr("MOVING_SPLAT_BITS") = InTime::kConstantBits;
  nb::class_<Fit>(m, "Fit")
      .def_prop_ro("count", &Fit::count)
      .def_prop_ro("sse", &Fit::sse)
      .def_prop_ro("bits", &Fit::bits)
      .def("set_rate", &Fit::set_rate, "step"_a, "lmbda"_a)
      .def(
          "reweigh",
          [](Fit& self, Film::Distortions distortions) {
            require(self.film().densities(), "errors that are not weighed cannot be weighed differently");
            require_distortions(distortions, self.film().seen(), self.film().footage().canvas);
            self.reweigh(std::move(distortions));
          },
          "distortions"_a)
      .def("prune", &Fit::prune, "factor"_a, nb::call_guard<nb::gil_scoped_release>())
      .def(
          "seed",
          [](Fit& self, double threshold, double energy, double smallest, double largest, double ratio,
             double amplitude, double separation, bool random, std::vector<double> durations,
             std::vector<double> disparities, const std::optional<Floats4>& flow, float block) {
            BlockFlow blocks;
            if (flow) {
              require(flow->shape(0) == static_cast<size_t>(self.film().footage().frames) && flow->shape(3) == 2,
                      "a flow must be [frames, rows, columns, 2]");
              require(flow->shape(1) > 0 && flow->shape(2) > 0 && block > 0, "a flow must have blocks");
              blocks = {{flow->data(), flow->data() + flow->size()},
                        static_cast<int>(flow->shape(1)),
                        static_cast<int>(flow->shape(2)),
                        block};
            }
            Fit::SeedResult r;
            {
              nb::gil_scoped_release release;
              r = self.seed({threshold, energy, smallest, largest, ratio, amplitude, separation, random,
                             std::move(durations), std::move(disparities), std::move(blocks)});
            }
            return nb::make_tuple(r.candidates, r.added);
          },
          "threshold"_a, "energy"_a, "smallest"_a = 0.45, "largest"_a = 24.0, "ratio"_a = 1.6, "amplitude"_a = 0.8,
          "separation"_a = 1.2, "random"_a = false, "durations"_a = std::vector<double>(),
          "disparities"_a = std::vector<double>(), "flow"_a.noconvert() = nb::none(), "block"_a = 1.0f)
      .def("rest", &Fit::rest)
      .def(
          "refresh", [](Fit& self) { self.refresh(); }, nb::call_guard<nb::gil_scoped_release>())
      .def(
          "step", [](Fit& self) { return self.step(); }, nb::call_guard<nb::gil_scoped_release>())
      .def(
          "resample_from",
          [](Fit& self, const Fit& other, double factor) {
            require(other.channels() == self.channels() && other.fields() == self.fields(),
                    "both fits must be of one kind");
            self.resample_from(other, factor);
          },
          "other"_a, "factor"_a, nb::call_guard<nb::gil_scoped_release>())
      .def(
          "insert",
          [](Fit& self, const Floats2& means, const Floats2& frames, const Floats2& k) {
            const size_t n = means.shape(0), m = self.rows().mean, f = self.rows().factor;
            require(means.shape(1) == m && frames.shape(1) == f, "means or frames have another number of columns");
            require(frames.shape(0) == n && k.shape(0) == n, "means, frames and k must have the same number of rows");
            require(k.shape(1) == static_cast<size_t>(self.channels()), "k must be [N, C]");
            const auto values = [](const Floats2& a) { return std::vector<float>(a.data(), a.data() + a.size()); };
            self.insert(values(means), values(frames), values(k));
          },
          "means"_a.noconvert(), "frames"_a.noconvert(), "k"_a.noconvert())
      .def("state",
           [](const Fit& self) {
             const FitState s = self.state();
             const size_t n = self.count(), c = self.channels(), m = self.rows().mean, f = self.rows().factor;
             return nb::make_tuple(numpy(s.means.host(), {n, m}), numpy(s.frames.host(), {n, f}),
                                   numpy(s.k.host(), {n, c}));
           })
      .def("splats",
           [](const Fit& self) {
             const size_t n = self.count(), c = self.channels(), m = self.rows().mean;
             return nb::make_tuple(numpy(self.state().means.host(), {n, m}), numpy(self.conics().host(), {n, 3}),
                                   numpy(self.colors().host(), {n, c}));
           })
      .def("quantize",
           [](const Fit& self) {
             const size_t n = self.count();
             return numpy(self.quantize(), {n, static_cast<size_t>(self.channels() + self.fields())});
           })
      .def("value", &Fit::evaluated)
      .def("natural_gradient", [](Fit& self) {
        const size_t n = self.count();
        std::vector<float> v = self.natural_gradient();
        return numpy(std::move(v), {n, n ? v.size() / n : 0});
      });

  nb::class_<Fitter, Fit>(m, "Fitter")
      .def(
          "__init__",
          [](Fitter* self, const Floats3& image, const In<float, nb::ndim<1>>& background, double step, double lambda,
             double chroma_step, double cutoff, int memory, int threads, std::shared_ptr<const Distortion> distortion,
             bool natural_units, bool rate_term) {
            const Canvas canvas = canvas_of(image);
            require(background.shape(0) == image.shape(0), "background must have one value a channel");
            require(!distortion ||
                        (distortion->canvas(0).width == canvas.width && distortion->canvas(0).height == canvas.height),
                    "distortion must have the picture's size");
            FitOptions o = fit_options(step, lambda, chroma_step, cutoff, memory);
            o.threads = granted_threads(threads);
            o.natural_units = natural_units;
            o.rate_term = rate_term;
            nb::gil_scoped_release release;
            new (self) Fitter(image.data(), static_cast<int>(image.shape(0)), canvas, background.data(), o,
                              std::move(distortion));
          },
          "image"_a.noconvert(), "background"_a.noconvert(), "step"_a, "lmbda"_a, "chroma_step"_a = 1.25,
          "cutoff"_a = 9.5, "memory"_a = 12, "threads"_a = 1, "distortion"_a = nb::none(), "natural_units"_a = true,
          "rate_term"_a = true)
      .def(
          "retarget",
          [](Fitter& self, const Floats3& image) {
            const Canvas canvas = canvas_of(image), own = self.film().footage().canvas;
            require(static_cast<int>(image.shape(0)) == self.film().channels() && canvas.width == own.width &&
                        canvas.height == own.height,
                    "image must have the shape of the one before");
            self.retarget(image.data());
          },
          "image"_a.noconvert());

  nb::class_<ClipFitter, Fit>(m, "ClipFitter")
      .def(
          "__init__",
          [](ClipFitter* self, const Floats4& frames, const Floats2& shifts, const Floats1& gains, int width,
             int height, const Floats1& background, double step, double lambda, double chroma_step, double cutoff,
             int memory, int threads, Film::Distortions distortions, int every, int count,
             const std::optional<Floats4>& field, float cell, float margin) {
            require(background.shape(0) == frames.shape(1), "background must have one value a channel");
            Footage footage = make_footage(frames, shifts, gains, width, height, every, count, field, cell, margin);
            require_distortions(distortions, frames.shape(0), footage.canvas);
            FitOptions o = fit_options(step, lambda, chroma_step, cutoff, memory);
            o.threads = granted_threads(threads);
            nb::gil_scoped_release release;
            new (self) ClipFitter(frames.data(), static_cast<int>(frames.shape(1)), std::move(footage),
                                  background.data(), o, std::move(distortions));
          },
          "frames"_a.noconvert(), "shifts"_a.noconvert(), "gains"_a.noconvert(), "width"_a, "height"_a,
          "background"_a.noconvert(), "step"_a, "lmbda"_a, "chroma_step"_a = 1.25, "cutoff"_a = 9.5, "memory"_a = 12,
          "threads"_a = 1, "distortions"_a = Film::Distortions(), "every"_a = 1, "count"_a = 0,
          "field"_a.noconvert() = nb::none(), "cell"_a = 1.0f, "margin"_a = 0.0f);

  nb::class_<Refinement>(m, "Refinement")
      .def(
          "sweep",
          [](Refinement& self, double lambda, const Floats3& color, const Floats2& area, const Floats2& aspect,
             double position, uint64_t seed, double patience, bool pairs, const OwnLengths& own) {
            require(self.width() != self.channels() + kMovingFields, "splats of clips need tables of time, too");
            return sweep(self, {lambda, seed, patience, pairs}, make_rates(color, area, aspect, position), own);
          },
          "lmbda"_a, "color"_a.noconvert(), "area"_a.noconvert(), "aspect"_a.noconvert(), "position"_a, "seed"_a,
          "patience"_a = -1.0, "pairs"_a = true, "own"_a.noconvert() = nb::none())
      .def(
          "sweep",
          [](Refinement& self, double lambda, const Floats3& color, const Floats2& area, const Floats2& aspect,
             double position, const Floats2& duration, const Floats2& time, const Floats3& speed, uint64_t seed,
             double patience, bool) {
            RateTables rates = make_rates(color, area, aspect, position);
            require(duration.shape(0) == kClasses && duration.shape(1) == RateTables::kDurations,
                    "duration table must be [36, 64]");
            require(time.shape(0) == RateTables::kLives && time.shape(1) == kTimeBins, "time table must be [4, 24]");
            require(speed.shape(0) == 2 && speed.shape(1) == kClasses && speed.shape(2) == RateTables::kSpeeds,
                    "speed table must be [2, 36, 129]");
            rates.duration = duration.data();
            rates.time = time.data();
            rates.speed = speed.data();
            return sweep(self, {lambda, seed, patience, false}, rates);
          },
          "lmbda"_a, "color"_a.noconvert(), "area"_a.noconvert(), "aspect"_a.noconvert(), "position"_a,
          "duration"_a.noconvert(), "time"_a.noconvert(), "speed"_a.noconvert(), "seed"_a, "patience"_a = -1.0,
          "pairs"_a = false)
      .def("integers",
           [](const Refinement& self) {
             std::vector<int32_t> q = self.integers();
             const size_t n = self.count(), width = self.width();
             return numpy(std::move(q), {n, width});
           })
      .def("classes",
           [](const Refinement& self) {
             std::vector<int32_t> c = self.classes();
             const size_t n = c.size();
             return numpy(std::move(c), {n});
           })
      .def("savings",
           [](Refinement& self) {
             std::vector<float> s = self.savings();
             const size_t n = s.size();
             return numpy(std::move(s), {n});
           })
      .def(
          "remove",
          [](Refinement& self, const Ints1& indices) {
            self.remove(std::vector<int32_t>(indices.data(), indices.data() + indices.size()));
          },
          "indices"_a.noconvert())
      .def("render", [](Refinement& self) { return self.render(); }, nb::call_guard<nb::gil_scoped_release>());
  bind_refiner<Refiner, Fitter>(m, "Refiner");
  bind_refiner<ClipRefiner, ClipFitter>(m, "ClipRefiner");
}

}  // namespace splat2d
