// The steps of a long short-term memory, fp32, forward (Hochreiter and Schmidhuber 1997). One description of a call, and one table of
// functions per instruction set.
#pragma once
#include <cstdint>

namespace dlcore {

// The Python side fills the same fields in the same order.
struct LstmShape {
    int64_t count, steps, hidden, is_reversed, threads;
};

// A block is as many of the H memories as a vector has lanes; the last one is filled up.
struct LstmArrays {
    const float* shares;   // (N, T, block, gate, lane): what the input and the bias add to each gate, in the order i, g, f, o
    const float* weights;  // (block, H, gate, lane): from the output before, zeros behind the last memory
    const float* h;        // (N, H) before the first step
    const float* c;        // (N, H)
    float* y;              // (N, T, H)
    float* workspace;      // (3, N, blocks * lanes)
};

struct Lstm {
    int64_t (*workspace_size)(const LstmShape&);  // floats
    void (*forward)(const LstmShape&, const LstmArrays&);
};

extern const Lstm lstm_avx512;
extern const Lstm lstm_avx2;

}  // namespace dlcore
