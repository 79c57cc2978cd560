/* guard.c - see guard.h. On loopback a browser is the danger: a page from anywhere can send requests to this machine, and a
 * name whose address changes makes them look its own (DNS rebinding). So the Host must be this machine, and an Origin, which
 * browsers alone send, must be the Host or one that was allowed. */
#include "serve/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/file.h"
#include "serve/text.h"

enum { MOST_KEYS = 1000, SHORTEST_KEY = 16 };

bool sv_is_loopback(const char *address) {
    return strcmp(address, "localhost") == 0 || strncmp(address, "127.", 4) == 0 ||
           strcmp(address, "::1") == 0;
}

/* ---- keys ---- */

static variant_status add_key(sv_guard *g, const char *path, const char *line, size_t length,
                              variant_error *err) {
    if (length < SHORTEST_KEY)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: a key of %zu letters, expected at least %d (openssl rand -hex 16)",
                       path, length, SHORTEST_KEY);
    if (g->key_count == MOST_KEYS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: expected at most %d keys", path, MOST_KEYS);
    char *key = strndup(line, length);
    if (!key) return vt_fail(err, VARIANT_E_MEMORY, "no memory for keys");
    g->keys[g->key_count++] = key;
    return VARIANT_OK;
}

static variant_status read_keys(sv_guard *g, const char *path, variant_error *err) {
    char *text = NULL;
    variant_status status = VARIANT_OK;
    const int before = g->key_count;
    VT_TRY(vt_file_read_text(&text, path, 1 << 20, err));
    for (const char *at = text; *at;) {
        const size_t length = strcspn(at, "\r\n");
        if (length > 0 && *at != '#') VT_CHECK(add_key(g, path, at, length, err));
        at += length + (at[length] != '\0');
    }
    if (g->key_count == before)
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT, "%s: expected a key a line, found none", path));
cleanup:
    free(text);
    return status;
}

/* As browsers send it: a scheme, a host in small letters and a port if it is not the scheme's own, nothing behind. */
static bool is_origin(const char *text) {
    const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                       : strncmp(text, "http://", 7) == 0 ? text + 7
                                                          : "";
    const bool six = *host == '[';
    const size_t length = six ? 1 + strspn(host + 1, "0123456789abcdef:.")
                              : strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._");
    if (length < 1u + six || (six && host[length] != ']')) return false;
    const char *port = host + length + six;
    if (!*port) return true;
    const size_t digits = strspn(port + 1, "0123456789");
    return *port == ':' && digits >= 1 && digits <= 5 && !port[1 + digits];
}

static variant_status check_origin(const char *origin, variant_error *err) {
    if (!origin || strcmp(origin, "*") == 0 || is_origin(origin)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "--origin %.80s: expected what browsers send, a scheme, a host in small letters "
                   "and its port if any, such as https://example.org, or *",
                   origin);
}

static variant_status open_guard(sv_guard *out, const vt_serve_options *options,
                                 variant_error *err) {
    *out = (sv_guard){.listen = options->listen,
                      .origin = options->origin,
                      .loopback = sv_is_loopback(options->listen)};
    VT_TRY(check_origin(options->origin, err));
    out->keys = calloc(MOST_KEYS, sizeof *out->keys);
    if (!out->keys) return vt_fail(err, VARIANT_E_MEMORY, "no memory for keys");
    if (options->api_key)
        VT_TRY(add_key(out, "VARIANT_API_KEY", options->api_key, strlen(options->api_key), err));
    if (options->api_key_file) VT_TRY(read_keys(out, options->api_key_file, err));
    if (out->key_count > 0 || out->loopback || options->insecure) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "--listen %s: others reach that address: give --api-key-file, or --insecure to "
                   "let everybody ask",
                   options->listen);
}

variant_status sv_guard_open(sv_guard *out, const vt_serve_options *options, variant_error *err) {
    const variant_status status = open_guard(out, options, err);
    if (status != VARIANT_OK) sv_guard_close(out);
    return status;
}

void sv_guard_close(sv_guard *guard) {
    for (int i = 0; i < guard->key_count; ++i) free(guard->keys[i]);
    free(guard->keys);
    *guard = (sv_guard){0};
}

/* All keys are compared, whichever is right. */
int sv_guard_key(const sv_guard *guard, const sv_caller *caller) {
    const char *given = caller->authorization;
    int found = -1;
    if (!given || strncasecmp(given, "Bearer ", 7) != 0) return -1;
    for (int i = 0; i < guard->key_count; ++i)
        if (sv_same_secret(given + 7, guard->keys[i])) found = i;
    return found;
}

/* ---- browsers ---- */

/* Is the host, with or without a port, this machine by a name that is always its own? */
static bool is_own_host(const sv_guard *g, const char *host) {
    const char *const names[] = {"localhost", "127.0.0.1", "[::1]", g->listen};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        const size_t length = strlen(names[i]);
        if (strncasecmp(host, names[i], length) != 0) continue;
        const char *rest = host + length;
        if (!*rest ||
            (*rest == ':' && rest[1] && strspn(rest + 1, "0123456789") == strlen(rest + 1)))
            return true;
    }
    return false;
}

static bool is_own_origin(const sv_caller *c) {
    const char *scheme = c->origin ? strstr(c->origin, "://") : NULL;
    return scheme && c->host && strcasecmp(scheme + 3, c->host) == 0;
}

const char *sv_guard_origin(const sv_guard *guard, const sv_caller *caller) {
    if (!guard->origin || !caller->origin) return NULL;
    if (strcmp(guard->origin, "*") == 0) return "*";
    return strcmp(guard->origin, caller->origin) == 0 ? guard->origin : NULL;
}

bool sv_guard_admits(const sv_guard *guard, const sv_caller *caller, bool open, sv_fault *fault) {
    if (guard->loopback && (!caller->host || !is_own_host(guard, caller->host)))
        return sv_refuse(fault, 403, "wrong_host", "",
                         "Host: \"%.80s\" is not this machine: ask for localhost or 127.0.0.1",
                         caller->host ? caller->host : "");
    if (caller->origin && !is_own_origin(caller) && !sv_guard_origin(guard, caller))
        return sv_refuse(fault, 403, "wrong_origin", "",
                         "a page of %.80s may not ask (--origin allows one)", caller->origin);
    if (open || guard->key_count == 0 || sv_guard_key(guard, caller) >= 0) return true;
    return sv_refuse(fault, 401, "invalid_api_key", "",
                     "expected the header Authorization: Bearer KEY, with a key of this server");
}
