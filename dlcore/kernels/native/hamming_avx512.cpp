// VPOPCNTQ: whole codes of 8, 16, 32 or 64 bytes side by side in a register, sums within each by shuffles; other
// lengths in steps of 64 bytes with a masked end.
#include <immintrin.h>

#include "hamming.h"

namespace {

// Codes of 8 * kWords bytes, 8 / kWords of them in a register. Returns how many codes were done.
template <int64_t kWords>
int64_t side_by_side(const uint8_t* query, const uint8_t* codes, uint16_t* out, int64_t count) {
    constexpr int64_t kCodes = 8 / kWords;
    alignas(64) uint8_t repeated[64];
    for (int64_t i = 0; i < 64; i++) repeated[i] = query[i % (8 * kWords)];
    const __m512i q = _mm512_load_si512(repeated);
    int64_t n = 0;
    for (; n + kCodes <= count; n += kCodes) {
        __m512i bits = _mm512_popcnt_epi64(_mm512_xor_si512(q, _mm512_loadu_si512(codes + n * 8 * kWords)));
        if (kWords >= 2) bits = _mm512_add_epi64(bits, _mm512_permutex_epi64(bits, 0xb1));
        if (kWords >= 4) bits = _mm512_add_epi64(bits, _mm512_permutex_epi64(bits, 0x4e));
        if (kWords >= 8) bits = _mm512_add_epi64(bits, _mm512_shuffle_i64x2(bits, bits, 0x4e));
        const __mmask8 heads = kWords == 1 ? 0xff : kWords == 2 ? 0x55 : kWords == 4 ? 0x11 : 0x01;
        const __m128i packed = _mm512_cvtepi64_epi16(_mm512_maskz_compress_epi64(heads, bits));
        _mm_mask_storeu_epi16(out + n, static_cast<__mmask8>((1 << kCodes) - 1), packed);
    }
    return n;
}

int64_t distance(const uint8_t* a, const uint8_t* b, int64_t bytes) {
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < bytes; i += 64) {
        const __mmask64 mask = bytes - i >= 64 ? ~0ull : (1ull << (bytes - i)) - 1;
        const __m512i differing = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + i), _mm512_maskz_loadu_epi8(mask, b + i));
        sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(differing));
    }
    return _mm512_reduce_add_epi64(sum);
}

int64_t whole_registers(const uint8_t* query, const uint8_t* codes, uint16_t* out, int64_t count, int64_t bytes) {
    switch (bytes) {
        case 8: return side_by_side<1>(query, codes, out, count);
        case 16: return side_by_side<2>(query, codes, out, count);
        case 32: return side_by_side<4>(query, codes, out, count);
        case 64: return side_by_side<8>(query, codes, out, count);
        default: return 0;
    }
}

}  // namespace

void dlcore::hamming_avx512(const uint8_t* queries, const uint8_t* codes, uint16_t* distances, int64_t query_count,
                            int64_t code_count, int64_t bytes) {
    constexpr int64_t kBlock = 2048;  // codes that stay in the cache while all queries pass over them
    for (int64_t start = 0; start < code_count; start += kBlock) {
        const int64_t count = code_count - start < kBlock ? code_count - start : kBlock;
        for (int64_t q = 0; q < query_count; q++) {
            uint16_t* out = distances + q * code_count + start;
            const uint8_t* query = queries + q * bytes;
            int64_t n = whole_registers(query, codes + start * bytes, out, count, bytes);
            for (; n < count; n++) out[n] = static_cast<uint16_t>(distance(query, codes + (start + n) * bytes, bytes));
        }
    }
}
