// Greedy non-maximum suppression (Felzenszwalb et al. 2010) over boxes in the order of their scores.
#include <cstdint>

namespace {

struct Box {
    float x_min, y_min, x_max, y_max;
    float area() const { return x_max > x_min && y_max > y_min ? (x_max - x_min) * (y_max - y_min) : 0.0f; }
};

// Intersection over union; 0 where the union is empty.
float overlap(const Box& a, const Box& b) {
    const float left = a.x_min > b.x_min ? a.x_min : b.x_min, right = a.x_max < b.x_max ? a.x_max : b.x_max;
    const float top = a.y_min > b.y_min ? a.y_min : b.y_min, bottom = a.y_max < b.y_max ? a.y_max : b.y_max;
    if (right <= left || bottom <= top) return 0.0f;
    const float both = (right - left) * (bottom - top);
    return both / (a.area() + b.area() - both);
}

}  // namespace

// `order`: indices of boxes, best first. Writes kept indices to `kept`, returns how many.
extern "C" int64_t dlcore_nms(const Box* boxes, const int64_t* order, int64_t count, float iou_threshold, int64_t* kept) {
    int64_t kept_count = 0;
    for (int64_t i = 0; i < count; i++) {
        bool is_kept = true;
        for (int64_t j = 0; j < kept_count && is_kept; j++) {
            is_kept = overlap(boxes[order[i]], boxes[kept[j]]) <= iou_threshold;
        }
        if (is_kept) kept[kept_count++] = order[i];
    }
    return kept_count;
}
