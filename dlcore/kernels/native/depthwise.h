// The gradient of the weights of a depthwise convolution, fp32, channels-last. One description of a call, and one function per
// instruction set.
#pragma once
#include <cstdint>

namespace dlcore {

// The Python side fills the same fields in the same order.
struct DepthwiseShape {
    int64_t images, height, width, channels;
    int64_t out_height, out_width;
    int64_t kernel, stride, pad_top, pad_left;  // kernel: 3, 5 or 7
};

// x (N, H, W, C), grad_y (N, OH, OW, C) -> grad_w (kernel, kernel, C).
void depthwise_gradient_avx512(const DepthwiseShape&, const float* x, const float* grad_y, float* grad_w);
void depthwise_gradient_avx2(const DepthwiseShape&, const float* x, const float* grad_y, float* grad_w);

}  // namespace dlcore
