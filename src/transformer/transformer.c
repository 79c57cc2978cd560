/* transformer.c - a transformer's parameters: named, initialised, prepared; see transformer.h. */
#include "transformer/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

/* ---- parameters, in the order of the published files ---- */

/* All but what embeds tokens and the head, which cost the most by it, may be int4. */
static bool add_coarse(vt_linear *out, vt_params *params, const char *name, int outputs, int inputs,
                       bool has_bias) {
    const bool ok = vt_linear_add(out, params, name, outputs, inputs, has_bias);
    if (ok) out->weight->flags |= VT_PARAM_COARSE;
    return ok;
}

/* What depends on the class alone: its gradient is the sum over all tokens, which is there when all layers are done. */
static bool add_late(vt_linear *out, vt_params *params, const char *name, int outputs, int inputs) {
    const bool ok = add_coarse(out, params, name, outputs, inputs, true);
    if (ok) {
        out->weight->flags |= VT_PARAM_LATE;
        out->bias->flags |= VT_PARAM_LATE;
    }
    return ok;
}

static bool add_block(vt_transformer *t, int index) {
    const vt_transformer_config *config = &t->config;
    vt_params *params = &t->params;
    vt_block *b = &t->blocks[index];
    int c = config->width;
    int64_t heads[4] = {1, config->heads, 1, 1}, width[1] = {c}, gss[4] = {1, 1, VT_MODULATIONS, c};
    char name[64];
    bool ok = true;

    if (config->shared_adaln)
        ok &= (b->ada_gss = vt_params_add(params, VT_PARAM_NO_DECAY | VT_PARAM_LATE, 4, gss,
                                          "blocks.%d.ada_gss", index)) != NULL;
    if (config->l2_norm)
        ok &= (b->scale_mul = vt_params_add(params, VT_PARAM_NO_DECAY, 4, heads,
                                            "blocks.%d.attn.scale_mul_1H11", index)) != NULL;
    ok &= (b->q_bias = vt_params_add(params, 0, 1, width, "blocks.%d.attn.q_bias", index)) != NULL;
    ok &= (b->v_bias = vt_params_add(params, 0, 1, width, "blocks.%d.attn.v_bias", index)) != NULL;
    ok &= vt_params_add(params, VT_PARAM_BUFFER, 1, width, "blocks.%d.attn.zero_k_bias", index) !=
          NULL;
    snprintf(name, sizeof name, "blocks.%d.attn.mat_qkv", index);
    ok &= add_coarse(&b->qkv, params, name, 3 * c, c, false);
    snprintf(name, sizeof name, "blocks.%d.attn.proj", index);
    ok &= add_coarse(&b->proj, params, name, c, c, true);
    snprintf(name, sizeof name, "blocks.%d.ffn.fc1", index);
    ok &= add_coarse(&b->fc1, params, name, config->hidden, c, true);
    snprintf(name, sizeof name, "blocks.%d.ffn.fc2", index);
    ok &= add_coarse(&b->fc2, params, name, c, config->hidden, true);
    snprintf(name, sizeof name, "blocks.%d.ada_lin.1", index);
    if (!config->shared_adaln) ok &= add_late(&b->ada, params, name, VT_MODULATIONS * c, c);
    return ok;
}

static bool add_parameters(vt_transformer *t) {
    const vt_transformer_config *config = &t->config;
    vt_params *params = &t->params;
    int c = config->width, tokens = t->tokens;
    int64_t start[3] = {1, 1, c}, position[3] = {1, tokens, c}, level[2] = {1, tokens},
            mask[4] = {1, 1, tokens, tokens};
    int64_t classes[2] = {config->classes + 1, c}, levels[2] = {config->scales, c};
    bool ok = true;

    ok &= (t->pos_start = vt_params_add(params, VT_PARAM_NO_DECAY, 3, start, "pos_start")) != NULL;
    ok &= (t->pos_1lc = vt_params_add(params, VT_PARAM_NO_DECAY, 3, position, "pos_1LC")) != NULL;
    ok &= vt_params_add(params, VT_PARAM_BUFFER, 2, level, "lvl_1L") != NULL;
    ok &= vt_params_add(params, VT_PARAM_BUFFER, 4, mask, "attn_bias_for_masking") != NULL;
    ok &= vt_linear_add(&t->word_embed, params, "word_embed", c, config->latent_dim, true);
    ok &= (t->class_emb = vt_params_add(params, 0, 2, classes, "class_emb.weight")) != NULL;
    ok &= (t->lvl_embed =
               vt_params_add(params, VT_PARAM_NO_DECAY, 2, levels, "lvl_embed.weight")) != NULL;
    if (config->shared_adaln)
        ok &= add_coarse(&t->shared_ada, params, "shared_ada_lin.1", VT_MODULATIONS * c, c, true);
    for (int l = 0; l < config->depth; ++l) ok &= add_block(t, l);
    ok &= add_late(&t->head_ada, params, "head_nm.ada_lin.1", 2 * c, c);
    ok &= vt_linear_add(&t->head, params, "head", config->codes, c, true);
    return ok;
}

variant_status vt_transformer_open(vt_transformer **out, vt_kern *kern,
                                   const vt_transformer_config *config, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_transformer *t = NULL;

    *out = NULL;
    VT_TRY(vt_transformer_config_check(config, err));
    t = calloc(1, sizeof *t);
    if (t == NULL) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a transformer");
    t->kern = kern;
    t->config = *config;
    t->tokens = vt_transformer_tokens(config);
    for (int k = 0; k < config->scales; ++k)
        t->start[k + 1] = t->start[k] + config->sides[k] * config->sides[k];
    vt_params_init(&t->params, kern);
    t->blocks = calloc((size_t)config->depth, sizeof *t->blocks);
    if (t->blocks == NULL || !add_parameters(t)) {
        status =
            vt_fail(err, VARIANT_E_MEMORY, "no memory for the names of a transformer's parameters");
        goto cleanup;
    }
    *out = t;
    t = NULL;
cleanup:
    vt_transformer_close(&t);
    return status;
}

void vt_transformer_close(vt_transformer **transformer) {
    vt_transformer *t = *transformer;
    if (t == NULL) return;
    if (t->table != NULL) t->kern->memory_release(t->kern, t->table, t->table_bytes);
    vt_params_close(&t->params);
    free(t->blocks);
    free(t);
    *transformer = NULL;
}

const vt_transformer_config *vt_transformer_configuration(const vt_transformer *transformer) {
    return &transformer->config;
}

vt_params *vt_transformer_params(vt_transformer *transformer) {
    return &transformer->params;
}

/* ---- initialisation ---- */

/* Standard normal truncated at two sigma: what lies outside is drawn again, with counters of its
 * own. `spare` holds n floats. */
static void fill_truncated(float *out, float *spare, size_t n, uint64_t seed, uint32_t tensor) {
    vt_normal_fill(out, n, seed, tensor);
    for (uint32_t attempt = 1; attempt < 64; ++attempt) {
        size_t outside = 0, used = 0;
        for (size_t i = 0; i < n; ++i) outside += fabsf(out[i]) > 2;
        if (outside == 0) return;
        vt_normal_fill(spare, outside, seed, tensor + (attempt << 16));
        for (size_t i = 0; i < n; ++i)
            if (fabsf(out[i]) > 2) out[i] = spare[used++];
    }
    for (size_t i = 0; i < n; ++i) out[i] = fminf(fmaxf(out[i], -2), 2);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void scale_floats(float *x, size_t n, float by) {
    for (size_t i = 0; i < n; ++i) x[i] *= by;
}

/* The numbers VAR starts a parameter with, on the host. */
static void initial_values(const vt_transformer_config *config, const vt_param *param,
                           uint64_t seed, uint32_t tensor, float *out, float *spare) {
    const float ada = 0.5f, ada_gamma = 1e-5f, head = 0.02f;
    size_t c = (size_t)config->width;
    const char *name = param->name;

    if (ends_with(name, "scale_mul_1H11")) {
        for (size_t i = 0; i < param->count; ++i) out[i] = logf(4);
        return;
    }
    if (param->rank == 1) { /* biases */
        memset(out, 0, param->count * sizeof *out);
        return;
    }
    if (ends_with(name, "ada_gss")) {
        vt_normal_fill(out, param->count, seed, tensor);
        scale_floats(out, param->count, 1 / sqrtf((float)c));
        scale_floats(out, 2 * c, ada_gamma); /* gamma1, gamma2 come first */
        scale_floats(out + 2 * c, 4 * c, ada);
        return;
    }
    fill_truncated(out, spare, param->count, seed, tensor);
    scale_floats(out, param->count, sqrtf(1 / (float)c / 3));
    if (ends_with(name, "attn.proj.weight") || ends_with(name, "ffn.fc2.weight")) {
        scale_floats(out, param->count, 1 / sqrtf(2 * (float)config->depth));
    } else if (strncmp(name, "blocks.", 7) == 0 && ends_with(name, "ada_lin.1.weight")) {
        scale_floats(out, 2 * c * c, ada_gamma);
        scale_floats(out + 2 * c * c, 4 * c * c, ada);
    } else if (strcmp(name, "head_nm.ada_lin.1.weight") == 0) {
        scale_floats(out, param->count, ada);
    } else if (strcmp(name, "head.weight") == 0) {
        scale_floats(out, param->count, head);
    }
}

variant_status vt_transformer_initialise(vt_transformer *transformer, uint64_t seed,
                                         variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_params *params = &transformer->params;
    float *values = NULL, *spare = NULL;
    size_t most = 0;

    if (params->values == NULL) VT_TRY(vt_params_allocate(params, err));
    if (params->kern->dry) return VARIANT_OK;
    for (int i = 0; i < params->count; ++i)
        if (!(params->items[i]->flags & VT_PARAM_BUFFER) && params->items[i]->count > most)
            most = params->items[i]->count;
    values = malloc(most * sizeof *values);
    spare = malloc(most * sizeof *spare);
    if (values == NULL || spare == NULL) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory to initialise %zu numbers", most);
        goto cleanup;
    }
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (param->flags & VT_PARAM_BUFFER) continue;
        initial_values(&transformer->config, param, seed, (uint32_t)i, values, spare);
        VT_CHECK(vt_param_upload(params, param, values, param->value, err));
    }
cleanup:
    free(values);
    free(spare);
    return status;
}

/* ---- preparation ---- */

variant_status vt_transformer_prepare(vt_transformer *transformer, variant_error *err) {
    vt_kern *kern = transformer->kern;
    size_t c = (size_t)transformer->config.width, count = (size_t)transformer->tokens * c;
    bool again = transformer->table != NULL;

    VT_TRY(vt_params_prepare(&transformer->params, err));
    if (again) {
        vt_params_refresh(&transformer->params);
    } else {
        void *memory = NULL;
        VT_TRY(kern->memory_reserve(kern, count * sizeof(float), &memory, err));
        transformer->table = memory;
        transformer->table_bytes = count * sizeof(float);
    }
    kern->copy(kern, transformer->table, transformer->pos_1lc->value, count);
    for (int k = 0; k < transformer->config.scales; ++k)
        kern->add_rows(kern, transformer->table + (size_t)transformer->start[k] * c,
                       transformer->lvl_embed->value + (size_t)k * c,
                       transformer->start[k + 1] - transformer->start[k], 1, (int)c);
    return VARIANT_OK;
}
