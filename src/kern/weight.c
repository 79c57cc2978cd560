/* weight.c - see weight.h; and the names of number types. */
#include "kern/weight.h"

#include "kern/int4.h"
#include "kern/number.h"
#include "kern/panels.h"

#include <string.h>

const char *vt_number_name(vt_number number) {
    static const char *const names[] = {"f32", "bf16", "int8", "int4", "laid"};
    return names[number];
}

variant_status vt_number_parse(vt_number *out, const char *option, const char *text,
                               variant_error *err) {
    for (int type = VT_NUMBER_F32; type <= VT_NUMBER_INT4; ++type) {
        if (strcmp(text, vt_number_name((vt_number)type)) != 0) continue;
        *out = (vt_number)type;
        return VARIANT_OK;
    }
    return vt_fail(err, VARIANT_E_ARGUMENT, "%s \"%s\": expected f32, bf16, int8 or int4", option,
                   text);
}

variant_status vt_number_parse_kv(vt_number *out, const char *option, const char *text,
                                  variant_error *err) {
    vt_number number = VT_NUMBER_F32;
    if (vt_number_parse(&number, option, text, NULL) == VARIANT_OK && number != VT_NUMBER_INT4) {
        *out = number;
        return VARIANT_OK;
    }
    return vt_fail(err, VARIANT_E_ARGUMENT, "%s \"%s\": expected f32, bf16 or int8", option, text);
}

size_t vt_number_size(vt_number number) {
    static const size_t sizes[] = {4, 2, 1, 1, 2};
    return sizes[number];
}

double vt_number_bytes(vt_number number, double n) {
    if (number != VT_NUMBER_INT4) return n * (double)vt_number_size(number);
    return n * (1 + VT_INT4_BYTES) / VT_INT4_GROUP;
}

variant_status vt_weight_check(const vt_weight_spec *spec, variant_error *err) {
    if (spec->n <= 0 || spec->k <= 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "weight: %d x %d numbers, expected a matrix",
                       spec->n, spec->k);
    if (spec->packed &&
        (spec->type == VT_NUMBER_F32 || spec->gradients ||
         (!spec->sizes_only && (uintptr_t)spec->packed->numbers % VT_PANELS_ALIGN != 0)))
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "weight: packed numbers: expected bf16, int8 or int4 ones on an address that "
            "is a multiple of %d, without gradients",
            VT_PANELS_ALIGN);
    if (spec->type == VT_NUMBER_INT4 && spec->whole)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "weight: int4 numbers have a scale for each %d of x, not one a row",
                       VT_INT8_BLOCK);
    if (!spec->sizes_only && !spec->values && !spec->packed && !spec->records &&
        (!spec->rows || spec->type == VT_NUMBER_F32))
        return vt_fail(err, VARIANT_E_ARGUMENT, "weight: %d x %d numbers without values", spec->n,
                       spec->k);
    if (spec->taps < 0 || (spec->taps > 0 && spec->k % spec->taps != 0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "weight: %d columns are not %d equal taps", spec->k,
                       spec->taps);
    if (spec->taps > 1 && spec->type >= VT_NUMBER_INT8)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "weight: convolutions take float32 or bf16 numbers, not %s",
                       vt_number_name(spec->type));
    if (spec->type == VT_NUMBER_INT8 && spec->whole && spec->k > VT_INT8_WHOLE)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "weight: %d columns with one scale a row: expected at most %d", spec->k,
                       VT_INT8_WHOLE);
    if (spec->gradients && spec->taps > 1) {
        int side = 1;
        while (side * side < spec->taps) ++side;
        if (side * side != spec->taps || spec->stride < 0 || spec->stride > 2)
            return vt_fail(
                err, VARIANT_E_UNSUPPORTED,
                "weight: gradients of %d taps at stride %d: expected a square kernel and "
                "a stride of 1 or 2",
                spec->taps, spec->stride);
    }
    return VARIANT_OK;
}

vt_product_input vt_weight_input(const vt_weight_spec *spec, int64_t rows) {
    const vt_number type = spec->type == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16;
    return (vt_product_input){type, (size_t)rows * (size_t)spec->k * vt_number_size(type)};
}

void vt_weight_read(const vt_weight_spec *spec, int first, int count, float *out) {
    if (spec->rows) {
        spec->rows(spec->user, first, count, out);
        return;
    }
    size_t k = (size_t)spec->k;
    memcpy(out, spec->values + (size_t)first * k, (size_t)count * k * sizeof *out);
}
