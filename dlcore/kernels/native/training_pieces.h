#pragma once
// How a pass is divided among threads. Everything is in an anonymous namespace, so that no inline copy of one instruction set is linked
// into another.
#include <omp.h>

#include "training.h"

namespace {

constexpr int64_t kPiece = 1 << 15;  // numbers of a piece: far above what handing it out costs

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// work(first, end) for stretches of up to `piece` of `size`; what a stretch is does not depend on the threads.
template <class Work>
void in_pieces(int64_t size, int64_t piece, int64_t threads, Work work) {
    const int64_t pieces = (size + piece - 1) / piece;
    if (threads < 2 || pieces < 2) {
        for (int64_t i = 0; i < pieces; i++) work(i * piece, least((i + 1) * piece, size));
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast<int>(least(threads, pieces)))
    for (int64_t i = 0; i < pieces; i++) work(i * piece, least((i + 1) * piece, size));
}

// The same for rows, as many at once as are about one piece.
template <class Work>
void in_rows(int64_t count, int64_t width, int64_t threads, Work work) {
    in_pieces(count, kPiece / (width < kPiece ? width + 1 : kPiece) + 1, threads, work);
}

}  // namespace
