/* What an op's file needs: builders for its backward rule, lowering, host tensors for its
 * reference. */
#ifndef DLM_OPS_OP_H
#define DLM_OPS_OP_H

#include "base/log.h"
#include "base/mem.h"
#include "base/scalar.h"
#include "ops/build.h"
#include "ops/lower.h"
#include "ops/reference.h"

#endif
