/* torch.c - PyTorch checkpoints: the zip archive (since 1.6) and the legacy file before it. Called
 * by tensors.c.
 *
 * Zip: NAME/data.pkl is the main pickle, NAME/data/KEY each storage, stored and aligned to 64
 * bytes, so that tensors point into the mapped file. (An archive that other tools packed again is deflated:
 * then storages are unpacked when a tensor asks for them.) Legacy: five pickles in a row (magic number,
 * protocol, system, main, storage keys), then for each key a 64-bit element count and the elements.
 */
#include <stdlib.h>
#include <string.h>

#include "io/torch_storage.h"

#define WORK_LIMIT ((size_t)1 << 20)    /* values in a checkpoint; real ones hold thousands */
#define CHECK_LIMIT ((size_t)256 << 20) /* bytes of a file whose checksums are compared */
#define STORAGE_ALIGN 8                 /* enough for every element type */

/* ---- storages ---- */

static const struct {
    const char *name;
    vt_dtype type;
    size_t size; /* bytes of an element, by which legacy files are walked; 0: not known */
} storage_types[] = {
    {"FloatStorage", VT_F32, 4},
    {"DoubleStorage", VT_F64, 8},
    {"HalfStorage", VT_F16, 2},
    {"BFloat16Storage", VT_BF16, 2},
    {"CharStorage", VT_I8, 1},
    {"ByteStorage", VT_U8, 1},
    {"ShortStorage", VT_I16, 2},
    {"IntStorage", VT_I32, 4},
    {"LongStorage", VT_I64, 8},
    {"BoolStorage", VT_BOOL, 1},
    {"ComplexFloatStorage", VT_OTHER, 8},
    {"ComplexDoubleStorage", VT_OTHER, 16},
    {"QInt8Storage", VT_OTHER, 1},
    {"QUInt8Storage", VT_OTHER, 1},
    {"QInt32Storage", VT_OTHER, 4},
    {"QUInt4x2Storage", VT_OTHER, 1},
    {"QUInt2x4Storage", VT_OTHER, 1},
    {"storage.UntypedStorage", VT_OTHER, 1},
    {"UntypedStorage", VT_OTHER, 1},
};

static vt_dtype storage_type(const char *name, size_t *size) {
    if (strncmp(name, "torch.cuda.", 11) == 0)
        name += 11;
    else if (strncmp(name, "torch.", 6) == 0)
        name += 6;
    *size = 0;
    for (size_t i = 0; i < sizeof storage_types / sizeof storage_types[0]; i++) {
        if (strcmp(storage_types[i].name, name) != 0) continue;
        *size = storage_types[i].size;
        return storage_types[i].type;
    }
    return VT_OTHER;
}

/* ("storage", type, key, location, count) and, in legacy files, None or (view key, first element,
 * count). */
variant_status vt_torch_storage_parse(vt_torch_storage *out, size_t *view, const vt_py *persistent,
                                      variant_error *err) {
    const vt_py *id = persistent->arguments;
    *view = 0;
    if (id->kind != VT_PY_TUPLE || id->count < 5 || id->items[0]->kind != VT_PY_STRING ||
        strcmp(id->items[0]->text, "storage") != 0 || id->items[1]->kind != VT_PY_GLOBAL ||
        id->items[2]->kind != VT_PY_STRING || id->items[4]->kind != VT_PY_INT ||
        id->items[4]->integer < 0)
        return vt_fail(err, VARIANT_E_FORMAT, "a persistent id that names no storage");
    *out = (vt_torch_storage){.key = id->items[2]->text, .type_name = id->items[1]->text};
    size_t size;
    out->type = storage_type(out->type_name, &size);
    out->count = (size_t)id->items[4]->integer;
    if (out->count > (size_t)PTRDIFF_MAX / 8)
        return vt_fail(err, VARIANT_E_FORMAT, "a storage of %zu elements", out->count);
    const vt_py *metadata = id->count > 5 ? id->items[5] : NULL;
    if (metadata && metadata->kind == VT_PY_TUPLE) {
        if (metadata->count != 3 || metadata->items[1]->kind != VT_PY_INT ||
            metadata->items[1]->integer < 0)
            return vt_fail(err, VARIANT_E_FORMAT, "a storage's view is not (key, offset, size)");
        *view = (size_t)metadata->items[1]->integer;
    }
    return VARIANT_OK;
}

static int compare_storages(const void *a, const void *b) {
    return strcmp(((const vt_torch_storage *)a)->key, ((const vt_torch_storage *)b)->key);
}

/* The table of storages that the main pickle mentions, each once. */
static variant_status collect_storages(vt_torch_reader *reader, const vt_py *identifiers,
                                       variant_error *err) {
    vt_torch_storage *table =
        vt_pool_take(&reader->values, (identifiers->count + 1) * sizeof *table);
    if (!table) return vt_pool_fail(&reader->values, err);
    for (size_t i = 0; i < identifiers->count; i++) {
        size_t view;
        VT_TRY(vt_torch_storage_parse(&table[i], &view, identifiers->items[i], err));
    }
    qsort(table, identifiers->count, sizeof *table, compare_storages);
    size_t kept = 0;
    for (size_t i = 0; i < identifiers->count; i++) {
        if (kept == 0 || compare_storages(&table[kept - 1], &table[i]) != 0) {
            table[kept++] = table[i];
        } else if (table[kept - 1].type != table[i].type ||
                   table[kept - 1].count != table[i].count) {
            char key[VT_PRINTABLE];
            return vt_fail(err, VARIANT_E_FORMAT, "storage '%s' is given two types or sizes",
                           vt_printable(key, table[i].key));
        }
    }
    reader->storages = table;
    reader->storage_count = kept;
    return VARIANT_OK;
}

variant_status vt_torch_storage_get(vt_torch_reader *reader, const char *key,
                                    vt_torch_storage **out, variant_error *err) {
    char printable[VT_PRINTABLE];
    vt_torch_storage wanted = {.key = key};
    vt_torch_storage *found =
        bsearch(&wanted, reader->storages, reader->storage_count, sizeof wanted, compare_storages);
    if (found && found->type == VT_OTHER) {
        *out = found;
        return VARIANT_OK;
    }
    if (found && found->entry) {
        if (reader->check_sums || !found->data)
            VT_TRY(vt_zip_bytes(found->entry, &reader->file->pool, &found->data, err));
        found->entry = NULL;
    }
    if (!found || !found->data)
        return vt_fail(err, VARIANT_E_FORMAT, "storage '%s' has no data in the file",
                       vt_printable(printable, key));
    /* Once for the storage, not for each tensor: all tensors on it share one copy. */
    found->data = vt_tensor_file_align(reader->file, found->data,
                                       found->count * vt_dtype_size(found->type), STORAGE_ALIGN);
    if (!found->data) return vt_pool_fail(&reader->file->pool, err);
    *out = found;
    return VARIANT_OK;
}

static void reader_init(vt_torch_reader *reader, vt_tensor_file *file) {
    *reader = (vt_torch_reader){.file = file, .work = WORK_LIMIT};
    vt_pool_init(&reader->values, vt_pickle_pool_limit(file->map.size));
}

/* ---- zip ---- */

bool vt_torch_is_zip(const vt_mapping *map) {
    return map->size >= 4 && memcmp(map->data, "PK\3\4", 4) == 0;
}

/* NAME/rest, where NAME is the archive's only top folder that has a data.pkl. */
static variant_status find_within(const vt_zip *zip, const char *folder, const char *rest,
                                  const vt_zip_entry **out, variant_error *err) {
    char path[1024];
    int length = snprintf(path, sizeof path, "%s/%s", folder, rest);
    if (length < 0 || (size_t)length >= sizeof path)
        return vt_fail(err, VARIANT_E_FORMAT, "zip archive: an entry's name is too long");
    return vt_zip_find(zip, path, out, err);
}

static variant_status find_folder(const vt_zip *zip, vt_pool *pool, const char **out,
                                  variant_error *err) {
    *out = NULL;
    for (size_t i = 0; i < zip->count; i++) {
        const char *name = zip->entries[i].name, *slash = strchr(name, '/');
        if (!slash || strcmp(slash, "/data.pkl") != 0) continue;
        if (*out) return vt_fail(err, VARIANT_E_FORMAT, "zip archive holds two checkpoints");
        *out = vt_pool_text(pool, name, (size_t)(slash - name));
        if (!*out) return vt_pool_fail(pool, err);
    }
    if (*out) return VARIANT_OK;
    for (size_t i = 0; i < zip->count; i++) {
        const char *ending = strrchr(zip->entries[i].name, '.');
        if (ending && strcmp(ending, ".npy") == 0)
            return vt_fail(
                err, VARIANT_E_FORMAT,
                "is a NumPy archive (.npz: statistics, pictures or tokens), expected a model");
    }
    if (zip->count)
        return vt_fail(
            err, VARIANT_E_FORMAT,
            "zip archive holds no data.pkl, so it is no PyTorch checkpoint: its first entry "
            "is '%.80s'; if the model is in it, unpack it",
            zip->entries[0].name);
    return vt_fail(err, VARIANT_E_FORMAT, "zip archive that is empty");
}

static variant_status check_byte_order(const vt_zip *zip, const char *folder, vt_pool *pool,
                                       variant_error *err) {
    char path[1024];
    int length = snprintf(path, sizeof path, "%s/byteorder", folder);
    if (length < 0 || (size_t)length >= sizeof path || !vt_zip_has(zip, path)) return VARIANT_OK;
    const vt_zip_entry *entry = NULL;
    VT_TRY(vt_zip_find(zip, path, &entry, err));
    const unsigned char *order = NULL;
    VT_TRY(vt_zip_bytes(entry, pool, &order, err));
    if (entry->size == 6 && memcmp(order, "little", 6) == 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT,
                   "written on a machine of another byte order, expected little endian");
}

variant_status vt_torch_read_zip(vt_tensor_file *file, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_torch_reader reader;
    reader_init(&reader, file);
    file->format = "pytorch zip";
    /* Reading every byte of a large model at opening would defeat mapping it; so only smaller files
     * are compared with their checksums. The main pickle always is. */
    reader.check_sums = file->map.size < CHECK_LIMIT;

    vt_zip zip;
    const char *folder;
    const vt_zip_entry *main_entry = NULL;
    VT_CHECK(vt_zip_open(&zip, file->map.data, file->map.size, &reader.values, err));
    VT_CHECK(find_folder(&zip, &reader.values, &folder, err));
    VT_CHECK(check_byte_order(&zip, folder, &reader.values, err));
    VT_CHECK(find_within(&zip, folder, "data.pkl", &main_entry, err));
    const unsigned char *main_bytes = NULL;
    VT_CHECK(vt_zip_bytes(main_entry, &reader.values, &main_bytes, err));

    vt_py *root = NULL, *identifiers = NULL;
    size_t used;
    VT_CHECK(vt_pickle_read(&root, &identifiers, &used, main_bytes, main_entry->size,
                            &reader.values, err));
    VT_CHECK(collect_storages(&reader, identifiers, err));
    for (size_t i = 0; i < reader.storage_count; i++) {
        vt_torch_storage *storage = &reader.storages[i];
        char rest[512];
        int length = snprintf(rest, sizeof rest, "data/%s", storage->key);
        if (length < 0 || (size_t)length >= sizeof rest) {
            status = vt_fail(err, VARIANT_E_FORMAT, "a storage's key is too long");
            goto cleanup;
        }
        if (storage->type == VT_OTHER) continue;
        VT_CHECK(find_within(&zip, folder, rest, &storage->entry, err));
        if (storage->entry->size / vt_dtype_size(storage->type) < storage->count) {
            status = vt_fail(err, VARIANT_E_FORMAT,
                             "storage '%s' holds %zu bytes, its %zu elements need more", rest,
                             storage->entry->size, storage->count);
            goto cleanup;
        }
        storage->data = storage->entry->data;
    }
    status = vt_torch_tree_read(&reader, root, err);

cleanup:
    vt_pool_free(&reader.values);
    return status;
}

/* ---- legacy ---- */

/* LONG1 of ten bytes and STOP, after the protocol (from 4 on also a frame's length); the bytes are
 * 0x1950a86a20f9469cfc6c. */
static const unsigned char legacy_magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                             0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
enum { LEGACY_PROTOCOL = 1001, FRAME = 0x95, FRAME_SIZE = 9 };

/* Where the second pickle begins; 0: not a legacy file. */
static size_t legacy_start(const vt_mapping *map) {
    size_t at = map->size > 2 && map->data[0] == 0x80 ? 2 : 0;
    if (at && map->data[at] == FRAME) at += FRAME_SIZE;
    return at && map->size > at + sizeof legacy_magic &&
                   memcmp(map->data + at, legacy_magic, sizeof legacy_magic) == 0
               ? at + sizeof legacy_magic
               : 0;
}

bool vt_torch_is_legacy(const vt_mapping *map) {
    return legacy_start(map) > 0;
}

static variant_status next_pickle(vt_torch_reader *reader, size_t *at, vt_py **out,
                                  vt_py **identifiers, variant_error *err) {
    size_t used = 0;
    const vt_mapping *map = &reader->file->map;
    VT_TRY(vt_pickle_read(out, identifiers, &used, map->data + *at, map->size - *at,
                          &reader->values, err));
    *at += used;
    return VARIANT_OK;
}

static variant_status check_system(const vt_py *system, variant_error *err) {
    for (size_t i = 0; system->kind == VT_PY_DICT && i + 1 < system->count; i += 2) {
        const vt_py *key = system->items[i], *value = system->items[i + 1];
        if (key->kind != VT_PY_STRING || strcmp(key->text, "little_endian") != 0) continue;
        if (value->kind == VT_PY_BOOL && value->integer) return VARIANT_OK;
    }
    return vt_fail(err, VARIANT_E_FORMAT,
                   "legacy checkpoint does not say that it is little endian");
}

/* Finds each storage's data, one behind the other in the order of keys. */
static variant_status place_storages(vt_torch_reader *reader, const vt_py *keys, size_t at,
                                     variant_error *err) {
    const vt_mapping *map = &reader->file->map;
    if (keys->kind != VT_PY_LIST)
        return vt_fail(err, VARIANT_E_FORMAT, "legacy checkpoint has no list of storages");
    for (size_t i = 0; i < keys->count; i++) {
        char key[VT_PRINTABLE];
        if (keys->items[i]->kind != VT_PY_STRING)
            return vt_fail(err, VARIANT_E_FORMAT, "a storage's key is no string");
        vt_printable(key, keys->items[i]->text);
        vt_torch_storage wanted = {.key = keys->items[i]->text};
        vt_torch_storage *storage = bsearch(&wanted, reader->storages, reader->storage_count,
                                            sizeof wanted, compare_storages);
        if (!storage)
            return vt_fail(err, VARIANT_E_FORMAT,
                           "storage '%s' is in the file but no tensor says its type", key);
        size_t size;
        storage_type(storage->type_name, &size);
        if (size == 0)
            return VARIANT_OK; /* where the next ones lie cannot be told: they have no data */
        if (map->size - at < 8)
            return vt_fail(err, VARIANT_E_FORMAT, "cut short before storage '%s'", key);
        uint64_t count = 0;
        for (int b = 7; b >= 0; b--) count = count << 8 | map->data[at + (size_t)b];
        at += 8;
        if (count != storage->count)
            return vt_fail(err, VARIANT_E_FORMAT, "storage '%s' holds %llu elements, expected %zu",
                           key, (unsigned long long)count, storage->count);
        if ((map->size - at) / size < count)
            return vt_fail(err, VARIANT_E_FORMAT, "cut short within storage '%s' of %zu elements",
                           key, storage->count);
        storage->data = map->data + at;
        at += storage->count * size;
    }
    return VARIANT_OK;
}

variant_status vt_torch_read_legacy(vt_tensor_file *file, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_torch_reader reader;
    reader_init(&reader, file);
    file->format = "pytorch legacy";

    size_t at = legacy_start(&file->map);
    vt_py *protocol = NULL, *system = NULL, *root = NULL, *keys = NULL, *identifiers = NULL;
    VT_CHECK(next_pickle(&reader, &at, &protocol, NULL, err));
    if (protocol->kind != VT_PY_INT || protocol->integer != LEGACY_PROTOCOL) {
        status = vt_fail(err, VARIANT_E_FORMAT, "legacy checkpoint is not of protocol %d",
                         LEGACY_PROTOCOL);
        goto cleanup;
    }
    VT_CHECK(next_pickle(&reader, &at, &system, NULL, err));
    VT_CHECK(check_system(system, err));
    VT_CHECK(next_pickle(&reader, &at, &root, &identifiers, err));
    VT_CHECK(next_pickle(&reader, &at, &keys, NULL, err));
    VT_CHECK(collect_storages(&reader, identifiers, err));
    VT_CHECK(place_storages(&reader, keys, at, err));
    status = vt_torch_tree_read(&reader, root, err);

cleanup:
    vt_pool_free(&reader.values);
    return status;
}
