// Array types shared by the binding files.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "device/raster.hpp"
#include "format/quantizer.hpp"
#include "refine/colors.hpp"

namespace splat2d {

// Whether Ctrl-C, or another signal, ends what the calling thread does; asks Python a few times a second, and leaves
// its exception to be thrown.
bool interrupted();

namespace nb = nanobind;
using namespace nb::literals;

template <class T, class... Shape>
using In = nb::ndarray<const T, Shape..., nb::c_contig, nb::device::cpu>;
template <class T, class... Shape>
using Out = nb::ndarray<T, Shape..., nb::c_contig, nb::device::cpu>;
using Floats2 = In<float, nb::ndim<2>>;
using Floats3 = In<float, nb::ndim<3>>;
using Ints1 = In<int32_t, nb::ndim<1>>;
using Ints2 = In<int32_t, nb::ndim<2>>;

// A new NumPy array that owns `data`.
template <class T>
nb::ndarray<nb::numpy, T> numpy(std::vector<T>&& data, std::initializer_list<size_t> shape) {
  auto* owned = new std::vector<T>(std::move(data));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::ndarray<nb::numpy, T>(owned->data(), shape, owner);
}

// The same of values that were not zeroed first.
template <class T>
nb::ndarray<nb::numpy, T> numpy(std::unique_ptr<T[]>&& data, std::initializer_list<size_t> shape) {
  T* owned = data.release();
  nb::capsule owner(owned, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::ndarray<nb::numpy, T>(owned, shape, owner);
}

inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

inline Splats make_splats(const Floats2& means, const Floats2& conics, const Floats2& colors) {
  require(means.shape(1) == 2, "means must be [N, 2]");
  require(conics.shape(1) == 3, "conics must be [N, 3]");
  require(colors.shape(1) >= 1 && colors.shape(1) <= kMaxChannels, "colors must be [N, C] with C from 1 to 4");
  require(means.shape(0) == conics.shape(0) && means.shape(0) == colors.shape(0),
          "means, conics and colors must have the same number of rows");
  require(means.shape(0) < (1u << 30), "too many splats");
  return {static_cast<int>(means.shape(0)), static_cast<int>(colors.shape(1)), means.data(), conics.data(),
          colors.data()};
}

// The kernels' exponential holds down to -80, so a cut-off beyond 160 would be garbage.
inline void check_cutoff(float cutoff) { require(cutoff > 0.0f && cutoff <= 160.0f, "cutoff must be in (0, 160]"); }

inline Canvas make_canvas(int width, int height) {
  require(width > 0 && height > 0, "width and height must be positive");
  return {width, height};
}

inline RateTables make_rates(const Floats3& color, const Floats2& area, const Floats2& aspect, double position) {
  require(color.shape(1) == RateTables::kContexts && color.shape(2) == RateTables::kColors,
          "color table must be [C, 3, 256]");
  require(area.shape(0) == kClasses && area.shape(1) == RateTables::kAreas, "area table must be [36, 512]");
  require(aspect.shape(0) == kClasses && aspect.shape(1) == RateTables::kAspects, "aspect table must be [36, 96]");
  return {color.data(), area.data(), aspect.data(), position};
}

void bind_fit(nb::module_& m);
void bind_coding(nb::module_& m);
void bind_tables(nb::module_& m);
void bind_clip(nb::module_& m);
void bind_views(nb::module_& m);
void bind_motion(nb::module_& m);
void bind_texture(nb::module_& m);

}  // namespace splat2d
