/* How a shader reaches its arguments: all that those which are also kept compiled
 * (shaders/prebuilt) take of the prelude, so that few changes make them stale. */

/* Storage buffer number n, an array of type; read-only, written, or both. */
#define DLM_IN(n, type, name)                                                                      \
    layout(std430, set = 0, binding = n) readonly buffer DlmBuffer##n { type name[]; };
#define DLM_OUT(n, type, name)                                                                     \
    layout(std430, set = 0, binding = n) buffer DlmBuffer##n { type name[]; };

/* The push constants: struct `type` of kernels/params.h, reached as p. */
#define DLM_PARAMS(type)                                                                           \
    layout(push_constant) uniform DlmPush { type p; };
