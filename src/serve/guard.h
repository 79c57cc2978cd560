/* guard.h - who may ask: keys, and what pages in a browser may do. */
#ifndef VT_SERVE_GUARD_H
#define VT_SERVE_GUARD_H

#include "serve/fault.h"
#include "serve/serve.h"

typedef struct sv_guard {
    char **keys;
    int key_count; /* 0: everybody may ask */
    bool loopback; /* nobody but this machine reaches the address */
    const char *listen, *origin;
} sv_guard;

/* What of a request it looks at; NULL: not sent. */
typedef struct sv_caller {
    const char *host, *origin, *authorization;
} sv_caller;

/* Is the address one of this machine alone? */
bool sv_is_loopback(const char *address);
/* Reads the keys' file. E_ARGUMENT: it has none, or the address is open to others and there is none. */
variant_status sv_guard_open(sv_guard *out, const vt_serve_options *options, variant_error *err);
void sv_guard_close(sv_guard *guard);
/* open: no key is asked for, as of a picture whose address nobody can guess. */
bool sv_guard_admits(const sv_guard *guard, const sv_caller *caller, bool open, sv_fault *fault);
/* Whose key it is: its place in the file, from 0; -1: none of ours. */
int sv_guard_key(const sv_guard *guard, const sv_caller *caller);
/* The page that may read the answer, for Access-Control-Allow-Origin; NULL: none is told. */
const char *sv_guard_origin(const sv_guard *guard, const sv_caller *caller);

#endif
