/* mul: out = x * y over broadcast strides; a work-group does 4096 elements. */
//! mul
#version 450
#extension GL_GOOGLE_include_directive : require
#define DLM_EXPRESSION (x * y)
#include "broadcast.glsl"
