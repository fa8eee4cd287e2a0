// The gradient of the weights, by the same 36 points: y = A^T [(G w G^T) * (B^T x B)] A, so the gradient of w is
// G^T [sum over tiles of (B^T x B) * (A grad_y A^T)] G. Included behind winograd_body.h.
namespace {

// From the four values of one side to six points: A.
inline void spread_out(Vec g0, Vec g1, Vec g2, Vec g3, Vec* out, int64_t s) {
    const Vec two = broadcast(2), four = broadcast(4), eight = broadcast(8);
    const Vec even = g0 + g2, odd = g1 + g3, even_far = g0 + four * g2, odd_far = two * g1 + eight * g3;
    out[0] = g0;
    out[s] = even + odd;
    out[2 * s] = even - odd;
    out[3 * s] = even_far + odd_far;
    out[4 * s] = even_far - odd_far;
    out[5 * s] = g3;
}

// Write the 36 points of one tile of the result's gradient, each into its own plane; zeros beyond the image's edge.
void gradient_tile(const Layout& layout, const float* grad_y, int64_t index, float* to, int64_t plane) {
    const ConvShape& s = layout.shape;
    const Tile tile(layout, index);
    for (int64_t channel = 0; channel < s.out_channels; channel += kLanes) {
        Vec columns[kIn * kOut], points[kPoints];
        for (int64_t j = 0; j < kOut; j++) {
            Vec g[kOut];
            for (int64_t i = 0; i < kOut; i++) {
                const int64_t row = tile.top + i * s.dilation, column = tile.left + j * s.dilation;
                const bool inside = row < s.out_height && column < s.out_width;
                const int64_t at = (tile.image * s.out_height + row) * s.out_width + column;
                g[i] = inside ? load_first(grad_y + at * s.out_channels + channel, s.out_channels - channel) : broadcast(0);
            }
            spread_out(g[0], g[1], g[2], g[3], columns + j, kOut);
        }
        for (int64_t i = 0; i < kIn; i++) {
            const Vec* row = columns + i * kOut;
            spread_out(row[0], row[1], row[2], row[3], points + i * kIn, 1);
        }
        for (int64_t i = 0; i < kPoints; i++) store(to + i * plane + channel, points[i]);
    }
}

// kCount input channels x kWide vectors of output channels: adds the products of all tiles of a block to `sums`.
template <int64_t kCount, int64_t kWide>
void correlate(const float* v, int64_t row_in, const float* g, int64_t row_out, int64_t tiles, float* sums, int64_t row) {
    Vec totals[kCount][kWide];
#pragma GCC unroll 16
    for (int64_t r = 0; r < kCount; r++) {
        for (int64_t w = 0; w < kWide; w++) totals[r][w] = load(sums + r * row + w * kLanes);
    }
    for (int64_t t = 0; t < tiles; t++, v += row_in, g += row_out) {
        Vec grads[kWide];
        for (int64_t w = 0; w < kWide; w++) grads[w] = load(g + w * kLanes);
#pragma GCC unroll 16
        for (int64_t r = 0; r < kCount; r++) {
            const Vec value = broadcast(v[r]);
            for (int64_t w = 0; w < kWide; w++) totals[r][w] += value * grads[w];
        }
    }
#pragma GCC unroll 16
    for (int64_t r = 0; r < kCount; r++) {
        for (int64_t w = 0; w < kWide; w++) store(sums + r * row + w * kLanes, totals[r][w]);
    }
}

using Correlate = void (*)(const float*, int64_t, const float*, int64_t, int64_t, float*, int64_t);

template <int64_t kCount, int64_t kWide>
struct Correlations : Correlations<kCount - 1, kWide> {
    constexpr Correlations() { this->by_count[kCount] = correlate<kCount, kWide>; }
};
template <int64_t kWide>
struct Correlations<0, kWide> {
    Correlate by_count[kRows + 1] = {};
};
constexpr Correlations<kRows, 1> narrow_correlations;
constexpr Correlations<kRows, 2> wide_correlations;

// One point, one panel of output channels, all input channels.
void correlate_panel(const Layout& layout, const float* v, const float* g, int64_t tiles, float* sums, int64_t panel) {
    const bool is_narrow = layout.shape.out_channels - panel * kPanel <= kLanes;
    const Correlate* kernels = is_narrow ? narrow_correlations.by_count : wide_correlations.by_count;
    const int64_t channels = layout.shape.in_channels, groups = divide_up(channels, kRows), row = layout.panels * kPanel;
    for (int64_t group = 0, first_channel = 0; group < groups; group++) {
        const int64_t height = channels / groups + (group < channels % groups);
        kernels[height](v + first_channel, layout.row_in, g + panel * kPanel, layout.row_out, tiles,
                        sums + first_channel * row + panel * kPanel, row);
        first_channel += height;
    }
}

// G^T S G for kLanes output channels of one input channel; the points of `sums` are `plane` apart.
void gather_lanes(const float* sums, int64_t plane, float (*taps)[kLanes]) {
    Vec down[3][kIn];
    for (int64_t j = 0; j < kIn; j++) {
        Vec column[kIn];
        for (int64_t i = 0; i < kIn; i++) column[i] = load(sums + (i * kIn + j) * plane);
        for (int64_t a = 0; a < 3; a++) {
            down[a][j] = broadcast(0);
            for (int64_t i = 0; i < kIn; i++) down[a][j] += broadcast(static_cast<float>(kG[i][a])) * column[i];
        }
    }
    for (int64_t a = 0; a < 3; a++) {
        for (int64_t b = 0; b < 3; b++) {
            Vec total = broadcast(0);
            for (int64_t j = 0; j < kIn; j++) total += broadcast(static_cast<float>(kG[j][b])) * down[a][j];
            store(taps[a * 3 + b], total);
        }
    }
}

// From the sums (point, C, panels * kPanel) to the gradient (K, C, 3, 3).
void gather_weights(const Layout& layout, const float* sums, float* grad_w) {
    const int64_t channels = layout.shape.in_channels, row = layout.panels * kPanel;
    for (int64_t first_channel = 0; first_channel < layout.shape.out_channels; first_channel += kLanes) {
        const int64_t count = least(kLanes, layout.shape.out_channels - first_channel);
        for (int64_t c = 0; c < channels; c++) {
            float taps[9][kLanes];
            gather_lanes(sums + c * row + first_channel, channels * row, taps);
            for (int64_t k = 0; k < count; k++) {
                float* to = grad_w + ((first_channel + k) * channels + c) * 9;
                for (int64_t tap = 0; tap < 9; tap++) to[tap] = taps[tap][k];
            }
        }
    }
}

// Few tiles where the sums stay in the cache beside them, more where each block has to fetch the sums anew.
int64_t gradient_block(const Layout& layout) {
    const int64_t tiles = layout.shape.in_channels * layout.shape.out_channels < 64 * 64 ? 28 : 56;
    return least(tiles, layout.tiles);
}

int64_t gradient_workspace_size(const ConvShape& s) {
    const Layout layout(s);
    return layout.block_size(gradient_block(layout)) + kPoints * s.in_channels * layout.panels * kPanel;
}

// On one thread. Reads arrays.x and, as arrays.y, the gradient of the result; writes grad_w (K, C, 3, 3).
void weight_gradient(const ConvShape& s, const ConvArrays& arrays, float* grad_w) {
    const Layout layout(s);
    const int64_t block = gradient_block(layout), size = s.in_channels * layout.panels * kPanel;
    float* sums = arrays.workspace;
    float* v = sums + kPoints * size;
    for (int64_t i = 0; i < kPoints * size; i++) sums[i] = 0;
    for (int64_t start = 0; start < layout.tiles; start += block) {
        const int64_t count = least(block, layout.tiles - start);
        const int64_t plane_in = layout.plane_in(count), plane_out = layout.plane_out(count);
        float* g = v + kPoints * plane_in;
        for (int64_t i = 0; i < count; i++) {
            input_tile(layout, arrays.x, start + i, v + i * layout.row_in, plane_in);
            gradient_tile(layout, arrays.y, start + i, g + i * layout.row_out, plane_out);
        }
        for (int64_t job = 0; job < kPoints * layout.panels; job++) {
            const int64_t point = job / layout.panels;
            correlate_panel(layout, v + point * plane_in, g + point * plane_out, count, sums + point * size,
                            job % layout.panels);
        }
    }
    gather_weights(layout, sums, grad_w);
}

}  // namespace
