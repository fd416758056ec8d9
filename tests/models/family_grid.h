/* A family that only tests know: see family_grid.c. */
#ifndef DLM_TESTS_MODELS_FAMILY_GRID_H
#define DLM_TESTS_MODELS_FAMILY_GRID_H

#include "models/model.h"

extern const struct dlm_family dlm_family_grid;

#endif
