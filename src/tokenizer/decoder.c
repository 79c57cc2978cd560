/* decoder.c - the decoder as a list of layers: f_hat to picture. Names are the published
 * checkpoints', where level up.{n-1}, the smallest maps, comes first. */
#include "tokenizer/parts.h"

variant_status vt_decoder_build(vt_picture_chain *chain, vt_params *params,
                                const vt_tokenizer_config *config, variant_error *err) {
    int top = config->levels - 1, width = config->base_width * config->mult[top];
    vt_picture_chain_init(chain, params, config->sides[config->scales - 1], config->latent_dim);
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->latent_dim, 1, "post_quant_conv");
    vt_picture_chain_add(chain, VT_PICTURE_CONV, width, 1, "decoder.conv_in");
    vt_picture_chain_add(chain, VT_PICTURE_RESNET, width, 1, "decoder.mid.block_1");
    vt_picture_chain_add(chain, VT_PICTURE_ATTENTION, 0, 1, "decoder.mid.attn_1");
    vt_picture_chain_add(chain, VT_PICTURE_RESNET, width, 1, "decoder.mid.block_2");
    for (int level = top; level >= 0; --level) {
        width = config->base_width * config->mult[level];
        for (int i = 0; i <= config->blocks; ++i) {
            vt_picture_chain_add(chain, VT_PICTURE_RESNET, width, 1, "decoder.up.%d.block.%d",
                                 level, i);
            if (level == top)
                vt_picture_chain_add(chain, VT_PICTURE_ATTENTION, 0, 1, "decoder.up.%d.attn.%d",
                                     level, i);
        }
        if (level > 0)
            vt_picture_chain_add(chain, VT_PICTURE_UPSAMPLE, width, 1,
                                 "decoder.up.%d.upsample.conv", level);
    }
    vt_picture_chain_add(chain, VT_PICTURE_NORM, 0, 1, "decoder.norm_out");
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->channels, 1, "decoder.conv_out");
    return vt_picture_chain_finish(chain, err);
}
