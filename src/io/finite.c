/* finite.c - counting the numbers of a tensor that are none (NaN) or infinite, and those that a shorter type
 * would lose. A model with one such weight
 * draws nothing, so every weight is looked at while it is read; the loops are sums of comparisons of bits,
 * which the compiler turns into vectors, and run at the speed of memory. */
#include <float.h>
#include <math.h>

#include "io/tensors.h"

/* Both have an exponent of all ones. Sums of a block stay small, so that lanes may be 32 bits wide. */
enum { BLOCK = 4096 };

static size_t count_f32(const uint32_t *bits, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count;) {
        size_t end = count - i < BLOCK ? count : i + BLOCK;
        uint32_t some = 0;
        for (; i < end; i++) some += (bits[i] & 0x7f800000u) == 0x7f800000u;
        found += some;
    }
    return found;
}

static size_t count_16(const uint16_t *bits, size_t count, uint16_t exponent) {
    size_t found = 0;
    for (size_t i = 0; i < count;) {
        size_t end = count - i < BLOCK ? count : i + BLOCK;
        uint16_t some = 0;
        for (; i < end; i++) some = (uint16_t)(some + ((bits[i] & exponent) == exponent));
        found += some;
    }
    return found;
}

static size_t count_f64(const double *values, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += isfinite((float)values[i]) ? 0 : 1;
    return found;
}

size_t vt_tensor_not_finite(const vt_tensor *tensor) {
    switch (tensor->type) {
    case VT_F32:
        return count_f32(tensor->data, tensor->count);
    case VT_F16:
        return count_16(tensor->data, tensor->count, 0x7c00);
    case VT_BF16:
        return count_16(tensor->data, tensor->count, 0x7f80);
    case VT_F64:
        return count_f64(tensor->data, tensor->count);
    default:
        return 0;
    }
}

vt_half_loss vt_half_loss_of(const float *values, size_t count, vt_dtype type) {
    vt_half_loss loss = {0};
    double lost = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        float size = fabsf(values[i]);
        if (size == 0 || !isfinite(size)) continue;
        float kept = type == VT_F16 ? vt_f32_from_f16(vt_f16_from_f32(size))
                                    : vt_f32_from_bf16(vt_bf16_from_f32(size));
        loss.nonzero++;
        if (size > loss.largest) loss.largest = size;
        if (isinf(kept)) {
            loss.overflow++;
            continue;
        }
        loss.vanished += kept == 0;
        double gap = (double)kept - (double)size;
        lost += gap * gap;
        all += (double)size * (double)size;
    }
    loss.error = all > 0 ? sqrt(lost / all) : 0;
    return loss;
}
