/* load.h - how much there is to do, and what follows of it for requests that leave their depth to the server (adapt.h). */
#ifndef VT_SERVE_LOAD_H
#define VT_SERVE_LOAD_H

#include "serve/server.h"

/* Seconds until all that waits and is at work would be finished, at the pace of the last pictures. The lock is held. */
double sv_backlog(const sv_server *server);
/* Now and then. The lock is held. */
void sv_load_tick(sv_server *server);
/* Fewer layers, if so much waits, for a wish that says nothing of them. Takes the lock. */
void sv_load_adapt(sv_job *job);

#endif
