/* word.c - how far a mistyped word is from one that exists (variant/text.h). */
#include "variant.h"

#include <ctype.h>
#include <string.h>

static int differ(char a, char b) {
    return tolower((unsigned char)a) != tolower((unsigned char)b);
}

int variant_word_distance(const char *a, const char *b) {
    int row[32];
    size_t n = strlen(a), m = strlen(b);
    if (n > 30 || m > 30) return 99;
    for (size_t j = 0; j <= m; ++j) row[j] = (int)j;
    for (size_t i = 1; i <= n; ++i) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; ++j) {
            int best = diagonal + differ(a[i - 1], b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}
