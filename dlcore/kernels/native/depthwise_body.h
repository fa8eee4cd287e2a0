// The body of one instruction set's build. The includer has defined Vec, kLanes, kSums and the vector functions.
#include <cstring>

namespace {

using dlcore::DepthwiseShape;

// `kTaps` rows of the kernel, from row `first` on, of one vector of channels of one image, added to `totals` (kernel, kernel, C).
template <int64_t kKernel, int64_t kTaps>
void add_image(const DepthwiseShape& s, const float* x, const float* grad_y, int64_t first, int64_t count, float* totals) {
    Vec sums[kTaps][kKernel];
    for (int64_t i = 0; i < kTaps; i++) {
        for (int64_t k = 0; k < kKernel; k++) sums[i][k] = broadcast(0);
    }
    for (int64_t row = 0; row < s.out_height; row++) {
        const int64_t top = row * s.stride - s.pad_top + first;
        for (int64_t column = 0; column < s.out_width; column++) {
            const Vec grad = load_first(grad_y + (row * s.out_width + column) * s.channels, count);
            const int64_t left = column * s.stride - s.pad_left;
            const bool inside = top >= 0 && top + kTaps <= s.height && left >= 0 && left + kKernel <= s.width;
            const float* p = x + (top * s.width + left) * s.channels;
            if (inside && count >= kLanes) {
#pragma GCC unroll 8
                for (int64_t i = 0; i < kTaps; i++) {
#pragma GCC unroll 8
                    for (int64_t k = 0; k < kKernel; k++) sums[i][k] += load(p + (i * s.width + k) * s.channels) * grad;
                }
                continue;
            }
#pragma GCC unroll 8
            for (int64_t i = 0; i < kTaps; i++) {
                if (top + i < 0 || top + i >= s.height) continue;
#pragma GCC unroll 8
                for (int64_t k = 0; k < kKernel; k++) {
                    if (left + k < 0 || left + k >= s.width) continue;
                    sums[i][k] += load_first(p + (i * s.width + k) * s.channels, count) * grad;
                }
            }
        }
    }
    for (int64_t i = 0; i < kTaps; i++) {
        for (int64_t k = 0; k < kKernel; k++) {
            float* total = totals + ((first + i) * kKernel + k) * s.channels;
            store_first(total, load_first(total, count) + sums[i][k], count);
        }
    }
}

// Image by image: one stays in the cache while its channels pass, and no sum has too many terms for its precision.
template <int64_t kKernel>
void gradient(const DepthwiseShape& s, const float* x, const float* grad_y, float* grad_w) {
    constexpr int64_t kTaps = kKernel * kKernel <= kSums ? kKernel : 1;  // as many rows as there are registers for
    std::memset(grad_w, 0, kKernel * kKernel * s.channels * sizeof(float));
    for (int64_t image = 0; image < s.images; image++) {
        const float* from = x + image * s.height * s.width * s.channels;
        const float* grads = grad_y + image * s.out_height * s.out_width * s.channels;
        for (int64_t channel = 0; channel < s.channels; channel += kLanes) {
            for (int64_t first = 0; first < kKernel; first += kTaps) {
                add_image<kKernel, kTaps>(s, from + channel, grads + channel, first, s.channels - channel, grad_w + channel);
            }
        }
    }
}

void depthwise_gradient(const DepthwiseShape& s, const float* x, const float* grad_y, float* grad_w) {
    (s.kernel == 3 ? gradient<3> : s.kernel == 5 ? gradient<5> : gradient<7>)(s, x, grad_y, grad_w);
}

}  // namespace
