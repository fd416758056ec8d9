/* gated_activation and its backward, for gate and up of each type; a work-group does up to 4096
 * elements of a row, four at a time where all rows lie in whole fours. */
//! gated_activation -DX=F32
//! gated_activation_backward_f32 -DBACKWARD -DX=F32
//! gated_activation_backward_f16 -DBACKWARD -DX=F16
//! gated_activation_backward_bf16 -DBACKWARD -DX=BF16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "prelude.glsl"

layout(local_size_x = 64) in;

#define PASTE_(x, y) x##y
#define PASTE(x, y) PASTE_(x, y)
#define LOAD PASTE(DLM_LOAD_, X)
#define WIDEN PASTE(widen_, X)
#define WIDE_F32 vec4
#define WIDE_F16 uvec2
#define WIDE_BF16 uvec2

DLM_IN(0, PASTE(DLM_T_, X), gate)
DLM_IN(1, PASTE(DLM_T_, X), up)
layout(std430, set = 0, binding = 0) readonly buffer WideGate { PASTE(WIDE_, X) wide_gate[]; };
layout(std430, set = 0, binding = 1) readonly buffer WideUp { PASTE(WIDE_, X) wide_up[]; };
#ifdef BACKWARD
DLM_IN(2, float, dy)
DLM_OUT(3, float, dgate)
DLM_OUT(4, float, dup)
layout(std430, set = 0, binding = 2) readonly buffer WideDy { vec4 wide_dy[]; };
layout(std430, set = 0, binding = 3) buffer WideDgate { vec4 wide_dgate[]; };
layout(std430, set = 0, binding = 4) buffer WideDup { vec4 wide_dup[]; };
#else
DLM_OUT(2, float, y)
layout(std430, set = 0, binding = 2) buffer WideY { vec4 wide_y[]; };
#endif
DLM_PARAMS(dlm_gated_params)

vec4 widen_F32(vec4 x)
{
    return x;
}

vec4 widen_F16(uvec2 x)
{
    return vec4(unpackHalf2x16(x.x), unpackHalf2x16(x.y));
}

vec4 widen_BF16(uvec2 x)
{
    return uintBitsToFloat(uvec4(x.x << 16, x.x & 0xffff0000u, x.y << 16, x.y & 0xffff0000u));
}

vec4 act4(uint kind, vec4 x)
{
    return vec4(dlm_act(kind, x.x), dlm_act(kind, x.y), dlm_act(kind, x.z), dlm_act(kind, x.w));
}

vec4 act_grad4(uint kind, vec4 x)
{
    return vec4(dlm_act_grad(kind, x.x), dlm_act_grad(kind, x.y), dlm_act_grad(kind, x.z),
                dlm_act_grad(kind, x.w));
}

void main()
{
    const uint pieces = DLM_ROW_PIECES(p.cols), row = DLM_GROUP_ID() / pieces;
    const uint begin = DLM_GROUP_ID() % pieces * DLM_GROUP_ELEMS;
    const uint end = min(begin + DLM_GROUP_ELEMS, p.cols), kind = p.kind;
    if (row >= p.rows)
        return;
    const uint gate_at = p.gate_lead + row * p.gate_stride, up_at = p.up_lead + row * p.up_stride;
    const uint plain_at = row * p.cols;
    uint all = gate_at | up_at | plain_at | end;
#ifdef BACKWARD
    const uint dgate_at = p.dgate_lead + row * p.dgate_stride;
    const uint dup_at = p.dup_lead + row * p.dup_stride;
    all |= dgate_at | dup_at;
#endif

    if ((all & 3u) == 0u) {
        for (uint k = begin + 4u * DLM_LOCAL_ID(); k < end; k += 256u) {
            const vec4 g = WIDEN(wide_gate[(gate_at + k) >> 2]);
            const vec4 u = WIDEN(wide_up[(up_at + k) >> 2]);
#ifdef BACKWARD
            const vec4 d = wide_dy[(plain_at + k) >> 2];
            wide_dgate[(dgate_at + k) >> 2] = d * u * act_grad4(kind, g);
            wide_dup[(dup_at + k) >> 2] = d * act4(kind, g);
#else
            wide_y[(plain_at + k) >> 2] = act4(kind, g) * u;
#endif
        }
        return;
    }
    for (uint k = begin + DLM_LOCAL_ID(); k < end; k += 64u) {
        const float g = LOAD(gate, gate_at + k);
#ifdef BACKWARD
        const float d = dy[plain_at + k];
        dgate[dgate_at + k] = d * LOAD(up, up_at + k) * dlm_act_grad(kind, g);
        dup[dup_at + k] = d * dlm_act(kind, g);
#else
        y[plain_at + k] = dlm_act(kind, g) * LOAD(up, up_at + k);
#endif
    }
}
