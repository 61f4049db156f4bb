// A motion field's integers as bytes: docs/FORMAT.md, section 9.6, is this in words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/motion.hpp"
#include "model/adaptive.hpp"
#include "model/tokens.hpp"

namespace splat2d {

class MotionCodec {
 public:
  explicit MotionCodec(const MotionLayout& layout) : layout_(layout), before_(layout.integers(), 0) {}

  // Codes the integers of the next node.
  template <class Coder>
  void code(Coder& coder, int32_t* integers) {
    std::vector<int32_t> contexts(kMotionPlane, 0), values(integers, integers + kMotionPlane);
    if (some(coder, 0, integers, kMotionPlane)) {
      one_row(coder, contexts, &values);
      std::copy(values.begin(), values.end(), integers);
    }
    size_t first = kMotionPlane;
    for (int level = 0; level < kMotionLevels; ++level) {
      const int rows = layout_.rows(level), columns = layout_.columns(level);
      const bool any = some(coder, 1 + level, integers + first, 2 * layout_.coefficients(level));
      for (int r = 0; any && r < rows; ++r)
        for (int a = 0; a < 2; ++a) {
          contexts.resize(columns);
          values.resize(columns);
          for (int c = 0; c < columns; ++c) {
            const size_t at = first + 2 * (static_cast<size_t>(r) * columns + c) + a;
            int64_t near = std::abs(before_[at]);
            if (r > 0) near += std::abs(integers[at - 2 * static_cast<size_t>(columns)]);
            if (a > 0) near += std::abs(integers[at - 1]);
            contexts[c] = 1 + level * kNear + (near < 3 ? static_cast<int>(near) : near < 5 ? 3 : 4);
            values[c] = integers[at];
          }
          one_row(coder, contexts, &values);
          for (int c = 0; c < columns; ++c)
            integers[first + 2 * (static_cast<size_t>(r) * columns + c) + a] = values[c];
        }
      first += 2 * layout_.coefficients(level);
    }
    before_.assign(integers, integers + before_.size());
  }

 private:
  static constexpr int kSmall = 8;  // of either sign that have a symbol
  static constexpr int kEscape = 2 * kSmall + 1;
  static constexpr int kNear = 5;  // groups of what is known around

  static std::vector<int32_t> prior() {
    std::vector<int32_t> out(kEscape + 1);
    for (int s = 0; s <= kEscape; ++s) out[s] = 1 + 96 / (1 + 3 * (s - kSmall) * (s - kSmall));
    return out;
  }

  // Whether integers are not all 0.
  template <class Coder>
  bool some(Coder& coder, int level, const int32_t* integers, size_t count) {
    std::vector<int32_t> any(1, std::any_of(integers, integers + count, [](int32_t v) { return v != 0; }));
    any_.code(coder, {level}, &any);
    return any[0] != 0;
  }

  // Integers of either sign up to 65536.
  template <class Coder>
  void one_row(Coder& coder, const std::vector<int32_t>& contexts, std::vector<int32_t>* values) {
    symbols_.resize(values->size());
    for (size_t i = 0; i < values->size(); ++i)
      symbols_[i] = std::abs((*values)[i]) > kSmall ? kEscape : (*values)[i] + kSmall;
    small_.code(coder, contexts, &symbols_);
    for (size_t i = 0; i < values->size(); ++i) {
      if (symbols_[i] != kEscape) {
        (*values)[i] = symbols_[i] - kSmall;
        continue;
      }
      const int32_t value = (*values)[i];
      const bool negative = coder.uniform(Attribute::kVelocity, 2, value < 0);
      const Token t = Coder::kDecodes ? Token{} : to_token(std::abs(value) - kSmall - 1);
      std::vector<int32_t> token(1, t.token);
      rest_.code(coder, {0}, &token);
      const int64_t raw = coder.uniform(Attribute::kVelocity, int64_t{1} << token_bits(token[0]), t.raw);
      const int32_t size = static_cast<int32_t>(from_token(token[0], raw)) + kSmall + 1;
      (*values)[i] = negative ? -size : size;
    }
  }

  MotionLayout layout_;
  std::vector<int32_t> before_;  // integers of the node before
  AdaptiveTable any_{Attribute::kVelocity, 1 + kMotionLevels, std::vector<int32_t>(2, 8)};
  AdaptiveTable small_{Attribute::kVelocity, 1 + kMotionLevels * kNear, prior()};
  AdaptiveTable rest_{Attribute::kVelocity, 1, std::vector<int32_t>(kTokens, 1)};
  std::vector<int32_t> symbols_;
};

// The bytes of integers [nodes - 1, integers] in the nodes' order.
inline std::vector<uint8_t> encode_motion(const MotionLayout& layout, const int32_t* integers) {
  Encoder coder;
  MotionCodec codec(layout);
  std::vector<int32_t> node(layout.integers());
  for (int n = 0; n < layout.intervals; ++n) {
    std::copy_n(integers + n * node.size(), node.size(), node.begin());
    codec.code(coder, node.data());
  }
  return coder.finish();
}

// The other way: the coefficients of all nodes. Returns why the bytes are damaged, or null.
inline const char* decode_motion(const MotionLayout& layout, const uint8_t* data, size_t size,
                                 std::vector<int32_t>* out) {
  Decoder coder(data, size);
  MotionNodes nodes(layout);
  MotionCodec codec(layout);
  std::vector<int32_t> node(layout.integers());
  for (const MotionNode& n : motion_order(layout.intervals, layout.reference)) {
    std::fill(node.begin(), node.end(), 0);
    codec.code(coder, node.data());
    if (coder.damaged()) return "no symbol fits the range coder's state";
    if (!nodes.make(n, node.data())) return "a displacement is out of range";
  }
  *out = nodes.values();
  return nullptr;
}

}  // namespace splat2d
