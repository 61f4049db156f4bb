#include <cstdlib>
#include <cstring>

#include "math/isa.hpp"
#include "math/kernels.hpp"
#include "model/kernels.hpp"

namespace splat2d {

extern const Kernels kernels_base;
extern const ModelKernels model_kernels_base;
#ifdef SPLAT2D_X86
extern const Kernels kernels_v3, kernels_v4;
extern const ModelKernels model_kernels_v3, model_kernels_v4;
#endif

namespace {

constexpr const char* kNames[] = {"base", "v3", "v4"};

Isa choose() {
#ifdef SPLAT2D_X86
  const char* wanted = std::getenv("SPLAT2D_ISA");
  const auto allowed = [&](Isa isa) {
    if (wanted)
      for (int i = 0; i < static_cast<int>(isa); ++i)
        if (std::strcmp(wanted, kNames[i]) == 0) return false;
    return true;
  };
  __builtin_cpu_init();
  if (allowed(Isa::kV4) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
    return Isa::kV4;
  if (allowed(Isa::kV3) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return Isa::kV3;
#endif
  return Isa::kBase;
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* isa_name() { return kNames[static_cast<int>(isa())]; }

#ifdef SPLAT2D_X86
const Kernels& kernels() { return isa() == Isa::kV4 ? kernels_v4 : isa() == Isa::kV3 ? kernels_v3 : kernels_base; }
const ModelKernels& model_kernels() {
  return isa() == Isa::kV4 ? model_kernels_v4 : isa() == Isa::kV3 ? model_kernels_v3 : model_kernels_base;
}
#else
const Kernels& kernels() { return kernels_base; }
const ModelKernels& model_kernels() { return model_kernels_base; }
#endif

}  // namespace splat2d
