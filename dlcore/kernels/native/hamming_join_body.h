// Included after hamming_scan_body.h: pairs of codes in buckets that are few bits apart, see `BucketJoin`.
//
// Codes are sorted by bucket, so that a bucket is a run of them. Of each the window, one word, is looked at first: next to no pair keeps
// its limit by chance, and the codes themselves, in planes, are looked at one pair after another.

namespace {

using dlcore::BucketJoin;
using dlcore::Buckets;

// Whether an earlier join of the same codes has found the pair: in bits that a mask tells, it differs in few enough of them.
bool is_found_before(const BucketJoin& join, const uint64_t* query, const uint64_t* code) {
    for (int64_t e = 0; e < join.earlier_count; e++) {
        const uint64_t* mask = join.masks + e * join.mask_count * join.words;
        bool is_kept = true;
        for (int64_t m = 0; m < join.mask_count && is_kept; m++, mask += join.words) {
            int64_t apart = 0;
            for (int64_t w = 0; w < join.words; w++) {
                apart += __builtin_popcountll((query[w] ^ code[w * join.second.stride]) & mask[w]);
            }
            is_kept = apart <= join.limits[e * join.mask_count + m];
        }
        if (is_kept) return true;
    }
    return false;
}

// Codes of a run that keep the window and the radius: writes distance and place in the run as one number, returns how many.
int64_t near_by_window(const BucketJoin& join, const uint64_t* query, uint64_t query_window, int64_t from, int64_t run, uint64_t* found) {
    const uint64_t *window = join.second.window + from, *codes = join.second.planes + from;
    const Lanes::Vector wanted = Lanes::broadcast(query_window), limits = Lanes::broadcast(static_cast<uint64_t>(join.within));
    int64_t found_count = 0;
    for (int64_t start = 0; start < run; start += kGroup) {
        Lanes::Vector apart[4];
        for (int64_t v = 0; v < 4; v++) apart[v] = Lanes::differing(wanted, window + start + v * Lanes::kCount);
        if (!Lanes::any_within(apart, limits)) continue;
        for (int64_t v = 0; v < 4; v++) {
            for (uint32_t lanes = Lanes::within(apart[v], limits); lanes; lanes &= lanes - 1) {
                const int64_t code = start + v * Lanes::kCount + __builtin_ctz(lanes);
                if (code >= run) break;
                int64_t distance = 0;
                for (int64_t w = 0; w < join.words; w++) distance += __builtin_popcountll(query[w] ^ codes[w * join.second.stride + code]);
                if (distance <= join.radius) found[found_count++] = static_cast<uint64_t>(distance) << kPositionBits | static_cast<uint64_t>(code);
            }
        }
    }
    return found_count;
}

int64_t in_buckets(const BucketJoin& join, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
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
                    const int64_t more = near_by_window(join, query, join.first.window[row], from, run, found + count);
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
