// What training does beside convolutions and products: single passes over memory, fp32. One table of functions per instruction set.
// All but sums and exponentials are rounded operation by operation as numpy does, so that results are the same to the bit.
#pragma once
#include <cstdint>

namespace dlcore {

constexpr int64_t kDraws = 624;  // words of a state of MT19937

// The Python side fills the same fields in the same order.
struct SgdStep {
    int64_t size, threads, has_momentum, is_nesterov;
    float rate, decay, momentum, share;
};

struct AdaptiveStep {
    int64_t size, threads;
    float rate, decay_or_kept, beta1, share1, beta2, share2, epsilon, bias1, bias2;
};

struct Rows {
    int64_t count, width, threads;
};

struct Lrn {
    int64_t pixels, channels, size, threads;
    float share, beta, k;
};

struct Training {
    // updates: see interface.py
    void (*sgd)(const SgdStep&, float* weights, const float* grads, float* velocity);
    void (*adam)(const AdaptiveStep&, float* weights, const float* grads, float* first, float* second);
    void (*rmsprop)(const AdaptiveStep&, float* weights, const float* grads, float* squares);
    // mask[i] = draw i of MT19937 < limit; `key` (624) and `position` are its state, which goes on. Gives the new position.
    int64_t (*draws_below)(uint32_t* key, int64_t position, uint64_t limit, int64_t count, uint8_t* mask);
    void (*masked)(const float* x, const uint8_t* mask, float factor, float* y, int64_t size, int64_t threads);
    void (*relu)(const float* x, float* y, int64_t size, int64_t threads);
    void (*relu_backward)(const float* grad_y, const float* y, float* grad_x, int64_t size, int64_t threads);
    // rows (count, width)
    void (*softmax)(const Rows&, const float* x, float* y, int64_t is_log);
    void (*softmax_backward)(const Rows&, const float* grad_y, const float* y, float* grad_x, int64_t is_log);
    // mean and inverse: (count,)
    void (*layer_norm)(const Rows&, const float* x, const float* gamma, const float* beta, float eps, float* y, float* mean,
                       float* inverse);
    // sums: (parts, 2, width), of the gradients of gamma and beta, a part of the rows each
    void (*layer_norm_backward)(const Rows&, const float* grad_y, const float* x, const float* gamma, const float* mean,
                                const float* inverse, float* grad_x, float* sums, int64_t parts);
    // x, y, scale: (pixels, channels)
    void (*lrn)(const Lrn&, const float* x, float* y, float* scale);
    void (*lrn_backward)(const Lrn&, const float* grad_y, const float* x, const float* scale, float* grad_x);
    // total[rows[i]] += values[i], in order; total (table, width), values (count, width)
    void (*add_rows)(const Rows&, float* total, int64_t table, const int64_t* rows, const float* values);
};

extern const Training training_portable;
extern const Training training_avx2;
extern const Training training_avx512;

}  // namespace dlcore
