// Winograd convolution F(4x4, 3x3), forward, fp32, channels-last (Lavin and Gray 2015, "Fast Algorithms for
// Convolutional Neural Networks"). One description of a call, and one table of functions per instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

namespace dlcore {

enum class Pool : int64_t { none = 0, floor = 1, ceil = 2 };  // of 2x2, stride 2, behind bias and ReLU

// Everything about a call but its pointers; the Python side fills the same fields in the same order.
struct ConvShape {
    int64_t images, height, width, in_channels, out_channels;
    int64_t out_height, out_width;  // of the convolution, before pooling
    int64_t pad_top, pad_left, dilation;
    int64_t relu;
    Pool pool;
    int64_t threads;
    int64_t block;  // tiles in a block; 0: choose
};

struct ConvArrays {
    const float* x;         // (N, H, W, C)
    const float* weights;   // as prepared by `prepare`
    const float* bias;      // (K,)
    const float* residual;  // null, or added before the ReLU, shaped like the result
    float* y;               // (N, OH, OW, K), or pooled; its gradient, only read, for `weight_gradient`
    float* workspace;
};

struct Winograd {
    int64_t (*weights_size)(int64_t in_channels, int64_t out_channels);  // floats
    int64_t (*workspace_size)(const ConvShape&);                         // floats
    void (*prepare)(const float* w, float* prepared, int64_t out_channels, int64_t in_channels);  // from (K, C, 3, 3)
    void (*forward)(const ConvShape&, const ConvArrays&);
    int64_t (*gradient_workspace_size)(const ConvShape&);  // floats
    void (*weight_gradient)(const ConvShape&, const ConvArrays&, float* grad_w);
};

extern const Winograd winograd_avx512;
extern const Winograd winograd_avx2;

}  // namespace dlcore
