// The instruction sets that hot loops are compiled for.
#pragma once

namespace splat2d {

enum class Isa { kBase, kV3, kV4 };

// The fastest that this machine runs; SPLAT2D_ISA=base|v3|v4 in the environment picks a narrower one.
Isa isa();
const char* isa_name();

}  // namespace splat2d
