// Bytes read and written: numbers, and checksums. docs/FORMAT.md, section 1, is this in words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace splat2d {

// CRC-32 as zlib and PNG have it.
inline uint32_t crc32(const uint8_t* data, size_t size) {
  // Eight bytes at a time: of[k][b] is what byte b does k bytes later.
  struct Tables {
    uint32_t of[8][256];
  };
  static constexpr Tables tables = [] {
    Tables t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t v = i;
      for (int bit = 0; bit < 8; ++bit) v = v & 1 ? v >> 1 ^ 0xedb88320u : v >> 1;
      t.of[0][i] = v;
    }
    for (int k = 1; k < 8; ++k)
      for (int i = 0; i < 256; ++i) t.of[k][i] = t.of[k - 1][i] >> 8 ^ t.of[0][t.of[k - 1][i] & 255];
    return t;
  }();
  uint32_t crc = UINT32_MAX;
  for (; size >= 8; data += 8, size -= 8) {
    uint32_t next = 0;
    for (int i = 0; i < 4; ++i)
      next ^= tables.of[7 - i][data[i] ^ (crc >> (8 * i) & 255)] ^ tables.of[3 - i][data[4 + i]];
    crc = next;
  }
  for (; size > 0; ++data, --size) crc = tables.of[0][(crc ^ *data) & 255] ^ crc >> 8;
  return ~crc;
}

// Whether a checksum is that of some bytes; to a fuzzer, which could not guess one, each is.
inline bool is_crc32(uint32_t given, const uint8_t* data, size_t size) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  (void)given, (void)data, (void)size;
  return true;
#else
  return given == crc32(data, size);
#endif
}

class ByteReader {
 public:
  ByteReader(const uint8_t* data, size_t size) : begin_(data), at_(data), end_(data + size) {}

  int byte() { return need(1) ? *at_++ : 0; }
  uint32_t word() {
    if (!need(4)) return 0;
    const uint32_t v = static_cast<uint32_t>(at_[0]) | static_cast<uint32_t>(at_[1]) << 8 |
                       static_cast<uint32_t>(at_[2]) << 16 | static_cast<uint32_t>(at_[3]) << 24;
    at_ += 4;
    return v;
  }
  // Seven bits a byte, the lowest first, in as few bytes as there can be.
  int64_t varint(int64_t most) {
    int64_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      const int v = byte();
      value |= static_cast<int64_t>(v & 127) << shift;
      if (v >= 128) continue;
      if ((shift && v == 0) || value > most) break;
      return value;
    }
    failed_ = true;
    return 0;
  }
  bool need(size_t n) {
    failed_ = failed_ || static_cast<size_t>(end_ - at_) < n;
    return !failed_;
  }
  // Whether something was missing or out of range.
  bool failed() const { return failed_; }
  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

 private:
  const uint8_t *begin_, *at_, *end_;
  bool failed_ = false;
};

inline void put_varint(int64_t value, std::vector<uint8_t>* out) {
  for (; value >= 128; value >>= 7) out->push_back(static_cast<uint8_t>(value | 128));
  out->push_back(static_cast<uint8_t>(value));
}

inline void put_word(uint32_t value, std::vector<uint8_t>* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<uint8_t>(value >> shift));
}

}  // namespace splat2d
