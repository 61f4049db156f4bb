// Workers as OpenMP has them.
#pragma once

#include "math/workers.hpp"

namespace splat2d {

// How many threads a call that asks for so many gets: at least one, at most what the system has room for, and one
// in a process that was forked, where the runtime's threads are gone while it believes them alive. No result depends
// on it.
int granted_threads(int asked);

// From now on forks are noticed.
void watch_forks();

class Threads : public Workers {
 public:
  explicit Threads(int asked) : count_(granted_threads(asked)) {}
  void run(size_t count, void (*work)(const void*, size_t), const void* what) const override {
    const auto n = static_cast<std::ptrdiff_t>(count);
#pragma omp parallel for schedule(dynamic) num_threads(count_) if (count_ > 1 && n > 1)
    for (std::ptrdiff_t i = 0; i < n; ++i) work(what, static_cast<size_t>(i));
  }

 private:
  int count_;
};

}  // namespace splat2d
