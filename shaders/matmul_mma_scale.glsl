/* bf16 in the range of f16: what the kernels for matrix units of f16 share. Scales are exponents of
 * two. */

/* 2^e, for -126 <= e <= 127. */
float exp2_of(int e)
{
    return uintBitsToFloat(uint(e + 127) << 23);
}

int find_exponent(float power)
{
    return int(floatBitsToUint(power) >> 23) - 127;
}

/* The magnitude of a bf16 among those whose largest one decides: 0 where it is no number. */
uint magnitude(uint h)
{
    return (h & 0x7fffu) < 0x7f80u ? h & 0x7fffu : 0u;
}

/* The scale by which this magnitude, a bf16, is 2^14 to 2^15. */
int scale_for(uint most)
{
    return min(14 - (int(most >> 7) - 127), 126);
}

/* Two bf16 as two f16, times a power of two. */
uint scale_pair(uint w, float factor)
{
    return packHalf2x16(vec2(uintBitsToFloat(w << 16), uintBitsToFloat(w & 0xffff0000u)) * factor);
}

/* x 2^-e, in two steps because 2^-e may be no f32 where the result is one. */
float unscale(float x, int e)
{
    const int half_e = e / 2;

    return x * exp2_of(-half_e) * exp2_of(half_e - e);
}
