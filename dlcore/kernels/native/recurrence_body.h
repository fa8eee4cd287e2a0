// The body of one instruction set's build. The includer has defined Vec, kLanes, kSequences and the vector functions.
// Everything is in an anonymous namespace, so that no inline copy of one instruction set is linked into another.
#include <omp.h>

#include <cstring>
#include <initializer_list>

namespace {

using dlcore::LstmArrays;
using dlcore::LstmShape;

constexpr int64_t kGates = 4;

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// e^x by 2^n e^r with |r| <= ln(2) / 2 and a polynomial of degree 6 (Moshier's Cephes, expf). Of two operands of which one is no number
// the vector functions give the second: what is no number stays so.
inline Vec exponential(Vec x) {
    x = minimum(broadcast(88.0f), maximum(broadcast(-87.0f), x));
    const Vec n = nearest(x * broadcast(1.44269504f));
    const Vec r = x - n * broadcast(0.693359375f) + n * broadcast(2.12194440e-4f);
    Vec p = broadcast(1.9875691500e-4f);
    for (const float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
        p = p * r + broadcast(next);
    }
    return times_power_of_two(p * r * r + r + broadcast(1.0f), n);
}

inline Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exponential(broadcast(0.0f) - x)); }
inline Vec hyperbolic_tangent(Vec x) {
    return broadcast(1.0f) - broadcast(2.0f) / (broadcast(1.0f) + exponential(x + x));
}

// What a thread works on: some of the sequences, and where their states lie.
struct State {
    int64_t size;  // floats from one sequence to the next: memories in whole vectors
    float *before, *after, *memory;
};

// One step of kCount sequences from `first` on, one block of memories.
template <int64_t kCount>
void advance(const LstmShape& s, const LstmArrays& arrays, const State& state, int64_t first, int64_t t, int64_t block) {
    Vec sums[kCount][kGates];
    const int64_t blocks = state.size / kLanes;
    for (int64_t i = 0; i < kCount; i++) {
        const float* share = arrays.shares + (((first + i) * s.steps + t) * blocks + block) * kGates * kLanes;
        for (int64_t gate = 0; gate < kGates; gate++) sums[i][gate] = load(share + gate * kLanes);
    }
    const float *w = arrays.weights + block * s.hidden * kGates * kLanes, *h = state.before + first * state.size;
    for (int64_t k = 0; k < s.hidden; k++, w += kGates * kLanes) {
        Vec weights[kGates];
        for (int64_t gate = 0; gate < kGates; gate++) {
            weights[gate] = load(w + gate * kLanes);
            __builtin_prefetch(w + (16 * kGates + gate) * kLanes);
        }
#pragma GCC unroll 8
        for (int64_t i = 0; i < kCount; i++) {
            const Vec value = broadcast(h[i * state.size + k]);
            for (int64_t gate = 0; gate < kGates; gate++) sums[i][gate] += value * weights[gate];
        }
    }
    const int64_t count = s.hidden - block * kLanes;
    for (int64_t i = 0; i < kCount; i++) {
        const int64_t at = (first + i) * state.size + block * kLanes;
        const Vec enters = sigmoid(sums[i][0]) * hyperbolic_tangent(sums[i][1]);
        const Vec memory = sigmoid(sums[i][2]) * load(state.memory + at) + enters;
        const Vec output = sigmoid(sums[i][3]) * hyperbolic_tangent(memory);
        store(state.memory + at, memory);
        store(state.after + at, output);
        float* y = arrays.y + ((first + i) * s.steps + t) * s.hidden + block * kLanes;
        if (count >= kLanes) {
            store(y, output);
        } else {
            store_first(y, output, count);
        }
    }
}

using Advance = void (*)(const LstmShape&, const LstmArrays&, const State&, int64_t, int64_t, int64_t);

template <int64_t kCount>
struct Advances : Advances<kCount - 1> {
    constexpr Advances() { this->by_count[kCount] = advance<kCount>; }
};
template <>
struct Advances<0> {
    Advance by_count[kSequences + 1] = {};
};
// constexpr: no code of this instruction set may run when the library is merely loaded.
constexpr Advances<kSequences> advances;

// All steps of the sequences `first` to `end`: these depend on no others. Each block's weights serve all of them while they are in the cache.
void run(const LstmShape& s, const LstmArrays& arrays, State state, int64_t first, int64_t end) {
    const int64_t groups = divide_up(end - first, kSequences);
    for (int64_t i = first; i < end; i++) {
        std::memcpy(state.before + i * state.size, arrays.h + i * s.hidden, s.hidden * sizeof(float));
        std::memset(state.memory + i * state.size, 0, state.size * sizeof(float));
        std::memcpy(state.memory + i * state.size, arrays.c + i * s.hidden, s.hidden * sizeof(float));
    }
    for (int64_t step = 0; step < s.steps; step++) {
        const int64_t t = s.is_reversed ? s.steps - 1 - step : step;
        for (int64_t block = 0; block < state.size / kLanes; block++) {
            for (int64_t group = 0, at = first; group < groups; group++) {
                const int64_t count = (end - first) / groups + (group < (end - first) % groups);
                advances.by_count[count](s, arrays, state, at, t, block);
                at += count;
            }
        }
        float* done = state.before;
        state.before = state.after;
        state.after = done;
    }
}

int64_t size_of(const LstmShape& s) { return divide_up(s.hidden, kLanes) * kLanes; }

int64_t workspace_size(const LstmShape& s) { return 3 * s.count * size_of(s); }

void forward(const LstmShape& s, const LstmArrays& arrays) {
    const int64_t size = size_of(s), all = s.count * size, parts = least(s.threads, s.count);
    const State state = {size, arrays.workspace, arrays.workspace + all, arrays.workspace + 2 * all};
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast<int>(parts))
    for (int64_t part = 0; part < parts; part++) {
        run(s, arrays, state, s.count * part / parts, s.count * (part + 1) / parts);
    }
}

}  // namespace
