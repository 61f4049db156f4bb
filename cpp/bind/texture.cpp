#include "texture/texture.hpp"

#include "bind/arrays.hpp"
#include "texture/levels.hpp"

namespace splat2d {
namespace {

using Levels = In<uint8_t, nb::ndim<4>>;

Strengths strengths_of(const Levels& levels) {
  require(levels.shape(0) >= 1 && levels.shape(0) <= kMaxBands, "levels must have 1 to 6 bands");
  require(levels.shape(3) >= 1 && levels.shape(3) <= kMaxDirections, "levels must have 1 to 4 directions");
  require(levels.shape(1) >= 1 && levels.shape(2) >= 1 && levels.shape(1) < (1 << 16) && levels.shape(2) < (1 << 16),
          "levels must be [bands, rows, columns, directions]");
  const auto side = [&](int i) { return static_cast<int>(levels.shape(i)); };
  const Strengths s{side(0), side(1), side(2), side(3), levels.data()};
  require(std::all_of(s.levels, s.levels + s.count(), [](uint8_t v) { return v <= kMaxLevel; }),
          "levels must be from 0 to 15");
  return s;
}

using Numbers = In<double, nb::ndim<1>>;

void make_drawer(TextureDrawer* self, const Levels& levels, int cell, int slope, uint32_t seed, float gain,
                 double width, double height, const Numbers& map, const Numbers& blur) {
  require(cell > 0, "cell must be positive");
  require(map.shape(0) == 6 && blur.shape(0) == 3, "map must be [6] and blur [3]");
  Texture t{strengths_of(levels), cell, slope, seed, gain, width, height, {}, {}};
  std::copy_n(map.data(), 6, t.map);
  std::copy_n(blur.data(), 3, t.blur);
  new (self) TextureDrawer(t);
}

nb::bytes encode(const Levels& levels) {
  const std::vector<uint8_t> data = encode_levels(strengths_of(levels));
  return nb::bytes(data.data(), data.size());
}

// None for data that no encoder writes.
nb::object decode(const nb::bytes& data, int bands, int rows, int columns, int directions) {
  const Strengths shape{bands, rows, columns, directions, nullptr};
  require(
      bands >= 1 && bands <= kMaxBands && rows >= 1 && columns >= 1 && directions >= 1 && directions <= kMaxDirections,
      "a shape of levels must be positive");
  std::vector<uint8_t> levels(shape.count());
  bool whole;
  {
    nb::gil_scoped_release release;
    whole = decode_levels(reinterpret_cast<const uint8_t*>(data.c_str()), data.size(), shape, levels.data());
  }
  if (!whole) return nb::none();
  return nb::cast(numpy(std::move(levels), {static_cast<size_t>(bands), static_cast<size_t>(rows),
                                            static_cast<size_t>(columns), static_cast<size_t>(directions)}));
}

using Costs = In<float, nb::ndim<5>>;

// Levels [bands, rows, columns, directions] for costs [bands, rows, columns, directions, 16].
nb::ndarray<nb::numpy, uint8_t> choose(const Costs& costs, double lmbda, const Levels& start, int rounds) {
  Strengths s = strengths_of(start);
  for (int i = 0; i < 4; ++i) require(costs.shape(i) == start.shape(i), "costs and levels must have one shape");
  require(costs.shape(4) == kMaxLevel + 1, "costs must have 16 values for each level");
  std::vector<uint8_t> levels(s.levels, s.levels + s.count());
  s.levels = nullptr;
  {
    nb::gil_scoped_release release;
    choose_levels(s, costs.data(), lmbda, rounds, levels.data());
  }
  return numpy(std::move(levels), {start.shape(0), start.shape(1), start.shape(2), start.shape(3)});
}

}  // namespace

void bind_texture(nb::module_& m) {
  nb::class_<TextureDrawer>(m, "Texture")
      .def("__init__", &make_drawer, "levels"_a.noconvert(), "cell"_a, "slope"_a, "seed"_a, "gain"_a, "width"_a,
           "height"_a, "map"_a.noconvert(), "blur"_a.noconvert(), nb::keep_alive<1, 2>());
  m.def("encode_levels", &encode, "levels"_a.noconvert());
  m.def("decode_levels", &decode, "data"_a, "bands"_a, "rows"_a, "columns"_a, "directions"_a);
  m.def("choose_levels", &choose, "costs"_a.noconvert(), "lmbda"_a, "start"_a.noconvert(), "rounds"_a);
  std::vector<float> amplitudes(kMaxLevel + 1);
  for (int v = 0; v <= kMaxLevel; ++v) amplitudes[v] = amplitude(v);
  m.attr("AMPLITUDES") = amplitudes;
}

}  // namespace splat2d
