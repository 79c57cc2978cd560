/* parts.c - of an inspection: the tokenizer, its preview decoder, and networks that scores are measured in. See facts.h. */
#include <string.h>

#include "convert/facts.h"

size_t vt_facts_parameters(const vt_params *params) {
    size_t count = 0;
    for (int i = 0; i < params->count; ++i)
        if (!(params->items[i]->flags & VT_PARAM_BUFFER)) count += params->items[i]->count;
    return count;
}

int vt_facts_sides(int *out, const int *sides, int scales) {
    int tokens = 0;
    for (int k = 0; k < scales; ++k) {
        out[k] = sides[k];
        tokens += sides[k] * sides[k];
    }
    return tokens;
}

variant_status vt_facts_tokenizer(vt_inspection *in, const vt_model *model, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(model->tokenizer);
    const vt_params *params = vt_tokenizer_params(model->tokenizer);
    variant_tokenizer_facts *facts = NULL;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    *facts = (variant_tokenizer_facts){.parameters = vt_facts_parameters(params),
                                       .mapped_bytes = params->mapped_bytes,
                                       .picture_side = vt_tokenizer_side(config),
                                       .channels = config->channels,
                                       .base_width = config->base_width,
                                       .level_count = config->levels,
                                       .blocks = config->blocks,
                                       .codes = config->codes,
                                       .latent_dim = config->latent_dim,
                                       .scales = config->scales};
    memcpy(facts->mult, config->mult, (size_t)config->levels * sizeof *config->mult);
    facts->tokens = vt_facts_sides(facts->sides, config->sides, config->scales);
    in->told.tokenizer = facts;
    return VARIANT_OK;
}

variant_status vt_facts_preview(vt_inspection *in, const vt_model *model, variant_error *err) {
    const vt_preview_config *config = vt_preview_configuration(model->preview);
    const vt_params *params = vt_preview_params(model->preview);
    variant_preview_facts *facts = NULL;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    *facts = (variant_preview_facts){.parameters = vt_facts_parameters(params),
                                     .mapped_bytes = params->mapped_bytes,
                                     .level_count = config->levels,
                                     .blocks = config->blocks};
    memcpy(facts->widths, config->widths, (size_t)config->levels * sizeof *config->widths);
    in->told.preview = facts;
    VT_TRY(vt_kept_text(&in->kept, &facts->hash, model->preview_hash, err));
    return vt_kept_text(&in->kept, &facts->training, model->preview_training, err);
}

variant_status vt_facts_network(vt_inspection *in, const vt_features_info *info,
                                variant_error *err) {
    variant_network *facts = NULL;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    *facts = (variant_network){.inception = info->inception,
                               .side = info->side,
                               .channels = info->channels,
                               .dims = info->dims,
                               .spatial_dims = info->spatial_dims,
                               .classes = info->classes};
    in->told.network = facts;
    VT_TRY(vt_kept_text(&in->kept, &facts->name, info->name, err));
    return vt_kept_text(&in->kept, &facts->hash, info->hash, err);
}
