/* jail_keeper.h - what the processes of a jail (jail.h) tell each other. */
#ifndef VT_CORE_JAIL_KEEPER_H
#define VT_CORE_JAIL_KEEPER_H

#include "core/jail.h"

/* Descriptors that go with an order. */
enum { JAIL_INPUT, JAIL_ANSWER, JAIL_VERDICT, JAIL_FILES };

/* To the keeper, a packet for each call. */
typedef struct jail_order {
    variant_status (*run)(vt_jail_room *room, variant_error *err);
    size_t size, memory;
    double seconds;
    _Alignas(8) uint8_t ask[VT_JAIL_ASK];
} jail_order;

/* From the process of the call: this, then size bytes. */
typedef struct jail_answer {
    uint64_t size;
    _Alignas(8) uint8_t head[VT_JAIL_HEAD];
    variant_status status;
    char message[sizeof(((variant_error *)0)->message)];
} jail_answer;

/* From the keeper, once it has ended. */
typedef struct jail_verdict {
    int status;  /* as wait() has it */
    bool late;   /* the keeper ended it */
    int reason;  /* errno, where there was none; else 0 */
    double rest; /* seconds without a keeper, from the warden; else 0 */
} jail_verdict;

/* Seconds until a process that may take so many of a processor is ended, whatever it waits for: a busy machine gives it a tenth of one. */
static inline double vt_jail_patience(double seconds) {
    return 10.0 * seconds;
}

/* The life of the warden, and of the keepers it forks: orders come over `orders`, whose end is their end. Says over it, by one byte,
 * that it is ready. */
_Noreturn void vt_jail_keep(int orders);
/* The life of the process of a call; in a child of the keeper's. */
_Noreturn void vt_jail_serve(const jail_order *order, int input, int answer, size_t had,
                             const void *filter);

#endif
