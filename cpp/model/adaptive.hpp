// Adaptive tables: what is learned of a symbol while a field is coded, in integer arithmetic. docs/FORMAT.md, section
// 5.10, is this in words.
//
// A symbol's share is its count in the table of its context, mixed with that of all contexts together, which knows
// sooner. Both sides count alike, after every block of symbols.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/coders.hpp"
#include "model/kernels.hpp"

namespace splat2d {

class AdaptiveTable {
 public:
  static constexpr int kMostSymbols = 64;

  // prior: [symbols] counts that the shared table begins with, all positive.
  AdaptiveTable(Attribute attribute, size_t contexts, std::vector<int32_t> prior)
      : attribute_(attribute),
        symbols_(prior.size()),
        shared_(std::move(prior)),
        counts_(contexts * symbols_, 0),
        totals_(contexts, 0),
        row_of_(contexts, -1) {}

  // Codes symbols [n] in contexts [n].
  template <class Coder>
  void code(Coder& coder, const std::vector<int32_t>& contexts, std::vector<int32_t>* values) {
    const size_t n = contexts.size();
    for (size_t begin = 0; begin < n;) {
      const size_t end = std::min(n, begin + std::clamp<size_t>(seen_ / 4, kFirstBlock, kLastBlock));
      begin_block();
      for (size_t i = begin; i < end; ++i)
        (*values)[i] = coder.symbol(attribute_, row(contexts[i]), static_cast<int>(symbols_), (*values)[i]);
      for (size_t i = begin; i < end; ++i) learn(contexts[i], (*values)[i]);
      seen_ += end - begin;
      begin = end;
    }
  }

 private:
  static constexpr int32_t kShare = 1 << 16;        // what the shared table's shares add up to
  static constexpr int32_t kTrust = 2;              // symbols in a context that weigh as much as the shared table
  static constexpr int32_t kLearned = 4;            // counts of a symbol in the shared table
  static constexpr int32_t kMostCounted = 1 << 12;  // in a context; then its counts are halved
  static constexpr int32_t kMostShared = 1 << 20;   // likewise
  static constexpr size_t kFirstBlock = 16, kLastBlock = 256;  // symbols

  void begin_block() {
    for (const int32_t context : rows_of_) row_of_[context] = -1;
    rows_of_.clear();
    rows_.clear();
    int64_t sum = 0;
    for (const int32_t n : shared_) sum += n;
    for (size_t s = 0; s < symbols_; ++s) shares_[s] = static_cast<int32_t>(int64_t{shared_[s]} * kShare / sum);
  }
  const uint16_t* row(int32_t context) {
    if (row_of_[context] < 0) {
      row_of_[context] = static_cast<int32_t>(rows_.size());
      rows_of_.push_back(context);
      int32_t mixed[kMostSymbols];
      const int32_t* counts = &counts_[context * symbols_];
      for (size_t s = 0; s < symbols_; ++s) mixed[s] = counts[s] * kShare + kTrust * (shares_[s] + 1);
      rows_.resize(rows_.size() + symbols_);
      model_kernels().normalise(mixed, static_cast<int>(symbols_), rows_.data() + row_of_[context]);
    }
    return rows_.data() + row_of_[context];
  }
  void learn(int32_t context, int32_t symbol) {
    int32_t* counts = &counts_[context * symbols_];
    ++counts[symbol];
    if (++totals_[context] == kMostCounted) {
      totals_[context] = 0;
      for (size_t s = 0; s < symbols_; ++s) totals_[context] += counts[s] /= 2;
    }
    shared_[symbol] += kLearned;
    if (shared_[symbol] >= kMostShared)
      for (int32_t& n : shared_) n = (n + 1) / 2;
  }

  Attribute attribute_;
  size_t symbols_;
  std::vector<int32_t> shared_, counts_, totals_;
  size_t seen_ = 0;
  int32_t shares_[kMostSymbols];  // of the block
  std::vector<int32_t> row_of_, rows_of_;
  std::vector<uint16_t> rows_;  // weights of the contexts that the block has met
};

}  // namespace splat2d
