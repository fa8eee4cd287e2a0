// Passes over rows: softmax, layer normalisation, local response normalisation, sums of rows by number.
#include <math.h>

#include <cstring>

#include "training_pieces.h"

namespace {

using dlcore::Lrn;
using dlcore::Rows;

typedef float Lanes __attribute__((vector_size(32), aligned(4)));
constexpr int64_t kLanes = 8;

float largest(const float* x, int64_t width) {
    float found = -HUGE_VALF;
    int64_t i = 0;
    if (width >= kLanes) {
        Lanes lanes = *reinterpret_cast<const Lanes*>(x);
        for (i = kLanes; i + kLanes <= width; i += kLanes) {
            const Lanes next = *reinterpret_cast<const Lanes*>(x + i);
            lanes = next > lanes ? next : lanes;
        }
        for (int64_t k = 0; k < kLanes; k++) found = lanes[k] > found ? lanes[k] : found;
    }
    for (; i < width; i++) found = x[i] > found ? x[i] : found;
    return found;
}

// e^x, x <= 0, by 2^n e^r with |r| <= ln(2) / 2 and a polynomial of degree 6 (Moshier's Cephes, expf); 0 where floats end, and what is no
// number stays so.
inline float exponential(float x) {
    const float held = x < -87.0f ? -87.0f : x;
    const float n = (held * 1.44269504f + 12582912.0f) - 12582912.0f;  // to the nearest whole number
    const float r = (held - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n == n ? n : 0.0f) + 127) << 23;
    float power;
    __builtin_memcpy(&power, &bits, sizeof power);
    return x < -87.0f ? 0.0f : p * power;
}

void softmax(const Rows& s, const float* x, float* y, int64_t is_log) {
    in_rows(s.count, s.width, s.threads, [=](int64_t first, int64_t end) {
        for (int64_t row = first; row < end; row++) {
            const float* from = x + row * s.width;
            float* __restrict to = y + row * s.width;
            const float most = largest(from, s.width);
            float sum = 0;
            if (is_log) {
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < s.width; i++) sum += exponential(from[i] - most);
                const float log = logf(sum);
                for (int64_t i = 0; i < s.width; i++) to[i] = (from[i] - most) - log;
                continue;
            }
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < s.width; i++) {
                const float part = exponential(from[i] - most);
                to[i] = part;
                sum += part;
            }
            for (int64_t i = 0; i < s.width; i++) to[i] = to[i] / sum;
        }
    });
}

void softmax_backward(const Rows& s, const float* grad_y, const float* y, float* grad_x, int64_t is_log) {
    in_rows(s.count, s.width, s.threads, [=](int64_t first, int64_t end) {
        for (int64_t row = first; row < end; row++) {
            const float *grad = grad_y + row * s.width, *own = y + row * s.width;
            float* __restrict to = grad_x + row * s.width;
            float sum = 0;
            if (is_log) {
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < s.width; i++) sum += grad[i];
                for (int64_t i = 0; i < s.width; i++) to[i] = grad[i] - exponential(own[i]) * sum;
                continue;
            }
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < s.width; i++) sum += grad[i] * own[i];
            for (int64_t i = 0; i < s.width; i++) to[i] = own[i] * (grad[i] - sum);
        }
    });
}

void layer_norm(const Rows& s, const float* x, const float* gamma, const float* beta, float eps, float* y, float* mean,
                float* inverse) {
    in_rows(s.count, s.width, s.threads, [=](int64_t first, int64_t end) {
        const float width = static_cast<float>(s.width);
        for (int64_t row = first; row < end; row++) {
            const float* from = x + row * s.width;
            float* __restrict to = y + row * s.width;
            float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < s.width; i++) sum += from[i];
            const float middle = sum / width;
#pragma omp simd reduction(+ : squares)
            for (int64_t i = 0; i < s.width; i++) squares += (from[i] - middle) * (from[i] - middle);
            const float scale = 1.0f / __builtin_sqrtf(squares / width + eps);
            for (int64_t i = 0; i < s.width; i++) to[i] = (from[i] - middle) * scale * gamma[i] + beta[i];
            mean[row] = middle;
            inverse[row] = scale;
        }
    });
}

void layer_norm_backward(const Rows& s, const float* grad_y, const float* x, const float* gamma, const float* mean,
                         const float* inverse, float* grad_x, float* sums, int64_t parts) {
    std::memset(sums, 0, parts * 2 * s.width * sizeof(float));
    in_pieces(parts, 1, s.threads, [=](int64_t part, int64_t) {
        float *__restrict grad_gamma = sums + part * 2 * s.width, *__restrict grad_beta = grad_gamma + s.width;
        const float width = static_cast<float>(s.width);
        for (int64_t row = s.count * part / parts; row < s.count * (part + 1) / parts; row++) {
            const float *grad = grad_y + row * s.width, *from = x + row * s.width;
            float* __restrict to = grad_x + row * s.width;
            const float middle = mean[row], scale = inverse[row];
            float sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
            for (int64_t i = 0; i < s.width; i++) {
                const float unit = (from[i] - middle) * scale, share = grad[i] * gamma[i];
                grad_gamma[i] += grad[i] * unit;
                grad_beta[i] += grad[i];
                sum += share;
                along += share * unit;
            }
            sum /= width;
            along /= width;
            for (int64_t i = 0; i < s.width; i++) {
                const float unit = (from[i] - middle) * scale;
                to[i] = (grad[i] * gamma[i] - sum - unit * along) * scale;
            }
        }
    });
}

// scale^-beta: by roots where beta is 3/4, as nearly everywhere.
inline void to_power(const float* scale, float* __restrict power, int64_t count, float beta) {
    if (beta == 0.75f) {
        for (int64_t i = 0; i < count; i++) {
            const float root = __builtin_sqrtf(scale[i]);
            power[i] = 1.0f / (root * __builtin_sqrtf(root));
        }
        return;
    }
    for (int64_t i = 0; i < count; i++) power[i] = powf(scale[i], -beta);
}

// to[c] = the sum of from[c] ... from[c + size - 1].
inline void window_sums(const float* from, float* __restrict to, int64_t channels, int64_t size) {
    std::memcpy(to, from, channels * sizeof(float));
    for (int64_t k = 1; k < size; k++) {
        for (int64_t c = 0; c < channels; c++) to[c] += from[c + k];
    }
}

// What one thread needs for a pixel: values with zeros on both sides, their sums, powers.
struct Pixel {
    float *padded, *values, *sums, *powers;

    explicit Pixel(const Lrn& s)
        : padded(new float[3 * s.channels + s.size - 1]()), values(padded + s.size / 2), sums(padded + s.channels + s.size - 1),
          powers(sums + s.channels) {}
    Pixel(const Pixel&) = delete;
    ~Pixel() { delete[] padded; }
};

void lrn(const Lrn& s, const float* x, float* y, float* scale) {
    in_rows(s.pixels, s.channels, s.threads, [=](int64_t first, int64_t end) {
        Pixel pixel(s);
        for (int64_t row = first; row < end; row++) {
            const float* from = x + row * s.channels;
            float *__restrict to = y + row * s.channels, *__restrict kept = scale + row * s.channels;
            for (int64_t c = 0; c < s.channels; c++) pixel.values[c] = from[c] * from[c];
            window_sums(pixel.padded, pixel.sums, s.channels, s.size);
            for (int64_t c = 0; c < s.channels; c++) kept[c] = s.k + s.share * pixel.sums[c];
            to_power(kept, pixel.powers, s.channels, s.beta);
            for (int64_t c = 0; c < s.channels; c++) to[c] = from[c] * pixel.powers[c];
        }
    });
}

void lrn_backward(const Lrn& s, const float* grad_y, const float* x, const float* scale, float* grad_x) {
    in_rows(s.pixels, s.channels, s.threads, [=](int64_t first, int64_t end) {
        Pixel pixel(s);
        const float factor = 2 * s.share * s.beta;
        for (int64_t row = first; row < end; row++) {
            const float *from = x + row * s.channels, *grad = grad_y + row * s.channels, *kept = scale + row * s.channels;
            float* __restrict to = grad_x + row * s.channels;
            to_power(kept, pixel.powers, s.channels, s.beta);
            for (int64_t c = 0; c < s.channels; c++) pixel.values[c] = grad[c] * from[c] * pixel.powers[c] / kept[c];
            window_sums(pixel.padded, pixel.sums, s.channels, s.size);
            for (int64_t c = 0; c < s.channels; c++) to[c] = grad[c] * pixel.powers[c] - factor * from[c] * pixel.sums[c];
        }
    });
}

// Each thread has rows of the table of its own, so that sums are in order.
void add_rows(const Rows& s, float* total, int64_t table, const int64_t* rows, const float* values) {
    const int64_t parts = s.count * s.width < kPiece ? 1 : least(s.threads, table);
    in_pieces(parts, 1, s.threads, [=](int64_t part, int64_t) {
        const int64_t low = table * part / parts, high = table * (part + 1) / parts;
        for (int64_t i = 0; i < s.count; i++) {
            if (rows[i] < low || rows[i] >= high) continue;
            float* __restrict to = total + rows[i] * s.width;
            const float* from = values + i * s.width;
            for (int64_t k = 0; k < s.width; k++) to[k] += from[k];
        }
    });
}

}  // namespace
