/* synth.c - the rule of synthetic tensors (synth.h). Called by tests and benchmarks. */
#include "io/synth.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/rng.h"

/* vt_splitmix64, here so that the loops below inline it: a full-size model is 10^9 draws. */
static inline uint64_t draw(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* 24 bits are exact in float32, and so are the product and the difference. Through int32: that
 * conversion has an instruction everywhere. */
static inline float symmetric(uint64_t z) {
    return (float)(int32_t)(z >> 40) * 0x1p-23f - 1.0f;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

/* Offset and amplitude of a tensor: norms around 1, scale_mul around ln 4, embeddings wide,
 * everything else so that a layer keeps the size of what it is given. */
static void rule(const char *name, int rank, const int64_t *shape, double *offset,
                 double *amplitude) {
    static const char *const wide[] = {"pos_1LC",          "pos_start",
                                       "lvl_embed.weight", "class_emb.weight",
                                       "ada_gss",          "quantize.embedding.weight"};
    *offset = 0.0;
    if (ends_with(name, "scale_mul_1H11")) {
        *offset = log(4.0);
        *amplitude = 0.3;
        return;
    }
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        if (!ends_with(name, wide[i])) continue;
        *amplitude = 0.5;
        return;
    }
    if (rank == 1) {
        bool norm = ends_with(name, ".weight");
        *offset = norm ? 1.0 : 0.0;
        *amplitude = norm ? 0.2 : 0.1;
        return;
    }
    double fan_in = 1.0;
    for (int d = 1; d < rank; d++) fan_in *= (double)shape[d];
    *amplitude = sqrt(3.0 / fan_in);
}

void vt_synth_tensor(float *out, const char *seed, const char *model, const char *name, int rank,
                     const int64_t *shape) {
    uint64_t h = vt_fnv1a64(seed, strlen(seed));
    h = vt_fnv1a64_more(h, "/", 1);
    h = vt_fnv1a64_more(h, model, strlen(model));
    h = vt_fnv1a64_more(h, "/", 1);
    h = vt_fnv1a64_more(h, name, strlen(name));
    double offset64, amplitude64;
    rule(name, rank, shape, &offset64, &amplitude64);
    const float offset = (float)offset64, amplitude = (float)amplitude64;
    size_t n = 1;
    for (int d = 0; d < rank; d++) n *= (size_t)shape[d];
    for (size_t i = 0; i < n; i++) out[i] = offset + amplitude * symmetric(draw(h + i));
}

void vt_synth_scaled(float *out, size_t n, const char *key, double offset, double amplitude) {
    const uint64_t h = vt_fnv1a64(key, strlen(key));
    const float start = (float)offset, size = (float)amplitude;
    for (size_t i = 0; i < n; i++) out[i] = start + size * symmetric(draw(h + i));
}

void vt_synth_symmetric(float *out, size_t n, const char *key) {
    const uint64_t h = vt_fnv1a64(key, strlen(key));
    for (size_t i = 0; i < n; i++) out[i] = symmetric(draw(h + i));
}

void vt_synth_integers(int32_t *out, size_t n, const char *key, int m) {
    const uint64_t h = vt_fnv1a64(key, strlen(key));
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)((draw(h + i) >> 40) % (uint64_t)m);
}
