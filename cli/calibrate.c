/* calibrate.c - see calibrate.h. */
#include "calibrate.h"

#include <stdio.h>
#include <string.h>

static bool add_data(void *owner, const char *text) {
    return cli_data_add(&((cli_calibration *)owner)->data.paths, text);
}

#define SELF(member) cli_calibration, member
const cli_option cli_calibration_options[] = {
    {"calibrate", "DATA",
     "with --type int8 or int4: pictures as train reads them, on whose token maps each product's "
     "error is "
     "measured, and its way of rounding chosen",
     .read = add_data, .own = true, .unset = "nothing is measured, scales are of blocks of 128"},
    {"calibrate-pictures", "N", "so many of them, spread over the data set, {range}",
     CLI_INT(SELF(pictures), 1, 100000)},
    {"row-error", "X",
     "a product takes one scale for each row of its input, which AMX wants, where its error is at "
     "most X times that of a scale for each 128 numbers, {range}",
     CLI_REAL(SELF(row_error), 0, 100)},
    CLI_ROWS(cli_data_options, cli_data, cli_calibration, data, CLI_PART_OF_DATA),
    {0},
};

cli_calibration cli_calibration_defaults(void) {
    variant_convert_options asked;
    variant_convert_options_init(&asked);
    cli_calibration out = {.data = cli_data_defaults(),
                           .pictures = asked.calibrate_count,
                           .row_error = asked.row_error};
    out.data.split = "train";
    return out;
}

/* ---- what was chosen ---- */

static bool is_int4(const variant_converted_product *p) {
    return strcmp(p->type, "int4") == 0;
}

static int print_int4(const variant_conversion *made) {
    static const char *const names[] = {"nearest", "weighed", "GPTQ"};
    int count = 0, best[3] = {0};
    for (int i = 0; i < made->product_count; ++i) {
        const variant_converted_product *p = made->products[i];
        count += is_int4(p);
        if (!is_int4(p) || p->rows_seen == 0) continue;
        if (best[0] + best[1] + best[2] == 0)
            printf("%-36s %10s %10s %10s\n", "error of the product in int4", names[0], names[1],
                   names[2]);
        const bool up = p->made_up < p->nearest && p->made_up < p->weighed;
        const int way = up ? 2 : p->weighed < p->nearest ? 1 : 0;
        ++best[way];
        printf("%-36s %8.3f %% %8.3f %% %8.3f %%  %s\n", p->weight, 100 * p->nearest,
               100 * p->weighed, 100 * p->made_up, names[way]);
    }
    if (count > 0)
        printf("%d products in int4: %d to the nearest, %d weighed, %d by GPTQ\n", count,
               count - best[1] - best[2], best[1], best[2]);
    return count;
}

void cli_calibration_print(const variant_conversion *made, bool json) {
    if (json) {
        printf("%s\n", made->json);
        return;
    }
    if (made->pictures == 0) return;
    int rows = 0, folded = 0;
    const int others = made->product_count - print_int4(made);
    printf("%-36s %22s %22s\n%-36s %10s %11s %10s %11s\n", "error of the product",
           "a scale a block", "a scale a row", "", "as it is", "folded", "as it is", "folded");
    for (int i = 0; i < made->product_count; ++i) {
        const variant_converted_product *p = made->products[i];
        if (is_int4(p)) continue;
        rows += p->scale_of_rows;
        folded += p->folded > 0;
        if (p->rows_seen == 0) continue;
        printf("%-36s %8.3f %% %9.3f %% %8.3f %% %9.3f %%  %s%s\n", p->weight, 100 * p->blocks,
               100 * p->blocks_folded, 100 * p->rows, 100 * p->rows_folded,
               p->scale_of_rows ? "rows" : "blocks", p->folded > 0 ? ", folded" : "");
    }
    printf("%d of %d products with one scale a row, factors folded before %d; measured on %d "
           "picture%s\n",
           rows, others, folded, made->pictures, made->pictures == 1 ? "" : "s");
}
