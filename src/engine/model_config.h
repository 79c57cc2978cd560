/* model_config.h - configuration to and from the JSON that travels in a file's metadata. Private to
 * engine/.
 *
 * "variant.config": {"format": 1,
 *     "tokenizer": {"channels", "base_width", "mult", "blocks", "codes", "latent_dim", "sides"},
 *     "transformer": {"depth", "width", "heads", "hidden", "codes", "latent_dim", "classes",
 *                     "l2_norm", "shared_adaln", "sides"},
 *     "preview_decoder": {"widths", "blocks", "training": {settings}},
 *     "classes": [names], "supernet": {"bridge", "depths", "layers"}}  - every part optional. */
#ifndef VT_ENGINE_MODEL_CONFIG_H
#define VT_ENGINE_MODEL_CONFIG_H

#include "engine/model.h"
#include "io/data.h" /* VT_TRAINING_KEY */

#define VT_CONFIG_KEY "variant.config"

/* What a file's own configuration says; zero scales: nothing. */
typedef struct vt_file_config {
    int tokenizer_scales, tokenizer_sides[VT_MAX_SCALES];
    int transformer_scales, transformer_sides[VT_MAX_SCALES];
    int heads;
    vt_preview_config preview; /* levels 0: none */
    char *preview_training;    /* JSON text, owned; NULL: none */
    vt_supernet_info supernet;
    int class_count;
    char **class_names; /* owned */
} vt_file_config;

/* E_FORMAT when the metadata is there but is not what it should be. Understands "variant.config"
 * and, in PyTorch trainer checkpoints, any metadata list called patch_nums. */
variant_status vt_file_config_read(vt_file_config *out, const vt_tensor_file *file,
                                   variant_error *err);
void vt_file_config_free(vt_file_config *config);

/* The text with save->preview's entry in the place of the one that is there; free() it. NULL: no memory. */
char *vt_model_config_with_preview(const char *text, const vt_model_save *save);

/* free() the text. */
char *vt_model_config_text(const vt_model_save *save);

#endif
