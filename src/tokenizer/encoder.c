/* encoder.c - the encoder as a list of layers: picture to latent. Names are the published
 * checkpoints'. */
#include "tokenizer/parts.h"

variant_status vt_encoder_build(vt_picture_chain *chain, vt_params *params,
                                const vt_tokenizer_config *config, variant_error *err) {
    vt_picture_chain_init(chain, params, vt_tokenizer_side(config), config->channels);
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->base_width, 1, "encoder.conv_in");
    for (int level = 0; level < config->levels; ++level) {
        bool last = level == config->levels - 1;
        int width = config->base_width * config->mult[level];
        for (int i = 0; i < config->blocks; ++i) {
            vt_picture_chain_add(chain, VT_PICTURE_RESNET, width, 1, "encoder.down.%d.block.%d",
                                 level, i);
            if (last)
                vt_picture_chain_add(chain, VT_PICTURE_ATTENTION, 0, 1, "encoder.down.%d.attn.%d",
                                     level, i);
        }
        if (!last)
            vt_picture_chain_add(chain, VT_PICTURE_CONV, width, 2,
                                 "encoder.down.%d.downsample.conv", level);
    }
    vt_picture_chain_add(chain, VT_PICTURE_RESNET, chain->channels, 1, "encoder.mid.block_1");
    vt_picture_chain_add(chain, VT_PICTURE_ATTENTION, 0, 1, "encoder.mid.attn_1");
    vt_picture_chain_add(chain, VT_PICTURE_RESNET, chain->channels, 1, "encoder.mid.block_2");
    vt_picture_chain_add(chain, VT_PICTURE_NORM, 0, 1, "encoder.norm_out");
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->latent_dim, 1, "encoder.conv_out");
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->latent_dim, 1, "quant_conv");
    return vt_picture_chain_finish(chain, err);
}
