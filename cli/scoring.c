/* scoring.c - see scoring.h. */
#include "scoring.h"

#include "output.h"
#include "values.h"

cli_scoring cli_scoring_defaults(void) {
    return (cli_scoring){.draws = -1};
}

variant_status cli_scoring_check(const cli_scoring *scoring, const char *model,
                                 variant_error *err) {
    if (scoring->features || (model && cli_is_folder(model))) return VARIANT_OK;
    return variant_fail(err, VARIANT_E_ARGUMENT,
                        "which network measures? give --features FILE (an Inception file, or what "
                        "`variant train classifier` made)");
}

variant_data cli_scoring_reference(const cli_scoring *scoring, const cli_data *data) {
    variant_data out = cli_data_asked_of(&scoring->reference, data);
    if (!data->split_chosen) out.split = NULL;
    return out;
}

static bool add_reference(void *owner, const char *text) {
    return cli_data_add(&((cli_scoring *)owner)->reference, text);
}

static bool read_draws(void *owner, const char *text) {
    return cli_draws(text, &((cli_scoring *)owner)->draws);
}

const cli_option cli_scoring_options[] = {
    {"reference", "DATA",
     "real pictures: IDX files, a folder (with or without a sub-folder a class), an .npz with "
     "arr_0; several are joined; or statistics: a file of eval's --save-reference, an .npz with mu "
     "and sigma",
     .read = add_reference},
    {"reference-count", "N", "of its pictures, {range}",
     CLI_INT(cli_scoring, reference_count, 2, 10000000), .unset = "all"},
    {"features", "PATH",
     "the network: pt_inception-2015-12-05 (then scores are FID, IS), or what `variant train "
     "classifier` made, a file or its folder",
     CLI_TEXT(cli_scoring, features, "a network's file or folder"),
     .unset = "MODEL/" VARIANT_FEATURES_FILE},
    {"resize", "WHICH", "of pictures for the Inception: {words}",
     CLI_NAME(cli_scoring, resize, "pytorch|tensorflow"), .unset = "pytorch",
     .notes = "as pytorch-fid|as guided-diffusion's statistics and torch-fidelity"},
    {"draws", "N",
     "of the bootstrap that each score's spread (+-) comes from, 0: none, or 2 to 10000",
     CLI_INT(cli_scoring, draws, 0, 10000), .read = read_draws,
     .unset = "100; 20 above 512 features"},
    {0},
};
