#include "base/near.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 64 };

/* Optimal string alignment distance: insert, delete, replace, swap two neighbours. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][LONGEST + 1];
    size_t *before = rows[0], *prev = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        prev[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            size_t best = prev[j - 1] + (x != y);
            if (prev[j] + 1 < best)
                best = prev[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *spare = before;
        before = prev;
        prev = now;
        now = spare;
    }
    return prev[m];
}

const char *ph_near(const char *word, const char *const *known, size_t n)
{
    size_t len = strlen(word);
    if (len == 0 || len > LONGEST)
        return NULL;
    const char *best = NULL;
    size_t best_distance = len / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t m = known[i] ? strlen(known[i]) : 0;
        if (m == 0 || m > LONGEST)
            continue;
        size_t d = distance(word, len, known[i], m);
        if (d < best_distance && d < len) {
            best_distance = d;
            best = known[i];
        }
    }
    return best;
}
