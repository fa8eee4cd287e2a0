// The steps of optimisation methods, each in one pass over its arrays.
#include "training_pieces.h"

namespace {

using dlcore::AdaptiveStep;
using dlcore::SgdStep;

enum class Kind { plain, momentum, nesterov };

template <Kind kKind, bool kDecays>
void descend(const SgdStep& s, float* __restrict weights, const float* __restrict grads, float* __restrict velocity, int64_t first,
             int64_t end) {
    for (int64_t i = first; i < end; i++) {
        const float w = weights[i];
        const float grad = kDecays ? grads[i] + s.decay * w : grads[i];
        float step = grad;
        if constexpr (kKind != Kind::plain) {
            const float v = velocity[i] * s.momentum + s.share * grad;
            velocity[i] = v;
            step = kKind == Kind::nesterov ? grad + s.momentum * v : v;
        }
        weights[i] = w - s.rate * step;
    }
}

void sgd(const SgdStep& s, float* weights, const float* grads, float* velocity) {
    const auto run = !s.has_momentum ? (s.decay != 0 ? descend<Kind::plain, true> : descend<Kind::plain, false>)
                     : s.is_nesterov ? (s.decay != 0 ? descend<Kind::nesterov, true> : descend<Kind::nesterov, false>)
                                     : (s.decay != 0 ? descend<Kind::momentum, true> : descend<Kind::momentum, false>);
    in_pieces(s.size, kPiece, s.threads,
              [&](int64_t first, int64_t end) { run(s, weights, grads, velocity, first, end); });
}

template <bool kUnbiased>
void adapt(const AdaptiveStep& s, float* __restrict weights, const float* __restrict grads, float* __restrict first_mean,
           float* __restrict second_mean, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
        const float grad = grads[i];
        const float mean = first_mean[i] * s.beta1 + s.share1 * grad;
        const float square = second_mean[i] * s.beta2 + s.share2 * (grad * grad);
        first_mean[i] = mean;
        second_mean[i] = square;
        const float root = __builtin_sqrtf(kUnbiased ? square / s.bias2 : square) + s.epsilon;
        weights[i] = weights[i] * s.decay_or_kept - s.rate * (kUnbiased ? mean / s.bias1 : mean) / root;
    }
}

void adam(const AdaptiveStep& s, float* weights, const float* grads, float* first_mean, float* second_mean) {
    const auto run = s.bias1 == 1.0f && s.bias2 == 1.0f ? adapt<false> : adapt<true>;
    in_pieces(s.size, kPiece, s.threads,
              [&](int64_t first, int64_t end) { run(s, weights, grads, first_mean, second_mean, first, end); });
}

void rmsprop(const AdaptiveStep& s, float* weights, const float* grads, float* squares) {
    in_pieces(s.size, kPiece, s.threads, [&](int64_t first, int64_t end) {
        float *__restrict w = weights, *__restrict sums = squares;
        for (int64_t i = first; i < end; i++) {
            const float grad = grads[i] + (s.decay_or_kept != 0 ? s.decay_or_kept * w[i] : 0.0f);
            const float square = sums[i] * s.beta2 + s.share2 * (grad * grad);
            sums[i] = square;
            w[i] = w[i] - s.rate * grad / (__builtin_sqrtf(square) + s.epsilon);
        }
    });
}

}  // namespace
