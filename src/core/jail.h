/* jail.h - what reads a stranger's bytes, in a process of its own that can reach nothing else.
 *
 *     this process       vt_jail_call: a file's descriptor, or memory, and which function is to read it
 *        |               (one packet to the keeper; the answer comes back over a pipe of its own)
 *     the warden         forked by vt_jail_begin before there are threads: forks a keeper, and another where somebody ends that one
 *        |
 *     the keeper         forks a process for each call, ends it when its time is over, and tells how it ended; sees nothing of
 *        |               what they read
 *     a process a call   no files, no network (Landlock), system calls filtered (seccomp), memory and time bounded:
 *                        runs the function, answers, ends
 *
 * Why a warden: this process has threads, keys and a model by the time a keeper is lost, and a new one may inherit none of them, so one
 * that has stayed as it was at the beginning forks it. (To execute the program anew would do as well for the program, not for
 * another that holds the library.) It only waits. Orders lie in the socket that all keepers share, so those not yet taken are the next
 * keeper's, and a call whose keeper was lost under it is sent once more. Where keepers are lost one after another (eight within a
 * minute), calls fail until the minute is over. If the warden is ended, the keeper there is goes on, the last of them.
 *
 * One jail a process; readers (io/jailed.h) use it wherever it is there. A fault of a reader is then one line to whoever asked. What
 * comes back was made by a process that a stranger may have taken over: callers check it as they check a file. */
#ifndef VT_CORE_JAIL_H
#define VT_CORE_JAIL_H

#include <stdint.h>

#include "core/status.h"

/* In the process of a call: what came, and what goes back. */
typedef struct vt_jail_room {
    const void *ask; /* as the job has it */
    const uint8_t *data;
    size_t size;  /* of data: the file or the memory, mapped */
    void *head;   /* (head_size), zeros: filled in */
    uint8_t *out; /* set to what follows it, if anything; free() is not called */
    size_t out_size;
} vt_jail_room;

enum { VT_JAIL_ASK = 256, VT_JAIL_HEAD = 64 }; /* bytes at most */

typedef struct vt_jail_job {
    /* was in the program when the jail began */
    variant_status (*run)(vt_jail_room *room, variant_error *err);
    const void *ask; /* (ask_size): copied, without pointers that the process would not have */
    size_t ask_size;
    int file;          /* to read; -1: the memory instead */
    const void *bytes; /* (size) */
    size_t size;
    size_t memory;  /* that it may take */
    size_t most;    /* bytes that may come back */
    double seconds; /* of a processor, rounded up to whole ones; ten times that by the clock */
} vt_jail_job;

/* Forks warden and keeper; nothing where they are. Before this process has threads, and before it holds what no child should see.
 * E_UNSUPPORTED: the kernel filters no system calls, or this was built without (VARIANT_SANDBOX); the line says which. Threads: one. */
variant_status vt_jail_begin(variant_error *err);
/* No call is at work. Copies of the process (fork) share them, and leave it to the process that began it. Threads: one. */
void vt_jail_end(void);
bool vt_jail_is_on(void);
/* Can there be one? "seccomp, Landlock version 7", or what is missing: a line for a person. */
bool vt_jail_describe(char *line, size_t size);

/* Runs the job. head (head_size) is what it filled in; *out, for free(), what followed, NULL where nothing did. Its own refusals come back
 * as they are, in one printable line; a crash, a forbidden call, too much memory or time are E_FORMAT and say so. E_IO, E_MEMORY: no
 * process could be had, or keepers were lost under it. Threads: any. */
variant_status vt_jail_call(const vt_jail_job *job, void *head, size_t head_size, uint8_t **out,
                            size_t *out_size, variant_error *err);

#endif
