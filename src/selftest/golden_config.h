/* golden_config.h - the JSON description of a model whose weights are a formula (io/synth.h).
 *
 *     {"seed": "A", "depth": 6, "width": 128, "heads": 2, "V": 64, "Cvae": 8, "classes": 10,
 *      "patch_nums": [1, 2, 3, 4], "attn_l2_norm": true, "shared_aln": false,
 *      "ch": 32, "ch_mult": [1, 2], "nres": 1,
 *      "channels": 3, "mlp_ratio": 4,               these two may be left out, and likewise the runs:
 *      "subnets": [[N, d], ...], "lists": {NAME: [[layers of scale 0], ...]},
 *      "runs": [[NAME, N, d], ...], "labels": [207], "cfg": 1.5}
 *
 * Read by `variant synth` from a file and by the self-test (selftest.h) from its reference
 * files' metadata. The parsed text is kept, since runs are looked up in it by name. */
#ifndef VT_SELFTEST_GOLDEN_CONFIG_H
#define VT_SELFTEST_GOLDEN_CONFIG_H

#include <cjson/cJSON.h>

#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

typedef struct vt_golden_config {
    char seed[64];
    vt_tokenizer_config tokenizer;
    vt_transformer_config transformer;
    double cfg;  /* guidance of the generation runs; 1.5 when not given */
    cJSON *json; /* owned */
} vt_golden_config;

/* E_FORMAT or E_ARGUMENT with a line that starts with `where` and names the field. */
variant_status vt_golden_config_parse(vt_golden_config *out, const char *text, const char *where,
                                      variant_error *err);
void vt_golden_config_free(vt_golden_config *config);

/* The schedule of a run: a name in "lists" or in "runs", "full", or "N{n}d{d}" (n scales run
 * everything, the others d equidistant layers; n >= K and d >= D are allowed and mean all). */
variant_status vt_golden_schedule(const vt_golden_config *config, const char *run, vt_schedule *out,
                                  variant_error *err);
/* Same, with the layers of the flexible zone (D flags); false when the run is not of the two-zone
 * form. */
bool vt_golden_zone(const vt_golden_config *config, const char *run, uint8_t *keep);

/* Labels of `batch` pictures: "labels" (repeated cyclically), or integers of key SEED/labels. */
variant_status vt_golden_labels(const vt_golden_config *config, int batch, int32_t *labels,
                                variant_error *err);
/* Teacher tokens (batch, L), host memory: scale k holds integers of key SEED/tokens/k. */
variant_status vt_golden_tokens(const vt_golden_config *config, int batch, int32_t *tokens,
                                variant_error *err);

#endif
