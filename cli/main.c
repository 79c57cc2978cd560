/* main.c - `variant`: finds the command and hands over. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/cpu.h"
#include "core/limits.h"
#include "core/word.h"
#include "kern/kern.h"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *purpose;
} command;

static const command commands[] = {
    {"generate", cli_generate, "pictures of a class, at any depth"},
    {"plan", cli_plan, "the best depth within a budget of memory and time"},
    {"train", cli_train, "a tokenizer, a transformer, a supernet of many depths, or a classifier"},
    {"eval", cli_eval, "scores of generated pictures beside real ones, or of a tokenizer"},
    {"bench", cli_bench, "time by stage and scale, beside what the machine could do"},
    {"sweep", cli_sweep, "one model at many depths: time, memory, and a report"},
    {"inspect", cli_inspect, "what a model file holds, and what it needs"},
    {"convert", cli_convert, "any readable model to one safetensors file"},
    {"encode", cli_encode, "pictures to token maps"},
    {"decode", cli_decode, "token maps to pictures"},
    {"reconstruct", cli_reconstruct, "pictures through the tokenizer and back, with PSNR"},
    {"classify", cli_classify, "the classes of pictures, or how often a classifier is right"},
    {"synth", cli_synth, "a synthetic model from a configuration"},
    {"selftest", cli_selftest, "this build's results against reference files"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *to) {
    fputs("usage: variant COMMAND [options]\n"
          "\n"
          "Visual autoregressive image generation whose depth is chosen per request.\n"
          "\n"
          "commands\n",
          to);
    for (size_t i = 0; i < COMMANDS; ++i)
        fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].purpose);
    fputs("\n"
          "  variant COMMAND --help    options and examples of a command\n"
          "  variant --version [-v]    version; with -v also what computes\n"
          "\n"
          "examples\n"
          "  variant generate -m models/fashion --class Sneaker --depth 6 -o sneaker.png\n"
          "  variant inspect models/fashion\n"
          "\n"
          "exit status: 0 done, 1 failed, 2 wrong usage; of a training stopped by Ctrl-C or "
          "SIGTERM 130 or 143\n",
          to);
}

static int print_version(bool details) {
    printf("variant %s\n", variant_version());
    if (!details) return 0;
    vt_limits limits;
    char line[256];
    vt_limits_read(&limits, "");
    vt_limits_describe(&limits, line, sizeof line);
    printf("machine: %s\n", line);
    vt_isa_refused(line, sizeof line);
    if (line[0]) printf("%s\n", line);
    static const char *const backends[] = {"cpu", "ref"};
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; ++i) {
        vt_kern *kern = NULL;
        variant_error err;
        if (vt_kern_open(&kern, backends[i], 0, &err) != VARIANT_OK)
            return cli_fail("--version", &err);
        printf("%s: %s\n", kern->name, kern->details ? kern->details : "");
        vt_kern_close(&kern);
    }
    return 0;
}

static int unknown_command(const char *name) {
    const command *nearest = NULL;
    int least = 4;
    for (size_t i = 0; i < COMMANDS; ++i) {
        int distance = vt_word_distance(name, commands[i].name);
        if (distance < least) {
            least = distance;
            nearest = &commands[i];
        }
    }
    fprintf(stderr, "variant: unknown command \"%s\"", name);
    if (nearest) fprintf(stderr, "; did you mean %s?", nearest->name);
    fputs(" (variant --help lists the commands)\n", stderr);
    return 2;
}

static const command *find_command(const char *name) {
    for (size_t i = 0; i < COMMANDS; ++i) {
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
    }
    return NULL;
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c) {
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || (c && strcmp(text, c) == 0);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (is_one_of(argv[1], "--version", "-V", "version")) {
        bool details = argc > 2 && is_one_of(argv[2], "-v", "--verbose", NULL);
        return argc > (details ? 3 : 2)
                   ? cli_usage("--version", "unexpected argument %s", argv[argc - 1])
                   : print_version(details);
    }
    bool asks_help = is_one_of(argv[1], "--help", "-h", "help");
    if (asks_help && argc == 2) {
        print_help(stdout);
        return 0;
    }
    const char *name = asks_help ? argv[2] : argv[1];
    const command *found = find_command(name);
    if (!found) return unknown_command(name);
    if (asks_help) {
        char option[] = "--help", *words[] = {argv[2], option, NULL};
        return found->run(2, words);
    }
    return found->run(argc - 1, argv + 1);
}

/* Starts the program again where OpenBLAS would otherwise run kernels far below this processor
 * (vt_kern_blas_core). Goes on as it is where that is not possible. By its path, so that ps and pkill
 * know the process by the program's name. */
static void restart_for_blas(char **argv) {
    const char *core = vt_kern_blas_core();
    char path[4096];
    ssize_t length = core ? readlink("/proc/self/exe", path, sizeof path - 1) : -1;
    if (length < 0 || setenv("OPENBLAS_CORETYPE", core, 1) != 0) return;
    path[length] = '\0';
    execv(path, argv);
}

int main(int argc, char **argv) {
    restart_for_blas(argv);
    signal(SIGXFSZ,
           SIG_IGN); /* a file size limit is then a failed write, reported and cleaned up */
    int status = dispatch(argc, argv);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
        fprintf(stderr, "variant: the output could not be written%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
        status = 1;
    }
    return status;
}
