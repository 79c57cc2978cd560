/* jailed_torch.c - see jailed.h: a checkpoint's table of tensors, as the jail hands it over.
 *
 *     entry (count) | meta (meta_count) | texts, each NUL-ended | copies, each at a multiple of 64
 *
 * Places count from the beginning of that; of tensors that lie in the file as they are used, from the file's. */
#include <stdlib.h>
#include <string.h>

#include "io/jailed.h"

enum { ALIGN = 64 };
#define MEMORY ((size_t)128 << 20)
#define MOST_VALUES ((size_t)1 << 30) /* vt_pickle_pool_limit's */
#define SECONDS 60.0
#define BYTES_A_SECOND 2e7

typedef struct entry {
    uint64_t name, group, spelled; /* spelled 0: none; texts never are at 0 */
    uint64_t data;
    int64_t shape[VT_MAX_RANK];
    int32_t type, rank;
    int32_t in_file, empty;
} entry;

typedef struct meta {
    uint64_t key, value;
} meta;

_Static_assert(sizeof(vt_jailed_table) <= VT_JAIL_HEAD, "a table's head goes with the answer");

/* ---- in the jail ---- */

static bool is_inside(const vt_tensor_file *file, const vt_tensor *tensor) {
    const uintptr_t from = (uintptr_t)file->map.data, at = (uintptr_t)tensor->data;
    return at >= from && at - from <= file->map.size &&
           tensor->bytes <= file->map.size - (at - from);
}

/* Of tensors that share what was copied, the first; its index. */
static int first_of(const vt_tensor_file *file, int index) {
    const vt_tensor *tensor = &file->tensors[index];
    for (int i = 0; i < index; ++i)
        if (file->tensors[i].data == tensor->data && file->tensors[i].bytes == tensor->bytes)
            return i;
    return index;
}

static size_t texts_of(const vt_tensor_file *file) {
    size_t size = 0;
    for (int i = 0; i < file->count; ++i) {
        const vt_tensor *t = &file->tensors[i];
        size += strlen(t->name) + strlen(t->group) + 2;
        if (t->spelled) size += strlen(t->spelled) + 1;
    }
    for (int i = 0; i < file->meta_count; ++i)
        size += strlen(file->meta[i].key) + strlen(file->meta[i].value) + 2;
    return size;
}

static uint64_t put_text(uint8_t *out, size_t *at, const char *text) {
    const size_t size = strlen(text) + 1, place = *at;
    memcpy(out + place, text, size);
    *at += size;
    return place;
}

/* Where the copies of tensors go; the end of them. */
static size_t place_copies(entry *entries, const vt_tensor_file *file, size_t at) {
    for (int i = 0; i < file->count; ++i) {
        const vt_tensor *t = &file->tensors[i];
        entry *e = &entries[i];
        e->empty = t->bytes == 0;
        e->in_file = !e->empty && is_inside(file, t);
        if (e->empty) continue;
        const int first = e->in_file ? i : first_of(file, i);
        if (e->in_file) {
            e->data = (uint64_t)((const uint8_t *)t->data - file->map.data);
        } else if (first < i) {
            e->data = entries[first].data;
        } else {
            at = (at + ALIGN - 1) / ALIGN * ALIGN;
            e->data = at;
            at += t->bytes;
        }
    }
    return at;
}

static void fill(uint8_t *out, const entry *placed, const vt_tensor_file *file,
                 const vt_jailed_table *h) {
    size_t at = h->texts;
    entry *entries = (entry *)out;
    meta *metas = (meta *)(out + (size_t)file->count * sizeof *entries);
    memcpy(entries, placed, (size_t)file->count * sizeof *entries);
    for (int i = 0; i < file->count; ++i) {
        const vt_tensor *t = &file->tensors[i];
        entry *e = &entries[i];
        e->name = put_text(out, &at, t->name);
        e->group = put_text(out, &at, t->group);
        e->spelled = t->spelled ? put_text(out, &at, t->spelled) : 0;
        memcpy(e->shape, t->shape, sizeof e->shape);
        e->type = (int32_t)t->type;
        e->rank = t->rank;
        if (!e->empty && !e->in_file) memcpy(out + e->data, t->data, t->bytes);
    }
    for (int i = 0; i < file->meta_count; ++i)
        metas[i] =
            (meta){put_text(out, &at, file->meta[i].key), put_text(out, &at, file->meta[i].value)};
}

variant_status vt_jailed_table_make(vt_jailed_table *h, uint8_t **bytes, size_t *size,
                                    const vt_tensor_file *file, variant_error *err) {
    const size_t count = (size_t)file->count, meta_count = (size_t)file->meta_count;
    entry *placed = calloc(count + 1, sizeof *placed);
    h->texts = count * sizeof(entry) + meta_count * sizeof(meta) + 1;
    h->texts_end = h->texts + texts_of(file);
    h->count = file->count;
    h->meta_count = file->meta_count;
    h->legacy = vt_torch_is_legacy(&file->map);
    *size = placed ? place_copies(placed, file, h->texts_end) : 0;
    *bytes = *size ? calloc(1, *size) : NULL;
    if (*bytes) fill(*bytes, placed, file, h);
    free(placed);
    if (*bytes) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a table of %d tensors", file->count);
}

/* The process ends then, and with it what it holds. */
static variant_status run(vt_jail_room *room, variant_error *err) {
    vt_tensor_file file = {.map = {.data = room->data, .size = room->size, .borrowed = true}};
    vt_tensor_file_pool(&file);
    VT_TRY(vt_torch_read(&file, err));
    return vt_jailed_table_make(room->head, &room->out, &room->out_size, &file, err);
}

/* ---- outside, where nothing of it is believed ---- */

typedef struct table {
    vt_tensor_file *file;
    const uint8_t *bytes;
    size_t size;
    vt_jailed_table head;
} table;

static variant_status refuse(variant_error *err) {
    return vt_fail(err, VARIANT_E_FORMAT,
                   "its reader gives a table of tensors that does not hold together");
}

static const char *text_at(const table *t, uint64_t place) {
    return place >= t->head.texts && place < t->head.texts_end ? (const char *)t->bytes + place
                                                               : NULL;
}

static bool is_table(const table *t) {
    const vt_jailed_table *h = &t->head;
    if (h->count < 0 || h->meta_count < 0) return false;
    const uint64_t least =
        (uint64_t)h->count * sizeof(entry) + (uint64_t)h->meta_count * sizeof(meta);
    return h->texts > least && h->texts <= h->texts_end && h->texts_end <= t->size &&
           (h->texts == h->texts_end || t->bytes[h->texts_end - 1] == 0);
}

/* Memory that a caller lends may lie at any place; the jail saw a page's beginning. */
static variant_status set_data(vt_tensor *tensor, const table *t, const entry *e,
                               variant_error *err) {
    const uint8_t *from = e->in_file ? t->file->map.data : t->bytes;
    const size_t size = e->in_file ? t->file->map.size : t->size;
    tensor->data = NULL;
    if (tensor->count == 0 || tensor->type == VT_OTHER) return VARIANT_OK;
    if (e->empty || e->data > size || tensor->bytes > size - e->data) return refuse(err);
    tensor->data =
        vt_tensor_file_align(t->file, from + e->data, tensor->bytes, vt_dtype_size(tensor->type));
    return tensor->data ? VARIANT_OK : vt_pool_fail(&t->file->pool, err);
}

static variant_status add_tensor(const table *t, const entry *e, variant_error *err) {
    vt_tensor tensor = {.name = text_at(t, e->name),
                        .group = text_at(t, e->group),
                        .spelled = e->spelled ? text_at(t, e->spelled) : NULL,
                        .rank = e->rank};
    if (!tensor.name || !tensor.group || e->rank < 0 || e->rank > VT_MAX_RANK || e->type < 0 ||
        e->type > (int32_t)VT_OTHER)
        return refuse(err);
    tensor.type = (vt_dtype)e->type;
    memcpy(tensor.shape, e->shape, sizeof tensor.shape);
    VT_TRY(vt_tensor_measure(&tensor, err));
    if (tensor.type == VT_OTHER) tensor.bytes = 0;
    VT_TRY(set_data(&tensor, t, e, err));
    return vt_tensor_file_add(t->file, &tensor, err);
}

variant_status vt_jailed_table_take(vt_tensor_file *file, const vt_jailed_table *head, size_t size,
                                    variant_error *err) {
    const table t = {file, file->jailed, size, *head};
    file->format = head->legacy ? "pytorch legacy" : "pytorch zip";
    if (!is_table(&t)) return refuse(err);
    const entry *entries = (const entry *)t.bytes;
    const meta *metas = (const meta *)(entries + head->count);
    for (int i = 0; i < head->count; ++i) VT_TRY(add_tensor(&t, &entries[i], err));
    for (int i = 0; i < head->meta_count; ++i) {
        const char *key = text_at(&t, metas[i].key), *value = text_at(&t, metas[i].value);
        if (!key || !value) return refuse(err);
        VT_TRY(vt_tensor_file_add_meta(file, key, value, err));
    }
    return VARIANT_OK;
}

variant_status vt_jailed_torch(vt_tensor_file *file, int descriptor, variant_error *err) {
    const size_t size = file->map.size,
                 values = size > MOST_VALUES / 128 ? MOST_VALUES : 128 * size;
    const vt_jail_job job = {.run = run,
                             .file = descriptor,
                             .bytes = file->map.data,
                             .size = size,
                             .memory = MEMORY + 12 * size + values,
                             .most = MEMORY + 12 * size + values,
                             .seconds = SECONDS + (double)size / BYTES_A_SECOND};
    vt_jailed_table head;
    size_t answered;
    VT_TRY(vt_jail_call(&job, &head, sizeof head, &file->jailed, &answered, err));
    return vt_jailed_table_take(file, &head, answered, err);
}
