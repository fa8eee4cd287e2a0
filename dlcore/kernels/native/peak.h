// As many multiply-adds as the CPU can do: the peak that other kernels are measured by.
#pragma once
#include <cstdint>

namespace dlcore {

int64_t multiply_adds_avx512(int64_t rounds);
int64_t multiply_adds_avx2(int64_t rounds);

}  // namespace dlcore
