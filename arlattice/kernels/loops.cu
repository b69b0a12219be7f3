// Loops of a GPU that look tables up: a chain, or a configuration, is a lane. arlattice.kernels.cuda puts common.cu before this and defines
//   SHARED_STATE 1 where the species of the chains of a block fit into shared memory, 0 where they stay in global memory
// Tables are those of arlattice.kernels.site_table.

struct Table {
    const int* kind;         // (sites)
    const int* neighbours;   // (sites, slots)
    const int* starts;       // (kinds, others + 2)
    const int* row;          // (clusters)
    const int* slot_starts;  // (clusters)
    const int* slots;
    const int2* packed;      // (clusters): three slots of ten bits, and the row; of clusters of at most three others
    const REAL* rows;        // (members, rows, Q)
    int n_slots, others, n_rows;
};

#define TABLE_ARGUMENTS                                                                                                     \
    const int *kind, const int *neighbours, const int *starts, const int *row, const int *slot_starts, const int *slots, \
        const int2 *packed, const REAL *rows, int n_slots, int others, int n_rows
#define TABLE Table{kind, neighbours, starts, row, slot_starts, slots, packed, rows, n_slots, others, n_rows}

// -- energies -------------------------------------------------------------------------------------

// Energies of a site by its species; `of(slot)` gives the species of a neighbour.
template <class Of>
__device__ __forceinline__ void site_rows(const Table& t, const REAL* rows, int kind, Of of, REAL* out) {
#pragma unroll
    for (int s = 0; s < Q; s++) out[s] = 0;
    const int* starts = t.starts + kind * (t.others + 2);
    for (int p = 0; p <= t.others; p++) {
        int first = __ldg(starts + p), last = __ldg(starts + p + 1);
        if (p <= 3 && t.packed) {
#pragma unroll 4
            for (int c = first; c < last; c++) {
                int2 cluster = __ldg(t.packed + c);
                u32 code = 0;
                if (p > 0) code = of(cluster.x & 1023);
                if (p > 1) code = code * Q + of((cluster.x >> 10) & 1023);
                if (p > 2) code = code * Q + of((u32)cluster.x >> 20);
                const REAL* row = rows + (size_t)(cluster.y + code) * Q;
#pragma unroll
                for (int s = Q == 2; s < Q; s++) out[s] += row[s];
            }
        } else {
            for (int c = first; c < last; c++) {
                u32 code = 0;
                const int* slot = t.slots + t.slot_starts[c];
                for (int j = 0; j < p; j++) code = code * Q + of(slot[j]);
                const REAL* row = rows + (size_t)(t.row[c] + code) * Q;
#pragma unroll
                for (int s = Q == 2; s < Q; s++) out[s] += row[s];
            }
        }
    }
}

// Table rows that all lanes of a block read: in shared memory where they fit.
__device__ __forceinline__ const REAL* near_rows(const Table& t, int members, int fits, REAL* shared) {
    if (!fits) return t.rows;
    for (int i = threadIdx.x; i < members * t.n_rows * Q; i += blockDim.x) shared[i] = t.rows[i];
    __syncthreads();
    return shared;
}

extern "C" __global__ void energies(
    TABLE_ARGUMENTS, int members, int fits, const int* member, const double* constant, const i64* x, int n, int n_sites, REAL* out) {
    extern __shared__ __align__(16) u8 memory[];
    Table t = TABLE;
    const REAL* near = near_rows(t, members, fits, (REAL*)memory);
    u8* state = memory + (fits ? ((members * n_rows * Q * sizeof(REAL) + 15) & ~15) : 0);
    int stride = blockDim.x + 4, begin = blockIdx.x * blockDim.x, lanes = min((int)blockDim.x, n - begin);
    for (int i = threadIdx.x; i < lanes * n_sites; i += blockDim.x) state[(i % n_sites) * stride + i / n_sites] = x[(size_t)begin * n_sites + i];
    __syncthreads();
    if (threadIdx.x >= lanes) return;
    int b = begin + threadIdx.x;
    int m = members > 1 ? member[b] : 0;
    const REAL* own = near + (size_t)m * n_rows * Q;
    double total = constant[m];
    for (int i = 0; i < n_sites; i++) {
        const int* list = t.neighbours + (size_t)i * n_slots;
        int species = state[i * stride + threadIdx.x];
        const int* starts_of = t.starts + t.kind[i] * (others + 2);
        REAL sum = 0;
        for (int p = 0; p <= others; p++) {
            int first = __ldg(starts_of + p), last = __ldg(starts_of + p + 1);
            for (int c = first; c < last; c++) {
                u32 code = 0;
                if (p <= 3 && t.packed) {
                    int2 cluster = __ldg(t.packed + c);
                    if (p > 0) code = state[__ldg(list + (cluster.x & 1023)) * stride + threadIdx.x];
                    if (p > 1) code = code * Q + state[__ldg(list + ((cluster.x >> 10) & 1023)) * stride + threadIdx.x];
                    if (p > 2) code = code * Q + state[__ldg(list + ((u32)cluster.x >> 20)) * stride + threadIdx.x];
                    sum += own[(size_t)(cluster.y + code) * Q + species];
                } else {
                    const int* slot = t.slots + t.slot_starts[c];
                    for (int j = 0; j < p; j++) code = code * Q + state[list[slot[j]] * stride + threadIdx.x];
                    sum += own[(size_t)(t.row[c] + code) * Q + species];
                }
            }
        }
        total += sum;
    }
    out[b] = total;
}

// Energies (batch, k, Q) of sites (batch, k), or of all of them where `sites` is null. mode 0: as they are; 1: less that of the species
// the site holds; 2: of the clusters whose other sites have a lower rank (batch, sites); 3: of those whose others are placed (x >= 0).
extern "C" __global__ void at_sites(
    TABLE_ARGUMENTS, int members, const int* member, const i64* x, const i64* sites, const i64* rank, int n, int k, int n_sites, int mode,
    REAL* out) {
    Table t = TABLE;
    i64 number = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= (i64)n * k) return;
    int b = number / k, i = sites ? sites[number] : number % k;
    const i64 *own = x + (size_t)b * n_sites, *ranks = rank + (mode == 2 ? (size_t)b * n_sites : 0);
    const int* list = t.neighbours + (size_t)i * n_slots;
    const REAL* table = rows + (size_t)(members > 1 ? member[b] : 0) * n_rows * Q;
    REAL total[Q];
#pragma unroll
    for (int s = 0; s < Q; s++) total[s] = 0;
    const int* starts_of = t.starts + t.kind[i] * (others + 2);
    for (int p = 0; p <= others; p++)
        for (int c = starts_of[p]; c < starts_of[p + 1]; c++) {
            const int* slot = t.slots + t.slot_starts[c];
            u32 code = 0;
            bool whole = true;
            for (int j = 0; j < p && whole; j++) {
                int other = list[slot[j]];
                whole = mode < 2 || (mode == 2 ? ranks[other] < ranks[i] : own[other] >= 0);
                code = code * Q + own[other];
            }
            if (whole) {
                const REAL* r = table + (size_t)(t.row[c] + code) * Q;
#pragma unroll
                for (int s = 0; s < Q; s++) total[s] += r[s];
            }
        }
    REAL zero = mode == 1 ? total[own[i]] : 0;
#pragma unroll
    for (int s = 0; s < Q; s++) out[number * Q + s] = total[s] - zero;
}

// -- sweeps ---------------------------------------------------------------------------------------

// rule 0: heat bath, `order` (sweeps, visits) for all chains; 1: Metropolis; 2: swaps. `order` (visits, chains) or (visits, 2, chains) and
// `noise` (visits, chains) stand for random numbers where they are not null. State is (sites, lanes) bytes.
extern "C" __global__ void sweeps(
    TABLE_ARGUMENTS, int members, int fits, const int* member, const int* allowed, const double* beta, const double* mu, i64* x, u8* far,
    int n, int n_sites, int n_sweeps, int visits, int rule, u32 k0, u32 k1, u32 noise_word, u32 noise_low, u32 noise_high, u32 place_word,
    u32 place_low, u32 place_high, const double* noise, const int* order) {
    extern __shared__ __align__(16) u8 memory[];
    Table t = TABLE;
    const REAL* near = near_rows(t, members, fits, (REAL*)memory);
    int lanes = blockDim.x, lane = threadIdx.x, c = blockIdx.x * lanes + lane;
    u8* around = memory + (fits ? ((members * n_rows * Q * sizeof(REAL) + 15) & ~15) : 0) + lane;
#if SHARED_STATE
    u8* state = around + n_slots * lanes;
    const int stride = lanes;
#else
    u8* state = far + c;
    const size_t stride = (size_t)gridDim.x * lanes;
#endif
    if (c >= n) return;
    for (int i = 0; i < n_sites; i++) state[i * stride] = x[(size_t)c * n_sites + i];
    const REAL* own = near + (size_t)(members > 1 ? member[c] : 0) * n_rows * Q;
    REAL b = beta[c], m[Q], energy[Q], other[Q];
#pragma unroll
    for (int s = 0; s < Q; s++) m[s] = mu[(size_t)c * Q + s];
    Numbers drawing(k0, k1, noise_word, c, (i64)((u64)noise_high << 32 | noise_low));
    Numbers placing(k0, k1, place_word, c, (i64)((u64)place_high << 32 | place_low));
    auto look = [&](int site, REAL* out) {
        const int* list = t.neighbours + (size_t)site * n_slots;
        for (int s = 0; s < n_slots; s++) around[s * lanes] = state[__ldg(list + s) * stride];
        site_rows(t, own, t.kind[site], [&](u32 slot) { return (u32)around[slot * lanes]; }, out);
    };
    i64 count = (i64)n_sweeps * visits;
    for (i64 v = 0; v < count; v++) {
        if (rule == 0) {
            int site = order[v];
            REAL u = noise ? (REAL)noise[v * n + c] : drawing.real();
            look(site, energy);
            state[site * stride] = drawn(energy, b, m, allowed[site], u);
        } else if (rule == 1) {
            int site = order ? order[v * n + c] : (int)(placing.in53() * n_sites);
            double u = noise ? noise[v * n + c] : drawing.in53();
            u32 fits_here = allowed[site];
            int old = state[site * stride], others_here = __popc(fits_here) - 1;
            if (others_here < 1) continue;
            int pick = min((int)(u * others_here), others_here - 1), fresh = 0;
            double rest = u * others_here - pick;
            for (int s = 0, left = pick; s < Q; s++)
                if ((fits_here >> s & 1) && s != old && left-- == 0) fresh = s;
            look(site, energy);
            REAL cost = 0;
#pragma unroll
            for (int s = 0; s < Q; s++) cost += (s == old) * (energy[s] - m[s]) - (s == fresh) * (energy[s] - m[s]);
            if (rest < (double)exp(b * cost)) state[site * stride] = fresh;
        } else {
            int first = order ? order[v * 2 * n + c] : (int)(placing.in53() * n_sites);
            int second = order ? order[(v * 2 + 1) * n + c] : (int)(placing.in53() * n_sites);
            double u = noise ? noise[v * n + c] : drawing.in53();
            int one = state[first * stride], two = state[second * stride];
            if (one == two || !(allowed[first] >> two & 1) || !(allowed[second] >> one & 1)) continue;
            look(first, energy);
            state[first * stride] = two;
            look(second, other);
            REAL cost = 0;
#pragma unroll
            for (int s = 0; s < Q; s++) cost += ((s == two) - (s == one)) * (energy[s] - other[s]);
            if (u < (double)exp(-b * cost))
                state[second * stride] = one;
            else
                state[first * stride] = one;
        }
    }
    for (int i = 0; i < n_sites; i++) x[(size_t)c * n_sites + i] = state[i * stride];
}
