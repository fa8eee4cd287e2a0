// One code after another, by the compiler's popcount.
#include <cstdint>
#include <cstring>

namespace {

struct Lanes {
    using Vector = uint64_t;
    static constexpr int64_t kCount = 1;

    static Vector broadcast(uint64_t word) { return word; }
    static Vector differing(Vector wanted, const uint64_t* words) {
        uint64_t word;
        memcpy(&word, words, 8);
        return static_cast<Vector>(__builtin_popcountll(wanted ^ word));
    }
    static Vector load(const void* words);
    static Vector evens(Vector a, Vector b);
    static Vector odds(Vector a, Vector b);
    static constexpr int64_t kSideBySide = 0;
    template <int64_t kWords>
    static Vector side_by_side(const uint64_t* query, const uint64_t* words, int64_t ahead);
    template <int64_t kWords>
    static Vector in_order(Vector apart);
    static Vector add(Vector a, Vector b) { return a + b; }
    static void store(uint64_t* words, Vector a) { *words = a; }
    static uint32_t within(Vector apart, Vector limits) { return static_cast<int64_t>(apart) <= static_cast<int64_t>(limits); }
    static bool any_within(const Vector (&apart)[4], Vector limits) {
        return within(apart[0], limits) || within(apart[1], limits) || within(apart[2], limits) || within(apart[3], limits);
    }
};

}  // namespace

#include "hamming_scan_body.h"
#include "hamming_join_body.h"

const dlcore::HammingScan dlcore::scan_portable = {top_k, within, in_buckets};
