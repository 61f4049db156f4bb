#include <nanobind/stl/pair.h>

#include "bind/arrays.hpp"
#include "model/motion_codec.hpp"

namespace splat2d {
namespace {

// A motion field that is being coded, or was decoded.
struct Motion {
  MotionLayout layout;
  std::vector<MotionNode> order;
  MotionNodes nodes;

  static MotionLayout checked(const MotionLayout& layout) {
    if (const char* fault = layout.fault()) throw std::invalid_argument(fault);
    return layout;
  }
  explicit Motion(const MotionLayout& l)
      : layout(checked(l)), order(motion_order(l.intervals, l.reference)), nodes(layout) {}

  nb::ndarray<nb::numpy, int32_t> array(std::vector<int32_t>&& values) const {
    const size_t nodes = layout.nodes(), rows = layout.rows(), columns = layout.columns();
    return numpy(std::move(values), {nodes, rows, columns, 2});
  }

  const MotionNode& at(size_t number) const {
    require(number < order.size(), "no such node");
    return order[number];
  }
};

// A picture at places [H, W] in px from its corner, bilinear; those outside count as the nearest inside.
nb::ndarray<nb::numpy, float> sampled(const Floats2& picture, const Floats2& x, const Floats2& y) {
  const size_t rows = x.shape(0), columns = x.shape(1);
  require(y.shape(0) == rows && y.shape(1) == columns, "x and y must have the same shape");
  require(picture.shape(0) > 0 && picture.shape(1) > 0, "the picture is empty");
  const int height = static_cast<int>(picture.shape(0)), width = static_cast<int>(picture.shape(1));
  const float right = static_cast<float>(width - 1), bottom = static_cast<float>(height - 1);
  const float* p = picture.data();
  const int to_right = std::min(1, width - 1), down = width * std::min(1, height - 1);
  std::unique_ptr<float[]> out(new float[rows * columns]);
  {
    nb::gil_scoped_release release;
    for (size_t i = 0; i < rows * columns; ++i) {
      const float px = clamp(x.data()[i] - 0.5f, 0.0f, right), py = clamp(y.data()[i] - 0.5f, 0.0f, bottom);
      const int x0 = std::min(static_cast<int>(px), std::max(width - 2, 0));
      const int y0 = std::min(static_cast<int>(py), std::max(height - 2, 0));
      const float fx = px - static_cast<float>(x0), fy = py - static_cast<float>(y0);
      const float* at = p + static_cast<size_t>(y0) * width + x0;
      const float top = at[0] * (1 - fx) + at[to_right] * fx;
      const float below = at[down] * (1 - fx) + at[down + to_right] * fx;
      out[i] = top * (1 - fy) + below * fy;
    }
  }
  return numpy(std::move(out), {rows, columns});
}

}  // namespace

void bind_motion(nb::module_& m) {
  m.def("sampled", &sampled, "picture"_a.noconvert(), "x"_a.noconvert(), "y"_a.noconvert());
  m.attr("MOTION_UNITS") = kMotionUnits;
  m.attr("MOTION_LEVELS") = kMotionLevels;
  m.attr("MOTION_PLANE") = kMotionPlane;
  nb::class_<Motion>(m, "Motion")
      .def(
          "__init__",
          [](Motion* self, int width, int height, int intervals, int reference, int cell_log2, int step_log2) {
            new (self) Motion({make_canvas(width, height), intervals, reference, cell_log2, step_log2});
          },
          "width"_a, "height"_a, "intervals"_a, "reference"_a, "cell_log2"_a, "step_log2"_a)
      .def_prop_ro("integers", [](const Motion& self) { return self.layout.integers(); })
      .def_prop_ro("order",
                   [](const Motion& self) {
                     std::vector<int> out;
                     for (const MotionNode& n : self.order) out.push_back(n.node);
                     return out;
                   })
      .def_prop_ro("reaches",
                   [](const Motion& self) {
                     std::vector<int> out;
                     for (const MotionNode& n : self.order) {
                       int reach = self.layout.intervals;
                       for (const int k : n.from)
                         if (k >= 0) reach = std::min(reach, std::abs(k - n.node));
                       out.push_back(reach);
                     }
                     return out;
                   })
      .def(
          "shape",
          [](const Motion& self, int level) {
            require(level >= 0 && level < kMotionLevels, "no such level");
            return std::pair(self.layout.rows(level), self.layout.columns(level));
          },
          "level"_a)
      .def(
          "predicted",
          [](const Motion& self, size_t number) {
            const size_t rows = self.layout.rows(), columns = self.layout.columns();
            std::vector<int32_t> out(2 * rows * columns);
            for (size_t i = 0; i < out.size(); ++i)
              out[i] = static_cast<int32_t>(self.nodes.predicted(self.at(number), i));
            return numpy(std::move(out), {rows, columns, 2});
          },
          "number"_a)
      .def(
          "make",
          [](Motion& self, size_t number, const Ints1& integers) {
            require(integers.shape(0) == self.layout.integers(), "a node has another number of integers");
            return self.nodes.make(self.at(number), integers.data());
          },
          "number"_a, "integers"_a.noconvert())
      .def("values",
           [](const Motion& self) {
             std::vector<int32_t> out = self.nodes.values();
             return self.array(std::move(out));
           })
      .def(
          "encode",
          [](const Motion& self, const Ints2& integers) {
            require(integers.shape(0) == static_cast<size_t>(self.layout.intervals) &&
                        integers.shape(1) == self.layout.integers(),
                    "integers must be [nodes - 1, integers]");
            const std::vector<uint8_t> out = encode_motion(self.layout, integers.data());
            return nb::bytes(reinterpret_cast<const char*>(out.data()), out.size());
          },
          "integers"_a.noconvert())
      .def(
          "decode",
          [](const Motion& self, nb::bytes data) {
            std::vector<int32_t> out;
            const char* fault =
                decode_motion(self.layout, reinterpret_cast<const uint8_t*>(data.c_str()), data.size(), &out);
            if (fault) throw std::invalid_argument(fault);
            return self.array(std::move(out));
          },
          "data"_a);
}

}  // namespace splat2d
