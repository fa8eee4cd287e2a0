// What chooses among numbers found, compiled for any CPU: a template of the standard library that three files of other instructions
// had each made would be linked once, for all.
#include <algorithm>

#include "hamming_scan.h"

void dlcore::best_first(uint64_t* numbers, int64_t count, int64_t k) { std::nth_element(numbers, numbers + k - 1, numbers + count); }

void dlcore::sort(uint64_t* numbers, int64_t count) { std::sort(numbers, numbers + count); }
