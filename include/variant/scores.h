/* variant/scores.h - pictures judged and classified: FID and its like, by a network and real pictures. */
#ifndef VARIANT_SCORES_H
#define VARIANT_SCORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>
#include <variant/data.h>
#include <variant/engine.h>
#include <variant/generate.h>
#include <variant/picture.h>
#include <variant/tokens.h>

VARIANT_BEGIN

/* What pictures are judged by: a network, and, where there is one, what is known of real pictures in its features. One thread at a
 * time may use a judge; several may be at work at once. docs/EVALUATION.md says what each score means. */
typedef struct variant_judge variant_judge;

#define VARIANT_FEATURES_FILE "classifier.safetensors" /* the network's, in a folder */

typedef struct variant_judge_options {
    size_t size; /* variant_judge_options_init sets it */
    /* the network: FID's Inception (pt_inception-2015-12-05) or what a classifier's training made, a file or its folder; required, or
     * `model` below */
    const char *features;
    const char *resize;  /* of pictures for the Inception: "pytorch" (NULL) or "tensorflow" */
    const char *backend; /* "cpu" (default) or "ref" */
    int threads;         /* as variant_engine_options has it */
    /* what is being done ("reference", "pictures", "spread"), so many of so many; false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, const char *doing, int done, int total);
    void (*note)(void *user, const char *line); /* one line on what was found or left out; NULL */
    void *user;
    const int *cancel; /* stops with E_STOPPED once it is not 0, as variant_request.cancel; NULL */
    const char
        *model; /* features NULL: the folder of a model that has its network beside it; NULL */
    const char *
        save_reference; /* each reference of pictures is kept here, as variant_judge_save does it; NULL */
    bool verify;        /* of the network, as variant_engine_options has it */
} variant_judge_options;
/* The processor's backend and verify, nothing else. */
VARIANT_SIZED(variant_judge_options);

/* E_ARGUMENT: no network is named; E_IO, E_FORMAT: there is none that can be read. Threads: any. */
variant_status variant_judge_open(variant_judge **out, const variant_judge_options *options,
                                  variant_error *error);
/* Threads: one. */
void variant_judge_close(variant_judge **judge);

/* A judge's network, and its reference. The library's. */
typedef struct variant_network {
    const char *name; /* "inception-2015-12-05", "classifier" */
    bool
        inception; /* its Frechet distance may be called FID (arXiv 1706.08500); else "FID(classifier)" */
    int side, channels;      /* of the pictures it was made for */
    int dims, spatial_dims;  /* of its features; of those that sFID is measured in, 0: none */
    int classes;             /* of its probabilities */
    const char *hash;        /* 16 hex digits of its weights */
    const char *resize;      /* "pytorch", "tensorflow"; NULL: it does not resize */
    const char *reference;   /* what the real pictures are called; NULL: there are none */
    int64_t reference_count; /* of them; 0: not known */
    int draws;               /* of the bootstrap of spreads, where nobody says */
    /* which part of the reference's pictures there is ("train", "test", "all") and how they were taken; NULL: statistics, or none */
    const char *split, *fit, *alpha;
    double holdout;
} variant_network;

/* Until the judge's reference changes. Threads: one. */
const variant_network *variant_judge_network(const variant_judge *judge);
/* Name of a class, or NULL where none is known. Threads: any. */
const char *variant_judge_class_name(const variant_judge *judge, int label);

/* The real pictures (paths or an array; split NULL: the test pictures, of those without classes all), or one path to statistics: a file
 * of variant_judge_save, or .npz with mu and sigma (and mu_s, sigma_s) as pytorch-fid and guided-diffusion have them. count: so many
 * of the pictures, spread evenly; 0: all. side and channels: as which they are taken, those of what will be judged; 0: the first
 * picture's own. It takes the place of the one before. E_MISMATCH: statistics of another network or resize.
 * Threads: one. */
variant_status variant_judge_reference(variant_judge *judge, const variant_data *data, int count,
                                       int side, int channels, variant_error *error);
/* Does a file hold statistics, by its content? A name that promises some counts too. Threads: any. */
bool variant_is_statistics(const char *path);
/* Keeps all that is known of the reference's pictures (safetensors), for variant_judge_reference. Threads: one. */
variant_status variant_judge_save(const variant_judge *judge, const char *path,
                                  variant_error *error);

/* NAN: not measured. A spread is the standard deviation over other sets of as many pictures of the same model. */
typedef struct variant_scores {
    size_t size;                    /* variant_scores_init sets it */
    char name[64];                  /* of the Frechet distance: "FID", "FID(classifier)" */
    int64_t count, reference_count; /* pictures; real ones, 0: not known, or none */
    int draws;                      /* that the spreads were estimated by; 0: there are none */
    double frechet, frechet_spread;
    double spatial_frechet, spatial_frechet_spread; /* sFID (arXiv 2103.03841) */
    double inception_score,
        inception_spread; /* arXiv 1606.03498: mean and deviation over its splits */
    double precision, precision_spread, recall, recall_spread; /* arXiv 1904.06991, k = 3 */
    int neighbours_of;                      /* pictures a side that these two were measured on */
    double class_share, class_share_spread; /* that the network puts into the class they are of */
    double psnr, psnr_spread, ssim, ssim_spread; /* with `through`: means over pictures */
    int warning_count;
    char warnings[3][256]; /* one line each: few pictures, singular covariance */
    /* kernel distance, of neighbours_of pictures a side (arXiv 1801.01401): mean and deviation of the mean over blocks of 100 to 1000; called KID
     * in the Inception */
    double kid, kid_spread;
    int side, channels; /* of the pictures that were judged */
    /* of real or finished ones the part that was taken, and how, as in variant_network; NULL: they were generated */
    const char *split, *fit, *alpha;
    double holdout;
} variant_scores;
#define VARIANT_NEIGHBOURS 3 /* k of precision and recall */
/* Everything NAN or 0. */
VARIANT_SIZED(variant_scores);

/* What is judged: pictures that an engine makes, or that are there, or those that a tokenizer makes of them. */
typedef struct variant_eval_options {
    size_t size;                  /* variant_eval_options_init sets it */
    const variant_engine *engine; /* with request: request->count pictures, generated now ... */
    const variant_request *request;
    const variant_data *pictures; /* ... or these, paths or an array (split NULL: all) ... */
    variant_tokenizer *
        through; /* ... after they went through this and back (split NULL: the test pictures); NULL */
    const char *decoder; /* of `through`: "full" or "preview"; NULL: full */
    int count;           /* of pictures: so many, spread evenly; 0: all */
    int side, channels;  /* of pictures; 0: the first one's own */
    int draws; /* of the bootstrap that spreads come from, 0: none; -1: 100, or 20 above 512 features */
    uint64_t seed; /* of these draws */
    /* sees pictures as they are generated, and what they took; NULL */
    void (*generated)(void *user, const variant_picture *pictures, int count,
                      const variant_report *report);
    void *user;
    /* also keeps mean and covariance of the judged pictures' features: .npz with mu and sigma, of the Inception also mu_s and
     * sigma_s, which pytorch-fid, guided-diffusion and variant_judge_reference read; no name that ends in .safetensors; NULL */
    const char *save_statistics;
    /* of variant_evaluate_seeds: the scores of a seed that is finished; NULL */
    void (*finished)(void *user, uint64_t seed, const variant_scores *scores);
    /* a reference that takes the place of the judge's, read as variant_judge_reference does it, at the side and with
     * the channels of what is judged, and taken as the model's training took pictures, where it says; NULL: the judge's */
    const variant_data *reference;
    int reference_count; /* so many of its pictures, or, with `through` and no reference, of pictures as their own; 0: all */
} variant_eval_options;
/* Nothing; draws -1. */
VARIANT_SIZED(variant_eval_options);

/* Scores pictures; those that stand beside real ones need a reference. With `through` and no reference the pictures themselves are it.
 * The same for any threads and batch. E_ARGUMENT below two pictures; E_STOPPED as progress or cancel say.
 * Threads: one of the judge and of `through`; any of the engine. */
variant_status variant_evaluate(variant_judge *judge, const variant_eval_options *options,
                                variant_scores *scores, variant_error *error);
/* As `variant eval --json` has them under "scores": free() it. NULL: no memory. Threads: one. */
char *variant_scores_json(const variant_judge *judge, const variant_scores *scores);

/* A request's scores at several seeds; the library's: variant_seed_scores_free. */
typedef struct variant_seed_scores {
    int count;                           /* seeds that were finished */
    const uint64_t *seeds;               /* (count), in the order asked */
    const variant_scores *const *scores; /* (count): as variant_evaluate gives them */
    /* over the finished seeds, NULL without any: of each score the mean, with the spread of that mean (the larger of what the seeds' own
     * spreads say and what the seeds show); the least, the most, and the standard deviation of a seed (NAN below two). Of the last
     * three spreads are NAN */
    const variant_scores *mean, *least, *most, *deviation;
} variant_seed_scores;

/* variant_evaluate of options->engine and request at each seed, 1 to 256 different ones, in the place of the request's and of
 * options->seed: how far a score moves with the seed. save_statistics is not for several. Where a seed fails or is stopped (E_STOPPED),
 * *out holds those that were finished before it. E_ARGUMENT: seeds or options that are not valid; *out is NULL. Threads: one of the
 * judge; any of the engine. */
variant_status variant_evaluate_seeds(variant_judge *judge, const variant_eval_options *options,
                                      const uint64_t *seeds, int seed_count,
                                      variant_seed_scores **out, variant_error *error);
/* Threads: one. */
void variant_seed_scores_free(variant_seed_scores **scores);
/* {"scores": the mean, "range", "deviation", "seeds"}, as `variant eval --seeds --json` has them: free() it. NULL: no memory. Threads:
 * one. */
char *variant_seed_scores_json(const variant_judge *judge, const variant_seed_scores *scores);

/* Scores of one setting at several seeds, gathered one after another or read from a file, and how they differ from another setting's at
 * the same seeds, whose pictures begin with the same random numbers. */
typedef struct variant_seed_list variant_seed_list;
/* An empty one. Threads: any. */
variant_status variant_seed_list_open(variant_seed_list **out, variant_error *error);
/* Of a file that `variant eval --json` wrote, of one seed or several. E_IO, E_FORMAT: not there, something else. Threads: any. */
variant_status variant_seed_list_read(variant_seed_list **out, const char *path,
                                      variant_error *error);
/* Threads: one. */
void variant_seed_list_close(variant_seed_list **list);
/* One more seed, up to 256. Threads: one. */
variant_status variant_seed_list_add(variant_seed_list *list, const variant_judge *judge,
                                     uint64_t seed, const variant_scores *scores,
                                     variant_error *error);
/* How many there are, and the seed of each; 0 of none. Threads: any, while none adds; of the next ones too. */
int variant_seed_list_count(const variant_seed_list *list);
uint64_t variant_seed_list_seed(const variant_seed_list *list, int i);
/* {"scores": the mean, "range", "deviation", "seeds"}, as variant_seed_scores_json has them: free() it. NULL: no memory. */
char *variant_seed_list_json(const variant_seed_list *list);
/* {"pairs": differences to `other` at the seeds that both have, "difference": of each score mean, error, least, most, relative to the
 * mean of `other`, better (pairs in which this list's is), pairs}: free() it. NULL: no memory. */
char *variant_seed_list_differences_json(const variant_seed_list *list,
                                         const variant_seed_list *other);
/* What a file's pictures were made with, as it says (JSON); NULL. Lives as long as the list. */
const char *variant_seed_list_settings(const variant_seed_list *list);
/* May scores of so many pictures by this judge stand beside those of the list? E_MISMATCH, its line beginning with `name`: another
 * network, another number of pictures, real or judged. */
variant_status variant_seed_list_check(const variant_seed_list *list, const variant_judge *judge,
                                       int count, const char *name, variant_error *error);

/* What a network makes of pictures; the library's: variant_classes_free. */
typedef struct variant_classes {
    int count, classes, dims;
    float *probabilities; /* (count, classes): softmax of the logits */
    int32_t *labels;      /* (count): the likeliest class */
    int32_t *
        expected; /* (count): the network's class of the picture's own, by name, else by number; NULL: not known */
    float *features; /* (count, dims) */
    char **names;    /* (count): the pictures' files, or PATH[number] */
} variant_classes;
/* Threads: one. */
void variant_classes_free(variant_classes **classes);

/* Classifies pictures (paths, an array or files; split NULL: all), count of them spread evenly (0: all), of files the first. They are
 * taken as the network's training took its own, at its side; through: they pass this tokenizer and back first; NULL. E_MODEL: data whose
 * classes are not the network's. Threads: one of the judge and of `through`. */
variant_status variant_classify(variant_judge *judge, const variant_data *pictures, int count,
                                variant_tokenizer *through, variant_classes **out,
                                variant_error *error);

/* Pictures as samples for other programs' evaluators: an .npz with arr_0, (count, height, width, 3) of bytes (grey is repeated), and
 * arr_1, (count) of int64, their labels, as guided-diffusion writes them. They go to the disk as they come, and the file is there
 * once variant_samples_finish has succeeded. Pictures of another size, too many or too few: E_ARGUMENT. Threads: any for opening, else one. */
typedef struct variant_samples variant_samples;
variant_status variant_samples_open(variant_samples **out, const char *path, int count,
                                    variant_error *error);
variant_status variant_samples_add(variant_samples *samples, const variant_picture *pictures,
                                   int count, variant_error *error);
/* Ends and closes it; without it, closing leaves no file. Threads: one. */
variant_status variant_samples_finish(variant_samples **samples, variant_error *error);
void variant_samples_close(variant_samples **samples);

VARIANT_END

#endif
