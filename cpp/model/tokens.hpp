// Integers from 0 to 65535 as a token and raw bits: small ones are their own token, larger ones have two tokens to an
// octave. docs/FORMAT.md, section 5.5, is this in words.
#pragma once

#include <cstdint>

#include "math/gaussian.hpp"

namespace splat2d {

constexpr int kDirect = 16;  // values below are their own token
constexpr int kTokens = 40;

struct Token {
  int token, bits;  // raw bits that follow
  int64_t raw;
};

constexpr int token_bits(int token) { return token < kDirect ? 0 : (token - kDirect) / 2 + 3; }

SPLAT2D_HD constexpr int token_of(int64_t value) {
  if (value < kDirect) return static_cast<int>(value);
  int bits = 3;
  while (value >> (bits + 2)) ++bits;
  return kDirect + 2 * (bits - 3) + static_cast<int>((value >> bits) & 1);
}

constexpr Token to_token(int64_t value) {
  const int token = token_of(value), bits = token_bits(token);
  return {token, bits, value & ((int64_t{1} << bits) - 1)};
}

constexpr int64_t from_token(int token, int64_t raw) {
  return token < kDirect ? token : (int64_t{2 + (token & 1)} << token_bits(token)) + raw;
}

}  // namespace splat2d
