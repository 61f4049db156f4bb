#include "bind/arrays.hpp"
#include "model/context.hpp"
#include "model/network.hpp"
#include "model/split_tree.hpp"

namespace splat2d {
namespace {

using Rows = nb::ndarray<nb::numpy, double>;
using Symbols = In<int64_t, nb::ndim<1>>;
using Pairs = In<int64_t, nb::ndim<2>>;

const SplitTree::Group& group_of(const SplitTree& tree, int group) {
  require(group >= 0 && group < static_cast<int>(tree.groups().size()), "no such group");
  return tree.groups()[group];
}

// Rows of a group's tables, or the sizes [n, 1] of uniform ones.
Rows tree_rows(const SplitTree& tree, int group) {
  const auto& g = group_of(tree, group);
  const size_t n = g.cells.size(), k = g.symbols ? g.symbols : 1;
  auto out = std::make_unique_for_overwrite<double[]>(n * k);
  for (size_t i = 0; i < n; ++i) {
    if (g.symbols) {
      tree.row(g.cells[i], g.symbols, &out[i * k]);
    } else {
      out[i] = static_cast<double>(tree.count_of(g.cells[i]) + 1);
    }
  }
  return numpy(std::move(out), {n, k});
}

int check_tier(int tier) {
  require(tier >= 0 && tier < kTiers, "tier must be from 0 to 5");
  return tier;
}

void check_points(const Pairs& points) {
  require(points.shape(1) == 2, "points must be [N, 2]");
  for (size_t i = 0; i < points.size(); ++i)
    require(points.data()[i] >= 0 && points.data()[i] < int64_t{1} << 30, "point out of range");
}

void check_integers(const Context& context, const Ints2& integers) {
  require(integers.shape(1) == static_cast<size_t>(context.channels()) + 5, "integers must be [N, C + 5]");
}

// Inputs of points [N, 2] of a tier: place [N, P] and near [N, K, F].
nb::tuple around(const Context& context, const Pairs& points, const Pairs& surroundings, int tier, int threads) {
  check_points(points);
  check_tier(tier);
  const size_t n = points.shape(0);
  require(surroundings.shape(0) == n && surroundings.shape(1) == 4, "surroundings must be [N, 4]");
  std::vector<float> place(n * Context::kPlaceInputs), near(n * Context::kNear * Context::kNearInputs);
  context.around(points.data(), surroundings.data(), n, tier, threads, place.data(), near.data());
  return nb::make_tuple(numpy(std::move(place), {n, Context::kPlaceInputs}),
                        numpy(std::move(near), {n, Context::kNear, Context::kNearInputs}));
}

// Adds to inputs [N, S] and levels [N] what the last of splats' first `known` integers tells.
void learn(const Context& context, const Ints2& integers, int tier, int known, const Out<float, nb::ndim<2>>& own,
           const Out<int32_t, nb::ndim<1>>& levels) {
  check_integers(context, integers);
  check_tier(tier);
  const size_t n = integers.shape(0);
  require(known >= 1 && known <= 2 * context.channels() + 3, "known out of range");
  require(own.shape(0) == n && own.shape(1) == Context::kSelfInputs && levels.shape(0) == n,
          "own must be [N, S] and levels [N]");
  context.learn(integers.data(), n, tier, known, own.data(), levels.data());
}

nb::ndarray<nb::numpy, float> embed(const Network& network, const Floats2& place, const Floats3& near, int tier,
                                    int threads) {
  const size_t n = place.shape(0);
  require(place.shape(1) == Context::kPlaceInputs && near.shape(0) == n && near.shape(1) == Context::kNear &&
              near.shape(2) == Context::kNearInputs,
          "place must be [N, P] and near [N, K, F]");
  std::vector<float> out(n * network.hidden());
  network.embed(place.data(), near.data(), n, check_tier(tier), threads, out.data());
  return numpy(std::move(out), {n, static_cast<size_t>(network.hidden())});
}

Rows network_rows(const Network& network, int head, const Floats2& hidden, const Floats2& own, const Ints1& levels,
                  const Symbols& limits, int threads) {
  const size_t n = hidden.shape(0);
  require(head >= 0 && head < network.heads(), "no such head");
  require(hidden.shape(1) == static_cast<size_t>(network.hidden()), "hidden must be [N, H]");
  require(own.shape(0) == n && own.shape(1) == Context::kSelfInputs && levels.shape(0) == n,
          "own must be [N, S] and levels [N]");
  require(limits.shape(0) == 0 || limits.shape(0) == n, "limits must be empty or [N]");
  for (size_t i = 0; i < n; ++i)
    require(
        levels.data()[i] >= 0 && levels.data()[i] < Context::kLevels && (limits.shape(0) == 0 || limits.data()[i] > 0),
        "level or limit out of range");
  const size_t k = network.symbols(head);
  auto out = std::make_unique_for_overwrite<double[]>(n * k);
  network.rows(head, hidden.data(), own.data(), levels.data(), limits.shape(0) ? limits.data() : nullptr, n, threads,
               out.get());
  return numpy(std::move(out), {n, k});
}

Rows folded(const In<double, nb::ndim<2>>& rows, const Ints1& counts) {
  const size_t n = rows.shape(0), k = rows.shape(1);
  require(counts.shape(0) == n, "counts must be [N]");
  for (size_t i = 0; i < n; ++i)
    require(counts.data()[i] >= 1 && counts.data()[i] <= static_cast<int32_t>(k), "count out of range");
  std::vector<double> out(n * k);
  fold_angles(rows.data(), counts.data(), n, static_cast<int>(k), out.data());
  return numpy(std::move(out), {n, k});
}

}  // namespace

void bind_tables(nb::module_& m) {
  nb::class_<Context>(m, "Context")
      .def(
          "__init__",
          [](Context* self, int width, int height, int channels, int chroma_step, int step_code,
             const Symbols& counts) {
            require(channels >= 1 && channels <= kMaxChannels && counts.shape(0) == kTiers, "context out of range");
            std::array<int64_t, kTiers> c;
            std::copy_n(counts.data(), kTiers, c.begin());
            new (self) Context(make_canvas(width, height), channels, chroma_step, step_code, c);
          },
          "width"_a, "height"_a, "channels"_a, "chroma_step"_a, "step_code"_a, "counts"_a.noconvert())
      .def(
          "add",
          [](Context& c, const Ints2& integers) {
            check_integers(c, integers);
            c.add(integers.data(), integers.shape(0));
          },
          "integers"_a.noconvert())
      .def("centers", [](const Context& c) { return numpy(c.centers(), {c.size(), 2}); })
      .def("around", &around, "points"_a.noconvert(), "surroundings"_a.noconvert(), "tier"_a, "threads"_a = 1)
      .def("learn", &learn, "integers"_a.noconvert(), "tier"_a, "known"_a, "own"_a.noconvert(), "levels"_a.noconvert());
  nb::class_<Network>(m, "Network")
      .def(
          "__init__",
          [](Network* self, const nb::bytes& data) {
            new (self) Network(static_cast<const uint8_t*>(data.data()), data.size());
          },
          "data"_a)
      .def("embed", &embed, "place"_a.noconvert(), "near"_a.noconvert(), "tier"_a, "threads"_a = 1)
      .def("rows", &network_rows, "head"_a, "hidden"_a.noconvert(), "own"_a.noconvert(), "levels"_a.noconvert(),
           "limits"_a.noconvert(), "threads"_a = 1)
      .def("symbols", &Network::symbols, "head"_a);
  m.def("fold_angles", &folded, "rows"_a.noconvert(), "counts"_a.noconvert());
  m.def(
      "surroundings",
      [](const Pairs& points, int tier) {
        check_points(points);
        const size_t n = points.shape(0);
        return numpy(surroundings(points.data(), n, check_tier(tier)), {n, 4});
      },
      "points"_a.noconvert(), "tier"_a);
  m.attr("NEAR") = Context::kNear;
  m.attr("NEAR_INPUTS") = Context::kNearInputs;
  m.attr("PLACE_INPUTS") = Context::kPlaceInputs;
  m.attr("SELF_INPUTS") = Context::kSelfInputs;
  m.attr("ENERGY_LEVELS") = Context::kLevels;
  nb::class_<SplitTree>(m, "SplitTree")
      .def(
          "__init__",
          [](SplitTree* self, int width, int height, int tier, int step_code, int64_t count, int64_t total,
             int64_t previous, const Pairs& earlier, const Pairs& positions) {
            check_tier(tier);
            require(count > 0 && total >= count && width > 0 && height > 0, "tree out of range");
            require(earlier.shape(1) == 2 && positions.shape(1) == 2, "points must be [N, 2]");
            require(previous >= 0 && previous <= static_cast<int64_t>(earlier.shape(0)), "previous out of range");
            require(positions.shape(0) == 0 || positions.shape(0) == static_cast<size_t>(count),
                    "positions must be [count, 2]");
            // Splats elsewhere lie in no cell.
            for (size_t i = 0; i < positions.size(); ++i) {
              const int64_t side = (i % 2 ? height : width) + int64_t{2 * kMargin};
              require(positions.data()[i] >= 0 && positions.data()[i] < side << kPositionBits,
                      "a position is outside the canvas and its margin");
            }
            new (self) SplitTree({make_canvas(width, height), tier, step_code, count, total, previous}, earlier.data(),
                                 earlier.shape(0), positions.shape(0) ? positions.data() : nullptr);
          },
          "width"_a, "height"_a, "tier"_a, "step_code"_a, "count"_a, "total"_a, "previous"_a, "earlier"_a.noconvert(),
          "positions"_a.noconvert())
      .def("next_level", &SplitTree::next_level, "network"_a, "threads"_a = 1)
      .def("inputs",
           [](const SplitTree& t) {
             std::vector<float> out = t.inputs();
             const size_t n = out.size() / SplitTree::kInputs;
             return numpy(std::move(out), {n, SplitTree::kInputs});
           })
      .def(
          "cells",
          [](const SplitTree& t, int group) {
            std::vector<int64_t> out(group_of(t, group).cells.begin(), group_of(t, group).cells.end());
            const size_t n = out.size();
            return numpy(std::move(out), {n});
          },
          "group"_a)
      .def("counts",
           [](const SplitTree& t) {
             std::vector<int64_t> out(t.inputs().size() / SplitTree::kInputs);
             for (size_t i = 0; i < out.size(); ++i) out[i] = t.count_of(static_cast<int>(i));
             const size_t n = out.size();
             return numpy(std::move(out), {n});
           })
      .def_prop_ro("groups", [](const SplitTree& t) { return t.groups().size(); })
      .def(
          "is_uniform", [](const SplitTree& t, int group) { return group_of(t, group).symbols == 0; }, "group"_a)
      .def("rows", &tree_rows, "group"_a)
      .def(
          "values",
          [](const SplitTree& t, int group) {
            const auto& g = group_of(t, group);
            std::vector<int64_t> out(g.cells.size());
            for (size_t i = 0; i < out.size(); ++i) out[i] = t.value(g.cells[i]);
            const size_t n = out.size();
            return numpy(std::move(out), {n});
          },
          "group"_a)
      .def(
          "put",
          [](SplitTree& t, int group, const Symbols& values) {
            const auto& g = group_of(t, group);
            require(values.shape(0) == g.cells.size(), "values must fit the group");
            bool good = true;
            for (size_t i = 0; i < g.cells.size(); ++i) good = t.set(g.cells[i], values.data()[i]) && good;
            return good;
          },
          "group"_a, "values"_a.noconvert())
      .def("finish_level", &SplitTree::finish_level)
      .def("leaves",
           [](const SplitTree& t) {
             std::vector<int64_t> corners, order;
             t.leaves(&corners, &order);
             const size_t n = corners.size() / 2, given = order.size();
             return nb::make_tuple(numpy(std::move(corners), {n, 2}), numpy(std::move(order), {given}));
           })
      .def_prop_ro("cell_width", &SplitTree::cell_width)
      .def_prop_ro("cell_height", &SplitTree::cell_height);
}

}  // namespace splat2d
