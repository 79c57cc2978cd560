/* checksum.h - what a file says of the bytes of its tensors, so that one bit that changed on a disk or on its way is found, and where.
 *
 * The checksum of a tensor is the exclusive or of XXH3-128 of each of its MiB (the last one may be shorter), whose number from 0 on is
 * the seed: that of a tensor of one MiB at most is plain XXH3-128 of its bytes, and those of larger ones are computed by as many
 * threads as there are. A safetensors file has them in its metadata, under VT_SUMS_KEY, as JSON:
 * {"xxh3-128-mib": {"NAME": "32 hex digits", ...}}. They are written by safetensors.c, found by name when a file is opened, and compared
 * when somebody takes a tensor (vt_tensor_look in tensors.h). */
#ifndef VT_IO_CHECKSUM_H
#define VT_IO_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_SUMS_KEY "variant.checksums"
#define VT_SUMS_KIND "xxh3-128-mib"
#define VT_SUM_PIECE ((size_t)1 << 20)
enum { VT_SUM_TEXT = 33 }; /* bytes of one in hex, with its NUL */

typedef struct vt_sum {
    uint64_t high, low;
} vt_sum;

/* What tensors point at whose entry in the list, or the list, is damaged. No bytes have it. */
extern const vt_sum vt_sum_unreadable;

/* Of piece `number` of a tensor, `bytes` of it: VT_SUM_PIECE but for the last one. */
vt_sum vt_sum_of_piece(const void *piece, size_t bytes, size_t number);
vt_sum vt_sum_of(const void *data, size_t bytes);

void vt_sum_text(char out[VT_SUM_TEXT], vt_sum sum);
bool vt_sum_parse(vt_sum *out, const char *text); /* NULL is none */

#endif
