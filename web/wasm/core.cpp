// The decoder for WebAssembly: a C ABI over cpp/model and cpp/format, without threads, exceptions or files.
//
// A caller puts bytes into memory that `reserve` gives, calls `decode`, and reads rows of integers; `shape` makes of
// them what a renderer takes. One field is held at a time.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "draw.hpp"
#include "format/bytes.hpp"
#include "format/course.hpp"
#include "format/views.hpp"
#include "math/wave.hpp"
#include "model/field_codec.hpp"
#include "model/motion_codec.hpp"
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
  MotionLayout motion_layout{};
  std::vector<int32_t> motion;
  std::vector<float> shapes;
  Sums sums{};
  std::vector<float> values, pixels;  // of the sums; of what is made of them
  std::vector<uint8_t> levels;
  std::vector<float> noise;
  Counter counter;
  bool counts = false;
  Workers alone;
  std::optional<FieldReader> reader;
  FieldLayout opened{};
  int tiers = kTiers;
  State() : fault(network.read(kNetwork, sizeof kNetwork)) {}
};

State& state() {
  static State instance;
  return instance;
}

template <int kPlanes>
void add_splats(const float* shapes, int count, const Placement& placement, const Sums& to) {
  for (int i = 0; i < count; ++i) add_splat<kPlanes>(shapes + static_cast<size_t>(i) * kShapeFields, placement, to);
}

template <int kPlanes>
void write_bytes(const Sums& s, const float* noise, uint8_t* to) {
  for (int y = 0; y < s.canvas.height; ++y) {
    const float* row = s.data + static_cast<size_t>(y) * s.stride();
    for (int x = 0; x < s.canvas.width; ++x, to += 4) {
      const float alpha = kPlanes == 4 ? splat2d::clamp(row[3 * s.plane() + x], 0.0f, 1.0f) : 1.0f;
      const float over = kPlanes < 4 ? 255.0f : alpha > 0.5f / 255.0f ? 255.0f / alpha : 0.0f;
      const float grain = noise ? *noise++ * alpha : 0.0f;
      for (int c = 0; c < 3; ++c) {
        const float value = row[(kPlanes == 1 ? 0 : c) * s.plane() + x];
        to[c] =
            static_cast<uint8_t>(splat2d::clamp(splat2d::clamp(value, 0.0f, 1.0f) + grain, 0.0f, alpha) * over + 0.5f);
      }
      to[3] = static_cast<uint8_t>(alpha * 255.0f + 0.5f);
    }
  }
}

// A part of the field that is open.
const char* read_part(size_t number) {
  State& s = state();
  if (const char* fault = s.reader->check({number})) return fault;
  s.layout = s.opened;
  const int columns = s.layout.columns();
  const Part& part = s.reader->index().parts[number];
  size_t total = 0;
  std::array<size_t, kTiers> first{};
  s.field.counts = {};
  for (int t = 0; t < s.tiers; ++t) {
    first[t] = total;
    s.field.counts[t] = part.pieces[t].count;
    total += static_cast<size_t>(part.pieces[t].count);
  }
  s.field.splats.assign(total * columns, 0);
  std::array<int32_t*, kTiers> to{};
  for (int t = 0; t < s.tiers; ++t) to[t] = s.field.splats.data() + first[t] * columns;
  return number ? s.reader->part(number, to) : s.reader->whole(to);
}

}  // namespace
}  // namespace splat2d

using namespace splat2d;

EXPORT(reserve) void* reserve(size_t size) { return std::malloc(size); }
EXPORT(release) void release(void* at) { std::free(at); }

EXPORT(checksum) uint32_t checksum(const uint8_t* data, size_t size) { return crc32(data, size); }

// What a file says of the field that the next call reads: `frames` of a clip's segment, and `views`, their spread and
// the farthest of a light field; else 0.
EXPORT(layout)
void layout(int width, int height, int channels, int chroma_step, int step_code, int frames, int views, int spread,
            int farthest) {
  state().layout = {{width, height}, channels, chroma_step, step_code, frames, {views, spread, farthest}, {}};
}

// Reads what stands before the streams; returns why it is damaged, or null.
EXPORT(index)
const char* index_of(const uint8_t* data, size_t size) {
  state().index = {};
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
const char* decode(const uint8_t* data, size_t size, int tiers, int x0, int y0, int x1, int y1) {
  State& s = state();
  if (s.fault) return s.fault;
  s.field = {};
  const Box window{x0, y0, x1, y1};
  return decode_field(s.network, s.layout, data, size, {tiers, x1 > x0 ? &window : nullptr}, Workers(),
                      s.counts ? &s.counter : nullptr, &s.field);
}
// Opens a field that is decoded part by part, and decodes that of the whole canvas; returns why it is damaged, or null.
// The data must stay where it is.
EXPORT(open)
const char* open(const uint8_t* data, size_t size, int tiers) {
  State& s = state();
  if (s.fault) return s.fault;
  s.opened = s.layout;
  s.reader.emplace(s.network, s.alone);
  if (const char* fault = s.reader->open(s.opened, data, size, tiers, nullptr)) return fault;
  s.tiers = tiers;
  return read_part(0);
}
// Decodes one of the parts that follow, from 1 on.
EXPORT(part) const char* part(int number) { return read_part(number); }
EXPORT(opened_parts) int32_t opened_parts() { return static_cast<int32_t>(state().reader->index().parts.size()) - 1; }
// A side of the box out of which a part is not seen: left, top, right, bottom.
EXPORT(reach) int32_t reach(int number, int side) {
  const Box& box = state().reader->index().parts[number].reach;
  const int sides[4] = {box.x0, box.y0, box.x1, box.y1};
  return sides[side];
}
// Decodes a motion field; returns why it is damaged, or null.
EXPORT(motion)
const char* motion(const uint8_t* data, size_t size, int width, int height, int intervals, int reference, int cell_log2,
                   int step_log2) {
  const MotionLayout layout{{width, height}, intervals, reference, cell_log2, step_log2};
  if (const char* fault = layout.fault()) return fault;
  State& s = state();
  s.motion_layout = layout;
  s.motion.clear();
  return decode_motion(layout, data, size, &s.motion);
}
EXPORT(motion_rows) int32_t motion_rows() { return state().motion_layout.rows(); }
EXPORT(motion_columns) int32_t motion_columns() { return state().motion_layout.columns(); }
// Of the knots in turn: x and y of each coefficient, row by row.
EXPORT(motion_values) const int32_t* motion_values() { return state().motion.data(); }
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
    if (const Eyes& eyes = s.layout.eyes; eyes.views) {
      const double one = 1 << kDisparityBits;
      const auto step = static_cast<double>(disparity_step(r, q[C], q[C + 1], eyes));
      to[kDisparityOf] = static_cast<float>(q[C + kDisparity] * step / one);
      norm *= std::sqrt(static_cast<float>(eyes.views));  // amplitudes are of all views together
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

// Begins sums of a base colour: one plane of grey, three of colours, or four with coverage.
EXPORT(begin) void begin(int width, int height, int planes, float red, float green, float blue, float alpha) {
  Sums& s = state().sums;
  s = {{width, height}, planes, nullptr};
  state().values.resize(s.plane() * planes + 4);
  s.data = state().values.data();
  const float base[4] = {red, green, blue, alpha};
  for (int c = 0; c < planes; ++c) std::fill_n(s.data + c * s.plane(), s.plane(), base[c]);
}
EXPORT(add) void add(const float* shapes, int count, const double* placement) {
  const Placement& p = *reinterpret_cast<const Placement*>(placement);
  const Sums& s = state().sums;
  const auto add_all = s.planes == 1 ? add_splats<1> : s.planes == 3 ? add_splats<3> : add_splats<4>;
  add_all(shapes, count, p, s);
}
// The sums [height, width, 4]; what has no coverage has 0.
EXPORT(sums) const float* sums() {
  const Sums& s = state().sums;
  state().pixels.resize(s.canvas.area() * 4);
  float* to = state().pixels.data();
  for (int y = 0; y < s.canvas.height; ++y) {
    const float* from = s.data + static_cast<size_t>(y) * s.stride();
    for (int x = 0; x < s.canvas.width; ++x, to += 4)
      for (int c = 0; c < 4; ++c) to[c] = c < s.planes ? from[c * s.plane() + x] : c < 3 ? from[x] : 0.0f;
  }
  return state().pixels.data();
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
// The sums as bytes [height, width, 4], alpha straight: the picture of one layer that is alone, with the noise that is
// held over it, or without.
EXPORT(bytes) const uint8_t* bytes(int grained) {
  const Sums& s = state().sums;
  state().pixels.resize(s.canvas.area());
  uint8_t* to = reinterpret_cast<uint8_t*>(state().pixels.data());
  const auto write = s.planes == 1 ? write_bytes<1> : s.planes == 3 ? write_bytes<3> : write_bytes<4>;
  write(s, grained ? state().noise.data() : nullptr, to);
  return to;
}
