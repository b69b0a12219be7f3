// The numbers of arlattice.random_numbers.uniform: both of every pair of steps, (pairs, 2, width).

extern "C" __global__ void uniform(u32 k0, u32 k1, u32 purpose, u32 pair_low, u32 pair_high, u32 sample, int pairs, int width, double* out) {
    const i64 first = (i64)(((u64)pair_high << 32) | pair_low), n = (i64)pairs * width, step = (i64)gridDim.x * blockDim.x;
    for (i64 k = (i64)blockIdx.x * blockDim.x + threadIdx.x; k < n; k += step) {
        const i64 row = k / width, column = k - row * width, pair = first + row;
        const Words w = philox((u32)pair, (u32)(pair >> 32), sample + (u32)column, purpose, k0, k1);
        out[2 * row * width + column] = number(w.a, w.b);
        out[(2 * row + 1) * width + column] = number(w.c, w.d);
    }
}
