/* main.c - `variant`: finds the command and hands over. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "help.h"

static const cli_command *const commands[] = {
    &cli_generate, &cli_plan,    &cli_train,    &cli_eval,   &cli_bench,  &cli_sweep,
    &cli_serve,    &cli_inspect, &cli_convert,  &cli_encode, &cli_decode, &cli_reconstruct,
    &cli_classify, &cli_synth,   &cli_selftest, &cli_doctor, NULL};

static const cli_command program = {
    .name = "",
    .purpose = "visual autoregressive image generation whose depth is chosen per request",
    .usage = "COMMAND [options]",
    .about = "Visual autoregressive image generation whose depth is chosen per request.",
    .kinds = commands,
    .notes =
        "variant COMMAND --help: options and examples of a command\n"
        "variant --version [-v]: version; with -v also what computes\n"
        "\n"
        "exit status: 0 done, 1 failed, 2 wrong usage; of trainings and pictures stopped by Ctrl-C "
        "or SIGTERM 130 or 143",
    .examples = "variant generate -m models/fashion --class Sneaker --depth 6 -o sneaker.png\n"
                "variant generate -m models/fashion --class all -n 10 --show\n"
                "variant inspect models/fashion\n"
                "variant serve -m models/fashion",
};

static int print_version(bool details) {
    printf("variant %s\n", variant_version());
    if (!details) return 0;
    variant_machine machine;
    variant_error err;
    char line[256];
    variant_machine_init(&machine);
    if (variant_machine_read(&machine, &err) != VARIANT_OK) return cli_fail(&err);
    printf("machine: %s\n", machine.line);
    if (machine.refused[0]) printf("%s\n", machine.refused);
    printf("MPI: %s\n", variant_ranks_library() ? variant_ranks_library() : "none");
    for (int i = 0; variant_backend_name(i); ++i) {
        if (variant_backend_describe(variant_backend_name(i), line, sizeof line, &err) !=
            VARIANT_OK)
            return cli_fail(&err);
        printf("%s: %s\n", variant_backend_name(i), line);
    }
    return 0;
}

/* of: the program, or a command that has kinds. */
static int unknown_command(const cli_command *of, const char *name) {
    const cli_command *nearest = cli_near_kind(of, name);
    fprintf(stderr, "variant: unknown command \"%s%s%s\"", of->name, *of->name ? " " : "", name);
    if (nearest) fprintf(stderr, "; did you mean %s?", nearest->name);
    fprintf(stderr, " (variant%s%s --help lists the commands)\n", *of->name ? " " : "", of->name);
    return 2;
}

static bool is_one_of(const char *word, const char *names) {
    return cli_is_among(word, strlen(word), names, '|');
}

/* `variant help [--format FORMAT] [COMMAND]` */
static int help(int count, char **words) {
    cli_name_command("help");
    if (count > 1 && strcmp(words[0], "--format") == 0)
        return cli_help_format(&program, words[1], count - 2, words + 2);
    const cli_command *found = &program;
    for (int i = 0; i < count && (i == 0 || found->kinds); ++i) {
        const cli_command *kind = cli_find_kind(found, words[i]);
        if (!kind) return unknown_command(found, words[i]);
        found = kind;
    }
    cli_help(found, stdout);
    return 0;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        cli_help(&program, stderr);
        return 2;
    }
    if (is_one_of(argv[1], "--version|-V|version")) {
        cli_name_command("--version");
        bool details = argc > 2 && is_one_of(argv[2], "-v|--verbose");
        return argc > (details ? 3 : 2) ? cli_misuse("unexpected argument %s", argv[argc - 1])
                                        : print_version(details);
    }
    if (is_one_of(argv[1], "--help|-h|help")) return help(argc - 2, argv + 2);
    const cli_command *found = cli_find_kind(&program, argv[1]);
    return found ? cli_run(found, argc - 1, argv + 1) : unknown_command(&program, argv[1]);
}

/* Starts the program again where OpenBLAS would otherwise run kernels far below this processor
 * (variant_blas_core_wanted). Goes on as it is where that is not possible. By its path, so that ps and pkill
 * know the process by the program's name. */
static void restart_for_blas(char **argv) {
    const char *core = variant_blas_core_wanted();
    char path[4096];
    ssize_t length = core ? readlink("/proc/self/exe", path, sizeof path - 1) : -1;
    if (length < 0 || setenv(CLI_CORE_CHOSEN, core, 1) != 0 ||
        setenv("OPENBLAS_CORETYPE", core, 1) != 0)
        return;
    path[length] = '\0';
    execv(path, argv);
}

int main(int argc, char **argv) {
    restart_for_blas(argv);
    signal(SIGXFSZ,
           SIG_IGN); /* a file size limit is then a failed write, reported and cleaned up */
    (void)variant_guard_files(NULL); /* where it cannot be had, all else can */
    int status = dispatch(argc, argv);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
        fprintf(stderr, "variant: the output could not be written%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
        status = 1;
    }
    return status;
}
