// Included by one file for each instruction set, after it has defined Lanes: a vector of 64-bit lanes, one code in each.
//
// Codes go tile by tile. A tile lies in planes, word w of all its codes side by side: a vector of distances is a sum of popcounts,
// and nothing is shuffled. All queries pass over a tile while the first-level cache has it.
#include <cstring>

#include "hamming_scan.h"

namespace {

using dlcore::kMaxCodeBytes;
using dlcore::kMaxQueries;
using dlcore::kMaxTileCodes;
using dlcore::kPositionBits;
using dlcore::Part;
using dlcore::Rows;

constexpr int64_t kTileWords = 2048;           // 16 kB
constexpr int64_t kGroup = 4 * Lanes::kCount;  // codes whose distances are compared with the limit at once

constexpr int64_t kHalf = 0, kAll = -1;         // in place of how many words are looked at first
constexpr int64_t kAhead = 4096;               // bytes: a single query waits for the memory

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t words_of(Rows codes) { return (codes.bytes + 7) / 8; }

int64_t tile_codes(int64_t words) { return kTileWords / words / kGroup * kGroup; }

// Codes of `kWords` words, a power of two, to planes. A vector's worth of codes is unshuffled until its words lie apart: each step takes
// the lowest bit of a word's place, evens first, odds after them.
template <int64_t kWords>
void spread(const uint8_t* codes, int64_t count, int64_t stride, uint64_t* planes) {
    int64_t c = 0;
    if constexpr (Lanes::kCount > 1) {
        for (; c + Lanes::kCount <= count; c += Lanes::kCount) {
            Lanes::Vector words[kWords], apart[kWords];
            for (int64_t v = 0; v < kWords; v++) {
                const uint8_t* place = codes + (c * kWords + v * Lanes::kCount) * 8;
                __builtin_prefetch(place + kAhead);
                words[v] = Lanes::load(place);
            }
            for (int64_t left = kWords; left > 1; left /= 2) {
                for (int64_t v = 0; v < kWords / 2; v++) {
                    apart[v] = Lanes::evens(words[2 * v], words[2 * v + 1]);
                    apart[kWords / 2 + v] = Lanes::odds(words[2 * v], words[2 * v + 1]);
                }
                for (int64_t v = 0; v < kWords; v++) words[v] = apart[v];
            }
            for (int64_t w = 0; w < kWords; w++) Lanes::store(planes + w * stride + c, words[w]);
        }
    }
    for (; c < count; c++) {
        for (int64_t w = 0; w < kWords; w++) memcpy(planes + w * stride + c, codes + (c * kWords + w) * 8, 8);
    }
}

void spread_any(const uint8_t* codes, int64_t bytes, int64_t count, int64_t stride, uint64_t* planes) {
    for (int64_t c = 0; c < count; c++) {
        for (int64_t at = 0; at < bytes; at += 8) {
            uint64_t word = 0;
            memcpy(&word, codes + c * bytes + at, smaller(bytes - at, 8));
            planes[at / 8 * stride + c] = word;
        }
    }
}

// The tile's planes, `stride` words each, in `planes`; the codes themselves where a whole tile may stay as it lies or has one plane.
const uint64_t* planes_of(const uint8_t* codes, int64_t bytes, int64_t count, int64_t stride, bool as_they_lie, uint64_t* planes) {
    if (count == stride && (as_they_lie || bytes == 8)) return reinterpret_cast<const uint64_t*>(codes);  // by unaligned loads only
    switch (bytes) {
        case 8: spread<1>(codes, count, stride, planes); break;
        case 16: spread<2>(codes, count, stride, planes); break;
        case 32: spread<4>(codes, count, stride, planes); break;
        case 64: spread<8>(codes, count, stride, planes); break;
        default: spread_any(codes, bytes, count, stride, planes);
    }
    return planes;
}

// Codes of a tile at most `limit` bits from the query: writes distance and place in the tile as one number, returns how many. The first
// words may rule a group out: the others are then not looked at. kWords is 0 for any number; kFirst then kHalf or kAll of them.
template <int64_t kWords, int64_t kFirst, bool kAsTheyLie = false>
int64_t near(const uint64_t* query, int64_t given_words, const uint64_t* planes, int64_t count, int64_t stride, int64_t limit,
             uint64_t* found) {
    const int64_t words = kWords ? kWords : given_words, first = kFirst == kAll ? words : kFirst == kHalf ? words / 2 : kFirst;
    const Lanes::Vector limits = Lanes::broadcast(limit);
    int64_t found_count = 0;
    for (int64_t start = 0; start < count; start += kGroup) {
        Lanes::Vector apart[4];
        const auto add = [&](int64_t w) {
            const Lanes::Vector wanted = Lanes::broadcast(query[w]);
            for (int64_t v = 0; v < 4; v++) {
                const Lanes::Vector bits = Lanes::differing(wanted, planes + w * stride + start + v * Lanes::kCount);
                apart[v] = w ? Lanes::add(apart[v], bits) : bits;
            }
        };
        if constexpr (kAsTheyLie) {
            for (int64_t v = 0; v < 4; v++) {
                apart[v] = Lanes::side_by_side<kWords>(query, planes + (start + v * Lanes::kCount) * kWords, kAhead);
            }
        } else {
            for (int64_t w = 0; w < first; w++) add(w);
        }
        if (!Lanes::any_within(apart, limits)) continue;
        if constexpr (kFirst != kAll && !kAsTheyLie) {
            for (int64_t w = first; w < words; w++) add(w);
            if (!Lanes::any_within(apart, limits)) continue;
        }
        for (int64_t v = 0; v < 4; v++) {
            if constexpr (kAsTheyLie) apart[v] = Lanes::in_order<kWords>(apart[v]);
            uint64_t distances[Lanes::kCount];
            Lanes::store(distances, apart[v]);
            for (uint32_t lanes = Lanes::within(apart[v], limits); lanes; lanes &= lanes - 1) {
                const int64_t lane = __builtin_ctz(lanes), code = start + v * Lanes::kCount + lane;
                if (code < count) found[found_count++] = distances[lane] << kPositionBits | static_cast<uint64_t>(code);
            }
        }
    }
    return found_count;
}

using Near = int64_t(const uint64_t* query, int64_t words, const uint64_t* planes, int64_t count, int64_t stride, int64_t limit,
                     uint64_t* found);

// For few queries, codes as they lie: planes would cost more than they save.
Near* choose_as_they_lie(int64_t queries, int64_t bytes) {
    if (queries > Lanes::kSideBySide) return nullptr;
    if constexpr (Lanes::kSideBySide > 0) {
        switch (bytes) {
            case 8: return near<1, kAll, true>;
            case 16: return near<2, kAll, true>;
            case 32: return near<4, kAll, true>;
            case 64: return near<8, kAll, true>;
        }
    }
    return nullptr;
}

// The fewest words that rule nearly every group out are looked at first. Of n words 32 n bits differ, give or take 4 sqrt(n); the limit
// must be more than three times that below.
template <int64_t kWords, int64_t kFirst = 1>
Near* choose_first(int64_t limit) {
    if constexpr (kFirst >= kWords) {
        return near<kWords, kAll>;
    } else {
        const int64_t below = 32 * kFirst - limit;
        return below > 0 && below * below > 160 * kFirst ? near<kWords, kFirst> : choose_first<kWords, kFirst + 1>(limit);
    }
}

Near* choose(int64_t words, int64_t limit) {
    switch (words) {
        case 1: return near<1, kAll>;
        case 2: return choose_first<2>(limit);
        case 4: return choose_first<4>(limit);
        case 8: return choose_first<8>(limit);
    }
    const int64_t below = 16 * words - limit;
    return words > 1 && below > 0 && below * below > 80 * words ? near<0, kHalf> : near<0, kAll>;
}

// The best of one query so far, in no order, none more than `limit` bits away.
struct Best {
    uint64_t* numbers;
    int64_t count, limit;
    uint64_t query[kMaxCodeBytes / 8];

    // Of equal distances the earlier codes stay, so what comes later must be nearer than the last of k.
    void keep(int64_t k) {
        if (count < k) return;
        dlcore::best_first(numbers, count, k);
        count = k;
        limit = static_cast<int64_t>(numbers[k - 1] >> kPositionBits) - 1;
    }
};

void begin(Best* found, Rows queries, int64_t k, uint64_t* scratch) {
    for (int64_t q = 0; q < queries.count; q++) {
        found[q].numbers = scratch + q * dlcore::scratch_of(k);
        found[q].count = 0;
        found[q].limit = 8 * queries.bytes;
        spread_any(queries.data + q * queries.bytes, queries.bytes, 1, 1, found[q].query);
    }
}

void finish(Best* found, int64_t query_count, int64_t k, uint64_t* best) {
    for (int64_t q = 0; q < query_count; q++) {
        found[q].keep(k);
        dlcore::sort(found[q].numbers, k);
        memcpy(best + q * k, found[q].numbers, k * sizeof(uint64_t));
    }
}

void top_k(Rows queries, const Part* parts, int64_t part_count, int64_t k, uint64_t* best, uint64_t* scratch) {
    alignas(64) uint64_t buffer[kTileWords];
    const int64_t bytes = queries.bytes, words = words_of(queries), stride = tile_codes(words);
    const int64_t enough = dlcore::scratch_of(k) - kMaxTileCodes;
    Near* const as_they_lie = choose_as_they_lie(queries.count, bytes);
    Best found[kMaxQueries];
    begin(found, queries, k, scratch);
    for (const Part* part = parts; part < parts + part_count; part++) {
        for (int64_t start = 0; start < part->count; start += stride) {
            const int64_t count = smaller(stride, part->count - start);
            const uint64_t* planes = planes_of(part->data + start * bytes, bytes, count, stride, as_they_lie, buffer);
            for (int64_t q = 0; q < queries.count; q++) {
                Best& own = found[q];
                uint64_t* end = own.numbers + own.count;
                Near* const near_limit = as_they_lie && planes != buffer ? as_they_lie : choose(words, own.limit);
                const int64_t more = near_limit(own.query, words, planes, count, stride, own.limit, end);
                for (int64_t n = 0; n < more; n++) end[n] += part->first + start;
                own.count += more;
                if (own.count >= enough) own.keep(k);
            }
        }
    }
    finish(found, queries.count, k, best);
}

int64_t within(Rows queries, Rows codes, int64_t radius, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
    alignas(64) uint64_t buffer[kTileWords];
    uint64_t query[kMaxCodeBytes / 8];
    const int64_t words = words_of(codes), stride = tile_codes(words);
    Near *const near_radius = choose(words, radius), *const as_they_lie = choose_as_they_lie(queries.count, codes.bytes);
    int64_t found_count = 0;
    for (int64_t start = *next / queries.count * stride, q = *next % queries.count; start < codes.count; start += stride, q = 0) {
        const int64_t count = smaller(stride, codes.count - start);
        const uint64_t* planes = planes_of(codes.data + start * codes.bytes, codes.bytes, count, stride, as_they_lie, buffer);
        for (; q < queries.count; q++) {
            if (capacity - found_count < count) {
                *next = start / stride * queries.count + q;
                return found_count;
            }
            spread_any(queries.data + q * queries.bytes, queries.bytes, 1, 1, query);
            const int64_t more = (as_they_lie && planes != buffer ? as_they_lie : near_radius)(query, words, planes, count, stride, radius, found + found_count);
            for (int64_t n = found_count; n < found_count + more; n++) {
                found[n] += start;
                rows[n] = q;
            }
            found_count += more;
        }
    }
    *next = -1;
    return found_count;
}

}  // namespace
