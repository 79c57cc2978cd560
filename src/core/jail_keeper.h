/* jail_keeper.h - what the three kinds of process of a jail (jail.h) tell each other. */
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
    int status; /* as wait() has it */
    bool late;  /* the keeper ended it */
    int reason; /* errno, where there was none; else 0 */
} jail_verdict;

/* The keeper's life: orders come over `orders`, whose end is its end. Says over it, by one byte, that it is ready. */
_Noreturn void vt_jail_keep(int orders);
/* The life of the process of a call; in a child of the keeper's. */
_Noreturn void vt_jail_serve(const jail_order *order, int input, int answer, size_t had,
                             const void *filter);

#endif
