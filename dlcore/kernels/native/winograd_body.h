// The body of one instruction set's build. The includer has defined Vec, kLanes, kRows and the vector functions.
// Everything is in an anonymous namespace, so that no inline copy of one instruction set is linked into another.
// Layouts and the reasons for them: README.md.
#include <omp.h>

namespace {

using dlcore::ConvArrays;
using dlcore::ConvShape;
using dlcore::Pool;

constexpr int64_t kIn = 6, kOut = 4, kPoints = kIn * kIn;
constexpr int64_t kPanel = 2 * kLanes;  // output channels of one column of the product
constexpr int64_t kSkew = 16;           // floats between rows and planes, so that they don't share cache sets

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// What follows from a ConvShape: the grid of tiles, and strides in floats.
struct Layout {
    const ConvShape& shape;
    int64_t tiles_down, tiles_across;  // of one phase of the dilation
    int64_t tiles_per_image, tiles;
    int64_t panels;
    int64_t row_in, row_out;  // between tiles in the transformed input and in the products

    explicit Layout(const ConvShape& s) : shape(s) {
        tiles_down = divide_up(divide_up(s.out_height, s.dilation), kOut);
        tiles_across = divide_up(divide_up(s.out_width, s.dilation), kOut);
        tiles_per_image = s.dilation * s.dilation * tiles_down * tiles_across;
        tiles = s.images * tiles_per_image;
        panels = divide_up(s.out_channels, kPanel);
        row_in = round_up(s.in_channels, kLanes) + kSkew;
        row_out = panels * kPanel + kSkew;
    }
    int64_t plane_in(int64_t count) const { return count * row_in + kSkew; }
    int64_t plane_out(int64_t count) const { return count * row_out + kSkew; }
    int64_t block_size(int64_t count) const { return kPoints * (plane_in(count) + plane_out(count)); }
};

// Where tile `index` lies. With dilation d a convolution is d*d plain ones, each over every d-th pixel.
struct Tile {
    int64_t image, top, left;  // of its first output pixel
    Tile(const Layout& layout, int64_t index) {
        const int64_t d = layout.shape.dilation;
        image = index / layout.tiles_per_image;
        int64_t rest = index % layout.tiles_per_image;
        const int64_t across = rest % layout.tiles_across;
        rest /= layout.tiles_across;
        const int64_t down = rest % layout.tiles_down;
        const int64_t phase = rest / layout.tiles_down;
        top = phase / d + down * kOut * d;
        left = phase % d + across * kOut * d;
    }
};

// B^T of the interpolation points 0, 1, -1, 2, -2, infinity; `s` is the step between the six results.
inline void transform_in(Vec d0, Vec d1, Vec d2, Vec d3, Vec d4, Vec d5, Vec* out, int64_t s) {
    const Vec two = broadcast(2), four = broadcast(4), five = broadcast(5);
    const Vec a = d4 - four * d2, b = d3 - four * d1, c = d4 - d2, d = (d3 - d1) * two;
    out[0] = four * d0 - five * d2 + d4;
    out[s] = a + b;
    out[2 * s] = a - b;
    out[3 * s] = c + d;
    out[4 * s] = c - d;
    out[5 * s] = four * d1 - five * d3 + d5;
}

// A^T of the same points.
inline void transform_out(Vec m0, Vec m1, Vec m2, Vec m3, Vec m4, Vec m5, Vec* out, int64_t s) {
    const Vec a = m1 + m2, b = m1 - m2, c = m3 + m4, d = m3 - m4;
    out[0] = m0 + a + c;
    out[s] = b + broadcast(2) * d;
    out[2 * s] = a + broadcast(4) * c;
    out[3 * s] = b + broadcast(8) * d + m5;
}

template <bool kInside, bool kWhole>
inline Vec pixel(const ConvShape& s, const float* image, int64_t y, int64_t x, int64_t channel) {
    if (!kInside && (y < 0 || x < 0 || y >= s.height || x >= s.width)) return broadcast(0);
    const float* p = image + (y * s.width + x) * s.in_channels + channel;
    return kWhole ? load(p) : load_first(p, s.in_channels - channel);
}

// Ask for what the tile to the right has besides this one's pixels: columns 6 to 9.
inline void prefetch_next(const ConvShape& s, const float* image, int64_t top, int64_t column, int64_t channel) {
    for (int64_t i = 0; i < kIn; i++) {
        __builtin_prefetch(image + ((top + i * s.dilation) * s.width + column) * s.in_channels + channel);
    }
}

template <bool kInside, bool kWhole>
inline void input_chunk(const ConvShape& s, const float* image, int64_t top, int64_t left, int64_t channel, float* to,
                        int64_t plane) {
    Vec columns[kPoints], points[kPoints];
    const int64_t d = s.dilation;
    for (int64_t j = 0; j < kIn; j++) {
        Vec p[kIn];
        for (int64_t i = 0; i < kIn; i++) p[i] = pixel<kInside, kWhole>(s, image, top + i * d, left + j * d, channel);
        if (kInside && j >= kIn - kOut) prefetch_next(s, image, top, left + (j + kOut) * d, channel);
        transform_in(p[0], p[1], p[2], p[3], p[4], p[5], columns + j, kIn);
    }
    for (int64_t i = 0; i < kIn; i++) {
        const Vec* row = columns + i * kIn;
        transform_in(row[0], row[1], row[2], row[3], row[4], row[5], points + i * kIn, 1);
    }
    for (int64_t i = 0; i < kPoints; i++) store(to + i * plane + channel, points[i]);
}

// Write the 36 points of one input tile, each into its own plane.
void input_tile(const Layout& layout, const float* x, int64_t index, float* to, int64_t plane) {
    const ConvShape& s = layout.shape;
    const Tile tile(layout, index);
    const int64_t top = tile.top - s.pad_top, left = tile.left - s.pad_left, reach = (kIn - 1) * s.dilation;
    const bool inside = top >= 0 && left >= 0 && top + reach < s.height && left + reach < s.width;
    const float* image = x + tile.image * s.height * s.width * s.in_channels;
    int64_t channel = 0;
    for (; channel + kLanes <= s.in_channels; channel += kLanes) {
        if (inside) {
            input_chunk<true, true>(s, image, top, left, channel, to, plane);
        } else {
            input_chunk<false, true>(s, image, top, left, channel, to, plane);
        }
    }
    if (channel < s.in_channels) input_chunk<false, false>(s, image, top, left, channel, to, plane);
}

// Store, and ask for where the tile to the right will store, `ahead` floats on: these misses cost half of the third pass.
inline void put(float* p, Vec v, int64_t count, int64_t ahead) {
    __builtin_prefetch(p + ahead, 1);
    if (count >= kLanes) {
        store(p, v);
    } else {
        store_first(p, v, count);
    }
}

// Write 4x4 results; pixels that lie `dilation` apart.
inline void put_plain(const ConvShape& s, const Tile& tile, const Vec* out, float* y, int64_t channel) {
    const int64_t count = s.out_channels - channel;
    for (int64_t i = 0; i < kOut; i++) {
        const int64_t row = tile.top + i * s.dilation;
        if (row >= s.out_height) break;
        for (int64_t j = 0; j < kOut; j++) {
            const int64_t column = tile.left + j * s.dilation;
            if (column >= s.out_width) break;
            const int64_t at = ((tile.image * s.out_height + row) * s.out_width + column) * s.out_channels + channel;
            put(y + at, out[i * kOut + j], count, kOut * s.dilation * s.out_channels);
        }
    }
}

// Write 2x2 maxima. A window over the edge (ceil) takes the pixels there are.
inline void put_pooled(const ConvShape& s, const Tile& tile, const Vec* out, float* y, int64_t channel) {
    const int64_t extra = s.pool == Pool::ceil ? 1 : 0;
    const int64_t height = (s.out_height + extra) / 2, width = (s.out_width + extra) / 2;
    for (int64_t i = 0; i < kOut; i += 2) {
        const int64_t row = (tile.top + i) / 2;
        if (row >= height) break;
        for (int64_t j = 0; j < kOut; j += 2) {
            const int64_t column = (tile.left + j) / 2;
            if (column >= width) break;
            const bool right = tile.left + j + 1 < s.out_width, below = tile.top + i + 1 < s.out_height;
            const Vec* corner = out + i * kOut + j;
            Vec most = corner[0];
            if (right) most = maximum(most, corner[1]);
            if (below) most = maximum(most, corner[kOut]);
            if (right && below) most = maximum(most, corner[kOut + 1]);
            const int64_t at = ((tile.image * height + row) * width + column) * s.out_channels + channel;
            put(y + at, most, s.out_channels - channel, kOut / 2 * s.out_channels);
        }
    }
}

inline void add_residual(const ConvShape& s, const Tile& tile, const float* residual, int64_t channel, Vec* out) {
    const int64_t count = s.out_channels - channel;
    for (int64_t i = 0; i < kOut && tile.top + i * s.dilation < s.out_height; i++) {
        for (int64_t j = 0; j < kOut && tile.left + j * s.dilation < s.out_width; j++) {
            const int64_t row = tile.image * s.out_height + tile.top + i * s.dilation;
            const float* p = residual + (row * s.out_width + tile.left + j * s.dilation) * s.out_channels + channel;
            out[i * kOut + j] += load_first(p, count);
        }
    }
}

// From the 36 products of one tile to its pixels: A^T M A, bias, residual, ReLU, pooling.
void output_tile(const Layout& layout, const ConvArrays& arrays, int64_t index, const float* from, int64_t plane) {
    const ConvShape& s = layout.shape;
    const Tile tile(layout, index);
    for (int64_t channel = 0; channel < s.out_channels; channel += kLanes) {
        Vec columns[kOut * kIn], out[kOut * kOut];
        for (int64_t j = 0; j < kIn; j++) {
            Vec m[kIn];
            for (int64_t i = 0; i < kIn; i++) m[i] = load(from + (i * kIn + j) * plane + channel);
            transform_out(m[0], m[1], m[2], m[3], m[4], m[5], columns + j, kIn);
        }
        for (int64_t i = 0; i < kOut; i++) {
            const Vec* row = columns + i * kIn;
            transform_out(row[0], row[1], row[2], row[3], row[4], row[5], out + i * kOut, 1);
        }
        const Vec bias = load_first(arrays.bias + channel, s.out_channels - channel);
        for (Vec& v : out) v += bias;
        if (arrays.residual) add_residual(s, tile, arrays.residual, channel, out);
        if (s.relu) {
            for (Vec& v : out) v = maximum(v, broadcast(0));
        }
        if (s.pool == Pool::none) {
            put_plain(s, tile, out, arrays.y, channel);
        } else {
            put_pooled(s, tile, out, arrays.y, channel);
        }
    }
}

// kCount tiles x kWide vectors of output channels, over all input channels in order.
template <int64_t kCount, int64_t kWide>
void multiply(const float* v, int64_t row_in, const float* u, float* m, int64_t row_out, int64_t in_channels) {
    constexpr int64_t kAhead = 16 * kPanel;
    Vec sums[kCount][kWide];
#pragma GCC unroll 16
    for (int64_t r = 0; r < kCount; r++) {
        for (int64_t w = 0; w < kWide; w++) sums[r][w] = broadcast(0);
    }
    for (int64_t c = 0; c < in_channels; c++, u += kPanel) {
        Vec weights[kWide];
        for (int64_t w = 0; w < kWide; w++) {
            weights[w] = load(u + w * kLanes);
            __builtin_prefetch(u + w * kLanes + kAhead);
        }
#pragma GCC unroll 16
        for (int64_t r = 0; r < kCount; r++) {
            const Vec value = broadcast(v[r * row_in + c]);
            for (int64_t w = 0; w < kWide; w++) sums[r][w] += value * weights[w];
        }
    }
#pragma GCC unroll 16
    for (int64_t r = 0; r < kCount; r++) {
        for (int64_t w = 0; w < kWide; w++) store(m + r * row_out + w * kLanes, sums[r][w]);
    }
}

using Multiply = void (*)(const float*, int64_t, const float*, float*, int64_t, int64_t);

template <int64_t kCount, int64_t kWide>
struct Kernels : Kernels<kCount - 1, kWide> {
    constexpr Kernels() { this->by_count[kCount] = multiply<kCount, kWide>; }
};
template <int64_t kWide>
struct Kernels<0, kWide> {
    Multiply by_count[kRows + 1] = {};
};
// constexpr: no code of this instruction set may run when the library is merely loaded.
constexpr Kernels<kRows, 1> narrow;
constexpr Kernels<kRows, 2> wide;

// One point, one panel of output channels, `count` tiles: in groups of nearly equal height.
void multiply_panel(const Layout& layout, const float* v, const float* u, float* m, int64_t count, int64_t panel) {
    const bool is_narrow = layout.shape.out_channels - panel * kPanel <= kLanes;
    const Multiply* kernels = is_narrow ? narrow.by_count : wide.by_count;
    const int64_t groups = divide_up(count, kRows);
    for (int64_t group = 0, row = 0; group < groups; group++) {
        const int64_t height = count / groups + (group < count % groups);
        kernels[height](v + row * layout.row_in, layout.row_in, u, m + row * layout.row_out + panel * kPanel,
                        layout.row_out, layout.shape.in_channels);
        row += height;
    }
}

// How the tiles are cut into blocks, and whether each thread has blocks of its own or all work on one.
struct Blocking {
    int64_t tiles;
    bool is_shared;
};

Blocking choose_blocking(const Layout& layout) {
    const ConvShape& s = layout.shape;
    if (s.block) return {least(s.block < 0 ? -s.block : s.block, layout.tiles), s.block < 0};
    // Few channels: the weights stay in the cache, so one column of tiles at a time, whose transforms do as well.
    const int64_t tiles = s.in_channels * s.out_channels <= 256 * 256 ? kRows : 7 * kRows;
    if (layout.tiles < tiles * s.threads) return {least(layout.tiles, 14 * kRows), true};
    return {least(tiles, divide_up(layout.tiles, s.threads)), false};
}

// One block, each thread its own: nothing to wait for.
void forward_private(const Layout& layout, const ConvArrays& arrays, int64_t block) {
    const ConvShape& s = layout.shape;
#pragma omp parallel num_threads(static_cast<int>(s.threads))
    {
        float* v = arrays.workspace + omp_get_thread_num() * layout.block_size(block);
#pragma omp for schedule(dynamic, 1)
        for (int64_t start = 0; start < layout.tiles; start += block) {
            const int64_t count = least(block, layout.tiles - start);
            const int64_t plane_in = layout.plane_in(count), plane_out = layout.plane_out(count);
            float* m = v + kPoints * plane_in;
            for (int64_t i = 0; i < count; i++) input_tile(layout, arrays.x, start + i, v + i * layout.row_in, plane_in);
            for (int64_t job = 0; job < kPoints * layout.panels; job++) {
                const int64_t point = job / layout.panels;
                multiply_panel(layout, v + point * plane_in, arrays.weights + job * s.in_channels * kPanel,
                               m + point * plane_out, count, job % layout.panels);
            }
            for (int64_t i = 0; i < count; i++) output_tile(layout, arrays, start + i, m + i * layout.row_out, plane_out);
        }
    }
}

// All threads on one block, stage by stage: for few tiles and many channels, so that the weights are read once.
void forward_shared(const Layout& layout, const ConvArrays& arrays, int64_t block) {
    const ConvShape& s = layout.shape;
#pragma omp parallel num_threads(static_cast<int>(s.threads))
    for (int64_t start = 0; start < layout.tiles; start += block) {
        const int64_t count = least(block, layout.tiles - start);
        const int64_t plane_in = layout.plane_in(count), plane_out = layout.plane_out(count);
        float* v = arrays.workspace;
        float* m = v + kPoints * plane_in;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++) input_tile(layout, arrays.x, start + i, v + i * layout.row_in, plane_in);
#pragma omp for schedule(dynamic, 4)
        for (int64_t job = 0; job < kPoints * layout.panels; job++) {
            const int64_t point = job / layout.panels;
            multiply_panel(layout, v + point * plane_in, arrays.weights + job * s.in_channels * kPanel,
                           m + point * plane_out, count, job % layout.panels);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++) output_tile(layout, arrays, start + i, m + i * layout.row_out, plane_out);
    }
}

int64_t weights_size(int64_t in_channels, int64_t out_channels) {
    return kPoints * round_up(out_channels, kPanel) * in_channels;
}

int64_t workspace_size(const ConvShape& s) {
    const Layout layout(s);
    const Blocking blocking = choose_blocking(layout);
    return layout.block_size(blocking.tiles) * (blocking.is_shared ? 1 : s.threads);
}

void forward(const ConvShape& s, const ConvArrays& arrays) {
    const Layout layout(s);
    const Blocking blocking = choose_blocking(layout);
    (blocking.is_shared ? forward_shared : forward_private)(layout, arrays, blocking.tiles);
}

// G of the same points, from 3 taps to 6.
const double kG[kIn][3] = {{1 / 4.0, 0, 0},          {-1 / 6.0, -1 / 6.0, -1 / 6.0}, {-1 / 6.0, 1 / 6.0, -1 / 6.0},
                           {1 / 24.0, 1 / 12.0, 1 / 6.0}, {1 / 24.0, -1 / 12.0, 1 / 6.0}, {0, 0, 1}};

// G w G^T for up to kPanel output channels of one input channel; rows of `prepared` are `plane` apart.
void prepare_panel(const float* w, float* prepared, int64_t plane, int64_t count, int64_t step) {
    double taps[9][kPanel] = {}, down[kIn][3][kPanel];
    for (int64_t k = 0; k < count; k++) {
        for (int64_t i = 0; i < 9; i++) taps[i][k] = w[k * step + i];
    }
    for (int64_t i = 0; i < kIn; i++) {
        for (int64_t j = 0; j < 3; j++) {
            for (int64_t k = 0; k < kPanel; k++) {
                down[i][j][k] = kG[i][0] * taps[j][k] + kG[i][1] * taps[3 + j][k] + kG[i][2] * taps[6 + j][k];
            }
        }
    }
    for (int64_t point = 0; point < kPoints; point++) {
        const double(*row)[kPanel] = down[point / kIn];
        const double* g = kG[point % kIn];
        float* to = prepared + point * plane;
        for (int64_t k = 0; k < kPanel; k++) to[k] = static_cast<float>(g[0] * row[0][k] + g[1] * row[1][k] + g[2] * row[2][k]);
    }
}

// From (K, C, 3, 3) to (point, panel, input channel, 2 vectors of output channels), zeros behind the last.
void prepare(const float* w, float* prepared, int64_t out_channels, int64_t in_channels) {
    const int64_t panels = divide_up(out_channels, kPanel);
    for (int64_t panel = 0; panel < panels; panel++) {
        const int64_t first_channel = panel * kPanel, count = least(kPanel, out_channels - first_channel);
        for (int64_t c = 0; c < in_channels; c++) {
            prepare_panel(w + (first_channel * in_channels + c) * 9, prepared + (panel * in_channels + c) * kPanel,
                          panels * in_channels * kPanel, count, in_channels * 9);
        }
    }
}

}  // namespace
