/* parse.h - the options of every command: a table, one function that takes them, and what is said of a wrong one. */
#ifndef VT_CLI_PARSE_H
#define VT_CLI_PARSE_H

#include <getopt.h>

#include "cli.h"

/* A command's parsing: every option goes to accept(user, id, text), false when text is not valid
 * for it (values.h keeps what was expected). The last of several counts, but where a command makes a list of them.
 * Operands end up behind optind. */
typedef struct cli_parser {
    const char *command, *help, *letters; /* letters as getopt wants them, beginning with ':' */
    const struct option *options;
    bool (*accept)(void *user, int id, const char *text);
    void *user;
    void (*show_help)(const void *user); /* where help is NULL */
} cli_parser;

/* Returns -1 to go on, else the exit status: 0 when help was printed, 2 when usage complained. */
int cli_parse(const cli_parser *parser, int argc, char **argv);

#endif
