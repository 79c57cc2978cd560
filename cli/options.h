/* options.h - what a command takes, as a table of which a row is an option. Parsing, --help, the manual page and the
 * shell's completion all come of it: nothing about an option is written twice.
 *
 * A row says where its value goes in the command's settings. What the command's init puts there is the default, and help
 * prints it from there. Options that several commands take are tables of their own (request.h, data_options.h,
 * planning.h, output.h), whole or in part included by the tables of those commands. */
#ifndef VT_CLI_OPTIONS_H
#define VT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_kind {
    CLI_KIND_NONE, /* a heading, or rows of another table */
    CLI_KIND_FLAG,
    CLI_KIND_OFF, /* a flag that makes a setting false */
    CLI_KIND_INT,
    CLI_KIND_INT64,
    CLI_KIND_U64,
    CLI_KIND_REAL,
    CLI_KIND_ABOVE, /* real, above its lower bound */
    CLI_KIND_FLOAT,
    CLI_KIND_BYTES,
    CLI_KIND_SECONDS,
    CLI_KIND_WORD,   /* one of words: its place, in an int or an enum */
    CLI_KIND_EITHER, /* one of two words: a bool */
    CLI_KIND_NAME,   /* one of words, as text */
    CLI_KIND_TEXT,
    CLI_KIND_LIST, /* whole numbers between commas, as text */
    CLI_KIND_INTS,
    CLI_KIND_REALS
} cli_kind;

typedef struct cli_option {
    const char *name;     /* "top-k"; NULL: a heading, or rows of another table */
    const char *argument; /* what help calls the value; "[=WHICH]": may be left out; NULL: none */
    const char *help;     /* what it does; {range} and {words} stand for what the row takes */
    cli_kind kind;
    char letter;         /* 's' for -s; 0: none */
    bool own;            /* other commands have another option of this name */
    size_t at;           /* of the value, from the beginning of the settings ... */
    size_t count;        /* ... and of a list's length */
    size_t mark;         /* of a bool that becomes true with the option; 0: none */
    double low, high;    /* numbers: the range */
    int step;            /* a multiple of this; 0: any */
    int most;            /* of a list */
    const char *words;   /* "cpu|ref": what it takes; of other kinds: what completion offers */
    const char *notes;   /* one on each of words, between bars too: "|slow"; or NULL */
    const char *letters; /* text: what it is made of, unless it is one of words; NULL: anything */
    const char *expects; /* text: what it is, for the line that refuses none */
    const char *unset;   /* what holds while nothing is given and the settings hold 0, -1 or NULL */
    const char *also;    /* another name of the same option */
    const char *alone;   /* the word that "[=WHICH]" means without its value */
    /* Reads the value in the kind's stead; owner: the settings that the row's table is of. */
    bool (*read)(void *owner, const char *text);
    /* Says what the settings hold, for help, where the kind does not tell. */
    void (*show)(const void *owner, char *out, size_t size);
    /* Another table, of settings at `at`; words: its rows of these names alone. */
    const struct cli_option *rows;
} cli_option;

/* A place in settings, of a type that must be the member's. */
#define CLI_AT(...) CLI_AT_(__VA_ARGS__)
#define CLI_AT_(type, owner, member)                                                               \
    (offsetof(owner, member) + 0 * sizeof(_Generic(((owner *)0)->member, type : 0)))

/* Kind and place of a row's value: the settings' type and a member, then what it takes. Both may be one macro. */
#define CLI_FLAG(...) .kind = CLI_KIND_FLAG, .at = CLI_AT(bool, __VA_ARGS__)
#define CLI_OFF(...) .kind = CLI_KIND_OFF, .at = CLI_AT(bool, __VA_ARGS__)
#define CLI_U64(...) .kind = CLI_KIND_U64, .at = CLI_AT(uint64_t, __VA_ARGS__)
#define CLI_BYTES(...) .kind = CLI_KIND_BYTES, .at = CLI_AT(size_t, __VA_ARGS__)
#define CLI_SECONDS(...) .kind = CLI_KIND_SECONDS, .at = CLI_AT(double, __VA_ARGS__)
#define CLI_MARK(...) .mark = CLI_AT(bool, __VA_ARGS__)
/* ..., lowest, highest */
#define CLI_INT(...) CLI_NUMBER_(CLI_KIND_INT, int, __VA_ARGS__)
#define CLI_INT64(...) CLI_NUMBER_(CLI_KIND_INT64, int64_t, __VA_ARGS__)
#define CLI_REAL(...) CLI_NUMBER_(CLI_KIND_REAL, double, __VA_ARGS__)
#define CLI_ABOVE(...) CLI_NUMBER_(CLI_KIND_ABOVE, double, __VA_ARGS__)
#define CLI_FLOAT(...) CLI_NUMBER_(CLI_KIND_FLOAT, float, __VA_ARGS__)
#define CLI_NUMBER_(kind_, type, owner, member, low_, high_)                                       \
    .kind = kind_, .at = CLI_AT(type, owner, member), .low = (low_), .high = (high_)
/* ..., words */
#define CLI_NAME(...) CLI_NAME_(__VA_ARGS__)
#define CLI_NAME_(owner, member, words_)                                                           \
    .kind = CLI_KIND_NAME, .at = CLI_AT(const char *, owner, member), .words = (words_)
/* type, ..., words */
#define CLI_WORD(...) CLI_WORD_(__VA_ARGS__)
#define CLI_WORD_(type, owner, member, words_)                                                     \
    .kind = CLI_KIND_WORD, .at = CLI_AT(type, owner, member), .words = (words_)
/* ..., words, place of the one that means true: 0 or 1 */
#define CLI_EITHER(...) CLI_EITHER_(__VA_ARGS__)
#define CLI_EITHER_(owner, member, words_, true_place)                                             \
    .kind = CLI_KIND_EITHER, .at = CLI_AT(bool, owner, member), .words = (words_),                 \
    .low = (true_place)
/* ..., what is expected */
#define CLI_TEXT(...) CLI_TEXT_(__VA_ARGS__)
#define CLI_TEXT_(owner, member, expects_)                                                         \
    .kind = CLI_KIND_TEXT, .at = CLI_AT(const char *, owner, member), .expects = (expects_)
/* ..., lowest, highest, how many */
#define CLI_LIST(...) CLI_LIST_(__VA_ARGS__)
#define CLI_LIST_(owner, member, low_, high_, most_)                                               \
    .kind = CLI_KIND_LIST, .at = CLI_AT(const char *, owner, member), .low = (low_),               \
    .high = (high_), .most = (most_)
/* ..., member that counts them, lowest, highest: as many as the array holds */
#define CLI_INTS(...) CLI_NUMBERS_(CLI_KIND_INTS, int, __VA_ARGS__)
#define CLI_REALS(...) CLI_NUMBERS_(CLI_KIND_REALS, double, __VA_ARGS__)
#define CLI_NUMBERS_(kind_, type, owner, member, length, low_, high_)                              \
    .kind = kind_, .at = CLI_AT(type *, owner, member), .count = CLI_AT(int, owner, length),       \
    .low = (low_), .high = (high_),                                                                \
    .most = sizeof(((owner *)0)->member) / sizeof(((owner *)0)->member[0])

#define CLI_HEADING(text)                                                                          \
    { .help = (text) }
/* Rows of another table, whose settings are a member of these; only: names between blanks, or NULL for all. */
#define CLI_ROWS(table, type, owner, member, only)                                                 \
    { .rows = (table), .at = CLI_AT(type, owner, member), .words = (only) }

/* One option of a command, whichever table it is in. */
typedef struct cli_row {
    const cli_option *option; /* without a name: a heading */
    char *owner;              /* the settings that its table is of */
} cli_row;

enum { CLI_MOST_ROWS = 128 };

/* A command line that was read. */
typedef struct cli_line {
    int count, operand_count;
    char **words;    /* (count) as they were typed, behind the command's name */
    char **operands; /* (operand_count) */
    const cli_row *rows;
    int row_count;
    bool given[CLI_MOST_ROWS];
} cli_line;

typedef struct cli_command {
    const char *name;     /* "generate", "train tokenizer" */
    const char *purpose;  /* behind the name in a list */
    const char *usage;    /* what follows the name, a line for each way of using it */
    const char *about;    /* paragraphs, broken into lines when shown */
    const char *notes;    /* likewise, below the options */
    const char *examples; /* lines */
    const cli_option *options;
    const struct cli_command *const *kinds; /* commands below this one, NULL-ended; or NULL */
    size_t size;                            /* of the settings */
    int operands;                           /* at most */
    bool opens;                             /* files that others may have made: --sandbox */
    void (*init)(void *settings);           /* defaults, over zeros; NULL: zeros they are */
    /* The exit status: 0 done, 1 failed, 2 wrong usage, 128 + N a training stopped by signal N. NULL: one of the
     * kinds has to be named. */
    int (*run)(void *settings, const cli_line *line);
} cli_command;

/* Of a file with one command: what it calls settings, options, init and run. */
#define CLI_OF_THIS_FILE .options = options, .size = sizeof(settings), .init = init, .run = run

/* Reads the words behind the command's name (argv[0]) and runs it, or prints its help; the exit status. Of an option
 * that is given again the last counts, but where its row makes a list of them. */
int cli_run(const cli_command *command, int argc, char **argv);
/* Reads words into settings that hold something already, and runs nothing: -1, or the exit status after a complaint. rows:
 * for the line, which says what was given. */
int cli_read(const cli_command *command, void *settings, int argc, char **argv,
             cli_row rows[CLI_MOST_ROWS], cli_line *line);
/* Was the option given? By its first name in the table. */
bool cli_given(const cli_line *line, const char *name);
/* The first of these names, between bars, that was given; NULL. */
const char *cli_first_given(const cli_line *line, const char *names);
/* -1 when at most one of these names, between bars, was given; else the exit status, after a complaint. */
int cli_one_of(const cli_line *line, const char *names);

/* All rows of a command's table, other tables' and --help included. */
int cli_rows(const cli_command *command, void *settings, cli_row rows[CLI_MOST_ROWS]);
/* Settings as init makes them, for free(); NULL: no memory. */
void *cli_settings(const cli_command *command);
/* Is the word of `length` letters one of the names, which `between` divides? */
bool cli_is_among(const char *word, size_t length, const char *names, char between);
/* "tokenizer" of "train tokenizer". */
const char *cli_kind_name(const cli_command *command);
const cli_command *cli_find_kind(const cli_command *command, const char *word);
/* The one that a word which is none was meant for: it begins so, or is a typing error of it. NULL: none is near. */
const cli_command *cli_near_kind(const cli_command *command, const char *word);

#endif
