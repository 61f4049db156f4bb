// Workers that are threads.
#pragma once

#include "math/pool.hpp"
#include "math/workers.hpp"

namespace splat2d {

class Threads : public Workers {
 public:
  explicit Threads(int asked) : count_(granted_threads(asked)) {}
  void run(size_t count, void (*work)(const void*, size_t), const void* what) const override {
    each_of(count_, count, [=](size_t i) { work(what, i); });
  }

 private:
  int count_;
};

}  // namespace splat2d
