// The decoder for WebAssembly: a C ABI over cpp/model and cpp/format, without threads, exceptions or files.
//
// A caller puts bytes into memory that `reserve` gives, calls `decode`, and reads rows of integers; `shape` makes of
// them what a renderer takes. One field is held at a time.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "draw.hpp"
#include "format/bytes.hpp"
#include "format/course.hpp"
#include "math/wave.hpp"
#include "model/field_codec.hpp"
#include "texture/levels.hpp"
#include "texture/texture.hpp"

#define EXPORT(name) extern "C" __attribute__((export_name(#name), visibility("default")))

namespace splat2d {

extern const ModelKernels model_kernels_base;
const ModelKernels& model_kernels() { return model_kernels_base; }
// All that is drawn by them here are textures.
const Kernels& kernels() {
  static const Kernels table = [] {
    Kernels only{};
    only.add_wave = add_wave;
    return only;
  }();
  return table;
}

namespace {

constexpr uint8_t kNetwork[] = {
#include "network.inc"
};

// What each attribute takes, bits.
class Counter final : public Tap {
 public:
  void symbol(Attribute a, const uint16_t* weights, int symbols, int value) override {
    // A weight of 2^16 does not fit; it is that of the only symbol.
    if (symbols > 1) bits[static_cast<int>(a)] += 16 - std::log2(static_cast<double>(weights[value]));
  }
  void uniform(Attribute a, int64_t size, int64_t) override {
    if (size > 1) bits[static_cast<int>(a)] += std::log2(static_cast<double>(size));
  }
  double bits[kAttributes] = {};
};

struct State {
  Network network;
  const char* fault;
  FieldLayout layout{};
  FieldIndex index;
  DecodedField field;
  std::vector<float> shapes;
  std::vector<float> sums;
  std::vector<uint8_t> levels;
  std::vector<float> noise;
  Counter counter;
  bool counts = false;
  State() : fault(network.read(kNetwork, sizeof kNetwork)) {}
};

State& state() {
  static State instance;
  return instance;
}

FieldLayout layout_of(int width, int height, int channels, int chroma_step, int step_code, int frames) {
  return {{width, height}, channels, chroma_step, step_code, frames, {}};
}

}  // namespace
}  // namespace splat2d

using namespace splat2d;

EXPORT(reserve) void* reserve(size_t size) { return std::malloc(size); }
EXPORT(release) void release(void* at) { std::free(at); }

EXPORT(checksum) uint32_t checksum(const uint8_t* data, size_t size) { return crc32(data, size); }

// Reads what stands before the streams; returns why it is damaged, or null.
EXPORT(index)
const char* index_of(const uint8_t* data, size_t size, int width, int height, int channels, int chroma_step,
                     int step_code, int frames) {
  state().index = {};
  state().layout = layout_of(width, height, channels, chroma_step, step_code, frames);
  return read_index(data, size, state().layout, &state().index);
}
EXPORT(index_count) int32_t index_count(int tier) { return static_cast<int32_t>(state().index.counts[tier]); }
EXPORT(index_parts) int32_t index_parts() { return static_cast<int32_t>(state().index.parts.size()) - 1; }
// The bytes of the field that hold a tier and all before it; without a directory all, of which 0 stands.
EXPORT(index_end) uint32_t index_end(int tier) {
  const FieldIndex& index = state().index;
  if (!index.directory) return 0;
  size_t end = index.streams;
  for (int t = 0; t <= tier; ++t)
    for (const Part& part : index.parts) end += part.pieces[t].size;
  return static_cast<uint32_t>(end);
}

// Decodes a field; returns why it is damaged, or null. A window has x1 > x0.
EXPORT(decode)
const char* decode(const uint8_t* data, size_t size, int width, int height, int channels, int chroma_step,
                   int step_code, int frames, int tiers, int x0, int y0, int x1, int y1) {
  State& s = state();
  if (s.fault) return s.fault;
  s.layout = layout_of(width, height, channels, chroma_step, step_code, frames);
  s.field = {};
  const Box window{x0, y0, x1, y1};
  return decode_field(s.network, s.layout, data, size, {tiers, x1 > x0 ? &window : nullptr}, Workers(),
                      s.counts ? &s.counter : nullptr, &s.field);
}
// From here on fields are decoded with their bits counted, or not, which is quicker; counts begin at 0.
EXPORT(count_bits) void count_bits(int on) {
  state().counts = on;
  state().counter = {};
}
EXPORT(bits) double bits(int attribute) { return state().counter.bits[attribute]; }
EXPORT(splats) const int32_t* splats() { return state().field.splats.data(); }
EXPORT(count) int32_t count(int tier) { return static_cast<int32_t>(state().field.counts[tier]); }

// What the integers stand for, kShapeFields floats a splat; see draw.hpp.
EXPORT(shape) const float* shape(double step) {
  State& s = state();
  const int C = s.layout.channels, columns = s.layout.columns();
  const ColorSteps steps = color_steps(C, s.layout.chroma_step);
  const float* basis = color_basis(C);
  const size_t n = s.field.splats.size() / columns;
  s.shapes.assign(n * kShapeFields, 0);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = s.field.splats.data() + i * columns;
    float* to = s.shapes.data() + i * kShapeFields;
    const int r = energy_class(q, steps);
    float norm;
    if (s.layout.frames) {
      const MovingPose p = make_pose(r, q + C, s.layout.frames);
      norm = p.norm;
      to[kX] = p.mean[0];
      to[kY] = p.mean[1];
      to[kTimeOf] = p.mean[2];
      to[kPrecisionOf] = p.precision;
      to[kVelocityX] = p.velocity[0];
      to[kVelocityY] = p.velocity[1];
    } else {
      const Lattice l = make_lattice(r, q[C], q[C + 1], q[C + 2]);
      to[kX] = static_cast<float>(static_cast<double>(l.x(q[C + 4], q[C + 3])) / (1 << kPositionBits) - kMargin);
      to[kY] = static_cast<float>(static_cast<double>(l.y(q[C + 3])) / (1 << kPositionBits) - kMargin);
      norm = make_shape(r, q[C], q[C + 1], q[C + 2]).norm;
    }
    const double log_step = shape_step(r) * (kLn2 / 65536.0);
    const double theta = kHalfTurn * q[C + 2] / angle_count(r, q[C + 1]);
    const double s1 = std::exp(0.5 * (q[C] + q[C + 1]) * log_step);
    to[kAxisX] = static_cast<float>(s1 * std::cos(theta));
    to[kAxisY] = static_cast<float>(s1 * std::sin(theta));
    to[kRatio] = static_cast<float>(std::exp(-q[C + 1] * log_step));
    float color[4] = {0, 0, 0, 0};
    for (int c = 0; c < C; ++c) {
      double v = 0;
      for (int j = 0; j < C; ++j) v += q[j] * step * steps.weight[j] / 8.0 * basis[C * j + c];
      color[c] = static_cast<float>(v / norm);
    }
    // Grey is three times the same; alpha is the last of four.
    const bool grey = C <= 2;
    for (int c = 0; c < 3; ++c) to[kColor + c] = color[grey ? 0 : c];
    to[kColor + 3] = C == 2 ? color[1] : color[3];
  }
  return s.shapes.data();
}

// Adds splats to a picture [height, width, 4] of floats that is held here; returns it.
EXPORT(begin) float* begin(int width, int height, float red, float green, float blue, float alpha) {
  std::vector<float>& sums = state().sums;
  sums.resize(static_cast<size_t>(width) * height * 4 + kLanes * 4);
  const float base[4] = {red, green, blue, alpha};
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = base[i % 4];
  return sums.data();
}
EXPORT(add) void add(const float* shapes, int count, int width, int height, const double* placement) {
  const Placement& p = *reinterpret_cast<const Placement*>(placement);
  for (int i = 0; i < count; ++i)
    add_splat(shapes + static_cast<size_t>(i) * kShapeFields, p, {width, height}, state().sums.data());
}
// Levels of a texture, from their coded words; null when these are damaged.
EXPORT(levels)
const uint8_t* levels(const uint8_t* data, size_t size, int bands, int rows, int columns, int directions) {
  const Strengths shape{bands, rows, columns, directions, nullptr};
  state().levels.assign(shape.count(), 0);
  return decode_levels(data, size, shape, state().levels.data()) ? state().levels.data() : nullptr;
}
// What `noise` takes besides levels: their shape and cells, and as of Texture where and how strong they are seen.
struct Grain {
  double bands, rows, columns, directions, cell, slope, seed, gain, width, height, map[6], blur[3];
};
// A texture's noise [height, width] of a target, held here; null when nothing of it is seen.
EXPORT(noise) const float* noise(const uint8_t* levels, const double* numbers, int width, int height) {
  const Grain& g = *reinterpret_cast<const Grain*>(numbers);
  Texture t{{static_cast<int>(g.bands), static_cast<int>(g.rows), static_cast<int>(g.columns),
             static_cast<int>(g.directions), levels},
            static_cast<int>(g.cell),
            static_cast<int>(g.slope),
            static_cast<uint32_t>(g.seed),
            static_cast<float>(g.gain),
            g.width,
            g.height,
            {},
            {}};
  std::memcpy(t.map, g.map, sizeof t.map);
  std::memcpy(t.blur, g.blur, sizeof t.blur);
  const TextureDrawer drawer(t);
  if (drawer.empty()) return nullptr;
  std::vector<float>& out = state().noise;
  out.resize(static_cast<size_t>(width) * height);
  std::vector<float> tile(kTilePlane + kLanes), scratch(kTilePlane + kLanes);
  for (int y = 0; y < height; y += kTileHeight)
    for (int x = 0; x < width; x += kTileWidth) {
      const Box box{x, y, std::min(x + kTileWidth, width), std::min(y + kTileHeight, height)};
      std::fill(tile.begin(), tile.end(), 0.0f);
      drawer.add(box, 1, tile.data(), scratch.data());
      for (int row = box.y0; row < box.y1; ++row)
        std::memcpy(out.data() + static_cast<size_t>(row) * width + x, tile.data() + (row - y) * kTileStride,
                    sizeof(float) * (box.x1 - x));
    }
  return out.data();
}
// What is held as bytes [height, width, 4], alpha straight, in its own place: the picture of one layer that is alone,
// with the noise that is held over it, or without.
EXPORT(bytes) const uint8_t* bytes(int width, int height, int covered, int grained) {
  float* sums = state().sums.data();
  uint8_t* to = reinterpret_cast<uint8_t*>(sums);
  const size_t n = static_cast<size_t>(width) * height;
  for (size_t i = 0; i < n; ++i) {
    const float* v = sums + 4 * i;
    const float alpha = covered ? clamp(v[3], 0.0f, 1.0f) : 1.0f;
    const float over = alpha > 0.5f / 255.0f ? 255.0f / alpha : 0.0f;
    const float grain = grained ? state().noise[i] * alpha : 0.0f;
    uint8_t out[4];
    for (int c = 0; c < 3; ++c) {
      const float value = grained ? clamp(v[c], 0.0f, 1.0f) + grain : v[c];
      out[c] = static_cast<uint8_t>(clamp(value, 0.0f, alpha) * over + 0.5f);
    }
    out[3] = static_cast<uint8_t>(alpha * 255.0f + 0.5f);
    std::memcpy(to + 4 * i, out, 4);
  }
  return to;
}
