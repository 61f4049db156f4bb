#define SPLAT2D_GPU
// The fit's own sources once more, compiled for the GPU: what they call a device is cuda/device.hpp here.
#include "fit/descent.cpp"
#include "fit/distortion.cpp"
#include "fit/fitter.cpp"
#include "fit/lbfgs.cpp"
#include "fit/peaks.cpp"
#include "fit/saturation.cpp"
#include "fit/seeding.cpp"
#include "format/quantizer.cpp"
#include "refine/refiner.cpp"
#include "refine/schedule.cpp"
