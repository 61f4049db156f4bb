// The range coder of the library constriction (stream.queue, 32-bit words, 64-bit state, 24-bit weights), word for
// word. docs/FORMAT.md, section 5.3, is the decoder in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace splat2d {

constexpr int kPrecision = 24;  // bits of a weight: weights sum to 2^24

class RangeEncoder {
 public:
  // A symbol of weight `weight` behind weights that sum to `start`.
  void encode(uint32_t start, uint32_t weight) {
    const uint64_t scale = range_ >> kPrecision, lower = lower_ + scale * start;
    range_ = scale * weight;
    // Words that a carry may still change are held back: the interval reaches over a multiple of 2^64 until it lies on
    // one side of it.
    if (held_ && lower + range_ > lower) release(lower < lower_);
    lower_ = lower;
    if (range_ >> 32) return;
    range_ <<= 32;
    const uint32_t word = static_cast<uint32_t>(lower_ >> 32);
    lower_ <<= 32;
    if (held_) {
      ++held_;
    } else if (lower_ + range_ > lower_) {
      words_.push_back(word);
    } else {
      held_ = 1;
      first_held_ = word;
    }
  }
  void encode_uniform(uint32_t size, uint32_t value) {
    const uint32_t each = (uint32_t{1} << kPrecision) / size;
    encode(value * each, value + 1 < size ? each : (uint32_t{1} << kPrecision) - value * each);
  }

  // Words that a decoder has read once it has decoded all so far.
  size_t words_read() const { return words_.size() + held_ + 2; }

  // The words, little-endian, without zero bytes at the end.
  std::vector<uint8_t> finish() {
    if (!words_.empty() || held_ || range_ != UINT64_MAX) {
      const uint64_t point = lower_ + 0xffffffffu;
      if (held_) release(point < lower_);
      const uint32_t word = static_cast<uint32_t>(point >> 32);
      words_.push_back(word);
      if (static_cast<uint32_t>((lower_ + range_) >> 32) == word) words_.push_back(0);
    }
    std::vector<uint8_t> out;
    out.reserve(4 * words_.size());
    for (const uint32_t w : words_)
      for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<uint8_t>(w >> shift));
    while (!out.empty() && out.back() == 0) out.pop_back();
    return out;
  }

 private:
  void release(bool carry) {
    words_.push_back(first_held_ + carry);
    words_.insert(words_.end(), held_ - 1, carry ? 0u : UINT32_MAX);
    held_ = 0;
  }

  uint64_t lower_ = 0, range_ = UINT64_MAX;
  size_t held_ = 0;  // words held back: the first, and the rest all ones
  uint32_t first_held_ = 0;
  std::vector<uint32_t> words_;
};

class RangeDecoder {
 public:
  RangeDecoder(const uint8_t* data, size_t size) : at_(data), end_(data + size) {
    point_ = static_cast<uint64_t>(next()) << 32;
    point_ |= next();
  }

  // Of the next symbol: where it lies among 2^24; 2^24 and more when the data is damaged.
  uint64_t quantile() {
    scale_ = range_ >> kPrecision;
    return point_ / scale_;
  }
  // Goes on behind a symbol that holds the quantile.
  void consume(uint32_t start, uint32_t weight) {
    point_ -= scale_ * start;
    range_ = scale_ * weight;
    if (range_ >> 32) return;
    range_ <<= 32;
    point_ = point_ << 32 | next();
  }

 private:
  // Bytes that are missing at the end are 0.
  uint32_t next() {
    if (end_ - at_ >= 4) {
      const uint32_t word = static_cast<uint32_t>(at_[0]) | static_cast<uint32_t>(at_[1]) << 8 |
                            static_cast<uint32_t>(at_[2]) << 16 | static_cast<uint32_t>(at_[3]) << 24;
      at_ += 4;
      return word;
    }
    uint32_t word = 0;
    for (int shift = 0; at_ < end_; shift += 8) word |= static_cast<uint32_t>(*at_++) << shift;
    return word;
  }

  const uint8_t *at_, *end_;
  uint64_t point_ = 0, range_ = UINT64_MAX, scale_ = 0;
};

}  // namespace splat2d
