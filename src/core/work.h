/* work.h - how far a long work is, told to whoever may stop it: writing a file, measuring a model. */
#ifndef VT_CORE_WORK_H
#define VT_CORE_WORK_H

#include "core/status.h"

/* Is told what is being done and that `done` of `total` tensors, pictures or products are; false: stop. */
typedef struct vt_work_watch {
    bool (*goes_on)(void *user, const char *doing, int done, int total);
    void *user;
} vt_work_watch;

/* E_STOPPED where whoever watches (NULL: nobody) says so. */
variant_status vt_work_tell(const vt_work_watch *watch, const char *doing, int done, int total,
                            variant_error *err);

#endif
