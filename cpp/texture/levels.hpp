// A texture's strengths as bits: adaptive binary decisions behind the neighbours' levels. docs/FORMAT.md, section 6.7,
// is this in words.
#pragma once

#include <cstdint>
#include <vector>

#include "texture/texture.hpp"

namespace splat2d {

std::vector<uint8_t> encode_levels(const Strengths& strengths);

// Fills levels of the given shape; false when the data is none that an encoder writes.
bool decode_levels(const uint8_t* data, size_t size, const Strengths& shape, uint8_t* levels);

// Levels for which the sum of costs + lmbda bits is small, from those given: a descent, level by level, with code
// lengths of what was coded so far. `costs` has kMaxLevel + 1 values for each level.
void choose_levels(const Strengths& shape, const float* costs, double lmbda, int rounds, uint8_t* levels);

}  // namespace splat2d
