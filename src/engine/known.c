/* known.c - see known.h. */
#include "engine/known.h"

#include <stdlib.h>

#include "core/finite.h"

#define ROUND_PIXELS (1 << 17) /* encoded at a time, as decoded ones in loop.c */

static const vt_tokenizer_config *tokenizer_of(const vt_loop *loop) {
    return vt_tokenizer_configuration(loop->parts.tokenizer);
}

static size_t latent_cells(const vt_tokenizer_config *config) {
    const size_t side = (size_t)config->sides[config->scales - 1];
    return side * side;
}

/* ---- joining ---- */

static variant_status check_latents(vt_loop *loop, const float *latents, size_t count,
                                    variant_error *err) {
    if (loop->kern->dry || vt_kern_finite(loop->kern, latents, VT_NUMBER_F32, count))
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL,
                   "what the encoder made of the picture is not finite (NaN or infinity)");
}

/* Of n pictures that lie side by side, all of which keep something. */
static variant_status encode(vt_loop *loop, const vt_join *who, int n, float *latents,
                             int32_t *codes, variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const size_t side = (size_t)vt_tokenizer_side(config),
                 floats = side * side * (size_t)config->channels;
    const size_t mark = vt_arena_mark(&loop->arena);
    variant_status status = VARIANT_OK;
    float *pictures = vt_arena_floats(&loop->arena, (size_t)n * floats);
    VT_CHECK(vt_arena_check(&loop->arena, "the encoder", err));
    for (int i = 0; i < n; ++i)
        loop->kern->upload(loop->kern, pictures + (size_t)i * floats, who[i].known->picture,
                           floats * sizeof *pictures);
    VT_CHECK(vt_tokenizer_encode(loop->parts.tokenizer, &loop->arena, n, pictures, latents, err));
    VT_CHECK(check_latents(loop, latents,
                           (size_t)n * latent_cells(config) * (size_t)config->latent_dim, err));
    if (codes)
        VT_CHECK(vt_tokenizer_quantize(loop->parts.tokenizer, &loop->arena, n, latents, codes, NULL,
                                       err));
cleanup:
    vt_arena_rewind(&loop->arena, mark);
    return status;
}

variant_status vt_known_encode(vt_loop *loop, const vt_join *who, int count, float *latents,
                               int32_t *codes, variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const int side = vt_tokenizer_side(config), room = ROUND_PIXELS / (side * side);
    const size_t floats = latent_cells(config) * (size_t)config->latent_dim,
                 length = (size_t)vt_tokenizer_tokens(config);
    for (int i = 0, n; i < count; i += n) {
        for (n = 0; i + n < count && (n == 0 || n < room) && who[i + n].known;) ++n;
        if (n == 0) {
            n = 1;
            continue;
        }
        VT_TRY(encode(loop, who + i, n, latents + (size_t)i * floats,
                      codes ? codes + (size_t)i * length : NULL, err));
    }
    return VARIANT_OK;
}

variant_status vt_known_halves(vt_loop *loop, float *halves, variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const vt_param *codebook =
        vt_params_find(vt_tokenizer_params(loop->parts.tokenizer), "quantize.embedding.weight");
    const size_t codes = (size_t)config->codes, width = (size_t)config->latent_dim;
    variant_status status = VARIANT_OK;
    float *host = malloc(codes * width * sizeof *host), *sums = malloc(codes * sizeof *sums);
    if (!host || !sums) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a codebook"));
    VT_CHECK(
        vt_kern_download(loop->kern, host, codebook->value, codes * width * sizeof *host, err));
    for (size_t i = 0; i < codes; ++i) {
        double sum = 0;
        for (size_t j = 0; j < width; ++j)
            sum += (double)host[i * width + j] * (double)host[i * width + j];
        sums[i] = (float)(-0.5 * sum);
    }
    loop->kern->upload(loop->kern, halves, sums, codes * sizeof *sums);
cleanup:
    free(host);
    free(sums);
    return status;
}

/* ---- a step ---- */

/* Stretches of the latents that are not known: (cells of all of them) at most. Returns their number. */
static int unknown_stretches(const vt_drawing *const *drawings, int n, size_t cells, size_t width,
                             float *rest, vt_floats *out) {
    int count = 0;
    for (int j = 0; j < n; ++j) {
        const uint8_t *known = drawings[j]->known->cells;
        float *map = rest + (size_t)j * cells * width;
        for (size_t first = 0, end; first < cells; first = end) {
            for (end = first + 1; end < cells && known[end] == known[first];) ++end;
            if (!known[first])
                out[count++] = (vt_floats){map + first * width, (end - first) * width};
        }
    }
    return count;
}

/* latent - f_hat of n drawings side by side, 0 where nothing is known. */
static variant_status find_rest(vt_loop *loop, vt_drawing *const *drawings, int n, float *rest,
                                variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const size_t cells = latent_cells(config), width = (size_t)config->latent_dim,
                 floats = (size_t)n * cells * width;
    vt_kern *kern = loop->kern;
    vt_floats *stretches = malloc((size_t)n * cells * sizeof *stretches);
    if (!stretches) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", n);
    kern->copy(kern, rest, drawings[0]->latent, floats);
    kern->axpby(kern, rest, -1.0f, drawings[0]->f_hat, 1.0f, floats);
    const int count =
        unknown_stretches((const vt_drawing *const *)drawings, n, cells, width, rest, stretches);
    if (count > 0) kern->fill(kern, 0.0f, stretches, count);
    free(stretches);
    return VARIANT_OK;
}

/* How strongly each row of a drawing is pulled, by its means (rows, width) in host memory; 0: it is kept or nothing of it is
 * known. */
static void find_pulls(const vt_drawing *d, const float *means, size_t rows, size_t width,
                       float *pulls) {
    const float *gain = d->known->gain + d->offset;
    const uint8_t *kept = d->known->kept + d->offset;
    double energy = 0;
    size_t known = 0;
    for (size_t i = 0; i < rows; ++i) {
        known += gain[i] > 0.0f;
        for (size_t j = 0; j < width && gain[i] > 0.0f; ++j)
            energy += (double)means[i * width + j] * (double)means[i * width + j];
    }
    for (size_t i = 0; i < rows; ++i) {
        const double left = gain[i] > 0.0f ? 1.0 - 1.0 / (double)gain[i] : 1.0;
        const bool pulled = !kept[i] && gain[i] > 0.0f && left > 0 && energy > 0;
        pulls[i] = pulled ? (float)((double)d->known->pull * (double)known / (energy * left * left))
                          : 0.0f;
    }
}

/* logits -= pull |code - mean|^2 but for what all codes share: += 2 pull (code mean - |code|^2 / 2); of both branches, so that
 * guidance leaves it as it is. */
static variant_status pull(vt_loop *loop, const vt_step *step, vt_drawing *const *drawings, int n,
                           const float *means, variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const int side = config->sides[drawings[0]->k];
    const size_t rows = (size_t)side * (size_t)side, width = (size_t)config->latent_dim,
                 vocab = (size_t)config->codes, all = (size_t)n * rows;
    const vt_param *codebook =
        vt_params_find(vt_tokenizer_params(loop->parts.tokenizer), "quantize.embedding.weight");
    variant_status status = VARIANT_OK;
    vt_kern *kern = loop->kern;
    float *near = vt_arena_floats(&loop->arena, all * vocab);
    float *host = malloc(all * width * sizeof *host), *pulls = malloc(rows * sizeof *pulls);
    vt_product product = {.x = means,
                          .w = codebook->weight,
                          .bias = drawings[0]->halves,
                          .y = near,
                          .groups = n,
                          .rows = (int)rows};
    if (!host || !pulls) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", n));
    product.workspace = vt_arena_take(&loop->arena, kern->product_workspace(kern, &product));
    VT_CHECK(vt_arena_check(&loop->arena, "the known part", err));
    kern->product(kern, &product);
    VT_CHECK(vt_kern_download(kern, host, means, all * width * sizeof *host, err));
    for (int j = 0; j < n; ++j) {
        const vt_drawing *d = drawings[j];
        find_pulls(d, host + (size_t)j * rows * width, rows, width, pulls);
        for (size_t i = 0; i < rows; ++i) {
            const float *row = near + ((size_t)j * rows + i) * vocab;
            if (pulls[i] <= 0.0f) continue;
            kern->axpby(kern, step->logits + ((size_t)d->row + i) * vocab, 2.0f * pulls[i], row,
                        1.0f, vocab);
            if (vt_drawing_is_guided(d))
                kern->axpby(kern, step->logits + ((size_t)d->uncond_row + i) * vocab,
                            2.0f * pulls[i], row, 1.0f, vocab);
        }
    }
cleanup:
    free(host);
    free(pulls);
    return status;
}

/* Codes of n drawings side by side at one scale, those of what is left. */
static variant_status search(vt_loop *loop, const vt_step *step, vt_drawing *const *drawings, int n,
                             int32_t *codes, variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const int k = drawings[0]->k;
    const size_t rows = (size_t)config->sides[k] * (size_t)config->sides[k],
                 width = (size_t)config->latent_dim, floats = latent_cells(config) * width;
    const size_t mark = vt_arena_mark(&loop->arena);
    variant_status status = VARIANT_OK;
    float *rest = vt_arena_floats(&loop->arena, (size_t)n * floats);
    float *means = vt_arena_floats(&loop->arena, (size_t)n * rows * width);
    float *gain = malloc((size_t)n * rows * sizeof *gain);
    if (!gain) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", n));
    VT_CHECK(vt_arena_check(&loop->arena, "the known part", err));
    VT_CHECK(find_rest(loop, drawings, n, rest, err));
    for (int j = 0; j < n; ++j)
        for (size_t i = 0; i < rows; ++i)
            gain[(size_t)j * rows + i] = drawings[j]->known->gain[(size_t)drawings[j]->offset + i];
    VT_CHECK(vt_tokenizer_codes(loop->parts.tokenizer, &loop->arena, k, n, rest, gain, means, codes,
                                err));
    if (drawings[0]->known->pull > 0.0f) VT_CHECK(pull(loop, step, drawings, n, means, err));
cleanup:
    free(gain);
    vt_arena_rewind(&loop->arena, mark);
    return status;
}

/* Likewise, those that the pictures were quantised to when they joined. */
static void recall(vt_loop *loop, vt_drawing *const *drawings, int n, int32_t *codes) {
    const vt_tokenizer_config *config = tokenizer_of(loop);
    const int side = config->sides[drawings[0]->k];
    const size_t rows = (size_t)side * (size_t)side, length = (size_t)vt_tokenizer_tokens(config);
    loop->kern->copy_rows(loop->kern, (float *)codes, rows,
                          (const float *)drawings[0]->codes + drawings[0]->offset, length, n, rows);
}

variant_status vt_known_codes(vt_loop *loop, vt_step *step, variant_error *err) {
    bool any = false;
    for (int i = 0; i < step->count; ++i) any = any || step->drawings[i]->known;
    step->known = NULL;
    if (!any) return VARIANT_OK;
    step->known = vt_arena_ints(&loop->arena, (size_t)step->rows);
    VT_TRY(vt_arena_check(&loop->arena, "the known part", err));
    for (int i = 0, n; i < step->count; i += n) {
        vt_drawing *const *drawings = step->drawings + i;
        n = vt_step_batch(step, i);
        if (!drawings[0]->known) continue;
        int32_t *codes = step->known + drawings[0]->token_row;
        if (drawings[0]->known->once)
            recall(loop, drawings, n, codes);
        else
            VT_TRY(search(loop, step, drawings, n, codes, err));
    }
    return VARIANT_OK;
}
