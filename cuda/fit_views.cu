#define SPLAT2D_GPU
// The fit of light fields, as fit.cu has the others'; by itself, since it has names in common with that of clips.
#include "fit/views_fitter.cpp"
#include "fit/views_seeding.cpp"
