// Eight codes in a register, VPOPCNTQ.
#include <immintrin.h>

#include <cstdint>

namespace {

struct Lanes {
    using Vector = __m512i;
    static constexpr int64_t kCount = 8;

    static Vector broadcast(uint64_t word) { return _mm512_set1_epi64(static_cast<int64_t>(word)); }
    static Vector differing(Vector wanted, const uint64_t* words) {
        return _mm512_popcnt_epi64(_mm512_xor_si512(wanted, _mm512_loadu_si512(words)));
    }
    static Vector load(const void* words) { return _mm512_loadu_si512(words); }
    static Vector evens(Vector a, Vector b) {
        return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
    }
    static Vector odds(Vector a, Vector b) {
        return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), b);
    }
    static constexpr int64_t kSideBySide = 1;  // so many queries
    // Of eight codes that lie one after another: sums of neighbours until each code is one lane. Asks for what comes `ahead` bytes on.
    template <int64_t kWords>
    static Vector side_by_side(const uint64_t* query, const uint64_t* words, int64_t ahead) {
        const Vector place = _mm512_and_si512(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), _mm512_set1_epi64(kWords - 1));
        const Vector wanted = _mm512_permutexvar_epi64(place, _mm512_maskz_loadu_epi64((1 << kWords) - 1, query));
        Vector sums[kWords];
        for (int64_t w = 0; w < kWords; w++) {
            _mm_prefetch(reinterpret_cast<const char*>(words + 8 * w) + ahead, _MM_HINT_T0);
            sums[w] = differing(wanted, words + 8 * w);
        }
        for (int64_t left = kWords / 2; left; left /= 2) {
            for (int64_t w = 0; w < left; w++) {
                sums[w] = add(evens(sums[2 * w], sums[2 * w + 1]), odds(sums[2 * w], sums[2 * w + 1]));
            }
        }
        return sums[0];
    }
    template <int64_t kWords>
    static Vector in_order(Vector apart) {
        return apart;
    }
    static Vector add(Vector a, Vector b) { return _mm512_add_epi64(a, b); }
    static void store(uint64_t* words, Vector a) { _mm512_storeu_si512(words, a); }
    static uint32_t within(Vector apart, Vector limits) { return _mm512_cmple_epi64_mask(apart, limits); }
    static bool any_within(const Vector (&apart)[4], Vector limits) {
        const Vector least = _mm512_min_epu32(_mm512_min_epu32(apart[0], apart[1]), _mm512_min_epu32(apart[2], apart[3]));
        return within(least, limits);
    }
};

}  // namespace

#include "hamming_scan_body.h"
#include "hamming_join_body.h"

const dlcore::HammingScan dlcore::scan_avx512 = {top_k, within, in_buckets};
