/* aside.h - pictures that take long to read or to write, on a thread of their own, one request after another: HTTP threads go
 * on meanwhile, and whoever asks for the server's health is told at once. */
#ifndef VT_SERVE_ASIDE_H
#define VT_SERVE_ASIDE_H

#include "serve/http.h"

variant_status sv_aside_start(sv_server *server, variant_error *err);
/* Those that wait go back to their threads with nothing done. Behind server->closing; takes the lock. */
void sv_aside_end(sv_server *server);
/* The connection sleeps, which its thread is to know, until `work` was done on the other thread, or call->skipped is set: the
 * client has left, or the server ends. False: the server ends, and the call is its thread's still. Takes the lock. */
bool sv_aside(sv_call *call, void (*work)(sv_call *call));

#endif
