/* add: out = x + y over broadcast strides; a work-group does 4096 elements. */
//! add add

DLM_BROADCAST_KERNEL(add, x + y)
