/* pickle.c - the stack machine behind pickle.h. Called by torch.c.
 *
 * The stack, the marks and the memo are growing arrays; values come from the caller's pool, whose
 * limit bounds what a small file can ask for. Every instruction takes at least one byte and makes
 * at most one value. */
#include "io/pickle.h"

#include <stdlib.h>
#include <string.h>

enum {
    STACK_LIMIT = 1 << 22, /* values on the stack */
    MARK_LIMIT = 1 << 12,  /* containers open at once */
    MEMO_LIMIT = 1 << 22
};

typedef struct array {
    void *data;
    size_t count, capacity;
} array;

typedef struct machine {
    const unsigned char *at, *end, *start;
    vt_pool *pool;
    variant_error *err;
    array stack;        /* vt_py * */
    array marks;        /* size_t: the stack's height when the mark was set */
    array memo;         /* vt_py *, by index; NULL where nothing was stored */
    vt_py *identifiers; /* list of every PERSISTENT made */
} machine;

size_t vt_pickle_pool_limit(size_t bytes) {
    const size_t most = (size_t)1 << 30;
    return bytes < most / 128 ? ((size_t)1 << 20) + 128 * bytes : most;
}

bool vt_py_is_global(const vt_py *value, const char *name) {
    return value && value->kind == VT_PY_GLOBAL && strcmp(value->text, name) == 0;
}

static variant_status fail(machine *m, const char *reason) {
    return vt_fail(m->err, VARIANT_E_FORMAT, "pickle: %s at byte %zu", reason,
                   (size_t)(m->at - m->start));
}

/* ---- stack, marks, memo, input ---- */

static variant_status array_reserve(machine *m, array *a, size_t count, size_t size, size_t limit) {
    if (count <= a->capacity) return VARIANT_OK;
    if (count > limit) return fail(m, "more values than a checkpoint has");
    size_t capacity = a->capacity ? a->capacity : 256;
    while (capacity < count) capacity *= 2;
    void *data = reallocarray(a->data, capacity, size);
    if (!data)
        return vt_fail(m->err, VARIANT_E_MEMORY, "pickle: no memory for %zu values", capacity);
    memset((char *)data + a->capacity * size, 0, (capacity - a->capacity) * size);
    a->data = data;
    a->capacity = capacity;
    return VARIANT_OK;
}

static variant_status push(machine *m, vt_py *value) {
    VT_TRY(array_reserve(m, &m->stack, m->stack.count + 1, sizeof(vt_py *), STACK_LIMIT));
    ((vt_py **)m->stack.data)[m->stack.count++] = value;
    return VARIANT_OK;
}

/* Height below which instructions may not reach: values under an open mark belong to whoever set
 * it. */
static size_t floor_of(const machine *m) {
    return m->marks.count ? ((const size_t *)m->marks.data)[m->marks.count - 1] : 0;
}

static variant_status pop(machine *m, vt_py **out) {
    if (m->stack.count <= floor_of(m)) return fail(m, "stack is empty");
    *out = ((vt_py **)m->stack.data)[--m->stack.count];
    return VARIANT_OK;
}

static variant_status top(machine *m, vt_py **out) {
    VT_TRY(pop(m, out));
    m->stack.count++;
    return VARIANT_OK;
}

static variant_status mark(machine *m) {
    VT_TRY(array_reserve(m, &m->marks, m->marks.count + 1, sizeof(size_t), MARK_LIMIT));
    ((size_t *)m->marks.data)[m->marks.count++] = m->stack.count;
    return VARIANT_OK;
}

/* The values above the last mark, which are taken off the stack; valid until the next push. */
static variant_status pop_mark(machine *m, vt_py ***items, size_t *count) {
    if (!m->marks.count) return fail(m, "no mark");
    size_t height = ((const size_t *)m->marks.data)[--m->marks.count];
    *items = m->stack.data ? (vt_py **)m->stack.data + height : NULL;
    *count = m->stack.count - height;
    m->stack.count = height;
    return VARIANT_OK;
}

static variant_status memo_put(machine *m, size_t index) {
    vt_py *value = NULL;
    VT_TRY(top(m, &value));
    /* each takes an instruction, and who writes them counts from 0: more than there are bytes asks for memory alone */
    if (index >= MEMO_LIMIT || index >= (size_t)(m->end - m->start))
        return fail(m, "memo index too large");
    VT_TRY(array_reserve(m, &m->memo, index + 1, sizeof(vt_py *), MEMO_LIMIT));
    ((vt_py **)m->memo.data)[index] = value;
    if (index >= m->memo.count) m->memo.count = index + 1;
    return VARIANT_OK;
}

static variant_status memo_get(machine *m, size_t index) {
    if (index >= m->memo.count || !((vt_py **)m->memo.data)[index])
        return fail(m, "memo index never stored");
    return push(m, ((vt_py **)m->memo.data)[index]);
}

static variant_status need(machine *m, uint64_t bytes) {
    return bytes <= (uint64_t)(m->end - m->at) ? VARIANT_OK : fail(m, "ends early");
}

/* A little-endian number of 1 to 8 bytes. */
static variant_status number(machine *m, int bytes, uint64_t *out) {
    VT_TRY(need(m, (uint64_t)bytes));
    *out = 0;
    for (int i = bytes - 1; i >= 0; i--) *out = *out << 8 | m->at[i];
    m->at += bytes;
    return VARIANT_OK;
}

/* ---- values ---- */

static variant_status make(machine *m, vt_py_kind kind, vt_py **out) {
    *out = vt_pool_take(m->pool, sizeof **out);
    if (!*out) return vt_pool_fail(m->pool, m->err);
    (*out)->kind = kind;
    return VARIANT_OK;
}

static variant_status push_integer(machine *m, vt_py_kind kind, int64_t integer) {
    vt_py *value = NULL;
    VT_TRY(make(m, kind, &value));
    value->integer = integer;
    return push(m, value);
}

static variant_status make_text(machine *m, vt_py_kind kind, const void *bytes, size_t length,
                                vt_py **out) {
    VT_TRY(make(m, kind, out));
    (*out)->text = vt_pool_text(m->pool, bytes, length);
    (*out)->length = length;
    return (*out)->text ? VARIANT_OK : vt_pool_fail(m->pool, m->err);
}

/* A string whose length is a number of `bytes` bytes. */
static variant_status push_text(machine *m, vt_py_kind kind, int bytes) {
    uint64_t length = 0;
    vt_py *value = NULL;
    VT_TRY(number(m, bytes, &length));
    VT_TRY(need(m, length));
    VT_TRY(make_text(m, kind, m->at, (size_t)length, &value));
    m->at += length;
    return push(m, value);
}

static variant_status push_real(machine *m) {
    vt_py *value = NULL;
    uint64_t bits = 0;
    VT_TRY(need(m, 8));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | *m->at++; /* the one big-endian number in the format */
    VT_TRY(make(m, VT_PY_FLOAT, &value));
    memcpy(&value->real, &bits, sizeof bits);
    return push(m, value);
}

/* Two's complement of any length. */
static variant_status push_long(machine *m, int bytes) {
    uint64_t length = 0, bits = 0;
    VT_TRY(number(m, bytes, &length));
    VT_TRY(need(m, length));
    if (length > 8) {
        m->at -= bytes;
        return push_text(m, VT_PY_BIG, bytes);
    }
    for (uint64_t i = length; i-- > 0;) bits = bits << 8 | m->at[i];
    if (length > 0 && length < 8 && m->at[length - 1] & 0x80) bits |= UINT64_MAX << (8 * length);
    m->at += length;
    return push_integer(m, VT_PY_INT, (int64_t)bits);
}

static variant_status append(machine *m, vt_py *list, vt_py *const *items, size_t count) {
    if (count > list->capacity - list->count) {
        size_t capacity = list->capacity ? 2 * list->capacity : 4;
        while (capacity - list->count < count) capacity *= 2;
        vt_py **larger = vt_pool_take(m->pool, capacity * sizeof *larger);
        if (!larger) return vt_pool_fail(m->pool, m->err);
        if (list->count) memcpy(larger, list->items, list->count * sizeof *larger);
        list->items = larger;
        list->capacity = capacity;
    }
    if (count) memcpy(list->items + list->count, items, count * sizeof *items);
    list->count += count;
    return VARIANT_OK;
}

static variant_status push_list(machine *m, vt_py_kind kind, vt_py *const *items, size_t count) {
    vt_py *list = NULL;
    VT_TRY(make(m, kind, &list));
    VT_TRY(append(m, list, items, count));
    return push(m, list);
}

static variant_status push_marked(machine *m, vt_py_kind kind) {
    vt_py **items = NULL;
    size_t count = 0;
    VT_TRY(pop_mark(m, &items, &count));
    if (kind == VT_PY_DICT && count % 2) return fail(m, "a key without a value");
    return push_list(m, kind, items, count);
}

static variant_status push_tuple(machine *m, size_t count) {
    if (m->stack.count - floor_of(m) < count) return fail(m, "stack is empty");
    m->stack.count -= count;
    return push_list(m, VT_PY_TUPLE, (vt_py **)m->stack.data + m->stack.count, count);
}

/* Stores items into the container on top of the stack. Into an object of unknown kind, keys and
 * values are kept as its state and list elements are dropped: such an object is never looked into
 * by position. */
static variant_status store(machine *m, vt_py *const *items, size_t count, bool pairs) {
    vt_py *target = NULL;
    VT_TRY(top(m, &target));
    if (pairs && count % 2) return fail(m, "a key without a value");
    if (target->kind == VT_PY_CALL) {
        if (!pairs) return VARIANT_OK;
        if (!target->state) VT_TRY(make(m, VT_PY_DICT, &target->state));
        target = target->state;
    }
    if (target->kind != (pairs ? VT_PY_DICT : VT_PY_LIST))
        return fail(m, "storing into what is no container");
    return append(m, target, items, count);
}

static variant_status store_marked(machine *m, bool pairs) {
    vt_py **items = NULL;
    size_t count = 0;
    VT_TRY(pop_mark(m, &items, &count));
    return store(m, items, count, pairs);
}

/* One element (or key and value) from the top of the stack. */
static variant_status store_top(machine *m, bool pairs) {
    vt_py *items[2] = {NULL, NULL};
    for (int i = pairs ? 1 : 0; i >= 0; i--) VT_TRY(pop(m, &items[i]));
    return store(m, items, pairs ? 2 : 1, pairs);
}

/* ---- names and objects ---- */

/* Python has names for neither. */
static bool is_no_name(const char *name, size_t length) {
    return length == 0 || memchr(name, '\0', length);
}

static variant_status push_global(machine *m, const char *module, size_t module_length,
                                  const char *name, size_t name_length) {
    enum { NAME_LIMIT = 256 };
    char joined[2 * NAME_LIMIT + 1];
    if (module_length > NAME_LIMIT || name_length > NAME_LIMIT) return fail(m, "a name too long");
    if (is_no_name(module, module_length) || is_no_name(name, name_length))
        return fail(m, "a name that is empty or has a NUL in it");
    memcpy(joined, module, module_length);
    joined[module_length] = '.';
    memcpy(joined + module_length + 1, name, name_length);
    vt_py *value = NULL;
    VT_TRY(make_text(m, VT_PY_GLOBAL, joined, module_length + 1 + name_length, &value));
    return push(m, value);
}

/* GLOBAL: module and name as two lines. */
static variant_status global_lines(machine *m) {
    const char *part[2];
    size_t length[2];
    for (int i = 0; i < 2; i++) {
        const unsigned char *line_end = memchr(m->at, '\n', (size_t)(m->end - m->at));
        if (!line_end) return fail(m, "ends early");
        part[i] = (const char *)m->at;
        length[i] = (size_t)(line_end - m->at);
        m->at = line_end + 1;
    }
    return push_global(m, part[0], length[0], part[1], length[1]);
}

static variant_status global_stack(machine *m) {
    vt_py *name = NULL, *module = NULL;
    VT_TRY(pop(m, &name));
    VT_TRY(pop(m, &module));
    if (name->kind != VT_PY_STRING || module->kind != VT_PY_STRING)
        return fail(m, "a name that is no string");
    return push_global(m, module->text, module->length, name->text, name->length);
}

/* REDUCE and NEWOBJ. An ordered dictionary becomes a dictionary; everything else stays the record
 * of a call. */
static variant_status call(machine *m, bool keywords) {
    vt_py *ignored = NULL, *arguments = NULL, *callable = NULL, *value = NULL;
    if (keywords) VT_TRY(pop(m, &ignored));
    VT_TRY(pop(m, &arguments));
    VT_TRY(pop(m, &callable));
    if (arguments->kind != VT_PY_TUPLE) return fail(m, "arguments that are no tuple");
    if (vt_py_is_global(callable, "collections.OrderedDict")) {
        VT_TRY(make(m, VT_PY_DICT, &value));
        const vt_py *pairs = arguments->count ? arguments->items[0] : NULL;
        if (pairs && pairs->kind != VT_PY_LIST) return fail(m, "a dictionary made of no list");
        for (size_t i = 0; pairs && i < pairs->count; i++) {
            const vt_py *pair = pairs->items[i];
            if ((pair->kind != VT_PY_LIST && pair->kind != VT_PY_TUPLE) || pair->count != 2)
                return fail(m, "a dictionary made of no pairs");
            VT_TRY(append(m, value, pair->items, 2));
        }
    } else {
        VT_TRY(make(m, VT_PY_CALL, &value));
        value->callable = callable;
        value->arguments = arguments;
    }
    return push(m, value);
}

/* BUILD: the state of an object. A dictionary's own attributes say nothing about its contents. */
static variant_status build(machine *m) {
    vt_py *state = NULL, *object = NULL;
    VT_TRY(pop(m, &state));
    VT_TRY(top(m, &object));
    if (object->kind == VT_PY_CALL) object->state = state;
    return VARIANT_OK;
}

static variant_status persistent(machine *m) {
    vt_py *identifier = NULL, *value = NULL;
    VT_TRY(pop(m, &identifier));
    VT_TRY(make(m, VT_PY_PERSISTENT, &value));
    value->arguments = identifier;
    if (m->identifiers) VT_TRY(append(m, m->identifiers, &value, 1));
    return push(m, value);
}

/* ---- the machine ---- */

static variant_status unknown(machine *m, unsigned char opcode) {
    return vt_fail(m->err, VARIANT_E_FORMAT, "pickle: unknown instruction 0x%02x at byte %zu",
                   opcode, (size_t)(m->at - m->start) - 1);
}

/* Instructions that carry their value in the bytes that follow. */
static variant_status step_literal(machine *m, unsigned char opcode) {
    uint64_t n = 0;
    switch (opcode) {
    case 'N':
        return push_integer(m, VT_PY_NONE, 0);
    case 0x88:
        return push_integer(m, VT_PY_BOOL, 1);
    case 0x89:
        return push_integer(m, VT_PY_BOOL, 0);
    case 'J':
        VT_TRY(number(m, 4, &n));
        return push_integer(m, VT_PY_INT, (int32_t)(uint32_t)n);
    case 'K':
        VT_TRY(number(m, 1, &n));
        return push_integer(m, VT_PY_INT, (int64_t)n);
    case 'M':
        VT_TRY(number(m, 2, &n));
        return push_integer(m, VT_PY_INT, (int64_t)n);
    case 0x8a:
        return push_long(m, 1);
    case 0x8b:
        return push_long(m, 4);
    case 'G':
        return push_real(m);
    case 'X':
        return push_text(m, VT_PY_STRING, 4); /* BINUNICODE */
    case 0x8c:
        return push_text(m, VT_PY_STRING, 1); /* SHORT_BINUNICODE */
    case 0x8d:
        return push_text(m, VT_PY_STRING, 8); /* BINUNICODE8 */
    case 'T':
        return push_text(m, VT_PY_STRING, 4); /* BINSTRING */
    case 'U':
        return push_text(m, VT_PY_STRING, 1); /* SHORT_BINSTRING */
    case 'B':
        return push_text(m, VT_PY_BYTES, 4); /* BINBYTES */
    case 'C':
        return push_text(m, VT_PY_BYTES, 1); /* SHORT_BINBYTES */
    case 0x8e:                               /* BINBYTES8 */
    case 0x96:                               /* BYTEARRAY8 */
        return push_text(m, VT_PY_BYTES, 8);
    case 'q':
        VT_TRY(number(m, 1, &n));
        return memo_put(m, (size_t)n);
    case 'r':
        VT_TRY(number(m, 4, &n));
        return memo_put(m, (size_t)n);
    case 0x94:
        return memo_put(m, m->memo.count); /* MEMOIZE */
    case 'h':
        VT_TRY(number(m, 1, &n));
        return memo_get(m, (size_t)n);
    case 'j':
        VT_TRY(number(m, 4, &n));
        return memo_get(m, (size_t)n);
    case 0x80:
        return number(m, 1, &n); /* PROTO: the instructions speak for themselves */
    case 0x95:
        return number(m, 8, &n); /* FRAME: a hint for buffered readers */
    default:
        return unknown(m, opcode);
    }
}

/* Instructions that work on the stack. */
static variant_status step(machine *m, unsigned char opcode) {
    vt_py *value = NULL;
    vt_py **items = NULL;
    size_t count = 0;
    switch (opcode) {
    case '(':
        return mark(m);
    case ')':
        return push_list(m, VT_PY_TUPLE, NULL, 0);
    case 0x85:
        return push_tuple(m, 1);
    case 0x86:
        return push_tuple(m, 2);
    case 0x87:
        return push_tuple(m, 3);
    case 't':
        return push_marked(m, VT_PY_TUPLE);
    case ']':
        return push_list(m, VT_PY_LIST, NULL, 0);
    case 'l':
        return push_marked(m, VT_PY_LIST);
    case 0x8f:
        return push_list(m, VT_PY_LIST, NULL, 0); /* EMPTY_SET */
    case 0x91:
        return push_marked(m, VT_PY_LIST); /* FROZENSET */
    case '}':
        return push_list(m, VT_PY_DICT, NULL, 0);
    case 'd':
        return push_marked(m, VT_PY_DICT);
    case 'a':
        return store_top(m, false);
    case 'e':
        return store_marked(m, false);
    case 0x90:
        return store_marked(m, false); /* ADDITEMS */
    case 's':
        return store_top(m, true);
    case 'u':
        return store_marked(m, true);
    case 'c':
        return global_lines(m);
    case 0x93:
        return global_stack(m);
    case 'R':
        return call(m, false);
    case 0x81:
        return call(m, false); /* NEWOBJ */
    case 0x92:
        return call(m, true); /* NEWOBJ_EX */
    case 'b':
        return build(m);
    case 'Q':
        return persistent(m);
    case '0':
        return pop(m, &value);
    case '1':
        return pop_mark(m, &items, &count);
    case '2':
        VT_TRY(top(m, &value));
        return push(m, value);
    default:
        return step_literal(m, opcode);
    }
}

variant_status vt_pickle_read(vt_py **out, vt_py **identifiers, size_t *used,
                              const unsigned char *bytes, size_t size, vt_pool *pool,
                              variant_error *err) {
    variant_status status = VARIANT_OK;
    machine m = {.at = bytes, .end = bytes + size, .start = bytes, .pool = pool, .err = err};
    *out = NULL;
    if (identifiers) {
        VT_TRY(make(&m, VT_PY_LIST, identifiers));
        m.identifiers = *identifiers;
    }
    while (status == VARIANT_OK) {
        if (m.at == m.end) {
            status = fail(&m, "ends early");
            break;
        }
        unsigned char opcode = *m.at++;
        if (opcode == '.') { /* STOP: the result is what is left */
            status = pop(&m, out);
            break;
        }
        status = step(&m, opcode);
    }
    *used = (size_t)(m.at - m.start);
    free(m.stack.data);
    free(m.marks.data);
    free(m.memo.data);
    return status;
}
