// What Python calls for training, for the instruction set that entry.cpp chose.
#include "training.h"

using dlcore::AdaptiveStep;
using dlcore::Lrn;
using dlcore::Rows;
using dlcore::SgdStep;

extern "C" int64_t dlcore_isa();

namespace {

const dlcore::Training& training() {
    static const dlcore::Training* const by_isa[] = {&dlcore::training_portable, &dlcore::training_avx2, &dlcore::training_avx512};
    return *by_isa[dlcore_isa()];
}

}  // namespace

extern "C" {

void dlcore_sgd(const SgdStep* step, float* weights, const float* grads, float* velocity) {
    training().sgd(*step, weights, grads, velocity);
}

void dlcore_adam(const AdaptiveStep* step, float* weights, const float* grads, float* first, float* second) {
    training().adam(*step, weights, grads, first, second);
}

void dlcore_rmsprop(const AdaptiveStep* step, float* weights, const float* grads, float* squares) {
    training().rmsprop(*step, weights, grads, squares);
}

int64_t dlcore_draws_below(uint32_t* key, int64_t position, uint64_t limit, int64_t count, uint8_t* mask) {
    return training().draws_below(key, position, limit, count, mask);
}

void dlcore_masked(const float* x, const uint8_t* mask, float factor, float* y, int64_t size, int64_t threads) {
    training().masked(x, mask, factor, y, size, threads);
}

void dlcore_relu(const float* x, float* y, int64_t size, int64_t threads) { training().relu(x, y, size, threads); }

void dlcore_relu_backward(const float* grad_y, const float* y, float* grad_x, int64_t size, int64_t threads) {
    training().relu_backward(grad_y, y, grad_x, size, threads);
}

void dlcore_softmax(const Rows* rows, const float* x, float* y, int64_t is_log) { training().softmax(*rows, x, y, is_log); }

void dlcore_softmax_backward(const Rows* rows, const float* grad_y, const float* y, float* grad_x, int64_t is_log) {
    training().softmax_backward(*rows, grad_y, y, grad_x, is_log);
}

void dlcore_layer_norm(const Rows* rows, const float* x, const float* gamma, const float* beta, float eps, float* y, float* mean,
                       float* inverse) {
    training().layer_norm(*rows, x, gamma, beta, eps, y, mean, inverse);
}

void dlcore_layer_norm_backward(const Rows* rows, const float* grad_y, const float* x, const float* gamma, const float* mean,
                                const float* inverse, float* grad_x, float* sums, int64_t parts) {
    training().layer_norm_backward(*rows, grad_y, x, gamma, mean, inverse, grad_x, sums, parts);
}

void dlcore_lrn(const Lrn* shape, const float* x, float* y, float* scale) { training().lrn(*shape, x, y, scale); }

void dlcore_lrn_backward(const Lrn* shape, const float* grad_y, const float* x, const float* scale, float* grad_x) {
    training().lrn_backward(*shape, grad_y, x, scale, grad_x);
}

void dlcore_add_rows(const Rows* rows, float* total, int64_t table, const int64_t* numbers, const float* values) {
    training().add_rows(*rows, total, table, numbers, values);
}

}
