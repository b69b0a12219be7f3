// Loops of a GPU that count products (arlattice.kernels.count_table). A lane is one chain, or four chains that do the same; 32 lanes share
// a state. arlattice.kernels.cuda puts straight-line code for the sites of every kind into this (arlattice.kernels.straight_line) and defines
//   CHAINS          of a lane, 1 or 4
//   STATE           2: words in shared memory, 1: bytes in shared memory, 0: bytes in global memory
//   SHARED_WEIGHTS  1 where the weights are in shared memory, 0 where they stay in global memory
//   MEMBERS         Hamiltonians of the family
//   NEAR            of a site, features that its energies depend on, in fours
//   TOGETHER        sites whose differences a warp writes at once
// The state is one cell a feature [x_i = a] and lane: in a word a byte a chain, in a byte a bit a chain. A sum of products is a word.

#define LANES 32
#define ROWS (LANES * CHAINS)
#define HEAD ((Q + 5) / 4)

#if STATE == 2
typedef u32 Cell;
#else
typedef u8 Cell;
#endif

struct State {
    u8* bytes;  // cells (features, lanes), from this lane on

    __device__ __forceinline__ Cell& at(int feature) const { return *(Cell*)(bytes + feature); }
    // [x_i = a] of each chain, a byte each.
    __device__ __forceinline__ u32 operator[](int feature) const {
        const u32 cell = at(feature);
        return STATE == 2 || CHAINS == 1 ? cell : cell * 0x00204081u & 0x01010101u;
    }
    __device__ __forceinline__ bool holds(int feature, int k) const { return at(feature) >> shift(k) & 1; }
    static __device__ __forceinline__ int shift(int k) { return STATE == 2 ? 8 * k : k; }
    static __device__ __forceinline__ Cell cell(const int* species, int a) {
        u32 cell = 0;
#pragma unroll
        for (int k = 0; k < CHAINS; k++) cell |= (u32)(species[k] == a) << shift(k);
        return (Cell)cell;
    }
};

// A row of the table of sites: kind, allowed species as bits, feature of every species, padding; features near, in fours. A feature is
// where its cells begin, in bytes; a negative one is not there.
struct Site {
    int head[4 * HEAD];
    int4 first[2];
    const int4* row;

    __device__ __forceinline__ Site(const int4* sites, int site) : row(sites + (size_t)site * (HEAD + NEAR) + HEAD) {
#pragma unroll
        for (int j = 0; j < HEAD; j++) {
            const int4 part = __ldg(row - HEAD + j);
            head[4 * j] = part.x, head[4 * j + 1] = part.y, head[4 * j + 2] = part.z, head[4 * j + 3] = part.w;
        }
        if (NEAR <= 2) {
#pragma unroll
            for (int j = 0; j < 2 && j < NEAR; j++) first[j] = __ldg(row + j);
        }
    }
    __device__ __forceinline__ int kind() const { return head[0]; }
    __device__ __forceinline__ u32 allowed() const { return head[1]; }
    __device__ __forceinline__ int feature(int species) const { return head[2 + species]; }
    __device__ __forceinline__ int4 near(int j) const { return NEAR <= 2 ? first[j] : __ldg(row + j); }

    __device__ __forceinline__ int species(const State& state, int k) const {
        int found = __ffs(allowed()) - 1;
#pragma unroll
        for (int a = 0; a < Q; a++)
            if (feature(a) >= 0 && state.holds(feature(a), k)) found = a;
        return found;
    }
    __device__ __forceinline__ void set(const State& state, const int* species) const {
#pragma unroll
        for (int a = 0; a < Q; a++)
            if (feature(a) >= 0) state.at(feature(a)) = State::cell(species, a);
    }
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
            const REAL number = in_byte(count, k);
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

#define BATCH_ARGUMENTS \
    const int4 *sites, const REAL *weights, int n_groups, int n_sites, int n_features, const int *member, const i64 *x, int n, u8 *far
#define BATCH sites, weights, n_groups, n_sites, n_features, member, x, n, far

struct Batch {
    State state;
    Weights weights;
    int lane, warp, warps, begin, row;  // row: of the first chain of this lane
    u8* rest;                           // of shared memory

    // The state of configurations (n, sites) of this block; those past the last hold nothing.
    __device__ __forceinline__ Batch(BATCH_ARGUMENTS) {
        extern __shared__ __align__(16) u8 memory[];
        lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, warps = blockDim.x / LANES;
        begin = blockIdx.x * ROWS, row = begin + lane * CHAINS, rest = memory;
        const REAL* near_weights = weights;
        if (SHARED_WEIGHTS) {
            const int size = MEMBERS * n_groups * Q;
            for (int i = threadIdx.x; i < size; i += blockDim.x) ((REAL*)memory)[i] = weights[i];
            near_weights = (REAL*)memory;
            rest += (size * sizeof(REAL) + 15) / 16 * 16;
        }
        u8* cells = rest;
        if (STATE == 0)
            cells = far + (size_t)blockIdx.x * n_features * LANES;
        else
            rest += n_features * LANES * sizeof(Cell);
#pragma unroll
        for (int k = 0; k < (MEMBERS > 1 ? CHAINS : 1); k++)
            this->weights.of[k] = near_weights + (size_t)(MEMBERS > 1 && row + k < n ? member[row + k] : 0) * n_groups * Q;
        for (int i = lane; i < n_sites; i += LANES) {
            const Site site(sites, i);
#pragma unroll 4
            for (int l = warp; l < LANES; l += warps) {
                int species[CHAINS];
#pragma unroll
                for (int k = 0; k < CHAINS; k++) {
                    const int r = begin + l * CHAINS + k;
                    species[k] = r < n ? (int)__ldg(x + (size_t)r * n_sites + i) : -1;
                }
                site.set(State{cells + l * (int)sizeof(Cell)}, species);
            }
        }
        __syncthreads();
        state.bytes = cells + lane * (int)sizeof(Cell);
    }
    // The same configurations written out, by one warp.
    __device__ __forceinline__ void save(const int4* sites, int n_sites, int n, i64* out) const {
        __syncwarp();
        for (int i = lane; i < n_sites; i += LANES) {
            const Site site(sites, i);
            for (int l = 0; l < LANES; l++)
#pragma unroll
                for (int k = 0; k < CHAINS; k++) {
                    const int r = begin + l * CHAINS + k;
                    if (r < n) out[(size_t)r * n_sites + i] = site.species(State{state.bytes + (l - lane) * (int)sizeof(Cell)}, k);
                }
        }
    }
};

struct Chain {  // its state
    REAL beta, mu[Q];

    __device__ __forceinline__ void load(const double* of_beta, const double* of_mu, int row, int n) {
        beta = row < n ? (REAL)of_beta[row] : 0;
#pragma unroll
        for (int s = 0; s < Q; s++) mu[s] = row < n ? (REAL)of_mu[(size_t)row * Q + s] : 0;
    }
};

#define SWEEP_ARGUMENTS                                                                                                            \
    const double *beta, const double *mu, const int *order, int visits, u32 k0, u32 k1, u32 noise_word, u32 noise_low, u32 noise_high, \
        u32 place_word, u32 place_low, u32 place_high, const double *noise, i64 *out

#if CHAINS == 4

// Heat baths: all chains visit the sites of `order` (visits). `noise` (visits, chains) stands for random numbers where it is not null.
// Sites are read one visit ahead.
extern "C" __global__ void __launch_bounds__(LANES) heat_bath(BATCH_ARGUMENTS, SWEEP_ARGUMENTS) {
    const Batch batch(BATCH);
    Chain chain[CHAINS];
#pragma unroll
    for (int k = 0; k < CHAINS; k++) chain[k].load(beta, mu, batch.row + k, n);
    const u64 first = (u64)noise_high << 32 | noise_low;
    Words words[CHAINS];
    Site ahead(sites, __ldg(order));
    int next = __ldg(order + min(1, visits - 1));
    for (int v = 0; v < visits; v++) {
        const Site site = ahead;
        ahead = Site(sites, next);
        next = __ldg(order + min(v + 2, visits - 1));
        const u64 step = first + v;
        if (v == 0 || !(step & 1)) {
#pragma unroll
            for (int k = 0; k < CHAINS; k++) words[k] = philox((u32)(step >> 1), (u32)(step >> 33), batch.row + k, noise_word, k0, k1);
        }
        Energies energies;
        energies_around(site, batch.state, batch.weights, energies);
        REAL u[CHAINS];
        int species[CHAINS];
#pragma unroll
        for (int k = 0; k < CHAINS; k++) u[k] = step & 1 ? in_real(words[k].c, words[k].d) : in_real(words[k].a, words[k].b);
        if (noise) {
#pragma unroll
            for (int k = 0; k < CHAINS; k++) u[k] = batch.row + k < n ? (REAL)noise[(size_t)v * n + batch.row + k] : 0;
        }
        if (Q == 2 && site.allowed() == 3) {
#pragma unroll
            for (int k = 0; k < CHAINS; k++) species[k] = drawn_of_two(energies.of[k], chain[k].beta, chain[k].mu, u[k]);
        } else {
#pragma unroll
            for (int k = 0; k < CHAINS; k++) species[k] = drawn(energies.of[k], chain[k].beta, chain[k].mu, site.allowed(), u[k]);
        }
        site.set(batch.state, species);
    }
    batch.save(sites, n_sites, n, out);
}

// Energies (n,): a product of f other sites and the site itself is met f + 1 times, and `weights` is that share of it.
// The warps of a block share the sites.
extern "C" __global__ void energies(BATCH_ARGUMENTS, const double* constant, REAL* out) {
    const Batch batch(BATCH);
    double total[CHAINS] = {0};
    for (int i = batch.warp; i < n_sites; i += batch.warps) {
        const Site site(sites, i);
        Energies energies;
        energies_around(site, batch.state, batch.weights, energies);
#pragma unroll
        for (int a = 0; a < Q; a++) {
            if (site.feature(a) < 0) continue;
#pragma unroll
            for (int k = 0; k < CHAINS; k++)
                if (batch.state.holds(site.feature(a), k)) total[k] += energies.of[k][a];
        }
    }
    double* totals = (double*)batch.rest;  // (warps, rows)
#pragma unroll
    for (int k = 0; k < CHAINS; k++) totals[batch.warp * ROWS + k * LANES + batch.lane] = total[k];
    __syncthreads();
    for (int i = threadIdx.x; i < ROWS; i += blockDim.x) {
        const int r = batch.begin + i % LANES * CHAINS + i / LANES;
        if (r >= n) continue;
        double sum = constant[MEMBERS > 1 ? member[r] : 0];
        for (int w = 0; w < batch.warps; w++) sum += totals[w * ROWS + i];
        out[r] = sum;
    }
}

// E(x with site i set to s) - E(x), (n, sites, Q). A warp keeps those of a few sites until they fill whole sectors of memory.
#define WIDTH (TOGETHER * Q)
#define PART (LANES * (WIDTH + 1) + WIDTH)  // of one chain of each lane: no two of a warp's accesses meet in a bank
extern "C" __global__ void flips(BATCH_ARGUMENTS, REAL* out) {
    const Batch batch(BATCH);
    REAL* kept = (REAL*)batch.rest + batch.warp * CHAINS * PART;
    const int first = (blockIdx.y * batch.warps + batch.warp) * TOGETHER, step = gridDim.y * batch.warps * TOGETHER;
    for (int begin = first; begin < n_sites; begin += step) {
#pragma unroll 1
        for (int j = 0; j < TOGETHER && begin + j < n_sites; j++) {
            const Site site(sites, begin + j);
            Energies energies;
            energies_around(site, batch.state, batch.weights, energies);
            REAL own[CHAINS] = {0};
#pragma unroll
            for (int a = 0; a < Q; a++) {
                if (site.feature(a) < 0) continue;
#pragma unroll
                for (int k = 0; k < CHAINS; k++)
                    if (batch.state.holds(site.feature(a), k)) own[k] = energies.of[k][a];
            }
#pragma unroll
            for (int k = 0; k < CHAINS; k++)
#pragma unroll
                for (int s = 0; s < Q; s++) kept[k * PART + batch.lane * (WIDTH + 1) + j * Q + s] = energies.of[k][s] - own[k];
        }
        __syncwarp();
        for (int i = batch.lane; i < ROWS * WIDTH; i += LANES) {
            const int at = i / WIDTH, e = i % WIDTH, r = batch.begin + at;
            if (r < n && begin + e / Q < n_sites)
                out[((size_t)r * n_sites + begin) * Q + e] = kept[at % CHAINS * PART + at / CHAINS * (WIDTH + 1) + e];
        }
        __syncwarp();
    }
}

#else

// Metropolis, each chain at its own random sites. `order` and `noise` (visits, chains) stand for random numbers where they are not null.
extern "C" __global__ void __launch_bounds__(LANES) metropolis(BATCH_ARGUMENTS, SWEEP_ARGUMENTS) {
    const Batch batch(BATCH);
    const int c = batch.row;
    Chain chain;
    chain.load(beta, mu, c, n);
    Numbers drawing(k0, k1, noise_word, c, (i64)((u64)noise_high << 32 | noise_low));
    Numbers placing(k0, k1, place_word, c, (i64)((u64)place_high << 32 | place_low));
    for (int v = 0; v < visits && c < n; v++) {
        const Site site(sites, order ? order[(size_t)v * n + c] : (int)(placing.in53() * n_sites));
        const double u = noise ? noise[(size_t)v * n + c] : drawing.in53();
        Energies energies;
        energies_around(site, batch.state, batch.weights, energies);
        const int old = site.species(batch.state, 0), others = __popc(site.allowed()) - 1;
        int pick = min((int)(u * others), others - 1), fresh = 0;
        const double left = u * others - pick;
#pragma unroll
        for (int s = 0; s < Q; s++)
            if ((site.allowed() >> s & 1) && s != old && pick-- == 0) fresh = s;
        REAL cost = 0;
#pragma unroll
        for (int s = 0; s < Q; s++) cost += ((s == old) - (s == fresh)) * (energies.of[0][s] - chain.mu[s]);
        if (others > 0 && left < (double)exp(chain.beta * cost)) site.set(batch.state, &fresh);
    }
    batch.save(sites, n_sites, n, out);
}

// Swaps of two random sites of each chain. `order` (visits, 2, chains) and `noise` (visits, chains) as above.
extern "C" __global__ void __launch_bounds__(LANES) swap(BATCH_ARGUMENTS, SWEEP_ARGUMENTS) {
    const Batch batch(BATCH);
    const int c = batch.row;
    Chain chain;
    chain.load(beta, mu, c, n);
    Numbers drawing(k0, k1, noise_word, c, (i64)((u64)noise_high << 32 | noise_low));
    Numbers placing(k0, k1, place_word, c, (i64)((u64)place_high << 32 | place_low));
    for (int v = 0; v < visits && c < n; v++) {
        const int one = order ? order[(size_t)v * 2 * n + c] : (int)(placing.in53() * n_sites);
        const int two = order ? order[(size_t)(v * 2 + 1) * n + c] : (int)(placing.in53() * n_sites);
        const double u = noise ? noise[(size_t)v * n + c] : drawing.in53();
        const Site first(sites, one), second(sites, two);
        const int a = first.species(batch.state, 0), b = second.species(batch.state, 0);
        if (a == b || !(first.allowed() >> b & 1) || !(second.allowed() >> a & 1)) continue;
        REAL cost = 0;
#pragma unroll 1
        for (int half = 0; half < 2; half++) {  // the second site sees the first as it will be
            Energies energies;
            energies_around(Site(sites, half ? two : one), batch.state, batch.weights, energies);
#pragma unroll
            for (int s = 0; s < Q; s++) cost += (half ? (s == a) - (s == b) : (s == b) - (s == a)) * energies.of[0][s];
            if (!half) first.set(batch.state, &b);
        }
        if (u < (double)exp(-chain.beta * cost))
            second.set(batch.state, &a);
        else
            first.set(batch.state, &a);
    }
    batch.save(sites, n_sites, n, out);
}

#endif
