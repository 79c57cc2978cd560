/* work.c - see work.h. */
#include "core/work.h"

variant_status vt_work_tell(const vt_work_watch *watch, const char *doing, int done, int total,
                            variant_error *err) {
    if (!watch || watch->goes_on(watch->user, doing, done, total)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_STOPPED, "stopped while %s", doing);
}
