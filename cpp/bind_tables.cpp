#include "bindings.hpp"
#include "coding.hpp"

namespace splat2d {
namespace {

using Rows = nb::ndarray<nb::numpy, double>;
using Symbols = In<int64_t, nb::ndim<1>>;

// Rows [n, K] for contexts [n]; fine of length 0 uses the coarse rows alone.
Rows table_rows(const Table& table, const Symbols& coarse, const Symbols& fine) {
  const size_t n = coarse.shape(0), k = table.symbols();
  const bool has_fine = fine.shape(0) > 0;
  require(!has_fine || fine.shape(0) == n, "coarse and fine must have the same length");
  std::vector<double> out(n * k);
  // Contexts repeat within a block; a row is worked out once and copied.
  std::vector<int> first(static_cast<size_t>(table.contexts()) * (table.fine() + 1), -1);
  for (size_t i = 0; i < n; ++i) {
    const int64_t c = coarse.data()[i], f = has_fine ? fine.data()[i] : -1;
    require(c >= 0 && c < table.contexts() && f >= -1 && f < table.fine(), "context out of range");
    int& seen = first[c * (table.fine() + 1) + f + 1];
    if (seen >= 0) {
      std::copy_n(&out[seen * k], k, &out[i * k]);
    } else {
      table.row(static_cast<int>(c), static_cast<int>(f), &out[i * k]);
      seen = static_cast<int>(i);
    }
  }
  return numpy(std::move(out), {n, k});
}

void table_update(Table& table, const Symbols& coarse, const Symbols& fine, const Symbols& symbols) {
  const size_t n = coarse.shape(0);
  const bool has_fine = fine.shape(0) > 0;
  require(symbols.shape(0) == n && (!has_fine || fine.shape(0) == n), "contexts and symbols must have the same length");
  for (size_t i = 0; i < n; ++i) {
    const int64_t s = symbols.data()[i];
    require(s >= 0 && s < table.symbols(), "symbol out of range");
    table.update(static_cast<int>(coarse.data()[i]), has_fine ? static_cast<int>(fine.data()[i]) : -1,
                 static_cast<int>(s));
  }
}

using Pairs = In<int64_t, nb::ndim<2>>;

const SplitTree::Group& group_of(const SplitTree& tree, int group) {
  require(group >= 0 && group < static_cast<int>(tree.groups().size()), "no such group");
  return tree.groups()[group];
}

// Rows of a group's tables, or the sizes [n, 1] of uniform ones.
Rows tree_rows(const SplitTree& tree, int group) {
  const auto& g = group_of(tree, group);
  const size_t n = g.cells.size(), k = g.symbols ? g.symbols : 1;
  std::vector<double> out(n * k);
  for (size_t i = 0; i < n; ++i) {
    if (g.symbols) {
      tree.row(g.cells[i], g.symbols, &out[i * k]);
    } else {
      out[i] = static_cast<double>(tree.count_of(g.cells[i]) + 1);
    }
  }
  return numpy(std::move(out), {n, k});
}

// Index of the nearest known splat, -1 where none, and the class of its distance, both [N].
nb::tuple neighbours(const Pairs& points, int tier, const Pairs& known, const Symbols& log_areas) {
  require(points.shape(1) == 2 && known.shape(1) == 2, "points must be [N, 2]");
  require(known.shape(0) == log_areas.shape(0), "known and log_areas must have the same length");
  require(tier >= 0 && tier < kTiers, "tier must be from 0 to 5");
  for (size_t i = 0; i < known.size(); ++i)
    require(known.data()[i] >= 0 && known.data()[i] < int64_t{1} << 30, "known centre out of range");
  const size_t n = points.shape(0);
  Neighbours out = find_neighbours(points.data(), n, tier, known.data(), log_areas.data(), known.shape(0));
  return nb::make_tuple(numpy(std::move(out.index), {n}), numpy(std::move(out.distance), {n}));
}

}  // namespace

void bind_tables(nb::module_& m) {
  nb::class_<Table>(m, "Table")
      .def(
          "__init__",
          [](Table* self, const Pairs& prior, int fine, int strength) {
            require(prior.shape(1) >= 2 && prior.shape(1) <= 64 && fine >= 1 && strength >= 1, "table out of range");
            new (self) Table(std::vector<int64_t>(prior.data(), prior.data() + prior.size()),
                             static_cast<int>(prior.shape(0)), static_cast<int>(prior.shape(1)), fine, strength);
          },
          "prior"_a.noconvert(), "fine"_a = 1, "strength"_a = 12)
      .def("rows", &table_rows, "coarse"_a.noconvert(), "fine"_a.noconvert())
      .def("update", &table_update, "coarse"_a.noconvert(), "fine"_a.noconvert(), "symbols"_a.noconvert());

  m.def("neighbours", &neighbours, "points"_a.noconvert(), "tier"_a, "known"_a.noconvert(), "log_areas"_a.noconvert());
  nb::class_<SplitTree>(m, "SplitTree")
      .def(
          "__init__",
          [](SplitTree* self, int width, int height, int tier, int64_t count, const Pairs& earlier,
             const Pairs& positions) {
            require(tier >= 0 && tier < kTiers && count > 0 && width > 0 && height > 0, "tree out of range");
            require(earlier.shape(1) == 2 && positions.shape(1) == 2, "points must be [N, 2]");
            require(positions.shape(0) == 0 || positions.shape(0) == static_cast<size_t>(count),
                    "positions must be [count, 2]");
            new (self) SplitTree(width, height, tier, count, earlier.data(), earlier.shape(0),
                                 positions.shape(0) ? positions.data() : nullptr);
          },
          "width"_a, "height"_a, "tier"_a, "count"_a, "earlier"_a.noconvert(), "positions"_a.noconvert())
      .def("next_level", &SplitTree::next_level)
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
