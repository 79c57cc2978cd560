/* look.c - looking through all of a tensor once, before it is used: are its bytes those that its file was written with, and are
 * its numbers numbers? See tensors.h. A piece is summed when it comes from memory, and counted while the cache still has it. */
#include <stdatomic.h>

#include "io/checksum.h"
#include "io/tensor_file.h"

typedef struct looking {
    const vt_tensor *tensor;
    bool numbers;
    _Atomic uint64_t *high, *low;
    _Atomic size_t *not_finite;
} looking;

static void look_at(const void *args, vt_span span) {
    const looking *l = args;
    for (size_t i = (size_t)span.begin; i < (size_t)span.end; ++i) {
        vt_tensor piece = *l->tensor;
        const size_t at = i * VT_SUM_PIECE, left = piece.bytes - at;
        piece.bytes = left < VT_SUM_PIECE ? left : VT_SUM_PIECE;
        piece.count = piece.bytes / vt_dtype_size(piece.type);
        piece.data = (const char *)piece.data + at;
        if (piece.sum) {
            const vt_sum sum = vt_sum_of_piece(piece.data, piece.bytes, i);
            atomic_fetch_xor_explicit(l->high, sum.high, memory_order_relaxed);
            atomic_fetch_xor_explicit(l->low, sum.low, memory_order_relaxed);
        }
        if (l->numbers)
            atomic_fetch_add_explicit(l->not_finite, vt_tensor_not_finite(&piece),
                                      memory_order_relaxed);
    }
}

vt_tensor_seen vt_tensor_look(const vt_tensor *tensor, bool numbers, vt_team *team) {
    _Atomic uint64_t high = 0, low = 0;
    _Atomic size_t not_finite = 0;
    const bool floats = numbers && vt_tensor_is_float(tensor);
    const size_t pieces = tensor->bytes / VT_SUM_PIECE + (tensor->bytes % VT_SUM_PIECE != 0);
    if (tensor->sum || floats)
        vt_team_deal(team, (int64_t)pieces, look_at,
                     &(looking){tensor, floats, &high, &low, &not_finite});
    return (vt_tensor_seen){.not_finite = not_finite,
                            .changed = tensor->sum && pieces > 0 &&
                                       (tensor->sum->high != high || tensor->sum->low != low)};
}

/* The file that a tensor lies in: of an index, the shard. */
static const char *place_of(const vt_tensor_file *file, const vt_tensor *tensor) {
    for (int i = 0; i < file->shard_count; ++i)
        for (int j = 0; j < file->shards[i]->count; ++j)
            if (file->shards[i]->tensors[j].data == tensor->data) return file->shards[i]->path;
    return file->path;
}

variant_status vt_tensor_fail_changed(const vt_tensor_file *file, const vt_tensor *tensor,
                                      variant_error *err) {
    char name[VT_PRINTABLE];
    if (tensor->sum == &vt_sum_unreadable)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: the checksum of tensor %s cannot be read: the file's metadata %s is "
                       "damaged",
                       place_of(file, tensor), vt_printable(name, tensor->name), VT_SUMS_KEY);
    return vt_fail(err, VARIANT_E_FORMAT,
                   "%s: tensor %s is damaged: its bytes are not those that its checksum was made "
                   "of",
                   place_of(file, tensor), vt_printable(name, tensor->name));
}

variant_status vt_tensor_verify(const vt_tensor_file *file, const vt_tensor *tensor, vt_team *team,
                                variant_error *err) {
    if (!tensor->sum || !vt_tensor_look(tensor, false, team).changed) return VARIANT_OK;
    return vt_tensor_fail_changed(file, tensor, err);
}
