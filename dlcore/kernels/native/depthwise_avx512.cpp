// The 16-lane build of depthwise_body.h.
#include <immintrin.h>

#include "depthwise.h"

namespace {

using Vec = __m512;
constexpr int64_t kLanes = 16;
constexpr int64_t kSums = 25;  // vectors of sums that the registers hold beside what is added

inline __mmask16 first(int64_t n) { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store_first(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }

}  // namespace

#include "depthwise_body.h"

void dlcore::depthwise_gradient_avx512(const DepthwiseShape& shape, const float* x, const float* grad_y, float* grad_w) {
    depthwise_gradient(shape, x, grad_y, grad_w);
}
