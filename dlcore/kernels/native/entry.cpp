// What Python calls. The instruction set is chosen here, once, from what this CPU has.
#include "winograd.h"
#include "hamming.h"

namespace {

bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

enum class Isa : int64_t { portable = 0, avx2 = 1, avx512 = 2 };

Isa best_isa() {
    __builtin_cpu_init();
    if (has_avx512()) return Isa::avx512;
    return has_avx2() ? Isa::avx2 : Isa::portable;
}

Isa isa = best_isa();

const dlcore::Winograd& winograd() { return isa == Isa::avx512 ? dlcore::winograd_avx512 : dlcore::winograd_avx2; }

}  // namespace

extern "C" {

int64_t dlcore_isa() { return static_cast<int64_t>(isa); }

// Ask for a smaller instruction set than the best, for tests. Returns the one in use.
int64_t dlcore_limit_isa(int64_t limit) {
    const int64_t best = static_cast<int64_t>(best_isa());
    isa = static_cast<Isa>(limit < best ? limit : best);
    return dlcore_isa();
}

int64_t dlcore_winograd_weights_size(int64_t in_channels, int64_t out_channels) {
    return winograd().weights_size(in_channels, out_channels);
}

int64_t dlcore_winograd_workspace_size(const dlcore::ConvShape* shape) { return winograd().workspace_size(*shape); }

void dlcore_winograd_prepare(const float* w, float* prepared, int64_t out_channels, int64_t in_channels) {
    winograd().prepare(w, prepared, out_channels, in_channels);
}

void dlcore_winograd_forward(const dlcore::ConvShape* shape, const dlcore::ConvArrays* arrays) {
    winograd().forward(*shape, *arrays);
}

int64_t dlcore_winograd_gradient_workspace_size(const dlcore::ConvShape* shape) {
    return winograd().gradient_workspace_size(*shape);
}

// The gradient of the weights (K, C, 3, 3), from x and, as y, the gradient of the result; on one thread.
void dlcore_winograd_weight_gradient(const dlcore::ConvShape* shape, const dlcore::ConvArrays* arrays, float* grad_w) {
    winograd().weight_gradient(*shape, *arrays, grad_w);
}

// distances (Q, N) between rows of `bytes` bytes.
void dlcore_hamming(const uint8_t* queries, const uint8_t* codes, uint16_t* distances, int64_t query_count,
                    int64_t code_count, int64_t bytes) {
    const bool has_vector_count = isa == Isa::avx512 && __builtin_cpu_supports("avx512vpopcntdq");
    (has_vector_count ? dlcore::hamming_avx512 : dlcore::hamming_portable)(queries, codes, distances, query_count,
                                                                           code_count, bytes);
}

}
