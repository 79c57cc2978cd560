/* pickle.h - reads a Python pickle as plain data. Nothing in it is ever executed.
 *
 * A pickle is a program for a stack machine. This machine knows the instructions that checkpoints
 * are written with and builds a tree of values; what Python would import is only a name
 * (VT_PY_GLOBAL), what it would call or construct is only a record of the call (VT_PY_CALL), and
 * what it would fetch from elsewhere is only the identifier (VT_PY_PERSISTENT). torch.c interprets
 * the few calls it knows. Values live in the caller's pool. */
#ifndef VT_IO_PICKLE_H
#define VT_IO_PICKLE_H

#include "io/pool.h"

typedef enum vt_py_kind {
    VT_PY_NONE,
    VT_PY_BOOL,
    VT_PY_INT,
    VT_PY_BIG, /* an integer of more than 64 bits: its bytes are in text */
    VT_PY_FLOAT,
    VT_PY_STRING,
    VT_PY_BYTES,
    VT_PY_TUPLE,
    VT_PY_LIST, /* lists and sets */
    VT_PY_DICT, /* items are key, value, key, value, ... in the order they were stored */
    VT_PY_GLOBAL,
    VT_PY_CALL,
    VT_PY_PERSISTENT
} vt_py_kind;

typedef struct vt_py vt_py;
struct vt_py {
    vt_py_kind kind;
    union {
        int64_t integer; /* INT, BOOL */
        double real;
        struct {              /* STRING, BYTES, BIG; GLOBAL: "module.name" */
            const char *text; /* a zero byte follows */
            size_t length;
        };
        struct { /* TUPLE, LIST, DICT */
            vt_py **items;
            size_t count, capacity;
        };
        struct { /* CALL: callable(*arguments), then given `state`; PERSISTENT: the identifier is
                    arguments */
            vt_py *callable, *arguments, *state;
        };
    };
};

/* The limit a pool for values should have, for pickles of `bytes`. */
size_t vt_pickle_pool_limit(size_t bytes);

/* Reads one pickle from bytes[0..size); *used is its length, *identifiers (may be NULL) the list of
 * every VT_PY_PERSISTENT in it. Values may be shared and, in hostile input, contain themselves:
 * whoever walks them bounds depth and work. */
variant_status vt_pickle_read(vt_py **out, vt_py **identifiers, size_t *used,
                              const unsigned char *bytes, size_t size, vt_pool *pool,
                              variant_error *err);

bool vt_py_is_global(const vt_py *value, const char *name);

#endif
