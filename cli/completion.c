/* completion.c - the program's tables of options as tables of bash's, zsh's and fish's completion: `variant help --format bash`
 * and so on, which the build calls (tools/manuals.sh) and puts before what each shell does with them
 * (tools/completion.bash, .zsh, .fish). */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "help.h"

/* What a value may be. */
typedef enum value_kind {
    TAKES_NONE,   /* there is no value, or one that is not waited for: --show[=WHICH] */
    TAKES_ANY,    /* nothing is known of it */
    TAKES_WORDS,  /* one of some */
    TAKES_FILES,  /* a file or a folder */
    TAKES_FOLDER, /* a folder */
    TAKES_CLASS,  /* a class of the model that the command line names */
    TAKES_DEPTH,  /* one of that model's depths */
    TAKES_DEPTHS  /* several, between commas */
} value_kind;

static value_kind taken_by(const cli_option *o) {
    static const char *const files[] = {"FILE", "PATH", "MODEL", "DATA", "IDX", "CONFIG"};
    const char *argument = o->argument;
    if (!argument || argument[0] == '[') return TAKES_NONE;
    if (strcmp(o->name, "class") == 0) return TAKES_CLASS;
    if (o->words) return TAKES_WORDS;
    if (strcmp(argument, "D") == 0) return TAKES_DEPTH;
    if (strncmp(argument, "D,D", 3) == 0) return TAKES_DEPTHS;
    if (strcmp(argument, "DIR") == 0 || strcmp(argument, "FOLDER") == 0) return TAKES_FOLDER;
    for (size_t i = 0; i < sizeof files / sizeof *files; ++i)
        if (strstr(argument, files[i])) return TAKES_FILES;
    return TAKES_ANY;
}

/* "f32|bf16" as "f32 bf16" */
static void put_words(const char *words) {
    for (const char *c = words; *c; ++c) putchar(*c == '|' ? ' ' : *c);
}

/* Calls put_one with every option of a command. */
static void for_each_option(const cli_command *command,
                            void (*put_one)(const cli_command *, const cli_option *)) {
    cli_row rows[CLI_MOST_ROWS];
    void *settings = cli_settings(command);
    int count = settings && command->options ? cli_rows(command, settings, rows) : 0;
    for (int i = 0; i < count; ++i)
        if (rows[i].option->name) put_one(command, rows[i].option);
    free(settings);
}

/* Calls put_one with every command but the program itself, kinds of kinds included. */
static void for_each_command(const cli_command *program, void (*put_one)(const cli_command *)) {
    for (int i = 0; program->kinds && program->kinds[i]; ++i)
        cli_for_each(program->kinds[i], put_one);
}

/* ---- bash: _variant_options, _variant_takes, _variant_kinds, _variant_commands ---- */

static void bash_option(const cli_command *command, const cli_option *o) {
    (void)command;
    if (o->letter) printf("-%c ", o->letter);
    if (o->also) printf("--%s ", o->also);
    printf("--%s ", o->name);
}

static void bash_takes(const cli_command *command, const char *dashes, const char *name,
                       const cli_option *o) {
    static const char *const kinds[] = {"",        "-",     "=",     "files",
                                        "folders", "class", "depth", "depths"};
    const value_kind taken = taken_by(o);
    if (taken == TAKES_NONE) return;
    printf("_variant_takes['%s %s%s']='%s", command->name, dashes, name, kinds[taken]);
    if (taken == TAKES_WORDS) put_words(o->words);
    puts("'");
}

static void bash_taken(const cli_command *command, const cli_option *o) {
    const char letter[] = {o->letter, '\0'};
    bash_takes(command, "--", o->name, o);
    if (o->also) bash_takes(command, "--", o->also, o);
    if (o->letter) bash_takes(command, "-", letter, o);
}

static void bash_command(const cli_command *command) {
    printf("_variant_options['%s']='", command->name);
    for_each_option(command, bash_option);
    puts("'");
    for_each_option(command, bash_taken);
    if (!command->kinds) return;
    printf("_variant_kinds['%s']='", command->name);
    for (int i = 0; command->kinds[i]; ++i)
        printf("%s%s", i ? " " : "", cli_kind_name(command->kinds[i]));
    puts("'");
}

void cli_complete_bash(const cli_command *program) {
    puts("# bash completion of variant: made of the program's own tables of options.");
    puts("declare -A _variant_options _variant_takes _variant_kinds");
    for_each_command(program, bash_command);
    printf("_variant_options['variant']='--help --version'\n_variant_commands='");
    for (int i = 0; program->kinds && program->kinds[i]; ++i)
        printf("%s ", program->kinds[i]->name);
    puts("help version'");
}

/* ---- zsh: specifications of _arguments by command (_variant_specs), kinds with what they are for (_variant_kinds) ---- */

/* Text within single quotes and within what zsh takes apart at colons and brackets. */
static void zsh_text(const char *text) {
    for (const char *c = text; *c; ++c) {
        if (*c == '\'')
            fputs("'\\''", stdout);
        else if (*c == '[' || *c == ']')
            putchar(*c == '[' ? '(' : ')');
        else if (*c == ':')
            fputs("\\:", stdout);
        else
            putchar(*c == '\n' ? ' ' : *c);
    }
}

static void zsh_value(const cli_option *o) {
    static const char *const actions[] = {" ",
                                          " ",
                                          "",
                                          "_files",
                                          "_files -/",
                                          "_variant_classes",
                                          "_variant_depths",
                                          "_variant_depths ,"};
    if (!o->argument) return;
    const bool optional = o->argument[0] == '[';
    fputs(optional ? "::" : ":", stdout);
    zsh_text(optional ? "value" : o->argument);
    putchar(':');
    if (o->words) {
        putchar('(');
        put_words(o->words);
        putchar(')');
    } else {
        fputs(actions[taken_by(o)], stdout);
    }
}

/* One of an option's names, and the others that are not offered beside it. */
static void zsh_name(const cli_option *o, const char *dashes, const char *name) {
    char does[800];
    const bool valued = o->argument != NULL, optional = valued && o->argument[0] == '[';
    if (taken_by(o) == TAKES_CLASS) { /* may be given several times */
        putchar('*');
    } else {
        printf("(--%s", o->name);
        if (o->also) printf(" --%s", o->also);
        if (o->letter) printf(" -%c", o->letter);
        putchar(')');
    }
    printf("%s%s%s[", dashes, name, !valued ? "" : optional ? "=-" : dashes[1] ? "=" : "+");
    cli_does_text(o, does, sizeof does);
    zsh_text(does);
    putchar(']');
    zsh_value(o);
    putchar('\n');
}

static void zsh_option(const cli_command *command, const cli_option *o) {
    (void)command;
    const char letter[] = {o->letter, '\0'};
    zsh_name(o, "--", o->name);
    if (o->also) zsh_name(o, "--", o->also);
    if (o->letter) zsh_name(o, "-", letter);
}

static void zsh_kind(const char *name, const char *purpose) {
    printf("%s:", name);
    zsh_text(purpose);
    putchar('\n');
}

static void zsh_command(const cli_command *command) {
    printf("_variant_specs+=('%s' '", command->name);
    for_each_option(command, zsh_option);
    puts("')");
    if (!command->kinds) return;
    printf("_variant_kinds+=('%s' '", command->name);
    for (int i = 0; command->kinds[i]; ++i)
        zsh_kind(cli_kind_name(command->kinds[i]), command->kinds[i]->purpose);
    puts("')");
}

void cli_complete_zsh(const cli_command *program) {
    puts("#compdef variant\n# Made of the program's own tables of options.");
    puts("typeset -gA _variant_specs _variant_kinds\n_variant_specs=() _variant_kinds=()");
    for_each_command(program, zsh_command);
    printf("_variant_kinds+=('' '");
    for (int i = 0; program->kinds && program->kinds[i]; ++i)
        zsh_kind(program->kinds[i]->name, program->kinds[i]->purpose);
    zsh_kind("help", "what a command takes");
    zsh_kind("version", "of the program");
    puts("')");
}

/* ---- fish: its own `complete` lines, a line an option ---- */

static void fish_text(const char *text) {
    for (const char *c = text; *c; ++c) {
        if (*c == '\'' || *c == '\\') putchar('\\');
        putchar(*c == '\n' ? ' ' : *c);
    }
}

static void fish_option(const cli_command *command, const cli_option *o) {
    static const char *const values[] = {"",
                                         " -x",
                                         " -x -a '",
                                         " -r -F",
                                         " -x -a '(__fish_complete_directories (commandline -ct))'",
                                         " -x -a '(__variant_classes)'",
                                         " -x -a '(__variant_depths)'",
                                         " -x -a '(__variant_depths ,)'"};
    char does[800];
    const value_kind taken = taken_by(o);
    printf("complete -c variant -n '__variant_at %s' -l %s", command->name, o->name);
    if (o->also) printf(" -l %s", o->also);
    if (o->letter) printf(" -s %c", o->letter);
    fputs(taken == TAKES_NONE && o->words ? " -a '" : values[taken], stdout);
    if (o->words && (taken == TAKES_WORDS || taken == TAKES_NONE)) {
        put_words(o->words);
        putchar('\'');
    }
    cli_does_text(o, does, sizeof does);
    fputs(" -d '", stdout);
    fish_text(does);
    puts("'");
}

static void fish_kind(const cli_command *command, const char *name, const char *purpose) {
    printf("complete -c variant -n '__variant_before %s' -f -a '%s' -d '", command->name, name);
    fish_text(purpose);
    puts("'");
}

static void fish_kinds(const cli_command *command) {
    for (int i = 0; command->kinds && command->kinds[i]; ++i)
        fish_kind(command, cli_kind_name(command->kinds[i]), command->kinds[i]->purpose);
}

static void fish_command(const cli_command *command) {
    fish_kinds(command);
    for_each_option(command, fish_option);
}

static void fish_name(const cli_command *command) {
    printf(" '%s'", command->name);
}

static void fish_parent(const cli_command *command) {
    if (command->kinds) printf(" '%s'", command->name);
}

void cli_complete_fish(const cli_command *program) {
    puts("# fish completion of variant: made of the program's own tables of options.");
    printf("set -g __variant_commands");
    for_each_command(program, fish_name);
    printf(" help version\nset -g __variant_parents ''");
    for_each_command(program, fish_parent);
    puts("");
    fish_kinds(program);
    fish_kind(program, "help", "what a command takes");
    fish_kind(program, "version", "of the program");
    puts("complete -c variant -n '__variant_before' -f -l help -d 'what there is'");
    puts("complete -c variant -n '__variant_before' -f -l version -d 'of the program'");
    for_each_command(program, fish_command);
}
