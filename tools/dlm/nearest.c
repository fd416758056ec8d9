/* Edit distance: the Damerau-Levenshtein distance with adjacent transpositions, three rows of its
 * table at a time (Lowrance and Wagner 1975, the restricted form that git and spellers use). */
#include "nearest.h"

#include <stdbool.h>
#include <string.h>

#define MAX_LEN 63 /* longer names are not compared */

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int distance(const char *a, const char *b)
{
    const int len_a = (int)strlen(a), len_b = (int)strlen(b); /* at most MAX_LEN */
    int rows[3][MAX_LEN + 1]; /* row i % 3: a's first i letters against b's first j */

    for (int j = 0; j <= len_b; j++)
        rows[0][j] = j;
    for (int i = 1; i <= len_a; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= len_b; j++) {
            row[j] = min(min(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[len_a % 3][len_b];
}

void dlm_nearest_offer(struct dlm_nearest *nearest, const char *typed, const char *name)
{
    const size_t len = strlen(typed);

    if (len < 2 || len > MAX_LEN || strlen(name) > MAX_LEN)
        return;
    const bool is_begun = !strncmp(typed, name, len);
    const int d = is_begun ? 0 : distance(typed, name);
    if (d > (int)(len + 2) / 3 || (nearest->name && d >= nearest->distance))
        return;
    *nearest = (struct dlm_nearest){.name = name, .distance = d};
}
