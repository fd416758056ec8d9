/* Where a work-group of a matmul shader works, by the push constants p. */

/* Where a work-group works: element 0 of each operand of its part of the sum, and its length. */
struct place {
    uint a, b, c, result, k;
};

place find_place(uint z)
{
    const uint split = z % p.splits, batch = z / p.splits, k0 = split * p.split_k;
    const uint i0 = batch / p.batch1, i1 = batch % p.batch1;
    place at;

    at.a = p.a_lead + i0 * p.a_stride[0] + i1 * p.a_stride[1] + k0 * p.a_stride[3];
    at.b = p.b_lead + i0 * p.b_stride[0] + i1 * p.b_stride[1] + k0 * p.b_stride[2];
    at.c = p.c_lead + i0 * p.c_stride[0] + i1 * p.c_stride[1];
    at.result = p.out_lead + i0 * p.out_stride[0] + i1 * p.out_stride[1] + split * p.split_stride;
    at.k = min(p.split_k, p.k - k0);
    return at;
}
