/* options.c - the parser: a command's table, the words that were typed, and what is said of those that are wrong. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "help.h"
#include "values.h"

/* ---- the table ---- */

bool cli_is_among(const char *word, size_t length, const char *names, char between) {
    for (const char *at = names; at;) {
        const char *end = strchr(at, between);
        if ((end ? (size_t)(end - at) : strlen(at)) == length && strncmp(at, word, length) == 0)
            return true;
        at = end ? end + 1 : NULL;
    }
    return false;
}

/* A mistake of whoever wrote a table, which shows at the first run. */
static void insist(bool right, const char *table) {
    if (right) return;
    fprintf(stderr, "variant: a table of options is wrong: %s\n", table);
    abort();
}

static int add_rows(cli_row *rows, int count, const cli_option *table, char *owner,
                    const char *only) {
    int names = 0;
    for (const char *c = only; c; c = strchr(c, ' '), c += c != NULL) ++names;
    for (const cli_option *o = table; o->name || o->help || o->rows; ++o) {
        if (o->rows)
            count = add_rows(rows, count, o->rows, owner + o->at, o->words);
        else if (!only || (o->name && cli_is_among(o->name, strlen(o->name), only, ' '))) {
            insist(count < CLI_MOST_ROWS - 1, "too many rows");
            rows[count++] = (cli_row){o, owner};
            names -= only != NULL;
        }
    }
    insist(names == 0, only); /* each of the names is a row of this table */
    return count;
}

int cli_rows(const cli_command *command, void *settings, cli_row rows[CLI_MOST_ROWS]) {
    static const cli_option help = {
        .name = "help", .letter = 'h', .help = "this text", .kind = CLI_KIND_FLAG};
    static const cli_option sandbox = {
        .name = "sandbox",
        .help = "decode pictures and read PyTorch checkpoints in processes that can reach neither "
                "files nor network; refuses to go on where the kernel cannot",
        .kind = CLI_KIND_FLAG};
    static const cli_option none = {0};
    static bool sandboxed; /* no settings of the command's: cli_run looks at what was given */
    int count = add_rows(rows, 0, command->options ? command->options : &none, settings, NULL);
    if (command->opens) rows[count++] = (cli_row){&sandbox, (char *)&sandboxed};
    rows[count++] = (cli_row){&help, settings};
    return count;
}

void *cli_settings(const cli_command *command) {
    void *settings = calloc(1, command->size ? command->size : 1);
    if (settings && command->init) command->init(settings);
    return settings;
}

const char *cli_kind_name(const cli_command *command) {
    const char *blank = strrchr(command->name, ' ');
    return blank ? blank + 1 : command->name;
}

const cli_command *cli_find_kind(const cli_command *command, const char *word) {
    for (int i = 0; command->kinds && command->kinds[i]; ++i)
        if (strcmp(cli_kind_name(command->kinds[i]), word) == 0) return command->kinds[i];
    return NULL;
}

const cli_command *cli_near_kind(const cli_command *command, const char *word) {
    const cli_command *nearest = NULL;
    const int length = (int)strlen(word);
    int least =
        (length > 6 ? 6 : length) / 2 + 1; /* more letters wrong than right are another word */
    for (int i = 0; length > 0 && command->kinds && command->kinds[i]; ++i) {
        const char *name = cli_kind_name(command->kinds[i]);
        const int distance =
            strncmp(name, word, (size_t)length) == 0 ? 0 : variant_word_distance(word, name);
        if (distance >= least) continue;
        least = distance;
        nearest = command->kinds[i];
    }
    return nearest;
}

/* ---- values ---- */

static bool read_word(const cli_option *o, void *at, const char *text) {
    int place = cli_word(text, o->words);
    if (place < 0) return false;
    if (o->kind == CLI_KIND_EITHER)
        *(bool *)at = place == (int)o->low;
    else
        memcpy(at, &place, sizeof place); /* an int or an enum */
    return true;
}

static bool read_int(const cli_option *o, void *at, const char *text) {
    int value = 0;
    bool valid = o->step ? cli_multiple(text, (long)o->low, (long)o->high, o->step, &value)
                         : cli_int(text, (long)o->low, (long)o->high, &value);
    if (valid && o->kind == CLI_KIND_INT64)
        *(int64_t *)at = value;
    else if (valid)
        *(int *)at = value;
    return valid;
}

static bool read_real(const cli_option *o, void *at, const char *text) {
    double value = 0.0;
    bool above = o->kind == CLI_KIND_ABOVE;
    if (!cli_double(text, o->low, o->high, &value) || (above && value == o->low))
        return above && cli_refuse("expected a number above %g, up to %g", o->low, o->high);
    if (o->kind == CLI_KIND_FLOAT)
        *(float *)at = (float)value;
    else
        *(double *)at = value;
    return true;
}

static bool read_list(const cli_option *o, void *at, int *count, const char *text) {
    long low = (long)o->low, high = (long)o->high;
    if (o->kind == CLI_KIND_INTS) return cli_ints(text, low, high, o->most, at, count);
    if (o->kind == CLI_KIND_REALS) return cli_doubles(text, o->low, o->high, o->most, at, count);
    *(const char **)at = text;
    int numbers[CLI_MOST_ROWS], held = 0; /* only to see that they are numbers */
    return cli_ints(text, low, high, o->most, numbers, &held);
}

static bool read_text(const cli_option *o, const char **at, const char *text) {
    bool word = o->words && cli_is_among(text, strlen(text), o->words, '|');
    if (o->letters && !word && text[strspn(text, o->letters)])
        return cli_refuse("expected %s", o->expects);
    return cli_text(text, o->expects, at);
}

static bool read_value(const cli_row *row, const char *text) {
    const cli_option *o = row->option;
    void *at = row->owner + o->at;
    if (o->read) return o->read(row->owner, text);
    switch (o->kind) {
    case CLI_KIND_FLAG:
    case CLI_KIND_OFF:
        *(bool *)at = o->kind == CLI_KIND_FLAG;
        return true;
    case CLI_KIND_INT:
    case CLI_KIND_INT64:
        return read_int(o, at, text);
    case CLI_KIND_U64:
        return cli_u64(text, at);
    case CLI_KIND_REAL:
    case CLI_KIND_ABOVE:
    case CLI_KIND_FLOAT:
        return read_real(o, at, text);
    case CLI_KIND_BYTES:
        return cli_bytes(text, at);
    case CLI_KIND_SECONDS:
        return cli_seconds(text, at);
    case CLI_KIND_WORD:
    case CLI_KIND_EITHER:
        return read_word(o, at, text);
    case CLI_KIND_NAME:
        *(const char **)at = text;
        return cli_word(text, o->words) >= 0;
    case CLI_KIND_TEXT:
        return read_text(o, at, text);
    case CLI_KIND_LIST:
    case CLI_KIND_INTS:
    case CLI_KIND_REALS:
        return read_list(o, at, (int *)(void *)(row->owner + o->count), text);
    case CLI_KIND_NONE:
        break;
    }
    return false;
}

/* ---- what is wrong ---- */

/* getopt's view of a command: every name with its row, and the letters. An option's id is 256 and its row. */
typedef struct parser {
    const cli_command *command;
    cli_line *line;
    struct option names[2 * CLI_MOST_ROWS + 1];
    char letters[2 * CLI_MOST_ROWS + 2];
} parser;

static void parser_open(parser *p, const cli_command *command, cli_line *line) {
    int count = 0;
    size_t at = 0;
    *p = (parser){.command = command, .line = line};
    p->letters[at++] = ':';
    for (int i = 0; i < line->row_count; ++i) {
        const cli_option *o = line->rows[i].option;
        if (!o->name) continue;
        int takes = !o->argument            ? no_argument
                    : o->argument[0] == '[' ? optional_argument
                                            : required_argument;
        p->names[count++] = (struct option){o->name, takes, NULL, 256 + i};
        if (o->also) p->names[count++] = (struct option){o->also, takes, NULL, 256 + i};
        if (!o->letter) continue;
        p->letters[at++] = o->letter;
        if (takes == required_argument) p->letters[at++] = ':';
    }
}

/* The row of what getopt returned: an id, or a letter. */
static int row_of(const parser *p, int id) {
    for (int i = 0; id < 256 && i < p->line->row_count; ++i)
        if (p->line->rows[i].option->letter == id) return i;
    return id - 256;
}

static bool is_option(const parser *p, const char *word) {
    for (const struct option *o = p->names; o->name && strncmp(word, "--", 2) == 0; ++o)
        if (strcmp(word + 2, o->name) == 0) return true;
    return false;
}

/* What other programs of this kind (diffusers, stable-diffusion.cpp, llama.cpp, VAR's own scripts) call an option of ours. */
static const struct {
    const char *theirs, *ours;
} elsewhere[] = {
    {"prompt", "class"},
    {"p", "class"},
    {"label", "class"},
    {"class-labels", "class"},
    {"guidance-scale", "cfg-scale"},
    {"cfg", "cfg-scale"},
    {"guidance", "cfg-scale"},
    {"batch-count", "count"},
    {"b", "count"},
    {"num-images", "count"},
    {"num-images-per-prompt", "count"},
    {"num-samples", "count"},
    {"batch-size", "batch"},
    {"vae", "tokenizer"},
    {"vae-ckpt", "tokenizer"},
    {"ckpt", "model"},
    {"checkpoint", "model"},
    {"pretrained-model-name-or-path", "model"},
    {"type", "weights"},
    {"dtype", "weights"},
    {"torch-dtype", "weights"},
    {"cache-type-k", "kv"},
    {"cache-type-v", "kv"},
    {"device", "backend"},
    {"more-smooth", "smooth"},
    {"learning-rate", "lr"},
    {"num-epochs", "epochs"},
    {"num-train-epochs", "epochs"},
    {"train-batch-size", "batch"},
    {"mixed-precision", "precision"},
    {"data-path", "data"},
    {"data-dir", "data"},
    {"train-data-dir", "data"},
    {"output-dir", "output"},
    {"out-dir", "output"},
    {"image", "init-img"},
    {"mask-image", "mask"},
    {"preview", "show"},
    {"host", "listen"},
    {"listen-ip", "listen"},
    {"listen-port", "port"},
    {"timeout", "deadline"},
};

/* Options of theirs that have no counterpart where classes are drawn, and why. */
static const struct {
    const char *theirs, *why;
} nowhere[] = {
    {"steps", "a picture takes a step a scale, as many as the model has (--scales draws fewer)"},
    {"num-inference-steps", "a picture takes a step a scale (--scales draws fewer)"},
    {"width", "pictures are as wide as the model was trained for"},
    {"height", "pictures are as high as the model was trained for"},
    {"W", "pictures are as wide as the model was trained for"},
    {"H", "pictures are as high as the model was trained for"},
    {"negative-prompt", "guidance is away from no class at all (--cfg-scale)"},
    {"temperature", "--top-k, --top-p and --greedy say how codes are drawn"},
    {"temp", "--top-k, --top-p and --greedy say how codes are drawn"},
    {"sampling-method", "--top-k, --top-p, --greedy and --smooth say how codes are drawn"},
    {"strength", "--vary PICTURE --keep-scales K says how much of a picture stays"},
};

/* Options of theirs that getopt would take for one of ours, of which they are the beginning; and why they are none. */
static const struct {
    const char *theirs, *ours, *why;
} mistaken[] = {
    {"api-key", "--api-key-file",
     "whoever lists processes would see the key: put it into the environment, VARIANT_API_KEY, or "
     "a line of a file, --api-key-file FILE"},
};

/* Whether two names are one where dashes may be underscores. */
static bool same_name(const char *dashed, const char *name) {
    for (; *dashed && (*dashed == *name || (*dashed == '-' && *name == '_')); ++dashed) ++name;
    return *dashed == *name;
}

/* Our name of it where this command has it, or NULL. */
static const char *name_here(const parser *p, const char *name) {
    for (const struct option *o = p->names; o->name; ++o)
        if (same_name(o->name, name)) return o->name;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; ++i) {
        if (!same_name(elsewhere[i].theirs, name)) continue;
        for (const struct option *o = p->names; o->name; ++o)
            if (strcmp(o->name, elsewhere[i].ours) == 0) return o->name;
    }
    return NULL;
}

/* Why this command, which draws, has no such option; or NULL. */
static const char *why_nowhere(const parser *p, const char *name) {
    if (!is_option(p, "--vary")) return NULL;
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; ++i)
        if (same_name(nowhere[i].theirs, name)) return nowhere[i].why;
    return NULL;
}

/* A word such as --tpo-p: what it may have been meant for. */
static int unknown_option(const parser *p, const char *word) {
    char name[64] = "", begun[160] = "";
    const char *nearest = NULL;
    int least = 3, count = 0;
    size_t length = strcspn(word + 2, "="), at = 0;
    if (length >= sizeof name) return cli_misuse("unknown option %s", word);
    memcpy(name, word + 2, length);
    const char *here = name_here(p, name);
    if (here) return cli_misuse("unknown option %s; here it is --%s", word, here);
    const char *why = why_nowhere(p, name);
    if (why) return cli_misuse("unknown option %s: %s", word, why);
    for (const struct option *o = p->names; o->name; ++o) {
        int distance = variant_word_distance(name, o->name);
        if (distance < least) {
            least = distance;
            nearest = o->name;
        }
        if (strncmp(o->name, name, length) != 0 || at + 40 > sizeof begun) continue;
        at +=
            (size_t)snprintf(begun + at, sizeof begun - at, "%s--%s", count++ ? ", " : "", o->name);
    }
    if (count > 1) return cli_misuse("option %s could be %s", word, begun);
    if (nearest) return cli_misuse("unknown option %s; did you mean --%s?", word, nearest);
    return cli_misuse("unknown option %s", word);
}

static int unknown_letter(const parser *p, const char *word) {
    if (optopt <= 0 || optopt >= 256) return cli_misuse("unknown option %s", word);
    const char name[] = {(char)optopt, '\0'};
    const char *here = name_here(p, name), *why = why_nowhere(p, name);
    if (here) return cli_misuse("unknown option -%s; here it is --%s", name, here);
    if (why) return cli_misuse("unknown option -%s: %s", name, why);
    return cli_misuse("unknown option -%s", name);
}

/* Whether the word, with one dash before several letters, would be read as an option of one letter and its value: -ngl as -n gl.
 * What was meant is told where the name is one of ours or another program's. */
static bool refuse_one_dash(const parser *p, const char *word) {
    char name[64];
    const size_t length = strcspn(word + 1, "=");
    if (word[0] != '-' || word[1] == '-' || length < 2 || length >= sizeof name) return false;
    memcpy(name, word + 1, length);
    name[length] = '\0';
    if (strcmp(name, "ngl") == 0) {
        cli_misuse("unknown option -ngl: layers go to no other processor; how many run is --depth");
        return true;
    }
    const char *here = name_here(p, name);
    if (here) cli_misuse("unknown option -%s; with two dashes it is --%s", name, here);
    return here != NULL;
}

/* -1: none of the words is one that getopt would mistake; else the exit status. What is given for it is not repeated. */
static int refuse_mistaken(const parser *p, int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; ++i) {
        if (refuse_one_dash(p, argv[i])) return 2;
        for (size_t k = 0; k < sizeof mistaken / sizeof *mistaken; ++k) {
            const char *name = mistaken[k].theirs;
            const size_t length = strlen(name);
            if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, length) != 0) continue;
            if (strchr("=", argv[i][2 + length]) && is_option(p, mistaken[k].ours))
                return cli_misuse("unknown option --%s: %s", name, mistaken[k].why);
        }
    }
    return -1;
}

/* getopt's '?': a letter or a word that is no option, or a value where none is taken. */
static int refuse_option(const parser *p, const char *word) {
    if (strncmp(word, "--", 2) != 0) return unknown_letter(p, word);
    if (optopt) /* the id of an option that it knows */
        return cli_misuse("--%s takes no value", p->line->rows[row_of(p, optopt)].option->name);
    return unknown_option(p, word);
}

/* ---- reading ---- */

/* The value of an option whose value may be left out: the next word, where it can be no operand. */
static const char *value_behind(const parser *p, const cli_option *o, int argc, char **argv) {
    bool is = optind < argc && p->command->operands == 0 && argv[optind][0] != '-';
    return is ? argv[optind++] : o->alone;
}

/* Takes one option, `name` as it was typed: -1 to go on, else the exit status. */
static int take_option(parser *p, int row, const char *name, int argc, char **argv) {
    const cli_row *taken = &p->line->rows[row];
    const cli_option *o = taken->option;
    const char *text = optarg, *expected;
    if (text && text == argv[optind - 1] && is_option(p, text))
        return cli_misuse("--%s needs a value, but %s follows", name, text);
    if (!text && o->argument) text = value_behind(p, o, argc, argv);
    cli_expected_clear();
    if (read_value(taken, text)) {
        p->line->given[row] = true;
        if (o->mark) *(bool *)(taken->owner + o->mark) = true;
        return -1;
    }
    expected = cli_expected();
    return cli_misuse("--%s%s%s: %s", name, text ? " " : "",
                      !text   ? ""
                      : *text ? text
                              : "\"\"",
                      *expected ? expected : "not a valid value");
}

/* A word too many: of a command that has kinds, most likely meant for one of them. */
static int refuse_operand(const cli_command *command, const char *word) {
    char kinds[240];
    const cli_command *near = cli_near_kind(command, word);
    if (near) return cli_misuse("unexpected argument %s; did you mean %s?", word, near->name);
    if (!command->kinds) return cli_misuse("unexpected argument %s", word);
    cli_kind_list(command, kinds, sizeof kinds);
    return cli_misuse("unexpected argument %s: expected options, or first %s", word, kinds);
}

/* -1 to go on, else the exit status: 0 when help was printed, 2 when usage complained. */
static int read_options(parser *p, int argc, char **argv) {
    const int mistake = refuse_mistaken(p, argc, argv);
    if (mistake >= 0) return mistake;
    opterr = 0;
    optind = 1;
    for (int id, found = -1; (id = getopt_long(argc, argv, p->letters, p->names, &found)) != -1;
         found = -1) {
        int status;
        if (id == '?')
            status = refuse_option(p, argv[optind - 1]);
        else if (id == ':')
            status = cli_misuse("%s needs a value", argv[optind - 1]);
        else {
            const cli_option *option = p->line->rows[row_of(p, id)].option;
            const char *name = found >= 0 ? p->names[found].name : option->name;
            if (option->letter == 'h') {
                cli_help(p->command, stdout);
                return 0;
            }
            status = take_option(p, row_of(p, id), name, argc, argv);
        }
        if (status >= 0) return status;
    }
    p->line->operands = argv + optind;
    p->line->operand_count = argc - optind;
    if (p->line->operand_count > p->command->operands)
        return refuse_operand(p->command, argv[optind + p->command->operands]);
    return -1;
}

/* A command whose kinds are what can be run: its help, or a question. */
static int ask_kind(const cli_command *command, const char *word) {
    if (cli_is_among(word, strlen(word), "--help|-h|help", '|')) {
        cli_help(command, stdout);
        return 0;
    }
    char kinds[240];
    cli_kind_list(command, kinds, sizeof kinds);
    cli_name_command(command->name);
    const cli_command *near = cli_near_kind(command, word);
    if (near) return cli_misuse("no %s; did you mean %s?", word, near->name);
    if (*word && *word != '-') return cli_misuse("no %s: expected %s", word, kinds);
    return cli_misuse("what to %s? expected %s", command->name, kinds);
}

int cli_read(const cli_command *command, void *settings, int argc, char **argv,
             cli_row rows[CLI_MOST_ROWS], cli_line *line) {
    line->rows = rows;
    line->row_count = cli_rows(command, settings, rows);
    parser p;
    parser_open(&p, command, line);
    return read_options(&p, argc, argv);
}

/* -1, or the exit status after a complaint. Before the command has threads. */
static int begin_sandbox(void) {
    variant_error err;
    return variant_sandbox_begin(&err) == VARIANT_OK ? -1 : cli_fail(&err);
}

int cli_run(const cli_command *command, int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    const cli_command *kind = cli_find_kind(command, word);
    if (kind) return cli_run(kind, argc - 1, argv + 1);
    if (!command->run) return ask_kind(command, word);
    cli_row rows[CLI_MOST_ROWS];
    char **typed = malloc((size_t)argc * sizeof *typed); /* getopt puts operands last */
    void *settings = cli_settings(command);
    int status = 1;
    cli_name_command(command->name);
    if (typed && settings) {
        memcpy(typed, argv + 1, (size_t)(argc - 1) * sizeof *typed);
        cli_line line = {.count = argc - 1, .words = typed};
        status = cli_read(command, settings, argc, argv, rows, &line);
        if (status < 0 && cli_given(&line, "sandbox")) status = begin_sandbox();
        if (status < 0) status = command->run(settings, &line);
        variant_sandbox_end();
    }
    free(settings);
    free(typed);
    return status;
}

/* ---- what was given ---- */

bool cli_given(const cli_line *line, const char *name) {
    for (int i = 0; i < line->row_count; ++i) {
        const char *own = line->rows[i].option->name;
        if (own && strcmp(own, name) == 0) return line->given[i];
    }
    return false;
}

const char *cli_first_given(const cli_line *line, const char *names) {
    for (int i = 0; i < line->row_count; ++i) {
        const char *own = line->rows[i].option->name;
        if (line->given[i] && cli_is_among(own, strlen(own), names, '|')) return own;
    }
    return NULL;
}

int cli_one_of(const cli_line *line, const char *names) {
    const char *first = cli_first_given(line, names);
    for (int i = 0; first && i < line->row_count; ++i) {
        const char *own = line->rows[i].option->name;
        if (line->given[i] && own != first && cli_is_among(own, strlen(own), names, '|'))
            return cli_misuse("--%s and --%s: expected one of them", first, own);
    }
    return -1;
}
