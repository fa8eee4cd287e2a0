// The 8-lane build of separable_body.h.
#include <immintrin.h>

#include "separable.h"

namespace {

using Vec = __m256;
constexpr int64_t kLanes = 8;
constexpr int64_t kRows = 6;  // 6 x 2 accumulators, 2 weights and 1 broadcast of 16 registers

inline __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline void store_first(float* p, Vec v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }
inline Vec maximum(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec minimum(Vec a, Vec b) { return _mm256_min_ps(a, b); }

}  // namespace

#include "separable_body.h"

const dlcore::Separable dlcore::separable_avx2 = {kLanes, workspace_size, forward};
