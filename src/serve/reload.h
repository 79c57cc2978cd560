/* reload.h - the model file is opened again (SIGHUP), and no request is dropped: those that were taken before finish on the
 * model they were taken for, new ones take the new one. Both are counted in the memory meanwhile. At most two are open: a
 * reload waits for the end of the one before. */
#ifndef VT_SERVE_RELOAD_H
#define VT_SERVE_RELOAD_H

#include "serve/server.h"

/* Somebody wants it. */
void sv_reload_ask(sv_server *server);
/* Begins one that is wanted, in a thread of its own, once there is no other; called now and then. */
void sv_reload_tick(sv_server *server);
/* Waits for one that is under way. */
void sv_reload_end(sv_server *server);
/* Has the model of before no users any more? The lock is held. */
bool sv_reload_over(const sv_server *server);
/* Then closes it, on the engine's thread. The lock is held, but for the closing. */
void sv_reload_close(sv_server *server);

#endif
