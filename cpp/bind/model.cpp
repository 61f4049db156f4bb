#include "bind/arrays.hpp"
#include "bind/workers.hpp"

namespace splat2d {
namespace {

int channels_of(const Ints2& integers) {
  const int channels = static_cast<int>(integers.shape(1)) - 5;
  require(channels >= 1 && channels <= kMaxChannels, "integers must be [N, C + 5] with C from 1 to 4");
  return channels;
}

// Means [N, 2], conics [N, 3] and colours [N, C] of integers [N, C + 5].
nb::tuple dequantize(const Ints2& integers, double step, int chroma_step, int threads) {
  const int C = channels_of(integers);
  const ColorSteps steps = color_steps(C, chroma_step);
  const float* basis = color_basis(C);
  const size_t n = integers.shape(0);
  std::vector<float> means(2 * n), conics(3 * n), colors(static_cast<size_t>(C) * n);
  const auto pose = [&](size_t i) {
    const int32_t* q = integers.data() + (C + 5) * i;
    const int r = energy_class(q, steps);
    const Shape s = make_shape(r, q[C], q[C + 1], q[C + 2]);
    const Lattice l = make_lattice(r, q[C], q[C + 1], q[C + 2]);
    means[2 * i] = static_cast<float>(static_cast<double>(l.x(q[C + 4], q[C + 3])) / (1 << kPositionBits) - kMargin);
    means[2 * i + 1] = static_cast<float>(static_cast<double>(l.y(q[C + 3])) / (1 << kPositionBits) - kMargin);
    std::copy_n(s.conic, 3, &conics[3 * i]);
    for (int c = 0; c < C; ++c) {
      double v = 0;
      for (int j = 0; j < C; ++j) v += q[j] * step * steps.weight[j] / 8.0 * basis[C * j + c];
      colors[static_cast<size_t>(C) * i + c] = static_cast<float>(v / s.norm);
    }
  };
  {
    nb::gil_scoped_release release;
    constexpr size_t kPart = 128;
    Threads(threads).parts(n, kPart, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) pose(i);
    });
  }
  return nb::make_tuple(numpy(std::move(means), {n, 2}), numpy(std::move(conics), {n, 3}),
                        numpy(std::move(colors), {n, static_cast<size_t>(C)}));
}

// The nearest integers [N, C + 5] of splats on a canvas, the inverse of `dequantize`; all zero where the colour rounds
// to nothing. What a file cannot hold, such as a centre beyond the margin, becomes the nearest that it can.
nb::ndarray<nb::numpy, int32_t> quantize(const Floats2& means, const Floats2& conics, const Floats2& colors, int width,
                                         int height, double step, int chroma_step) {
  const Splats splats = make_splats(means, conics, colors);
  const Canvas canvas = make_canvas(width, height);
  const int C = splats.channels, columns = C + 5;
  const ColorSteps steps = color_steps(C, chroma_step);
  const float* basis = color_basis(C);
  const size_t n = means.shape(0);
  std::vector<int32_t> out(n * columns, 0);
  for (size_t i = 0; i < n; ++i) {
    int32_t* q = &out[columns * i];
    const double a = conics.data()[3 * i], b = conics.data()[3 * i + 1], c = conics.data()[3 * i + 2];
    const double half = 0.5 * (a + c), radius = std::hypot(0.5 * (a - c), b);
    const double det = a * c - b * b;
    require(a > 0 && det > 0 && std::isfinite(det), "conics must be positive definite");
    const double norm = std::sqrt(kHalfTurn / std::sqrt(det));
    bool any = false;
    for (int j = 0; j < C; ++j) {
      double v = 0;
      for (int k = 0; k < C; ++k) v += static_cast<double>(colors.data()[C * i + k]) * basis[C * j + k];
      const double rounded = std::nearbyint(v * norm / (step * steps.weight[j] / 8.0));
      q[j] = static_cast<int32_t>(std::clamp<double>(rounded, -kMaxColor, kMaxColor));
      any = any || q[j] != 0;
    }
    if (!any) continue;
    // The larger eigenvalue belongs to the shorter axis; the smaller is had from it without cancellation.
    const double large = half + radius;
    const int r = energy_class(q, steps);
    quantize_shape(r, 0.5 * std::log(large / det), -0.5 * std::log(large), 0.5 * std::atan2(-2 * b, c - a), q + C);
    quantize_position(r, canvas, means.data()[2 * i], means.data()[2 * i + 1], q + C);
  }
  return numpy(std::move(out), {n, static_cast<size_t>(columns)});
}

using Ints = nb::ndarray<nb::numpy, int64_t>;

// Energy class of each row of colours [N, C].
nb::ndarray<nb::numpy, int32_t> energy_classes(const Ints2& colors, int chroma_step) {
  require(colors.shape(1) >= 1 && colors.shape(1) <= kMaxChannels, "colors must be [N, C] with C from 1 to 4");
  const ColorSteps steps = color_steps(static_cast<int>(colors.shape(1)), chroma_step);
  const size_t n = colors.shape(0);
  std::vector<int32_t> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = energy_class(colors.data() + colors.shape(1) * i, steps);
  return numpy(std::move(out), {n});
}

nb::ndarray<nb::numpy, int32_t> tiers(const Ints1& classes, const Ints1& areas) {
  require(classes.shape(0) == areas.shape(0), "classes and areas must have the same length");
  const size_t n = classes.shape(0);
  std::vector<int32_t> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = tier_of(classes.data()[i], areas.data()[i]);
  return numpy(std::move(out), {n});
}

// Lowest and highest area index of a tier for each class, [N, 2].
nb::ndarray<nb::numpy, int32_t> area_ranges(const Ints1& classes, int tier) {
  require(tier >= 0 && tier < kTiers, "tier must be from 0 to 5");
  const size_t n = classes.shape(0);
  std::vector<int32_t> out(2 * n);
  for (size_t i = 0; i < n; ++i) area_range(classes.data()[i], tier, &out[2 * i], &out[2 * i + 1]);
  return numpy(std::move(out), {n, 2});
}

nb::ndarray<nb::numpy, int32_t> angle_counts(const Ints1& classes, const Ints1& aspects) {
  require(classes.shape(0) == aspects.shape(0), "classes and aspects must have the same length");
  const size_t n = classes.shape(0);
  std::vector<int32_t> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = angle_count(classes.data()[i], aspects.data()[i]);
  return numpy(std::move(out), {n});
}

nb::ndarray<nb::numpy, bool> shapes_in_range(const Ints1& classes, const Ints2& shapes) {
  const size_t n = classes.shape(0);
  require(shapes.shape(0) == n && shapes.shape(1) >= 2, "shapes must be [N, 2] or wider: area, aspect");
  auto out = std::make_unique_for_overwrite<bool[]>(n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = shapes.data() + shapes.shape(1) * i;
    out[i] = shape_in_range(classes.data()[i], q[0], q[1]);
  }
  return numpy(std::move(out), {n});
}

// Leaf cells: corners [N, 2] (x, y), Q12 px, all of one size.
using Corners = In<int64_t, nb::ndim<2>>;

CellBox box_of(const Corners& corners, size_t i, int64_t width, int64_t height) {
  const int64_t x = corners.data()[2 * i], y = corners.data()[2 * i + 1];
  return {x, y, x + width, y + height};
}

void check_cells(const Ints1& classes, const Ints2& shapes, const Corners& corners) {
  require(shapes.shape(0) == classes.shape(0) && corners.shape(0) == classes.shape(0) && corners.shape(1) == 2,
          "classes, shapes and corners must have the same length");
  require(shapes.shape(1) >= 3, "shapes must be [N, 3] or wider: area, aspect, angle");
}

// Lattice points of each splat's lattice in its leaf cell.
Ints cell_points(const Ints1& classes, const Ints2& shapes, const Corners& corners, int64_t width, int64_t height) {
  check_cells(classes, shapes, corners);
  const size_t n = classes.shape(0);
  std::vector<int64_t> out(n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = shapes.data() + shapes.shape(1) * i;
    out[i] = lattice_points(make_lattice(classes.data()[i], q[0], q[1], q[2]), box_of(corners, i, width, height));
  }
  return numpy(std::move(out), {n});
}

// Index of each splat's centre (shapes [N, 5]: area, aspect, angle, iy, ix) among its cell's lattice points.
Ints cell_indices(const Ints1& classes, const Ints2& shapes, const Corners& corners, int64_t width, int64_t height) {
  check_cells(classes, shapes, corners);
  require(shapes.shape(1) == 5, "shapes must be [N, 5]");
  const size_t n = classes.shape(0);
  std::vector<int64_t> out(n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = shapes.data() + 5 * i;
    out[i] =
        lattice_index(make_lattice(classes.data()[i], q[0], q[1], q[2]), box_of(corners, i, width, height), q[4], q[3]);
  }
  return numpy(std::move(out), {n});
}

// The inverse: iy and ix, [N, 2], of lattice point `indices` of each cell.
nb::ndarray<nb::numpy, int32_t> cell_centers(const Ints1& classes, const Ints2& shapes, const Corners& corners,
                                             int64_t width, int64_t height, const In<int64_t, nb::ndim<1>>& indices) {
  check_cells(classes, shapes, corners);
  const size_t n = classes.shape(0);
  require(indices.shape(0) == n, "indices must be [N]");
  std::vector<int32_t> out(2 * n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = shapes.data() + shapes.shape(1) * i;
    int64_t ix = 0, iy = 0;
    if (!lattice_point(make_lattice(classes.data()[i], q[0], q[1], q[2]), box_of(corners, i, width, height),
                       indices.data()[i], &ix, &iy))
      throw std::invalid_argument("no such lattice point");
    require(ix == static_cast<int32_t>(ix) && iy == static_cast<int32_t>(iy), "a centre leaves 32 bits");
    out[2 * i] = static_cast<int32_t>(iy);
    out[2 * i + 1] = static_cast<int32_t>(ix);
  }
  return numpy(std::move(out), {n, 2});
}

// Centres of shapes [N, 5], x and y in Q12 px from the margin's corner, [N, 2].
Ints lattice_centers(const Ints1& classes, const Ints2& shapes) {
  const size_t n = classes.shape(0);
  require(shapes.shape(0) == n && shapes.shape(1) == 5, "shapes must be [N, 5]");
  std::vector<int64_t> out(2 * n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = shapes.data() + 5 * i;
    const Lattice l = make_lattice(classes.data()[i], q[0], q[1], q[2]);
    out[2 * i] = l.x(q[4], q[3]);
    out[2 * i + 1] = l.y(q[3]);
  }
  return numpy(std::move(out), {n, 2});
}

}  // namespace

void bind_coding(nb::module_& m) {
  m.def("dequantize", &dequantize, "integers"_a.noconvert(), "step"_a, "chroma_step"_a = 10, "threads"_a = 1);
  m.def("quantize", &quantize, "means"_a.noconvert(), "conics"_a.noconvert(), "colors"_a.noconvert(), "width"_a,
        "height"_a, "step"_a, "chroma_step"_a = 10);
  m.def("energy_classes", &energy_classes, "colors"_a.noconvert(), "chroma_step"_a);
  m.def("tiers", &tiers, "classes"_a.noconvert(), "areas"_a.noconvert());
  m.def("area_ranges", &area_ranges, "classes"_a.noconvert(), "tier"_a);
  m.def("angle_counts", &angle_counts, "classes"_a.noconvert(), "aspects"_a.noconvert());
  m.def("shapes_in_range", &shapes_in_range, "classes"_a.noconvert(), "shapes"_a.noconvert());
  m.def("cell_points", &cell_points, "classes"_a.noconvert(), "shapes"_a.noconvert(), "corners"_a.noconvert(),
        "width"_a, "height"_a);
  m.def("cell_indices", &cell_indices, "classes"_a.noconvert(), "shapes"_a.noconvert(), "corners"_a.noconvert(),
        "width"_a, "height"_a);
  m.def("cell_centers", &cell_centers, "classes"_a.noconvert(), "shapes"_a.noconvert(), "corners"_a.noconvert(),
        "width"_a, "height"_a, "indices"_a.noconvert());
  m.def("lattice_centers", &lattice_centers, "classes"_a.noconvert(), "shapes"_a.noconvert());
  m.attr("TIERS") = kTiers;
  m.attr("LEAF_LOG2") =
      nb::make_tuple(leaf_log2(0), leaf_log2(1), leaf_log2(2), leaf_log2(3), leaf_log2(4), leaf_log2(5));
  m.attr("MARGIN") = kMargin;
  m.attr("MAX_COLOR") = kMaxColor;
  m.attr("MAX_ANGLES") = kMaxAngles;
}

}  // namespace splat2d
