/* parse.c - cli_parse: the options of every command, and what is said of those that are none. */
#include <stdio.h>
#include <string.h>

#include "core/word.h"
#include "parse.h"

static const char *option_name(const struct option *options, int id) {
    for (; options->name; ++options)
        if (options->val == id) return options->name;
    return "?";
}

static bool is_option(const struct option *options, const char *word) {
    for (; options->name && strncmp(word, "--", 2) == 0; ++options)
        if (strcmp(word + 2, options->name) == 0) return true;
    return false;
}

/* A word such as --tpo-p: what it may have been meant for. */
static int unknown_option(const cli_parser *parser, const char *word) {
    char name[64] = "", begun[160] = "";
    const char *nearest = NULL;
    int least = 3, count = 0;
    size_t length = strcspn(word + 2, "="), at = 0;
    if (length >= sizeof name) return cli_usage(parser->command, "unknown option %s", word);
    memcpy(name, word + 2, length);
    for (const struct option *o = parser->options; o->name; ++o) {
        int distance = vt_word_distance(name, o->name);
        if (distance < least) {
            least = distance;
            nearest = o->name;
        }
        if (strncmp(o->name, name, length) != 0 || at + 40 > sizeof begun) continue;
        at +=
            (size_t)snprintf(begun + at, sizeof begun - at, "%s--%s", count++ ? ", " : "", o->name);
    }
    if (count > 1) return cli_usage(parser->command, "option %s could be %s", word, begun);
    if (nearest)
        return cli_usage(parser->command, "unknown option %s; did you mean --%s?", word, nearest);
    return cli_usage(parser->command, "unknown option %s", word);
}

/* getopt's '?': a letter or a word that is no option, or a value where none is taken. */
static int refuse_option(const cli_parser *parser, const char *word) {
    if (strncmp(word, "--", 2) != 0)
        return optopt > 0 && optopt < 256 ? cli_usage(parser->command, "unknown option -%c", optopt)
                                          : cli_usage(parser->command, "unknown option %s", word);
    if (optopt) /* the id of an option that it knows */
        return cli_usage(parser->command, "--%s takes no value",
                         option_name(parser->options, optopt));
    return unknown_option(parser, word);
}

/* Takes one option: -1 to go on, else the exit status. */
static int take_option(const cli_parser *parser, int id, const char *last_word) {
    const char *name = option_name(parser->options, id);
    if (optarg && optarg == last_word && is_option(parser->options, optarg))
        return cli_usage(parser->command, "--%s needs a value, but %s follows", name, optarg);
    cli_expected_clear();
    if (parser->accept(parser->user, id, optarg)) return -1;
    const char *expected = cli_expected();
    return cli_usage(parser->command, "--%s%s%s: %s", name, optarg ? " " : "",
                     !optarg   ? ""
                     : *optarg ? optarg
                               : "\"\"",
                     *expected ? expected : "not a valid value");
}

int cli_parse(const cli_parser *parser, int argc, char **argv) {
    cli_name_command(parser->command);
    opterr = 0;
    optind = 1;
    for (int id; (id = getopt_long(argc, argv, parser->letters, parser->options, NULL)) != -1;) {
        int status = -1;
        if (id == 'h') {
            if (parser->help)
                fputs(parser->help, stdout);
            else
                parser->show_help(parser->user);
            return 0;
        }
        if (id == '?')
            status = refuse_option(parser, argv[optind - 1]);
        else if (id == ':')
            status = cli_usage(parser->command, "%s needs a value", argv[optind - 1]);
        else
            status = take_option(parser, id, argv[optind - 1]);
        if (status >= 0) return status;
    }
    return -1;
}
