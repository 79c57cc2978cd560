/* log.h - the log: a JSON object a line, on stderr. */
#ifndef VT_SERVE_LOG_H
#define VT_SERVE_LOG_H

#include <cjson/cJSON.h>

struct sv_job;

/* Adds the time, prints, and takes the object. */
void sv_log(const char *event, cJSON *fields);
/* To the microsecond. */
void sv_log_seconds(cJSON *fields, const char *name, double seconds);
void sv_log_warning(const char *where, const char *message);
void sv_log_error(const char *where, const char *message);
void sv_log_job(const struct sv_job *job);

#endif
