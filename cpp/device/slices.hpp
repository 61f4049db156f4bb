// Slices of all splats of a clip, drawn frame by frame, or many frames at once where the device can.
#pragma once

#include "device/device.hpp"
#include "device/slice.hpp"

namespace splat2d {

// Of splats, those on one level of a pyramid.
struct Level {
  const uint8_t* of = nullptr;  // [N]; null for all splats
  int number = 0;
};

class Slices {
 public:
  // Of frames from `first` on, in the order of their splats.
  void take(const Device& device, const MovingSplats& s, const Reel& reel, int first, int frames, Place place = {},
            Level level = {}) {
    const auto wanted = [=] SPLAT2D_LOOP(int i) {
      return (!level.of || level.of[i] == level.number) &&
             shows(reel.moment(first), s.means[3 * static_cast<int64_t>(i) + 2], s.precisions[i]);
    };
    frames_ = frames;
    count_ = device.select(s.count, wanted, &index_);
    const size_t rows = static_cast<size_t>(frames) * count_;
    const int64_t C = channels_ = s.channels, count = count_;
    apart_.resize(rows);
    fade_.resize(rows);
    means_.resize(2 * rows);
    conics_.resize(3 * rows);
    colors_.resize(C * rows);
    cutoffs_.resize(rows);
    const int* index = this->index();
    float *apart = apart_.data(), *fade = fade_.data(), *cutoffs = cutoffs_.data();
    float *means = means_.data(), *conics = conics_.data(), *colors = colors_.data();
    device.for_rows(frames, count_, [=] SPLAT2D_LOOP(int frame, int x0, int x1) {
      const Moment moment = reel.moment(first + frame, place);
      for (int x = x0; x < x1; ++x) {
        const int64_t i = index ? index[x] : x, j = frame * count + x;
        const Slice to = slice_at(moment, s.means + 3 * i, s.velocities + 2 * i, s.conics + 3 * i, s.precisions[i]);
        apart[j] = to.apart;
        fade[j] = to.fade;
        for (int a = 0; a < 2; ++a) means[2 * j + a] = to.mean[a];
        for (int a = 0; a < 3; ++a) conics[3 * j + a] = to.conic[a];
        for (int c = 0; c < C; ++c) colors[C * j + c] = s.colors[C * i + c] * to.fade;
        cutoffs[j] = !level.of || level.of[i] == level.number ? to.cutoff : -1.0f;
      }
    });
  }

  // Splats in a frame.
  int count() const { return count_; }
  // [count] which they are; null where they are all.
  const int* index() const { return index_.empty() ? nullptr : index_.data(); }
  const float* apart() const { return apart_.data(); }  // [F, count] frames from the splat's time
  const float* fade() const { return fade_.data(); }    // [F, count] height over the splat's
  Splats splats() const {
    return {count_, channels_, means_.data(), conics_.data(), colors_.data(), cutoffs_.data(), frames_};
  }

 private:
  int frames_ = 0, count_ = 0, channels_ = 0;
  Array<int> index_;
  Array<float> apart_, fade_, means_, conics_, colors_, cutoffs_;
};

}  // namespace splat2d
