/* systemd.h - what a service manager hands over and is told: a listening socket (sd_listen_fds(3)), and the state of the server
 * (sd_notify(3)). Both are protocols of environment variables and a datagram; no library is needed for them. */
#ifndef VT_SERVE_SYSTEMD_H
#define VT_SERVE_SYSTEMD_H

#include "core/status.h"

enum { SV_ADDRESS_SIZE = 64 };

/* The socket of LISTEN_FDS and LISTEN_PID, which are taken out of the environment, and where it listens, in numbers; *out -1:
 * none is there for this process. E_ARGUMENT: more than one, or not a listening TCP socket. */
variant_status sv_take_socket(int *out, char address[SV_ADDRESS_SIZE], int *port,
                              variant_error *err);

/* "READY=1", "STOPPING=1" and such, where NOTIFY_SOCKET names somebody who listens. */
void sv_notify(const char *state);
/* A reload begins; "READY=1" is its end. */
void sv_notify_reloading(void);

#endif
