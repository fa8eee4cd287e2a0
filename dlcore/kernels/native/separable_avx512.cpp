// The 16-lane build of separable_body.h.
#include <immintrin.h>

#include "separable.h"

namespace {

using Vec = __m512;
constexpr int64_t kLanes = 16;
constexpr int64_t kRows = 14;  // 14 x 2 accumulators, 2 weights and 1 broadcast of 32 registers

inline __mmask16 first(int64_t n) { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline void store_first(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
inline Vec maximum(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec minimum(Vec a, Vec b) { return _mm512_min_ps(a, b); }

}  // namespace

#include "separable_body.h"

const dlcore::Separable dlcore::separable_avx512 = {kLanes, workspace_size, forward};
