// Loops of a GPU that count products (arlattice.kernels.count_table): four chains, or configurations, are a lane, and a warp is a block.
// arlattice.kernels.cuda puts straight-line code for the sites of every kind before this (arlattice.kernels.straight_line) and defines
//   SHARED_STATE    1 where the state of a block is in shared memory, 0 where it is in global memory
//   SHARED_WEIGHTS  1 where the weights are in shared memory, 0 where they stay in global memory
//   MEMBERS         Hamiltonians of the family
// The state of a lane is one byte a feature [x_i = a], a bit a chain; a sum of products is one byte a chain.

#define CHAINS 4
#define LANES 32

// Bit k of four to byte k, 0 or 1.
__device__ __forceinline__ u32 spread(u32 four) { return four * 0x00204081u & 0x01010101u; }

struct State {
    u8* bytes;  // (features, lanes) from this lane on
    __device__ __forceinline__ u32 bits(int feature) const { return bytes[(size_t)feature * LANES]; }
    __device__ __forceinline__ u32 operator[](int feature) const { return spread(bits(feature)); }
    __device__ __forceinline__ void set(int feature, u32 bits) { bytes[(size_t)feature * LANES] = bits; }
};

struct Weights {
    const REAL* of[MEMBERS > 1 ? CHAINS : 1];  // (groups, Q) of each chain
    __device__ __forceinline__ REAL operator()(int chain, int group, int species) const {
        return of[MEMBERS > 1 ? chain : 0][group * Q + species];
    }
};

struct Energies {
    REAL of[CHAINS][Q];  // of a site by its species, in each chain

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int k = 0; k < CHAINS; k++)
#pragma unroll
            for (int s = 0; s < Q; s++) of[k][s] = 0;
    }
    // Adds a group of products to the energies of some species, given as bits.
    template <u32 SPECIES>
    __device__ __forceinline__ void add(u32 count, const Weights& weights, int group) {
#pragma unroll
        for (int k = 0; k < CHAINS; k++) {
            REAL number = in_byte(count, k);
#pragma unroll
            for (int s = 0; s < Q; s++)
                if (SPECIES >> s & 1) of[k][s] += weights(k, group, s) * number;
        }
    }
    // A byte as a floating-point number: low bits of a power of two, which is taken off again.
    static __device__ __forceinline__ REAL in_byte(u32 word, int k) {
        if (sizeof(REAL) == 8) return (REAL)(__hiloint2double(0x43300000, __byte_perm(word, 0, 0x4440 + k)) - 4503599627370496.0);
        return (REAL)(__int_as_float(__byte_perm(word, 0x4B000000u, 0x7650 + k)) - 8388608.0f);
    }
};

STRAIGHT_LINE_CODE

#define TABLE_ARGUMENTS \
    const int *kind, const int *feature, const int *allowed, const int4 *near, int n_near, const REAL *weights, int n_groups, int n_sites, int n_features
#define BATCH_ARGUMENTS const int *member, const i64 *x, int n, u8 *far

struct Block {
    State state;
    Weights weights;
    int chain;  // the first of this lane
};

// The state of configurations (n, sites) of this block as bits; those past the last hold nothing.
__device__ __forceinline__ Block load(TABLE_ARGUMENTS, BATCH_ARGUMENTS) {
    extern __shared__ __align__(16) u8 memory[];
    const int lane = threadIdx.x, begin = blockIdx.x * LANES * CHAINS;
    Block block;
    block.chain = begin + lane * CHAINS;
    const REAL* near_weights = weights;
    u8* bytes = memory;
    if (SHARED_WEIGHTS) {
        const int size = MEMBERS * n_groups * Q;
        for (int i = lane; i < size; i += LANES) ((REAL*)memory)[i] = weights[i];
        near_weights = (REAL*)memory;
        bytes += (size * sizeof(REAL) + 15) / 16 * 16;
    }
    if (!SHARED_STATE) bytes = far + (size_t)blockIdx.x * n_features * LANES;
#pragma unroll
    for (int k = 0; k < (MEMBERS > 1 ? CHAINS : 1); k++) {
        int m = MEMBERS > 1 && block.chain + k < n ? member[block.chain + k] : 0;
        block.weights.of[k] = near_weights + (size_t)m * n_groups * Q;
    }
    for (int site = lane; site < n_sites; site += LANES)
#pragma unroll 4
        for (int l = 0; l < LANES; l++) {
            int species[CHAINS];
#pragma unroll
            for (int k = 0; k < CHAINS; k++) {
                const int row = begin + l * CHAINS + k;
                species[k] = row < n ? (int)__ldg(x + (size_t)row * n_sites + site) : 0;
            }
#pragma unroll
            for (int a = 0; a < Q; a++) {
                const int f = __ldg(feature + site * Q + a);
                u32 bits = 0;
#pragma unroll
                for (int k = 0; k < CHAINS; k++) bits |= (u32)(species[k] == a) << k;
                if (f >= 0) bytes[(size_t)f * LANES + l] = bits;
            }
        }
    __syncwarp();
    block.state.bytes = bytes + lane;
    return block;
}
#define LOAD load(kind, feature, allowed, near, n_near, weights, n_groups, n_sites, n_features, member, x, n, far)

// Heat baths: all chains visit the sites of `order` (visits). `noise` (visits, chains) stands for random numbers where it is not null.
extern "C" __global__ void __launch_bounds__(LANES) heat_bath(
    TABLE_ARGUMENTS, BATCH_ARGUMENTS, const double* beta, const double* mu, const int* order, int visits, u32 k0, u32 k1, u32 purpose,
    u32 step_low, u32 step_high, const double* noise, i64* out) {
    Block block = LOAD;
    State state = block.state;
    const int chain = block.chain;
    REAL b[CHAINS], m[CHAINS][Q];
#pragma unroll
    for (int k = 0; k < CHAINS; k++) {
        b[k] = chain + k < n ? (REAL)beta[chain + k] : 0;
#pragma unroll
        for (int s = 0; s < Q; s++) m[k][s] = chain + k < n ? (REAL)mu[(size_t)(chain + k) * Q + s] : 0;
    }
    const u64 first = (u64)step_high << 32 | step_low;
    Words words[CHAINS];
    for (int v = 0; v < visits; v++) {
        const int site = __ldg(order + v);
        const u64 step = first + v;
        if (v == 0 || !(step & 1)) {
#pragma unroll
            for (int k = 0; k < CHAINS; k++) words[k] = philox((u32)(step >> 1), (u32)(step >> 33), chain + k, purpose, k0, k1);
        }
        const u32 choice = __ldg(allowed + site);
        if (!(choice & (choice - 1))) continue;
        Energies energies;
        energies_around(__ldg(kind + site), state, near + (size_t)site * n_near, block.weights, energies);
        u32 species[CHAINS];
#pragma unroll
        for (int k = 0; k < CHAINS; k++) {
            REAL u = step & 1 ? in_real(words[k].c, words[k].d) : in_real(words[k].a, words[k].b);
            if (noise) u = chain + k < n ? (REAL)noise[(size_t)v * n + chain + k] : 0;
            species[k] = drawn(energies.of[k], b[k], m[k], choice, u);
        }
#pragma unroll
        for (int a = 0; a < Q; a++) {
            const int f = __ldg(feature + site * Q + a);
            u32 bits = 0;
#pragma unroll
            for (int k = 0; k < CHAINS; k++) bits |= (u32)(species[k] == a) << k;
            if (f >= 0) state.set(f, bits);
        }
    }
    __syncwarp();
    const int lane = threadIdx.x;
    for (int site = lane; site < n_sites; site += LANES)
        for (int l = 0; l < LANES; l++) {
            int species[CHAINS];
#pragma unroll
            for (int k = 0; k < CHAINS; k++) species[k] = __ffs(__ldg(allowed + site)) - 1;
#pragma unroll
            for (int a = 0; a < Q; a++) {
                const int f = __ldg(feature + site * Q + a);
                const u32 bits = f >= 0 ? (state.bytes - lane)[(size_t)f * LANES + l] : 0;
#pragma unroll
                for (int k = 0; k < CHAINS; k++)
                    if (bits >> k & 1) species[k] = a;
            }
#pragma unroll
            for (int k = 0; k < CHAINS; k++) {
                const int row = chain - lane * CHAINS + l * CHAINS + k;
                if (row < n) out[(size_t)row * n_sites + site] = species[k];
            }
        }
}

// Energies (n,): a product of f other sites and the site itself is met f + 1 times, and `weights` is that share of it.
extern "C" __global__ void __launch_bounds__(LANES) energies(TABLE_ARGUMENTS, BATCH_ARGUMENTS, const double* constant, REAL* out) {
    Block block = LOAD;
    double total[CHAINS];
#pragma unroll
    for (int k = 0; k < CHAINS; k++) total[k] = constant[MEMBERS > 1 && block.chain + k < n ? member[block.chain + k] : 0];
    for (int site = 0; site < n_sites; site++) {
        Energies energies;
        energies_around(__ldg(kind + site), block.state, near + (size_t)site * n_near, block.weights, energies);
#pragma unroll
        for (int a = 0; a < Q; a++) {
            const int f = __ldg(feature + site * Q + a);
            const u32 bits = f >= 0 ? block.state.bits(f) : 0;
#pragma unroll
            for (int k = 0; k < CHAINS; k++)
                if (bits >> k & 1) total[k] += energies.of[k][a];
        }
    }
#pragma unroll
    for (int k = 0; k < CHAINS; k++)
        if (block.chain + k < n) out[block.chain + k] = total[k];
}

// E(x with site i set to s) - E(x), (n, sites, Q).
extern "C" __global__ void __launch_bounds__(LANES) flips(TABLE_ARGUMENTS, BATCH_ARGUMENTS, REAL* out) {
    Block block = LOAD;
    for (int site = 0; site < n_sites; site++) {
        Energies energies;
        energies_around(__ldg(kind + site), block.state, near + (size_t)site * n_near, block.weights, energies);
        REAL own[CHAINS] = {0};
#pragma unroll
        for (int a = 0; a < Q; a++) {
            const int f = __ldg(feature + site * Q + a);
            const u32 bits = f >= 0 ? block.state.bits(f) : 0;
#pragma unroll
            for (int k = 0; k < CHAINS; k++)
                if (bits >> k & 1) own[k] = energies.of[k][a];
        }
#pragma unroll
        for (int k = 0; k < CHAINS; k++)
            if (block.chain + k < n)
#pragma unroll
                for (int s = 0; s < Q; s++) out[((size_t)(block.chain + k) * n_sites + site) * Q + s] = energies.of[k][s] - own[k];
    }
}
