// Four codes in a register; the bits of each half byte come from a table in a register (Mula 2008).
#include <immintrin.h>

#include <cstdint>

namespace {

struct Lanes {
    using Vector = __m256i;
    static constexpr int64_t kCount = 4;

    static Vector broadcast(uint64_t word) { return _mm256_set1_epi64x(static_cast<int64_t>(word)); }
    // Set bits of each byte.
    static Vector counts(Vector bits) {
        const Vector table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        const Vector low = _mm256_set1_epi8(15);
        return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(bits, low)),
                               _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bits, 4), low)));
    }
    static Vector differing(Vector wanted, const uint64_t* words) {
        return _mm256_sad_epu8(counts(_mm256_xor_si256(wanted, load(words))), _mm256_setzero_si256());
    }
    static Vector load(const void* words) { return _mm256_loadu_si256(reinterpret_cast<const Vector*>(words)); }
    static Vector evens(Vector a, Vector b) { return _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0b11'01'10'00); }
    static Vector odds(Vector a, Vector b) { return _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(a, b), 0b11'01'10'00); }
    static constexpr int64_t kSideBySide = 2;  // so many queries
    // Of four codes that lie one after another: bytes of neighbours are added until each code is one lane, those of two words in the order
    // that `in_order` mends. Asks for what comes `ahead` bytes on.
    template <int64_t kWords>
    static Vector side_by_side(const uint64_t* query, const uint64_t* words, int64_t ahead) {
        Vector sums[kWords];
        for (int64_t v = 0; v < kWords; v++) {
            if (v % 2 == 0) _mm_prefetch(reinterpret_cast<const char*>(words + 4 * v) + ahead, _MM_HINT_T0);
            const Vector wanted = kWords == 1   ? broadcast(query[0])
                                  : kWords == 2 ? _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query)))
                                                : load(query + 4 * v % kWords);
            sums[v] = counts(_mm256_xor_si256(wanted, load(words + 4 * v)));
        }
        if constexpr (kWords == 8) {
            for (int64_t v = 0; v < 4; v++) sums[v] = _mm256_add_epi8(sums[2 * v], sums[2 * v + 1]);
        }
        if constexpr (kWords >= 2) sums[0] = neighbours(sums[0], sums[1]);
        if constexpr (kWords >= 4) {
            sums[1] = neighbours(sums[2], sums[3]);
            sums[0] = _mm256_add_epi8(_mm256_permute2x128_si256(sums[0], sums[1], 0x20), _mm256_permute2x128_si256(sums[0], sums[1], 0x31));
        }
        return _mm256_sad_epu8(sums[0], _mm256_setzero_si256());
    }
    static Vector neighbours(Vector a, Vector b) { return _mm256_add_epi8(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)); }
    template <int64_t kWords>
    static Vector in_order(Vector apart) {
        return kWords == 2 ? _mm256_permute4x64_epi64(apart, 0b11'01'10'00) : apart;
    }
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
#include "hamming_nibbles_body.h"

namespace {

// Of fewer queries laying half bytes out takes longer than is gained.
bool suits_nibbles(Rows queries) {
    return queries.count >= (queries.bytes <= 8 ? 4 : 3) && queries.bytes <= kNibbleBytes;
}

void top_k_of_any(Rows queries, const Part* parts, int64_t part_count, int64_t k, uint64_t* best, uint64_t* scratch) {
    (suits_nibbles(queries) ? top_k_of_nibbles : top_k)(queries, parts, part_count, k, best, scratch);
}

int64_t within_of_any(Rows queries, Rows codes, int64_t radius, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
    return (suits_nibbles(queries) ? within_of_nibbles : within)(queries, codes, radius, rows, found, capacity, next);
}

}  // namespace

const dlcore::HammingScan dlcore::scan_avx2 = {top_k_of_any, within_of_any, in_buckets};
