/* mul */
#include "cpukernels/broadcast.h"

DLM_BROADCAST_KERNEL(mul, x * y)
