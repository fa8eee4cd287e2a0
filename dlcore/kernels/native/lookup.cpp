// Rows of a table at numbers that count from 1.
#include <cstdint>
#include <cstring>

extern "C" {

// numbers: `count` floats, `step` apart. table (rows, width). y (count, width), whose rows are `y_step` floats apart. Returns the place
// of the first number outside 1 to `rows` (which is no number, too), or -1; what comes behind it is then not looked up.
int64_t dlcore_lookup(const float* numbers, int64_t step, int64_t count, const float* table, int64_t rows, int64_t width, float* y,
                      int64_t y_step) {
    const float end = static_cast<float>(rows) + 1;
    for (int64_t i = 0; i < count; i++) {
        const float number = numbers[i * step];
        if (!(number >= 1 && number < end)) return i;
        const int64_t row = static_cast<int64_t>(number) - 1;
        if (row >= rows) return i;  // where floats are further apart than 1
        std::memcpy(y + i * y_step, table + row * width, width * sizeof(float));
    }
    return -1;
}

}
