/* page.h - the page at /: its files, put into the program by the build (cmake/embed_files.cmake), and how they are handed over. */
#ifndef VT_SERVE_PAGE_H
#define VT_SERVE_PAGE_H

#include <stddef.h>

typedef struct sv_page_file {
    const char *name; /* "index.html" */
    const char *type; /* of HTTP: "text/html; charset=utf-8" */
    const char *tag;  /* ETag, quotes included: another one whenever the bytes are others */
    const unsigned char *bytes;
    size_t size;
} sv_page_file;

/* Files of src/serve/page, ended by one without a name. */
extern const sv_page_file sv_page_files[];

/* What a browser may load and run in the page: what this server has, nothing inline, nothing from elsewhere. */
extern const char sv_page_policy[];

#endif
