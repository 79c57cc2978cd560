/* manual.c - a command's table as a manual page (man macros) and as lines that a test reads: `variant help --format ...`,
 * which the build calls (tools/manuals.sh). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "help.h"

/* ---- manual pages ---- */

/* Text as roff wants it. */
static void put(const char *text, size_t length) {
    bool begins = true;
    for (size_t i = 0; i < length; ++i) {
        if (begins && (text[i] == '.' || text[i] == '\'')) fputs("\\&", stdout);
        begins = text[i] == '\n';
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(text[i]);
    }
}

static void put_line(const char *before, const char *text) {
    fputs(before, stdout);
    put(text, strlen(text));
    putchar('\n');
}

/* "variant-train-tokenizer" */
static void page_name(const cli_command *command, char *out, size_t size) {
    snprintf(out, size, "variant%s%s", command->name[0] ? "-" : "", command->name);
    for (char *c = out; *c; ++c)
        if (*c == ' ') *c = '-';
}

static void put_title(const cli_command *command) {
    char name[64], date[16] = "";
    const char *epoch =
        getenv("SOURCE_DATE_EPOCH"); /* of the sources, so that a build can be repeated */
    time_t seconds = epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    struct tm day;
    if (gmtime_r(&seconds, &day)) strftime(date, sizeof date, "%Y-%m-%d", &day);
    page_name(command, name, sizeof name);
    printf(".TH \"");
    for (const char *c = name; *c; ++c)
        if (*c == '-')
            fputs("\\-", stdout);
        else
            putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf("\" 1 \"%s\" \"variant %s\" \"User Commands\"\n.nh\n.ad l\n.SH NAME\n", date,
           variant_version());
    put(name, strlen(name));
    put_line(" \\- ", command->purpose);
}

static void put_usage(const cli_command *command) {
    puts(".SH SYNOPSIS");
    for (const char *at = command->usage; *at;) {
        size_t length = strcspn(at, "\n");
        printf("%s.B variant %s\n", at == command->usage ? "" : ".br\n", command->name);
        put(at, length);
        putchar('\n');
        at += length + (at[length] == '\n');
    }
}

/* Paragraphs between empty lines, or lines that are paragraphs. */
static void put_paragraphs(const char *text) {
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, "\n");
        if (at != text && length > 0) puts(".PP");
        put(at, length);
        if (length > 0) putchar('\n');
        at += length + (at[length] == '\n');
    }
}

static void put_options(const cli_command *command, void *settings) {
    cli_row rows[CLI_MOST_ROWS];
    int count = cli_rows(command, settings, rows);
    puts(".SH OPTIONS");
    for (int i = 0; i < count; ++i) {
        char left[100], text[800];
        if (!rows[i].option->name) {
            char heading[100];
            snprintf(heading, sizeof heading, "%s", rows[i].option->help);
            if (heading[0] >= 'a' && heading[0] <= 'z') heading[0] = (char)(heading[0] - 'a' + 'A');
            put_line(".SS ", heading);
            continue;
        }
        cli_option_text(rows[i].option, left, sizeof left);
        cli_row_text(&rows[i], text, sizeof text);
        put_line(".TP\n.B ", left);
        put_line("", text);
    }
}

static void put_kinds(const cli_command *command) {
    puts(".SH COMMANDS");
    for (int i = 0; command->kinds[i]; ++i) {
        put_line(".TP\n.B ", cli_kind_name(command->kinds[i]));
        put_line("", command->kinds[i]->purpose);
    }
}

static void put_other(const cli_command *other, const cli_command *page, int *count) {
    char name[64];
    if (other == page) return;
    page_name(other, name, sizeof name);
    fputs((*count)++ ? ",\n.BR " : ".BR ", stdout);
    put(name, strlen(name));
    fputs(" (1)", stdout);
}

/* The program's page, and those of the same command; on the program's all commands. */
static void put_others(const cli_command *program, const cli_command *page) {
    size_t length = strcspn(page->name, " ");
    int count = 0;
    puts(".SH \"SEE ALSO\"");
    put_other(program, page, &count);
    for (int i = 0; program->kinds && program->kinds[i]; ++i) {
        const cli_command *other = program->kinds[i];
        bool family = strncmp(other->name, page->name, length) == 0 && !other->name[length];
        if (length && !family) continue;
        put_other(other, page, &count);
        for (int j = 0; length && other->kinds && other->kinds[j]; ++j)
            put_other(other->kinds[j], page, &count);
    }
    putchar('\n');
}

static void put_page(const cli_command *program, const cli_command *command) {
    void *settings = cli_settings(command);
    puts(".\\\" Made of the program's own table of options.");
    put_title(command);
    put_usage(command);
    if (command->about) {
        puts(".SH DESCRIPTION");
        put_paragraphs(command->about);
    }
    if (command->kinds) put_kinds(command);
    if (command->options && settings) put_options(command, settings);
    if (command->notes) {
        puts(".SH NOTES");
        put_paragraphs(command->notes);
    }
    if (command->examples) {
        puts(".SH EXAMPLES\n.PP\n.RS 4\n.EX");
        put(command->examples, strlen(command->examples));
        puts("\n.EE\n.RE");
    }
    put_others(program, command);
    free(settings);
}

/* ---- lines for a test ---- */

/* command, names with argument, "own" or "", what the settings hold, what holds where they
 * hold nothing ("-": nothing to say), what it does: between tabs. */
static void put_table(const cli_command *command) {
    cli_row rows[CLI_MOST_ROWS];
    void *settings = cli_settings(command);
    int count = settings && command->options ? cli_rows(command, settings, rows) : 0;
    for (int i = 0; i < count; ++i) {
        const cli_option *o = rows[i].option;
        char names[100], held[200], text[800];
        if (!o->name) continue;
        cli_option_text(o, names, sizeof names);
        cli_held_text(&rows[i], held, sizeof held);
        cli_does_text(o, text, sizeof text);
        printf("%s\t%s\t%s\t%s\t%s\t%s\n", command->name, names, o->own ? "own" : "", held,
               !o->unset     ? ""
               : o->unset[0] ? o->unset
                             : "-",
               text);
    }
    free(settings);
}

/* ---- the formats ---- */

static void put_name(const cli_command *command) {
    char name[64];
    page_name(command, name, sizeof name);
    printf("%s %s\n", name, command->name);
}

void cli_for_each(const cli_command *command, void (*put_one)(const cli_command *)) {
    put_one(command);
    for (int i = 0; command->kinds && command->kinds[i]; ++i)
        cli_for_each(command->kinds[i], put_one);
}

int cli_help_format(const cli_command *program, const char *format, int count, char **words) {
    const cli_command *command = program;
    for (int i = 0; i < count && command; ++i) command = cli_find_kind(command, words[i]);
    if (!command) return cli_misuse("no such command");
    if (strcmp(format, "names") == 0)
        cli_for_each(command, put_name);
    else if (strcmp(format, "man") == 0)
        put_page(program, command);
    else if (strcmp(format, "bash") == 0)
        cli_complete_bash(program);
    else if (strcmp(format, "zsh") == 0)
        cli_complete_zsh(program);
    else if (strcmp(format, "fish") == 0)
        cli_complete_fish(program);
    else if (strcmp(format, "table") == 0)
        cli_for_each(command, put_table);
    else
        return cli_misuse("--format %s: expected names, man, bash, zsh, fish or table", format);
    return 0;
}
