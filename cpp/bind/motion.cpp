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

}  // namespace

void bind_motion(nb::module_& m) {
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
