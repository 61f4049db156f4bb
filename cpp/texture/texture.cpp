#include "texture/texture.hpp"

#include <algorithm>
#include <cmath>

namespace splat2d {

namespace {

constexpr double kTurn = 6.283185307179586;
constexpr double kFrequency = 0.34;          // of band 0, in the middle of its octave, 1/px
constexpr double kWidth = 0.6;               // of an impulse: standard deviation times frequency
constexpr double kSide = 4.0;                // of band 0's lattice, px
constexpr int kImpulses = 2;                 // in a cell of a lattice
constexpr double kReach = 3.0;               // standard deviations
constexpr double kKept = 0.42, kGone = 0.5;  // 1/px seen, where waves begin to fade and where they are gone
constexpr double kMostStretch = 16;          // of one direction over another
constexpr int kBeyond = 8;                   // octaves beyond band 0 at most
constexpr int kDirectionBits = 8, kPitchBits = 6, kPhaseBits = 10;

uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ x >> 16;
}

// Directions of waves over the half turn, and frequencies over the octave.
struct Tables {
  double cosine[1 << kDirectionBits], sine[1 << kDirectionBits], pitch[1 << kPitchBits];
  Tables() {
    for (int i = 0; i < 1 << kDirectionBits; ++i) {
      const double angle = kTurn / 2 * (i + 0.5) / (1 << kDirectionBits);
      cosine[i] = std::cos(angle);
      sine[i] = std::sin(angle);
    }
    for (int i = 0; i < 1 << kPitchBits; ++i) pitch[i] = std::exp2((i + 0.5) / (1 << kPitchBits) - 0.5);
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

struct Levels {
  float amplitude[kMaxLevel + 1];
  Levels() {
    amplitude[0] = 0;
    for (int v = 1; v <= kMaxLevel; ++v) amplitude[v] = static_cast<float>(0.5 * std::exp2(0.5 * v) / 255);
  }
};

const Levels kLevels;

int pixel(double x) { return static_cast<int>(clamp(x, -1e9, 1e9)); }

}  // namespace

float amplitude(int level) { return kLevels.amplitude[level]; }

TextureDrawer::TextureDrawer(const Texture& texture) : t_(texture) {
  const double* m = t_.map;
  const double det = m[0] * m[3] - m[1] * m[2];
  inverse_[0] = m[3] / det;
  inverse_[1] = -m[1] / det;
  inverse_[2] = -m[2] / det;
  inverse_[3] = m[0] / det;
  // The largest stretch of any direction: no wave is seen slower than its frequency over it.
  const double sum = m[0] * m[0] + m[1] * m[1] + m[2] * m[2] + m[3] * m[3];
  const double stretch = std::sqrt(0.5 * (sum + std::sqrt(std::max(sum * sum - 4 * det * det, 0.0))));
  if (!(std::isfinite(stretch) && std::isfinite(1 / det)) || t_.gain <= 0) return;
  // One square of a lattice would be a fraction of a pixel, and a tile would see too many.
  if (stretch * stretch > kMostStretch * std::abs(det)) return;
  const Strengths& s = t_.strengths;
  const size_t plane = s.count() / std::max(s.bands, 1);
  for (int number = -kBeyond; number < s.bands; ++number) {
    const int band = std::max(number, 0);
    const uint8_t* levels = s.levels + plane * band;
    if (std::all_of(levels, levels + plane, [](uint8_t v) { return v == 0; })) continue;
    Octave o{};
    o.band = band;
    o.number = number;
    const double octave = std::exp2(number);
    o.frequency = kFrequency / octave;
    o.side = kSide * octave;
    if (o.frequency * std::sqrt(0.5) / stretch >= kGone) continue;
    const double sigma = kWidth / o.frequency, variance = sigma * sigma;
    // Covariance seen, before and after the blur.
    const double xx = variance * (m[0] * m[0] + m[1] * m[1]), xy = variance * (m[0] * m[2] + m[1] * m[3]);
    const double yy = variance * (m[2] * m[2] + m[3] * m[3]);
    const double bx = xx + t_.blur[0], bxy = xy + t_.blur[1], by = yy + t_.blur[2];
    const double before = variance * variance * det * det;
    const double after = before + t_.blur[0] * yy + t_.blur[2] * xx - 2 * t_.blur[1] * xy + t_.blur[0] * t_.blur[2] -
                         t_.blur[1] * t_.blur[1];
    o.a = static_cast<float>(by / after);
    o.b = static_cast<float>(-bxy / after);
    o.c = static_cast<float>(bx / after);
    o.reach_x = kReach * std::sqrt(bx);
    o.reach_y = kReach * std::sqrt(by);
    // A wave k on the canvas is M^-T k = `carry` k seen, and with the blur (S + B)^-1 S of that = `pull` k.
    const double carry[4] = {inverse_[0], inverse_[2], inverse_[1], inverse_[3]};
    const double shrink[4] = {(by * xx - bxy * xy) / after, (by * xy - bxy * yy) / after, (bx * xy - bxy * xx) / after,
                              (bx * yy - bxy * xy) / after};
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        o.carry[2 * i + j] = carry[2 * i + j];
        o.pull[2 * i + j] = shrink[2 * i] * carry[j] + shrink[2 * i + 1] * carry[2 + j];
      }
    // What is left: exp(-(k' S k - k' S (S + B)^-1 S k) / 2) with k = 2 pi M^-T f, and S = M M^T sigma^2.
    const double half = 0.5 * kTurn * kTurn;
    const double sx[4] = {xx * carry[0] + xy * carry[2], xx * carry[1] + xy * carry[3], xy * carry[0] + yy * carry[2],
                          xy * carry[1] + yy * carry[3]};
    const auto left = [&](int i, int j) {
      const double full = carry[i] * sx[j] + carry[2 + i] * sx[2 + j];
      const double kept = o.pull[i] * sx[j] + o.pull[2 + i] * sx[2 + j];
      return half * (full - kept);
    };
    o.fade[0] = left(0, 0);
    o.fade[1] = left(0, 1) + left(1, 0);
    o.fade[2] = left(1, 1);
    const double density = kImpulses / (o.side * o.side);
    double gain = t_.gain / std::sqrt(density * kTurn / 4 * variance) * std::sqrt(before / after);
    if (number < 0) gain *= std::exp2(t_.slope * number / 16.0);
    o.gain = static_cast<float>(gain);
    o.margin = kReach * sigma;
    octaves_.push_back(o);
  }
}

void TextureDrawer::add(Box tile, int channels, float* buffer, float* scratch) const {
  const int width = tile.x1 - tile.x0, height = tile.y1 - tile.y0;
  std::fill_n(scratch, kTilePlane, 0.0f);
  for (const Octave& octave : octaves_) draw(octave, tile, scratch);
  const bool covered = channels == 2 || channels == 4;
  const int colors = covered ? channels - 1 : channels;
  for (int r = 0; r < height; ++r) {
    float* noise = scratch + r * kTileStride;
    if (covered) {
      const float* coverage = buffer + colors * kTilePlane + r * kTileStride;
      for (int x = 0; x < width; ++x) noise[x] *= clamp(coverage[x], 0.0f, 1.0f);
    }
    for (int c = 0; c < colors; ++c) {
      float* to = buffer + c * kTilePlane + r * kTileStride;
      for (int x = 0; x < width; ++x) to[x] = clamp(to[x], 0.0f, 1.0f) + noise[x];
    }
  }
}

void TextureDrawer::draw(const Octave& o, Box tile, float* noise) const {
  const Strengths& s = t_.strengths;
  const Tables& table = tables();
  const auto add_wave = kernels().add_wave;
  const double* m = t_.map;
  // Canvas around all impulses that reach the tile.
  double low[2] = {1e300, 1e300}, high[2] = {-1e300, -1e300};
  for (int corner = 0; corner < 4; ++corner) {
    const double x = (corner & 1 ? tile.x1 + o.reach_x : tile.x0 - o.reach_x) - m[4];
    const double y = (corner & 2 ? tile.y1 + o.reach_y : tile.y0 - o.reach_y) - m[5];
    const double at[2] = {inverse_[0] * x + inverse_[1] * y, inverse_[2] * x + inverse_[3] * y};
    for (int i = 0; i < 2; ++i) {
      low[i] = std::min(low[i], at[i]);
      high[i] = std::max(high[i], at[i]);
    }
  }
  const double size[2] = {t_.width, t_.height};
  int64_t first[2], last[2];
  for (int i = 0; i < 2; ++i) {
    const double from = std::max(low[i], -o.margin), to = std::min(high[i], size[i] + o.margin);
    if (!(from <= to)) return;
    first[i] = static_cast<int64_t>(std::floor(from / o.side));
    last[i] = static_cast<int64_t>(std::floor(to / o.side));
  }
  const uint8_t* levels = s.levels + s.at(o.band, 0, 0, 0);
  const double per_px = 1.0 / t_.cell;
  const uint32_t root = mix(t_.seed * 64 + static_cast<uint32_t>(o.number + 16));
  for (int64_t iy = first[1]; iy <= last[1]; ++iy) {
    const uint32_t row_key = mix(root + static_cast<uint32_t>(iy));
    for (int64_t ix = first[0]; ix <= last[0]; ++ix) {
      const uint32_t key = mix(row_key + static_cast<uint32_t>(ix));
      for (int n = 0; n < kImpulses; ++n) {
        const uint32_t place = mix(key + 2 * n), kind = mix(key + 2 * n + 1);
        const double x = (ix + (place & 0xffff) / 65536.0) * o.side, y = (iy + (place >> 16) / 65536.0) * o.side;
        const double mx = m[0] * x + m[1] * y + m[4], my = m[2] * x + m[3] * y + m[5];
        const Box box{std::max(tile.x0, pixel(std::ceil(mx - o.reach_x - 0.5))),
                      std::max(tile.y0, pixel(std::ceil(my - o.reach_y - 0.5))),
                      std::min(tile.x1, pixel(std::floor(mx + o.reach_x - 0.5)) + 1),
                      std::min(tile.y1, pixel(std::floor(my + o.reach_y - 0.5)) + 1)};
        if (box.empty()) continue;
        const int direction = kind & ((1 << kDirectionBits) - 1);
        const int pitch = kind >> kDirectionBits & ((1 << kPitchBits) - 1);
        const int phase = kind >> (kDirectionBits + kPitchBits) & ((1 << kPhaseBits) - 1);
        // The strength there, linear between the middles of cells and between directions.
        const double u = clamp(x * per_px - 0.5, 0.0, s.columns - 1.0), v = clamp(y * per_px - 0.5, 0.0, s.rows - 1.0);
        const int x0 = static_cast<int>(u), y0 = static_cast<int>(v);
        const int x1 = std::min(x0 + 1, s.columns - 1), y1 = std::min(y0 + 1, s.rows - 1);
        const double turn = (direction + 0.5) / (1 << kDirectionBits) * s.directions;
        const int d0 = static_cast<int>(turn), d1 = d0 + 1 < s.directions ? d0 + 1 : 0;
        const float fx = static_cast<float>(u - x0), fy = static_cast<float>(v - y0),
                    fd = static_cast<float>(turn - d0);
        const auto at = [&](int row, int column) {
          const uint8_t* cell = levels + (static_cast<size_t>(row) * s.columns + column) * s.directions;
          return kLevels.amplitude[cell[d0]] * (1 - fd) + kLevels.amplitude[cell[d1]] * fd;
        };
        float strength =
            (at(y0, x0) * (1 - fx) + at(y0, x1) * fx) * (1 - fy) + (at(y1, x0) * (1 - fx) + at(y1, x1) * fx) * fy;
        if (strength == 0) continue;
        const double f = o.frequency * table.pitch[pitch], wx = f * table.cosine[direction],
                     wy = f * table.sine[direction];
        const double cx = o.carry[0] * wx + o.carry[1] * wy, cy = o.carry[2] * wx + o.carry[3] * wy;
        const double seen = (kGone - std::sqrt(cx * cx + cy * cy)) / (kGone - kKept);
        if (seen <= 0) continue;
        const double loss = o.fade[0] * wx * wx + o.fade[1] * wx * wy + o.fade[2] * wy * wy;
        if (loss > 20) continue;
        strength *= o.gain * static_cast<float>(std::min(seen, 1.0));
        if (loss > 0) strength *= static_cast<float>(std::exp(-loss));
        Wave wave;
        wave.dx = static_cast<float>(box.x0 + 0.5 - mx);
        wave.dy = static_cast<float>(box.y0 + 0.5 - my);
        wave.a = o.a;
        wave.b = o.b;
        wave.c = o.c;
        wave.fx = static_cast<float>(o.pull[0] * wx + o.pull[1] * wy);
        wave.fy = static_cast<float>(o.pull[2] * wx + o.pull[3] * wy);
        wave.phase = static_cast<float>(phase) / (1 << kPhaseBits);
        wave.gain = strength;
        wave.reach_x = static_cast<float>(o.reach_x);
        wave.reach_y = static_cast<float>(o.reach_y);
        add_wave(wave, box, tile, noise);
      }
    }
  }
}

}  // namespace splat2d
