// The body of one instruction set's build. The includer has defined Vec, kLanes, kRows and the vector functions.
// Everything is in an anonymous namespace, so that no inline copy of one instruction set is linked into another.
#include <omp.h>

#include <cstring>

namespace {

using dlcore::SeparableArrays;
using dlcore::SeparableShape;

constexpr int64_t kPanel = 2 * kLanes;  // output channels of one column of a product
constexpr int64_t kPixels = 8;          // results of the plane by plane filter that are summed side by side
constexpr int64_t kBandRows = 8;        // a piece of work has at least so many rows of results

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// Of two operands of which one is no number the vector functions give the second: what is no number stays so.
inline Vec cut(Vec v, float low, float high) { return minimum(broadcast(high), maximum(broadcast(low), v)); }

// Where a product goes: `count` channels of the panel exist; residual may be null.
struct Target {
    const float* bias;
    const float* residual;
    float* y;
    int64_t step;  // floats from pixel to pixel
    int64_t count;
    float low, high;
};

// kCount pixels x kWide vectors of output channels, over all input channels in order.
template <int64_t kCount, int64_t kWide>
void multiply(const float* x, int64_t step, const float* w, int64_t channels, const Target& to) {
    Vec sums[kCount][kWide];
    for (int64_t j = 0; j < kWide; j++) {
        const Vec bias = load(to.bias + j * kLanes);
#pragma GCC unroll 16
        for (int64_t i = 0; i < kCount; i++) sums[i][j] = bias;
    }
    for (int64_t c = 0; c < channels; c++, w += kPanel) {
        Vec weights[kWide];
        for (int64_t j = 0; j < kWide; j++) weights[j] = load(w + j * kLanes);
#pragma GCC unroll 16
        for (int64_t i = 0; i < kCount; i++) {
            const Vec value = broadcast(x[i * step + c]);
            for (int64_t j = 0; j < kWide; j++) sums[i][j] += value * weights[j];
        }
    }
    for (int64_t j = 0; j < kWide; j++) {
        const int64_t count = to.count - j * kLanes;
#pragma GCC unroll 16
        for (int64_t i = 0; i < kCount; i++) {
            Vec sum = sums[i][j];
            if (to.residual) sum += load_first(to.residual + i * to.step + j * kLanes, count);
            sum = cut(sum, to.low, to.high);
            if (count >= kLanes) {
                store(to.y + i * to.step + j * kLanes, sum);
            } else {
                store_first(to.y + i * to.step + j * kLanes, sum, count);
            }
        }
    }
}

using Multiply = void (*)(const float*, int64_t, const float*, int64_t, const Target&);

template <int64_t kCount, int64_t kWide>
struct Products : Products<kCount - 1, kWide> {
    constexpr Products() { this->by_count[kCount] = multiply<kCount, kWide>; }
};
template <int64_t kWide>
struct Products<0, kWide> {
    Multiply by_count[kRows + 1] = {};
};
// constexpr: no code of this instruction set may run when the library is merely loaded.
constexpr Products<kRows, 1> narrow;
constexpr Products<kRows, 2> wide;

// A 1x1 convolution of one row of pixels: x (pixels, `step`) of `channels` -> y, `planes` of which are kept.
void multiply_row(const float* x, int64_t step, int64_t pixels, const float* w, int64_t channels, int64_t planes, Target to) {
    const float *residual = to.residual, *bias = to.bias;
    float* y = to.y;
    const int64_t groups = divide_up(pixels, kRows);
    for (int64_t plane = 0; plane < planes; plane += kPanel) {
        to.count = planes - plane, to.bias = bias + plane;
        const Multiply* kernels = to.count <= kLanes ? narrow.by_count : wide.by_count;
        for (int64_t group = 0, pixel = 0; group < groups; group++) {
            const int64_t height = pixels / groups + (group < pixels % groups);
            to.y = y + pixel * to.step + plane;
            to.residual = residual ? residual + pixel * to.step + plane : nullptr;
            kernels[height](x + pixel * step, step, w, channels, to);
            pixel += height;
        }
        w += channels * kPanel;
    }
}

// What the plane by plane filter reads: the rows under the kernel that are inside the image, and their weights.
struct Rows {
    const float* row[5];
    const float* weights;  // of the first of these rows
    int64_t count;
    int64_t planes;  // in whole vectors: floats from pixel to pixel, and from tap to tap
};

// kCount pixels of one vector of planes. Each column of pixels is loaded once and added to all results it belongs to.
template <int64_t kKernel, int64_t kStride, int64_t kCount>
void filter(const Rows& rows, int64_t at, Vec* sums) {
    for (int64_t r = 0; r < rows.count; r++) {
        const float *p = rows.row[r] + at, *w = rows.weights + r * kKernel * rows.planes;
        Vec taps[kKernel];
#pragma GCC unroll 8
        for (int64_t k = 0; k < kKernel; k++) taps[k] = load(w + k * rows.planes);
#pragma GCC unroll 32
        for (int64_t column = 0; column < (kCount - 1) * kStride + kKernel; column++) {
            const Vec value = load(p);
            p += rows.planes;
#pragma GCC unroll 8
            for (int64_t k = 0; k < kKernel; k++) {
                const int64_t ahead = column - k;
                if (ahead >= 0 && ahead % kStride == 0 && ahead / kStride < kCount) sums[ahead / kStride] += value * taps[k];
            }
        }
    }
}

template <int64_t kKernel, int64_t kStride, int64_t kCount>
void filter_pixels(const SeparableShape& s, const float* bias, const Rows& rows, int64_t pixel, float* y) {
    for (int64_t plane = 0; plane < rows.planes; plane += kLanes) {
        Vec sums[kCount];
        const Vec start = load(bias + plane);
#pragma GCC unroll 8
        for (int64_t i = 0; i < kCount; i++) sums[i] = start;
        Rows here = rows;
        here.weights += plane;
        filter<kKernel, kStride, kCount>(here, pixel * kStride * rows.planes + plane, sums);
#pragma GCC unroll 8
        for (int64_t i = 0; i < kCount; i++) store(y + (pixel + i) * rows.planes + plane, cut(sums[i], s.deep_low, s.deep_high));
    }
}

using Filter = void (*)(const SeparableShape&, const float*, const Rows&, int64_t, float*);

template <int64_t kKernel, int64_t kStride, int64_t kCount>
struct Filters : Filters<kKernel, kStride, kCount - 1> {
    constexpr Filters() { this->by_count[kCount] = filter_pixels<kKernel, kStride, kCount>; }
};
template <int64_t kKernel, int64_t kStride>
struct Filters<kKernel, kStride, 0> {
    Filter by_count[kPixels + 1] = {};
};
constexpr Filters<3, 1, kPixels> filters_3_1;
constexpr Filters<3, 2, kPixels> filters_3_2;
constexpr Filters<5, 1, kPixels> filters_5_1;
constexpr Filters<5, 2, kPixels> filters_5_2;

const Filter* filters(const SeparableShape& s) {
    if (s.kernel == 3) return s.stride == 1 ? filters_3_1.by_count : filters_3_2.by_count;
    return s.stride == 1 ? filters_5_1.by_count : filters_5_2.by_count;
}

// Memory of one thread: a ring of `kernel` rows of widened pixels with zeros beside them, and one row of filtered pixels.
struct Ring {
    int64_t planes, columns, row, size;

    explicit Ring(const SeparableShape& s) {
        planes = round_up(s.wide_channels, kLanes);
        columns = most(s.pad_left + s.width, (s.out_width - 1) * s.stride + s.kernel);
        row = columns * planes;
        size = round_up(s.kernel * row + s.out_width * planes, 16);
    }
};

// One row of the image, widened, into its place in the ring.
void widen(const SeparableShape& s, const SeparableArrays& arrays, const Ring& ring, const float* x, float* to) {
    to += s.pad_left * ring.planes;
    if (arrays.wide_weights) {
        const Target target = {arrays.wide_bias, nullptr, to, ring.planes, 0, s.wide_low, s.wide_high};
        multiply_row(x, s.in_channels, s.width, arrays.wide_weights, s.in_channels, ring.planes, target);
        return;
    }
    for (int64_t i = 0; i < s.width; i++) std::memcpy(to + i * ring.planes, x + i * s.in_channels, s.in_channels * sizeof(float));
}

// Rows `first` to `end` of one image's results.
void forward_band(const SeparableShape& s, const SeparableArrays& arrays, int64_t image, int64_t first, int64_t end, float* memory) {
    const Ring ring(s);
    const Filter* by_count = filters(s);
    float* deep = memory + s.kernel * ring.row;
    std::memset(memory, 0, s.kernel * ring.row * sizeof(float));
    int64_t done = most(first * s.stride - s.pad_top, 0);  // rows above are widened already, as far as they are needed
    for (int64_t out = first; out < end; out++) {
        const int64_t top = out * s.stride - s.pad_top, begin = most(top, 0), bottom = least(top + s.kernel, s.height);
        for (; done < bottom; done++) {
            const float* x = arrays.x + (image * s.height + done) * s.width * s.in_channels;
            widen(s, arrays, ring, x, memory + done % s.kernel * ring.row);
        }
        Rows rows = {{}, arrays.deep_weights + (begin - top) * s.kernel * ring.planes, bottom - begin, ring.planes};
        for (int64_t i = begin; i < bottom; i++) rows.row[i - begin] = memory + i % s.kernel * ring.row;
        for (int64_t pixel = 0; pixel < s.out_width; pixel += kPixels) {
            by_count[least(kPixels, s.out_width - pixel)](s, arrays.deep_bias, rows, pixel, deep);
        }
        const int64_t at = (image * s.out_height + out) * s.out_width * s.out_channels;
        const float* residual = arrays.residual ? arrays.residual + at : nullptr;
        const Target target = {arrays.out_bias, residual, arrays.y + at, s.out_channels, 0, s.out_low, s.out_high};
        multiply_row(deep, ring.planes, s.out_width, arrays.out_weights, ring.planes, s.out_channels, target);
    }
}

int64_t workspace_size(const SeparableShape& s) { return Ring(s).size * s.threads; }

// Bands of rows, each thread taking bands of its own: nothing to wait for. Rows between two bands are widened twice.
void forward(const SeparableShape& s, const SeparableArrays& arrays) {
    const int64_t size = Ring(s).size, wanted = s.threads == 1 ? 1 : divide_up(2 * s.threads, s.images);
    const int64_t bands = most(1, least(wanted, s.out_height / kBandRows));
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast<int>(s.threads))
    for (int64_t job = 0; job < s.images * bands; job++) {
        const int64_t band = job % bands;
        forward_band(s, arrays, job / bands, s.out_height * band / bands, s.out_height * (band + 1) / bands,
                     arrays.workspace + omp_get_thread_num() * size);
    }
}

}  // namespace
