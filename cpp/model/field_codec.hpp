// A coded field: splats on a canvas as bytes, and back. docs/FORMAT.md, sections 5.1 and 5.2, is this in words.
//
// A field is one stream, or one for the coarse tiers of the whole canvas and one for each part of the canvas that the
// finer tiers are split into. A directory says where each tier of each stream ends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/coders.hpp"
#include "model/split_tree.hpp"
#include "model/traversal.hpp"

namespace splat2d {

// The bytes of a stream that a decoder has read once it has read a tier, less those of the tiers before.
struct Piece {
  int64_t count = 0;  // splats
  size_t offset = 0;  // in the field
  size_t size = 0;    // bytes
  uint32_t crc = 0;
};

struct Part {
  Cell cell;
  Box reach;  // px of the canvas that its splats can be seen in
  std::array<Piece, kTiers> pieces;
};

struct FieldIndex {
  std::array<int64_t, kTiers> counts{};
  bool directory = false;
  int common = kTiers;      // tiers that are coded for the whole canvas
  std::vector<Part> parts;  // the first is the whole canvas
  size_t streams = 0;       // where they begin
};

// What a field of n bytes may hold at most.
constexpr int64_t most_splats(size_t bytes) { return 64 + 4 * static_cast<int64_t>(bytes); }

// Reads what stands before the streams; returns why it is damaged, or null. The splats are at most
// most_splats(size); the layout's counts are left alone.
const char* read_index(const uint8_t* data, size_t size, const FieldLayout& layout, FieldIndex* index);

struct FieldRequest {
  int tiers = kTiers;           // so many, coarse first
  const Box* window = nullptr;  // only parts that can be seen in it
  bool (*stopped)() = nullptr;  // asked now and then; a field that was stopped counts as damaged
};

// Splats in coding order, rows [count, columns] of integers, and how many of each tier.
struct DecodedField {
  std::vector<int32_t> splats;
  std::array<int64_t, kTiers> counts{};
};

// For each cell the splats that lie a little beyond it at most, in their order: what the splats of a part know of those
// of the whole canvas. The time does not depend on the number of cells, for a file names many in few bytes.
std::vector<std::vector<int32_t>> splats_near(const Context& context, const std::vector<Cell>& cells, Canvas canvas);

// Decodes a field part by part: first the whole canvas's, then of the others those that are wanted, in any order and by
// several threads. The network, the workers, what stops it, the data and the tap must outlive it. All that can be wrong
// is told by why the field is damaged, else null; rows of integers go where the caller says, to a place for each tier.
class FieldReader {
 public:
  FieldReader(const Network& network, const Workers& workers, Stop* stop = nullptr)
      : network_(network), workers_(workers), stop_(stop) {}

  // Reads what stands before the streams.
  const char* open(const FieldLayout& layout, const uint8_t* data, size_t size, int tiers, Tap* tap);
  const FieldIndex& index() const { return index_; }
  // Whether the data holds the pieces of these parts.
  const char* check(const std::vector<size_t>& parts) const;

  const char* whole(const std::array<int32_t*, kTiers>& to);
  // The parts that follow, from 1 on, once there is the whole canvas's.
  const char* part(size_t p, const std::array<int32_t*, kTiers>& to) const;

 private:
  const char* decode(size_t p, Traversal<Decoder>* traversal, const std::array<int32_t*, kTiers>& to) const;

  const Network& network_;
  const Workers& workers_;
  Stop* stop_;
  FieldLayout layout_{};
  FieldIndex index_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int tiers_ = 0;
  Tap* tap_ = nullptr;
  std::optional<Traversal<Decoder>> whole_;
  std::vector<std::vector<int32_t>> near_;  // splats of the whole canvas that each part knows of
};

// Decodes a field from as many of its bytes as there are; returns why it is damaged, or null.
const char* decode_field(const Network& network, const FieldLayout& layout, const uint8_t* data, size_t size,
                         const FieldRequest& request, const Workers& workers, Tap* tap, DecodedField* out);

struct FieldOptions {
  int64_t most_in_part = 8192;           // splats; a field of more than four times as many is split
  size_t least_for_directory = 1 << 15;  // bytes
};

// Encodes rows [n, columns] of integers, bringing them into coding order; returns why they are no splats, or null.
const char* encode_field(const Network& network, const FieldLayout& layout, int32_t* splats, size_t n,
                         const FieldOptions& options, const Workers& workers, Tap* tap, std::vector<uint8_t>* out);

}  // namespace splat2d
