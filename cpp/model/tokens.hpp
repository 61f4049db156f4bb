// Integers from 0 to 65535 as a token and raw bits: small ones are their own token, larger ones have two tokens to an
// octave. docs/FORMAT.md, section 5.5, is this in words.
#pragma once

#include <bit>
#include <cstdint>

namespace splat2d {

constexpr int kDirect = 16;  // values below are their own token
constexpr int kTokens = 40;

struct Token {
  int token, bits;  // raw bits that follow
  int64_t raw;
};

constexpr int token_bits(int token) { return token < kDirect ? 0 : (token - kDirect) / 2 + 3; }

constexpr Token to_token(int64_t value) {
  if (value < kDirect) return {static_cast<int>(value), 0, 0};
  const int bits = std::bit_width(static_cast<uint64_t>(value)) - 2;
  const int half = static_cast<int>(value >> bits) & 1;
  return {kDirect + 2 * (bits - 3) + half, bits, value & ((int64_t{1} << bits) - 1)};
}

constexpr int64_t from_token(int token, int64_t raw) {
  return token < kDirect ? token : (int64_t{2 + (token & 1)} << token_bits(token)) + raw;
}

}  // namespace splat2d
