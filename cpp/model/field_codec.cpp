#include "model/field_codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "format/bytes.hpp"

namespace splat2d {

namespace {

constexpr int kDirectoryFlag = 4;                   // above the two bits of the kind
constexpr int kPlane = 0, kCourse = 1, kViews = 2;  // kinds
constexpr int64_t kLeastPart = 1 << 16;             // px^2
constexpr int64_t kWhole = 4;                       // parts' worth of splats that stay in one stream
constexpr int64_t kMostCount = (1 << 24) - 1;
constexpr int64_t kMostSize = int64_t{1} << 31;
constexpr float kReach = 12.25f;  // squared distance, in standard deviations, at which splats end

const char* kCutShort = "a directory that is cut short or out of range";

int kind_of(const FieldLayout& layout) { return layout.frames ? kCourse : layout.eyes.views ? kViews : kPlane; }

int64_t sum(const std::array<int64_t, kTiers>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

bool can_halve(const Cell& cell) { return (cell.width * cell.height >> (2 * kPositionBits)) >= 2 * kLeastPart; }

// Calls halve(cell), which says whether a cell is halved, and part(cell) on those that are not; first halves first, and
// without cells that lie beyond the margin.
template <class Halve, class Leaf>
void each_part(const Cell& cell, Canvas canvas, const Halve& halve, const Leaf& part) {
  if (area_weight(cell, canvas) == 0) return;
  if (!can_halve(cell) || !halve(cell)) return part(cell);
  for (int h = 0; h < 2; ++h) each_part(cell.half(h), canvas, halve, part);
}

const char* read_parts(ByteReader* in, const FieldLayout& layout, FieldIndex* index) {
  int bits = 0, left = 0;
  each_part(
      root_cell(layout.canvas), layout.canvas,
      [&](const Cell&) {
        if (in->failed()) return false;
        if (left == 0) {
          bits = in->byte();
          left = 8;
        }
        const bool halved = bits & 1;
        bits >>= 1;
        --left;
        return halved;
      },
      [&](const Cell& cell) { index->parts.push_back({cell, {}, {}}); });
  if (bits) return "the directory has bits to spare";
  for (size_t p = 1; p < index->parts.size(); ++p) {
    Box& box = index->parts[p].reach;
    box.x0 = static_cast<int>(in->varint(layout.canvas.width));
    box.y0 = static_cast<int>(in->varint(layout.canvas.height));
    box.x1 = box.x0 + static_cast<int>(in->varint(layout.canvas.width - box.x0));
    box.y1 = box.y0 + static_cast<int>(in->varint(layout.canvas.height - box.y0));
    if (in->failed()) return kCutShort;
  }
  return nullptr;
}

const char* read_pieces(ByteReader* in, const FieldLayout& layout, FieldIndex* index) {
  index->common = static_cast<int>(in->varint(kTiers));
  if (in->failed()) return kCutShort;
  if (index->common < kTiers)
    if (const char* fault = read_parts(in, layout, index)) return fault;
  const bool split = index->parts.size() > 2;  // else the only part has all that is left
  for (int t = 0; t < kTiers; ++t) {
    if (index->counts[t] == 0) continue;
    const size_t first = t < index->common ? 0 : 1, end = t < index->common ? 1 : index->parts.size();
    if (first == end) return "a directory without parts";
    int64_t left = index->counts[t];
    for (size_t p = first; p < end; ++p) {
      Piece& piece = index->parts[p].pieces[t];
      piece.count = first && split ? in->varint(left) : left;
      left -= piece.count;
      piece.size = static_cast<size_t>(in->varint(kMostSize));
      piece.crc = piece.size ? in->word() : 0;
      if (in->failed()) return kCutShort;
    }
    if (left) return "the splats of a tier's parts do not add up";
  }
  return nullptr;
}

// Whether integers are those of a splat that a field of this layout may hold.
const char* check_splat(const int32_t* q, const FieldLayout& layout, const ColorSteps& steps) {
  const int C = layout.channels;
  bool any = false;
  for (int c = 0; c < C; ++c) {
    if (q[c] < -kMaxColor || q[c] > kMaxColor) return "a colour is out of range";
    any = any || q[c];
  }
  if (!any) return "a splat's colours are all zero";
  const int r = energy_class(q, steps);
  if (std::abs(int64_t{q[C]}) > kLog2ScaleMax || q[C + 1] < 0 || q[C + 1] > kLog2ScaleMax ||
      !shape_in_range(r, q[C], q[C + 1]))
    return "a shape is out of range";
  if (q[C + 2] < 0 || q[C + 2] >= angle_count(r, q[C + 1])) return "an angle is out of range";
  if (!on_canvas(make_lattice(r, q[C], q[C + 1], q[C + 2]), layout.canvas, q[C + 3], q[C + 4]))
    return "a centre is beyond the margin";
  if (layout.frames && !moving_in_range(r, layout.canvas, q + C, layout.frames)) return "a course is out of range";
  if (layout.eyes.views && !disparity_in_range(q[C + kDisparity], disparity_step(r, q[C], q[C + 1], layout.eyes)))
    return "a disparity is out of range";
  return nullptr;
}

int tier_of_splat(const int32_t* q, const ColorSteps& steps) {
  return tier_of(energy_class(q, steps), q[steps.channels]);
}

// What a splat can be seen in, generously, in px of the canvas.
void add_reach(const int32_t* q, const FieldLayout& layout, const ColorSteps& steps, Box* box) {
  const int C = layout.channels, r = energy_class(q, steps);
  const Shape shape = make_shape(r, q[C], q[C + 1], q[C + 2]);
  const Center center = center_of(q, steps);
  constexpr double kOne = 1 << kPositionBits;
  double speed[2] = {0, 0};
  if (layout.frames) {
    const MovingPose pose = make_pose(r, q + C, layout.frames);
    for (int axis = 0; axis < 2; ++axis) speed[axis] = std::abs(pose.velocity[axis]) * layout.frames;
  }
  if (layout.eyes.views) {
    const int64_t step = disparity_step(r, q[C], q[C + 1], layout.eyes);
    const double px = static_cast<double>(std::abs(q[C + kDisparity] * step)) / (1 << kDisparityBits);
    speed[0] = speed[1] = px * static_cast<double>(layout.eyes.farthest) / (1 << kEyeBits);
  }
  const float origin[2] = {0, 0};
  const Ellipse e = make_ellipse(origin, shape.conic, kReach);
  const double x = static_cast<double>(center.x) / kOne - kMargin, y = static_cast<double>(center.y) / kOne - kMargin;
  const double rx = std::sqrt(kReach * e.c / e.det) + speed[0] + 2, ry = std::sqrt(kReach * e.a / e.det) + speed[1] + 2;
  const auto clip = [](double v, int most) { return static_cast<int>(clamp(v, 0.0, static_cast<double>(most))); };
  box->x0 = std::min(box->x0, clip(x - rx, layout.canvas.width));
  box->y0 = std::min(box->y0, clip(y - ry, layout.canvas.height));
  box->x1 = std::max(box->x1, clip(std::ceil(x + rx), layout.canvas.width));
  box->y1 = std::max(box->y1, clip(std::ceil(y + ry), layout.canvas.height));
}

// A part of a field that is to be coded.
struct Source {
  Part part;
  std::array<int32_t*, kTiers> splats{};
  std::vector<uint8_t> stream;
};

void encode_source(Traversal<Encoder>* traversal, const Cell& cell, Tap* tap, Source* source) {
  Encoder coder(tap);
  if (tap) tap->stream();
  size_t ends[kTiers];
  for (int t = 0; t < kTiers; ++t) {
    traversal->code(coder, t, cell, source->part.pieces[t].count, source->splats[t]);
    ends[t] = 4 * coder.words_read();
  }
  source->stream = coder.finish();
  int last = kTiers - 1;
  while (last > 0 && source->part.pieces[last].count == 0) --last;
  size_t begin = 0;
  for (int t = 0; t < kTiers; ++t) {
    Piece& piece = source->part.pieces[t];
    if (piece.count == 0) continue;
    const size_t end = t == last ? source->stream.size() : std::min(ends[t], source->stream.size());
    piece.size = end - begin;
    piece.crc = crc32(source->stream.data() + begin, piece.size);
    begin = end;
  }
}

// Whether no tier claims more splats than its bytes may stand for.
bool bounded(const Part& part) {
  int64_t count = 0;
  size_t size = 0;
  for (const Piece& piece : part.pieces) {
    count += piece.count;
    size += piece.size;
    if (count > most_splats(size)) return false;
  }
  return true;
}

std::vector<uint8_t> assemble(const FieldLayout& layout, int common, const std::vector<Source>& sources,
                              const std::vector<bool>& halved, bool directory) {
  std::vector<uint8_t> out;
  out.push_back(static_cast<uint8_t>(kind_of(layout) | (directory ? kDirectoryFlag : 0)));
  for (const int64_t n : layout.counts) put_varint(n, &out);
  if (!directory) {
    const auto& stream = sources[0].stream;
    out.insert(out.end(), stream.begin(), stream.end());
    const int64_t need = (sum(layout.counts) - most_splats(0) + 3) / 4;
    if (static_cast<int64_t>(stream.size()) < need) out.resize(out.size() + need - stream.size(), 0);
    return out;
  }
  put_varint(common, &out);
  if (common < kTiers) {
    uint8_t byte = 0;
    for (size_t i = 0; i < halved.size(); ++i) {
      byte = static_cast<uint8_t>(byte | halved[i] << (i % 8));
      if (i % 8 == 7 || i + 1 == halved.size()) {
        out.push_back(byte);
        byte = 0;
      }
    }
    for (size_t p = 1; p < sources.size(); ++p) {
      const Box& box = sources[p].part.reach;
      for (const int v : {box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0}) put_varint(v, &out);
    }
  }
  const auto each_piece = [&](const auto& f) {
    for (int t = 0; t < kTiers; ++t)
      if (layout.counts[t])
        for (size_t p = t < common ? 0 : 1; p < (t < common ? 1 : sources.size()); ++p) f(p, t, sources[p]);
  };
  each_piece([&](size_t p, int t, const Source& source) {
    const Piece& piece = source.part.pieces[t];
    if (p && sources.size() > 2) put_varint(piece.count, &out);
    put_varint(static_cast<int64_t>(piece.size), &out);
    if (piece.size) put_word(piece.crc, &out);
  });
  put_word(crc32(out.data(), out.size()), &out);
  std::vector<size_t> at(sources.size(), 0);
  each_piece([&](size_t p, int t, const Source& source) {
    const auto from = source.stream.begin() + static_cast<std::ptrdiff_t>(at[p]);
    out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(source.part.pieces[t].size));
    at[p] += source.part.pieces[t].size;
  });
  return out;
}

// Splats by tier, and inside a tier by a key of each; the order of equal ones stays.
void arrange(int32_t* splats, size_t n, int columns, const std::vector<int32_t>& keys) {
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return keys[a] < keys[b]; });
  std::vector<int32_t> sorted;
  sorted.reserve(n * columns);
  for (const int32_t i : order) {
    const int32_t* q = splats + static_cast<size_t>(i) * columns;
    sorted.insert(sorted.end(), q, q + columns);
  }
  std::copy(sorted.begin(), sorted.end(), splats);
}

// The parts of a field of many splats, empty for one stream.
struct Division {
  int common = kTiers;
  std::vector<Cell> cells;
  std::vector<bool> halved;
};

Division divide(const FieldLayout& layout, const ColorSteps& steps, const int32_t* splats, size_t n, int64_t most) {
  Division out;
  if (static_cast<int64_t>(n) <= kWhole * most) return out;
  out.common = 0;
  int64_t coarse = 0;
  while (out.common < kTiers && coarse + layout.counts[out.common] <= most) coarse += layout.counts[out.common++];
  std::vector<Center> centers;
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = splats + i * layout.columns();
    if (tier_of_splat(q, steps) >= out.common) centers.push_back(center_of(q, steps));
  }
  each_part(
      root_cell(layout.canvas), layout.canvas,
      [&](const Cell& cell) {
        const auto inside = [&](const Center& c) { return cell.holds(c.x, c.y); };
        const bool halve = std::count_if(centers.begin(), centers.end(), inside) > most;
        out.halved.push_back(halve);
        return halve;
      },
      [&](const Cell& cell) { out.cells.push_back(cell); });
  return out;
}

std::vector<Source> make_sources(const FieldLayout& layout, const ColorSteps& steps, const Division& division,
                                 int32_t* splats, size_t n) {
  const int columns = layout.columns();
  const size_t parts = division.cells.size() + 1;
  const auto part_of = [&](const int32_t* q, int tier) {
    if (tier < division.common) return size_t{0};
    const Center center = center_of(q, steps);
    size_t p = 0;
    while (!division.cells[p].holds(center.x, center.y)) ++p;
    return p + 1;
  };
  std::vector<Source> sources(parts);
  std::vector<int32_t> keys(n);
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = splats + i * columns;
    const int tier = tier_of_splat(q, steps);
    const size_t part = part_of(q, tier);
    keys[i] = static_cast<int32_t>(tier * parts + part);
    ++sources[part].part.pieces[tier].count;
  }
  arrange(splats, n, columns, keys);
  sources[0].part.cell = root_cell(layout.canvas);
  for (size_t p = 1; p < parts; ++p) {
    sources[p].part.cell = division.cells[p - 1];
    sources[p].part.reach = {layout.canvas.width, layout.canvas.height, 0, 0};
  }
  int32_t* at = splats;
  for (int t = 0; t < kTiers; ++t)
    for (Source& source : sources) {
      source.splats[t] = at;
      at += source.part.pieces[t].count * columns;
      for (const int32_t* q = source.splats[t]; q < at; q += columns) add_reach(q, layout, steps, &source.part.reach);
    }
  for (Source& source : sources)
    if (source.part.reach.empty()) source.part.reach = {};
  return sources;
}

}  // namespace

const char* read_index(const uint8_t* data, size_t size, const FieldLayout& layout, FieldIndex* index) {
  ByteReader in(data, size);
  const int flags = in.byte();
  if ((flags & 3) != kind_of(layout)) return "a field of another kind";
  if (flags >> 3) return "unknown flags";
  for (int64_t& n : index->counts) n = in.varint(kMostCount);
  if (in.failed()) return "counts that are cut short or out of range";
  index->directory = flags & kDirectoryFlag;
  index->parts = {{root_cell(layout.canvas), {0, 0, layout.canvas.width, layout.canvas.height}, {}}};
  if (!index->directory) {
    if (sum(index->counts) > most_splats(in.left())) return "more splats than its bytes can hold";
    index->streams = in.offset();
    for (int t = 0; t < kTiers; ++t) index->parts[0].pieces[t].count = index->counts[t];
    return nullptr;
  }
  if (const char* fault = read_pieces(&in, layout, index)) return fault;
  const size_t checked = in.offset();
  if (!is_crc32(in.word(), data, checked) || in.failed()) return "the checksum of the directory does not match";
  index->streams = in.offset();
  size_t at = index->streams;
  for (int t = 0; t < kTiers; ++t)
    for (Part& part : index->parts) {
      part.pieces[t].offset = at;
      at += part.pieces[t].size;
    }
  for (const Part& part : index->parts)
    if (!bounded(part)) return "more splats than a tier's bytes can hold";
  return nullptr;
}

const char* encode_field(const Network& network, const FieldLayout& given, int32_t* splats, size_t n,
                         const FieldOptions& options, const Workers& workers, Tap* tap, std::vector<uint8_t>* out) {
  FieldLayout layout = given;
  const ColorSteps steps = color_steps(layout.channels, layout.chroma_step);
  layout.counts = {};
  if (static_cast<int64_t>(n) > kMostCount) return "too many splats";
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = splats + i * layout.columns();
    if (const char* fault = check_splat(q, layout, steps)) return fault;
    ++layout.counts[tier_of_splat(q, steps)];
  }
  Division division = divide(layout, steps, splats, n, options.most_in_part);
  for (;;) {
    std::vector<Source> sources = make_sources(layout, steps, division, splats, n);
    Traversal<Encoder> whole(network, layout, workers, tap);
    encode_source(&whole, sources[0].part.cell, tap, &sources[0]);
    const auto near = splats_near(whole.context(), division.cells, layout.canvas);
    const Workers alone;
    const Workers& each = tap ? alone : workers;  // a tap sees one thing after another
    each.each(division.cells.size(), [&](size_t i) {
      Source& source = sources[i + 1];
      Traversal<Encoder> traversal = whole.of(near[i], alone);
      encode_source(&traversal, source.part.cell, tap, &source);
    });
    size_t size = 0;
    bool directory = true;
    for (const Source& source : sources) {
      size += source.stream.size();
      directory = directory && bounded(source.part);
    }
    if (!directory && division.common < kTiers) {
      division = {};  // too little said of too many splats to be said by parts
      continue;
    }
    directory = directory && (sources.size() > 1 || size >= options.least_for_directory);
    *out = assemble(layout, division.common, sources, division.halved, directory);
    return nullptr;
  }
}

}  // namespace splat2d
