/* page.c - see page.h. Whoever may not ask for pictures may have the page: it holds nothing that is not in the program, and asks for
 * the key itself. A browser keeps the files and asks each time whether they are still these (ETag): another program, another page. */
#include "serve/page.h"

#include <stdlib.h>
#include <string.h>

#include "serve/handlers.h"

const char sv_page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const sv_page_file *find(const char *name) {
    for (const sv_page_file *file = sv_page_files; file->name; ++file)
        if (strcmp(file->name, name) == 0) return file;
    return NULL;
}

/* Has the browser these bytes? If-None-Match is a list of tags, or *. */
static bool is_known(const sv_call *call, const sv_page_file *file) {
    const char *known = sv_header(call, "If-None-Match");
    return known && (strstr(known, file->tag) || strcmp(known, "*") == 0);
}

static void answer(sv_call *call, const sv_page_file *file) {
    call->file = file;
    const size_t size = is_known(call, file) ? 0 : file->size;
    uint8_t *bytes = malloc(size + 1);
    if (bytes) memcpy(bytes, file->bytes, size);
    sv_answer_bytes(call, file->type, bytes, bytes ? size : 0);
    if (size == 0) call->status = 304;
    if (!bytes) sv_answer_text(call, 503, "text/plain", NULL);
}

void sv_page(sv_call *call) {
    answer(call, find("index.html"));
}

void sv_page_part(sv_call *call) {
    sv_fault fault;
    const sv_page_file *file = find(call->arguments[0]);
    if (file) {
        answer(call, file);
        return;
    }
    sv_refuse(&fault, 404, "not_found", "", "/page/%.60s: there is no such file",
              call->arguments[0]);
    sv_answer_fault(call, &fault);
}
