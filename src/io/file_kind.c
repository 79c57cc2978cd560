/* file_kind.c - see file_kind.h. First bytes are from the formats' own descriptions. */
#include "io/file_kind.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

typedef struct signature {
    size_t at, length;
    const char *bytes, *kind;
} signature;

#define AT(at, bytes, kind)                                                                        \
    { at, sizeof bytes - 1, bytes, kind }

static const signature signatures[] = {
    AT(0, "\x1f\x8b", "is compressed by gzip: unpack it (gunzip; tar xzf where it is a .tar.gz)"),
    AT(0, "\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it (unzstd)"),
    AT(0,
       "\xfd"
       "7zXZ",
       "is compressed by xz: unpack it (unxz; tar xJf where it is a .tar.xz)"),
    AT(0, "BZh", "is compressed by bzip2: unpack it (bunzip2)"),
    AT(0, "7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it and name the model in it"),
    AT(0, "Rar!", "is a RAR archive: unpack it and name the model in it"),
    AT(257, "ustar", "is a tar archive: unpack it (tar xf) and name the model in it"),
    AT(0, "GGUF",
       "is a GGUF model of llama.cpp or stable-diffusion.cpp, expected safetensors or a "
       "PyTorch checkpoint of VAR"),
    AT(0, "lmgg", "is a GGML model of llama.cpp, expected safetensors or a PyTorch checkpoint"),
    AT(0, "tjgg", "is a GGML model of llama.cpp, expected safetensors or a PyTorch checkpoint"),
    AT(0, "\x89HDF\r\n",
       "is an HDF5 file (Keras saves such), expected safetensors or a PyTorch "
       "checkpoint"),
    AT(4, "TFL3", "is a TensorFlow Lite model, expected safetensors or a PyTorch checkpoint"),
    AT(0, "\x93NUMPY", "is one NumPy array (.npy), expected safetensors or a PyTorch checkpoint"),
    AT(0, "\x89PNG", "is a PNG picture, expected a model"),
    AT(0, "\xff\xd8\xff", "is a JPEG picture, expected a model"),
    AT(0, "GIF8", "is a GIF picture, expected a model"),
    AT(8, "WEBP", "is a WebP picture, expected a model"),
    AT(0, "%PDF", "is a PDF document, expected a model"),
    AT(0,
       "\x7f"
       "ELF",
       "is a program, expected a model"),
    AT(0, "SQLite format 3", "is an SQLite database, expected a model"),
};

static bool has(const vt_mapping *map, size_t at, const char *bytes, size_t length) {
    return map->size >= at + length && memcmp(map->data + at, bytes, length) == 0;
}

/* The first bytes as text, after a byte order mark and blanks; NUL-terminated. */
static void beginning(char *out, size_t size, const vt_mapping *map) {
    size_t at = has(map, 0, "\xef\xbb\xbf", 3) ? 3 : 0, used = 0;
    while (at < map->size && isspace(map->data[at])) at++;
    for (; at < map->size && used + 1 < size; at++)
        out[used++] = map->data[at] ? (char)map->data[at] : '\x01';
    out[used] = '\0';
}

static bool is_page(const char *text) {
    static const char *const begins[] = {"<!doctype html", "<html", "<head",
                                         "<body",          "<?xml", "<!--"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncasecmp(text, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

/* A Git LFS pointer says how large the file is that it stands for. */
static void describe_pointer(char out[VT_FILE_KIND], const char *text) {
    const char *size = strstr(text, "\nsize ");
    unsigned long long bytes = 0;
    if (size && sscanf(size, "\nsize %llu", &bytes) == 1)
        snprintf(out, VT_FILE_KIND,
                 "is a Git LFS pointer to a file of %llu bytes, not that file: fetch it with `git "
                 "lfs pull`",
                 bytes);
    else
        snprintf(out, VT_FILE_KIND,
                 "is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`");
}

static bool is_text(const char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' && !isspace(c)) return false;
    }
    return length > 0;
}

static bool describe_text(char out[VT_FILE_KIND], const char *text) {
    char line[41] = "";
    if (text[0] == '{' || text[0] == '[') {
        snprintf(out, VT_FILE_KIND,
                 "is JSON text (a configuration?), expected the file of weights");
        return true;
    }
    if (!is_text(text)) return false;
    for (size_t i = 0; i < sizeof line - 1 && text[i] && text[i] != '\n' && text[i] != '\r'; i++)
        line[i] = text[i], line[i + 1] = '\0';
    snprintf(out, VT_FILE_KIND, "is text (\"%s\"), expected safetensors or a PyTorch checkpoint",
             line);
    return true;
}

static bool ends(const char *path, const char *with) {
    size_t a = strlen(path), b = strlen(with);
    return a >= b && strcasecmp(path + a - b, with) == 0;
}

/* Protocol buffers have no signature: an ONNX model begins with its version and its producer's name. */
static bool is_onnx(const vt_mapping *map, const char *path) {
    return ends(path, ".onnx") ||
           (map->size > 4 && map->data[0] == 8 && map->data[1] < 32 && map->data[2] == 0x12 &&
            map->data[3] > 0 && map->data[3] < 64 && isalpha(map->data[4]));
}

bool vt_file_kind(char out[VT_FILE_KIND], const vt_mapping *map, const char *path) {
    char text[512];
    if (map->size == 0) {
        snprintf(out, VT_FILE_KIND, "is empty (0 bytes): a download that failed, or a full disk?");
        return true;
    }
    if (ends(path, ".distcp")) {
        snprintf(out, VT_FILE_KIND,
                 "is a part of a torch.distributed.checkpoint: make one file of its folder with "
                 "dcp_to_torch_save of torch.distributed.checkpoint.format_utils");
        return true;
    }
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (!has(map, s->at, s->bytes, s->length)) continue;
        snprintf(out, VT_FILE_KIND, "%s", s->kind);
        return true;
    }
    beginning(text, sizeof text, map);
    if (strncmp(text, "version https://git-lfs", 23) == 0 ||
        strncmp(text, "version https://hawser", 22) == 0) {
        describe_pointer(out, text);
        return true;
    }
    if (is_page(text)) {
        snprintf(
            out, VT_FILE_KIND,
            "is a web page, not a model: the link led to a page (a login, an error, a viewer)");
        return true;
    }
    if (is_onnx(map, path)) {
        snprintf(out, VT_FILE_KIND,
                 "is an ONNX model, expected safetensors or a PyTorch checkpoint");
        return true;
    }
    if (map->data[0] == 0x80 && map->size > 1 && map->data[1] <= 5) {
        snprintf(out, VT_FILE_KIND,
                 "is a Python pickle that torch.save did not write: load it in Python and save its "
                 "state dict with torch.save or safetensors");
        return true;
    }
    return describe_text(out, text);
}
