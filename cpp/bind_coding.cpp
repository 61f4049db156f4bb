#include "bindings.hpp"

namespace splat2d {
namespace {

int channels_of(const Ints2& integers) {
  const int channels = static_cast<int>(integers.shape(1)) - 5;
  require(channels >= 1 && channels <= kMaxChannels, "integers must be [N, C + 5] with C from 1 to 4");
  return channels;
}

// Means [N, 2], conics [N, 3] and colours [N, C] of integers [N, C + 5].
nb::tuple dequantize(const Ints2& integers, double step, int chroma_step) {
  const int C = channels_of(integers);
  const ColorSteps steps = color_steps(C, chroma_step);
  const float* basis = color_basis(C);
  const size_t n = integers.shape(0);
  std::vector<float> means(2 * n), conics(3 * n), colors(static_cast<size_t>(C) * n);
  for (size_t i = 0; i < n; ++i) {
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
  }
  return nb::make_tuple(numpy(std::move(means), {n, 2}), numpy(std::move(conics), {n, 3}),
                        numpy(std::move(colors), {n, static_cast<size_t>(C)}));
}

}  // namespace

void bind_coding(nb::module_& m) {
  m.def("dequantize", &dequantize, "integers"_a.noconvert(), "step"_a, "chroma_step"_a = 10);
}

}  // namespace splat2d
