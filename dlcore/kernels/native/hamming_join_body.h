// Included after hamming_scan_body.h: pairs of codes in buckets that are few bits apart, see `BucketJoin`.
//
// Codes lie in planes, sorted by bucket, so that a bucket is a run of them: what `near` passes over.

namespace {

using dlcore::BucketJoin;
using dlcore::Buckets;

// Whether an earlier join of the same codes has found the pair: in bits that a mask tells, it differs in few enough of them.
bool is_found_before(const BucketJoin& join, const uint64_t* query, const uint64_t* code) {
    for (int64_t e = 0; e < join.earlier_count; e++) {
        int64_t apart = 0;
        for (int64_t w = 0; w < join.words; w++) {
            apart += __builtin_popcountll((query[w] ^ code[w * join.second.stride]) & join.masks[e * join.words + w]);
        }
        if (apart <= join.limits[e]) return true;
    }
    return false;
}

int64_t in_buckets(const BucketJoin& join, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
    Near* const near_radius = choose(join.words, join.radius);
    uint64_t query[kMaxCodeBytes / 8];
    int64_t count = 0, flip = next[1], row = next[2], from = next[3];
    for (int64_t bucket = next[0]; bucket < join.bucket_count; bucket++, flip = 0) {
        const int64_t rows_end = join.first.starts[bucket + 1];
        for (; flip < join.flip_count; flip++, row = -1) {
            const int64_t other = bucket ^ join.flips[flip], begin = join.second.starts[other], end = join.second.starts[other + 1];
            if (begin == end || (join.is_same && other < bucket)) continue;
            for (row = row < 0 ? join.first.starts[bucket] : row; row < rows_end; row++, from = -1) {
                for (int64_t w = 0; w < join.words; w++) query[w] = join.first.planes[w * join.first.stride + row];
                if (from < 0) from = join.is_same && other == bucket ? row + 1 : begin;
                for (; from < end; from += kMaxTileCodes) {
                    const int64_t run = smaller(kMaxTileCodes, end - from);
                    if (capacity - count < run) {
                        const int64_t state[] = {bucket, flip, row, from};
                        memcpy(next, state, sizeof state);
                        return count;
                    }
                    const uint64_t* codes = join.second.planes + from;
                    const int64_t more = near_radius(query, join.words, codes, run, join.second.stride, join.radius, found + count);
                    for (int64_t n = count, end_of_run = count + more; n < end_of_run; n++) {
                        const int64_t code = static_cast<int64_t>(found[n] & ((1ull << kPositionBits) - 1));
                        if (is_found_before(join, query, codes + code)) continue;
                        rows[count] = row;
                        found[count++] = found[n] + static_cast<uint64_t>(from);
                    }
                }
            }
        }
    }
    next[0] = -1;
    return count;
}

}  // namespace
