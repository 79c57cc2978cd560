/* Ranks (dist/ranks.h), on each of those that mpirun starts this with (ranks.sh), and alone: what one says all know, sums are
 * those of a loop over the ranks to the bit, and no byte more is sent than ranks.h says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "dist/ranks.h"
#include "io/tensors.h"

static variant_ranks *ranks;
static int rank, count, checks;

#define CHECK(what)                                                                                \
    do {                                                                                           \
        ++checks;                                                                                  \
        if (!(what)) {                                                                             \
            fprintf(stderr, "rank %d of %d: %s:%d: not so: %s\n", rank, count, __FILE__, __LINE__, \
                    #what);                                                                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Number i of a rank's run. */
static float number(int of, size_t i) {
    return (float)(vt_uniform(7, VT_RNG_DROP, (uint32_t)of, (uint32_t)i, 0) - 0.5);
}

static float *run_of(int of, size_t n) {
    float *x = malloc(n * sizeof *x);
    CHECK(x != NULL);
    for (size_t i = 0; i < n; ++i) x[i] = number(of, i);
    return x;
}

/* The sum as ranks.h has it; a share's own summand is never rounded. */
static float sum_at(size_t i, int owner, vt_wire wire) {
    float sum = 0.0f;
    for (int r = 0; r < count; ++r) {
        const float x = number(r, i);
        sum += wire == VT_WIRE_F32 || r == owner ? x : vt_f32_from_bf16(vt_bf16_from_f32(x));
    }
    return sum;
}

static uint64_t sent_of(size_t n, size_t size) {
    const vt_share own = vt_ranks_share(n, rank, count);
    return (n - (own.end - own.begin)) * size;
}

static void check_sums(size_t n, vt_wire wire, bool measure) {
    float *x = run_of(rank, n);
    const uint64_t before = vt_ranks_sent(ranks);
    const vt_share own = vt_ranks_share(n, rank, count);
    vt_ranks_sums sums = {.x = x, .n = n, .wire = wire, .measure = measure};
    sums.scratch = malloc(vt_ranks_scratch(ranks, n, wire) + 1);
    CHECK(sums.scratch != NULL);
    vt_ranks_wait(ranks, vt_ranks_start_sums(ranks, &sums));
    for (size_t i = own.begin; i < own.end; ++i) CHECK(x[i] == sum_at(i, rank, wire));
    for (size_t i = 0; i < n; ++i)
        if (i < own.begin || i >= own.end) CHECK(x[i] == number(rank, i));
    const size_t size = wire == VT_WIRE_F32 ? 4 : measure ? 6 : 2;
    CHECK(vt_ranks_sent(ranks) - before == sent_of(n, size));
    if (measure && n > 100) { /* a bf16 keeps 8 bits: half of 2^-8 at most is lost of each */
        double told[2] = {sums.error, sums.length};
        vt_ranks_sum(ranks, told, 2);
        const double error = sqrt(told[0] / told[1]);
        CHECK(error > 1e-4 && error < 1.0 / 256);
    }
    vt_ranks_wait(ranks, vt_ranks_start_spread(ranks, x, n));
    for (size_t i = 0; i < n; ++i) {
        int owner = 0;
        while (i >= vt_ranks_share(n, owner, count).end) ++owner;
        CHECK(x[i] == sum_at(i, owner, wire));
    }
    free(sums.scratch);
    free(x);
}

static void check_many(void) {
    enum { RUNS = 100, NUMBERS = 64 };
    static vt_ranks_sums sums[RUNS];
    int64_t ticket = 0;
    for (int i = 0; i < RUNS; ++i) {
        sums[i] = (vt_ranks_sums){.x = run_of(rank, NUMBERS), .n = NUMBERS};
        sums[i].scratch = malloc(vt_ranks_scratch(ranks, NUMBERS, VT_WIRE_F32));
        ticket = vt_ranks_start_sums(ranks, &sums[i]);
    }
    vt_ranks_wait(ranks, ticket);
    for (int i = 0; i < RUNS; ++i) {
        const vt_share own = vt_ranks_share(NUMBERS, rank, count);
        for (size_t k = own.begin; k < own.end; ++k)
            CHECK(sums[i].x[k] == sum_at(k, rank, VT_WIRE_F32));
        free(sums[i].scratch);
        free(sums[i].x);
    }
}

static void check_small(void) {
    enum { MANY = 3000 };
    static double numbers[MANY];
    static int32_t least[MANY];
    static uint8_t bits[MANY];
    for (int i = 0; i < MANY; ++i) {
        numbers[i] = rank + i;
        least[i] = (rank + i) % count;
        bits[i] = (uint8_t)(1 << rank % 8);
    }
    vt_ranks_sum(ranks, numbers, MANY);
    vt_ranks_least(ranks, least, MANY);
    vt_ranks_unite(ranks, bits, MANY);
    for (int i = 0; i < MANY; ++i) {
        CHECK(numbers[i] == count * (count - 1) / 2 + count * i);
        CHECK(least[i] == 0);
        CHECK(bits[i] == (1 << (count < 8 ? count : 8)) - 1);
    }
    char word[32] = "";
    snprintf(word, sizeof word, "rank %d", rank);
    vt_ranks_broadcast(ranks, count - 1, word, sizeof word);
    char expected[32];
    snprintf(expected, sizeof expected, "rank %d", count - 1);
    CHECK(strcmp(word, expected) == 0);
}

static void check_agreement(void) {
    variant_error err = {0};
    CHECK(vt_ranks_agree(ranks, VARIANT_OK, &err) == VARIANT_OK);
    for (int first = 0; first < count; ++first) {
        variant_status status = VARIANT_OK;
        err = (variant_error){0};
        if (rank >= first) status = variant_fail(&err, VARIANT_E_FORMAT, "rank %d", rank);
        char expected[32];
        snprintf(expected, sizeof expected, "rank %d", first);
        CHECK(vt_ranks_agree(ranks, status, &err) == VARIANT_E_FORMAT);
        CHECK(strcmp(err.message, expected) == 0);
    }
}

static void check_shares(void) {
    const size_t runs[] = {0, 1, 15, 16, 17, 100, 4096, 100001};
    for (size_t k = 0; k < sizeof runs / sizeof *runs; ++k)
        for (int of = 1; of < 9; ++of) {
            size_t next = 0;
            for (int r = 0; r < of; ++r) {
                const vt_share share = vt_ranks_share(runs[k], r, of);
                CHECK(share.begin == next && share.end >= share.begin);
                CHECK(share.begin % 16 == 0 || share.begin == runs[k]);
                next = share.end;
            }
            CHECK(next == runs[k]);
        }
}

static int run_program(int expected) {
    variant_error err;
    check_shares();
    CHECK(variant_ranks_rank(NULL) == 0 && variant_ranks_count(NULL) == 1);
    if (variant_ranks_open(&ranks, NULL, &err) != VARIANT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    rank = variant_ranks_rank(ranks);
    count = variant_ranks_count(ranks);
    CHECK(count == expected);
    check_agreement();
    if (count > 1) {
        const size_t runs[] = {1, 16, 1000, 70001};
        check_small();
        check_many();
        for (size_t k = 0; k < sizeof runs / sizeof *runs; ++k) {
            check_sums(runs[k], VT_WIRE_F32, false);
            check_sums(runs[k], VT_WIRE_BF16, false);
            check_sums(runs[k], VT_WIRE_BF16, true);
        }
    }
    variant_ranks_close(&ranks);
    CHECK(ranks == NULL);
    printf("rank %d of %d: %d checks\n", rank, count, checks);
    return 0;
}

static void on_lost(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "%s\n", line);
}

/* The last rank leaves, and the others go on with what needs it: MPI has to end them. */
static int leave_early(void) {
    variant_ranks_options options;
    variant_error err;
    variant_ranks_options_init(&options);
    options.lost = on_lost;
    if (variant_ranks_open(&ranks, &options, &err) != VARIANT_OK) return 1;
    rank = variant_ranks_rank(ranks);
    count = variant_ranks_count(ranks);
    if (rank < count - 1) vt_ranks_agree(ranks, VARIANT_OK, &err);
    variant_ranks_close(&ranks);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "leave") == 0) return leave_early();
    return run_program(argc > 1 ? atoi(argv[1]) : 1);
}
