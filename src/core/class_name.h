/* class_name.h - names of classes as files hold them and lines print them: UTF-8 without control characters. Of names from a folder, a
 * model's file or a caller; called where each is read. */
#ifndef VT_CORE_CLASS_NAME_H
#define VT_CORE_CLASS_NAME_H

#include <stdbool.h>

bool vt_is_utf8(const char *text);
/* The name with %E9 for every byte that is no UTF-8 or a control character; free() it. NULL: no memory. */
char *vt_class_name_mended(const char *name);

#endif
