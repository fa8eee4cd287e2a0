// Included by hamming_scan_avx2.cpp after hamming_scan_body.h: several queries at once, without VPOPCNTQ.
//
// A tile lies in half bytes: in a vector the n-th half byte of 32 codes, a byte each. What the half byte of a query adds to their distances
// is one look-up in a row of a table of 16 x 16 (as the sums of a product quantiser: Andre, Kermarrec and Le Scouarnec 2015): two
// instructions for 32 codes, where counting bits in 64-bit lanes takes nine for four.

namespace {

constexpr int64_t kNibbleBytes = 32;               // of the longest codes that are searched so: their distances fit a byte
constexpr int64_t kVector = 32, kVectors = 8;      // codes of a vector; vectors
constexpr int64_t kBlock = kVectors * kVector;     // codes whose distances are compared with the limit at once
constexpr int64_t kNibbleTile = 16384;             // bytes of half bytes
constexpr int64_t kLine = 64;                      // bytes that the memory delivers at once
constexpr int64_t kMostBlocks = kMaxTileCodes / kBlock;

static_assert(kNibbleTile >= 2 * kNibbleBytes * kBlock);

struct Table {
    alignas(64) uint8_t apart[16][16];
    constexpr Table() : apart() {
        for (int a = 0; a < 16; a++) {
            for (int b = 0; b < 16; b++) {
                for (int bits = a ^ b; bits; bits &= bits - 1) apart[a][b]++;
            }
        }
    }
};
constexpr Table kTable;

// Where the rows of the table lie that a query needs, one for each half byte.
struct Probe {
    uint8_t rows[2 * kNibbleBytes];

    void set(const uint8_t* query, int64_t bytes) {
        for (int64_t b = 0; b < bytes; b++) {
            rows[2 * b] = static_cast<uint8_t>(query[b] << 4);
            rows[2 * b + 1] = query[b] & 0xf0;
        }
    }
};

struct Tile {
    const uint8_t* codes;
    int64_t bytes, count, first;  // first: the position of its first code
    alignas(64) uint8_t nibbles[kNibbleTile];

    // Asks the memory for a share of the codes behind the tile, one share for each query: it delivers them meanwhile.
    void ask_for_next(int64_t query, int64_t query_count) const {
        const int64_t lines = count * bytes / kLine;
        const uint8_t* next = codes + count * bytes;
        for (int64_t line = lines * query / query_count; line < lines * (query + 1) / query_count; line++) {
            __builtin_prefetch(next + kLine * line);
        }
    }
};

int64_t padded(int64_t bytes) { return bytes <= 8 ? 8 : (bytes + 15) / 16 * 16; }

int64_t nibble_tile_codes(int64_t bytes) { return kBlock * smaller(kNibbleTile / (2 * padded(bytes) * kBlock), kMostBlocks); }

// Of 8 rows of 16 bytes in each half of the vectors: the bytes of two columns each, those of a column side by side.
inline void pair_columns(__m256i (&r)[8]) {
    __m256i t[8];
    for (int64_t i = 0; i < 4; i++) {
        t[i] = _mm256_unpacklo_epi8(r[2 * i], r[2 * i + 1]);
        t[4 + i] = _mm256_unpackhi_epi8(r[2 * i], r[2 * i + 1]);
    }
    for (int64_t h = 0; h < 8; h += 4) {
        const __m256i a = _mm256_unpacklo_epi16(t[h], t[h + 1]), b = _mm256_unpackhi_epi16(t[h], t[h + 1]);
        const __m256i c = _mm256_unpacklo_epi16(t[h + 2], t[h + 3]), d = _mm256_unpackhi_epi16(t[h + 2], t[h + 3]);
        r[h] = _mm256_unpacklo_epi32(a, c);
        r[h + 1] = _mm256_unpackhi_epi32(a, c);
        r[h + 2] = _mm256_unpacklo_epi32(b, d);
        r[h + 3] = _mm256_unpackhi_epi32(b, d);
    }
}

void store_nibbles(__m256i bytes, uint8_t* low, uint8_t* high) {
    const __m256i mask = _mm256_set1_epi8(15);
    _mm256_store_si256(reinterpret_cast<__m256i*>(low), _mm256_and_si256(bytes, mask));
    _mm256_store_si256(reinterpret_cast<__m256i*>(high), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask));
}

// 64 codes of 8 bytes: two vectors of each half byte.
void spread_short(const uint8_t* codes, uint8_t* block) {
    const auto word = [&](int64_t code) {
        int64_t found;
        memcpy(&found, codes + 8 * code, 8);
        return found;
    };
    __m256i upper[8], lower[8];
    for (int64_t r = 0; r < 8; r++) {
        upper[r] = _mm256_set_epi64x(word(48 + r), word(16 + r), word(32 + r), word(r));
        lower[r] = _mm256_set_epi64x(word(56 + r), word(24 + r), word(40 + r), word(8 + r));
    }
    pair_columns(upper);
    pair_columns(lower);
    for (int64_t b = 0; b < 8; b++) {
        uint8_t* low = block + (2 * (2 * b % 8)) * kBlock + b / 4 * kVector;
        store_nibbles(_mm256_unpacklo_epi64(upper[b], lower[b]), low, low + kBlock);
        store_nibbles(_mm256_unpackhi_epi64(upper[b], lower[b]), low + 2 * kBlock, low + 3 * kBlock);
    }
}

// 32 codes of a multiple of 16 bytes.
void spread_long(const uint8_t* codes, int64_t bytes, uint8_t* block) {
    for (int64_t at = 0; at < bytes; at += 16) {
        __m256i upper[8], lower[8];
        const auto row = [&](int64_t r) {
            const uint8_t* place = codes + r * bytes + at;
            return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(place + 16 * bytes), reinterpret_cast<const __m128i*>(place));
        };
        for (int64_t r = 0; r < 8; r++) upper[r] = row(r);
        pair_columns(upper);
        for (int64_t r = 0; r < 8; r++) lower[r] = row(8 + r);
        pair_columns(lower);
        uint8_t* low = block + 2 * at * kBlock;
        for (int64_t b = 0; b < 8; b++, low += 4 * kBlock) {
            store_nibbles(_mm256_unpacklo_epi64(upper[b], lower[b]), low, low + kBlock);
            store_nibbles(_mm256_unpackhi_epi64(upper[b], lower[b]), low + 2 * kBlock, low + 3 * kBlock);
        }
    }
}

// Lays `count` codes from `start` on out as a tile; what is missing to whole vectors is zeros. `first`: the position of the first of all codes.
void lay_out(Tile& tile, Rows given, int64_t start_of_tile, int64_t count, int64_t first) {
    tile.codes = given.data + start_of_tile * given.bytes;
    tile.bytes = given.bytes, tile.count = count, tile.first = first + start_of_tile;
    const int64_t size = padded(tile.bytes), step = size == 8 ? 2 * kVector : kVector;
    alignas(64) uint8_t copied[kVector * kNibbleBytes];
    for (int64_t start = 0; start < tile.count; start += step) {
        const uint8_t* codes = tile.codes + start * tile.bytes;
        const int64_t here = smaller(step, tile.count - start);
        if (here < step || size != tile.bytes) {
            memset(copied, 0, step * size);
            for (int64_t c = 0; c < here; c++) memcpy(copied + c * size, codes + c * tile.bytes, tile.bytes);
            codes = copied;
        }
        uint8_t* block = tile.nibbles + start / kBlock * (2 * size * kBlock) + start % kBlock;
        size == 8 ? spread_short(codes, block) : spread_long(codes, size, block);
    }
}

// How many bytes are looked at first: see choose_first.
int64_t first_bytes(int64_t bytes, int64_t limit) {
    for (int64_t words = 1; 8 * words < bytes; words++) {
        const int64_t below = 32 * words - limit;
        if (below > 0 && below * below > 160 * words) return 8 * words;
    }
    return bytes;
}

__m256i is_within(__m256i apart, __m256i limits) { return _mm256_cmpeq_epi8(_mm256_min_epu8(apart, limits), apart); }

bool any_is_within(const __m256i (&apart)[kVectors], __m256i limits) {
    __m256i least = apart[0];
    for (int64_t v = 1; v < kVectors; v++) least = _mm256_min_epu8(least, apart[v]);
    return _mm256_movemask_epi8(is_within(least, limits)) != 0;
}

// Those of a block that begins at code `start`. Of 32 bytes the distance 256 is a sum of 0.
int64_t hand_over(const Tile& tile, int64_t start, const __m256i (&apart)[kVectors], const uint8_t* query, int64_t limit, uint64_t* found) {
    const __m256i limits = _mm256_set1_epi8(static_cast<char>(smaller(limit, 255)));
    int64_t count = 0;
    for (int64_t v = 0; v < kVectors; v++) {
        alignas(32) uint8_t sums[kVector];
        _mm256_store_si256(reinterpret_cast<__m256i*>(sums), apart[v]);
        for (uint32_t lanes = _mm256_movemask_epi8(is_within(apart[v], limits)); lanes; lanes &= lanes - 1) {
            const int64_t lane = __builtin_ctz(lanes), code = start + v * kVector + lane;
            if (code >= tile.count) return count;
            int64_t distance = sums[lane];
            if (distance == 0) distance = memcmp(query, tile.codes + code * tile.bytes, tile.bytes) ? 256 : 0;
            if (distance > limit) continue;
            found[count++] = static_cast<uint64_t>(distance) << kPositionBits | static_cast<uint64_t>(tile.first + code);
        }
    }
    return count;
}

// What a half byte adds for 32 codes. In assembly, for compilers that see the sums of several steps reorder them until registers do
// not suffice, and then wait for memory.
inline void look_up(__m256i row, const uint8_t* nibbles, __m256i& apart) {
    __m256i more;
    asm("vpshufb %2, %3, %1\n\tvpaddb %1, %0, %0" : "+x"(apart), "=&x"(more) : "m"(*reinterpret_cast<const __m256i*>(nibbles)), "x"(row));
}

// Adds the distances of a block in bytes `from` to `end`. Sums are variables with names, for the compiler keeps arrays in memory.
inline void add_up(const uint8_t* block, const uint8_t* rows, int64_t from, int64_t end, __m256i (&apart)[kVectors]) {
    __m256i a = apart[0], b = apart[1], c = apart[2], d = apart[3], e = apart[4], f = apart[5], g = apart[6], h = apart[7];
    const uint8_t* place = block + 2 * from * kBlock;
    for (int64_t n = 2 * from; n < 2 * end; n++, place += kBlock) {
        const __m256i row = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(kTable.apart[0] + rows[n])));
        look_up(row, place, a);
        look_up(row, place + kVector, b);
        look_up(row, place + 2 * kVector, c);
        look_up(row, place + 3 * kVector, d);
        look_up(row, place + 4 * kVector, e);
        look_up(row, place + 5 * kVector, f);
        look_up(row, place + 6 * kVector, g);
        look_up(row, place + 7 * kVector, h);
    }
    apart[0] = a, apart[1] = b, apart[2] = c, apart[3] = d, apart[4] = e, apart[5] = f, apart[6] = g, apart[7] = h;
}

// Codes of a tile at most `limit` bits from the query: writes their numbers, returns how many.
int64_t near_nibbles(const Tile& tile, const uint8_t* query, const uint8_t* rows, int64_t limit, uint64_t* found) {
    if (limit < 0) return 0;
    const int64_t size = 2 * padded(tile.bytes) * kBlock, first = first_bytes(tile.bytes, limit);
    const __m256i limits = _mm256_set1_epi8(static_cast<char>(smaller(limit, 255)));
    const uint8_t* block = tile.nibbles;
    int64_t count = 0;
    for (int64_t start = 0; start < tile.count; start += kBlock, block += size) {
        __m256i apart[kVectors] = {};
        add_up(block, rows, 0, first, apart);
        if (!any_is_within(apart, limits)) continue;
        if (first < tile.bytes) {
            add_up(block, rows, first, tile.bytes, apart);
            if (!any_is_within(apart, limits)) continue;
        }
        count += hand_over(tile, start, apart, query, limit, found + count);
    }
    return count;
}

void top_k_of_nibbles(Rows queries, const Part* parts, int64_t part_count, int64_t k, uint64_t* best, uint64_t* scratch) {
    const int64_t bytes = queries.bytes, step = nibble_tile_codes(bytes), enough = dlcore::scratch_of(k) - kMaxTileCodes;
    Best found[kMaxQueries];
    Probe probes[kMaxQueries];
    begin(found, queries, k, scratch);
    for (int64_t q = 0; q < queries.count; q++) probes[q].set(queries.data + q * bytes, bytes);
    Tile tile;
    for (const Part* part = parts; part < parts + part_count; part++) {
        for (int64_t start = 0; start < part->count; start += step) {
            lay_out(tile, {part->data, part->count, bytes}, start, smaller(step, part->count - start), part->first);
            for (int64_t q = 0; q < queries.count; q++) {
                Best& own = found[q];
                tile.ask_for_next(q, queries.count);
                own.count += near_nibbles(tile, queries.data + q * bytes, probes[q].rows, own.limit, own.numbers + own.count);
                if (own.count >= enough) own.keep(k);
            }
        }
    }
    finish(found, queries.count, k, best);
}

int64_t within_of_nibbles(Rows queries, Rows codes, int64_t radius, int64_t* rows, uint64_t* found, int64_t capacity, int64_t* next) {
    const int64_t step = nibble_tile_codes(codes.bytes);
    int64_t count = 0;
    Tile tile;
    for (int64_t start = *next / queries.count * step, q = *next % queries.count; start < codes.count; start += step, q = 0) {
        lay_out(tile, codes, start, smaller(step, codes.count - start), 0);
        for (; q < queries.count; q++) {
            if (capacity - count < tile.count) {
                *next = start / step * queries.count + q;
                return count;
            }
            const uint8_t* query = queries.data + q * queries.bytes;
            tile.ask_for_next(q, queries.count);
            Probe probe;
            probe.set(query, queries.bytes);
            const int64_t more = near_nibbles(tile, query, probe.rows, radius, found + count);
            for (const int64_t end = count + more; count < end; count++) rows[count] = q;
        }
    }
    *next = -1;
    return count;
}

}  // namespace
