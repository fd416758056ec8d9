/* mul: out = x * y over broadcast strides; a work-group does 4096 elements. */
//! mul mul

DLM_BROADCAST_KERNEL(mul, x * y)
