// The 16-lane build of recurrence_body.h.
#include <immintrin.h>

#include "recurrence.h"

namespace {

using Vec = __m512;
constexpr int64_t kLanes = 16;
constexpr int64_t kSequences = 6;  // 6 x 4 accumulators, 4 weights and 1 broadcast of 32 registers

inline __mmask16 first(int64_t n) { return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << n) - 1); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline void store_first(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
inline Vec maximum(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec minimum(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec nearest(Vec v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Vec times_power_of_two(Vec v, Vec n) { return _mm512_scalef_ps(v, n); }

}  // namespace

#include "recurrence_body.h"

const dlcore::Lstm dlcore::lstm_avx512 = {workspace_size, forward};
