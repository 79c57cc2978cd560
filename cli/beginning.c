/* beginning.c - see beginning.h. Noise depends on (seed, image, scale, position) alone, so a picture whose early scales are
 * kept and whose class or depth is another one is an edit of the first, and costs nothing beside it. */
#include "beginning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

#define ROW(member) cli_beginning, member
const cli_option cli_beginning_options[] = {
    {"from", "PICTURE",
     "make a picture again by the settings inside it (PNG, JPEG, WebP); options that are given "
     "beside it change what they name",
     CLI_TEXT(ROW(from), "a picture's file")},
    {"refine", "PICTURE",
     "likewise, its early scales as they are and the others drawn again, with the layers that "
     "--depth says",
     CLI_TEXT(ROW(refine), "a picture's file")},
    {"vary", "PICTURE",
     "likewise, its early scales as they are and the others -n times, with new random numbers",
     CLI_TEXT(ROW(vary), "a picture's file")},
    {"tokens-in", "FILE",
     "begin with token maps, as encode and --tokens-out write them, one after another",
     CLI_TEXT(ROW(tokens_in), "a file of tokens")},
    {"keep-scales", "K", "scales that are kept of those, {range}",
     CLI_INT(ROW(keep_scales), 1, VARIANT_MAX_SCALES), .unset = "the bridge; of --from none"},
    {0},
};

static const char *picture_of(const cli_beginning *b) {
    return b->from ? b->from : b->refine ? b->refine : b->vary;
}

int cli_beginning_check(const cli_beginning *b, const cli_line *line) {
    int done = cli_one_of(line, "from|refine|vary|tokens-in");
    if (done >= 0) return done;
    if (b->keep_scales && !picture_of(b) && !b->tokens_in)
        return cli_misuse("--keep-scales of what? give --from, --refine, --vary or --tokens-in");
    if (picture_of(b) && !b->vary && cli_given(line, "count"))
        return cli_misuse("one picture is made again: --count is for --vary");
    return -1;
}

variant_status cli_beginning_read(cli_beginning *b, const cli_line *line, cli_request *asked,
                                  variant_error *err) {
    if (!picture_of(b)) return VARIANT_OK;
    CLI_TRY(variant_settings_read(&b->settings, picture_of(b), err));
    const char *weights = variant_settings_weights(b->settings),
               *kv = variant_settings_kv(b->settings);
    if (*weights && !cli_given(line, "weights")) asked->engine.weights = weights;
    if (*kv && !cli_given(line, "kv") && !cli_given(line, "weights")) asked->engine.kv = kv;
    return VARIANT_OK;
}

/* What the line does not say is as the picture has it; chosen: the line says the depth, in numbers or by a budget. */
static void merge(const cli_line *line, bool chosen, const variant_request *picture,
                  variant_request *asked) {
#define KEEP(option, member)                                                                       \
    if (!cli_given(line, option)) asked->member = picture->member
    KEEP("seed", seed);
    KEEP("first", first_image);
    KEEP("top-k", top_k);
    KEEP("top-p", top_p);
    KEEP("scales", scales);
    if (!cli_first_given(line, "greedy|smooth")) {
        asked->greedy = picture->greedy;
        asked->smooth = picture->smooth;
    }
    KEEP("decoder", decoder);
    KEEP("decoder", decoder_hash);
    if (!cli_given(line, "class")) {
        asked->labels = picture->labels;
        asked->label_count = picture->label_count;
    }
    if (!cli_first_given(line, "cfg-scale|cfg-scales")) {
        asked->cfg_scale = picture->cfg_scale;
        asked->cfg_scales = picture->cfg_scales;
        asked->cfg_scale_count = picture->cfg_scale_count;
    }
    KEEP("cfg-late", cfg_late); /* the model's own, of whatever depth, unless it was told */
    if (chosen) return; /* another depth is another depth of both branches, unless one is named */
    asked->layers = picture->layers;
    if (!cli_first_given(line, "uncond-depth|uncond-depths|uncond-layers")) {
        asked->uncond_layers = picture->uncond_layers;
        asked->uncond_depth = picture->uncond_depth;
    }
#undef KEEP
}

/* The early token maps of the picture, drawn again as it was. */
static variant_status draw_kept(cli_beginning *b, const variant_engine *engine,
                                const variant_request *picture, int keep, variant_error *err) {
    variant_request request = *picture;
    variant_picture *drawn;
    request.count = request.batch = 1;
    request.scales = keep;
    request.decoder = request.decoder_hash = NULL; /* tokens alone are wanted */
    CLI_TRY(variant_generate(engine, &request, &drawn, NULL, err));
    const size_t bytes = (size_t)drawn->token_count * sizeof *b->tokens;
    b->tokens = malloc(bytes);
    if (b->tokens) memcpy(b->tokens, drawn->tokens, bytes);
    variant_pictures_free(&drawn, 1);
    return b->tokens ? VARIANT_OK : variant_fail(err, VARIANT_E_MEMORY, "no memory for tokens");
}

static variant_status begin_with_picture(cli_beginning *b, const cli_line *line, bool planned,
                                         const variant_engine *engine, int keep,
                                         variant_request *asked, variant_error *err) {
    variant_request picture = {.size = sizeof picture};
    CLI_TRY(variant_settings_request(b->settings, engine, &picture, err));
    if (picture.edited && keep > 0)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "%s is an edit of another picture, whose scales are not kept: edit it again "
            "with --init-img and --mask",
            picture_of(b));
    merge(line, planned || cli_first_given(line, "depth|bridge|depths|layers|compare"), &picture,
          asked);
    if (b->vary && !cli_first_given(line, "seed|first")) ++asked->first_image;
    if (keep == 0) { /* it may have begun with given tokens itself */
        asked->given_tokens = picture.given_tokens;
        asked->given_count = picture.given_count;
        asked->given_scales = picture.given_scales;
        asked->edited = picture.edited;
        return VARIANT_OK;
    }
    CLI_TRY(draw_kept(b, engine, &picture, keep, err));
    asked->given_tokens = b->tokens;
    asked->given_count = 1;
    asked->given_scales = keep;
    return VARIANT_OK;
}

static variant_status begin_with_file(cli_beginning *b, const cli_line *line,
                                      const variant_info *info, int keep, variant_request *asked,
                                      variant_error *err) {
    int length = 0;
    for (int k = 0; k < info->scales; ++k) length += info->sides[k] * info->sides[k];
    CLI_TRY(variant_tokens_read(&b->given, b->tokens_in, length, info->codes, err));
    cli_tokens_note_model(b->given, b->tokens_in, info->hash);
    asked->given_tokens = b->given->tokens;
    asked->given_count = b->given->count;
    asked->given_scales = keep;
    if (!cli_given(line, "count")) asked->count = b->given->count;
    return VARIANT_OK;
}

variant_status cli_beginning_apply(cli_beginning *b, const cli_line *line, bool planned,
                                   const variant_engine *engine, cli_request *asked,
                                   variant_error *err) {
    const variant_info info = *variant_engine_info(engine);
    if (b->keep_scales > info.scales)
        return variant_fail(err, VARIANT_E_ARGUMENT, "--keep-scales %d: this model has %d scales",
                            b->keep_scales, info.scales);
    const int keep = b->keep_scales ? b->keep_scales : b->from ? 0 : info.bridge;
    if (b->settings)
        return begin_with_picture(b, line, planned, engine, keep, &asked->request, err);
    if (b->tokens_in) return begin_with_file(b, line, &info, keep, &asked->request, err);
    return VARIANT_OK;
}

void cli_beginning_close(cli_beginning *b) {
    variant_settings_free(&b->settings);
    free(b->tokens);
    b->tokens = NULL;
    variant_tokens_free(&b->given);
}
