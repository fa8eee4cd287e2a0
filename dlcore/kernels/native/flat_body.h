// Passes over numbers that know nothing of their neighbours: masks and rectifiers.
#include <cstring>

#include "training_pieces.h"

namespace {

using dlcore::kDraws;

inline uint32_t twisted(uint32_t high, uint32_t low, uint32_t far) {
    const uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ (y >> 1) ^ (-(y & 1u) & 0x9908b0dfu);
}

// The next 624 words (Matsumoto and Nishimura 1998). A word needs the one behind it, as it was, and the one 397 on, or 227 back, as it is.
void next_state(uint32_t* key) {
    constexpr int64_t kFar = 397, kBack = kDraws - kFar;
    for (int64_t i = 0; i < kBack; i++) key[i] = twisted(key[i], key[i + 1], key[i + kFar]);
    for (int64_t i = kBack; i < kDraws - 1; i++) key[i] = twisted(key[i], key[i + 1], key[i - kBack]);
    key[kDraws - 1] = twisted(key[kDraws - 1], key[0], key[kFar - 1]);
}

int64_t draws_below(uint32_t* __restrict key, int64_t position, uint64_t limit, int64_t count, uint8_t* __restrict mask) {
    const bool is_all = limit > 0xffffffffu;
    const uint32_t below = static_cast<uint32_t>(limit);
    for (int64_t done = 0; done < count;) {
        if (position == kDraws) {
            next_state(key);
            position = 0;
        }
        const int64_t some = least(kDraws - position, count - done);
        const uint32_t* words = key + position;
        uint8_t* found = mask + done;
        for (int64_t i = 0; i < some; i++) {
            uint32_t y = words[i];
            y ^= y >> 11;
            y ^= (y << 7) & 0x9d2c5680u;
            y ^= (y << 15) & 0xefc60000u;
            y ^= y >> 18;
            found[i] = y < below;
        }
        if (is_all) std::memset(found, 1, some);
        done += some;
        position += some;
    }
    return position;
}

void masked(const float* x, const uint8_t* mask, float factor, float* y, int64_t size, int64_t threads) {
    in_pieces(size, kPiece, threads, [=](int64_t first, int64_t end) {
        float* __restrict to = y;
        for (int64_t i = first; i < end; i++) to[i] = x[i] * (static_cast<float>(mask[i]) * factor);
    });
}

// What is no number stays so.
void relu(const float* x, float* y, int64_t size, int64_t threads) {
    in_pieces(size, kPiece, threads, [=](int64_t first, int64_t end) {
        float* __restrict to = y;
        for (int64_t i = first; i < end; i++) to[i] = x[i] <= 0 ? 0 : x[i];
    });
}

void relu_backward(const float* grad_y, const float* y, float* grad_x, int64_t size, int64_t threads) {
    in_pieces(size, kPiece, threads, [=](int64_t first, int64_t end) {
        float* __restrict to = grad_x;
        for (int64_t i = first; i < end; i++) to[i] = grad_y[i] * (y[i] > 0 ? 1.0f : 0.0f);
    });
}

}  // namespace
