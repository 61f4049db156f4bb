// Which of many things, in one order, can be done at the same time.
#pragma once

#include <vector>

namespace splat2d {

struct Precedence {
  // Things that all workers of a device can share at most at the same time; one more waits for the first of them.
  static constexpr int kMostShared = 16;

  std::vector<int> stages{0};  // where each begins, and the end: of those between, none waits for another
  // For devices that do not wait for a whole stage: those that each waits for, all of them before it; from waits[i] to
  // waits[i + 1].
  std::vector<int> awaited, waits{0};
  std::vector<int> workers;  // that share each
};

}  // namespace splat2d
