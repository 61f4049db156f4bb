// Workers as OpenMP has them.
#pragma once

#include "math/workers.hpp"

namespace splat2d {

class Threads : public Workers {
 public:
  explicit Threads(int count) : count_(count) {}
  void run(size_t count, void (*work)(const void*, size_t), const void* what) const override {
    const auto n = static_cast<std::ptrdiff_t>(count);
#pragma omp parallel for schedule(dynamic) num_threads(count_) if (count_ > 1 && n > 1)
    for (std::ptrdiff_t i = 0; i < n; ++i) work(what, static_cast<size_t>(i));
  }

 private:
  int count_;
};

}  // namespace splat2d
