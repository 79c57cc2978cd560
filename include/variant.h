/* variant.h - visual autoregressive image generation whose depth is chosen per request.
 *
 * The public header of libvariant. It brings the headers of variant/ together, one for each purpose, any of which may be included
 * alone. A complete program:
 *
 *     #include <stdio.h>
 *     #include <variant.h>
 *
 *     int main(void) {
 *         variant_error error;
 *         variant_engine *engine = NULL;
 *         variant_engine_options options;
 *         variant_engine_options_init(&options);
 *         options.model = "models/fashion";
 *         if (variant_engine_open(&engine, &options, &error) != VARIANT_OK) {
 *             fprintf(stderr, "%s\n", error.message);
 *             return 1;
 *         }
 *         variant_request request;
 *         variant_request_init(&request);
 *         request.class_name = "Sneaker";
 *         request.depth = 4;    // the late scales run 4 of the layers ...
 *         request.bridge = 4;   // ... after 4 scales that run all of them
 *         variant_picture *pictures = NULL;
 *         variant_status status = variant_generate(engine, &request, &pictures, NULL, &error);
 *         if (status == VARIANT_OK)
 *             status = variant_picture_write_png(&pictures[0], "sneaker.png", &error);
 *         if (status != VARIANT_OK) fprintf(stderr, "%s\n", error.message);
 *         variant_pictures_free(&pictures, request.count);
 *         variant_engine_close(&engine);
 *         return status == VARIANT_OK ? 0 : 1;
 *     }
 *
 * Conventions. Every function that can fail returns a variant_status and, when it is not
 * VARIANT_OK, fills the caller's variant_error (which may be NULL). Nothing here prints, exits or
 * aborts. x_open(&x, ...) gives an object that x_close(&x) releases and sets to NULL; closing NULL
 * is allowed. An object that is NULL where one is needed, or no place for what is made, is E_ARGUMENT; functions that only tell
 * something have NULL, 0 or false to tell of it. Structs of options are filled with defaults by their _init function, then changed by
 * the caller; strings in them are borrowed for the length of the call. An engine is immutable once
 * open and may be shared by threads; each variant_generate call owns its memory.
 *
 * Threads. "Threads: any": several may call the function at once, with the same objects too. "Threads: one": one at a time for each object
 * that it is given to change or to close, any thread. Callbacks are called in the thread that computes, which is the caller's. The thread
 * sanitizer watches test_shared, test_concurrent and test_streams do what this says.
 *
 * Versions. A program runs with a library that is newer than the header it was compiled with, whose structs may be longer at
 * the end. Structs that a caller makes therefore begin with their size, which their _init function puts there: options and
 * requests, and likewise those that a call fills (`variant_report report = {.size = sizeof report};` does the same for these). What a
 * caller's size does not reach has its default, and is not written. A size that no _init has set is E_ARGUMENT; a program newer
 * than the library may use a struct as long as it sets nothing in it that the library does not know (E_UNSUPPORTED). Structs that
 * the library makes and hands out by pointer have no size and may be longer, too: copy the members that you need. Two are made
 * by both sides and lie in arrays, and stay as they are: variant_error and variant_picture.
 */
#ifndef VARIANT_H
#define VARIANT_H

#include <variant/base.h>
#include <variant/text.h>
#include <variant/machine.h>
#include <variant/sandbox.h>
#include <variant/engine.h>
#include <variant/picture.h>
#include <variant/files.h>
#include <variant/generate.h>
#include <variant/loop.h>
#include <variant/settings.h>
#include <variant/plan.h>
#include <variant/data.h>
#include <variant/tokens.h>
#include <variant/scores.h>
#include <variant/sweep.h>
#include <variant/ranks.h>
#include <variant/train.h>
#include <variant/inspect.h>
#include <variant/convert.h>
#include <variant/synth.h>
#include <variant/selftest.h>
#include <variant/measure.h>

#endif
