/* variant/settings.h - what made a picture, read back from its file, as a request that makes it again. */
#ifndef VARIANT_SETTINGS_H
#define VARIANT_SETTINGS_H

#include <stdbool.h>

#include <variant/base.h>
#include <variant/engine.h>
#include <variant/generate.h>

VARIANT_BEGIN

/* The settings inside a picture that variant_picture_write wrote: PNG, JPEG or WebP. */
typedef struct variant_settings variant_settings;
/* Threads: any. */
variant_status variant_settings_read(variant_settings **out, const char *path,
                                     variant_error *error);
/* Threads: one. */
void variant_settings_free(variant_settings **settings);
/* The engine they ask for: types of weights and of keys and values; "" where they do not say. Live as long as they do.
 * Threads: any. */
const char *variant_settings_weights(const variant_settings *settings);
const char *variant_settings_kv(const variant_settings *settings);
/* A request that makes the picture again, to the byte on an engine of the same model, types and kernels. It points into the
 * settings, which must live as long as it is used. Where its guidance is what the model tells for its layers cfg_late is -1,
 * so that with other layers it is theirs. E_MODEL: they are another model's. Threads: one. */
variant_status variant_settings_request(const variant_settings *settings,
                                        const variant_engine *engine, variant_request *request,
                                        variant_error *error);

/* Was the picture an edit? Then *edit (NULL: only asked) is how, without pixels and mask, which no settings hold. Its names
 * live as long as they do. Threads: any. */
bool variant_settings_edit(const variant_settings *settings, variant_edit *edit);

VARIANT_END

#endif
