// An inverted residual block in one pass, fp32, channels-last (Sandler et al. 2018, "MobileNetV2"): pixels are widened by a 1x1
// convolution, filtered plane by plane, narrowed by a 1x1 convolution. One description of a call, and one table of functions per
// instruction set.
#pragma once
#include <cstdint>

namespace dlcore {

// Everything about a call but its pointers; the Python side fills the same fields in the same order.
struct SeparableShape {
    int64_t images, height, width, in_channels, wide_channels, out_channels;
    int64_t out_height, out_width;
    int64_t kernel, stride, pad_top, pad_left;  // of the plane by plane filter: 3 or 5, 1 or 2
    int64_t threads;
    float wide_low, wide_high;  // what the three results are cut to
    float deep_low, deep_high;
    float out_low, out_high;
};

struct SeparableArrays {
    const float* x;             // (N, H, W, C)
    const float* wide_weights;  // null: x is not widened; else (panel, C, 2 vectors), zeros behind the last plane
    const float* wide_bias;     // of whole panels
    const float* deep_weights;  // (kernel * kernel, planes in whole vectors)
    const float* deep_bias;
    const float* out_weights;  // (panel, planes in whole vectors, 2 vectors)
    const float* out_bias;     // of whole panels
    const float* residual;     // null, or added before the cut, shaped like the result
    float* y;                  // (N, OH, OW, K)
    float* workspace;
};

struct Separable {
    int64_t lanes;                                        // floats in a vector
    int64_t (*workspace_size)(const SeparableShape&);     // floats
    void (*forward)(const SeparableShape&, const SeparableArrays&);
};

extern const Separable separable_avx512;
extern const Separable separable_avx2;

}  // namespace dlcore
