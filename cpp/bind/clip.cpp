#include <nanobind/stl/optional.h>

#include "bind/arrays.hpp"
#include "bind/workers.hpp"
#include "device/slice.hpp"
#include "format/course.hpp"

namespace splat2d {
namespace {

using Floats1 = In<float, nb::ndim<1>>;

// One number for each class and duration.
template <class T, class F>
nb::ndarray<nb::numpy, T> by_duration(const Ints1& classes, const Ints1& durations, F f) {
  require(durations.shape(0) == classes.shape(0), "classes and durations must have the same length");
  const size_t n = classes.shape(0);
  std::unique_ptr<T[]> out(new T[n]);
  for (size_t i = 0; i < n; ++i) out[i] = f(classes.data()[i], durations.data()[i]);
  return numpy(std::move(out), {n});
}

int check_frames(int frames) {
  require(frames >= 1 && frames <= kMaxFrames, "frames must be from 1 to 64");
  return frames;
}

// Splats of integers: means [N, 3], velocities [N, 2], conics [N, 3], precisions [N], colours [N, C].
nb::tuple poses(const Ints2& integers, double step, int chroma_step, int frames) {
  require(integers.shape(1) > kMovingFields && integers.shape(1) <= kMaxChannels + kMovingFields,
          "integers must be [N, C + 9] with C from 1 to 4");
  check_frames(frames);
  const size_t n = integers.shape(0), width = integers.shape(1), C = width - kMovingFields;
  const ColorModel model = color_model(static_cast<int>(C), step, chroma_step);
  std::vector<float> means(3 * n), velocities(2 * n), conics(3 * n), precisions(n), colors(C * n);
  {
    nb::gil_scoped_release release;
    for (size_t i = 0; i < n; ++i) {
      const int32_t* q = integers.data() + width * i;
      const MovingPose p = make_pose(energy_class(q, model.steps), q + C, frames);
      std::copy_n(p.mean, 3, &means[3 * i]);
      std::copy_n(p.velocity, 2, &velocities[2 * i]);
      std::copy_n(p.shape.conic, 3, &conics[3 * i]);
      precisions[i] = p.precision;
      refine::color_of(model, q, p.norm, &colors[C * i]);
    }
  }
  return nb::make_tuple(numpy(std::move(means), {n, 3}), numpy(std::move(velocities), {n, 2}),
                        numpy(std::move(conics), {n, 3}), numpy(std::move(precisions), {n}),
                        numpy(std::move(colors), {n, C}));
}

}  // namespace

void bind_clip(nb::module_& m) {
  m.attr("MAX_FRAMES") = kMaxFrames;
  m.def(
      "longest_durations",
      [](const Ints1& classes, int frames) {
        return by_duration<int32_t>(classes, classes, [&](int r, int) { return longest_duration(r, frames); });
      },
      "classes"_a.noconvert(), "frames"_a);
  m.def(
      "durations_in_range",
      [](const Ints1& classes, const Ints1& durations, int frames) {
        return by_duration<bool>(classes, durations, [&](int r, int d) { return duration_in_range(r, d, frames); });
      },
      "classes"_a.noconvert(), "durations"_a.noconvert(), "frames"_a);
  m.def(
      "lives",
      [](const Ints1& classes, const Ints1& durations, int frames) {
        return by_duration<int32_t>(classes, durations, [&](int r, int d) { return life_of(r, d, frames); });
      },
      "classes"_a.noconvert(), "durations"_a.noconvert(), "frames"_a);
  m.def(
      "time_steps",
      [](const Ints1& classes, const Ints1& durations, int frames) {
        return by_duration<int64_t>(classes, durations, [&](int r, int d) { return time_step(r, d, frames); });
      },
      "classes"_a.noconvert(), "durations"_a.noconvert(), "frames"_a);
  m.def(
      "moving_in_range",
      [](const Ints2& integers, int width, int height, int frames, int chroma_step) {
        require(integers.shape(1) > kMovingFields && integers.shape(1) <= kMaxChannels + kMovingFields,
                "integers must be [N, C + 9] with C from 1 to 4");
        const size_t n = integers.shape(0), columns = integers.shape(1), C = columns - kMovingFields;
        const ColorSteps steps = color_steps(static_cast<int>(C), chroma_step);
        const Canvas world = make_canvas(width, height);
        std::unique_ptr<bool[]> out(new bool[n]);
        for (size_t i = 0; i < n; ++i) {
          const int32_t* q = integers.data() + columns * i;
          out[i] = moving_in_range(energy_class(q, steps), world, q + C, check_frames(frames));
        }
        return numpy(std::move(out), {n});
      },
      "integers"_a.noconvert(), "width"_a, "height"_a, "frames"_a, "chroma_step"_a = 10);
  m.def(
      "time_bins",
      [](const Ints1& classes, const Ints1& durations, const Ints1& times, int frames) {
        require(times.shape(0) == classes.shape(0), "classes and times must have the same length");
        const int32_t* time = times.data();
        return by_duration<int32_t>(classes, durations,
                                    [&](int r, int d) { return time_bin(time_of(r, d, *time++, frames), frames); });
      },
      "classes"_a.noconvert(), "durations"_a.noconvert(), "times"_a.noconvert(), "frames"_a);
  m.def("moving_poses", &poses, "integers"_a.noconvert(), "step"_a, "chroma_step"_a, "frames"_a);
  m.def(
      "slice",
      [](const Floats2& means, const Floats2& velocities, const Floats2& conics, const Floats1& precisions,
         const Floats2& colors, double time, double shift_x, double shift_y, float cutoff,
         const std::optional<Floats3>& field, float cell, float margin) {
        const size_t n = means.shape(0), C = colors.shape(1);
        require(means.shape(1) == 3 && velocities.shape(1) == 2 && conics.shape(1) == 3,
                "means must be [N, 3], velocities [N, 2] and conics [N, 3]");
        require(velocities.shape(0) == n && conics.shape(0) == n && precisions.shape(0) == n && colors.shape(0) == n,
                "all arrays must have the same number of rows");
        const MovingSplats splats{static_cast<int>(n), static_cast<int>(C), means.data(), velocities.data(),
                                  conics.data(),       precisions.data(),   colors.data()};
        Moment moment{
            static_cast<float>(time), {static_cast<float>(shift_x), static_cast<float>(shift_y)}, 1.0f, cutoff};
        if (field) {
          require(field->shape(0) >= 4 && field->shape(1) >= 4 && field->shape(2) == 2,
                  "a motion field must be [rows, columns, 2] with 4 rows and columns at least");
          moment.warp = {field->data(), static_cast<int>(field->shape(0)), static_cast<int>(field->shape(1)), cell,
                         margin};
        }
        std::vector<int> index;
        std::vector<float> m, c, k, cutoffs;
        for (size_t i = 0; i < n; ++i) {
          if (!shows(moment, means.data()[3 * i + 2], precisions.data()[i])) continue;
          const Slice s = slice_at(moment, splats.means + 3 * i, splats.velocities + 2 * i, splats.conics + 3 * i,
                                   splats.precisions[i]);
          index.push_back(static_cast<int>(i));
          m.insert(m.end(), s.mean, s.mean + 2);
          c.insert(c.end(), s.conic, s.conic + 3);
          for (size_t j = C * i; j < C * (i + 1); ++j) k.push_back(splats.colors[j] * s.fade);
          cutoffs.push_back(s.cutoff);
        }
        const size_t seen = index.size();
        return nb::make_tuple(numpy(std::move(index), {seen}), numpy(std::move(m), {seen, 2}),
                              numpy(std::move(c), {seen, 3}), numpy(std::move(k), {seen, C}),
                              numpy(std::move(cutoffs), {seen}));
      },
      "means"_a.noconvert(), "velocities"_a.noconvert(), "conics"_a.noconvert(), "precisions"_a.noconvert(),
      "colors"_a.noconvert(), "time"_a, "shift_x"_a, "shift_y"_a, "cutoff"_a = 12.25f,
      "field"_a.noconvert() = nb::none(), "cell"_a = 1.0f, "margin"_a = 0.0f);
}

}  // namespace splat2d
