// libFuzzer on the decoding of fields: cpp/model and cpp/format without Python. `make fuzz-native` builds and runs it.
//
// An input is a head of kHead bytes, which says what a file would say of the field, and the field. What decodes must
// also encode, and decode again to the same splats.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "math/workers.hpp"
#include "model/field_codec.hpp"
#include "model/network.hpp"

using namespace splat2d;

namespace {

constexpr size_t kHead = 12;
constexpr size_t kAgain = 500;  // splats up to which they are encoded again

Network read_network() {
  std::ifstream file(NETWORK, std::ios::binary);
  const std::vector<char> data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Network network;
  if (const char* fault = network.read(reinterpret_cast<const uint8_t*>(data.data()), data.size())) {
    std::fprintf(stderr, "%s: %s\n", NETWORK, fault);
    std::exit(1);
  }
  return network;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Network network = read_network();
  if (size < kHead) return 0;
  const auto two = [&](size_t at) { return data[at] | data[at + 1] << 8; };
  const int frames = data[8] % (kMaxFrames + 1);
  const FieldLayout layout{{two(0) % 65535 + 1, two(2) % 65535 + 1},
                           data[4] % kMaxChannels + 1,
                           4 + data[5] % 13,
                           two(6) % 2048,
                           frames == 1 ? 0 : frames};
  const int tiers = data[9] % (kTiers + 1), corner = data[10];
  const Box window{corner, corner, corner + data[11], corner + data[11]};
  const bool whole = data[11] == 0;
  DecodedField found;
  if (decode_field(network, layout, data + kHead, size - kHead, {tiers, whole ? nullptr : &window}, Workers(), nullptr,
                   &found))
    return 0;
  const size_t count = found.splats.size() / layout.columns();
  if (!whole || tiers < kTiers || count > kAgain) return 0;
  std::vector<int32_t> splats = found.splats;
  std::vector<uint8_t> bytes;
  const char* fault = encode_field(network, layout, splats.data(), count, {64, 0}, Workers(), nullptr, &bytes);
  require(!fault, fault ? fault : "");
  DecodedField again;
  fault = decode_field(network, layout, bytes.data(), bytes.size(), {}, Workers(), nullptr, &again);
  require(!fault, fault ? fault : "");
  require(again.counts == found.counts, "other counts after a round trip");
  require(again.splats == splats, "other splats after a round trip");
  return 0;
}
