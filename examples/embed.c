/* embed.c - the library in a program of one's own: pictures of one class at two depths on one loop, looked at after each scale, one
 * of them cancelled on the way; then many pictures in one call, which another thread ends.
 *
 *     cc -pthread examples/embed.c $(pkg-config --cflags --libs --static variant) -o embed      # where the library is installed
 *     ./embed models/fashion          # LD_LIBRARY_PATH where the library is in no folder of the system
 */
#include <pthread.h>
#include <semaphore.h>
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
    variant_report report = {.size = sizeof report};
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

/* What two threads share: somebody who waits for a picture, and then has seen enough. */
typedef struct impatient {
    sem_t seen;
    int cancel; /* the request's flag */
} impatient;

static void tell(void *user, const variant_preview *at) {
    impatient *other = user;
    if (at->picture == 0 && at->scale == 1) sem_post(&other->seen);
}

static void *wait_and_cancel(void *user) {
    impatient *self = user;
    sem_wait(&self->seen);
    __atomic_store_n(&self->cancel, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Ten thousand pictures, of which nobody waits for the last. */
static int generate_until_cancelled(const variant_engine *engine) {
    impatient other = {0};
    pthread_t thread;
    variant_request request;
    variant_picture *pictures = NULL;
    variant_error error;
    variant_request_init(&request);
    request.count = 10000;
    request.preview = tell;
    request.user = &other;
    request.cancel = &other.cancel;
    if (sem_init(&other.seen, 0, 0) != 0 ||
        pthread_create(&thread, NULL, wait_and_cancel, &other) != 0)
        return 0;
    const variant_status status = variant_generate(engine, &request, &pictures, NULL, &error);
    sem_post(&other.seen); /* in any case the thread ends */
    pthread_join(thread, NULL);
    sem_destroy(&other.seen);
    variant_pictures_free(&pictures, request.count);
    printf("by another thread: %s\n", status == VARIANT_OK ? "not cancelled" : error.message);
    return status == VARIANT_E_STOPPED;
}

int main(int argc, char **argv) {
    variant_engine_options options;
    variant_engine *engine = NULL;
    variant_loop *loop = NULL;
    variant_error error;
    variant_engine_options_init(&options);
    options.model = argc > 1 ? argv[1] : "models/fashion";
    if (variant_engine_open(&engine, &options, &error) != VARIANT_OK ||
        variant_loop_open(&loop, engine, &error) != VARIANT_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }

    /* Requests of different depths share every step. */
    watcher watchers[] = {{"deep", 0, 0}, {"shallow", 0, 0}, {"cancelled", 1, 0}};
    const variant_info *info = variant_engine_info(engine);
    const int all = info->depth; /* the least that a supernet was trained for */
    const int depths[] = {all, info->supernet ? info->depths[info->depth_count - 1] : 1, all};
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
    good = generate_until_cancelled(engine) && good;
    variant_engine_close(&engine);
    return good ? 0 : 1;
}
