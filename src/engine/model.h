/* model.h - a tokenizer and a transformer as one thing, opened from whatever files hold them and
 * saved again.
 *
 * The engine (engine.h), the trainers (train/) and the commands open models through here. What
 * the files do not tell comes from options; every complaint names the file and the tensor or
 * option. */
#ifndef VT_ENGINE_MODEL_H
#define VT_ENGINE_MODEL_H

#include "supernet/phases.h"
#include "tokenizer/preview.h"
#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

/* A model, or a tokenizer, that the caller's memory holds: a whole file, or tensors. Borrowed as long as the model is open. */
typedef struct vt_in_memory {
    const void *bytes;
    size_t size;
    const variant_tensor *tensors; /* NULL: bytes */
    size_t count;
    const char *config; /* of tensors: JSON text, as a file's metadata has it; NULL */
} vt_in_memory;

typedef struct vt_model_options {
    /* where set, `model` and `tokenizer` are what messages call them */
    const vt_in_memory *model_memory, *tokenizer_memory;
    const char *model;     /* a file (tokenizer, transformer or both) or a folder that holds them */
    const char *tokenizer; /* a file for the tokenizer; NULL: found in model */
    const char *sides;     /* "1,2,3": overrides or supplies the scales; NULL */
    int heads;             /* supplies the heads where nothing tells; 0 */
    /* which of several models in a file ("ema", "model"); NULL: averaged weights before others, said
     * through warn */
    const char *part;
    void (*warn)(void *user,
                 const char *line); /* what was chosen, passed over; NULL: nobody hears */
    void *user;
    bool need_tokenizer, need_transformer; /* E_MODEL when one that is needed is not found */
    vt_number weights; /* how products store theirs; the tokenizer's are never below bf16 */
    bool
        any_weights; /* that of a file whose weights are packed, where there is one, else `weights` */
    /* what the caller does with the numbers themselves, so that a packed file is refused: "to convert"; NULL: nothing */
    const char *own_numbers;
    bool skip_encoder; /* the tokenizer will only decode */
    bool any_numbers;  /* NaN and infinite weights are no error: only to look at a model */
    bool
        any_integers; /* nothing is said of integers that are multiplied out: nothing runs on them */
    bool copy;        /* values copied to memory (training changes them), not mapped */
    bool guard;  /* files may be cut short meanwhile: vt_model_settle is asked of what is made */
    bool verify; /* a tensor that is not what its checksum was made of is E_FORMAT */
} vt_model_options;

/* What training as a supernet left in the metadata. */
typedef struct vt_supernet_info {
    bool trained;
    int bridge; /* N */
    int depth_count, depths[VT_MAX_DEPTHS];
    vt_selector selector;
    int uncond_depth; /* layers of guidance's unconditional branch in late scales; 0: not told */
    /* factors on guidance there, each for a depth of the conditional branch, ascending; count 0: not told */
    int late_count;
    struct vt_late {
        int depth;
        float factor;
    } late[VT_MAX_DEPTHS + 1];
} vt_supernet_info;

typedef struct vt_model {
    vt_kern *kern;               /* borrowed */
    vt_number weights;           /* how products store theirs */
    vt_tokenizer *tokenizer;     /* NULL when absent */
    vt_transformer *transformer; /* NULL when absent */
    vt_preview *preview;         /* the tokenizer's small decoder; NULL when absent */
    char preview_hash[17];       /* as `hash`, which leaves it out; "" when absent */
    char *preview_training; /* what its training left in the configuration (JSON text), or NULL */
    int class_count;        /* names; 0: none known */
    char **class_names;     /* ImageNet's for 1000 classes without names */
    vt_supernet_info supernet;
    /* the "variant.training" metadata (JSON text) of the transformer's file, or NULL */
    char *training;
    /* 64 bits of the files' contents in hex: names, shapes and samples of every tensor's bytes */
    char hash[17];
    vt_tensor_file *files[2]; /* tokenizer's and transformer's; may be the same */
    const char *groups[2];    /* in which group of its file each lies; the files' memory */
    bool chosen[2];           /* its file holds several, of which this one was taken */
} vt_model;

/* What a request takes where it says nothing: the bridge and the selector of the model's supernet
 * training; without such training the published proportion (6 of 10 scales), equidistant. */
int vt_supernet_bridge(const vt_supernet_info *supernet, int scales);
vt_selector vt_supernet_selector(const vt_supernet_info *supernet);
/* Of guidance, likewise: what the model's file tells, else the least depth of the training that is not 1 (docs/GUIDANCE.md;
 * beside a conditional branch of that depth 1 guides, if it was trained: branches.c), and a
 * factor of 1; without supernet training 0 (as the conditional branch) and 1. */
int vt_supernet_uncond_depth(const vt_supernet_info *supernet);
float vt_supernet_cfg_late(const vt_supernet_info *supernet,
                           int depth); /* between two told ones: in proportion */
/* "2.5" or "12:2.2,6:3,3:4" into `late`; false: neither. */
bool vt_supernet_read_late(vt_supernet_info *supernet, const char *text);

void vt_model_options_init(vt_model_options *options);
variant_status vt_model_open(vt_model **out, vt_kern *kern, const vt_model_options *options,
                             variant_error *err);
/* Without any part yet: what the caller puts into it is the model's, and is closed with it. */
variant_status vt_model_new(vt_model **out, vt_kern *kern, variant_error *err);
void vt_model_close(vt_model **model);
/* status; E_IO where a file of it was cut short since it was opened (vt_tensor_file_settle). NULL is never cut. */
variant_status vt_model_settle(const vt_model *model, variant_status status, variant_error *err);
/* E_IO where a file of it is shorter than it was, whether or not that was read yet. */
variant_status vt_model_intact(const vt_model *model, variant_error *err);
/* For what is written out of a model's files: the watch stops it where one was cut short, so that nothing is replaced by it; the status
 * then says so, in the place of what stopped, and of the system's EFAULT where it met the end first. */
vt_work_watch vt_model_watch(vt_model *model);
variant_status vt_model_settle_written(const vt_model *model, variant_status status,
                                       variant_error *err);
/* Copies of `names` (count) in the place of those it had. */
variant_status vt_model_set_class_names(vt_model *model, const char *const *names, int count,
                                        variant_error *err);

/* Label of a class given as a name, a number ("7", unless a class is called so), a name in other letters
 * where no second one is meant, or "uncond" (= number of classes). E_ARGUMENT lists what would do, or the
 * nearest names. "random" and "all" are the caller's. */
variant_status vt_model_class(const vt_model *model, const char *text, int *label,
                              variant_error *err);
/* The name of a label, or its number; "uncond". Into out. */
/* Likewise of one or several between commas or line ends; names with commas in them are found, too. *labels
 * (*count): free() it. */
variant_status vt_model_classes(const vt_model *model, const char *text, int32_t **labels,
                                int *count, variant_error *err);
void vt_model_class_name(const vt_model *model, int label, char *out, size_t size);

/* Writing. Any of the parts may be NULL; extra tensors and metadata (JSON texts) come along;
 * type VT_F32, VT_F16 or VT_BF16 for parameters of two and more dimensions (one-dimensional ones
 * stay float32). */
typedef struct vt_model_save {
    vt_tokenizer *tokenizer;
    vt_preview *preview;          /* goes with the tokenizer */
    const char *preview_training; /* JSON text, NULL: none */
    vt_transformer *transformer;
    /* a network of another kind: its parameters, and its configuration (JSON text) in the place of ours */
    vt_params *params;
    const char *config;
    int class_count;
    char *const *class_names;
    const vt_supernet_info *supernet; /* NULL: none */
    const char *training;             /* JSON text, NULL: none */
    vt_dtype type;
    size_t
        most_bytes; /* of tensors in a file: larger models go into shards with an index (vt_shards_write); 0: one file */
    /* a checkpoint's optimizer state; names begin with "training/", which opening passes over */
    const vt_tensor_out *extra;
    int extra_count;
    const char *extra_key, *extra_value; /* one more metadata pair, or NULL */
    /* F16 and BF16: a tensor whose numbers overflow, or lose more than 1 % of its norm, is E_MODEL; with
     * force it is written, what overflows as the type's largest. Each is told through warn. */
    bool force;
    void (*warn)(void *user, const char *line); /* NULL: nobody hears */
    void *user;
    const vt_work_watch
        *watch; /* told of "converting" to halves and of "writing"; NULL: nobody is */
} vt_model_save;
variant_status vt_model_write(const char *path, const vt_model_save *save, variant_error *err);
/* Of save the transformer (to path) and the tokenizer (to tokenizer_path; NULL: not, which is told through save->warn), or a tokenizer alone
 * (to path), as state dicts that the original implementation's classes, VAR and VQVAE, load with strict=True, their buffers included. Of class
 * names and what a supernet was trained for safetensors have metadata, a PyTorch file (by a path's ending: vt_torch_is_name) nothing.
 * model: whose parts they are. E_ARGUMENT: another ending. */
variant_status vt_model_write_torch(const char *path, const char *tokenizer_path,
                                    const vt_model *model, const vt_model_save *save,
                                    variant_error *err);
/* The model, opened with weights of bf16, int8 or int4 on a backend that packs them (E_UNSUPPORTED), as it computes: a file that opens
 * without packing anything (model_packed.h). save: its configuration, classes and training. */
variant_status vt_model_write_packed(const char *path, const vt_model *model,
                                     const vt_model_save *save, variant_error *err);

/* E_MODEL with the line that says how to make the preview decoder that is missing. */
variant_status vt_model_fail_preview(variant_error *err);
/* Writes an open model's files as one, tensor by tensor as they are (what its configuration says is `config`, from
 * vt_model_config_of), with this preview decoder in the place of the one that was there. training: its record (JSON text)
 * or NULL. The model's hash stays what it is. */
variant_status vt_model_write_preview(const char *path, vt_model *model, const char *config,
                                      vt_preview *preview, const char *training,
                                      variant_error *err);
/* What vt_model_write would write of it as configuration; free() it. NULL: no memory. */
char *vt_model_config_of(const vt_model *model);

/* The state dicts of a file opened for a model that hold its tokenizer (part 0) or transformer (part 1):
 * their groups, at most `most`; returns how many. */
int vt_model_groups(const vt_tensor_file *file, int part, const char **groups, int most);

/* "1,2,3" -> sides; E_ARGUMENT names the option. Used by the commands too. */
variant_status vt_sides_parse(const char *text, int *sides, int *count, variant_error *err);

/* ImageNet's 1000 class names (engine/imagenet_names.c). */
extern const char *const vt_imagenet_names[1000];

#endif
