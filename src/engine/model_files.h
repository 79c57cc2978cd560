/* model_files.h - which files, and which state dicts in them, hold a tokenizer and a transformer. Private to
 * engine/. */
#ifndef VT_ENGINE_MODEL_FILES_H
#define VT_ENGINE_MODEL_FILES_H

#include "engine/model.h"

enum { VT_TOKENIZER_PART, VT_TRANSFORMER_PART, VT_MODEL_PARTS };

/* The tensor that each part is known by. */
#define VT_TOKENIZER_MARK "quantize.embedding.weight"
#define VT_TRANSFORMER_MARK "blocks.0.attn.mat_qkv.weight"

/* Opens the files and sets model->files, groups and chosen. E_MODEL when a part that is needed is in none, or
 * in more than one. */
variant_status vt_model_find(vt_model *model, const vt_model_options *options, variant_error *err);

/* A line to options->warn. */
void vt_model_warn(const vt_model_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What a file's names say of it when it holds neither part: its first names, and which known layout they are
 * nearest to. Into out, to stand behind "PATH: ". */
void vt_model_layout_text(char *out, size_t size, const vt_tensor_file *file);

#endif
