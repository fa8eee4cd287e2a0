// Four codes in a register; the bits of each half byte come from a table in a register (Mula 2008).
#include <immintrin.h>

#include <cstdint>

namespace {

struct Lanes {
    using Vector = __m256i;
    static constexpr int64_t kCount = 4;

    static Vector broadcast(uint64_t word) { return _mm256_set1_epi64x(static_cast<int64_t>(word)); }
    static Vector differing(Vector wanted, const uint64_t* words) {
        const Vector table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        const Vector low = _mm256_set1_epi8(15);
        const Vector bits = _mm256_xor_si256(wanted, _mm256_loadu_si256(reinterpret_cast<const Vector*>(words)));
        const Vector bytes = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(bits, low)),
                                             _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bits, 4), low)));
        return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
    }
    static Vector load(const void* words) { return _mm256_loadu_si256(reinterpret_cast<const Vector*>(words)); }
    static Vector evens(Vector a, Vector b) { return _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0b11'01'10'00); }
    static Vector odds(Vector a, Vector b) { return _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(a, b), 0b11'01'10'00); }
    static constexpr bool kSideBySide = false;
    template <int64_t kWords>
    static Vector side_by_side(const uint64_t* query, const uint64_t* words, int64_t ahead);
    static Vector add(Vector a, Vector b) { return _mm256_add_epi64(a, b); }
    static void store(uint64_t* words, Vector a) { _mm256_storeu_si256(reinterpret_cast<Vector*>(words), a); }
    static uint32_t within(Vector apart, Vector limits) {
        return ~_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(apart, limits))) & 15;
    }
    static bool any_within(const Vector (&apart)[4], Vector limits) {
        const Vector least = _mm256_min_epu32(_mm256_min_epu32(apart[0], apart[1]), _mm256_min_epu32(apart[2], apart[3]));
        return within(least, limits);
    }
};

}  // namespace

#include "hamming_scan_body.h"
#include "hamming_join_body.h"

const dlcore::HammingScan dlcore::scan_avx2 = {top_k, within, in_buckets};
