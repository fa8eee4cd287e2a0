// Eight bytes at a time by the compiler's popcount; the odd bytes at the end one by one.
#include <cstring>

#include "hamming.h"

namespace {

int64_t distance(const uint8_t* a, const uint8_t* b, int64_t bytes) {
    int64_t sum = 0, i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t left, right;
        memcpy(&left, a + i, 8);
        memcpy(&right, b + i, 8);
        sum += __builtin_popcountll(left ^ right);
    }
    for (; i < bytes; i++) sum += __builtin_popcount(a[i] ^ b[i]);
    return sum;
}

}  // namespace

void dlcore::hamming_portable(const uint8_t* queries, const uint8_t* codes, uint16_t* distances, int64_t query_count,
                              int64_t code_count, int64_t bytes) {
    for (int64_t q = 0; q < query_count; q++) {
        for (int64_t n = 0; n < code_count; n++) {
            distances[q * code_count + n] = static_cast<uint16_t>(distance(queries + q * bytes, codes + n * bytes, bytes));
        }
    }
}
