// Exact searches among codes (N, B): the k nearest of each query, and all pairs within a radius.
#pragma once
#include <cstdint>

namespace dlcore {

// What is found is one number, its distance above the low 40 bits and its position in them: the smaller is the nearer, of equals
// the earlier.
constexpr int64_t kPositionBits = 40;
constexpr int64_t kMaxCodeBytes = 512;
constexpr int64_t kMaxQueries = 64;
constexpr int64_t kMaxTileCodes = 2048;
constexpr int64_t kMinSlack = 64;  // more than k that are found before the best k of them are chosen

// Numbers of scratch that top_k needs for each query.
constexpr int64_t scratch_of(int64_t k) { return k + (k > kMinSlack ? k : kMinSlack) + kMaxTileCodes; }

// Moves the smallest k of the numbers to their begin, the largest of these to place k - 1; sorts them.
void best_first(uint64_t* numbers, int64_t count, int64_t k);
void sort(uint64_t* numbers, int64_t count);

struct Rows {
    const uint8_t* data;
    int64_t count, bytes;  // 1 to kMaxCodeBytes bytes
};

// Codes that lie one after another; `first` is the position of the first one.
struct Part {
    const uint8_t* data;
    int64_t count, first;
};

// Codes sorted by bucket, in planes of `stride` words: word w of code c is planes[w * stride + c]; window[c] is the bits of the window.
// 32 more codes can be read at the end of either.
// Bucket b is the codes from starts[b] to starts[b + 1].
struct Buckets {
    const uint64_t *planes, *window;
    int64_t stride;
    const int64_t* starts;
};

// Pairs of a code of `first` and one of `second` within the radius, whose buckets' numbers differ by one of the flips, each once; with
// is_same, when both are one, the earlier code first. Those that differ in more than `within` bits of the window are left out. So are
// those that an earlier join has found: of its mask_count masks, masks[(e * mask_count + m) * words ..], they differ in at most
// limits[e * mask_count + m] bits each.
struct BucketJoin {
    Buckets first, second;
    int64_t words, bucket_count, flip_count, earlier_count, mask_count, radius, within, is_same;
    const int64_t* flips;
    const uint64_t* masks;
    const int64_t* limits;
};

// top_k: of the codes of all parts, N in all, whose positions grow; writes `best` (Q, k), ascending; 0 < k <= N,
// 0 < Q <= kMaxQueries.
// within: goes on from step `*next`, 0 to begin with, until all is done or `capacity`, at least kMaxTileCodes, has no place for
// another tile. Writes query and number of each pair, returns how many, and sets `*next`, to -1 when all is done. Q > 0.
// in_buckets: the same of a join; next[0 .. 3] is 0, 0, -1, -1 to begin with, next[0] -1 when all is done.
struct HammingScan {
    void (*top_k)(Rows queries, const Part* parts, int64_t part_count, int64_t k, uint64_t* best, uint64_t* scratch);
    int64_t (*within)(Rows queries, Rows codes, int64_t radius, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next);
    int64_t (*in_buckets)(const BucketJoin& join, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next);
};
extern const HammingScan scan_portable, scan_avx2, scan_avx512;

}  // namespace dlcore
