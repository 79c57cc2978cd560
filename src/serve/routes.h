/* routes.h - which path is answered by what. */
#ifndef VT_SERVE_ROUTES_H
#define VT_SERVE_ROUTES_H

#include "serve/http.h"

enum {
    SV_OPEN = 1,  /* no key is asked for */
    SV_LARGE = 2, /* the body may bring pictures */
    SV_VITAL = 4, /* answered even where there are too many connections */
    SV_SHOWS = 8  /* the answer may bring pictures of the job that the path names */
};

typedef struct sv_route {
    const char *method;
    const char *path; /* a part that is * is an argument */
    void (*handle)(sv_call *call);
    int flags;
} sv_route;

/* The route of a request, its arguments put into the call; NULL with a fault: there is none, or not for this method. */
const sv_route *sv_route_find(sv_call *call, const char *method, const char *path, sv_fault *fault);
/* All of them, ended by one without a path. */
extern const sv_route sv_routes[];

#endif
