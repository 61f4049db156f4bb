// What is fitted: the frames of a clip, or a picture as the one frame of one, and what their errors weigh.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "device/slice.hpp"
#include "fit/distortion.hpp"
#include "fit/saturation.hpp"

namespace splat2d {

// Where frames lie in time and in the world.
struct Footage {
  Canvas canvas;              // of a frame
  Canvas world;               // that the camera's path shows
  std::vector<Shift> shifts;  // of the frames that are looked at
  // Errors of a frame count by the square of its gain: its picture and what is drawn of it are multiplied by it.
  std::vector<float> gains;
  int frames = 1;              // of the clip
  int every = 1;               // one of so many is looked at, and stands for those up to the next
  std::vector<Eye> eyes = {};  // of a light field's views
  MotionField field = {};      // of the frames that are looked at

  static Footage still(Canvas canvas) { return {canvas, canvas, {{0, 0}}, {1.0f}, 1, 1, {}, {}}; }
  static Footage views(Canvas canvas, std::vector<Eye> eyes) {
    const size_t count = eyes.size();
    return {
        canvas,          canvas, std::vector<Shift>(count), std::vector<float>(count, 1.0f), static_cast<int>(count), 1,
        std::move(eyes), {}};
  }
  int seen() const { return static_cast<int>(shifts.size()); }
};

class Film {
 public:
  // Of a frame each; none for SSE.
  using Distortions = std::vector<std::shared_ptr<const Distortion>>;

  // frames: [T, C, H, W] float32 in [0, 1], those that are looked at; background: [C]; both of this machine's memory.
  Film(const float* frames, int channels, Footage footage, const float* background, Distortions distortions);
  Film(const Film&) = delete;

  const Footage& footage() const { return footage_; }
  int channels() const { return channels_; }
  int seen() const { return footage_.seen(); }
  size_t size() const { return footage_.canvas.area() * channels_; }  // of a frame
  Reel reel(double cutoff) const {
    const Eye* eyes = footage_.eyes.empty() ? nullptr : eyes_.data();
    const MotionField& f = footage_.field;
    const Warp first{field_.empty() ? nullptr : field_.data(), f.rows, f.columns, f.cell, f.margin};
    return {shifts_.data(), gains_.data(), seen(), footage_.every, static_cast<float>(cutoff), eyes, first};
  }
  // Of frame t, what drawings are added to for the residual: background - frame, [C, H, W].
  const float* base(int t) const { return negative_.data() + t * size(); }
  Headroom headroom(int t) const { return saturation_.headroom(t * size()); }
  const Saturation& saturation() const { return saturation_; }
  // Of frame t; null for SSE.
  const Distortion* distortion(int t) const { return distortions_.empty() ? nullptr : distortions_[t].get(); }
  // Takes other distortions, where there are some.
  void reweigh(Distortions distortions);
  // Takes other frames to be fitted; where a splat may exceed white or black stays as it is.
  void retarget(const float* frames);
  // [T] of the device; null for SSE.
  const Density* densities() const { return densities_.empty() ? nullptr : densities_.data(); }

 private:
  int channels_;
  Footage footage_;
  std::vector<float> background_;
  Array<Shift> shifts_;
  Array<Eye> eyes_;
  Array<float> gains_, field_, negative_;
  Saturation saturation_;
  Distortions distortions_;
  Array<Density> densities_;
};

}  // namespace splat2d
