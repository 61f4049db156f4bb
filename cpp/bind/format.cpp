#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "bind/arrays.hpp"
#include "bind/workers.hpp"
#include "model/code_lengths.hpp"
#include "model/field_codec.hpp"

namespace splat2d {
namespace {

using Counts = std::array<int64_t, kTiers>;
using Window = std::optional<std::array<int, 4>>;

// Of a light field: views, and spread and farthest of their eyes; zeros without disparities.
using EyesOf = std::array<int64_t, 3>;

FieldLayout make_layout(int width, int height, int channels, int chroma_step, int step_code, int frames,
                        const EyesOf& eyes) {
  require(channels >= 1 && channels <= kMaxChannels, "channels must be from 1 to 4");
  require(width <= 65535 && height <= 65535, "width and height must be at most 65535");
  require(chroma_step >= 4 && chroma_step <= 16, "chroma_step must be from 4 to 16");
  require(step_code >= 0 && step_code <= 2047, "step_code must be from 0 to 2047");
  require(frames >= 0 && frames != 1 && frames <= kMaxFrames, "frames must be 0, or from 2 to 64");
  const auto [views, spread, farthest] = eyes;
  if (views) {
    require(!frames && views >= 2 && views <= kMostViews, "views must be from 2 to 64, without frames");
    require(spread >= 1 && spread <= farthest && farthest <= kFarthestEye, "eyes are out of range");
  }
  return {make_canvas(width, height),
          channels,
          chroma_step,
          step_code,
          frames,
          {static_cast<int>(views), spread, farthest}};
}

const uint8_t* bytes_of(const nb::bytes& data) { return static_cast<const uint8_t*>(data.data()); }

// What bits are spent on.
class BitCounter : public Tap {
 public:
  void symbol(Attribute a, const uint16_t* weights, int /*symbols*/, int value) override {
    bits_[static_cast<int>(a)] += kWeightBits - std::log2(static_cast<double>(weights[value]));
  }
  void uniform(Attribute a, int64_t size, int64_t /*value*/) override {
    bits_[static_cast<int>(a)] += std::log2(static_cast<double>(size));
  }
  nb::dict bits() const {
    nb::dict out;
    for (int a = 0; a < kAttributes; ++a)
      if (bits_[a] > 0) out[kAttributeNames[a]] = bits_[a];
    return out;
  }

 private:
  double bits_[kAttributes] = {};
};

// Keeps what the models see and what is coded; may hide from them what other splats say, and all the rest.
class Recorder : public BitCounter {
 public:
  Recorder(bool neighbours, bool own, bool earlier) : neighbours_(neighbours), own_(own), earlier_(earlier) {}

  bool sees_inputs() const override { return true; }
  void stream() override { streams_.push_back(static_cast<int32_t>(values_.size())); }
  void split(int tier, int16_t* inputs, size_t n) override {
    constexpr int kStride = Network::kSplitStride;
    if (!earlier_)
      for (size_t i = 0; i < n; ++i)
        for (const int k : {1, 2, 3, 4, 8, 9}) inputs[i * kStride + k] = 0;
    for (size_t i = 0; i < n; ++i) {
      split_inputs_.insert(split_inputs_.end(), inputs + i * kStride, inputs + i * kStride + SplitTree::kInputs);
      split_tiers_.push_back(tier);
    }
    splits_left_ = n;
  }
  void embed(int tier, int16_t* place, int16_t* near, uint8_t* counts, size_t n) override {
    constexpr int kNear = Context::kNear * Network::kNearStride;
    for (size_t i = 0; i < n; ++i) {
      int16_t* row = place + i * Network::kPlaceStride;
      if (!neighbours_ || !own_) {
        // What follows from the file's header stays.
        for (int k = 0; k < Context::kPlaceInputs; ++k)
          if (!own_ || k < 2 || k > 6) row[k] = 0;
        std::fill_n(near + i * kNear, kNear, int16_t{0});
        counts[i] = 0;
      }
      place_.insert(place_.end(), row, row + Context::kPlaceInputs);
      near_.insert(near_.end(), near + i * kNear, near + (i + 1) * kNear);
      near_counts_.push_back(counts[i]);
      leaf_tiers_.push_back(tier);
    }
    first_leaf_ = leaf_tiers_.size() - n;
  }
  void rows(int head, const int32_t* leaves, int16_t* self, int32_t* levels, size_t n) override {
    constexpr int kStride = Network::kSelfStride;
    if (!own_) {
      std::vector<int32_t> sorted(levels, levels + n);
      std::nth_element(sorted.begin(), sorted.begin() + n / 2, sorted.end());
      std::fill_n(levels, n, sorted[n / 2]);
      std::fill_n(self, n * kStride, int16_t{0});
    }
    for (size_t i = 0; i < n; ++i) {
      row_heads_.push_back(head);
      row_leaves_.push_back(static_cast<int32_t>(first_leaf_) + leaves[i]);
      row_levels_.push_back(levels[i]);
      row_self_.insert(row_self_.end(), self + i * kStride, self + i * kStride + Context::kSelfInputs);
    }
  }
  void symbol(Attribute a, const uint16_t* weights, int symbols, int value) override {
    BitCounter::symbol(a, weights, symbols, value);
    coded(a, symbols, value);
    weights_.insert(weights_.end(), weights, weights + symbols);
    if (splits_left_)
      --splits_left_;
    else if (row_events_.size() < row_heads_.size())
      row_events_.push_back(static_cast<int32_t>(values_.size()) - 1);
  }
  void uniform(Attribute a, int64_t size, int64_t value) override {
    BitCounter::uniform(a, size, value);
    coded(a, -static_cast<int32_t>(size), value);
    if (splits_left_) --splits_left_;
  }

  nb::dict arrays() const {
    nb::dict out;
    const auto put = [&](const char* name, const auto& values, std::initializer_list<size_t> shape) {
      auto copy = values;
      out[name] = numpy(std::move(copy), shape);
    };
    const size_t cells = split_tiers_.size(), leaves = leaf_tiers_.size(), rows = row_heads_.size();
    put("split_inputs", split_inputs_, {cells, SplitTree::kInputs});
    put("split_tiers", split_tiers_, {cells});
    put("split_events", split_events_, {split_events_.size()});
    put("place", place_, {leaves, Context::kPlaceInputs});
    put("near", near_, {leaves, Context::kNear, Context::kNearInputs});
    put("near_counts", near_counts_, {leaves});
    put("leaf_tiers", leaf_tiers_, {leaves});
    put("row_heads", row_heads_, {rows});
    put("row_leaves", row_leaves_, {rows});
    put("row_levels", row_levels_, {rows});
    put("row_self", row_self_, {rows, Context::kSelfInputs});
    put("row_events", row_events_, {row_events_.size()});
    put("streams", streams_, {streams_.size()});
    put("attributes", attributes_, {values_.size()});
    put("sizes", sizes_, {values_.size()});
    put("values", values_, {values_.size()});
    put("weights", weights_, {weights_.size()});
    return out;
  }

 private:
  void coded(Attribute a, int32_t size, int64_t value) {
    if (splits_left_) split_events_.push_back(static_cast<int32_t>(values_.size()));
    attributes_.push_back(static_cast<int32_t>(a));
    sizes_.push_back(size);
    values_.push_back(static_cast<int32_t>(value));
  }

  bool neighbours_, own_, earlier_;
  size_t splits_left_ = 0, first_leaf_ = 0;
  std::vector<int16_t> split_inputs_, place_, near_, row_self_;
  std::vector<uint8_t> near_counts_;
  std::vector<uint16_t> weights_;
  std::vector<int32_t> split_tiers_, split_events_, leaf_tiers_, row_heads_, row_leaves_, row_levels_, row_events_,
      streams_, attributes_, sizes_, values_;
};

nb::tuple encode(const Network& network, const Ints2& integers, int width, int height, int channels, int chroma_step,
                 int step_code, int frames, const EyesOf& eyes, int64_t most_in_part, int64_t least_for_directory,
                 int threads, Tap* tap) {
  const FieldLayout layout = make_layout(width, height, channels, chroma_step, step_code, frames, eyes);
  require(integers.shape(1) == static_cast<size_t>(layout.columns()),
          "integers must be [N, C + 5], + 4 with frames, + 1 with views");
  require(most_in_part > 0 && least_for_directory >= 0, "a size is out of range");
  const size_t n = integers.shape(0);
  std::vector<int32_t> splats(integers.data(), integers.data() + integers.size());
  std::vector<uint8_t> out;
  const char* fault;
  {
    nb::gil_scoped_release free;
    fault = encode_field(network, layout, splats.data(), n, {most_in_part, static_cast<size_t>(least_for_directory)},
                         Threads(threads), tap, &out);
  }
  if (fault) throw std::invalid_argument(fault);
  return nb::make_tuple(nb::bytes(out.data(), out.size()), numpy(std::move(splats), {n, integers.shape(1)}));
}

// Of a picture's splats, [N, sizeof(CodeLengths)].
nb::ndarray<nb::numpy, uint8_t> lengths(const Network& network, const Ints2& integers, int width, int height,
                                        int channels, int chroma_step, int step_code, int threads) {
  const FieldLayout layout = make_layout(width, height, channels, chroma_step, step_code, 0, {});
  require(integers.shape(1) == static_cast<size_t>(layout.columns()), "integers must be [N, C + 5]");
  const size_t n = integers.shape(0);
  std::vector<CodeLengths> found;
  const char* fault;
  {
    nb::gil_scoped_release free;
    fault = code_lengths(network, layout, integers.data(), n, Threads(threads), &found);
  }
  if (fault) throw std::invalid_argument(fault);
  auto* kept = new std::vector<CodeLengths>(std::move(found));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<CodeLengths>*>(p); });
  return {kept->data(), {n, sizeof(CodeLengths)}, owner};
}

nb::tuple decode(const Network& network, const nb::bytes& data, int width, int height, int channels, int chroma_step,
                 int step_code, int frames, const EyesOf& eyes, int tiers, const Window& window, int threads,
                 Tap* tap) {
  const FieldLayout layout = make_layout(width, height, channels, chroma_step, step_code, frames, eyes);
  require(tiers >= 0 && tiers <= kTiers, "tiers must be from 0 to 6");
  Box box{};
  if (window) box = {(*window)[0], (*window)[1], (*window)[2], (*window)[3]};
  DecodedField out;
  const char* fault;
  {
    nb::gil_scoped_release free;
    fault = decode_field(network, layout, bytes_of(data), data.size(), {tiers, window ? &box : nullptr, &interrupted},
                         Threads(threads), tap, &out);
  }
  if (fault && PyErr_Occurred()) throw nb::python_error();
  if (fault) throw std::invalid_argument(fault);
  const size_t columns = layout.columns(), n = out.splats.size() / columns;
  return nb::make_tuple(numpy(std::move(out.splats), {n, columns}), out.counts);
}

// Of rows of integers [N, C + 6], px a step of the eyes' grid, [N].
nb::ndarray<nb::numpy, float> disparities(const Ints2& integers, int chroma_step, const EyesOf& eyes) {
  const int C = static_cast<int>(integers.shape(1)) - kViewFields;
  require(C >= 1 && C <= kMaxChannels, "integers must be [N, C + 6] with C from 1 to 4");
  const FieldLayout layout = make_layout(1, 1, C, chroma_step, 0, 0, eyes);
  const ColorSteps steps = color_steps(C, chroma_step);
  const size_t n = integers.shape(0);
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = integers.data() + integers.shape(1) * i;
    const int64_t step = disparity_step(energy_class(q, steps), q[C], q[C + 1], layout.eyes);
    out[i] = static_cast<float>(static_cast<double>(q[C + kDisparity] * step) / (1 << kDisparityBits));
  }
  return numpy(std::move(out), {n});
}

// A field that is decoded part by part, each as rows [n, columns] by tier and how many of each.
class PartReader {
 public:
  PartReader(const Network& network, const nb::bytes& data, int width, int height, int channels, int chroma_step,
             int step_code, int tiers, int threads)
      : data_(data),
        layout_(make_layout(width, height, channels, chroma_step, step_code, 0, {})),
        tiers_(tiers),
        threads_(threads),
        reader_(network, threads_) {
    require(tiers >= 0 && tiers <= kTiers, "tiers must be from 0 to 6");
    if (const char* fault = reader_.open(layout_, bytes_of(data_), data_.size(), tiers, nullptr))
      throw std::invalid_argument(fault);
    whole_ = decode(0);
  }

  std::vector<std::array<int, 4>> reach() const {
    std::vector<std::array<int, 4>> out;
    for (const Part& part : reader_.index().parts)
      out.push_back({part.reach.x0, part.reach.y0, part.reach.x1, part.reach.y1});
    return out;
  }

  nb::tuple part(size_t number) {
    require(number < reader_.index().parts.size(), "there is no such part");
    DecodedField field = number ? decode(number) : whole_;
    const size_t columns = layout_.columns(), n = field.splats.size() / columns;
    return nb::make_tuple(numpy(std::move(field.splats), {n, columns}), field.counts);
  }

 private:
  DecodedField decode(size_t number) {
    DecodedField out;
    const char* fault = reader_.check({number});
    const Part& part = reader_.index().parts[number];
    size_t total = 0;
    std::array<size_t, kTiers> first{};
    for (int t = 0; t < tiers_; ++t) {
      first[t] = total;
      out.counts[t] = part.pieces[t].count;
      total += static_cast<size_t>(out.counts[t]) * layout_.columns();
    }
    if (!fault) {
      nb::gil_scoped_release free;
      out.splats.assign(total, 0);
      std::array<int32_t*, kTiers> to{};
      for (int t = 0; t < tiers_; ++t) to[t] = out.splats.data() + first[t];
      fault = number ? reader_.part(number, to) : reader_.whole(to);
    }
    if (fault) throw std::invalid_argument(fault);
    return out;
  }

  nb::bytes data_;
  FieldLayout layout_;
  int tiers_;
  Threads threads_;
  FieldReader reader_;
  DecodedField whole_;
};

nb::dict index_of(const nb::bytes& data, int width, int height, int frames, const EyesOf& eyes) {
  const FieldLayout layout = make_layout(width, height, 1, 8, 0, frames, eyes);
  FieldIndex index;
  if (const char* fault = read_index(bytes_of(data), data.size(), layout, &index)) throw std::invalid_argument(fault);
  nb::dict out;
  out["counts"] = index.counts;
  out["directory"] = index.directory;
  out["parts"] = index.parts.size() - 1;
  out["streams"] = index.streams;
  nb::list pieces;  // offset and size of each tier of each part
  for (const Part& part : index.parts) {
    nb::list of_part;
    for (const Piece& piece : part.pieces) of_part.append(nb::make_tuple(piece.offset, piece.size));
    pieces.append(of_part);
  }
  out["pieces"] = pieces;
  Counts ends{};  // bytes that hold all tiers up to each
  for (int t = 0; t < kTiers; ++t)
    for (const Part& part : index.parts)
      ends[t] = index.directory ? static_cast<int64_t>(part.pieces[t].offset + part.pieces[t].size)
                                : static_cast<int64_t>(data.size());
  out["ends"] = ends;
  return out;
}

}  // namespace

void bind_tables(nb::module_& m) {
  nb::class_<Network>(m, "Network")
      .def(
          "__init__",
          [](Network* self, const nb::bytes& data) {
            new (self) Network();
            if (const char* fault = self->read(bytes_of(data), data.size())) {
              self->~Network();
              throw std::invalid_argument(fault);
            }
          },
          "data"_a);
  nb::class_<Tap>(m, "Tap");
  nb::class_<BitCounter, Tap>(m, "BitCounter").def(nb::init<>()).def("bits", &BitCounter::bits);
  nb::class_<Recorder, BitCounter>(m, "Recorder")
      .def(nb::init<bool, bool, bool>(), "neighbours"_a = true, "own"_a = true, "earlier"_a = true)
      .def("arrays", &Recorder::arrays);
  m.attr("ATTRIBUTES") = nb::make_tuple("position", "luma", "chroma", "alpha", "area", "aspect", "angle", "sign",
                                        "duration", "time", "velocity", "disparity");
  m.def("encode_field", &encode, "network"_a, "integers"_a.noconvert(), "width"_a, "height"_a, "channels"_a,
        "chroma_step"_a, "step_code"_a, "frames"_a = 0, "eyes"_a = EyesOf{},
        "most_in_part"_a = FieldOptions().most_in_part,
        "least_for_directory"_a = static_cast<int64_t>(FieldOptions().least_for_directory), "threads"_a = 1,
        "tap"_a = nb::none());
  m.def("code_lengths", &lengths, "network"_a, "integers"_a.noconvert(), "width"_a, "height"_a, "channels"_a,
        "chroma_step"_a, "step_code"_a, "threads"_a = 1);
  m.def("decode_field", &decode, "network"_a, "data"_a, "width"_a, "height"_a, "channels"_a, "chroma_step"_a,
        "step_code"_a, "frames"_a = 0, "eyes"_a = EyesOf{}, "tiers"_a = kTiers, "window"_a = nb::none(),
        "threads"_a = 1, "tap"_a = nb::none());
  nb::class_<PartReader>(m, "PartReader")
      .def(nb::init<const Network&, const nb::bytes&, int, int, int, int, int, int, int>(), nb::keep_alive<1, 2>(),
           "network"_a, "data"_a, "width"_a, "height"_a, "channels"_a, "chroma_step"_a, "step_code"_a, "tiers"_a,
           "threads"_a)
      .def("reach", &PartReader::reach)
      .def("part", &PartReader::part, "number"_a);
  m.def("field_index", &index_of, "data"_a, "width"_a, "height"_a, "frames"_a = 0, "eyes"_a = EyesOf{});
  m.def("disparities", &disparities, "integers"_a.noconvert(), "chroma_step"_a, "eyes"_a);
}

}  // namespace splat2d
