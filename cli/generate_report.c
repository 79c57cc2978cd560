/* generate_report.c - see generate_report.h. */
#include "generate_report.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <string.h>

/* The file of the picture that is `i`th of the request; of a sheet the one there is. */
static bool file_of(const generated *made, const cli_output *output, int i, char *path,
                    size_t size) {
    if (made->sheet) return snprintf(path, size, "%s", output->path) < (int)size;
    return cli_output_path(output, made->request->first_image + i, made->request->count > 1, path,
                           size, NULL) == VARIANT_OK;
}

static void print_files(FILE *to, const generated *made, const cli_output *output,
                        const char *what) {
    char first[4096], last[4096];
    const int count = made->sheet ? 1 : made->request->count;
    if (!output->path || !file_of(made, output, 0, first, sizeof first) ||
        !file_of(made, output, count - 1, last, sizeof last))
        return;
    if (count == 1)
        fprintf(to, "wrote       %s\n", first);
    else
        fprintf(to, "wrote       %d %s, %s to %s\n", count, what, first, last);
}

/* "key": ["a.png", ..], where there are such files. */
static void json_files(FILE *to, const generated *made, const cli_output *output, const char *key) {
    const int count = made->sheet ? 1 : made->request->count;
    char path[4096];
    if (!output->path) return;
    fprintf(to, ", \"%s\": [", key);
    for (int i = 0; i < count; ++i) {
        cJSON *name = file_of(made, output, i, path, sizeof path) ? cJSON_CreateString(path) : NULL;
        char *text = name ? cJSON_PrintUnformatted(name) : NULL;
        fprintf(to, "%s%s", i ? ", " : "", text ? text : "null");
        cJSON_free(text);
        cJSON_Delete(name);
    }
    fprintf(to, "]");
}

void generated_print(FILE *to, const generated *made) {
    const variant_info *info = made->info;
    const variant_report *r = made->report;
    fprintf(to, "model       %s, %d layers, %d scales, %d x %d pixels, %d classes%s\n", info->hash,
            info->depth, info->scales, info->picture_side, info->picture_side, info->classes,
            info->supernet ? ", depth supernet" : "");
    if (made->verbose) fprintf(to, "kernels     %s\n", info->kernels);
    if (made->planning) {
        fprintf(to, "plan        ");
        cli_planning_print(to, made->planning, made->plan);
        fprintf(to, "\n");
    }
    fprintf(to, "seed        %" PRIu64 "\n", made->request->seed);
    fprintf(to, "depths      %s\n", r->depths);
    if (r->uncond_depths[0] && strcmp(r->uncond_depths, r->depths) != 0)
        fprintf(to, "uncond      %s\n", r->uncond_depths);
    fprintf(to,
            "time        %.3f s: load %.3f, adaln %.3f, transformer %.3f, sampling %.3f, quantizer "
            "%.3f, decoder %.3f\n",
            r->total_seconds + made->load_seconds, made->load_seconds, r->condition_seconds,
            r->transformer_seconds, r->sampling_seconds, r->quantizer_seconds, r->decoder_seconds);
    fprintf(to, "by scale   ");
    for (int k = 0; k < r->scales; ++k)
        fprintf(to, " %d:%.1fms", info->sides[k], 1e3 * r->scale_seconds[k]);
    fprintf(to, "\nkv cache    %zu bytes at most, %zu at the end\n", r->kv_peak_bytes,
            r->kv_end_bytes);
    fprintf(to,
            "memory      %.1f MB resident at most: weights %.1f (%s), keys and values %.1f (%s), "
            "activations %.1f\n",
            (double)r->peak_resident_bytes / 1e6,
            (double)(info->weight_bytes + info->mapped_bytes) / 1e6, info->weights,
            (double)r->kv_peak_bytes / 1e6, info->kv, (double)r->arena_peak_bytes / 1e6);
    print_files(to, made, made->output, "pictures");
    print_files(to, made, made->animation, "animations");
}

void generated_json(FILE *to, const generated *made) {
    const variant_info *info = made->info;
    const variant_report *r = made->report;
    fprintf(to, "{\"model\": \"%s\", ", info->hash);
    if (made->planning) {
        fprintf(to, "\"plan\": ");
        cli_planning_json(to, made->planning, made->plan);
        fprintf(to, ", ");
    }
    fprintf(to,
            "\"pictures\": %d, \"seed\": \"%" PRIu64 "\", \"first\": %d, \"depths\": \"%s\", "
            "\"uncond_depths\": \"%s\", \"load_ms\": %.3f, "
            "\"total_ms\": %.3f, \"adaln_ms\": %.3f, "
            "\"transformer_ms\": %.3f, \"sampling_ms\": %.3f, \"quantizer_ms\": %.3f, "
            "\"decoder_ms\": %.3f, \"kv_peak_bytes\": %zu, "
            "\"kv_end_bytes\": %zu, \"arena_peak_bytes\": %zu, \"weight_bytes\": %zu, "
            "\"peak_rss_bytes\": %zu, \"weights\": \"%s\", \"kv\": \"%s\", \"scales\": [",
            made->request->count, made->request->seed, made->request->first_image, r->depths,
            r->uncond_depths, 1e3 * made->load_seconds, 1e3 * r->total_seconds,
            1e3 * r->condition_seconds, 1e3 * r->transformer_seconds, 1e3 * r->sampling_seconds,
            1e3 * r->quantizer_seconds, 1e3 * r->decoder_seconds, r->kv_peak_bytes, r->kv_end_bytes,
            r->arena_peak_bytes, info->weight_bytes + info->mapped_bytes, r->peak_resident_bytes,
            info->weights, info->kv);
    for (int k = 0; k < r->scales; ++k)
        fprintf(to, "%s{\"side\": %d, \"layers\": %d, \"ms\": %.3f, \"kv_bytes\": %zu}",
                k ? ", " : "", info->sides[k], r->scale_layers[k], 1e3 * r->scale_seconds[k],
                r->scale_kv_bytes[k]);
    fprintf(to, "]");
    json_files(to, made, made->output, "files");
    json_files(to, made, made->animation, "animations");
    fprintf(to, "}\n");
}
