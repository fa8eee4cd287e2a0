// Hamming distances between all pairs of queries (Q, B) and codes (N, B).
#pragma once
#include <cstdint>

namespace dlcore {

using Hamming = void(const uint8_t* queries, const uint8_t* codes, uint16_t* distances, int64_t query_count,
                     int64_t code_count, int64_t bytes);
Hamming hamming_portable;
Hamming hamming_avx512;

}  // namespace dlcore
