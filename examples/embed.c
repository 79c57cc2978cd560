/* embed.c - the library in a program of one's own: pictures of one class at two depths on one loop, looked at after each scale, one
 * of them cancelled on the way.
 *
 *     cc examples/embed.c $(pkg-config --cflags --libs --static variant) -o embed      # where the library is installed
 *     ./embed models/fashion
 */
#include <stdio.h>
#include <variant.h>

/* What a request is told while it is made. */
typedef struct watcher {
    const char *name;
    int cancel_after; /* scales; 0: never */
    int cancel;       /* the request's flag */
} watcher;

static void look(void *user, const variant_preview *at) {
    watcher *w = user;
    long sum = 0;
    for (int i = 0; i < at->width * at->height * at->channels; ++i) sum += at->pixels[i];
    printf("%s: scale %d of %d, mean brightness %.1f\n", w->name, at->scale, at->scales,
           (double)sum / (at->width * at->height * at->channels));
    if (at->scale == w->cancel_after) w->cancel = 1;
}

/* Takes a finished job: its picture goes to a file. */
static int take(variant_job *job, const char *path) {
    variant_picture *pictures;
    variant_report report;
    variant_error error;
    if (variant_job_take(&job, &pictures, &report, &error) != VARIANT_OK) {
        printf("%s: %s\n", path, error.message);
        return error.status == VARIANT_E_STOPPED;
    }
    printf("%s: layers %s, %zu bytes of keys and values\n", path, report.depths,
           report.kv_peak_bytes);
    const variant_status status = variant_picture_write(&pictures[0], path, 0, &error);
    variant_pictures_free(&pictures, 1);
    return status == VARIANT_OK;
}

int main(int argc, char **argv) {
    variant_engine_options options;
    variant_engine *engine = NULL;
    variant_loop *loop = NULL;
    variant_error error;
    variant_info info;
    variant_engine_options_init(&options);
    options.model = argc > 1 ? argv[1] : "models/fashion";
    if (variant_engine_open(&engine, &options, &error) != VARIANT_OK ||
        variant_loop_open(&loop, engine, &error) != VARIANT_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    variant_engine_info(engine, &info);

    /* Requests of different depths share every step. */
    watcher watchers[] = {{"deep", 0, 0}, {"shallow", 0, 0}, {"cancelled", 1, 0}};
    const int depths[] = {info.depth, 1, info.depth};
    const char *const paths[] = {"deep.png", "shallow.png", "cancelled.png"};
    variant_job *jobs[3];
    int left = 1, good = 1;
    for (int i = 0; i < 3; ++i) {
        variant_request request;
        variant_request_init(&request);
        request.class_name = "0";
        request.seed = 7;
        request.depth = depths[i];
        request.bridge = 1;
        request.preview = look;
        request.cancel = &watchers[i].cancel;
        request.user = &watchers[i];
        if (variant_loop_add(loop, &request, &jobs[i], &error) != VARIANT_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 1;
        }
    }
    while (left > 0 && variant_loop_step(loop, &left, &error) == VARIANT_OK) {
    }
    for (int i = 0; i < 3; ++i) good = take(jobs[i], paths[i]) && good;
    variant_loop_close(&loop);
    variant_engine_close(&engine);
    return good ? 0 : 1;
}
