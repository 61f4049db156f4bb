// What the entropy coder asks for each integer of a splat that it may come to, among the neighbours that it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "math/gaussian.hpp"
#include "model/tokens.hpp"

namespace splat2d {

class Network;
class Workers;
struct FieldLayout;

struct CodeLengths {
  static constexpr int kSectors = 32, kChannels = 4;
  static constexpr float kUnit = 1.0f / 256;  // bits

  int32_t energy_class;  // for which all but the colours are; below -1 where nothing is known
  int32_t low, high;     // areas of its tier
  int32_t area, angles;  // its area index, and how many angles it may have
  // In units, by tokens (model/tokens.hpp) with the raw bits that follow; of angles by sector of the half turn, where
  // there are more than kSectors with what follows one that is a mean.
  uint16_t magnitude[kChannels][kTokens], sign[kChannels][2];  // of 1 and -1
  uint16_t areas[kTokens], aspects[kTokens];                   // of an area over the lowest
  uint16_t sectors[kSectors];

  SPLAT2D_HD float color_bits(int channel, int k) const {
    const int bits = magnitude[channel][token_of(k < 0 ? -k : k)];
    return kUnit * static_cast<float>(k ? bits + sign[channel][k < 0] : bits);
  }
  SPLAT2D_HD bool knows_area(int index) const { return index >= low && index <= high; }
  // Over that of the splat's own area.
  SPLAT2D_HD float more_area_bits(int index) const {
    return kUnit * static_cast<float>(areas[token_of(index - low)] - areas[token_of(area - low)]);
  }
  SPLAT2D_HD float aspect_bits(int aspect) const { return kUnit * static_cast<float>(aspects[token_of(aspect)]); }
  // Of one of so many angles, two at least, over what it would take if all were as likely.
  SPLAT2D_HD float more_angle_bits(int angle, int count) const {
    if (angles < 2) return 0.0f;
    const int n = angles < kSectors ? angles : kSectors;
    return kUnit * static_cast<float>(sectors[(2 * n * angle + count) / (2 * count) % n]) -
           log2f(static_cast<float>(n));
  }
};

// Of splats, rows [n, columns] of a field that could be coded; those whose colours are zero are left out of it and have
// nothing. Returns why they cannot be coded, or null.
const char* code_lengths(const Network& network, const FieldLayout& layout, const int32_t* splats, size_t n,
                         const Workers& workers, std::vector<CodeLengths>* out);

}  // namespace splat2d
