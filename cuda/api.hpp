// What the functions of the C interface share: they return 0, or a kind of fault whose text splat2d_cuda_error() gives.
#pragma once

#include <string>

#include "runtime.hpp"

#define SPLAT2D_EXPORT extern "C" __attribute__((visibility("default")))

namespace splat2d::gpu {

enum Fault { kNone = 0, kCuda = 1, kMemory = 2, kArgument = 3 };

inline thread_local std::string last_error;

template <class F>
int guarded(F f) {
  try {
    f();
    return kNone;
  } catch (const OutOfMemory& error) {
    last_error = error.what();
    return kMemory;
  } catch (const CudaError& error) {
    last_error = error.what();
    return kCuda;
  } catch (const std::exception& error) {
    last_error = error.what();
    return kArgument;
  }
}

}  // namespace splat2d::gpu
