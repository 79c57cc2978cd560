/* inspect.c - `variant inspect`: what a model file holds and what generating with it takes, as variant_inspect tells it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "request.h"

typedef struct settings {
    variant_engine_options engine;
    variant_inspect_options inspect;
    bool json;
} settings;

/* ---- pieces ---- */

static void print_list(const int *list, int count) {
    for (int i = 0; i < count; ++i) printf("%s%d", i ? "," : "", list[i]);
}

static const char *bytes_text(size_t count, char *out, size_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double bytes = (double)count;
    int unit = 0;
    for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
    snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

static void print_parameters(size_t parameters, size_t mapped_bytes) {
    char mapped[32];
    printf("  parameters     %zu", parameters);
    if (mapped_bytes > 0)
        printf(" (%s stay in the mapped file)", bytes_text(mapped_bytes, mapped, sizeof mapped));
    printf("\n");
}

static void print_pictures(int side, int channels) {
    printf("  pictures       %d x %d, %s\n", side, side, channels == 1 ? "grey" : "RGB");
}

static void print_scales(const int *sides, int scales, int tokens) {
    printf("  scales         %d: sides ", scales);
    print_list(sides, scales);
    printf(", %d tokens\n", tokens);
}

/* ---- files ---- */

/* Only where it is not plain: several of a part, or words before its names. */
static void print_parts(const variant_file_facts *file) {
    bool plain = true;
    for (int i = 0; i < file->part_count; ++i) plain = plain && !file->parts[i]->in[0];
    if (plain) return;
    printf("  holds         ");
    for (int i = 0; i < file->part_count; ++i) {
        const variant_file_part *part = file->parts[i];
        printf("%s %s in %s%s", i ? "," : "", part->part, part->in[0] ? part->in : "bare names",
               part->taken ? "" : " (not taken)");
    }
    printf("\n");
}

static void print_file(const variant_file_facts *file) {
    char bytes[32];
    printf("%s\n  %s, %d tensors, %s\n", file->path, file->format, file->tensors,
           bytes_text(file->bytes, bytes, sizeof bytes));
    print_parts(file);
    if (file->packed)
        printf(
            "  packed         %s weights as %s version %d: used where they lie; the hash is that "
            "of the model that was packed\n",
            file->packed, file->packed_layout, file->packed_version);
}

static void print_tensor(const variant_tensor_facts *tensor) {
    printf("  %-5s (", tensor->type);
    for (int d = 0; d < tensor->rank; ++d) printf("%s%" PRId64, d ? "," : "", tensor->shape[d]);
    printf(")  %s%s%s", tensor->group, tensor->group[0] ? "/" : "", tensor->name);
    if (tensor->not_finite > 0) printf("  %zu NaN or infinite", tensor->not_finite);
    printf("\n");
}

/* ---- parts ---- */

static void print_tokenizer(const variant_tokenizer_facts *part) {
    printf("tokenizer\n");
    print_parameters(part->parameters, part->mapped_bytes);
    print_pictures(part->picture_side, part->channels);
    print_scales(part->sides, part->scales, part->tokens);
    printf("  codebook       %d codes of %d\n", part->codes, part->latent_dim);
    printf("  widths         %d times ", part->base_width);
    print_list(part->mult, part->level_count);
    printf(", %d blocks a level\n", part->blocks);
}

static void print_preview(const variant_preview_facts *part) {
    printf("preview decoder  %s\n", part->hash);
    print_parameters(part->parameters, part->mapped_bytes);
    printf("  widths         ");
    print_list(part->widths, part->level_count);
    printf(", %d block%s a level\n", part->blocks, part->blocks == 1 ? "" : "s");
}

static void print_costs(const variant_transformer_facts *part) {
    printf("  keys and values of one picture with guidance, float32\n");
    printf("    depth  bridge        peak       saved      at the end   all retained  saved\n");
    for (int i = 0; i < part->cost_count; ++i) {
        const variant_depth_facts *cost = part->costs[i];
        char peak[32], end[32], retained[32];
        printf("    %5d  %6d  %12s  %7.1f %%  %12s  %12s  %4.1f %%\n", cost->depth, cost->bridge,
               bytes_text(cost->kv_peak_bytes, peak, sizeof peak), 100 * cost->saved,
               bytes_text(cost->kv_end_bytes, end, sizeof end),
               bytes_text(cost->kv_retained_bytes, retained, sizeof retained),
               100 * cost->saved_retained);
    }
}

/* How many products take what, and on what that was measured. */
static void print_integers(const variant_integer_facts *part) {
    printf("  weights        ");
    if (part->int4 > 0) printf("int4: %d products; ", part->int4);
    printf("int8: %d products, %d of them with one scale a row", part->int8, part->rows);
    if (part->pictures > 0)
        printf(", factors folded before %d; measured on %d pictures", part->folded, part->pictures);
    printf("\n");
}

static void print_classes(const variant_transformer_facts *part) {
    printf("  classes        %d", part->classes);
    for (int i = 0; i < part->class_name_count && i < 20; ++i)
        printf("%s%s", i ? ", " : ": ", part->class_names[i]);
    printf("%s\n", part->class_name_count > 20 ? ", ..." : "");
}

static void print_supernet(const variant_transformer_facts *part) {
    printf("  supernet       trained for depths ");
    print_list(part->depths, part->depth_count);
    printf(" after %d", part->bridge);
    if (part->last_bridge > part->bridge) printf(" to %d", part->last_bridge);
    printf(" full scales, layers %s\n", part->layers);
    printf("  guidance       its unconditional branch runs %d layers in the late scales; "
           "--cfg-scale there times",
           part->uncond_depth);
    for (int i = 0; i < part->late_count; ++i)
        printf(" %g at depth %d%s", part->cfg_lates[i], part->late_depths[i],
               i + 1 < part->late_count ? "," : "\n");
}

static void print_transformer(const variant_transformer_facts *part) {
    printf("transformer\n");
    print_parameters(part->parameters, part->mapped_bytes);
    printf("  shape          depth %d, width %d, heads %d of %d, MLP %d\n", part->depth,
           part->width, part->heads, part->width / part->heads, part->hidden);
    printf("  attention      %s; AdaLN %s\n", part->l2_norm ? "normalised q and k" : "plain",
           part->shared_adaln ? "shared by the layers" : "of each layer its own");
    print_scales(part->sides, part->scales, part->tokens);
    if (part->integers) print_integers(part->integers);
    print_classes(part);
    if (part->supernet)
        print_supernet(part);
    else
        printf("  supernet       no training recorded: depths below %d will cost quality\n",
               part->depth);
    print_costs(part);
}

static void print_network(const variant_network *part) {
    printf("feature network\n");
    printf("  name           %s%s\n", part->name,
           part->inception ? ": scores are FID, sFID and IS" : ": scores carry its name");
    print_pictures(part->side, part->channels);
    printf("  features       %d", part->dims);
    if (part->spatial_dims > 0) printf(", spatial %d", part->spatial_dims);
    printf("\n  classes        %d\n", part->classes);
}

/* ---- all of it ---- */

static void print_damage(const variant_tensor_facts *tensor) {
    if (tensor->changed)
        printf("DAMAGED          %s: its bytes are not those that its checksum was made of; other "
               "commands take the model with --no-verify alone\n",
               tensor->name);
    if (tensor->not_finite > 0)
        printf("NOT A NUMBER     %s: %zu of %zu numbers are NaN or infinite; no command but this "
               "takes the model\n",
               tensor->name, tensor->not_finite, tensor->numbers);
}

static void print_text(const variant_inspection *facts) {
    for (int i = 0; i < facts->file_count; ++i) print_file(facts->files[i]);
    for (int i = 0; i < facts->damaged_count; ++i) print_damage(facts->damaged[i]);
    printf("hash             %s\n", facts->hash);
    if (facts->tokenizer) print_tokenizer(facts->tokenizer);
    if (facts->preview) print_preview(facts->preview);
    if (facts->transformer) print_transformer(facts->transformer);
    if (facts->network) print_network(facts->network);
    if (facts->tensors) printf("tensors\n");
    for (int i = 0; i < facts->tensor_count; ++i) print_tensor(facts->tensors[i]);
}

static variant_status inspect(const settings *s, variant_error *err) {
    variant_inspection *facts = NULL;
    variant_status status = variant_inspect(&facts, &s->engine, &s->inspect, err);
    if (status != VARIANT_OK) return status;
    if (s->json) {
        char *text = variant_inspection_json(facts);
        if (text)
            puts(text);
        else
            status = cli_no_memory(err, "what was found as JSON");
        free(text);
    } else {
        print_text(facts);
    }
    variant_inspection_free(&facts);
    return status;
}

static void init(void *user) {
    settings *s = user;
    cli_engine_init(&s->engine);
    variant_inspect_options_init(&s->inspect);
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    int done = cli_model_operand(&s->engine, line);
    if (done >= 0) return done;
    variant_error err = {0};
    return cli_end(inspect(s, &err), &err);
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_MODEL),
    {"bridge", "N", "scales at full depth, for the table of depths",
     CLI_INT(settings, inspect.bridge, 0, VARIANT_MAX_SCALES), .unset = "as trained", .own = true},
    {"tensors", NULL, "also every tensor", CLI_FLAG(settings, inspect.tensors)},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

const cli_command cli_inspect = {
    .name = "inspect",
    .purpose = "what a model file holds, and what it needs",
    .usage = "MODEL [options]",
    .about = "Prints format, configuration, sizes, classes, what supernet training left, and the "
             "memory of keys and values at each depth; of a network that scores are measured in "
             "(FID's Inception, a classifier) its features. A damaged file gives one line that "
             "says what is wrong.",
    .examples = "variant inspect models/fashion\n"
                "variant inspect var_d30.pth --tokenizer vae_ch160v4096z32.pth --bridge 7 --json",
    .operands = 1,
    .opens = true,
    CLI_OF_THIS_FILE,
};
