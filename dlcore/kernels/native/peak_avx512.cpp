// The 16-lane build of peak_body.h.
#include <immintrin.h>

#include "peak.h"

namespace {

using Vec = __m512;
constexpr int64_t kLanes = 16;
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }

}  // namespace

#include "peak_body.h"

int64_t dlcore::multiply_adds_avx512(int64_t rounds) { return multiply_adds(rounds); }
