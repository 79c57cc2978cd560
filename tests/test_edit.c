/* test_edit.c - pictures of which a part is drawn again: masks and seams against plain definitions, pixels outside of them, the
 * codes that kept cells take, equal bytes whatever shares a step, memory, and edits that make no sense. */
#include "tests/model_folder.h"

#include <math.h>

#include "core/rng.h"
#include "engine/edit.h"
#include "io/file.h"

enum { SIDE = 8, LATENT = 4, SCALES = 4, LENGTH = 30, WIDTH = 8 }; /* of the golden model A */

static variant_engine *engine_of(int threads, bool encoder) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = threads;
    options.encoder = encoder;
    assert_ok(variant_engine_open(&engine, &options, err));
    return engine;
}

static double drawn(int stream, int i) {
    return vt_uniform(77, VT_RNG_CLASS, (uint32_t)stream, (uint32_t)i, 0);
}

/* ---- masks ---- */

/* 255 where a hole is within grow, falling over feather: by looking at every pixel of the hole. */
static void plain_alpha(uint8_t *out, const uint8_t *hole, int width, int height, int grow,
                        int feather) {
    for (int i = 0; i < width * height; ++i) {
        double nearest = INFINITY;
        for (int j = 0; j < width * height; ++j)
            if (hole[j])
                nearest = fmin(nearest, hypot(i % width - j % width, i / width - j / width));
        const double left = 1.0 - (nearest - grow) / (feather + 1.0);
        out[i] = nearest <= grow ? 255 : left <= 0 ? 0 : (uint8_t)lround(255.0 * left);
    }
}

static void seams_are_distances(void **state) {
    (void)state;
    for (int round = 0; round < 40; ++round) {
        const int width = 1 + (int)(drawn(1, round) * 23), height = 1 + (int)(drawn(2, round) * 23);
        const int grow = round % 4, feather = round % 5, pixels = width * height;
        uint8_t hole[24 * 24], got[24 * 24], want[24 * 24];
        for (int i = 0; i < pixels; ++i)
            hole[i] = drawn(3 + round, i) < 0.04 || i == pixels / 2 ? 255 : 0;
        plain_alpha(want, hole, width, height, grow, feather);
        uint16_t distances[24 * 24];
        vt_edit_distances(distances, hole, width, height);
        assert_ok(vt_edit_alpha(got, distances, width, height, grow, feather, err));
        assert_memory_equal(got, want, (size_t)pixels);
    }
}

static void cells_are_shares_of_areas(void **state) {
    (void)state;
    const vt_tokenizer_config config = tokenizer_config('A');
    uint8_t hole[SIDE * SIDE] = {0}, cells[LATENT * LATENT], kept[LENGTH];
    float gain[LENGTH];
    for (int y = 0; y < SIDE; ++y) /* the right half, and a pixel beside it */
        for (int x = SIDE / 2; x < SIDE; ++x) hole[y * SIDE + x] = 255;
    hole[3] = 255;
    vt_edit_cells(hole, SIDE, &config, 0.5f, cells, kept, gain);
    for (int i = 0; i < LATENT * LATENT; ++i) assert_int_equal(cells[i], i % LATENT < 2 && i != 1);
    /* scale 1: 7 of 16 cells; scale 2: 3 of 4 and all of 4 on the left, none on the right */
    assert_int_equal(kept[0], 0);
    assert_float_equal(gain[0], 16.0 / 7.0, 1e-6);
    assert_int_equal(kept[1], 1);
    assert_float_equal(gain[1], 4.0 / 3.0, 1e-6);
    assert_int_equal(kept[2], 0);
    assert_float_equal(gain[2], 0.0, 0.0);
    assert_int_equal(kept[3], 1);
    assert_float_equal(gain[3], 1.0, 0.0);
    for (int i = 0; i < 16; ++i) assert_int_equal(kept[14 + i], cells[i]);
}

static void fills_between_what_is_known(void **state) {
    (void)state;
    float picture[SIDE * SIDE * 3], before[SIDE * SIDE * 3];
    uint8_t hole[SIDE * SIDE];
    for (int round = 0; round < 2; ++round) {
        float low = 1.0f, high = -1.0f;
        for (int i = 0; i < SIDE * SIDE; ++i) {
            hole[i] = drawn(90, i) < 0.5;
            for (int c = 0; c < 3; ++c) {
                const float x = hole[i] ? 50.0f : (float)drawn(91 + c, i) - 0.5f;
                picture[i * 3 + c] = before[i * 3 + c] = x;
                if (!hole[i]) low = fminf(low, x), high = fmaxf(high, x);
            }
        }
        assert_ok(vt_edit_fill(picture, hole, SIDE, 3, round == 0, err));
        for (int i = 0; i < SIDE * SIDE * 3; ++i) {
            if (!hole[i / 3]) assert_true(picture[i] == before[i]);
            assert_true(picture[i] >= low && picture[i] <= high);
        }
    }
    memset(hole, 1, sizeof hole);
    assert_ok(vt_edit_fill(picture, hole, SIDE, 3, true, err));
    for (int i = 0; i < SIDE * SIDE * 3; ++i) assert_true(picture[i] == 0.0f);
}

/* ---- pictures ---- */

typedef struct canvas {
    int width, height, channels;
    uint8_t pixels[64 * 64 * 3], mask[64 * 64];
} canvas;

/* A picture with a hole from (x, y) on. */
static void paint(canvas *c, int width, int height, int channels, int x, int y, int side) {
    *c = (canvas){.width = width, .height = height, .channels = channels};
    for (int i = 0; i < width * height * channels; ++i)
        c->pixels[i] = (uint8_t)(255 * drawn(100, i));
    for (int v = y; v < y + side && v < height; ++v)
        for (int u = x; u < x + side && u < width; ++u) c->mask[v * width + u] = 255;
}

static variant_edit edit_of(const canvas *c) {
    variant_edit edit;
    variant_edit_init(&edit);
    edit.width = c->width;
    edit.height = c->height;
    edit.channels = c->channels;
    edit.pixels = c->pixels;
    edit.mask = c->mask;
    return edit;
}

static variant_request request_of(const variant_edit *edits, int edit_count, int count) {
    variant_request request;
    variant_request_init(&request);
    request.edits = edits;
    request.edit_count = edit_count;
    request.count = count;
    request.seed = 5;
    return request;
}

static bool same_pixel(const variant_picture *p, int x, int y, const canvas *c, int u, int v) {
    for (int i = 0; i < p->channels; ++i)
        if (p->pixels[(y * p->width + x) * p->channels + i] !=
            c->pixels[(v * c->width + u) * c->channels + (c->channels == 1 ? 0 : i)])
            return false;
    return true;
}

static void leaves_the_rest_as_it_is(void **state) {
    (void)state;
    static const int sizes[][6] = {/* width, height, channels, x, y, side */
                                   {8, 8, 3, 2, 2, 3},    {8, 8, 1, 0, 0, 4}, {37, 11, 3, 30, 4, 3},
                                   {11, 37, 3, 4, 30, 6}, {5, 4, 3, 1, 1, 2}, {40, 24, 1, 2, 2, 30},
                                   {1, 1, 3, 0, 0, 1}};
    static const char *const fits[] = {"crop", "pad", "stretch"};
    variant_engine *engine = engine_of(1, true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i)
        for (int round = 0; round < 6; ++round) {
            const int *s = sizes[i], feather = round / 3 * 2, grow = round % 2;
            canvas c;
            variant_picture *pictures = NULL;
            int changed = 0;
            paint(&c, s[0], s[1], s[2], s[3], s[4], s[5]);
            variant_edit edit = edit_of(&c);
            edit.feather = feather;
            edit.grow = grow;
            edit.fit = fits[round % 3];
            edit.pad = round == 5;
            const variant_request request = request_of(&edit, 1, 1);
            assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
            assert_int_equal(pictures->width, s[0]);
            assert_int_equal(pictures->height, s[1]);
            assert_int_equal(pictures->channels, 3);
            uint8_t alpha[64 * 64];
            plain_alpha(alpha, c.mask, s[0], s[1], grow, feather);
            for (int p = 0; p < s[0] * s[1]; ++p) {
                const bool same = same_pixel(pictures, p % s[0], p / s[0], &c, p % s[0], p / s[0]);
                if (!same && alpha[p] == 0) fail_msg("%zu, %d: pixel %d changed", i, round, p);
                changed += !same;
            }
            assert_true(changed > 0);
            variant_pictures_free(&pictures, 1);
        }
    variant_engine_close(&engine);
}

/* A pixel of so many that it vanishes in a mean is hidden from the model as well. */
static void hides_the_smallest_part(void **state) {
    (void)state;
    enum { LARGE = 400, AT = 123 * LARGE + 321 };
    static uint8_t pixels[LARGE * LARGE], mask[LARGE * LARGE];
    variant_engine *engine = engine_of(1, true);
    mask[AT] = 255;
    variant_edit edit;
    variant_edit_init(&edit);
    edit.width = edit.height = LARGE, edit.channels = 1;
    edit.pixels = pixels, edit.mask = mask;
    float seen[SIDE * SIDE * 3];
    for (int round = 0; round < 2; ++round) { /* whatever is under it */
        vt_edit made;
        memset(pixels, 100, sizeof pixels);
        pixels[AT] = round ? 255 : 0;
        assert_ok(vt_edit_make(&made, &edit, engine, err));
        int unknown = 0;
        for (int i = 0; i < LATENT * LATENT; ++i) unknown += !made.known.cells[i];
        assert_int_equal(unknown, 1);
        assert_int_equal(made.known.cells[1 * LATENT + 3], 0);
        if (round) assert_memory_equal(seen, made.known.picture, sizeof seen);
        memcpy(seen, made.known.picture, sizeof seen);
        vt_edit_free(&made);
    }
    variant_engine_close(&engine);
}

static void adds_at_the_sides(void **state) {
    (void)state;
    variant_engine *engine = engine_of(1, true);
    canvas c;
    variant_picture *pictures = NULL;
    paint(&c, 13, 9, 3, 0, 0, 0);
    variant_edit edit = edit_of(&c);
    edit.mask = NULL;
    edit.feather = 0;
    edit.left = 5, edit.top = 1, edit.right = 0, edit.bottom = 20;
    const variant_request request = request_of(&edit, 1, 1);
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    assert_int_equal(pictures->width, 18);
    assert_int_equal(pictures->height, 30);
    for (int y = 0; y < 9; ++y)
        for (int x = 0; x < 13; ++x) assert_true(same_pixel(pictures, x + 5, y + 1, &c, x, y));
    int black = 0; /* what is added is drawn */
    for (int i = 0; i < 18 * 3 * 20; ++i) black += pictures->pixels[18 * 3 * 10 + i] == 0;
    assert_true(black < 18 * 3 * 20 / 2);
    variant_pictures_free(&pictures, 1);
    variant_engine_close(&engine);
}

/* ---- codes ---- */

typedef struct codes {
    const variant_engine *engine;
    vt_arena arena;
    void *memory;
} codes;

#define ARENA ((size_t)1 << 28)

static void codes_open(codes *c, const variant_engine *engine) {
    c->engine = engine;
    assert_ok(engine->kern->memory_reserve(engine->kern, ARENA, &c->memory, err));
    vt_arena_init(&c->arena, c->memory, ARENA);
}

static void codes_close(codes *c) {
    c->engine->kern->memory_release(c->engine->kern, c->memory, ARENA);
}

/* The code nearest to the mean of (latent - f_hat) over the known cells under (i, j) of scale k. */
static int plain_code(const codes *c, const float *latent, const float *f_hat, const uint8_t *cells,
                      int n, int i, int j) {
    const float *codebook = vt_params_find(vt_tokenizer_params(c->engine->model->tokenizer),
                                           "quantize.embedding.weight")
                                ->value;
    double mean[WIDTH] = {0}, best = INFINITY;
    int count = 0, found = -1;
    for (int y = i * LATENT / n; y < ((i + 1) * LATENT + n - 1) / n; ++y)
        for (int x = j * LATENT / n; x < ((j + 1) * LATENT + n - 1) / n; ++x) {
            const int at = y * LATENT + x;
            if (!cells[at]) continue;
            for (int d = 0; d < WIDTH; ++d)
                mean[d] += (double)latent[at * WIDTH + d] - (double)f_hat[at * WIDTH + d];
            ++count;
        }
    for (int v = 0; v < 64; ++v) {
        double distance = 0;
        for (int d = 0; d < WIDTH; ++d)
            distance += pow(mean[d] / count - (double)codebook[v * WIDTH + d], 2);
        if (distance < best) best = distance, found = v;
    }
    return found;
}

/* Kept cells of a picture's tokens are what they should be; returns how many differ from once-quantised ones. */
static int check_codes(codes *c, const vt_edit *edit, const int32_t *tokens, bool once) {
    const vt_tokenizer_config config = tokenizer_config('A');
    vt_arena *arena = &c->arena;
    float *latent = vt_arena_floats(arena, LATENT * LATENT * WIDTH);
    float *f_hat = vt_arena_floats(arena, LATENT * LATENT * WIDTH);
    int32_t *plain = vt_arena_ints(arena, LENGTH);
    int at = 0, others = 0, checked = 0;
    vt_tokenizer *tokenizer = c->engine->model->tokenizer;
    assert_ok(vt_tokenizer_encode(tokenizer, arena, 1, edit->known.picture, latent, err));
    assert_ok(vt_tokenizer_quantize(tokenizer, arena, 1, latent, plain, NULL, err));
    memset(f_hat, 0, LATENT * LATENT * WIDTH * sizeof *f_hat);
    for (int k = 0; k < SCALES; ++k) {
        const int n = config.sides[k];
        for (int i = 0; i < n * n; ++i) {
            if (!edit->known.kept[at + i]) continue;
            const int want = once
                                 ? plain[at + i]
                                 : plain_code(c, latent, f_hat, edit->known.cells, n, i / n, i % n);
            if (tokens[at + i] != want)
                fail_msg("scale %d, cell %d: code %d, expected %d", k + 1, i, tokens[at + i], want);
            others += tokens[at + i] != plain[at + i];
            ++checked;
        }
        const vt_scale_step step = {.k = k, .batch = 1, .tokens = tokens + at, .f_hat = f_hat};
        assert_ok(vt_tokenizer_step(tokenizer, arena, &step, err));
        at += n * n;
    }
    vt_arena_rewind(arena, 0);
    assert_true(checked > 0);
    return others;
}

static void kept_cells_take_the_nearest_codes(void **state) {
    (void)state;
    variant_engine *engine = engine_of(2, true);
    codes c;
    codes_open(&c, engine);
    for (int round = 0; round < 6; ++round) {
        const bool once = round % 3 == 1, smooth = round % 3 == 2;
        canvas picture;
        variant_picture *pictures = NULL;
        vt_edit made;
        paint(&picture, SIDE, SIDE, 3, round, 3, 4);
        variant_edit edit = edit_of(&picture);
        edit.codes = once ? "once" : "again";
        edit.keep = round < 3 ? 0.5f : 1.0f;
        variant_request request = request_of(&edit, 1, 3);
        request.smooth = smooth;
        assert_ok(vt_edit_make(&made, &edit, engine, err));
        assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
        int others = 0;
        for (int i = 0; i < 3 && !smooth; ++i)
            others += check_codes(&c, &made, pictures[i].tokens, once);
        if (!smooth) assert_int_equal(others > 0, !once);
        variant_pictures_free(&pictures, 3);
        vt_edit_free(&made);
    }
    codes_close(&c);
    variant_engine_close(&engine);
}

/* ---- the same bytes ---- */

static void draw(variant_request request, int threads, int batch, variant_picture **out) {
    variant_engine *engine = engine_of(threads, true);
    request.batch = batch;
    assert_ok(variant_generate(engine, &request, out, NULL, err));
    variant_engine_close(&engine);
}

static void assert_same(const variant_picture *a, const variant_picture *b) {
    const size_t bytes = (size_t)a->width * (size_t)a->height * (size_t)a->channels;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->pixels, b->pixels, bytes);
    assert_memory_equal(a->tokens, b->tokens, LENGTH * sizeof(int32_t));
    assert_string_equal(a->settings, b->settings);
}

/* Of five pictures edited in turn, some alike in size. */
static void any_threads_batch_and_neighbours(void **state) {
    (void)state;
    static canvas c[3];
    variant_edit edits[3];
    variant_picture *want, *got, *other;
    paint(&c[0], 8, 8, 3, 2, 2, 4);
    paint(&c[1], 21, 13, 3, 9, 3, 7);
    paint(&c[2], 8, 8, 1, 0, 4, 5);
    for (int i = 0; i < 3; ++i) edits[i] = edit_of(&c[i]);
    edits[0].pull = 0.0f;
    for (int smooth = 0; smooth < 2; ++smooth) {
        variant_request request = request_of(edits, 3, 5);
        request.smooth = smooth;
        draw(request, 1, 5, &want);
        for (int round = 0; round < 3; ++round) {
            draw(request, 1 + round, 1 + 2 * round, &got);
            for (int i = 0; i < 5; ++i) assert_same(&got[i], &want[i]);
            variant_pictures_free(&got, 5);
        }
        /* beside a plain request that is a scale ahead */
        variant_engine *engine = engine_of(2, true);
        variant_loop *loop;
        variant_job *job, *plain;
        variant_request neighbour;
        variant_request_init(&neighbour);
        neighbour.count = 3;
        assert_ok(variant_loop_open(&loop, engine, err));
        assert_ok(variant_loop_add(loop, &neighbour, &plain, err));
        assert_ok(variant_loop_step(loop, NULL, err));
        assert_ok(variant_loop_add(loop, &request, &job, err));
        while (!variant_job_done(job)) assert_ok(variant_loop_step(loop, NULL, err));
        assert_ok(variant_job_take(&job, &got, NULL, err));
        for (int i = 0; i < 5; ++i) assert_same(&got[i], &want[i]);
        variant_pictures_free(&got, 5);
        assert_ok(variant_job_take(&plain, &got, NULL, err));
        assert_ok(variant_generate(engine, &neighbour, &other, NULL, err));
        for (int i = 0; i < 3; ++i) assert_same(&got[i], &other[i]);
        variant_pictures_free(&got, 3);
        variant_pictures_free(&other, 3);
        variant_pictures_free(&want, 5);
        variant_loop_close(&loop);
        variant_engine_close(&engine);
    }
}

static void takes_the_memory_it_tells(void **state) {
    (void)state;
    canvas c;
    variant_engine *engine = engine_of(2, true);
    paint(&c, 21, 13, 3, 9, 3, 7);
    for (int round = 0; round < 4; ++round) {
        variant_edit edit = edit_of(&c);
        edit.codes = round % 2 ? "once" : "again";
        variant_request request = request_of(&edit, 1, 4);
        variant_picture *pictures;
        variant_report report = {.size = sizeof report};
        variant_memory memory = {.size = sizeof memory};
        request.cfg_scale = round / 2 ? 0.0f : 1.5f;
        assert_ok(variant_request_memory(engine, &request, &memory, err));
        assert_ok(variant_generate(engine, &request, &pictures, &report, err));
        assert_int_equal(report.arena_peak_bytes, memory.arena);
        assert_int_equal(report.kv_peak_bytes, memory.kv);
        variant_pictures_free(&pictures, 4);
    }
    variant_engine_close(&engine);
}

/* ---- what makes no sense, and what is told ---- */

static void assert_refused(const variant_engine *engine, const variant_edit *edit,
                           const char *words) {
    const variant_request request = request_of(edit, 1, 1);
    variant_picture *pictures;
    assert_fails(variant_generate(engine, &request, &pictures, NULL, err), VARIANT_E_ARGUMENT,
                 words);
    assert_null(pictures);
}

static void refuses_what_makes_no_sense(void **state) {
    (void)state;
    canvas c;
    variant_engine *engine = engine_of(1, true), *blind = engine_of(1, false);
    variant_picture *pictures;
    variant_edit e;
    paint(&c, 8, 8, 3, 2, 2, 4);
    const variant_edit good = edit_of(&c);
#define REFUSED(words, ...) e = good, __VA_ARGS__, assert_refused(engine, &e, words)
    REFUSED("the mask is empty", e.mask = NULL);
    REFUSED("0 x 8 pixels", e.width = 0);
    REFUSED("no pixels", e.pixels = NULL);
    REFUSED("2 channels", e.channels = 2);
    REFUSED("-1 pixels added", e.top = -1);
    REFUSED("40000 pixels added", e.right = 40000);
    REFUSED("pixels: expected sides up to", e.right = 32768);
    REFUSED("expected 0 to", e.grow = -1);
    REFUSED("or -1 for a cell's", e.feather = -2);
    REFUSED("fit \"round\"", e.fit = "round");
    REFUSED("fill \"red\"", e.fill = "red");
    REFUSED("codes \"twice\"", e.codes = "twice");
    REFUSED("keep 2", e.keep = 2.0f);
    REFUSED("pull -1", e.pull = -1.0f);
#undef REFUSED
    assert_refused(blind, &good, "without its encoder");
    variant_request request = request_of(&good, 0, 1);
    assert_fails(variant_generate(engine, &request, &pictures, NULL, err), VARIANT_E_ARGUMENT,
                 "0 pictures to edit");
    int32_t tokens[LENGTH] = {0};
    request = request_of(&good, 1, 1);
    request.given_tokens = tokens;
    request.given_count = 1;
    assert_fails(variant_generate(engine, &request, &pictures, NULL, err), VARIANT_E_ARGUMENT,
                 "given tokens");
    variant_engine_close(&engine);
    variant_engine_close(&blind);
}

/* Nothing is kept: the picture that the request makes without an edit, and a warning. */
static void a_full_mask_is_a_plain_picture(void **state) {
    (void)state;
    canvas c;
    variant_engine *engine = engine_of(1, true);
    variant_picture *pictures, *plain;
    variant_report report = {.size = sizeof report};
    paint(&c, 8, 8, 3, 0, 0, 8);
    const variant_edit edit = edit_of(&c);
    variant_request request = request_of(&edit, 1, 1);
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    assert_non_null(strstr(report.warning, "leaves nothing"));
    request.edits = NULL;
    request.edit_count = 0;
    assert_ok(variant_generate(engine, &request, &plain, NULL, err));
    assert_memory_equal(pictures->tokens, plain->tokens, LENGTH * sizeof(int32_t));
    assert_memory_equal(pictures->pixels, plain->pixels, SIDE * SIDE * 3);
    variant_pictures_free(&pictures, 1);
    variant_pictures_free(&plain, 1);
    variant_engine_close(&engine);
}

static bool stop_at_once(void *user, const variant_progress *at) {
    (void)at;
    return ++*(int *)user < 2;
}

static void count_previews(void *user, const variant_preview *at) {
    assert_int_equal(at->width, 21);
    assert_int_equal(at->height, 13);
    ++*(int *)user;
}

static void is_shown_and_stopped(void **state) {
    (void)state;
    canvas c;
    variant_engine *engine = engine_of(1, true);
    variant_picture *pictures;
    int calls = 0;
    paint(&c, 21, 13, 3, 9, 3, 7);
    const variant_edit edit = edit_of(&c);
    variant_request request = request_of(&edit, 1, 1);
    request.user = &calls;
    request.preview = count_previews;
    request.keep_scales = true;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    assert_int_equal(calls, SCALES);
    assert_int_equal(pictures->scale_count, SCALES);
    assert_memory_equal(pictures->scale_pixels[SCALES - 1], pictures->pixels, 21 * 13 * 3);
    variant_pictures_free(&pictures, 1);
    calls = 0;
    request.preview = NULL;
    request.progress = stop_at_once;
    assert_fails(variant_generate(engine, &request, &pictures, NULL, err), VARIANT_E_STOPPED, "");
    variant_engine_close(&engine);
}

static void settings_ask_for_the_picture(void **state) {
    (void)state;
    canvas c;
    char path[128];
    variant_engine *engine = engine_of(1, true);
    variant_picture *pictures, *again;
    variant_settings *settings;
    variant_request request;
    variant_report report = {.size = sizeof report};
    variant_edit how = {.size = sizeof how};
    paint(&c, 21, 13, 3, 9, 3, 7);
    variant_edit edit = edit_of(&c);
    edit.grow = 2;
    edit.feather = 3;
    edit.fill = "mean";
    edit.left = 4;
    request = request_of(&edit, 1, 1);
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    snprintf(path, sizeof path, "%s/edited.png", folder);
    assert_ok(variant_picture_write(pictures, path, 0, err));
    assert_ok(variant_settings_read(&settings, path, err));
    assert_ok(variant_settings_request(settings, engine, &request, err));
    assert_non_null(request.edited);
    assert_fails(variant_generate(engine, &request, &again, NULL, err), VARIANT_E_ARGUMENT,
                 "are to be given again");
    assert_true(variant_settings_edit(settings, &how));
    assert_int_equal(how.grow, 2);
    assert_int_equal(how.left, 4);
    assert_string_equal(how.fill, "mean");
    how.width = c.width, how.height = c.height, how.channels = c.channels;
    how.pixels = c.pixels;
    how.mask = c.mask;
    request.edits = &how;
    request.edit_count = 1;
    assert_ok(variant_generate(engine, &request, &again, &report, err));
    assert_same(again, pictures);
    variant_pictures_free(&again, 1);
    assert_null(strstr(report.warning, "another picture"));
    c.pixels[0] ^= 1;
    assert_ok(variant_generate(engine, &request, &again, &report, err));
    assert_non_null(strstr(report.warning, "another picture"));
    variant_pictures_free(&again, 1);
    variant_settings_free(&settings);
    variant_pictures_free(&pictures, 1);
    variant_engine_close(&engine);
}

/* Edits of a program whose header has a longer struct lie further apart. */
static void edits_lie_as_far_apart_as_they_say(void **state) {
    (void)state;
    static canvas c[2];
    struct {
        variant_edit edit;
        int64_t more[3];
    } longer[2] = {0};
    variant_edit edits[2];
    variant_picture *want, *got;
    paint(&c[0], 8, 8, 3, 2, 2, 4);
    paint(&c[1], 21, 13, 3, 9, 3, 7);
    for (int i = 0; i < 2; ++i) {
        edits[i] = longer[i].edit = edit_of(&c[i]);
        longer[i].edit.size = sizeof longer[i];
    }
    draw(request_of(edits, 2, 3), 1, 3, &want);
    draw(request_of(&longer[0].edit, 2, 3), 1, 3, &got);
    for (int i = 0; i < 3; ++i) assert_same(&got[i], &want[i]);
    variant_pictures_free(&got, 3);
    variant_pictures_free(&want, 3);
    variant_engine *engine = engine_of(1, true);
    const variant_request request = request_of(&longer[0].edit, 1, 1);
    longer[0].more[2] = 1;
    assert_fails(variant_generate(engine, &request, &got, NULL, err), VARIANT_E_UNSUPPORTED,
                 "not known to libvariant");
    longer[0].edit.size = 12;
    assert_refused(engine, &longer[0].edit, "call variant_edit_init first");
    variant_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seams_are_distances),
        cmocka_unit_test(cells_are_shares_of_areas),
        cmocka_unit_test(fills_between_what_is_known),
        cmocka_unit_test(leaves_the_rest_as_it_is),
        cmocka_unit_test(hides_the_smallest_part),
        cmocka_unit_test(adds_at_the_sides),
        cmocka_unit_test(kept_cells_take_the_nearest_codes),
        cmocka_unit_test(any_threads_batch_and_neighbours),
        cmocka_unit_test(edits_lie_as_far_apart_as_they_say),
        cmocka_unit_test(takes_the_memory_it_tells),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(a_full_mask_is_a_plain_picture),
        cmocka_unit_test(is_shown_and_stopped),
        cmocka_unit_test(settings_ask_for_the_picture),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
