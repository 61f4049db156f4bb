#include <cstdlib>
#include <cstring>

#include "math/kernels.hpp"

namespace splat2d {

extern const Kernels kernels_base;
#ifdef SPLAT2D_X86
extern const Kernels kernels_v3, kernels_v4;
#endif

namespace {

struct Choice {
  const Kernels* kernels;
  const char* name;
};

Choice choose() {
#ifdef SPLAT2D_X86
  const char* wanted = std::getenv("SPLAT2D_ISA");
  const auto allowed = [&](const char* name) { return !wanted || std::strcmp(wanted, name) >= 0; };
  const bool base_only = wanted && std::strcmp(wanted, "base") == 0;
  __builtin_cpu_init();
  if (!base_only && allowed("v4") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
    return {&kernels_v4, "v4"};
  if (!base_only && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    return {&kernels_v3, "v3"};
#endif
  return {&kernels_base, "base"};
}

const Choice& choice() {
  static const Choice instance = choose();
  return instance;
}

}  // namespace

const Kernels& kernels() { return *choice().kernels; }
const char* kernels_name() { return choice().name; }

}  // namespace splat2d
