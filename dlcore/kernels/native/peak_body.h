// The includer has defined Vec, kLanes and broadcast.

namespace {

constexpr int64_t kChains = 12;  // sums that do not wait for one another; more than a multiply-add takes cycles times units

// Floating-point operations done: two for each multiply-add.
int64_t multiply_adds(int64_t rounds) {
    Vec sums[kChains], factor = broadcast(0.999f), other = broadcast(0.001f);
#pragma GCC unroll 12
    for (int64_t i = 0; i < kChains; i++) sums[i] = broadcast(1.0f);
    for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int64_t i = 0; i < kChains; i++) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(sums[i]) : "v"(factor), "v"(other));
    }
    return rounds * kChains * kLanes * 2;
}

}  // namespace
