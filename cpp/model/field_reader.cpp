#include <algorithm>

#include "format/bytes.hpp"
#include "model/field_codec.hpp"

namespace splat2d {

namespace {

constexpr int64_t kAround = 128 << kPositionBits;  // what splats of a part know of those before

// The bytes of a part's stream up to a number of tiers.
struct Stream {
  std::vector<uint8_t> bytes;
  const char* fault = nullptr;
};

Stream stream_of(const Part& part, int tiers, const uint8_t* data) {
  Stream out;
  for (int t = 0; t < tiers; ++t) {
    const Piece& piece = part.pieces[t];
    if (piece.size == 0) continue;
    const uint8_t* from = data + piece.offset;
    if (!is_crc32(piece.crc, from, piece.size)) return {{}, "the checksum of a tier does not match"};
    out.bytes.insert(out.bytes.end(), from, from + piece.size);
  }
  return out;
}

bool meet(const Box& a, const Box& b) { return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1; }

}  // namespace

std::vector<std::vector<int32_t>> splats_near(const Context& context, const std::vector<Cell>& cells, Canvas canvas) {
  constexpr int kSquare = kPositionBits + 8;  // cells are wide enough for few of them to meet a square
  const Cell root = root_cell(canvas);
  const int64_t across = (root.width >> kSquare) + 1, down = (root.height >> kSquare) + 1;
  const auto square = [](int64_t v, int64_t end) { return clamp(v >> kSquare, int64_t{0}, end - 1); };
  std::vector<std::vector<int32_t>> meeting(across * down);
  for (size_t p = 0; p < cells.size(); ++p) {
    const Cell& c = cells[p];
    for (int64_t y = square(c.y - kAround, down); y <= square(c.y + c.height + kAround - 1, down); ++y)
      for (int64_t x = square(c.x - kAround, across); x <= square(c.x + c.width + kAround - 1, across); ++x)
        meeting[y * across + x].push_back(static_cast<int32_t>(p));
  }
  std::vector<std::vector<int32_t>> near(cells.size());
  for (size_t i = 0; i < context.size(); ++i) {
    const int64_t x = context.x(i), y = context.y(i);
    for (const int32_t p : meeting[square(y, down) * across + square(x, across)]) {
      const Cell& c = cells[p];
      if (x >= c.x - kAround && x < c.x + c.width + kAround && y >= c.y - kAround && y < c.y + c.height + kAround)
        near[p].push_back(static_cast<int32_t>(i));
    }
  }
  return near;
}

const char* FieldReader::open(const FieldLayout& layout, const uint8_t* data, size_t size, int tiers, Tap* tap) {
  if (const char* fault = read_index(data, size, layout, &index_)) return fault;
  layout_ = layout;
  layout_.counts = index_.counts;
  data_ = data;
  size_ = size;
  tiers_ = tiers;
  tap_ = tap;
  whole_.emplace(network_, layout_, workers_, tap);
  return nullptr;
}

const char* FieldReader::check(const std::vector<size_t>& parts) const {
  for (const size_t p : parts)
    for (int t = 0; t < tiers_; ++t) {
      const Piece& piece = index_.parts[p].pieces[t];
      if (piece.offset > size_ || size_ - piece.offset < piece.size) return "a tier is cut short";
    }
  return nullptr;
}

const char* FieldReader::decode(size_t p, Traversal<Decoder>* traversal, const std::array<int32_t*, kTiers>& to) const {
  Stream stream;
  const uint8_t* bytes = data_ + index_.streams;
  size_t length = size_ - index_.streams;
  if (index_.directory) {
    stream = stream_of(index_.parts[p], tiers_, data_);
    bytes = stream.bytes.data();
    length = stream.bytes.size();
  }
  const char* fault = stream.fault;
  Decoder coder(bytes, length, tap_, stop_);
  if (tap_) tap_->stream();
  int64_t count = 0;
  for (int t = 0; t < tiers_; ++t) count += index_.parts[p].pieces[t].count;
  traversal->expect(static_cast<size_t>(count));
  for (int t = 0; t < tiers_ && !fault; ++t)
    fault = traversal->code(coder, t, index_.parts[p].cell, index_.parts[p].pieces[t].count, to[t]);
  return fault;
}

const char* FieldReader::whole(const std::array<int32_t*, kTiers>& to) {
  if (const char* fault = decode(0, &*whole_, to)) return fault;
  std::vector<Cell> cells;
  for (size_t p = 1; p < index_.parts.size(); ++p) cells.push_back(index_.parts[p].cell);
  near_ = splats_near(whole_->context(), cells, layout_.canvas);
  return nullptr;
}

const char* FieldReader::part(size_t p, const std::array<int32_t*, kTiers>& to) const {
  const Workers alone;
  Traversal<Decoder> traversal = whole_->of(near_[p - 1], alone);
  return decode(p, &traversal, to);
}

const char* decode_field(const Network& network, const FieldLayout& layout, const uint8_t* data, size_t size,
                         const FieldRequest& request, const Workers& workers, Tap* tap, DecodedField* out) {
  Stop stop(request.stopped);
  FieldReader reader(network, workers, &stop);
  if (const char* fault = reader.open(layout, data, size, request.tiers, tap)) return fault;
  const FieldIndex& index = reader.index();
  std::vector<size_t> parts;  // those that are decoded, the whole canvas first
  for (size_t p = 0; p < index.parts.size(); ++p)
    if (p == 0 || !request.window || meet(index.parts[p].reach, *request.window)) parts.push_back(p);
  if (const char* fault = reader.check(parts)) return fault;
  out->counts = {};
  const int columns = layout.columns();
  int64_t total = 0;
  std::vector<std::array<int64_t, kTiers>> first(parts.size());  // splat of each part's tiers
  for (int t = 0; t < request.tiers; ++t)
    for (size_t i = 0; i < parts.size(); ++i) {
      const int64_t count = index.parts[parts[i]].pieces[t].count;
      first[i][t] = total;
      total += count;
      out->counts[t] += count;
    }
  out->splats.assign(static_cast<size_t>(total) * columns, 0);
  const auto rows = [&](size_t i) {
    std::array<int32_t*, kTiers> to{};
    for (int t = 0; t < request.tiers; ++t) to[t] = out->splats.data() + first[i][t] * columns;
    return to;
  };
  if (const char* fault = reader.whole(rows(0))) return fault;
  std::vector<const char*> faults(parts.size(), nullptr);
  const Workers alone;
  const Workers& each = tap ? alone : workers;  // a tap sees one thing after another
  each.each(parts.size() - 1, [&](size_t i) { faults[i + 1] = reader.part(parts[i + 1], rows(i + 1)); });
  for (const char* fault : faults)
    if (fault) return fault;
  return nullptr;
}

}  // namespace splat2d
