// What all loops of a GPU share: random numbers, those of arlattice.random_numbers (Philox4x32-10), and the draw of a heat bath.
// arlattice.kernels.cuda puts this file before another and defines
//   REAL  float or double
//   Q     number of species

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// -- random numbers -------------------------------------------------------------------------------

struct Words {
    u32 a, b, c, d;
};

__device__ __forceinline__ Words philox(u32 a, u32 b, u32 c, u32 d, u32 k0, u32 k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u64 p = 0xD2511F53ull * a, r = 0xCD9E8D57ull * c;
        a = (u32)(r >> 32) ^ b ^ k0, b = (u32)r, c = (u32)(p >> 32) ^ d ^ k1, d = (u32)p;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return Words{a, b, c, d};
}

__device__ __forceinline__ double number(u32 high, u32 low) { return (double)(((u64)high << 21) | (low >> 11)) * 1.1102230246251565e-16; }

// A number in [0, 1): 53 bits in double, the first 24 of them in float.
__device__ __forceinline__ REAL in_real(u32 high, u32 low) {
    if (sizeof(REAL) == 8) return (REAL)number(high, low);
    return (REAL)(high >> 8) * (REAL)5.9604644775390625e-08;
}

struct Numbers {  // of one purpose and one chain
    u32 k0, k1, purpose, sample;
    i64 step, made;
    Words words;

    __device__ Numbers(u32 k0, u32 k1, u32 purpose, u32 sample, i64 step)
        : k0(k0), k1(k1), purpose(purpose), sample(sample), step(step), made(-1), words{0, 0, 0, 0} {}

    __device__ __forceinline__ bool next() {  // whether it is the second of its pair
        i64 half = step >> 1;
        if (half != made) {
            words = philox((u32)half, (u32)(half >> 32), sample, purpose, k0, k1);
            made = half;
        }
        return step++ & 1;
    }
    __device__ __forceinline__ double in53() { return next() ? number(words.c, words.d) : number(words.a, words.b); }
    __device__ __forceinline__ REAL real() { return next() ? in_real(words.c, words.d) : in_real(words.a, words.b); }
};

// -- heat bath ------------------------------------------------------------------------------------

__device__ __forceinline__ float exponential(float v) { return __expf(v); }
__device__ __forceinline__ double exponential(double v) { return exp(v); }

// The first species whose cumulative weight exceeds the number u, where both of two may be.
__device__ __forceinline__ int drawn_of_two(const REAL* energy, REAL beta, const REAL* mu, REAL u) {
    const REAL highest = sizeof(REAL) == 8 ? 700 : 80;
    return u * (1 + exponential(min(beta * ((mu[Q - 1] - mu[0]) - (energy[Q - 1] - energy[0])), highest))) >= 1;
}

// The first species whose cumulative weight exceeds the number u.
__device__ __forceinline__ int drawn(const REAL* energy, REAL beta, const REAL* mu, u32 allowed, REAL u) {
    REAL weight[Q], top = -INFINITY, total = 0;
#pragma unroll
    for (int s = 0; s < Q; s++) {
        weight[s] = beta * (mu[s] - energy[s]);
        if (allowed >> s & 1) top = max(top, weight[s]);
    }
#pragma unroll
    for (int s = 0; s < Q; s++) {
        if (allowed >> s & 1) total += exponential(weight[s] - top);
        weight[s] = total;
    }
    int species = 0;
#pragma unroll
    for (int s = 0; s < Q - 1; s++) species += weight[s] <= u * total;
    return species;
}
