/* jail_reader.c - the process of one call of jail.h: takes its input, shuts itself in, reads, answers. Called by
 * jail_keeper.c in a child. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/jail_keeper.h"
#include "core/jail_walls.h"

/* The input is mapped while files still can be: later nothing but memory is there. */
static variant_status take_input(vt_jail_room *room, const jail_order *order, int input,
                                 variant_error *err) {
    room->size = order->size;
    if (order->size) {
        void *data = mmap(NULL, order->size, PROT_READ, MAP_PRIVATE, input, 0);
        if (data == MAP_FAILED)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory to map %zu bytes", order->size);
        room->data = data;
    }
    close(input);
    return VARIANT_OK;
}

static variant_status shut_in(const jail_order *order, size_t had, const vt_walls_filter *filter,
                              variant_error *err) {
    VT_TRY(vt_walls_limit(had + order->size, order->memory, order->seconds, err));
    VT_TRY(vt_walls_close_files(err));
    return vt_walls_filter_raise(filter, err);
}

_Noreturn void vt_jail_serve(const jail_order *order, int input, int answer, size_t had,
                             const void *filter) {
    jail_answer said = {0};
    variant_error err = {0};
    vt_jail_room room = {.ask = order->ask, .head = said.head};
    said.status = take_input(&room, order, input, &err);
    if (said.status == VARIANT_OK) said.status = shut_in(order, had, filter, &err);
    if (said.status == VARIANT_OK) said.status = order->run(&room, &err);
    memcpy(said.message, err.message, sizeof said.message);
    if (said.status == VARIANT_OK) said.size = room.out_size;
    const bool told =
        vt_write(answer, &said, sizeof said) && vt_write(answer, room.out, (size_t)said.size);
    _exit(told ? 0 : 1);
}
