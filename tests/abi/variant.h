/* variant.h as an older program saw it: each struct ends earlier than the library's does today. Frozen, but for what is no struct:
 * tests/abi.sh compiles older.c with it and runs that with the library of today. */
#ifndef VARIANT_H
#define VARIANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VARIANT_VERSION_MAJOR 0
#define VARIANT_VERSION_MINOR 1
#define VARIANT_VERSION_PATCH 0

#define VARIANT_STATUS_TABLE(X)                                                                    \
    X(OK, 0, "success")                                                                            \
    X(E_ARGUMENT, 1, "an argument or option is not valid")                                         \
    X(E_MEMORY, 2, "memory could not be obtained")                                                 \
    X(E_IO, 3, "a file could not be opened, read or written")                                      \
    X(E_FORMAT, 4, "a file is damaged or not of the format expected")                              \
    X(E_MODEL, 5, "a model's tensors or configuration do not fit")                                 \
    X(E_UNSUPPORTED, 6, "not supported by this build or machine")                                  \
    X(E_STOPPED, 7, "stopped by the caller")                                                       \
    X(E_MISMATCH, 8, "a result differs from its reference")                                        \
    X(E_DEVICE, 9, "the device that computes has failed")

typedef enum variant_status {
#define X(code, number, sentence) VARIANT_##code = number,
    VARIANT_STATUS_TABLE(X)
#undef X
} variant_status;

const char *variant_status_name(variant_status status);
const char *variant_status_sentence(variant_status status);

typedef struct variant_error {
    variant_status status;
    char message[512];
} variant_error;

const char *variant_version(void);

#define VARIANT_SIZED(name)                                                                        \
    void name##_init_sized(name *out, size_t size);                                                \
    static inline void name##_init(name *out) {                                                    \
        name##_init_sized(out, sizeof *out);                                                       \
    }                                                                                              \
    struct variant_semicolon_

#define VARIANT_MAX_SCALES 32
#define VARIANT_MAX_DEPTHS 16

typedef struct variant_engine variant_engine;

typedef struct variant_engine_options {
    size_t size;
    const char *model;
    const char *tokenizer;
    const char *sides;
    int heads;

    const char *part;

    void (*warn)(void *user, const char *line);
    void *user;
    const char *backend;
    int threads;

    const char *weights;
    const char *kv;
} variant_engine_options;

VARIANT_SIZED(variant_engine_options);

variant_status variant_engine_open(variant_engine **out, const variant_engine_options *options,
                                   variant_error *error);
void variant_engine_close(variant_engine **engine);

typedef struct variant_info {
    int depth, width, heads;
    int codes, latent_dim;
    int classes;
    int scales;
    int sides[VARIANT_MAX_SCALES];
    int picture_side, channels;
    bool supernet;
    int depth_count, depths[VARIANT_MAX_DEPTHS];
    int bridge;
    const char *layers;

    int uncond_depth;
    float cfg_late;
    const char *hash;
    bool preview_decoder;

    const char *kernels;
    const char *weights, *kv;
    size_t weight_bytes;
    size_t mapped_bytes;
} variant_info;

const variant_info *variant_engine_info(const variant_engine *engine);

const char *variant_engine_class_name(const variant_engine *engine, int label);

variant_status variant_engine_labels(const variant_engine *engine, const char *text,
                                     int32_t *labels, int capacity, int *count,
                                     variant_error *error);

typedef struct variant_progress {
    int pictures_done, pictures;
    int scale, scales;
} variant_progress;

typedef struct variant_preview {
    int picture, pictures;
    int scale, scales;
    int width, height, channels;
    const uint8_t *pixels;
} variant_preview;

typedef struct variant_edit {
    size_t size;
    int width, height, channels;
    const uint8_t *pixels;
    const uint8_t *mask;
    int grow;
    int feather;
    int left, top, right, bottom;

    const char *fit;
    bool pad;
    const char *fill;

    const char *codes;
} variant_edit;

VARIANT_SIZED(variant_edit);

typedef struct variant_request {
    size_t size;

    const char *class_name;

    const int32_t *labels;
    int label_count;
    int count;
    int batch;

    const int32_t *given_tokens;
    int given_count, given_scales;
    int scales;

    const variant_edit *edits;
    int edit_count;

    const char *edited;
    uint64_t seed;
    int first_image;

    float cfg_scale;

    float cfg_late;

    const float *cfg_scales;
    int cfg_scale_count;
    int top_k;
    float top_p;
    bool greedy;

    bool smooth;
    int depth;
    int bridge;
    const char *depths;

    const char *layers;

    int uncond_depth;
    const char *uncond_depths, *uncond_layers;

    const char *decoder;

    const char *decoder_hash;

    bool retain_kv;
    bool keep_scales;

    bool (*progress)(void *user, const variant_progress *at);

    void (*preview)(void *user, const variant_preview *at);

    bool (*previews)(void *user, int scale);
    void *user;
} variant_request;

VARIANT_SIZED(variant_request);

typedef struct variant_picture {
    int width, height, channels;
    uint8_t *pixels;
    int label;
    int token_count;
    int32_t *tokens;
    int scale_count;
    uint8_t **scale_pixels;
    char *settings;
    void *reserved;
} variant_picture;

typedef struct variant_report {
    size_t size;
    double condition_seconds;
    double transformer_seconds, sampling_seconds, quantizer_seconds, decoder_seconds;
    double total_seconds;
    int scales;
    double scale_seconds[VARIANT_MAX_SCALES];
    double scale_head_seconds[VARIANT_MAX_SCALES];
    int scale_layers[VARIANT_MAX_SCALES];

    size_t scale_kv_bytes[VARIANT_MAX_SCALES];
    size_t kv_peak_bytes, kv_end_bytes;
    size_t arena_peak_bytes;
    size_t peak_resident_bytes;
    char depths[VARIANT_MAX_SCALES * 4];

    char uncond_depths[VARIANT_MAX_SCALES * 4];
} variant_report;

VARIANT_SIZED(variant_report);

variant_status variant_generate(const variant_engine *engine, const variant_request *request,
                                variant_picture **pictures, variant_report *report,
                                variant_error *error);
void variant_pictures_free(variant_picture **pictures, int count);

typedef struct variant_loop variant_loop;
typedef struct variant_job variant_job;

variant_status variant_loop_open(variant_loop **out, const variant_engine *engine,
                                 variant_error *error);

void variant_loop_close(variant_loop **loop);

variant_status variant_loop_add(variant_loop *loop, const variant_request *request,
                                variant_job **job, variant_error *error);

variant_status variant_loop_step(variant_loop *loop, int *running, variant_error *error);
bool variant_job_done(const variant_job *job);

void variant_job_cancel(variant_job *job);

variant_status variant_job_take(variant_job **job, variant_picture **pictures,
                                variant_report *report, variant_error *error);

void variant_engine_trim(const variant_engine *engine);

typedef struct variant_memory {
    size_t size;
    size_t weights, mapped;
    size_t arena, kv;
    size_t edits;
} variant_memory;

VARIANT_SIZED(variant_memory);

variant_status variant_request_memory(const variant_engine *engine, const variant_request *request,
                                      variant_memory *memory, variant_error *error);

typedef struct variant_settings variant_settings;
variant_status variant_settings_read(variant_settings **out, const char *path,
                                     variant_error *error);
void variant_settings_free(variant_settings **settings);

const char *variant_settings_weights(const variant_settings *settings);
const char *variant_settings_kv(const variant_settings *settings);

variant_status variant_settings_request(const variant_settings *settings,
                                        const variant_engine *engine, variant_request *request,
                                        variant_error *error);

bool variant_settings_edit(const variant_settings *settings, variant_edit *edit);

typedef struct variant_plan_options {
    size_t size;

    size_t max_bytes;
    size_t other_bytes;
    double max_seconds;

    const char *quality;
    const char *sweep;
    bool auto_batch;

    bool memory_only;

    const char *cache;
    bool remeasure;

    struct variant_times *times;
} variant_plan_options;

VARIANT_SIZED(variant_plan_options);

typedef struct variant_plan {
    size_t size;
    bool fits;
    int bridge, depth;
    const char *layers;
    int uncond_depth;
    float cfg_late;

    char uncond_depths[VARIANT_MAX_SCALES * 4];
    int batch;
    size_t bytes;
    double seconds;
    double kept;
    int considered;
    bool measured;
    bool disturbed;
    bool has_distance;
    double distance;
    double distance_spread;
    char score[64];
    char why[192];
} variant_plan;

VARIANT_SIZED(variant_plan);

variant_status variant_plan_make(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan *plan,
                                 variant_error *error);

variant_status variant_plan_list(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan ***plans,
                                 int *count, variant_error *error);

typedef struct variant_times variant_times;
variant_status variant_times_open(variant_times **out, variant_error *error);
void variant_times_close(variant_times **times);

typedef struct variant_seconds {
    size_t size;
    double total;
    double scale[VARIANT_MAX_SCALES];
    double rest;
} variant_seconds;

VARIANT_SIZED(variant_seconds);

variant_status variant_request_seconds(const variant_engine *engine, const variant_request *request,
                                       const variant_plan_options *options,
                                       variant_seconds *seconds, variant_error *error);

void variant_plan_apply(const variant_plan *plan, variant_request *request);

variant_status variant_picture_write(const variant_picture *picture, const char *path, int quality,
                                     variant_error *error);
variant_status variant_picture_path_check(const char *path, variant_error *error);

variant_status variant_picture_write_png(const variant_picture *picture, const char *path,
                                         variant_error *error);

variant_status variant_picture_encode(const variant_picture *picture, const char *format,
                                      int quality, uint8_t **bytes, size_t *size,
                                      variant_error *error);

variant_status variant_picture_write_scale_png(const variant_picture *picture, int scale,
                                               const char *path, variant_error *error);

typedef struct variant_animation {
    size_t size;
    int columns, zoom;
    double frame_seconds, last_seconds;
} variant_animation;

VARIANT_SIZED(variant_animation);
variant_status variant_pictures_write_animation(const variant_picture *pictures, int count,
                                                const variant_animation *animation,
                                                const char *path, variant_error *error);

variant_status variant_pictures_write_sheet(const variant_picture *pictures, int count, int columns,
                                            int zoom, const char *path, int quality,
                                            variant_error *error);

#ifdef __cplusplus
}
#endif

#endif
