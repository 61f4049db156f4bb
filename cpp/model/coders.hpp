// One traversal for both directions: coders that write or read the same calls.
//
// `symbol` codes one of so many symbols under weights that sum to 2^16, `uniform` a number below a size from 1 to 2^24;
// an encoder returns what it is given, a decoder what it has read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/range_coder.hpp"

namespace splat2d {

constexpr int kWeightBits = 16, kSpare = kPrecision - kWeightBits;

// What bits are spent on.
enum class Attribute {
  kPosition,
  kLuma,
  kChroma,
  kAlpha,
  kArea,
  kAspect,
  kAngle,
  kSign,
  kDuration,
  kTime,
  kVelocity,
  kDisparity
};
constexpr int kAttributes = 12;
constexpr const char* kAttributeNames[kAttributes] = {"position", "luma", "chroma",   "alpha", "area",     "aspect",
                                                      "angle",    "sign", "duration", "time",  "velocity", "disparity"};

// Looks at what is coded, and may change what the models see: for measuring and training, and for no file.
class Tap {
 public:
  virtual ~Tap() = default;
  // What follows is coded in a stream of its own.
  virtual void stream() {}
  // What follows is coded of these splats, rows of integers, plane by plane; a decoder has yet to fill them in.
  virtual void batch(int /*tier*/, const std::vector<int32_t*>& /*splats*/) {}
  // Whether it wants to see, one after another, the inputs of the network.
  virtual bool sees_inputs() const { return false; }
  // Inputs of the network, before it is asked: of cells [n, Network::kSplitStride], of leaves
  // [n, Network::kPlaceStride] and [n, Context::kNear, Network::kNearStride], and of what is known of splats
  // [n, Network::kSelfStride] and [n].
  virtual void split(int /*tier*/, int16_t* /*inputs*/, size_t /*n*/) {}
  virtual void embed(int /*tier*/, int16_t* /*place*/, int16_t* /*near*/, uint8_t* /*counts*/, size_t /*n*/) {}
  virtual void rows(int /*head*/, const int32_t* /*leaves*/, int16_t* /*self*/, int32_t* /*levels*/, size_t /*n*/) {}
  // What is coded.
  virtual void symbol(Attribute, const uint16_t* /*weights*/, int /*symbols*/, int /*value*/) {}
  virtual void uniform(Attribute, int64_t /*size*/, int64_t /*value*/) {}
};

class Encoder {
 public:
  static constexpr bool kDecodes = false;
  explicit Encoder(Tap* tap = nullptr) : tap_(tap) {}

  int symbol(Attribute attribute, const uint16_t* weights, int symbols, int value) {
    if (tap_) tap_->symbol(attribute, weights, symbols, value);
    uint32_t start = 0;
    for (int i = 0; i < value; ++i) start += weights[i];
    coder_.encode(start << kSpare, uint32_t{weights[value]} << kSpare);
    return value;
  }
  int64_t uniform(Attribute attribute, int64_t size, int64_t value) {
    if (tap_) tap_->uniform(attribute, size, value);
    if (size > 1) coder_.encode_uniform(static_cast<uint32_t>(size), static_cast<uint32_t>(value));
    return value;
  }
  bool damaged() const { return false; }

  size_t words_read() const { return coder_.words_read(); }
  std::vector<uint8_t> finish() { return coder_.finish(); }

 private:
  Tap* tap_;
  RangeEncoder coder_;
};

// Whether to end before all is decoded: once the answer was yes, whoever looks knows.
class Stop {
 public:
  explicit Stop(bool (*asked)()) : asked_(asked) {}
  bool now() {
    if (asked_ && !told_.load(std::memory_order_relaxed) && asked_()) told_.store(true, std::memory_order_relaxed);
    return told_.load(std::memory_order_relaxed);
  }

 private:
  bool (*asked_)();
  std::atomic<bool> told_{false};
};

class Decoder {
 public:
  static constexpr bool kDecodes = true;
  Decoder(const uint8_t* data, size_t size, Tap* tap = nullptr, Stop* stop = nullptr)
      : tap_(tap), stop_(stop), coder_(data, size) {}

  int symbol(Attribute attribute, const uint16_t* weights, int symbols, int /*value*/) {
    const uint64_t quantile = coder_.quantile();
    if (quantile >> kPrecision) {
      damaged_ = true;
      return 0;
    }
    const uint32_t at = static_cast<uint32_t>(quantile) >> kSpare;
    uint32_t start = 0;
    int value = 0;
    for (; start + weights[value] <= at; ++value) start += weights[value];
    coder_.consume(start << kSpare, uint32_t{weights[value]} << kSpare);
    if (tap_) tap_->symbol(attribute, weights, symbols, value);
    return value;
  }
  int64_t uniform(Attribute attribute, int64_t size, int64_t /*value*/) {
    if (size <= 1) {
      if (tap_) tap_->uniform(attribute, size, 0);
      return 0;
    }
    const uint64_t quantile = coder_.quantile();
    if (quantile >> kPrecision) {
      damaged_ = true;
      return 0;
    }
    // The last value has what is left over.
    constexpr uint32_t kFull = uint32_t{1} << kPrecision;
    const uint32_t n = static_cast<uint32_t>(size), each = kFull / n, value = static_cast<uint32_t>(quantile) / each;
    const uint32_t last = n - 1, chosen = value < last ? value : last;
    coder_.consume(chosen * each, chosen < last ? each : kFull - last * each);
    if (tap_) tap_->uniform(attribute, size, chosen);
    return chosen;
  }
  // Whether data was met that no encoder writes, or nobody wants what follows.
  bool damaged() const { return damaged_ || (stop_ && stop_->now()); }

 private:
  Tap* tap_;
  Stop* stop_;
  RangeDecoder coder_;
  bool damaged_ = false;
};

}  // namespace splat2d
