/* token_cache.c - see token_cache.h. */
#include "train/token_cache.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rng.h"
#include "kern/dry.h"

#define BATCH 64
#define META_KEY "variant.tokens"
#define CONTENTS "contents"
#define STAMPS "stamps"
#define NAMED 3 /* of changed pictures */
#define NARROW_CODES 32768

variant_status vt_params_hash(const vt_params *params, uint64_t *out, variant_error *err) {
    size_t largest = 1;
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->value && params->items[i]->count > largest)
            largest = params->items[i]->count;
    float *host = malloc(largest * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory to hash a model");
    uint64_t hash = vt_fnv1a64("", 0);
    variant_status status = VARIANT_OK;
    for (int i = 0; i < params->count && status == VARIANT_OK; ++i) {
        const vt_param *param = params->items[i];
        if (!param->value) continue;
        hash = vt_fnv1a64_more(hash, param->name, strlen(param->name) + 1);
        hash = vt_fnv1a64_more(hash, param->shape, (size_t)param->rank * sizeof *param->shape);
        status =
            vt_kern_download(params->kern, host, param->value, param->count * sizeof *host, err);
        hash = vt_fnv1a64_more(hash, host, param->count * sizeof *host);
    }
    free(host);
    *out = hash;
    return status;
}

/* What the tokens depend on besides the pictures themselves, as text. */
static variant_status describe(const vt_token_cache_options *options, char *out, size_t size,
                               variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(options->tokenizer);
    const vt_data *taken = vt_dataset_data(options->pictures->dataset);
    uint64_t model = 0;
    VT_TRY(vt_params_hash(vt_tokenizer_params(options->tokenizer), &model, err));
    model = vt_fnv1a64_more(model, config->sides, (size_t)config->scales * sizeof *config->sides);
    snprintf(out, size,
             "{\"tokenizer\":\"%016" PRIx64
             "\",\"views\":%d,\"side\":%d,\"channels\":%d,\"fit\":\"%s\",\"alpha\":\"%s\"}",
             model, options->flip ? 2 : 1, options->pictures->side, options->pictures->channels,
             vt_fit_name(taken->fit), vt_alpha_name(taken->alpha));
    return VARIANT_OK;
}

/* ---- whether a file still holds ---- */

static void note(const vt_token_cache_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(const vt_token_cache_options *options, const char *format, ...) {
    char line[700];
    if (!options->note) return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    options->note(options->user_note, line);
}

static const vt_tensor *column(const vt_token_cache *cache, const char *name) {
    const vt_tensor *tensor = vt_tensor_file_find(cache->file, NULL, name);
    return tensor && tensor->type == VT_I64 && tensor->count == (size_t)cache->count ? tensor
                                                                                     : NULL;
}

static uint64_t value_at(const vt_tensor *tensor, int index) {
    uint64_t value;
    memcpy(&value, (const char *)tensor->data + sizeof value * (size_t)index, sizeof value);
    return value;
}

/* Is the picture at a position what it was? A file that nobody has touched since is, unless it is to be looked at. */
static bool is_unchanged(const vt_token_cache_options *options, const vt_tensor *contents,
                         const vt_tensor *stamps, int position) {
    const vt_pictures *pictures = options->pictures;
    int index = vt_pictures_index(pictures, position);
    uint64_t stamp = vt_dataset_stamp(pictures->dataset, index), content = 0;
    if (stamps && stamp && !options->verify && value_at(stamps, position) == stamp) return true;
    return vt_dataset_content(pictures->dataset, index, &content, NULL) == VARIANT_OK &&
           content == value_at(contents, position);
}

/* The pictures are those of the file; else a note names some that are not. */
static bool pictures_match(const vt_token_cache *cache, const vt_token_cache_options *options) {
    const vt_tensor *contents = column(cache, CONTENTS), *stamps = column(cache, STAMPS);
    char names[300] = "";
    size_t used = 0;
    int changed = 0;
    if (!contents) {
        note(options, "tokens of other pictures, or of an older program: made again");
        return false;
    }
    for (int i = 0; i < cache->count; ++i) {
        if (is_unchanged(options, contents, stamps, i)) continue;
        if (changed++ >= NAMED || used >= sizeof names) continue;
        char *name = vt_dataset_picture_name(options->pictures->dataset,
                                             vt_pictures_index(options->pictures, i));
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                 name ? name : "?");
        free(name);
    }
    if (changed)
        note(options, "%d of %d pictures changed since their tokens were made: made again (%s%s)",
             changed, cache->count, names, changed > NAMED ? ", ..." : "");
    return changed == 0;
}

/* Are its tensors what was written? */
static bool is_whole(const vt_token_cache *cache, const vt_token_cache_options *options) {
    variant_error why = {0};
    for (int i = 0; i < vt_tensor_file_count(cache->file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(cache->file, i);
        if (vt_tensor_verify(cache->file, tensor, NULL, &why) == VARIANT_OK) continue;
        note(options, "%s: tensor %s of the tokens is damaged: made again", options->path,
             tensor->name);
        return false;
    }
    return true;
}

/* Attaches the file if it holds what is wanted; a file that does not is no error. */
static bool attach(vt_token_cache *cache, const vt_token_cache_options *options, const char *key,
                   int codes) {
    if (!options->path || access(options->path, F_OK) != 0) return false;
    if (vt_tensor_file_open_guarded(&cache->file, options->path, NULL) != VARIANT_OK) return false;
    const char *found = vt_tensor_file_meta(cache->file, META_KEY);
    const vt_tensor *tensor = vt_tensor_file_find(cache->file, NULL, "tokens");
    size_t total = (size_t)cache->count * (size_t)cache->views * (size_t)cache->tokens;
    bool fits = found && strcmp(found, key) == 0 && tensor;
    if (!fits) note(options, "tokens of another tokenizer or of other choices: made again");
    if (fits && tensor->count != total) {
        note(options, "tokens of another number of pictures: made again");
        fits = false;
    }
    if (fits && tensor->type == VT_I16)
        cache->narrow = tensor->data;
    else if (fits && tensor->type == VT_I32)
        cache->wide = tensor->data;
    else
        fits = false;
    fits = fits && is_whole(cache, options);
    for (size_t i = 0; fits && i < total; ++i) {
        int32_t token = cache->narrow ? cache->narrow[i] : cache->wide[i];
        fits = token >= 0 && token < codes;
    }
    fits = fits && pictures_match(cache, options);
    if (vt_tensor_file_settle(cache->file, VARIANT_OK, NULL) == VARIANT_OK && fits) return true;
    cache->narrow = NULL;
    cache->wide = NULL;
    vt_tensor_file_close(&cache->file);
    return false;
}

/* What a person named must be a cache, or not be there. Token maps of `variant encode` are none: they say neither of which pictures
 * they are nor how those were taken, so that those of other data could not be told from them. */
static variant_status check_named(const vt_token_cache_options *options, variant_error *err) {
    vt_tensor_file *file = NULL;
    if (!options->named || !options->path || access(options->path, F_OK) != 0) return VARIANT_OK;
    const bool opens = vt_tensor_file_open_guarded(&file, options->path, NULL) == VARIANT_OK;
    const vt_tensor *tokens = opens ? vt_tensor_file_find(file, NULL, "tokens") : NULL;
    const bool is = tokens && tokens->rank == 3 && vt_tensor_file_meta(file, META_KEY);
    vt_tensor_file_close(&file);
    if (is) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: is no token cache of a training, expected one, or a name that is free",
                   options->path);
}

/* ---- encoding ---- */

/* A batch on its way; arena memory. */
typedef struct encoding {
    float *pictures; /* (n, side, side, channels) */
    float *latent;   /* (n, s, s, Cvae) */
    int32_t *chosen; /* (n, L) */
    size_t floats, numbers, tokens;
} encoding;

static encoding encoding_take(const vt_token_cache_options *options, vt_arena *arena, int count) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(options->tokenizer);
    size_t n = (size_t)count, side = (size_t)vt_tokenizer_side(config);
    size_t last = (size_t)config->sides[config->scales - 1];
    encoding out = {.floats = n * side * side * (size_t)config->channels,
                    .numbers = n * last * last * (size_t)config->latent_dim,
                    .tokens = n * (size_t)vt_tokenizer_tokens(config)};
    out.pictures = vt_arena_floats(arena, out.floats);
    out.latent = vt_arena_floats(arena, out.numbers);
    out.chosen = vt_arena_ints(arena, out.tokens);
    return out;
}

/* One view of up to BATCH pictures into host tokens (count, L). */
static variant_status encode_view(const vt_token_cache_options *options, const vt_pick *picks,
                                  int count, float *host, int32_t *tokens, variant_error *err) {
    vt_tokenizer *tokenizer = options->tokenizer;
    vt_kern *kern = vt_tokenizer_params(tokenizer)->kern;
    vt_arena *arena = options->arena;
    size_t mark = vt_arena_mark(arena);
    encoding e = encoding_take(options, arena, count);
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_arena_check(arena, "pictures to encode", err));
    VT_CHECK(vt_pictures_read(options->pictures, picks, count, host, err));
    kern->upload(kern, e.pictures, host, e.floats * sizeof *host);
    VT_CHECK(vt_tokenizer_encode(tokenizer, arena, count, e.pictures, e.latent, err));
    if (!vt_kern_finite(kern, e.latent, VT_NUMBER_F32, e.numbers))
        VT_CHECK(vt_fail(err, VARIANT_E_MODEL,
                         "what the encoder made of a picture is not finite (NaN or infinity)"));
    VT_CHECK(vt_tokenizer_quantize(tokenizer, arena, count, e.latent, e.chosen, NULL, err));
    VT_CHECK(vt_kern_download(kern, tokens, e.chosen, e.tokens * sizeof *tokens, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_token_cache_measure(vt_token_cache_bytes *out,
                                      const vt_token_cache_options *options, variant_error *err) {
    vt_tokenizer *tokenizer = options->tokenizer;
    const int all = options->pictures->count, count = all < BATCH ? all : BATCH;
    vt_dry_kern dry;
    vt_arena arena;
    vt_dry_kern_init(&dry, vt_tokenizer_params(tokenizer)->kern);
    vt_arena_init_counting(&arena, &dry.kern);
    encoding e = encoding_take(options, &arena, count);
    VT_TRY(vt_tokenizer_encode(tokenizer, &arena, count, e.pictures, e.latent, err));
    VT_TRY(vt_tokenizer_quantize(tokenizer, &arena, count, e.latent, e.chosen, NULL, err));
    const size_t views = options->flip ? 2 : 1, length = e.tokens / (size_t)count;
    const size_t wide = (size_t)all * views * length * sizeof(int32_t);
    const size_t columns = 2 * (size_t)all * sizeof(int64_t); /* contents and stamps */
    *out = (vt_token_cache_bytes){.arena = arena.peak,
                                  .host = e.floats * sizeof(float) + e.tokens * sizeof(int32_t),
                                  .tokens = wide,
                                  .file = options->path ? columns + wide / 2 : 0};
    return VARIANT_OK;
}

static variant_status encode_all(const vt_token_cache *cache, const vt_token_cache_options *options,
                                 int32_t *out, variant_error *err) {
    const vt_pictures *pictures = options->pictures;
    size_t floats = (size_t)pictures->side * (size_t)pictures->side * (size_t)pictures->channels;
    size_t length = (size_t)cache->tokens;
    float *host = malloc(BATCH * floats * sizeof *host);
    int32_t *tokens = malloc(BATCH * length * sizeof *tokens);
    variant_status status = VARIANT_OK;
    if (!host || !tokens) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory to encode pictures"));
    for (int first = 0; first < cache->count; first += BATCH) {
        int count = cache->count - first < BATCH ? cache->count - first : BATCH;
        for (int view = 0; view < cache->views; ++view) {
            vt_pick picks[BATCH];
            for (int i = 0; i < count; ++i)
                picks[i] = (vt_pick){.position = first + i, .flip = view == 1};
            VT_CHECK(encode_view(options, picks, count, host, tokens, err));
            for (int i = 0; i < count; ++i)
                memcpy(out + ((size_t)(first + i) * (size_t)cache->views + (size_t)view) * length,
                       tokens + (size_t)i * length, length * sizeof *out);
        }
        if (options->progress && !options->progress(options->user, first + count, cache->count))
            VT_CHECK(vt_fail(err, VARIANT_E_STOPPED, "stopped while encoding the pictures"));
    }
cleanup:
    free(host);
    free(tokens);
    return vt_model_settle(options->files, status, err);
}

/* Content and stamp of every picture. */
static variant_status columns_fill(const vt_token_cache *cache,
                                   const vt_token_cache_options *options, int64_t *contents,
                                   int64_t *stamps, bool *any_stamp, variant_error *err) {
    const vt_pictures *pictures = options->pictures;
    *any_stamp = false;
    for (int i = 0; i < cache->count; ++i) {
        int index = vt_pictures_index(pictures, i);
        uint64_t content = 0;
        VT_TRY(vt_dataset_content(pictures->dataset, index, &content, err));
        contents[i] = (int64_t)content;
        stamps[i] = (int64_t)vt_dataset_stamp(pictures->dataset, index);
        *any_stamp = *any_stamp || stamps[i] != 0;
    }
    return VARIANT_OK;
}

static variant_status write_columns(const vt_token_cache *cache,
                                    const vt_token_cache_options *options, const char *key,
                                    const vt_tensor_out *tokens, variant_error *err) {
    const char *const meta_key = META_KEY;
    size_t bytes = (size_t)cache->count * sizeof(int64_t);
    int64_t *contents = malloc(bytes), *stamps = malloc(bytes);
    bool stamped = false;
    variant_status status = VARIANT_OK;
    vt_tensor_out out[3] = {*tokens};
    if (!contents || !stamps)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for the token cache"));
    VT_CHECK(columns_fill(cache, options, contents, stamps, &stamped, err));
    out[1] = (vt_tensor_out){
        .name = CONTENTS, .type = VT_I64, .rank = 1, .shape = {cache->count}, .data = contents};
    out[2] = (vt_tensor_out){
        .name = STAMPS, .type = VT_I64, .rank = 1, .shape = {cache->count}, .data = stamps};
    /* where opening reads every picture anyway, stamps would only make equal caches differ */
    stamped = stamped && !vt_dataset_decodes(options->pictures->dataset);
    VT_CHECK(vt_safetensors_write(options->path, out, stamped ? 3 : 2, &meta_key, &key, 1, err));
cleanup:
    free(contents);
    free(stamps);
    return status;
}

static variant_status write_file(const vt_token_cache *cache, const vt_token_cache_options *options,
                                 const char *key, int codes, int32_t *tokens, variant_error *err) {
    size_t total = (size_t)cache->count * (size_t)cache->views * (size_t)cache->tokens;
    vt_tensor_out tensor = {.name = "tokens",
                            .type = VT_I32,
                            .rank = 3,
                            .shape = {cache->count, cache->views, cache->tokens},
                            .data = tokens};
    int16_t *narrow = NULL;
    if (codes <= NARROW_CODES) {
        narrow = malloc(total * sizeof *narrow);
        if (!narrow) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the token cache");
        for (size_t i = 0; i < total; ++i) narrow[i] = (int16_t)tokens[i];
        tensor.type = VT_I16;
        tensor.data = narrow;
    }
    variant_status status = write_columns(cache, options, key, &tensor, err);
    free(narrow);
    return status;
}

variant_status vt_token_cache_open(vt_token_cache *out, const vt_token_cache_options *options,
                                   variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(options->tokenizer);
    char key[300];
    variant_status status = VARIANT_OK;
    *out = (vt_token_cache){.count = options->pictures->count,
                            .views = options->flip ? 2 : 1,
                            .tokens = vt_tokenizer_tokens(config)};
    VT_TRY(check_named(options, err));
    if (options->path) {
        VT_TRY(describe(options, key, sizeof key, err));
        if (attach(out, options, key, config->codes)) return VARIANT_OK;
    }
    size_t total = (size_t)out->count * (size_t)out->views * (size_t)out->tokens;
    out->owned = malloc(total * sizeof *out->owned);
    if (!out->owned)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %d pictures",
                       out->count);
    VT_CHECK(encode_all(out, options, out->owned, err));
    if (options->path) {
        VT_CHECK(write_file(out, options, key, config->codes, out->owned, err));
        vt_token_cache_options again = *options;
        again.note = NULL;
        again.verify = false;
        if (attach(out, &again, key, config->codes)) {
            free(out->owned);
            out->owned = NULL;
            return VARIANT_OK;
        }
    }
    out->wide = out->owned;
cleanup:
    if (status != VARIANT_OK) vt_token_cache_close(out);
    return status;
}

void vt_token_cache_close(vt_token_cache *cache) {
    vt_tensor_file_close(&cache->file);
    free(cache->owned);
    *cache = (vt_token_cache){0};
}

void vt_token_cache_get(const vt_token_cache *cache, int position, bool flip, int32_t *out) {
    size_t length = (size_t)cache->tokens;
    size_t view = flip && cache->views == 2 ? 1 : 0;
    size_t at = ((size_t)position * (size_t)cache->views + view) * length;
    if (cache->wide) {
        memcpy(out, cache->wide + at, length * sizeof *out);
        return;
    }
    for (size_t i = 0; i < length; ++i) out[i] = cache->narrow[at + i];
}
