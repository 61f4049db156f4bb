// Integers by adaptive tables: small ones have a symbol each, others a token and raw bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "model/adaptive.hpp"
#include "model/tokens.hpp"

namespace splat2d {

// Counts [symbols] that a table begins with, of f(symbol).
template <class F>
std::vector<int32_t> prior(int symbols, F f) {
  std::vector<int32_t> out(symbols);
  for (int s = 0; s < symbols; ++s) out[s] = f(s);
  return out;
}

// Integers from 0 to 65535 that few splats need.
class Escapes {
 public:
  explicit Escapes(Attribute attribute) : attribute_(attribute) {}

  template <class Coder>
  void code(Coder& coder, std::vector<int32_t>* values) {
    const std::vector<int32_t> none(values->size(), 0);
    std::vector<int32_t> token(values->size(), 0);
    if (!Coder::kDecodes)
      for (size_t k = 0; k < token.size(); ++k) token[k] = to_token((*values)[k]).token;
    table_.code(coder, none, &token);
    for (size_t k = 0; k < token.size(); ++k) {
      const int64_t raw = Coder::kDecodes ? 0 : to_token((*values)[k]).raw;
      const int64_t size = int64_t{1} << token_bits(token[k]);
      (*values)[k] = static_cast<int32_t>(from_token(token[k], coder.uniform(attribute_, size, raw)));
    }
  }

 private:
  Attribute attribute_;
  AdaptiveTable table_{attribute_, 1, prior(kTokens, [](int) { return 1; })};
};

// Integers around 0, in contexts; others than small ones are escapes.
class SignedTable {
 public:
  SignedTable(Attribute attribute, size_t contexts)
      : attribute_(attribute),
        table_(attribute, contexts,
               prior(kEscape + 1, [](int s) { return 1 + 96 / (1 + (s - kSmall) * (s - kSmall)); })) {}

  template <class Coder>
  void code(Coder& coder, const std::vector<int32_t>& contexts, Escapes* escapes, std::vector<int32_t>* values) {
    symbols_.resize(values->size());
    for (size_t i = 0; i < symbols_.size(); ++i)
      symbols_[i] = std::abs((*values)[i]) > kSmall ? kEscape : (*values)[i] + kSmall;
    table_.code(coder, contexts, &symbols_);
    std::vector<size_t> far;
    for (size_t i = 0; i < symbols_.size(); ++i)
      if (symbols_[i] == kEscape) far.push_back(i);
    std::vector<int32_t> signs(far.size()), sizes(far.size());
    for (size_t k = 0; k < far.size(); ++k) {
      const int32_t value = (*values)[far[k]];
      signs[k] = coder.uniform(attribute_, 2, value < 0) ? -1 : 1;
      sizes[k] = std::abs(value) - kSmall - 1;
    }
    escapes->code(coder, &sizes);
    for (size_t i = 0; i < symbols_.size(); ++i) (*values)[i] = symbols_[i] - kSmall;
    for (size_t k = 0; k < far.size(); ++k) (*values)[far[k]] = (sizes[k] + kSmall + 1) * signs[k];
  }

 private:
  static constexpr int kSmall = 16;  // of either sign that have a symbol
  static constexpr int kEscape = 2 * kSmall + 1;

  Attribute attribute_;
  AdaptiveTable table_;
  std::vector<int32_t> symbols_;
};

}  // namespace splat2d
