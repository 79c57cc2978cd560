/* model_folder.h - a folder of its own with the synthetic model A in it, for a group of tests: cmocka's group set-up and
 * tear-down. Included by one file of a test program. */
#ifndef VT_TESTS_MODEL_FOLDER_H
#define VT_TESTS_MODEL_FOLDER_H

#include "tests/fixtures.h"

static char folder[64], model_path[128];

static int write_model(void **state) {
    (void)state;
    make_folder(folder);
    synthetic_file(model_path, sizeof model_path, folder, 'A', NULL);
    return 0;
}

static int remove_model(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

#endif
