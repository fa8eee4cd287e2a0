// The 8-lane build of peak_body.h.
#include <immintrin.h>

#include "peak.h"

namespace {

using Vec = __m256;
constexpr int64_t kLanes = 8;
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }

}  // namespace

#include "peak_body.h"

int64_t dlcore::multiply_adds_avx2(int64_t rounds) { return multiply_adds(rounds); }
