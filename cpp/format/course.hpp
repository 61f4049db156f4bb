// The one definition of quantisation in time: cpp/format/quantizer.hpp for splats of clips, in integer arithmetic.
//
// A row of integers is that of a picture's splat, whose centre is where the clip first or last shows it where its time
// lies outside, and four more: duration, time, and the velocity on a lattice like the centre's.
#pragma once

#include "format/quantizer.hpp"

namespace splat2d {

constexpr int kMovingFields = 9;  // of a row after its colours

// Fields of a row after its colours; the first five are a picture's.
enum MovingField { kMovingArea, kMovingAspect, kMovingAngle, kMovingY, kMovingX, kDuration, kTime, kSpeedY, kSpeedX };

constexpr int kMaxFrames = 64;                // of a segment
constexpr int kLog2DurationMin = -2 * 65536;  // log2 of the deviation in time in Q16: 0.25 frames
constexpr int kLog2DurationMax = 8 * 65536;   // 256 frames
constexpr int kDurationStepMax = 94548;       // 1 / ln 2 in Q16
constexpr int kTimeBits = 12;                 // times are Q12 frames
constexpr int kSpeedBits = 16;                // velocities are Q16 px a frame
constexpr int64_t kMaxSpeed = 256 << kSpeedBits;

// Step of log2 of the deviation in time, Q16.
SPLAT2D_HD int duration_step(int energy_class) {
  return static_cast<int>(clamp<int64_t>(by_class(154116, 108976, energy_class), 64, kDurationStepMax));
}

// The longest duration that is coded, that of what stands still: about twice the number of frames, rounded up to a
// power of two.
SPLAT2D_HD int longest_duration(int energy_class, int frames) {
  int octaves = 1;
  while ((1 << (octaves - 1)) < frames) ++octaves;
  const int step = duration_step(energy_class);
  return static_cast<int>(((static_cast<int64_t>(octaves) << 16) + step / 2) / step);
}

SPLAT2D_HD bool duration_in_range(int energy_class, int duration, int frames) {
  const int64_t log2 = static_cast<int64_t>(duration) * duration_step(energy_class);
  return log2 >= kLog2DurationMin && duration <= longest_duration(energy_class, frames);
}

// 0 for splats that outlast the clip, then 1, 2 and 3 for each quarter less.
SPLAT2D_HD int life_of(int energy_class, int duration, int frames) {
  const int64_t deviation = exp2_q16(static_cast<int64_t>(duration) * duration_step(energy_class));
  const int64_t all = static_cast<int64_t>(frames) << 16;
  return deviation >= all ? 0 : deviation >= all / 4 ? 1 : deviation >= all / 16 ? 2 : 3;
}

// Step of the time, Q12 frames.
SPLAT2D_HD int64_t time_step(int energy_class, int duration, int frames) {
  const int64_t deviation = exp2_q16(static_cast<int64_t>(duration) * duration_step(energy_class));
  return clamp<int64_t>((position_step(energy_class) * deviation) >> 20, 64, static_cast<int64_t>(frames) << kTimeBits);
}

// Time of an index, Q12 frames.
SPLAT2D_HD int64_t time_of(int energy_class, int duration, int index, int frames) {
  return (static_cast<int64_t>(frames) << (kTimeBits - 1)) + index * time_step(energy_class, duration, frames);
}

SPLAT2D_HD bool time_in_range(int64_t time, int frames) {
  const int64_t all = static_cast<int64_t>(frames) << kTimeBits;
  return time >= -all && time < 2 * all;
}

constexpr int kTimeBins = 24;  // eight to the clip's length, from one length before it to one behind it

SPLAT2D_HD int time_bin(int64_t time, int frames) {
  return static_cast<int>(
      floor_div(time + (static_cast<int64_t>(frames) << kTimeBits), static_cast<int64_t>(frames) << (kTimeBits - 3)));
}

// The lattice of velocities, Q16 px a frame: that of centres over the deviation in time of what the clip shows.
SPLAT2D_HD Lattice speed_lattice(int energy_class, const Spread& spread, int duration, int frames) {
  const int64_t deviation = exp2_q16(static_cast<int64_t>(duration) * duration_step(energy_class)) >> 8;  // Q8
  const int64_t variance = deviation * deviation, all = static_cast<int64_t>(frames) * frames;            // Q16
  const int64_t shown = floor_div(variance * all, all + ((6 * variance) >> 16));
  const int64_t shown_deviation = isqrt(shown);  // Q8
  const auto quantum = [&](int64_t s) {
    const int64_t step = (position_step(energy_class) * s) >> 16;  // Q16 px
    return clamp<int64_t>(floor_div(step << 8, shown_deviation > 1 ? shown_deviation : 1), 16, 32 << kSpeedBits);
  };
  return {quantum(spread.x), quantum(spread.y), spread.shear};
}

// What is left of a splat of a clip once its integers are known.
struct MovingPose {
  float mean[3];      // at its time: x, y px of the world, t frames
  float velocity[2];  // px a frame
  float precision;    // frames^-2
  float norm;         // L2 norm over the frames
  Shape shape;        // of a slice
};

// Sum over the frames of the square of a splat's height.
SPLAT2D_HD float presence(float time, float precision, int frames) {
  float sum = 0;
  for (int t = 0; t < frames; ++t) {
    const float apart = (static_cast<float>(t) + 0.5f) - time, q = apart * apart * precision;
    if (q < 20.0f) sum += expf(-q);
  }
  return sum;
}

// The lattices of a shape and duration in range, of centres and of velocities.
struct MovingLattices {
  Lattice place, speed;
};

SPLAT2D_HD MovingLattices moving_lattices(int energy_class, const int32_t* f, int frames) {
  const Spread spread = spread_of(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  return {make_lattice(energy_class, spread), speed_lattice(energy_class, spread, f[kDuration], frames)};
}

// The pose of fields in range.
SPLAT2D_HD MovingPose make_pose(int energy_class, const int32_t* f, int frames, const MovingLattices& lattices) {
  MovingPose p;
  p.shape = make_shape(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  const Lattice &l = lattices.place, &v = lattices.speed;
  constexpr double kOnePx = 1.0 / (1 << kPositionBits), kOneFrame = 1.0 / (1 << kTimeBits);
  constexpr double kOneSpeed = 1.0 / (1 << kSpeedBits);
  const double time = static_cast<double>(time_of(energy_class, f[kDuration], f[kTime], frames)) * kOneFrame;
  const double vy = static_cast<double>(v.y(f[kSpeedY])) * kOneSpeed;
  const double vx = static_cast<double>(v.x(f[kSpeedX], f[kSpeedY])) * kOneSpeed;
  const double shown = clamp(time, 0.0, static_cast<double>(frames));
  p.mean[0] =
      static_cast<float>(static_cast<double>(l.x(f[kMovingX], f[kMovingY])) * kOnePx - kMargin + vx * (time - shown));
  p.mean[1] = static_cast<float>(static_cast<double>(l.y(f[kMovingY])) * kOnePx - kMargin + vy * (time - shown));
  p.mean[2] = static_cast<float>(time);
  p.velocity[0] = static_cast<float>(vx);
  p.velocity[1] = static_cast<float>(vy);
  const double log_duration = f[kDuration] * (duration_step(energy_class) * (kLn2 / 65536.0));
  p.precision = static_cast<float>(exp(-2 * log_duration));
  const float present = presence(p.mean[2], p.precision, frames);
  p.norm = p.shape.norm * sqrtf(present > 1e-4f ? present : 1e-4f);
  return p;
}

SPLAT2D_HD MovingPose make_pose(int energy_class, const int32_t* f, int frames) {
  return make_pose(energy_class, f, frames, moving_lattices(energy_class, f, frames));
}

// Whether a shape, a duration and a time are those of a splat that a file may hold.
SPLAT2D_HD bool lasting_in_range(int energy_class, const int32_t* f, int frames) {
  return shape_in_range(energy_class, f[kMovingArea], f[kMovingAspect]) &&
         duration_in_range(energy_class, f[kDuration], frames) &&
         time_in_range(time_of(energy_class, f[kDuration], f[kTime], frames), frames);
}

// Whether a place and a velocity on their lattices are; the world is what the path shows.
SPLAT2D_HD bool course_in_range(const MovingLattices& lattices, Canvas world, const int32_t* f) {
  if (!on_canvas(lattices.place, world, f[kMovingY], f[kMovingX])) return false;
  const Lattice& v = lattices.speed;
  const int64_t vy = v.y(f[kSpeedY]);
  if (vy < -kMaxSpeed || vy > kMaxSpeed) return false;  // first, because vx is a product with it
  const int64_t vx = v.x(f[kSpeedX], f[kSpeedY]);
  return vx >= -kMaxSpeed && vx <= kMaxSpeed;
}

// Whether fields are those of a splat that a file may hold.
SPLAT2D_HD bool moving_in_range(int energy_class, Canvas world, const int32_t* f, int frames) {
  return lasting_in_range(energy_class, f, frames) &&
         course_in_range(moving_lattices(energy_class, f, frames), world, f);
}

// Encoder side: where a splat goes.
struct Course {
  double x, y, time;  // at its time
  double vx, vy;      // px a frame
};

SPLAT2D_HD void quantize_duration(int energy_class, double log_deviation, int frames, int32_t* f) {
  const double step = duration_step(energy_class) * (kLn2 / 65536.0);
  const int low = static_cast<int>(ceil(kLog2DurationMin / static_cast<double>(duration_step(energy_class))));
  f[kDuration] = clamp(static_cast<int>(lround(log_deviation / step)), low, longest_duration(energy_class, frames));
}

SPLAT2D_HD void quantize_time(int energy_class, double time, int frames, int32_t* f) {
  constexpr double kOne = 1 << kTimeBits;
  const double step = static_cast<double>(time_step(energy_class, f[kDuration], frames));
  f[kTime] = static_cast<int32_t>(lround((time - 0.5 * frames) * kOne / step));
}

// The integers of the velocity and the centre nearest to a course, for a shape, duration and time that are known.
SPLAT2D_HD void quantize_course(int energy_class, Canvas world, const Course& course, int frames, int32_t* f) {
  const Spread spread = spread_of(energy_class, f[kMovingArea], f[kMovingAspect], f[kMovingAngle]);
  const Lattice v = speed_lattice(energy_class, spread, f[kDuration], frames);
  constexpr double kOne = 1 << kSpeedBits, kMost = static_cast<double>(kMaxSpeed - (1 << kSpeedBits));
  const double vy = clamp(course.vy * kOne, -kMost, kMost), vx = clamp(course.vx * kOne, -kMost, kMost);
  const int64_t iy = llround(vy / static_cast<double>(v.hy));
  const double offset = static_cast<double>((v.shear * v.y(iy)) >> kPositionBits);
  f[kSpeedY] = static_cast<int32_t>(iy);
  f[kSpeedX] = static_cast<int32_t>(llround((vx - offset) / static_cast<double>(v.hx)));
  const double time = static_cast<double>(time_of(energy_class, f[kDuration], f[kTime], frames)) / (1 << kTimeBits);
  const double shown = clamp(time, 0.0, static_cast<double>(frames));
  quantize_position(energy_class, world, course.x + course.vx * (shown - course.time),
                    course.y + course.vy * (shown - course.time), f);
}

}  // namespace splat2d
