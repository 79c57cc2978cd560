/* synth.h - synthetic tensors: every element is a formula of a key, so that whole models can be
 * made anywhere and compared without a weight file. All integer arithmetic is modulo 2^64:
 *
 *     z(i) = splitmix64(fnv1a64(key) + i), i in row-major order
 *     s(i) = float32(z(i) >> 40) * 2^-23 - 1               in [-1, 1), exact
 *     n(i) = (z(i) >> 40) mod m
 *     w(i) = float32(offset) + float32(amplitude) * s(i)   offset and amplitude by name and shape,
 * see synth.c
 *
 * Used by the tests, the benchmarks and the self-check of a build. */
#ifndef VT_IO_SYNTH_H
#define VT_IO_SYNTH_H

#include <stddef.h>
#include <stdint.h>

/* Fills out (shape) with w of key "SEED/MODEL/NAME"; model is "vae" (tokenizer) or "var"
 * (transformer) and name as in a checkpoint. The product of shape must fit the memory at out. */
void vt_synth_tensor(float *out, const char *seed, const char *model, const char *name, int rank,
                     const int64_t *shape);
/* w(i) with the offset and amplitude given */
void vt_synth_scaled(float *out, size_t n, const char *key, double offset, double amplitude);
void vt_synth_symmetric(float *out, size_t n, const char *key);         /* s(i) */
void vt_synth_integers(int32_t *out, size_t n, const char *key, int m); /* n(i), m > 0 */

#endif
