#include "model/code_lengths.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/field_codec.hpp"
#include "model/traversal.hpp"

namespace splat2d {

namespace {

constexpr uint16_t kImpossible = 30 * 256;

// -log2 of a weight, in units.
uint16_t length_of(uint16_t weight) {
  if (weight == 0) return kImpossible;
  const float bits = static_cast<float>(kWeightBits) - std::log2(static_cast<float>(weight));
  return static_cast<uint16_t>(std::lround(bits / CodeLengths::kUnit));
}

// Hears what is coded of the splats of one batch after another, plane by plane.
class Listener : public Tap {
 public:
  Listener(const FieldLayout& layout, size_t splats)
      : layout_(layout), steps_(color_steps(layout.channels, layout.chroma_step)) {
    found.reserve(splats);
    rows.reserve(splats * layout.columns());
    for (int w = 0; w < 1 << kWeightBits; ++w) lengths_[w] = length_of(static_cast<uint16_t>(w));
  }

  void batch(int tier, const std::vector<int32_t*>& splats) override {
    const int C = layout_.channels;
    first_ = found.size();
    found.resize(first_ + splats.size());
    for (auto& places : places_) places.clear();
    std::fill(std::begin(next_), std::end(next_), 0);
    for (size_t i = 0; i < splats.size(); ++i) {
      const int32_t* q = splats[i];
      rows.insert(rows.end(), q, q + layout_.columns());
      CodeLengths& own = found[first_ + i];
      own.energy_class = energy_class(q, steps_);
      area_range(own.energy_class, tier, &own.low, &own.high);
      own.area = q[C];
      own.angles = angle_count(own.energy_class, q[C + 1]);
      for (int c = 0; c < C; ++c) {
        own.sign[c][0] = own.sign[c][1] = 256;
        if (q[c]) places_[kSigns].push_back(kChannels * i + c);
      }
      if (own.angles > 1) places_[kAngles].push_back(i);
    }
    // Few angles before many, signs component by component.
    const auto many = [&](size_t i) { return found[first_ + i].angles > CodeLengths::kSectors; };
    std::stable_sort(places_[kAngles].begin(), places_[kAngles].end(),
                     [&](size_t a, size_t b) { return many(a) < many(b); });
    std::stable_sort(places_[kSigns].begin(), places_[kSigns].end(),
                     [](size_t a, size_t b) { return a % kChannels < b % kChannels; });
    count_ = splats.size();
  }

  void symbol(Attribute attribute, const uint16_t* weights, int symbols, int) override {
    switch (attribute) {
      case Attribute::kLuma:
      case Attribute::kChroma:
      case Attribute::kAlpha: {
        const size_t at = next_[kMagnitudes]++;
        return by_token(weights, symbols, found[first_ + at % count_].magnitude[at / count_]);
      }
      case Attribute::kArea:
        return by_token(weights, symbols, found[first_ + next_[kAreas]++].areas);
      case Attribute::kAspect:
        return by_token(weights, symbols, found[first_ + next_[kAspects]++].aspects);
      case Attribute::kAngle: {
        uint16_t* to = found[first_ + places_[kAngles][next_[kAngles]++]].sectors;
        for (int i = 0; i < symbols && i < CodeLengths::kSectors; ++i) to[i] = lengths_[weights[i]];
        return;
      }
      case Attribute::kSign: {
        const size_t at = places_[kSigns][next_[kSigns]++];
        uint16_t* to = found[first_ + at / kChannels].sign[at % kChannels];
        for (int i = 0; i < 2; ++i) to[i] = lengths_[weights[i]];
        return;
      }
      default:
        return;
    }
  }

  // In the order of coding
  std::vector<CodeLengths> found;
  std::vector<int32_t> rows;  // of integers

 private:
  enum Plane { kMagnitudes, kAreas, kAspects, kAngles, kSigns, kPlanes };
  static constexpr size_t kChannels = CodeLengths::kChannels;

  void by_token(const uint16_t* weights, int symbols, uint16_t (&to)[kTokens]) const {
    for (int t = 0; t < kTokens; ++t)
      to[t] = t < symbols ? static_cast<uint16_t>(lengths_[weights[t]] + 256 * token_bits(t)) : kImpossible;
  }

  FieldLayout layout_;
  ColorSteps steps_;
  size_t first_ = 0, count_ = 0;
  size_t next_[kPlanes] = {};            // symbols of each plane so far
  std::vector<size_t> places_[kPlanes];  // in the batch, of those that have symbols of a plane
  std::vector<uint16_t> lengths_ = std::vector<uint16_t>(1 << kWeightBits);
};

// Rows by what they hold, in one order whatever theirs is: a hash of each, and its place.
std::vector<std::pair<uint64_t, size_t>> sorted(const int32_t* rows, size_t n, size_t columns) {
  std::vector<std::pair<uint64_t, size_t>> out(n);
  for (size_t i = 0; i < n; ++i) {
    uint64_t hash = 0;
    for (size_t k = 0; k < columns; ++k) {  // splitmix64
      hash += static_cast<uint32_t>(rows[i * columns + k]) + 0x9e3779b97f4a7c15ull;
      hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ull;
      hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebull;
      hash ^= hash >> 31;
    }
    out[i] = {hash, i};
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

const char* code_lengths(const Network& network, const FieldLayout& layout, const int32_t* splats, size_t n,
                         const Workers& workers, std::vector<CodeLengths>* out) {
  const size_t columns = layout.columns();
  std::vector<int32_t> there;
  std::vector<size_t> places;
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = splats + i * columns;
    if (std::all_of(q, q + layout.channels, [](int32_t k) { return k == 0; })) continue;
    there.insert(there.end(), q, q + columns);
    places.push_back(i);
  }
  CodeLengths nothing{};
  nothing.energy_class = -2;
  out->assign(n, nothing);
  Listener listener(layout, places.size());
  std::vector<int32_t> copy = there;
  std::vector<uint8_t> stream;
  if (const char* fault = encode_field(network, layout, copy.data(), places.size(), {}, workers, &listener, &stream))
    return fault;
  // What was coded twice, because there was too little for parts, counts as it was coded last.
  const size_t before = listener.found.size() - places.size();
  const CodeLengths* found = listener.found.data() + before;
  const auto from = sorted(listener.rows.data() + before * columns, places.size(), columns),
             to = sorted(there.data(), places.size(), columns);
  for (size_t i = 0; i < places.size(); ++i) (*out)[places[to[i].second]] = found[from[i].second];
  return nullptr;
}

}  // namespace splat2d
