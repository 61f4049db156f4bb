#define SPLAT2D_GPU
// The fit's own sources once more, compiled for the GPU: what they call a device is cuda/device.hpp here.
#include "../cpp/descent.cpp"
#include "../cpp/distortion.cpp"
#include "../cpp/fitter.cpp"
#include "../cpp/lbfgs.cpp"
#include "../cpp/peaks.cpp"
#include "../cpp/quantizer.cpp"
#include "../cpp/refine.cpp"
#include "../cpp/saturation.cpp"
#include "../cpp/schedule.cpp"
#include "../cpp/seeding.cpp"
