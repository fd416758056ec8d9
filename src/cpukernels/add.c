/* add */
#include "cpukernels/broadcast.h"

DLM_BROADCAST_KERNEL(add, x + y)
