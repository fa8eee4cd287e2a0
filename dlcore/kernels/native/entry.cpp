// What Python calls. The instruction set is chosen here, once, from what this CPU has.
#include "winograd.h"
#include "depthwise.h"
#include "hamming.h"
#include "hamming_scan.h"
#include "peak.h"
#include "recurrence.h"
#include "separable.h"

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

const dlcore::Separable& separable() { return isa == Isa::avx512 ? dlcore::separable_avx512 : dlcore::separable_avx2; }

const dlcore::Lstm& lstm() { return isa == Isa::avx512 ? dlcore::lstm_avx512 : dlcore::lstm_avx2; }

bool has_vector_count() { return isa == Isa::avx512 && __builtin_cpu_supports("avx512vpopcntdq"); }

const dlcore::HammingScan& hamming_scan() {
    if (has_vector_count()) return dlcore::scan_avx512;
    return isa == Isa::portable ? dlcore::scan_portable : dlcore::scan_avx2;
}

}  // namespace

extern "C" {

int64_t dlcore_isa() { return static_cast<int64_t>(isa); }

// Ask for a smaller instruction set than the best, for tests. Returns the one in use.
int64_t dlcore_limit_isa(int64_t limit) {
    const int64_t best = static_cast<int64_t>(best_isa());
    isa = static_cast<Isa>(limit < best ? limit : best);
    return dlcore_isa();
}

// Do multiply-adds and nothing else; returns the floating-point operations, 0 without vector instructions.
int64_t dlcore_multiply_adds(int64_t rounds) {
    if (isa == Isa::portable) return 0;
    return (isa == Isa::avx512 ? dlcore::multiply_adds_avx512 : dlcore::multiply_adds_avx2)(rounds);
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

int64_t dlcore_lanes() { return separable().lanes; }

int64_t dlcore_separable_workspace_size(const dlcore::SeparableShape* shape) { return separable().workspace_size(*shape); }

void dlcore_separable_forward(const dlcore::SeparableShape* shape, const dlcore::SeparableArrays* arrays) {
    separable().forward(*shape, *arrays);
}

int64_t dlcore_lstm_workspace_size(const dlcore::LstmShape* shape) { return lstm().workspace_size(*shape); }

void dlcore_lstm_forward(const dlcore::LstmShape* shape, const dlcore::LstmArrays* arrays) { lstm().forward(*shape, *arrays); }

void dlcore_depthwise_gradient(const dlcore::DepthwiseShape* shape, const float* x, const float* grad_y, float* grad_w) {
    (isa == Isa::avx512 ? dlcore::depthwise_gradient_avx512 : dlcore::depthwise_gradient_avx2)(*shape, x, grad_y, grad_w);
}

// distances (Q, N) between rows of `bytes` bytes.
void dlcore_hamming(const uint8_t* queries, const uint8_t* codes, uint16_t* distances, int64_t query_count,
                    int64_t code_count, int64_t bytes) {
    (has_vector_count() ? dlcore::hamming_avx512 : dlcore::hamming_portable)(queries, codes, distances, query_count,
                                                                             code_count, bytes);
}

int64_t dlcore_hamming_scratch(int64_t k) { return dlcore::scratch_of(k); }

// See hamming_scan.h.
void dlcore_hamming_top_k(const uint8_t* queries, int64_t query_count, int64_t bytes, const dlcore::Part* parts, int64_t part_count,
                          int64_t k, uint64_t* best, uint64_t* scratch) {
    hamming_scan().top_k({queries, query_count, bytes}, parts, part_count, k, best, scratch);
}

int64_t dlcore_hamming_within(const uint8_t* queries, int64_t query_count, const uint8_t* codes, int64_t code_count,
                              int64_t bytes, int64_t radius, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
    return hamming_scan().within({queries, query_count, bytes}, {codes, code_count, bytes}, radius, rows, found, capacity, next);
}

int64_t dlcore_hamming_in_buckets(const dlcore::BucketJoin* join, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
    return hamming_scan().in_buckets(*join, rows, found, capacity, next);
}

}
