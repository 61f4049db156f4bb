#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>

#include <array>
#include <chrono>
#include <optional>

#include "bind/arrays.hpp"
#include "bind/workers.hpp"
#include "math/isa.hpp"
#include "math/view.hpp"
#include "texture/texture.hpp"

namespace splat2d {

bool interrupted() {
  using Clock = std::chrono::steady_clock;
  thread_local Clock::time_point next = Clock::now();
  if (Clock::now() < next) return false;
  if (!PyGILState_GetThisThreadState()) return false;  // a worker, which no signal reaches
  next = Clock::now() + std::chrono::milliseconds(20);
  const nb::gil_scoped_acquire held;
  return PyErr_CheckSignals() != 0;
}

namespace {

using Background = std::optional<In<float, nb::ndim<1>>>;

const float* background_of(const Background& background, const Splats& s) {
  if (!background) return nullptr;
  require(background->shape(0) == static_cast<size_t>(s.channels), "background must have one value a channel");
  return background->data();
}

using Cutoffs = std::optional<In<float, nb::ndim<1>>>;

// Splats that are cut each at a q of its own where `cutoffs` are given.
Splats with_cutoffs(Splats s, const Cutoffs& cutoffs) {
  if (!cutoffs) return s;
  require(cutoffs->shape(0) == static_cast<size_t>(s.count), "cutoffs must have one value a splat");
  s.cutoffs = cutoffs->data();
  return s;
}

nb::ndarray<nb::numpy, float> render(const Floats2& means, const Floats2& conics, const Floats2& colors, int width,
                                     int height, float cutoff, const Background& background, int threads,
                                     const Cutoffs& cutoffs, const TextureDrawer* texture) {
  const Splats s = with_cutoffs(make_splats(means, conics, colors), cutoffs);
  check_cutoff(cutoff);
  const Canvas canvas = make_canvas(width, height);
  const float* base = background_of(background, s);
  std::vector<float> out(static_cast<size_t>(s.channels) * width * height);
  bool whole;
  {
    nb::gil_scoped_release release;
    whole =
        render_forward(s, canvas, cutoff, base, true, out.data(), granted_threads(threads), texture, &interrupted) >= 0;
  }
  if (!whole) throw nb::python_error();
  return numpy(std::move(out),
               {static_cast<size_t>(s.channels), static_cast<size_t>(height), static_cast<size_t>(width)});
}

// Into a caller's array, without a copy.
void render_into(const Floats2& means, const Floats2& conics, const Floats2& colors, float cutoff,
                 const Background& background, int threads,
                 nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu> out) {
  const Splats s = make_splats(means, conics, colors);
  check_cutoff(cutoff);
  require(out.shape(0) == static_cast<size_t>(s.channels), "out must be [C, H, W]");
  const Canvas canvas = make_canvas(static_cast<int>(out.shape(2)), static_cast<int>(out.shape(1)));
  const float* base = background_of(background, s);
  nb::gil_scoped_release release;
  render_forward(s, canvas, cutoff, base, true, out.data(), granted_threads(threads));
}

nb::ndarray<nb::numpy, uint8_t> render_to_bytes(const Floats2& means, const Floats2& conics, const Floats2& colors,
                                                int width, int height, float cutoff, const Background& background,
                                                bool unpremultiply, int threads, const Cutoffs& cutoffs,
                                                const TextureDrawer* texture) {
  const Splats s = with_cutoffs(make_splats(means, conics, colors), cutoffs);
  check_cutoff(cutoff);
  const Canvas canvas = make_canvas(width, height);
  const float* base = background_of(background, s);
  std::vector<uint8_t> out(static_cast<size_t>(s.channels) * width * height);
  bool whole;
  {
    nb::gil_scoped_release release;
    whole = render_bytes(s, canvas, cutoff, base, unpremultiply, out.data(), granted_threads(threads), texture,
                         &interrupted);
  }
  if (!whole) throw nb::python_error();
  return numpy(std::move(out),
               {static_cast<size_t>(height), static_cast<size_t>(width), static_cast<size_t>(s.channels)});
}

void backward_into(const Floats2& means, const Floats2& conics, const Floats2& colors, const Floats3& v_out,
                   float cutoff, int threads, nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> v_means,
                   nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> v_conics,
                   nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> v_colors) {
  const Splats s = make_splats(means, conics, colors);
  check_cutoff(cutoff);
  require(v_out.shape(0) == static_cast<size_t>(s.channels), "v_out must be [C, H, W]");
  const Canvas canvas = make_canvas(static_cast<int>(v_out.shape(2)), static_cast<int>(v_out.shape(1)));
  const size_t n = means.shape(0);
  require(v_means.shape(0) == n && v_means.shape(1) == 2 && v_conics.shape(0) == n && v_conics.shape(1) == 3 &&
              v_colors.shape(0) == n && v_colors.shape(1) == static_cast<size_t>(s.channels),
          "gradients must have the shapes of their inputs");
  nb::gil_scoped_release release;
  render_backward(s, canvas, cutoff, v_out.data(), v_means.data(), v_conics.data(), v_colors.data(),
                  granted_threads(threads));
}

using Doubles2 = In<double, nb::ndim<2>>;

// What a window of so many pixels sees of splats: means, conics and colours of those that reach into it, and which
// they are.
nb::tuple place_in_window(const Doubles2& means, const Doubles2& conics, const Doubles2& colors,
                          const std::array<double, 4>& place, int width, int height, double cutoff, int threads) {
  require(means.shape(1) == 2 && conics.shape(1) == 3, "means must be [N, 2] and conics [N, 3]");
  const size_t n = means.shape(0), C = colors.shape(1);
  require(conics.shape(0) == n && colors.shape(0) == n, "means, conics and colors must have the same number of rows");
  const Window window{place[0], place[1], place[2], place[3]};
  std::vector<float> to_means(2 * n), to_conics(3 * n), to_colors(C * n);
  std::vector<int32_t> kept(n);
  size_t count = 0;
  {
    nb::gil_scoped_release release;
    constexpr size_t kPart = 256;
    Threads(threads).parts(n, kPart, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        const double *mean = means.data() + 2 * i, *conic = conics.data() + 3 * i;
        kept[i] = through_window(window, mean, conic, static_cast<int>(C), colors.data() + C * i, &to_means[2 * i],
                                 &to_conics[3 * i], &to_colors[C * i]) &&
                  touches_window(window, mean, conic, width, height, cutoff);
      }
    });
    for (size_t i = 0; i < n; ++i) {
      if (!kept[i]) continue;
      if (count != i) {
        std::copy_n(&to_means[2 * i], 2, &to_means[2 * count]);
        std::copy_n(&to_conics[3 * i], 3, &to_conics[3 * count]);
        std::copy_n(&to_colors[C * i], C, &to_colors[C * count]);
      }
      kept[count++] = static_cast<int32_t>(i);
    }
    to_means.resize(2 * count);
    to_conics.resize(3 * count);
    to_colors.resize(C * count);
    kept.resize(count);
  }
  return nb::make_tuple(numpy(std::move(to_means), {count, 2}), numpy(std::move(to_conics), {count, 3}),
                        numpy(std::move(to_colors), {count, C}), numpy(std::move(kept), {count}));
}

double pairs(const Floats2& means, const Floats2& conics, const Floats2& colors, int width, int height, float cutoff) {
  return count_pairs(make_splats(means, conics, colors), make_canvas(width, height), cutoff);
}

// Multiply-adds done and the seconds they took: what one core can do at best.
nb::tuple peak(long rounds) {
  float sink[16] = {0.999f, 0.001f};
  const auto start = std::chrono::steady_clock::now();
  double operations;
  {
    nb::gil_scoped_release release;
    operations = kernels().peak(rounds, sink);
  }
  return nb::make_tuple(operations, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace
}  // namespace splat2d

NB_MODULE(_core, m) {
  using namespace splat2d;
  m.doc() = "Native core: rendering, fitting, quantisation and table building.";
  m.def("render", &render, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(), "width"_a, "height"_a,
        "cutoff"_a, "background"_a.noconvert() = nb::none(), "threads"_a = 1, "cutoffs"_a.noconvert() = nb::none(),
        "texture"_a = nb::none());
  m.def("render_into", &render_into, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(), "cutoff"_a,
        "background"_a.noconvert().none(), "threads"_a, "out"_a.noconvert());
  m.def("render_bytes", &render_to_bytes, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(),
        "width"_a, "height"_a, "cutoff"_a, "background"_a.noconvert() = nb::none(), "unpremultiply"_a = false,
        "threads"_a = 1, "cutoffs"_a.noconvert() = nb::none(), "texture"_a = nb::none());
  m.def("backward_into", &backward_into, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(),
        "v_out"_a.noconvert(), "cutoff"_a, "threads"_a, "v_means"_a.noconvert(), "v_conics"_a.noconvert(),
        "v_colors"_a.noconvert());
  m.def("count_pairs", &pairs, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(), "width"_a,
        "height"_a, "cutoff"_a);
  m.def("through_window", &place_in_window, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(),
        "place"_a, "width"_a, "height"_a, "cutoff"_a, "threads"_a = 1);
  m.def("peak", &peak, "rounds"_a);
  m.attr("isa") = isa_name();
  m.def("granted_threads", &granted_threads, "asked"_a);
  watch_forks();
  bind_fit(m);
  bind_coding(m);
  bind_tables(m);
  bind_clip(m);
  bind_views(m);
  bind_motion(m);
  bind_texture(m);
}
