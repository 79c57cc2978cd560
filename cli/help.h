/* help.h - a command's table as text: --help, a manual page, shells' completion, and rows for a test. */
#ifndef VT_CLI_HELP_H
#define VT_CLI_HELP_H

#include <stdio.h>

#include "options.h"

void cli_help(const cli_command *command, FILE *to);
/* "tokenizer, transformer or classifier" */
void cli_kind_list(const cli_command *command, char *out, size_t size);

/* "-n, --count N" */
void cli_option_text(const cli_option *option, char *out, size_t size);
/* What the settings hold, as it would be typed; "": nothing. */
void cli_held_text(const cli_row *row, char *out, size_t size);
/* What an option does, with its range and words in their places; and with its default. */
void cli_does_text(const cli_option *option, char *out, size_t size);
void cli_row_text(const cli_row *row, char *out, size_t size);

/* The tables of a shell's completion, on stdout; program: whose kinds are the commands. */
void cli_complete_bash(const cli_command *program);
void cli_complete_zsh(const cli_command *program);
void cli_complete_fish(const cli_command *program);

/* Calls put_one with the command and with all kinds below it. */
void cli_for_each(const cli_command *command, void (*put_one)(const cli_command *));

/* `variant help --format FORMAT [COMMAND]`, for the build and the tests: "names" lists the pages, "man" prints the page
 * of a command, "bash", "zsh" and "fish" the tables of that shell's completion, "table" a line each option. program:
 * whose kinds are the commands. The exit status. */
int cli_help_format(const cli_command *program, const char *format, int count, char **words);

#endif
