/* getopt_names.c - preloaded into the program by tests/situations/install.sh: instead of reading options, getopt_long prints
 * those that it was called with, one a line ("--name", "--name=" with a value, "-x"), and ends. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int getopt_long(int argc, char *const *argv, const char *letters, const struct option *options,
                int *index) {
    (void)argc, (void)argv, (void)index;
    for (const struct option *o = options; o->name; ++o)
        printf("--%s%s\n", o->name, o->has_arg == required_argument ? "=" : "");
    for (const char *at = letters; *at; ++at)
        if (*at != ':') printf("-%c\n", *at);
    fflush(stdout);
    _exit(0);
}
