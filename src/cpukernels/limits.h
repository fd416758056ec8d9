/* What the loops of limits share: 16 sums that stay in registers while nothing but one instruction
 * is issued. The empty asm keeps the compiler from merging or dropping the work; a loop's operand
 * must be opaque too, or products of constants are folded. */
#ifndef DLM_CPUKERNELS_LIMITS_H
#define DLM_CPUKERNELS_LIMITS_H

#include "cpukernels/cpukernels.h"

#define DLM_LIMIT_SUMS_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define DLM_LIMIT_SUMS_16(X)                                                                       \
    DLM_LIMIT_SUMS_8(X) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

#define DLM_LIMIT_OPAQUE(i) __asm__ volatile("" : DLM_LIMIT_REGISTER(sum##i));

#endif
