// The 8-lane build of depthwise_body.h.
#include <immintrin.h>

#include "depthwise.h"

namespace {

using Vec = __m256;
constexpr int64_t kLanes = 8;
constexpr int64_t kSums = 9;  // vectors of sums that the registers hold beside what is added

inline __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
inline void store_first(float* p, Vec v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }

}  // namespace

#include "depthwise_body.h"

void dlcore::depthwise_gradient_avx2(const DepthwiseShape& shape, const float* x, const float* grad_y, float* grad_w) {
    depthwise_gradient(shape, x, grad_y, grad_w);
}
